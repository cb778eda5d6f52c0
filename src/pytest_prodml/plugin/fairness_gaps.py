"""Gaps between groups: the first part of what `ml_fairness` offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_prodml.plugin.dimensions import ModelBound
from pytest_prodml.records import Evidence

if TYPE_CHECKING:
    from pytest_prodml.checks.fairness import Answers
    from pytest_prodml.checks.fairness.groups import By
    from pytest_prodml.checks.fairness.measures import AnyMetric
    from pytest_prodml.checks.metrics.levels import Bins


class GapsBetweenGroups(ModelBound):
    """The checks that compare a rate, a score or any metric between groups of people."""

    def difference_at_most(
        self,
        metric: AnyMetric,
        limit: float,
        *,
        by: By | None = None,
        bins: Mapping[str, Bins] | None = None,
        separators: Mapping[str, str] | None = None,
        threshold: float | None = None,
        level: float | None = None,
        burden: str | None = None,
    ) -> Evidence:
        """Show that groups differ by at most `limit`; see `checks.fairness.difference_at_most`.

        Parameters
        ----------
        metric : str, Metric or callable
            A rate (selection_rate, true_positive_rate, ...), equalized_odds, mean_prediction,
            expected_calibration_error, exposure, any metric of performance, or one of your own.
        limit : float
            What the upper bound of the largest difference has to keep.
        by : str or sequence of (str or sequence of str), optional
            Columns, and combinations of columns as tuples; default the configured sensitive ones. They need
            not be inputs of the model.
        bins : mapping of str to int or sequence of float, optional
            Bands of columns of numbers: the edges between them, or how many of equal size.
        separators : mapping of str to str, optional
            What separates several values in a cell of text.
        threshold : float, optional
            Decide at this threshold instead of the configured one; it is recorded.
        level : float, optional
            Of each one-sided bound; at least that of the run.
        burden : {"compliance", "violation"}, optional
            Who has to prove it; default the policy's.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.fairness import difference_at_most

        return self._compare(
            difference_at_most, metric, limit, by, bins, separators, threshold, level, burden
        )

    def ratio_at_least(
        self,
        metric: AnyMetric,
        limit: float,
        *,
        by: By | None = None,
        bins: Mapping[str, Bins] | None = None,
        separators: Mapping[str, str] | None = None,
        threshold: float | None = None,
        level: float | None = None,
        burden: str | None = None,
    ) -> Evidence:
        """Show that the lowest group reaches a share of the highest; see `checks.fairness.ratio_at_least`.

        Parameters are those of `difference_at_most`; a limit of 0.8 is the "four fifths" screening rule.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.fairness import ratio_at_least

        return self._compare(ratio_at_least, metric, limit, by, bins, separators, threshold, level, burden)

    def group_at_least(
        self,
        metric: AnyMetric,
        limit: float,
        *,
        by: By | None = None,
        bins: Mapping[str, Bins] | None = None,
        separators: Mapping[str, str] | None = None,
        threshold: float | None = None,
        level: float | None = None,
        burden: str | None = None,
    ) -> Evidence:
        """Show that every group reaches a floor; see `checks.fairness.group_at_least`.

        Parameters are those of `difference_at_most`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.fairness import group_at_least

        return self._compare(group_at_least, metric, limit, by, bins, separators, threshold, level, burden)

    def group_at_most(
        self,
        metric: AnyMetric,
        limit: float,
        *,
        by: By | None = None,
        bins: Mapping[str, Bins] | None = None,
        separators: Mapping[str, str] | None = None,
        threshold: float | None = None,
        level: float | None = None,
        burden: str | None = None,
    ) -> Evidence:
        """Show that no group exceeds a ceiling, of errors or losses; see `checks.fairness.group_at_most`.

        Parameters are those of `difference_at_most`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.fairness import group_at_most

        return self._compare(group_at_most, metric, limit, by, bins, separators, threshold, level, burden)

    def _compare(
        self,
        check: Callable[..., Evidence],
        metric: AnyMetric,
        limit: float,
        by: By | None,
        bins: Mapping[str, Bins] | None,
        separators: Mapping[str, str] | None,
        threshold: float | None,
        level: float | None,
        burden: str | None,
    ) -> Evidence:
        __tracebackhide__ = True
        policy = self._context.policy
        return self._settle(
            lambda: check(
                metric,
                limit,
                self._answers(metric, threshold),
                self._model.groups(_columns(by)),
                by=by,
                bins=bins,
                separators=separators,
                min_group=policy.min_group if policy is not None else None,
                burden=self._burden(burden),
                **self._tail(level),
            )
        )

    def _answers(self, metric: AnyMetric, threshold: float | None) -> Answers:
        """Return what the metric is made of, and no more: a prediction may be expensive."""
        __tracebackhide__ = True
        from pytest_prodml.checks.fairness import Answers
        from pytest_prodml.checks.fairness.measures import Form, needs_of

        model = self._model
        needs = needs_of(metric)
        given: dict[str, Any] = {}
        if needs.form is Form.DECISIONS:
            given["y_pred"] = model.decided(threshold)
            given["threshold"] = model.settings.threshold if threshold is None else threshold
        elif needs.form is Form.NUMBERS:
            given["y_pred"] = model.scores
        else:
            given |= {"y_score": model.scores, "labels": model.classes}
        return Answers(
            # The truth has no part in who is selected.
            y_true=model.labels if needs.truth else model.dataset.target,
            favorable_label=model.settings.favorable,
            positive_label=model.settings.positive,
            sample_weight=model.column("sample_weight"),
            clusters=model.column("entity"),
            query=model.column("query"),
            **given,
        )


def _columns(by: By | None) -> list[str] | None:
    """Return every column that is named alone or in a combination."""
    if by is None:
        return None
    named: Sequence[Any] = [by] if isinstance(by, str) else list(by)
    every = [name for item in named for name in ([item] if isinstance(item, str) else item)]
    return list(dict.fromkeys(every))
