"""Columns as a whole: missing cells, those that do not vary, that are gone, or hold several types."""

from __future__ import annotations

from pytest_prodml.adapters.engines.expressions import Aggregate, Compare, CountWhere, Kind, Missing, Relation
from pytest_prodml.checks.data.quality.request import (
    COUNTABLE,
    TEXTS,
    Asked,
    Finding,
    Found,
    Item,
    Request,
    counted,
    family_level,
    named,
)
from pytest_prodml.statistics.independent import difference
from pytest_prodml.statistics.intervals import proportion

#: One value in so many rows makes a column nearly constant.
NEARLY = 0.99
#: From this share on texts are meant as numbers, and the others among them are not.
_MEANT = 0.9


def missing_share(request: Request) -> Found:
    """Estimate the share of missing cells of each column."""
    current = request.current
    items = [
        Item(estimate=proportion(current.missing(name), current.n_rows), n_samples=current.n_rows, group=name)
        for name in _all(request)
    ]
    return Finding(
        items=items, where={name: Missing(name) for name in _all(request) if current.missing(name)}
    )


def missing_share_change(request: Request) -> Found:
    """Estimate by how much the share of missing cells of each column changed."""
    if request.base is None:
        return "needs a reference"
    names = [name for name in _all(request) if name not in request.not_compared]
    items = [
        Item(
            estimate=difference(
                proportion(request.current.missing(name), request.current.n_rows),
                proportion(request.base.missing(name), request.base.n_rows),
            ),
            n_samples=min(request.current.n_rows, request.base.n_rows),
            group=name,
        )
        for name in names
    ]
    return Finding(items=items, two_sided=True) if items else "no column is in both tables"


def missing_columns(request: Request) -> Found:
    """Count the columns of the reference that are not there."""
    if request.base is None:
        return "needs a reference"
    return _columns(request, list(request.gone))


def retyped_columns(request: Request) -> Found:
    """Count the columns whose cells are of another kind than in the reference."""
    if request.base is None:
        return "needs a reference"
    return _columns(request, list(request.retyped))


def ask_dominant(request: Request) -> tuple[Asked, Asked]:
    """Ask how many rows of both tables have the one value that most rows of the current one can have."""
    asked: dict[str, Aggregate] = {}
    for name in request.of_kind(COUNTABLE):
        value = request.current.dominant(name)
        if value is not None:
            asked[f"dominant {name}"] = CountWhere(Compare(name, Relation.EQUAL, value))
    apart = {*request.not_compared, *request.retyped}
    return asked, {key: item for key, item in asked.items() if key.removeprefix("dominant ") not in apart}


def _others(request: Request, name: str) -> int | None:
    """Return how many rows have not the dominant value; None where that is not known."""
    if not request.current.present(name):
        return 0
    key = f"dominant {name}"
    return request.current.n_rows - request.counts[0][key] if key in request.counts[0] else None


def _frozen(request: Request, name: str, others: int) -> float:
    """Return by how much less than in the reference a column surely varies; 1 without a reference."""
    if request.base is None or name in request.not_compared or name in request.retyped:
        return 1.0
    base = request.base
    before = (
        base.n_rows - request.counts[1][f"dominant {name}"]
        if request.current.present(name)
        else base.present(name)
    )
    less = difference(proportion(before, base.n_rows), proportion(others, request.current.n_rows))
    return less.at(family_level(request))[0] or 0.0


def constant_columns(request: Request) -> Found:
    """Count the columns with one value in all rows; of a reference's columns those that surely varied."""
    names = [
        name
        for name in request.inputs
        if _others(request, name) == 0 and _frozen(request, name, 0) > 0 and request.current.n_rows > 1
    ]
    return _columns(request, names)


def near_constant_columns(request: Request) -> Found:
    """Count the columns of which nearly all rows have one value, and that varied surely more before."""
    names = []
    for name in request.inputs:
        others = _others(request, name)
        if (
            others
            and others <= (1 - NEARLY) * request.current.n_rows
            and _frozen(request, name, others) > 1 - NEARLY
        ):
            names.append(name)
    found = _columns(request, names)
    if request.base is None:
        return Finding(
            items=found.items,
            exact=True,
            unit="columns",
            listed=found.listed,
            unjudged="a rare value is honest; only a reference tells that a column varied before",
        )
    return found


def mixed_type_columns(request: Request) -> Found:
    """Count the columns of several types, and of texts that are numbers but for some."""
    names = []
    for name in request.inputs:
        kind = request.columns[name].kind
        if kind is Kind.MIXED or (kind in TEXTS and _is_half_number(request, name)):
            names.append(name)
    return _columns(request, names)


def _is_half_number(request: Request, name: str) -> bool:
    current, base = request.current, request.base
    numbers, present = current.answers[f"numeric {name}"], current.present(name)
    if not 0 < numbers < present:
        return False
    if base is None or name in {*request.not_compared, *request.retyped} or not base.present(name):
        return bool(numbers >= _MEANT * present)
    before = base.answers[f"numeric {name}"]
    # Codes like A12 beside 17 are honest where the reference has them too.
    return bool(before in {0, base.present(name)})


def _all(request: Request) -> list[str]:
    return [*request.inputs, *([request.target] if request.target is not None else [])]


def _columns(request: Request, names: list[str]) -> Finding:
    return Finding(
        items=[counted(len(names), request.current.n_rows, note=named(names))],
        exact=True,
        unit="columns",
        listed=[{"column": name} for name in names],
    )
