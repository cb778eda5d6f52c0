"""Checks of a project's own in a schema of pandera.polars -> which rows of a frame break them.

Each check is called alone. pandera's own report puts the failing cells of all checks into one frame, and
where their types differ that raises an error of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pytest_prodml._lazy import require
from pytest_prodml.adapters.schemas import TABLE, clean, rule_of
from pytest_prodml.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A check that does not hold on `n_rows` rows, which stand at the first of `places`.

    `places` is None where the check is about all rows together. `is_evaluated` is False where it raised an
    error or answered something else than true or false for each row, told by `note`.
    """

    column: str
    rule: str
    n_rows: int
    places: tuple[int, ...] | None = None
    note: str = ""
    is_evaluated: bool = True
    warns_only: bool = False


def broken_checks(schema: Any, frame: Any, *, most_examples: int) -> list[Broken]:  # noqa: ANN401
    """Return the checks of a schema that do not hold on a polars frame.

    Parameters
    ----------
    schema : pandera.polars DataFrameSchema
        As `compile_schema` leaves it: columns with nothing but checks, and checks of the table.
    frame : polars.DataFrame
        All columns that the checks read.
    most_examples : int
        How many places each check tells.

    Raises
    ------
    InputError
        If the schema changes the table before it looks at it.
    """
    parts = [schema, *schema.columns.values()]
    if any(getattr(part, "coerce", False) or getattr(part, "parsers", None) for part in parts) or any(
        getattr(part, "default", None) is not None for part in schema.columns.values()
    ):
        raise InputError(
            "a schema of pandera.polars that coerces, parses or fills the table is not evaluated",
            where="schema",
            hint="let the project change the table before the gate looks at it, and say coerce=False",
        )
    checks = [(str(name), check) for name, column in schema.columns.items() for check in column.checks or ()]
    checks += [(TABLE, check) for check in schema.checks or ()]
    return [item for name, check in checks for item in _broken(check, name, frame, most_examples)]


def _broken(check: Any, column: str, frame: Any, most: int) -> Iterator[Broken]:  # noqa: ANN401
    rule, warns = clean(rule_of(check)), bool(check.raise_warning)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = check(frame.lazy(), None if column == TABLE else column)
            answers = result.check_output.collect()
        passed = _passed(answers)
    except Exception as error:  # noqa: BLE001 - a check of the project's own raises whatever it likes
        note = clean(f"{type(error).__name__}: {error}", 300)
        yield Broken(
            column=column, rule=rule, n_rows=len(frame), note=note, is_evaluated=False, warns_only=warns
        )
        return
    if len(passed) == len(frame):
        places = (~passed).arg_true()
        if len(places):
            shown = tuple(places.head(most).to_list())
            yield Broken(column=column, rule=rule, n_rows=len(places), places=shown, warns_only=warns)
    elif len(passed) == 1:
        if not passed[0]:
            note = "the check is about all rows together"
            yield Broken(column=column, rule=rule, n_rows=len(frame), note=note, warns_only=warns)
    else:
        note = f"answered {len(passed):,} times for {len(frame):,} rows"
        yield Broken(
            column=column, rule=rule, n_rows=len(frame), note=note, is_evaluated=False, warns_only=warns
        )


def _passed(answers: Any) -> Any:  # noqa: ANN401 - polars' types
    polars = require("polars", extra="data")
    passed = answers.to_series(0)
    if passed.dtype != polars.Boolean or passed.null_count():
        raise TypeError(f"answered with {passed.dtype} and {passed.null_count()} missing, not true or false")
    return passed
