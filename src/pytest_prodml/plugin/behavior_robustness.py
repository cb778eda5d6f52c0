"""Inputs that get worse: the part of what `ml_behavior` offers about noise, gaps, typos and bad images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_prodml.plugin.behavior_base import BehaviorBound
from pytest_prodml.records import Evidence

if TYPE_CHECKING:
    from pytest_prodml.checks.behavior.batches import Inputs
    from pytest_prodml.checks.behavior.robust_request import Corrupting, Limits
    from pytest_prodml.checks.metrics import Metric


class RobustnessChecks(BehaviorBound):
    """The checks that make inputs worse, step by step."""

    def robust_to(
        self,
        how: str | Corrupting,
        *,
        severity: float | Sequence[float],
        at_most: Limits | None = None,
        at_least: Limits | None = None,
        metric: str | Metric | None = None,
        drop_at_most: Limits | None = None,
        columns: Sequence[Any] | None = None,
        ignore: Sequence[Any] | None = None,
        of: str | None = None,
        among: str | None = None,
        tolerance: float | None = None,
        threshold: float | None = None,
        data: object = None,
        redact: bool = False,
        level: float | None = None,
        **options: Any,  # noqa: ANN401 - of the corruption
    ) -> Evidence:
        """Show that decisions and a metric hold when inputs get worse; see `checks.behavior.robust_to`.

        Without a limit it neither passes nor fails: a gate with nothing else ends inconclusive.

        Parameters
        ----------
        how : str or callable
            "noise", "missingness", "typos", "blur", "gap" and others, or ``(batch, severity, rng) -> batch``.
        severity : float or sequence of float
            How hard, in the unit of the corruption; limits have to be kept at all of them.
        at_most : float or sequence of float, optional
            The share of inputs whose decision may flip.
        at_least : float or sequence of float, optional
            The share of changed inputs that must flip, for corruptions that turn the meaning round.
        metric : str or Metric, optional
            Of the answers, with the labels of the inputs.
        drop_at_most : float or sequence of float, optional
            How much worse `metric` may get.
        columns : sequence, optional
            Columns that are changed.
        ignore : sequence, optional
            Columns that never are; default those configured as entity, weight, query and timestamp.
        of : str, optional
            What an array is: "rows", "texts", "images" or "series".
        among : str, optional
            "all" inputs, or only those that were "changed", for `at_most`; by default as the corruption asks.
        tolerance : float, optional
            Compare scores instead of decisions: they may move by this.
        threshold : float, optional
            Decide at this threshold instead of the configured one.
        data : frame, array, list, path, or (X, y), optional
            Other inputs than `prodml_test`.
        redact : bool
            Leave inputs and error messages out of the evidence.
        level : float, optional
            Of each one-sided bound; at least that of the run.
        **options
            Of the corruption: ``synonyms``, ``within_observed``, ``scale`` and others.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior.robust import robust_to

        tail = self._tail(level)

        def check() -> Evidence:
            inputs = self._inputs(data)
            roles = self._roles(inputs, is_own=data is not None)
            return robust_to(
                how,
                self._predictor,
                inputs,
                severity=severity,
                at_most=at_most,
                at_least=at_least,
                metric=metric,
                drop_at_most=drop_at_most,
                columns=columns,
                ignore=list(roles.values()) if ignore is None else ignore,
                of=of,
                among=among,
                tolerance=tolerance,
                threshold=self._threshold(threshold, tolerance),
                positive_label=self._settings.positive,
                labels=self._classes(),
                sample_weight=_column(inputs, roles.get("sample_weight")),
                clusters=_column(inputs, roles.get("entity")),
                redact=redact,
                **tail,
                **options,
            )

        limited = any(limit is not None for limit in (at_most, at_least, drop_at_most))
        return self._settle(check) if limited else self._tell_only(check)

    def _threshold(self, threshold: float | None, tolerance: float | None) -> float | None:
        if threshold is not None:
            return threshold
        return self._settings.threshold if tolerance is None else None

    def _classes(self) -> list[Any] | None:
        """Return the classes in the order of the scores; None where the model does not know or has two."""
        known = getattr(self._predictor, "classes", None)
        return None if known is None or len(known) < 3 else list(known)

    def _roles(self, inputs: Inputs, *, is_own: bool) -> dict[str, str]:
        """Return the configured columns that are no inputs of a model.

        Inputs that a check is given for itself need not have them. In those of `prodml_test` a lost entity or
        weight would make bounds too narrow, so there it is an error.
        """
        __tracebackhide__ = True
        from pytest_prodml.adapters.tables import column

        if not inputs.is_frame:
            return {}
        known = self._context.settings.data
        found = {}
        for role in ("entity", "sample_weight", "query", "timestamp"):
            name: str | None = getattr(known, role)
            if name is None:
                continue
            if role in {"entity", "sample_weight"} and not is_own:
                column(inputs.frame, name)
            if name in inputs.frame.columns:
                found[role] = name
        return found

    def _tell_only(self, check: Callable[[], Evidence]) -> Evidence:
        __tracebackhide__ = True
        return self._session.note(check, subjects=[self._predictor.subject])


def _column(inputs: Inputs, name: str | None) -> Any:  # noqa: ANN401 - a column of any type
    return None if name is None else inputs.frame[name].to_numpy()
