"""What is known of columns -> valid rows by Hypothesis; a model and rows -> those it can not answer.

Hypothesis draws, the model predicts in batches: one call for all rows, a few more to find and to simplify the
ones that fail.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_prodml._lazy import require
from pytest_prodml.adapters.predictor import Predictor
from pytest_prodml.adapters.schemas import ColumnRule, column_rules, is_schema, violations
from pytest_prodml.adapters.tables import as_frame
from pytest_prodml.checks.counts import plain
from pytest_prodml.errors import InputError, ProdmlError
from pytest_prodml.records import JsonValue

if TYPE_CHECKING:
    import pandas as pd
    from hypothesis.strategies import SearchStrategy

#: Where a schema sets no limit and nothing was observed.
_LARGEST_INTEGER = 2**31 - 1
_LARGEST_FLOAT = 1e9
_MOST_OBSERVED = 500
_MOST_SHRUNK = 20
_MOST_EXAMPLES = 5
_UNIQUENESS = ("field_uniqueness", "unique: ")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Generated:
    """Rows that the schema accepts, how many it refused, and a typical row of the same columns."""

    rows: pd.DataFrame
    n_refused: int
    typical: Mapping[str, Any]
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """How the values of one column are made."""

    strategy: SearchStrategy[Any]
    dtype: Any
    typical: Any


def generate_rows(source: Any, *, schema: Any, n_rows: int, seed: int) -> Generated:  # noqa: ANN401
    """Make rows from observed rows, a schema, or both.

    Raises
    ------
    InputError
        If a column's values can not be made, or the schema refuses every row.
    """
    if n_rows < 1:
        raise InputError(f"max_examples must be at least 1, got {n_rows!r}", where="finite_on_generated")
    if is_schema(source):
        source, schema = None, source
    observed = None if source is None else as_frame(source)
    rules = {} if schema is None else column_rules(schema)
    names = list(dict.fromkeys([*([] if observed is None else observed.columns), *rules]))
    plans = {
        name: _plan(str(name), rules.get(name), None if observed is None else observed.get(name))
        for name in names
    }
    drawn = _draw(plans, n_rows, seed)
    rows = _frame(drawn, plans)
    kept = rows if schema is None else _valid(schema, rows)
    if len(kept) == 0:
        raise InputError(
            f"the schema refuses all {len(rows):,} rows that were made",
            where="finite_on_generated",
            hint="say what a column may be with in_range or isin, or give observed rows too",
        )
    return Generated(
        rows=kept,
        n_refused=len(rows) - len(kept),
        typical={name: plan.typical for name, plan in plans.items()},
        version=str(require("hypothesis", extra="behavior").__version__),
    )


def find_failures(
    predictor: Predictor, rows: pd.DataFrame, bounds: tuple[float, float] | None
) -> dict[int, str]:
    """Return position -> problem of every row without a valid answer.

    A batch that raises an error is halved until the rows that do it stand alone. Errors of this package (a
    missing column) are no answer of the model and are passed on.
    """
    try:
        scores = predictor.predict_score(rows)
    except ProdmlError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the model raises is the finding
        if len(rows) == 1:
            return {0: f"raises {type(error).__name__}: {str(error).partition(chr(10))[0]}"}
        middle = len(rows) // 2
        first = find_failures(predictor, rows.iloc[:middle], bounds)
        second = find_failures(predictor, rows.iloc[middle:], bounds)
        return first | {middle + position: problem for position, problem in second.items()}
    table = scores.reshape(len(scores), -1)
    problems = {}
    is_finite = np.asarray(np.isfinite(table).all(axis=1))
    is_inside = np.ones(len(table), dtype=bool)
    if bounds is not None:
        is_inside = np.asarray(((table >= bounds[0]) & (table <= bounds[1])).all(axis=1))
    for position in np.flatnonzero(~is_finite | ~is_inside):
        row = table[position]
        if np.isnan(row).any():
            problems[int(position)] = "the score is NaN"
        elif not is_finite[position]:
            problems[int(position)] = "the score is infinite"
        else:
            problems[int(position)] = f"the score {row[0]:.6g} is out of range"
    return problems


def shrink(
    predictor: Predictor, made: Generated, position: int, bounds: tuple[float, float] | None
) -> dict[str, Any]:
    """Return the columns, with their values, in which a failing row has to differ from a typical one.

    One column after the other is set back to its typical value and stays so if the row still fails.
    """
    row = made.rows.iloc[[position]]
    differing = {}
    for name, typical in made.typical.items():
        value = row[name].iloc[0]
        if _same(value, typical):
            continue
        trial = row.assign(**{name: _column(str(name), [typical], row[name].dtype, row.index)})
        if find_failures(predictor, trial, bounds):
            row = trial
        else:
            differing[str(name)] = value
    return differing


def describe(
    predictor: Predictor, made: Generated, failures: Mapping[int, str], bounds: tuple[float, float] | None
) -> dict[str, JsonValue]:
    """Return how rows were made and a few failing ones, simplified, that differ from each other."""
    details: dict[str, JsonValue] = {
        "generator": f"Hypothesis {made.version}",
        "rows_refused_by_schema": made.n_refused,
    }
    told: dict[str, JsonValue] = {}
    for position, problem in list(failures.items())[:_MOST_SHRUNK]:
        differing = shrink(predictor, made, position, bounds)
        text = ", ".join(f"{name}={plain(value)!r}" for name, value in differing.items()) or "nothing"
        told.setdefault(text, {"problem": plain(problem), "differs from a typical row in": text})
    if told:
        details["counterexamples"] = list(told.values())[:_MOST_EXAMPLES]
        details["typical_row"] = {str(name): plain(value) for name, value in made.typical.items()}
    return details


def _same(first: Any, second: Any) -> bool:  # noqa: ANN401 - any cells
    if _is_missing(first) or _is_missing(second):
        return _is_missing(first) and _is_missing(second)
    return bool(first == second)


def _is_missing(value: Any) -> bool:  # noqa: ANN401 - any cell
    import pandas as pd

    return value is None or value is pd.NA or value != value  # noqa: PLR0124 - true for NaN alone


def _plan(name: str, rule: ColumnRule | None, observed: pd.Series | None) -> _Plan:
    import pandas as pd

    strategies = require("hypothesis.strategies", extra="behavior")
    seen = None if observed is None else observed.dropna()
    allowed = rule.allowed if rule is not None else None
    dtype = rule.dtype if observed is None and rule is not None else getattr(observed, "dtype", None)
    if dtype is None and allowed is None:
        raise InputError(
            "the schema does not say what type the column has",
            where=name,
            hint="give it a dtype, or observed rows",
        )
    typical: Any
    if allowed is not None:
        strategy, typical = strategies.sampled_from(allowed), _most_frequent(seen, allowed)
    elif pd.api.types.is_bool_dtype(dtype):
        strategy, typical = strategies.booleans(), _most_frequent(seen, (False, True))
    elif pd.api.types.is_integer_dtype(dtype):
        low, high = _range(name, rule, seen, _LARGEST_INTEGER)
        strategy = strategies.integers(math.ceil(low), math.floor(high))
        typical = round(_middle(seen, low, high))
    elif pd.api.types.is_float_dtype(dtype):
        low, high = _range(name, rule, seen, _LARGEST_FLOAT)
        strategy = strategies.floats(low, high, allow_nan=False, allow_infinity=False)
        typical = _middle(seen, low, high)
    else:
        values = _known_values(name, dtype, seen)
        strategy = strategies.text(max_size=20) if values is None else strategies.sampled_from(values)
        typical = "" if values is None else _most_frequent(seen, values)
    nullable = rule.nullable if rule is not None else observed is not None and bool(observed.isna().any())
    holds_missing = not (isinstance(dtype, np.dtype) and dtype.kind in "iub")
    if nullable and holds_missing:
        strategy = strategies.one_of(strategy, strategies.none())
    return _Plan(strategy=strategy, dtype=dtype, typical=typical)


def _range(name: str, rule: ColumnRule | None, seen: pd.Series | None, widest: float) -> tuple[float, float]:
    """Return what the schema allows, else what was observed, else the widest range."""
    observed = None if seen is None or len(seen) == 0 else (float(seen.min()), float(seen.max()))
    widest_low, widest_high = observed or (-widest, widest)
    low = rule.low if rule is not None else None
    high = rule.high if rule is not None else None
    if low is None:
        low = widest_low if high is None else min(widest_low, high)
    if high is None:
        high = max(widest_high, low)
    if low > high:
        raise InputError(f"the schema allows no value: at least {low:g} and at most {high:g}", where=name)
    return low, high


def _middle(seen: pd.Series | None, low: float, high: float) -> float:
    middle = float(seen.median()) if seen is not None and len(seen) else 0.0
    return min(max(middle, low), high)


def _known_values(name: str, dtype: Any, seen: pd.Series | None) -> list[Any] | None:  # noqa: ANN401
    """Return the values to choose from; None for text about which nothing is known."""
    import pandas as pd

    if isinstance(dtype, pd.CategoricalDtype) and dtype.categories is not None:
        return list(dtype.categories)
    if seen is not None and len(seen):
        return sorted(seen.unique(), key=str)[:_MOST_OBSERVED]
    if pd.api.types.is_string_dtype(dtype):
        return None
    raise InputError(
        f"values of type {dtype} can not be made up",
        where=name,
        hint="give observed rows to choose them from, or isin in the schema",
    )


def _most_frequent(seen: pd.Series | None, allowed: Sequence[object]) -> object:
    if seen is not None:
        for value in seen.value_counts().index:
            if value in allowed:
                found: object = value
                return found
    return allowed[0]


def _draw(plans: Mapping[Any, _Plan], n_rows: int, seed: int) -> list[tuple[Any, ...]]:
    hypothesis = require("hypothesis", extra="behavior")
    drawn: list[tuple[Any, ...]] = []

    def collect(row: tuple[Any, ...]) -> None:
        drawn.append(row)

    settings = hypothesis.settings(
        max_examples=n_rows,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
    )
    rows = hypothesis.strategies.tuples(*(plan.strategy for plan in plans.values()))
    hypothesis.seed(seed)(settings(hypothesis.given(rows)(collect)))()
    return drawn


def _frame(drawn: Sequence[tuple[Any, ...]], plans: Mapping[Any, _Plan]) -> pd.DataFrame:
    import pandas as pd

    index = pd.RangeIndex(len(drawn))
    columns = zip(plans.items(), zip(*drawn, strict=True), strict=True)
    return pd.DataFrame(
        {name: _column(str(name), values, plan.dtype, index) for (name, plan), values in columns}, index=index
    )


def _column(name: str, values: Sequence[Any], dtype: Any, index: pd.Index) -> pd.Series:  # noqa: ANN401
    import pandas as pd

    try:
        return pd.Series(list(values), dtype=dtype, index=index)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"values that the schema allows do not fit the column's type {dtype}: {error}", where=name
        ) from None


def _valid(schema: Any, rows: pd.DataFrame) -> pd.DataFrame:  # noqa: ANN401
    """Keep the rows that break no rule of the schema about single rows; keys may repeat here."""
    refused = np.zeros(len(rows), dtype=bool)
    for item in violations(schema, rows):
        if not item.is_evaluated:
            raise InputError(
                f"the rule {item.rule!r} on {item.column!r} was not evaluated: {item.note}", where="schema"
            )
        if item.rows is not None and not item.rule.startswith(_UNIQUENESS):
            refused[item.rows.to_numpy()] = True
    return rows.loc[~refused].reset_index(drop=True)
