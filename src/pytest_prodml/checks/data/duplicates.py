"""A table -> Evidence that no row repeats another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_prodml.adapters.tables import Dataset, as_frame, materials_of, no_column
from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.counts import check_count, exact, plain
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence

_MOST_ROWS = 10
_REPEATED = "repeated_rows"


def no_duplicates(
    data: Any,  # noqa: ANN401 - a Dataset or a frame
    *,
    gate_id: str,
    ignore: Sequence[str] = (),
    at_most: float = 0.0,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that no row repeats another one, apart from the columns to `ignore` (keys).

    Measures ``repeated_rows``: the rows that equal an earlier row in all other columns; the labels of a
    `Dataset` are one of these. Missing cells equal each other.

    Parameters
    ----------
    data : Dataset or frame
        The table.
    ignore : sequence of str
        Columns that differ by their nature: keys, time stamps.
    at_most : float
        The number of repeated rows that is accepted.
    gate_id, confidence_level, seed
        Common to all checks; an exact count needs neither level nor seed.

    Raises
    ------
    InputError
        If the table is empty, a column to ignore is missing, or none is left to compare.
    """
    del confidence_level, seed
    check_count(at_most)
    where = f"{data.name} data" if isinstance(data, Dataset) else "data"
    frame = as_frame(data, where=where)
    if isinstance(data, Dataset):
        frame = data.table()
    for name in ignore:
        if name not in frame.columns:
            raise no_column(name, frame.columns, where=where)
    compared = frame.drop(columns=list(ignore))
    if compared.columns.empty:
        raise InputError("no column is left to compare rows by", where=where)
    try:
        repeated = compared.duplicated().to_numpy()
    except TypeError as error:
        raise InputError(f"rows can not be compared: {error}", where=where) from None
    labels = [plain(label) for label in frame.index[repeated][:_MOST_ROWS]]
    return Evidence(
        gate_id=gate_id,
        measurements=(exact(_REPEATED, int(repeated.sum()), len(frame), unit="rows"),),
        criteria=(limited(_REPEATED, at_most),),
        materials=materials_of(data),
        details={"repeated_rows": [{"row": label} for label in labels]} if labels else {},
    )
