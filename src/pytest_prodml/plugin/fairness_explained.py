"""What lies behind a gap and what closing it costs: the third part of what `ml_fairness` offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.dimensions import ModelBound
from pytest_prodml.records import Evidence

if TYPE_CHECKING:
    import numpy as np


class ExplainedGaps(ModelBound):
    """Explanations of a gap. None of them is ever a pass."""

    def gap_explained(
        self,
        metric: str,
        *,
        factors: str | Sequence[str],
        by: str | Sequence[str] | None = None,
        bins: Mapping[str, Sequence[float]] | None = None,
        reference: str | None = None,
        standard: str = "average",
        threshold: float | None = None,
        level: float | None = None,
    ) -> Evidence:
        """Record how much of a gap goes along with stated factors; see `checks.fairness.gap_explained`.

        It neither passes nor fails: a gate with nothing but explanations ends inconclusive.

        Parameters
        ----------
        metric : str
            A rate such as selection_rate, or mean_prediction, mean_error, mean_absolute_error.
        factors : str or sequence of str
            Columns that you state to be legitimate reasons for different treatment.
        by : str or sequence of str, optional
            Columns whose groups are compared; default the configured sensitive ones.
        bins : mapping of str to sequence of float, optional
            Inner edges for columns that are numbers.
        reference : str, optional
            The group that the others are compared with.
        standard : str
            "average" (Kitagawa) or "reference" (Oaxaca-Blinder).
        threshold : float, optional
            Decide at this threshold instead of the configured one.
        level : float, optional
            Of each one-sided bound; at least that of the run.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.fairness.explained import gap_explained
        from pytest_prodml.checks.fairness.outcomes import ABOUT_NUMBERS, EXPLAINABLE, WITHOUT_TRUTH

        model, tail = self._model, self._tail(level)
        by_numbers = metric in ABOUT_NUMBERS

        def answers() -> np.ndarray:
            if metric not in EXPLAINABLE:  # the check says so; nobody has to wait for a prediction
                return model.labels
            return model.scores if by_numbers else model.decided(threshold)

        return self._explain(
            lambda: gap_explained(
                metric,
                # The truth has no part in who is selected.
                model.dataset.target if metric in WITHOUT_TRUTH else model.labels,
                answers(),
                model.groups(by),
                model.groups([factors] if isinstance(factors, str) else list(factors)) if factors else {},
                bins=bins,
                reference=reference,
                standard=standard,
                favorable_label=model.settings.favorable,
                sample_weight=model.column("sample_weight"),
                clusters=model.column("entity"),
                gate_id=tail["gate_id"],
                confidence_level=tail["confidence_level"],
            )
        )

    def tradeoff(
        self,
        metric: str,
        *,
        by: str | Sequence[str] | None = None,
        performance: str = "accuracy",
        thresholds: Sequence[float] | None = None,
        bins: Mapping[str, Sequence[float]] | None = None,
        level: float | None = None,
    ) -> Evidence:
        """Record gap and performance over decision thresholds; see `checks.fairness.tradeoff`.

        The configured threshold is marked. It neither passes nor fails: a threshold that is picked by test
        rows has to be judged on others.

        Parameters
        ----------
        metric : str
            A rate such as selection_rate, or equalized_odds.
        by : str or sequence of str, optional
            Columns whose groups are compared; default the configured sensitive ones.
        performance : str
            accuracy, balanced_accuracy, f1, precision, recall or specificity.
        thresholds : sequence of float, optional
            At most 100; default the percentiles of the scores.
        bins : mapping of str to sequence of float, optional
            Inner edges for columns that are numbers.
        level : float, optional
            Of each one-sided bound; at least that of the run.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.fairness.tradeoff import tradeoff
        from pytest_prodml.statistics.design import design_of

        model, tail = self._model, self._tail(level)
        weights, entities = model.column("sample_weight"), model.column("entity")
        if not design_of(len(model.dataset), sample_weight=weights, groups=entities).is_simple:
            raise InputError(
                "the curve is for rows that are independent and weigh alike, and sample_weight or entity say "
                "that these are not",
                where=tail["gate_id"],
                hint="judge the thresholds that you consider with difference_at_most",
            )
        return self._explain(
            lambda: tradeoff(
                metric,
                model.labels,
                model.scores,
                model.groups(by),
                performance=performance,
                thresholds=thresholds,
                current=model.settings.threshold,
                bins=bins,
                positive_label=model.settings.positive,
                favorable_label=model.settings.favorable,
                gate_id=tail["gate_id"],
                confidence_level=tail["confidence_level"],
            )
        )

    def _explain(self, check: Callable[[], Evidence]) -> Evidence:
        __tracebackhide__ = True
        return self._session.note(
            check, subjects=[self._model.predictor.subject], materials=[self._model.dataset.material]
        )
