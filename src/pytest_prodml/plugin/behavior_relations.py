"""Rules about related inputs: the first part of what `ml_behavior` offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.behavior_base import BehaviorBound
from pytest_prodml.records import Evidence

if TYPE_CHECKING:
    from pytest_prodml.checks.behavior.batches import Inputs
    from pytest_prodml.checks.behavior.monotony import Where
    from pytest_prodml.checks.behavior.relation import Transform
    from pytest_prodml.checks.behavior.search import Options


class RuleOptions(TypedDict, total=False):
    """What every rule takes beside its own parameters.

    Parameters
    ----------
    at_most : float
        The share of inputs that may break the rule: a rate. Either this or `never`.
    never : bool
        Search for any input that breaks it: existence.
    data : frame, array, list, path, or (X, y)
        Other inputs than `prodml_test`.
    inputs : str, sequence of str, or Hypothesis strategy
        "observed", "plausible", "extreme", or a strategy of your own (searched, for existence).
    n_inputs : int
        How many inputs to make; default 10,000, with a strategy 1,000.
    schema : pandera schema
        What rows may be.
    redact : bool
        Leave inputs out of the evidence and out of the file of counterexamples.
    level : float
        Of the one-sided bound; at least that of the run.
    """

    at_most: float | None
    never: bool
    data: Any
    inputs: Any
    n_inputs: int | None
    schema: Any
    redact: bool
    level: float | None


class RelationChecks(BehaviorBound):
    """The checks that compare the answers to related inputs."""

    def invariant_to(
        self,
        what: str | Sequence[str] | Transform,
        *,
        values: Sequence[object] | None = None,
        tolerance: float | None = None,
        threshold: float | None = None,
        **options: Unpack[RuleOptions],
    ) -> Evidence:
        """Show that a column or a transform does not matter; see `checks.behavior.invariant_to`.

        Parameters
        ----------
        what : str, sequence of str, or callable
            A column, several of them one after the other, or a function from inputs to inputs.
        values : sequence, optional
            The values to put in; default those that occur.
        tolerance : float, optional
            Compare scores instead of decisions: they may differ by this.
        threshold : float, optional
            Decide at this threshold instead of the configured one.
        **options
            See `RuleOptions`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior import invariant_to

        inputs, rest = self._asked(options)
        at = self._settings.threshold if threshold is None else threshold
        return self._told(
            lambda: invariant_to(
                what, self._predictor, inputs, values=values, tolerance=tolerance, threshold=at, **rest
            )
        )

    def monotone(
        self,
        column: str,
        direction: str,
        *,
        step: float | None = None,
        tolerance: float = 0.0,
        where: Where | None = None,
        **options: Unpack[RuleOptions],
    ) -> Evidence:
        """Show that the score follows a column in one direction; see `checks.behavior.monotone`.

        Parameters
        ----------
        column : str
            A column of numbers.
        direction : str
            "increasing" or "decreasing".
        step : float, optional
            Ask one step from each row's value only; default along all values.
        tolerance : float
            How far a score may go the wrong way.
        where : mapping or callable, optional
            Which rows the rule is about.
        **options
            See `RuleOptions`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior import monotone

        inputs, rest = self._asked(options)
        return self._told(
            lambda: monotone(
                column,
                direction,
                self._predictor,
                inputs,
                step=step,
                tolerance=tolerance,
                where=where,
                **rest,
            )
        )

    def directional(
        self,
        transform: Transform,
        *,
        expect: str,
        margin: float = 0.0,
        threshold: float | None = None,
        **options: Unpack[RuleOptions],
    ) -> Evidence:
        """Show that a transform moves the answer the way it has to; see `checks.behavior.directional`.

        Parameters
        ----------
        transform : callable
            From inputs to inputs.
        expect : str
            "increase", "decrease", "not_decrease", "not_increase" or "flip".
        margin : float
            By how much at least, or how far the wrong way at most.
        threshold : float, optional
            For "flip": decide at this threshold instead of the configured one.
        **options
            See `RuleOptions`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior import directional

        inputs, rest = self._asked(options)
        at = self._settings.threshold if threshold is None else threshold
        return self._told(
            lambda: directional(
                transform, self._predictor, inputs, expect=expect, margin=margin, threshold=at, **rest
            )
        )

    def minimum_functionality(
        self,
        cases: object,
        *,
        at_least: float | None = None,
        data: object = None,
        threshold: float | None = None,
        redact: bool = False,
        level: float | None = None,
    ) -> Evidence:
        """Show that cases with known answers are right; see `checks.behavior.minimum_functionality`.

        Parameters
        ----------
        cases : (X, y), or sequence of (input, expected)
            A row may be a dict of the columns that matter.
        at_least : float, optional
            The share that must pass, with a bound; default all of them, counted.
        data : frame, optional
            Rows that fill what dicts leave out; default those of `prodml_test`.
        threshold : float, optional
            Decide at this threshold instead of the configured one.
        redact : bool
            Leave the cases out of the evidence.
        level : float, optional
            Of the one-sided bound; at least that of the run.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior import minimum_functionality

        needs_rows = _holds_dicts(cases)
        inputs = self._inputs(data) if needs_rows or data is not None else None
        at = self._settings.threshold if threshold is None else threshold
        tail = self._tail(level)
        return self._settle(
            lambda: minimum_functionality(
                cases,
                self._predictor,
                inputs,
                at_least=at_least,
                threshold=at,
                positive_label=self._settings.positive,
                redact=redact,
                **tail,
            )
        )

    def consistent(
        self,
        change: Transform,
        holds: Callable[..., Any],
        *,
        name: str | None = None,
        **options: Unpack[RuleOptions],
    ) -> Evidence:
        """Show that a relation of your own holds; see `checks.behavior.consistent`.

        Parameters
        ----------
        change : callable
            From inputs to related inputs.
        holds : callable
            ``holds(before, after)`` gets scores, and returns True or False for each input.
        name : str, optional
            What the relation is called.
        **options
            See `RuleOptions`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior import consistent

        inputs, rest = self._asked(options)
        return self._told(lambda: consistent(change, holds, self._predictor, inputs, name=name, **rest))

    def bounded_change(
        self, column: str, step: float, *, change_at_most: float, **options: Unpack[RuleOptions]
    ) -> Evidence:
        """Show that a small step moves the score only a little; see `checks.behavior.bounded_change`.

        Parameters
        ----------
        column : str
            A column of numbers.
        step : float
            In the column's own unit, up and down.
        change_at_most : float
            How far the score may move.
        **options
            See `RuleOptions`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior import bounded_change

        inputs, rest = self._asked(options)
        return self._told(
            lambda: bounded_change(
                column, step, self._predictor, inputs, change_at_most=change_at_most, **rest
            )
        )

    def symmetric(
        self,
        first: str | Sequence[str],
        second: str | Sequence[str],
        *,
        tolerance: float | None = None,
        threshold: float | None = None,
        **options: Unpack[RuleOptions],
    ) -> Evidence:
        """Show that columns can change places; see `checks.behavior.symmetric`.

        Parameters
        ----------
        first, second : str or sequence of str
            Columns of the same types, in the same order.
        tolerance : float, optional
            Compare scores instead of decisions: they may differ by this.
        threshold : float, optional
            Decide at this threshold instead of the configured one.
        **options
            See `RuleOptions`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior import symmetric

        inputs, rest = self._asked(options)
        at = self._settings.threshold if threshold is None else threshold
        return self._told(
            lambda: symmetric(
                first, second, self._predictor, inputs, tolerance=tolerance, threshold=at, **rest
            )
        )

    def additive(
        self,
        column: str | Transform,
        *,
        tolerance: float = 0.0,
        relative: float = 1e-6,
        **options: Unpack[RuleOptions],
    ) -> Evidence:
        """Show that answers to parts add up to that to the whole; see `checks.behavior.additive`.

        Parameters
        ----------
        column : str or callable
            A column that is divided in two, or a function from inputs to a list of batches, the parts.
        tolerance : float
            How far the sum may be off.
        relative : float
            How far it may be off as a share of the whole.
        **options
            See `RuleOptions`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior import additive

        inputs, rest = self._asked(options)
        return self._told(
            lambda: additive(column, self._predictor, inputs, tolerance=tolerance, relative=relative, **rest)
        )

    def _asked(self, options: RuleOptions) -> tuple[Inputs, Any]:
        """Return the inputs of a rule, and the options that its check takes."""
        __tracebackhide__ = True
        unknown = set(options) - set(RuleOptions.__annotations__)
        if unknown:
            raise InputError(
                f"there is no option {', '.join(sorted(unknown))}",
                where=self._session.gate_id,
                hint=f"known: {', '.join(RuleOptions.__annotations__)}",
            )
        data = options.get("data")
        inputs = self._inputs(data)
        rest: Options = {
            "at_most": options.get("at_most"),
            "never": options.get("never", False),
            "inputs": options.get("inputs"),
            "n_inputs": options.get("n_inputs"),
            "schema": options.get("schema"),
            "redact": options.get("redact", False),
            "known": self._known(),
        }
        if data is None and inputs.is_frame:
            rest["sample_weight"] = self._column(inputs, "sample_weight")
            rest["clusters"] = self._column(inputs, "entity")
        return inputs, {**rest, **self._tail(options.get("level")), "seed": self._seed()}

    def _known(self) -> Path:
        """Return the file of this gate's counterexamples."""
        settings = self._context.settings
        return settings.at(settings.behavior.counterexamples) / f"{self._session.gate_id}.json"

    def _told(self, check: Callable[[], Evidence]) -> Evidence:
        """Run a check, and show its smallest counterexample where a failing test shows its output."""
        __tracebackhide__ = True

        def shown() -> Evidence:
            from pytest_prodml.checks.behavior.told import sentences

            evidence = check()
            text = sentences(evidence)
            if text:
                self._session.section("counterexample", text)
            return evidence

        return self._settle(shown)


def _holds_dicts(cases: object) -> bool:
    if not isinstance(cases, Sequence) or isinstance(cases, (str, bytes)):
        return False
    return any(isinstance(case, tuple) and case and isinstance(case[0], dict) for case in cases)
