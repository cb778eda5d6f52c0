"""What a user asks of robustness -> a corruption bound to its options, severities in order, and criteria."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias
from zlib import crc32

import numpy as np

from pytest_prodml.checks.behavior.batches import Batch, kind
from pytest_prodml.checks.behavior.corruptions import Transform, check_options, corruption_named
from pytest_prodml.checks.behavior.corruptions.kinds import Corruption, checked_severity
from pytest_prodml.checks.behavior.relation import copied, fitting, named
from pytest_prodml.checks.behavior.robust_metric import Truth, checked_drop
from pytest_prodml.checks.counts import check_share
from pytest_prodml.checks.labels import checked_number
from pytest_prodml.errors import InputError, ProdmlError
from pytest_prodml.records import Comparison, Criterion
from pytest_prodml.statistics.design import Design

#: Makes inputs worse: ``(batch, severity, rng) -> batch``.
Corrupting: TypeAlias = Callable[[Batch, float, np.random.Generator], Batch]
#: One limit for all severities, or one for each.
Limits: TypeAlias = float | Sequence[float]

WHERE = "robust_to"
FLIPS, MOVES = "decision_flip_rate", "score_change_rate"
_MOST_SEVERITIES = 50
_AMONG = ("all", "changed")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bound:
    """A corruption with its options and seed."""

    corruption: Corruption
    apply: Corrupting
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, batch: Batch, severity: float) -> Batch:
        """Return the corrupted inputs.

        Raises
        ------
        InputError
            If they can not be corrupted, or a user's function returns something else than as many inputs.
        """
        try:
            return self.apply(batch, severity, rng_of(self.corruption.name, self.seed))
        except ProdmlError:
            raise
        except Exception as error:  # noqa: BLE001 - a user's function, or cells that no library can compute with
            told = " ".join(str(error).split())[:200]
            raise InputError(
                f"could not corrupt {kind(batch)}: {type(error).__name__}: {told}", where=self.corruption.name
            ) from None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """What is measured: a corruption at some severities, the mildest first, and against what.

    `moves`: scores are compared, not decisions. `only_answers`: an input without an answer has not flipped.
    """

    bound: Bound
    severities: tuple[float, ...]
    design: Design
    truth: Truth | None
    moves: bool
    only_answers: bool
    level: float
    seed: int
    criteria: tuple[Criterion, ...]

    @property
    def corruption(self) -> Corruption:
        """What makes inputs worse."""
        return self.bound.corruption

    @property
    def rate(self) -> str:
        """The name of the share of inputs that are answered otherwise."""
        return MOVES if self.moves else FLIPS

    def group(self, severity: float) -> str:
        """Return what a severity is called in the evidence."""
        return group_of(self.corruption, severity)

    def about(self, metric: str, group: str) -> list[Criterion]:
        """Return the criteria that a measurement has to meet."""
        return [one for one in self.criteria if (one.metric, one.group) == (metric, group)]


def rng_of(name: str, seed: int) -> np.random.Generator:
    """Return what a corruption draws from.

    Its name is part of the seed: test data that were themselves drawn from ``default_rng(0)`` would else meet
    the very same numbers again as their noise, which then changes nothing that matters.
    """
    return np.random.default_rng([seed, crc32(name.encode())])


def group_of(corruption: Corruption, severity: float) -> str:
    """Return what a severity is called in the evidence."""
    return f"{corruption.name}={severity:g}"


def bound(
    how: str | Corrupting,
    batch: Batch,
    *,
    of: str | None,
    columns: Sequence[Any] | None,
    ignore: Sequence[Any],
    options: Mapping[str, Any],
    seed: int,
) -> Bound:
    """Return the corruption with its options.

    Raises
    ------
    InputError
        If there is no such corruption for these inputs, or it has no such option.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"seed must be a whole number from 0 on, got {seed!r}", where=WHERE)
    if isinstance(how, Transform):
        raise InputError(
            f"{how.__name__} has its severity already",
            where=WHERE,
            hint=f'give the name: robust_to("{how.how}", severity={how.severity:g})',
        )
    if callable(how):
        given = [*options, *(["columns"] if columns is not None else [])]
        if given:
            raise InputError(
                f"a function of your own takes no options here, got {', '.join(given)}",
                where=WHERE,
                hint="bind them: functools.partial, or a function around it",
            )
        return _own(how, int(seed))
    found = corruption_named(how, batch, of=of)
    chosen = dict(options)
    if columns is not None:
        chosen["columns"] = columns
    if "ignore" in found.options:
        chosen["ignore"] = ignore
    check_options(found, chosen)
    if chosen.get("scale") == "physical":
        found = replace(found, identity=None, falls=found.name in {"contrast", "jpeg", "pixelate"})

    def apply(batch: Batch, severity: float, rng: np.random.Generator) -> Batch:
        return found.apply(batch, severity, rng, **chosen)

    return Bound(corruption=found, apply=apply, seed=int(seed), options=dict(options))


def _own(how: Corrupting, seed: int) -> Bound:
    name = named(how)

    def apply(batch: Batch, severity: float, rng: np.random.Generator) -> Batch:
        return fitting(how(copied(batch), severity, rng), batch, name)

    own = Corruption(
        name=name,
        kind="inputs",
        apply=apply,
        unit="that of a function of the project",
        low=-math.inf,
        high=math.inf,
        identity=None,
    )
    return Bound(corruption=own, apply=apply, seed=seed)


def severities_of(corruption: Corruption, severity: float | Sequence[float]) -> list[float]:
    """Return the severities in the order in which they were given.

    Raises
    ------
    InputError
        If there are none or too many, one is given twice, or one is none.
    """
    several = list(severity) if isinstance(severity, (list, tuple, np.ndarray, range)) else [severity]
    if not 1 <= len(several) <= _MOST_SEVERITIES:
        raise InputError(f"give 1 to {_MOST_SEVERITIES} severities, got {len(several)}", where=WHERE)
    found = [checked_severity(corruption, one) for one in several]
    # In the evidence they are told apart by what is written.
    if len({group_of(corruption, one) for one in found}) < len(found):
        raise InputError(f"severities must differ, got {several!r}", where=WHERE)
    return found


def ordered(corruption: Corruption, severities: Sequence[float]) -> tuple[float, ...]:
    """Return severities, the mildest first."""
    return tuple(sorted(severities, reverse=corruption.falls))


def checked_tolerance(tolerance: object) -> float | None:
    """Return how far a score may move.

    Raises
    ------
    InputError
        If it is negative or not finite.
    """
    if tolerance is None:
        return None
    found = checked_number(tolerance, name="tolerance")
    if not (math.isfinite(found) and found >= 0):
        raise InputError(f"tolerance must be a number from 0 on, got {tolerance!r}", where=WHERE)
    return found


def checked_threshold(threshold: object) -> float | None:
    """Return the score from which a decision is positive.

    Raises
    ------
    InputError
        If it is not finite: then no decision could ever flip.
    """
    if threshold is None:
        return None
    found = checked_number(threshold, name="threshold")
    if not math.isfinite(found):
        raise InputError(f"threshold must be a finite number, got {threshold!r}", where=WHERE)
    return found


def criteria_of(
    corruption: Corruption,
    severities: Sequence[float],
    *,
    rate: str,
    at_most: Limits | None,
    at_least: Limits | None,
    drop_at_most: Limits | None,
    truth: Truth | None,
    among: str | None,
) -> tuple[Criterion, ...]:
    """Return a criterion for every limit at every severity.

    Raises
    ------
    InputError
        If a limit is none, there are not as many as severities, or limits do not go together.
    """
    if among is None:
        among = "changed" if corruption.by_content else "all"
    if among not in _AMONG:
        raise InputError(f"among must be 'all' or 'changed', got {among!r}", where=WHERE)
    if at_most is not None and at_least is not None:
        raise InputError(
            "at_most asks that answers stay, at_least that they move", where=WHERE, hint="give one of them"
        )
    if corruption.must_move and at_most is not None:
        raise InputError(
            f"{corruption.name} turns the meaning round, so answers must move",
            where=WHERE,
            hint="at_least=..., the share that must flip",
        )
    if drop_at_most is not None and truth is None:
        raise InputError("drop_at_most needs a metric", where=WHERE, hint='metric="accuracy"')
    of_changed = f"{rate}_of_changed"
    wanted = (
        (at_most, "at_most", of_changed if among == "changed" else rate, Comparison.AT_MOST),
        (at_least, "at_least", of_changed, Comparison.AT_LEAST),
        (drop_at_most, "drop_at_most", f"{truth.name}_drop" if truth else "", Comparison.AT_MOST),
    )
    return tuple(
        Criterion(metric=metric, comparison=way, limit=limit, group=group_of(corruption, one))
        for limits, name, metric, way in wanted
        if limits is not None
        for one, limit in zip(severities, _limits(limits, name, len(severities), truth), strict=True)
    )


def _limits(limits: Limits, name: str, count: int, truth: Truth | None) -> list[float]:
    is_list = isinstance(limits, (list, tuple, np.ndarray))
    several: list[Any] = list(limits) if is_list else [limits] * count  # type: ignore[arg-type]
    if len(several) != count:
        raise InputError(f"{name} has {len(several)} limits for {count} severities", where=WHERE)
    if name == "drop_at_most" and truth is not None:
        return [checked_drop(truth, one) for one in several]
    found = [checked_number(one, name=name) for one in several]
    for one in found:
        check_share(one, name)
    return found
