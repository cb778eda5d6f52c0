"""What an attacker may change, and how far a changed input is from the original.

Inputs are points: numbers in units of their spread, other values as codes. Whatever a search proposes is
brought back to a possible input before a model sees it: within the range, whole where the column is, one way
where only one way is possible, and unchanged where nothing can be changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.tables import no_column
from pytest_prodml.checks.behavior.batches import Batch, Inputs, is_frame
from pytest_prodml.checks.behavior.profile import ColumnProfile, profile_of
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Norm: TypeAlias = Literal["l2", "linf", "l1", "l0"]
NORMS = ("l2", "linf", "l1", "l0")
Array: TypeAlias = npt.NDArray[np.float64]
#: Standard deviations of a normal distribution in its interquartile range.
_NORMAL_RANGE = 1.349

#: What a number may differ from itself after it was divided and multiplied by a scale.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Points:
    """Inputs as numbers of shape (n, d), in units of the spread, and codes of shape (n, k)."""

    numbers: Array
    codes: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.numbers)

    def taken(self, positions: npt.NDArray[Any]) -> Points:
        """Return some of them."""
        return Points(numbers=self.numbers[positions], codes=self.codes[positions])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Space:
    """What may change.

    Attributes
    ----------
    names, others : list
        Columns of numbers and of other values that may change.
    scale : array, shape (d,)
        The unit of each number: its spread, or the cost that the user gave.
    low, high : array, shape (d,)
        The range, in the column's own unit.
    whole : array of bool, shape (d,)
        Numbers without fractions.
    up, down : array of bool, shape (d,)
        Numbers that may only rise, only fall.
    choices : list
        By other column the values that it may take; codes count them. -1 is a value that stays.
    """

    like: Batch
    names: Sequence[Any]
    others: Sequence[Any]
    scale: Array
    low: Array
    high: Array
    whole: npt.NDArray[np.bool_]
    up: npt.NDArray[np.bool_]
    down: npt.NDArray[np.bool_]
    choices: Sequence[npt.NDArray[Any]]

    @property
    def n_features(self) -> int:
        """How many features may change."""
        return len(self.scale) + len(self.others)

    def points(self, batch: Batch) -> Points:
        """Return inputs as points."""
        if not is_frame(batch):
            flat = np.asarray(batch, dtype=np.float64).reshape(len(batch), -1)
            return Points(numbers=flat / self.scale, codes=np.empty((len(batch), 0), dtype=np.intp))
        numbers = [batch[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in self.names]
        table = np.stack(numbers, axis=1) if numbers else np.empty((len(batch), 0))
        codes = [_codes(batch[name], values) for name, values in zip(self.others, self.choices, strict=True)]
        coded = np.stack(codes, axis=1) if codes else np.empty((len(batch), 0), dtype=np.intp)
        return Points(numbers=table / self.scale, codes=coded)

    def possible(self, points: Points, origins: Points) -> Points:
        """Return the nearest points that can exist beside their origins (a missing number stays missing)."""
        own = origins.numbers * self.scale
        values = np.clip(points.numbers * self.scale, self.low, self.high)
        values = np.where(self.whole, np.rint(values), values)
        values = np.where(self.up, np.maximum(values, own), values)
        values = np.where(self.down, np.minimum(values, own), values)
        # What the search left alone stays exactly as it was, also beyond the range.
        kept = (np.abs(points.numbers - origins.numbers) < 1e-12) | np.isnan(own) | np.isnan(values)
        values = np.where(kept, own, values)
        codes = np.where(origins.codes < 0, origins.codes, points.codes)
        return Points(numbers=values / self.scale, codes=np.where(codes < 0, origins.codes, codes))

    def batch(self, points: Points, rows: Batch) -> Batch:
        """Return possible points as inputs; what can not change is that of `rows`."""
        if not is_frame(rows):
            flat = np.asarray(rows, dtype=np.float64).reshape(len(rows), -1)
            values = _settled(points.numbers * self.scale, flat, self.low, self.high).reshape(np.shape(rows))
            return values.astype(np.asarray(self.like).dtype)
        import pandas as pd

        changed: dict[Any, Any] = {}
        for place, name in enumerate(self.names):
            values = points.numbers[:, place] * self.scale[place]
            own = rows[name]
            if self.whole[place]:
                held = own.isna().to_numpy(dtype=bool)
                whole = np.rint(np.where(held, 0.0, values)).astype(np.int64)
                made = pd.Series(whole, index=own.index).astype(own.dtype)
                changed[name] = made if not held.any() else made.where(~held, own)
            else:
                before = own.to_numpy(dtype=np.float64, na_value=np.nan)
                values = _settled(values, before, self.low[place], self.high[place])
                changed[name] = pd.Series(values, index=own.index).astype(own.dtype)
        for place, name in enumerate(self.others):
            codes = points.codes[:, place]
            own = rows[name]
            values = pd.Series(list(self.choices[place]), dtype=own.dtype)
            made = pd.Series(values.array.take(np.maximum(codes, 0)), index=own.index)
            changed[name] = made.where(codes >= 0, own) if (codes < 0).any() else made
        return rows.assign(**changed)

    def distance(self, points: Points, origins: Points, norm: str) -> Array:
        """Return how far points are from their origins; another value counts 1."""
        apart = np.abs(np.nan_to_num(points.numbers - origins.numbers))
        other = (points.codes != origins.codes).astype(np.float64)
        if norm == "l0":
            return np.asarray((apart > 1e-12).sum(axis=1) + other.sum(axis=1), dtype=np.float64)
        if norm == "l1":
            return np.asarray(apart.sum(axis=1) + other.sum(axis=1))
        if norm == "linf":
            most = apart.max(axis=1, initial=0.0)
            return np.asarray(np.maximum(most, other.max(axis=1, initial=0.0)))
        return np.asarray(np.sqrt((apart**2).sum(axis=1) + other.sum(axis=1)))


def _settled(values: Array, own: Array, low: Array, high: Array) -> Array:
    """Take back what a division and a product by the scale have rounded: no value beyond a bound by that."""
    same = np.isclose(values, own, rtol=_ROUNDING, atol=0.0)
    return np.asarray(np.where(same, own, np.clip(values, low, high)))


def _codes(own: pd.Series, values: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    places = {value: place for place, value in enumerate(values)}
    return np.asarray([places.get(value, -1) for value in own], dtype=np.intp)


def space_of(
    inputs: Inputs,
    *,
    features: Sequence[Any] | None,
    immutable: Iterable[Any],
    increase_only: Iterable[Any],
    decrease_only: Iterable[Any],
    cost: Mapping[Any, float] | None,
    schema: Any,  # noqa: ANN401 - pandera has no types for us
    bounds: tuple[float, float] | None,
) -> Space:
    """Return what may change in inputs.

    Parameters
    ----------
    inputs : Inputs
        Rows of a table, or an array of shape (n, ...).
    features, immutable : sequence
        Columns that may change (default all); that may not.
    increase_only, decrease_only : sequence
        Columns of numbers that go one way.
    cost : mapping, optional
        Column -> how much of its own unit counts as a distance of 1; default its robust spread.
    schema : pandera schema, optional
        Limits of columns; default what occurs.
    bounds : (float, float), optional
        Of the elements of an array; default what occurs.

    Raises
    ------
    InputError
        If a column is missing or named against itself, or nothing may change.
    """
    batch = inputs.batch
    if not is_frame(batch):
        named = [*(features or ()), *immutable, *increase_only, *decrease_only, *(cost or ())]
        if named:
            raise InputError("features are named in tables only; an array has none", where="adversarial")
        return _array_space(batch, bounds)
    profile = profile_of(inputs, schema=schema)
    kept, up, down = set(immutable), set(increase_only), set(decrease_only)
    for name in [*(features or ()), *kept, *up, *down, *(cost or ())]:
        if name not in batch.columns:
            raise no_column(name, batch.columns, where="adversarial")
    chosen = [name for name in (batch.columns if features is None else features) if name not in kept]
    both = (up & down) | (kept & (up | down)) | (kept & set(features or ()))
    if both:
        raise InputError(f"{min(map(str, both))} is named twice, against itself", where="adversarial")
    numbers = [name for name in chosen if profile.columns[name].kind in {"integer", "float"}]
    others = [
        name
        for name in chosen
        if profile.columns[name].kind == "choice" and 1 < len(profile.columns[name].choices) <= 50
    ]
    one_way = [name for name in (*up, *down) if name not in numbers]
    if one_way:
        raise InputError("only numbers rise or fall", where=str(one_way[0]))
    if not numbers and not others:
        raise InputError("nothing may change, so nothing is attacked", where="adversarial")
    known = [profile.columns[name] for name in numbers]
    return Space(
        like=batch,
        names=numbers,
        others=others,
        scale=np.asarray([_unit(batch[name], (cost or {}).get(name)) for name in numbers]),
        low=np.asarray([_edge(item, "low") for item in known]),
        high=np.asarray([_edge(item, "high") for item in known]),
        whole=np.asarray([item.kind == "integer" for item in known], dtype=np.bool_),
        up=np.asarray([name in up for name in numbers], dtype=np.bool_),
        down=np.asarray([name in down for name in numbers], dtype=np.bool_),
        choices=[profile.columns[name].choices for name in others],
    )


def _edge(known: ColumnProfile, side: str) -> float:
    limit = known.low_limit if side == "low" else known.high_limit
    if limit is not None:
        return limit
    if known.grid.size:
        return float(known.grid[0] if side == "low" else known.grid[-1])
    return known.low if side == "low" else known.high


def _unit(own: pd.Series, cost: float | None) -> float:
    if cost is not None:
        if not (np.isfinite(cost) and cost > 0):
            raise InputError(f"the cost must be a number above 0, got {cost!r}", where=str(own.name))
        return float(cost)
    values = own.dropna().to_numpy(dtype=np.float64)
    return _spread(values[np.isfinite(values)]) or 1.0


def _spread(values: Array) -> float:
    """Return a robust standard deviation; of mostly equal values the plain one."""
    if values.size == 0:
        return 0.0
    low, high = np.quantile(values, [0.25, 0.75])
    return float((high - low) / _NORMAL_RANGE) or float(np.std(values))


def _array_space(batch: Batch, bounds: tuple[float, float] | None) -> Space:
    if not isinstance(batch, np.ndarray) or batch.dtype.kind not in "iuf" or batch.ndim < 2:
        raise InputError(
            "an attack needs rows of a table or an array of numbers of shape (n, ...)",
            where="data",
            hint="texts are changed by corruptions and rules",
        )
    size = int(np.prod(batch.shape[1:]))
    low, high = bounds if bounds is not None else (float(np.nanmin(batch)), float(np.nanmax(batch)))
    if not low < high:
        raise InputError(f"bounds must be (low, high), got {(low, high)!r}", where="adversarial")
    none = np.zeros(size, dtype=np.bool_)
    return Space(
        like=batch,
        names=list(range(size)),
        others=[],
        scale=np.ones(size),
        low=np.full(size, low),
        high=np.full(size, high),
        whole=np.full(size, batch.dtype.kind in "iu"),
        up=none,
        down=none,
        choices=[],
    )
