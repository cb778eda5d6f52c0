"""Gaps between groups: the first part of what `ml_fairness` offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_prodml.plugin.dimensions import ModelBound
from pytest_prodml.records import Evidence


class GapsBetweenGroups(ModelBound):
    """The checks that compare a rate, a score or any metric between groups of people."""

    def difference_at_most(
        self, metric: str, limit: float, *, by: str | Sequence[str] | None = None
    ) -> Evidence:
        """Show that groups differ by at most `limit`; see `checks.fairness.difference_at_most`.

        `by` names columns; default the configured sensitive ones.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.fairness import difference_at_most

        return self._measure(difference_at_most, metric, limit, by)

    def ratio_at_least(self, metric: str, limit: float, *, by: str | Sequence[str] | None = None) -> Evidence:
        """Show that the lowest group reaches a share of the highest; see `checks.fairness.ratio_at_least`.

        `by` names columns; default the configured sensitive ones.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.fairness import ratio_at_least

        return self._measure(ratio_at_least, metric, limit, by)

    def _measure(
        self, check: Callable[..., Evidence], metric: str, limit: float, by: str | Sequence[str] | None
    ) -> Evidence:
        __tracebackhide__ = True
        model = self._model
        return self._settle(
            lambda: check(
                metric,
                limit,
                # The truth has no part in who is selected.
                model.dataset.target if metric == "selection_rate" else model.labels,
                model.decisions,
                model.groups(by),
                favorable_label=model.settings.favorable,
                gate_id=self._session.gate_id,
                confidence_level=self._session.confidence_level,
            )
        )
