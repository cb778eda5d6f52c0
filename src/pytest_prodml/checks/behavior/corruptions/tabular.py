"""Rows of a table and a severity -> the same rows, worse: noise, gaps, rounding, wrong units.

Every function is pure: columns, index, order and types of what it is given stay. Whole numbers stay whole,
also in a column of floats that holds nothing else, and missing or infinite cells stay as they are. Nothing
that is drawn depends on the severity. Only a gap can force another type on a column: whole numbers become
floats and truth values objects, as in a file that is read with a gap.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_prodml.checks.behavior.batches import Batch
from pytest_prodml.checks.behavior.corruptions.columns import (
    Cells,
    Numbers,
    Rng,
    Which,
    cells_changed,
    columns_of,
    frame_of,
    is_number,
    numbers_moved,
    widened,
)
from pytest_prodml.checks.behavior.corruptions.kinds import ROWS, Corruption, robust_spread
from pytest_prodml.checks.labels import checked_number

if TYPE_CHECKING:
    import pandas as pd


def noise(
    batch: Batch,
    severity: float,
    rng: Rng,
    *,
    columns: Sequence[Any] | None = None,
    ignore: Sequence[Any] = (),
    within_observed: bool = False,
    reference: Any = None,  # noqa: ANN401 - a frame or array like the batch
) -> Batch:
    """Add normal noise to numbers.

    Parameters
    ----------
    batch : frame, or array of shape (rows, columns)
    severity : float
        Standard deviation of the noise, as a share of each column's robust spread (interquartile range /
        1.349).
    rng : numpy Generator
    columns : sequence, optional
        Which columns; default all of numbers, without `ignore` and without one that counts the rows.
    ignore : sequence
        Columns that are left alone: identifiers, labels.
    within_observed : bool
        Keep each column inside the smallest and the largest value that occurs.
    reference : frame or array, optional
        Where spread and range are taken from, for batches too small to tell them; default the batch.
    """
    which = Which(
        where="noise", columns=columns, ignore=ignore, within_observed=within_observed, reference=reference
    )

    def moved(values: Numbers, known: Numbers, drawn: Numbers) -> Numbers:
        return values + severity * robust_spread(known) * drawn

    return numbers_moved(batch, which, moved, rng.standard_normal)


def jitter(
    batch: Batch,
    severity: float,
    rng: Rng,
    *,
    columns: Sequence[Any] | None = None,
    ignore: Sequence[Any] = (),
    within_observed: bool = False,
    reference: Any = None,  # noqa: ANN401 - a frame or array like the batch
) -> Batch:
    """Change each number by up to a share of itself, either way, all shares alike; see `noise`."""
    which = Which(
        where="jitter", columns=columns, ignore=ignore, within_observed=within_observed, reference=reference
    )

    def moved(values: Numbers, known: Numbers, drawn: Numbers) -> Numbers:
        del known
        return values * (1 + severity * (2 * drawn - 1))

    return numbers_moved(batch, which, moved, rng.random)


def rounding(
    batch: Batch,
    severity: float,
    rng: Rng,
    *,
    columns: Sequence[Any] | None = None,
    ignore: Sequence[Any] = (),
    within_observed: bool = False,
    reference: Any = None,  # noqa: ANN401 - a frame or array like the batch
) -> Batch:
    """Round each number to multiples of a step: `severity` times the column's robust spread; see `noise`."""
    del rng
    which = Which(
        where="rounding", columns=columns, ignore=ignore, within_observed=within_observed, reference=reference
    )

    def moved(values: Numbers, known: Numbers, drawn: Numbers) -> Numbers:
        del drawn
        step = severity * robust_spread(known)
        return np.rint(values / step) * step if step > 0 else values

    return numbers_moved(batch, which, moved, np.zeros)


def significant_digits(
    batch: Batch,
    severity: float,
    rng: Rng,
    *,
    columns: Sequence[Any] | None = None,
    ignore: Sequence[Any] = (),
) -> Batch:
    """Keep `severity` significant decimal digits of each number: fewer is worse; see `noise`."""
    del rng
    places = int(severity) - 1
    which = Which(where="significant_digits", columns=columns, ignore=ignore)

    def moved(values: Numbers, known: Numbers, drawn: Numbers) -> Numbers:
        del known, drawn
        # Decimal rounding is what a file or a screen does, and only text does it exactly.
        return np.array([float(f"{value:.{places}e}") for value in values.tolist()], dtype=np.float64)

    return numbers_moved(batch, which, moved, np.zeros)


def sentinel(
    batch: Batch,
    severity: float,
    rng: Rng,
    *,
    value: float = -999,
    columns: Sequence[Any] | None = None,
    ignore: Sequence[Any] = (),
) -> Batch:
    """Put a number that stands for "unknown" into a share of the cells with numbers; see `noise`."""
    value = checked_number(value, name="value")
    which = Which(where="sentinel", columns=columns, ignore=ignore)

    def moved(values: Numbers, known: Numbers, drawn: Numbers) -> Numbers:
        del known
        return np.where(drawn < severity, value, values)

    return numbers_moved(batch, which, moved, rng.random)


def unit_error(
    batch: Batch,
    severity: float,
    rng: Rng,
    *,
    columns: Sequence[Any] | None = None,
    ignore: Sequence[Any] = (),
) -> Batch:
    """Multiply one number of each row by `severity`, as who types cents for euros.

    Which of the columns it is, is drawn for each row; name a single column to change it in all. See `noise`.
    """
    which = Which(where="unit_error", columns=columns, ignore=ignore)
    frame = frame_of(batch)
    chosen = rng.integers(len(columns_of(frame, which, is_number)), size=len(frame))
    places = itertools.count()

    def moved(values: Numbers, known: Numbers, drawn: Numbers) -> Numbers:
        del known
        return np.where(drawn > 0, values * severity, values)

    return numbers_moved(batch, which, moved, lambda _: (chosen == next(places)).astype(np.float64))


def missingness(
    batch: Batch,
    severity: float,
    rng: Rng,
    *,
    columns: Sequence[Any] | None = None,
    ignore: Sequence[Any] = (),
) -> Batch:
    """Empty a share of the cells, each by a draw of its own; columns of every type. See `noise`.

    Whole numbers become floats and truth values objects, where their type knows no missing cell.
    """
    which = Which(where="missingness", columns=columns, ignore=ignore)

    def emptied(own: pd.Series, is_hit: Cells) -> pd.Series:
        return widened(own).mask(is_hit)

    return cells_changed(batch, which, severity, rng, emptied)


def replaced(
    batch: Batch,
    severity: float,
    rng: Rng,
    *,
    columns: Sequence[Any] | None = None,
    ignore: Sequence[Any] = (),
) -> Batch:
    """Replace a share of the cells by what the same column holds in another row, drawn anew for each.

    For categories and texts too; what rows hold together is lost. See `noise`.
    """
    which = Which(where="replaced", columns=columns, ignore=ignore)

    def swapped(own: pd.Series, is_hit: Cells) -> pd.Series:
        import pandas as pd

        source = rng.integers(len(own), size=len(own))
        # Taken rather than put: not every type of column can be written to.
        places = np.where(is_hit, source, np.arange(len(own)))
        return pd.Series(own.array.take(places), index=own.index, name=own.name, dtype=own.dtype)

    return cells_changed(batch, which, severity, rng, swapped)


_COLUMNS = {"columns": "which columns", "ignore": "columns that are left alone"}
_OBSERVED = {
    **_COLUMNS,
    "within_observed": "keep to the values that occur",
    "reference": "rows that spread and range are taken from",
}
_ANY = float("inf")

CORRUPTIONS = (
    Corruption(
        name="noise",
        kind=ROWS,
        apply=noise,
        unit="standard deviation of the noise, in robust spreads of a column",
        high=_ANY,
        options=_OBSERVED,
    ),
    Corruption(
        name="jitter",
        kind=ROWS,
        apply=jitter,
        unit="largest change, as a share of the number itself",
        high=_ANY,
        options=_OBSERVED,
    ),
    Corruption(
        name="rounding",
        kind=ROWS,
        apply=rounding,
        unit="step that is rounded to, in robust spreads of a column",
        high=_ANY,
        options=_OBSERVED,
    ),
    Corruption(
        name="significant_digits",
        kind=ROWS,
        apply=significant_digits,
        unit="significant decimal digits that are kept",
        low=1,
        high=15,
        identity=None,
        falls=True,
        is_whole=True,
        options=_COLUMNS,
    ),
    Corruption(
        name="sentinel",
        kind=ROWS,
        apply=sentinel,
        unit="share of cells that hold the sentinel",
        options={**_COLUMNS, "value": "the number that stands for unknown"},
    ),
    Corruption(
        name="unit_error",
        kind=ROWS,
        apply=unit_error,
        unit="factor by which one number of each row is wrong",
        low=1e-9,
        high=1e9,
        identity=1.0,
        options=_COLUMNS,
    ),
    Corruption(
        name="missingness",
        kind=ROWS,
        apply=missingness,
        unit="share of cells that are empty",
        options=_COLUMNS,
    ),
    Corruption(
        name="replaced",
        kind=ROWS,
        apply=replaced,
        unit="share of cells that hold another row's value",
        options=_COLUMNS,
    ),
)
