"""A table -> Evidence that no row repeats another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.adapters.engines.expressions import Distinct, Rows
from pytest_prodml.adapters.engines.opening import open_table
from pytest_prodml.adapters.tables import Dataset, as_frame, as_pandas, materials_of, no_column
from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.counts import check_count, exact, plain
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue

_MOST_ROWS = 10
_MOST_COLUMNS = 12
_REPEATED = "repeated_rows"


def no_duplicates(
    data: Any,  # noqa: ANN401 - a table of any kind
    *,
    gate_id: str,
    ignore: Sequence[str] = (),
    at_most: float = 0.0,
    redact: bool = False,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that no row repeats another one, apart from the columns to `ignore` (keys).

    Measures ``repeated_rows``: the rows that equal an earlier row in all other columns; the labels are one of
    these. Missing cells equal each other. A table that is not in memory is counted where its rows are.

    Parameters
    ----------
    data : Table, Dataset, frame or path
        The table.
    ignore : sequence of str
        Columns that differ by their nature: keys, time stamps.
    at_most : float
        The number of repeated rows that is accepted.
    redact : bool
        Leave out the values of repeated rows: evidence is signed and travels.
    gate_id, confidence_level, seed
        Common to all checks; an exact count needs neither level nor seed.

    Raises
    ------
    InputError
        If the table is empty, a column to ignore is missing, none is left to compare, or rows can not be
        compared (nested or mixed cells).
    """
    del confidence_level, seed
    check_count(at_most)
    if isinstance(data, Dataset) and data.path is None:
        repeated, rows, details = _in_memory(data.table(), ignore, f"{data.name} data")
    elif not isinstance(data, (Table, Dataset)) and (frame := as_pandas(data)) is not None:
        repeated, rows, details = _in_memory(as_frame(frame), ignore, "data")
    else:
        source = data.path if isinstance(data, Dataset) else data
        table = data if isinstance(data, Table) else open_table(source, name=getattr(data, "name", "data"))
        repeated, rows, details = _counted(table, ignore, redact=redact)
        data = table
    materials = (data.material,) if isinstance(data, Table) and data.material else materials_of(data)
    return Evidence(
        gate_id=gate_id,
        measurements=(exact(_REPEATED, repeated, rows, unit="rows"),),
        criteria=(limited(_REPEATED, at_most),),
        materials=materials,
        details=details,
    )


def _in_memory(frame: Any, ignore: Sequence[str], where: str) -> tuple[int, int, dict[str, JsonValue]]:  # noqa: ANN401
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
    shown: list[JsonValue] = [{"row": label} for label in labels]
    return int(repeated.sum()), len(frame), {"repeated_rows": shown} if shown else {}


def _counted(table: Table, ignore: Sequence[str], *, redact: bool) -> tuple[int, int, dict[str, JsonValue]]:
    known = table.engine.columns()
    for name in ignore:
        if name not in known:
            raise no_column(name, known, where=table.where)
    compared = tuple(name for name in known if name not in ignore)
    if not compared:
        raise InputError("no column is left to compare rows by", where=table.where)
    answers = table.engine.aggregate({"rows": Rows(), "different": Distinct(compared)})
    rows, different = int(answers["rows"]), int(answers["different"])
    if rows == 0:
        raise InputError("the table has no rows, so nothing about it can be shown", where=table.where)
    details: dict[str, JsonValue] = {}
    if different < rows:
        groups = table.engine.group_counts(compared, least=2, most=_MOST_ROWS)
        details["repeated_rows"] = [
            {
                "rows": count,
                **({} if redact else _cells(dict(zip(compared, values, strict=True)))),
            }
            for values, count in groups
        ]
    details["engine"] = table.facts()
    return rows - different, rows, details


def _cells(values: dict[str, Any]) -> dict[str, JsonValue]:
    return {name: plain(value) for name, value in list(values.items())[:_MOST_COLUMNS] if name != "rows"}
