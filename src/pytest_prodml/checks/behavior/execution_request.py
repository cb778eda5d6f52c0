"""The cases of the contract, and what a team asks of them -> checked options."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence

from pytest_prodml.adapters.tables import no_column
from pytest_prodml.checks.behavior.batches import Batch, is_frame
from pytest_prodml.checks.behavior.execution_hostile import CASES as HOSTILE
from pytest_prodml.checks.behavior.execution_meaning import CASES as MEANING
from pytest_prodml.checks.behavior.execution_memory import CASES as MEMORY
from pytest_prodml.checks.behavior.execution_process import CASES as PROCESS
from pytest_prodml.checks.behavior.execution_readings import CASES as READINGS
from pytest_prodml.checks.behavior.execution_repeats import CASES as REPEATS
from pytest_prodml.checks.behavior.execution_rows import CASES as ROWS
from pytest_prodml.checks.behavior.execution_trial import Case
from pytest_prodml.checks.behavior.execution_types import CASES as TYPES
from pytest_prodml.errors import InputError

WHERE = "robust_execution"
#: Repeated calls and calls in between come first: without them no answers can be compared.
CASES: tuple[Case, ...] = (*REPEATS, *MEANING, *ROWS, *TYPES, *HOSTILE, *READINGS, *PROCESS, *MEMORY)
#: The names of all cases, in the order in which they run.
CASE_NAMES = tuple(case.name for case in CASES)


def chosen_cases(only: Sequence[str] | None, skip: Sequence[str]) -> list[Case]:
    """Return the cases to run, in their order.

    Raises
    ------
    InputError
        If there is no such case, or none is left.
    """
    known_cases(skip, "skip")
    if only is not None:
        known_cases(only, "only")
    left = [case for case in CASES if (only is None or case.name in only) and case.name not in skip]
    if not left:
        raise InputError("no case is left, so nothing would be shown", where=WHERE)
    return left


def known_cases(names: Collection[str], option: str) -> None:
    """Refuse names that no case has.

    Raises
    ------
    InputError
        If one of `names` is unknown, or they are a single text.
    """
    if isinstance(names, str):
        raise InputError(f"{option} must be a list of cases, got the text {names!r}", where=WHERE)
    for name in names:
        if name not in CASE_NAMES:
            near = difflib.get_close_matches(str(name), CASE_NAMES, n=1)
            raise InputError(
                f"there is no case {name!r}",
                where=f"{WHERE}, {option}",
                hint=f"did you mean {near[0]!r}?" if near else f"cases: {', '.join(CASE_NAMES)}",
            )


def demanded_columns(
    must_answer: Sequence[str] | Mapping[str, Sequence[str]],
) -> dict[str, frozenset[str] | None]:
    """Return case -> the columns that must be answered in it, None for all.

    Raises
    ------
    InputError
        If a case is unknown, or its columns are no list.
    """
    known_cases(must_answer, "must_answer")
    if not isinstance(must_answer, Mapping):
        return dict.fromkeys(must_answer)
    found: dict[str, frozenset[str] | None] = {}
    for name, columns in must_answer.items():
        if isinstance(columns, str):
            raise InputError(
                f"must be a list of columns, got the text {columns!r}", where=f"must_answer, {name}"
            )
        found[name] = frozenset(map(str, columns))
    return found


def check_columns(
    batch: Batch,
    chosen: Sequence[Case],
    demanded: Mapping[str, frozenset[str] | None],
    fallbacks: Mapping[str, object],
) -> None:
    """Refuse what is asked of cases and columns that are not there: it would be asked of nothing."""
    absent = [name for name in demanded if name not in {case.name for case in chosen}]
    if absent:
        raise InputError(f"must_answer asks for {absent[0]!r}, which is left out", where=WHERE)
    named = [(name, f"must_answer, {case}") for case, columns in demanded.items() for name in columns or ()]
    named += [(name, "fallbacks") for name in fallbacks]
    known = {str(name) for name in batch.columns} if is_frame(batch) else set()
    for name, where in named:
        if str(name) not in known:
            raise no_column(name, known, where=where)


def check_numbers(
    tolerances: Mapping[str, float],
    bounds: tuple[float, float] | None,
    rows: int,
    memory_per_call: int,
    process_seconds: float,
) -> None:
    """Refuse numbers that make no sense."""
    for name, value in tolerances.items():
        if not 0 <= value < math.inf:
            raise InputError(f"{name} must be a number from 0 on, got {value!r}", where=WHERE)
    if bounds is not None and not (len(bounds) == 2 and bounds[0] < bounds[1]):
        raise InputError(f"bounds must be (low, high), got {bounds!r}", where=WHERE)
    if rows < 1:
        raise InputError(f"rows must be at least 1, got {rows!r}", where=WHERE)
    if not memory_per_call >= 0 or not process_seconds > 0:
        raise InputError(
            f"got memory_per_call={memory_per_call!r}, process_seconds={process_seconds!r}",
            where=WHERE,
            hint="bytes from 0 on, and seconds above 0",
        )


def check_process(process: str | None) -> None:
    """Refuse what names neither a function nor the model in memory."""
    if process is not None and process != "pickle" and not all(process.partition(":")):
        raise InputError(f'process must be "module:function" or "pickle", got {process!r}', where=WHERE)
