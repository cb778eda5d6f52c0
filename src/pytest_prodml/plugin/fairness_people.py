"""How single people are treated: the second part of what `ml_fairness` offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_prodml.plugin.dimensions import ModelBound
from pytest_prodml.records import Evidence

if TYPE_CHECKING:
    from pytest_prodml.checks.fairness.dependants import Follows, Rewrites
    from pytest_prodml.checks.fairness.distances import Metric


class TreatmentOfPeople(ModelBound):
    """The checks that compare a person with itself in another group, or with those who are like it."""

    def counterfactual(
        self,
        attribute: str,
        *,
        at_most: float,
        score_at_most: float | None = None,
        values: Sequence[object] | None = None,
        dependants: Mapping[str, Follows] | Rewrites | None = None,
        redact: bool = False,
        threshold: float | None = None,
        level: float | None = None,
    ) -> Evidence:
        """Show that people would be treated the same in another group; see `checks.fairness.counterfactual`.

        Parameters
        ----------
        attribute : str
            The column, for example "sex".
        at_most : float
            The share of rows whose decision may change with any other value.
        score_at_most : float, optional
            The mean over rows of the largest change of the score.
        values : sequence, optional
            The values to put in; default those that occur.
        dependants : mapping or pair, optional
            What moves with the attribute: column -> function of (rows, value), or columns and one function.
        redact : bool
            Leave rows out of the evidence.
        threshold : float, optional
            Decide at this threshold instead of the configured one.
        level : float, optional
            Of each one-sided bound; at least that of the run.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.fairness.counterfactual import counterfactual

        tail = self._tail(level)
        return self._settle(
            lambda: counterfactual(
                attribute,
                self._model.predictor,
                self._model.dataset,
                at_most=at_most,
                score_at_most=score_at_most,
                values=values,
                dependants=dependants,
                redact=redact,
                **self._people(threshold),
                **tail,
            )
        )

    def proxies(
        self,
        attribute: str,
        *,
        at_most: float | None = None,
        inputs: Sequence[str] | None = None,
        bins: Sequence[float] | None = None,
        repeats: int = 5,
        threshold: float | None = None,
        level: float | None = None,
    ) -> Evidence:
        """Show how well inputs give an attribute away; see `checks.fairness.proxies`.

        Without `at_most` it neither passes nor fails: a gate with nothing else ends inconclusive.

        Parameters
        ----------
        attribute : str
            The column, for example "sex".
        at_most : float, optional
            The largest area under the ROC curve with which all inputs together may tell the groups apart.
        inputs : sequence of str, optional
            The columns that are measured; default those that the model asks for.
        bins : sequence of float, optional
            Inner edges, for an attribute that is a number.
        repeats : int
            How many times columns are dealt out anew for the parts of the gap.
        threshold : float, optional
            Decide at this threshold instead of the configured one.
        level : float, optional
            Of each one-sided bound; at least that of the run.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.fairness.proxies import proxies

        model, tail = self._model, self._tail(level)

        def check() -> Evidence:
            return proxies(
                attribute,
                model.predictor,
                model.dataset,
                at_most=at_most,
                inputs=inputs,
                bins=bins,
                repeats=repeats,
                positive_label=model.settings.positive,
                favorable_label=model.settings.favorable,
                **self._people(threshold),
                **tail,
            )

        return self._settle(check) if at_most is not None else self._tell_only(check)

    def individual(
        self,
        *,
        at_most: float,
        metric: Metric = "gower",
        columns: Sequence[str] | None = None,
        neighbours: int = 1,
        distance_at_most: float | None = None,
        lipschitz: float | None = None,
        tolerance: float = 0.0,
        ignore: Sequence[str] | None = None,
        redact: bool = False,
        threshold: float | None = None,
        level: float | None = None,
    ) -> Evidence:
        """Show that people who are alike are treated alike; see `checks.fairness.individual`.

        Parameters
        ----------
        at_most : float
            The share of people who may be treated unlike somebody who is like them.
        metric : str or callable
            "gower", "euclidean", or a function of two frames that returns a matrix of distances.
        columns : sequence of str, optional
            What makes people alike; default the model's inputs.
        neighbours : int
            How many nearest others each row is compared with.
        distance_at_most : float, optional
            How far apart near rows may be; default what half of the rows keep to their nearest.
        lipschitz : float, optional
            Compare scores: they may differ by this times the distance, and `tolerance`.
        tolerance : float
            See `lipschitz`.
        ignore : sequence of str, optional
            Columns that must make no difference; default the configured sensitive ones that the table has.
        redact : bool
            Leave pairs of rows out of the evidence.
        threshold : float, optional
            Decide at this threshold instead of the configured one.
        level : float, optional
            Of each one-sided bound; at least that of the run.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.fairness.individual import individual

        model, tail = self._model, self._tail(level)

        def ignored() -> Sequence[str]:
            if ignore is not None:
                return ignore  # also text: the check says that it is no list
            known = self._context.settings.data
            roles = (known.entity, known.sample_weight, known.query, known.timestamp)
            names = [*known.sensitive, *(name for name in roles if name is not None)]
            return [name for name in dict.fromkeys(names) if name in model.dataset.frame.columns]

        return self._settle(
            lambda: individual(
                model.predictor,
                model.dataset,
                at_most=at_most,
                metric=metric,
                columns=columns,
                neighbours=neighbours,
                distance_at_most=distance_at_most,
                lipschitz=lipschitz,
                tolerance=tolerance,
                ignore=ignored(),
                redact=redact,
                **self._people(threshold),
                **tail,
            )
        )

    def _people(self, threshold: float | None) -> dict[str, Any]:
        """Return how it is decided, and whom the rows stand for."""
        __tracebackhide__ = True
        model = self._model
        return {
            "threshold": model.settings.threshold if threshold is None else threshold,
            "sample_weight": model.column("sample_weight"),
            "clusters": model.column("entity"),
        }

    def _tell_only(self, check: Callable[[], Evidence]) -> Evidence:
        __tracebackhide__ = True
        return self._session.note(
            check, subjects=[self._model.predictor.subject], materials=[self._model.dataset.material]
        )
