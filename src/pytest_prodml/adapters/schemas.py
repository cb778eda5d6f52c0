"""A pandera schema and a frame -> every violated rule with its exact number of rows; the rules themselves.

pandera decides what violates; here it is kept from looking away (validation switched off by the environment,
rows dropped, warnings instead of errors) and from copying every failing cell into a text.
"""

from __future__ import annotations

import copy
import unicodedata
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_prodml._lazy import require
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_WARNS = "_prodml_warns_only"
_MOST_LABEL = 160
#: Stands for the table where a rule is about no single column.
TABLE = "(table)"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Violation:
    """One rule that does not hold.

    `rows` are the index labels of the rows that break it (all of them, in order), None where the rule is
    about the whole column or table: then `n_rows` is the number of all rows. `is_evaluated` is False where
    the rule itself raised an error, told by `note`. `warns_only` marks rules that the schema's author
    declared as warnings.
    """

    column: str
    rule: str
    n_rows: int
    rows: pd.Index | None
    note: str = ""
    is_evaluated: bool = True
    warns_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRule:
    """What a schema says of one column, as far as values can be made from it; None where it says nothing."""

    dtype: Any
    low: float | None
    high: float | None
    allowed: tuple[object, ...] | None
    nullable: bool


def as_schema(schema: Any) -> Any:  # noqa: ANN401 - pandera has no types for us
    """Return the pandas `DataFrameSchema` behind a schema or a model class.

    Raises
    ------
    InputError
        If it is something else, for example a schema of pandera's polars backend.
    """
    pandera = require("pandera.pandas", extra="data")
    if isinstance(schema, type) and issubclass(schema, pandera.DataFrameModel):
        schema = schema.to_schema()  # type: ignore[attr-defined]
    if not isinstance(schema, pandera.DataFrameSchema):
        kind = schema if isinstance(schema, type) else type(schema)
        raise InputError(
            f"expected a pandera schema for pandas, got {kind.__module__}.{kind.__qualname__}",
            where="schema",
            hint="build pandera.pandas.DataFrameSchema({...}); any table is checked as a pandas frame",
        )
    return schema


def is_schema(item: object) -> bool:
    """Say whether `item` is a schema and not data; imports nothing."""
    names = {base.__name__ for base in (item if isinstance(item, type) else type(item)).__mro__}
    return bool(names & {"DataFrameSchema", "DataFrameModel"})


def violations(schema: Any, frame: pd.DataFrame, *, examples: int = 10) -> list[Violation]:  # noqa: ANN401
    """Validate all rows of `frame` and return every rule that does not hold.

    Parameters
    ----------
    schema : DataFrameSchema or DataFrameModel
        Parsers, defaults and coercion of the schema are applied to a copy first, as pandera does.
    frame : DataFrame
        The table.
    examples : int
        How many failing cells pandera may collect for each rule.

    Raises
    ------
    InputError
        If validation could not be carried out.
    """
    strict = _strict_copy(as_schema(schema), examples)
    config = require("pandera.config", extra="data")
    errors = require("pandera.errors", extra="data")
    depth = config.ValidationDepth.SCHEMA_AND_DATA
    try:
        with (
            warnings.catch_warnings(),
            config.config_context(validation_enabled=True, validation_depth=depth),
        ):
            warnings.simplefilter("ignore", errors.SchemaWarning)
            strict.validate(frame, lazy=True)
    except errors.SchemaErrors as found:
        return [item for error in found.schema_errors for item in _violations(error, strict, found.data)]
    except Exception as error:
        raise InputError(
            f"the schema could not be evaluated: {type(error).__name__}: {clean(str(error))}", where="schema"
        ) from error
    return []


def column_rules(schema: Any) -> Mapping[str, ColumnRule]:  # noqa: ANN401
    """Return what the schema says of each column that it names (patterns name none)."""
    return {name: _rule(column) for name, column in as_schema(schema).columns.items() if not column.regex}


def _rule(column: Any) -> ColumnRule:  # noqa: ANN401
    lows, highs, allowed = [], [], None
    for check in column.checks:
        facts = check.statistics or {}
        if check.name == "equal_to":
            allowed = (facts["value"],)
        if check.name == "isin":
            allowed = tuple(facts["allowed_values"])
        # Whether an edge itself is allowed is left to validation of what was made.
        lows += [facts["min_value"]] if _is_number(facts.get("min_value")) else []
        highs += [facts["max_value"]] if _is_number(facts.get("max_value")) else []
    return ColumnRule(
        dtype=None if column.dtype is None else column.dtype.type,
        low=max(lows, default=None),
        high=min(highs, default=None),
        allowed=allowed,
        nullable=bool(column.nullable),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _strict_copy(schema: Any, examples: int) -> Any:  # noqa: ANN401
    strict = copy.deepcopy(schema)
    parts = [strict, *strict.columns.values()]
    if strict.index is not None:
        parts += [strict.index, *getattr(strict.index, "indexes", ())]
    for part in parts:
        if getattr(part, "drop_invalid_rows", False):
            part.drop_invalid_rows = False
        for check in getattr(part, "checks", None) or ():
            setattr(check, _WARNS, check.raise_warning)
            check.raise_warning = False
            check.n_failure_cases = examples
    return strict


def _violations(error: Any, schema: Any, checked: pd.DataFrame) -> Iterator[Violation]:  # noqa: ANN401
    reason = error.reason_code.name
    name = _column_of(error, reason)
    rule = clean(rule_of(error.check))
    warns_only = bool(getattr(error.check, _WARNS, False))
    if reason == "DUPLICATES":
        # pandera stops at the first set of columns that repeats, and drops missing cells from its list.
        for subset in _unique_sets(schema, checked):
            rows = checked.index[checked.duplicated(subset=subset, keep=_keep(schema))]
            if len(rows):
                unique = clean(f"unique: {', '.join(subset)}")
                yield Violation(column=TABLE, rule=unique, n_rows=len(rows), rows=rows)
        return
    rows = _failing_rows(error, reason, name, checked)
    whole = len(checked)
    yield Violation(
        column=clean(str(name)),
        rule=rule,
        n_rows=whole if rows is None else max(len(rows), 1),
        rows=rows,
        note="" if rows is not None else clean(str(error).partition("\n")[0], 300),
        is_evaluated=reason != "CHECK_ERROR",
        warns_only=warns_only,
    )


def _failing_rows(error: Any, reason: str, column: object, checked: pd.DataFrame) -> pd.Index | None:  # noqa: ANN401
    """Return the labels of the failing rows, None if the rule is about all of them together."""
    output = error.check_output
    if reason == "CHECK_ERROR" or getattr(error.check, "groupby", None) is not None:
        return None
    if hasattr(output, "index"):
        passed = output.fillna(value=False).astype(bool)
        return output.index[~(passed.all(axis=1) if passed.ndim == 2 else passed)]
    if column in checked.columns:
        values = checked[column]
        if reason == "SERIES_CONTAINS_NULLS":
            return checked.index[values.isna()]
        if reason == "SERIES_CONTAINS_DUPLICATES":
            return checked.index[values.duplicated(keep=_keep(error.schema))]
    return None


def _keep(schema: Any) -> str | bool:  # noqa: ANN401
    keep: dict[str, str | bool] = {"exclude_first": "first", "exclude_last": "last", "all": False}
    return keep.get(str(schema.report_duplicates), False)


def _unique_sets(schema: Any, checked: pd.DataFrame) -> list[list[str]]:  # noqa: ANN401
    sets = [schema.unique] if all(isinstance(name, str) for name in schema.unique) else schema.unique
    present = [[name for name in names if name in checked.columns] for names in sets]
    return [names for names in present if names]


def _column_of(error: Any, reason: str) -> object:  # noqa: ANN401
    if error.column_name is not None:
        return error.column_name
    if reason in {"COLUMN_NOT_IN_DATAFRAME", "COLUMN_NOT_IN_SCHEMA"} and isinstance(error.failure_cases, str):
        return error.failure_cases
    kind = type(error.schema).__name__
    if kind == "DataFrameSchema":
        return TABLE
    return f"({kind.lower()})" if error.schema.name is None else error.schema.name


def rule_of(check: Any) -> str:  # noqa: ANN401
    """Return how a rule reads."""
    if check is None or isinstance(check, str):
        return str(check)
    return str(check.error or check.name or check)


def clean(text: str, limit: int = _MOST_LABEL) -> str:
    """Make a text fit to be a name in a signed record: one line, printable, one spelling, bounded."""
    shown = unicodedata.normalize("NFC", "".join(c if c.isprintable() else " " for c in text))
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
