"""Numbers and dates against a reference: out of its range, far out, and in another unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from pytest_prodml.adapters.engines.expressions import (
    Aggregate,
    And,
    Compare,
    CountWhere,
    Kind,
    Or,
    Predicate,
    Relation,
)
from pytest_prodml.checks.data.quality.request import (
    NUMBERS,
    Asked,
    Finding,
    Found,
    Item,
    Request,
    beyond_support,
    counted,
    named,
)
from pytest_prodml.statistics.independent import difference
from pytest_prodml.statistics.intervals import proportion

#: What one unit is of another, as ``current = factor * reference + offset``.
UNITS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "x 100 (percent, cents)": (100.0, 0.0),
        "x 1000 (thousands)": (1000.0, 0.0),
        "x 1000000 (millions)": (1e6, 0.0),
        "x 60 (minutes)": (60.0, 0.0),
        "x 3600 (hours)": (3600.0, 0.0),
        "x 24 (days)": (24.0, 0.0),
        "x 2.54 (inches)": (2.54, 0.0),
        "x 2.2046 (pounds)": (1 / 0.45359237, 0.0),
        "x 3.2808 (feet)": (1 / 0.3048, 0.0),
        "x 1.6093 (miles)": (1.609344, 0.0),
        "x 1.8 + 32 (Fahrenheit)": (1.8, 32.0),
    }
)
#: How far off a factor quantiles may be, as a ratio.
_TOLERANCE = 0.05
_LEAST_QUANTILES = 3
#: Tukey's fence for what is far out, in interquartile ranges.
_FAR = 3.0


def _units() -> dict[str, tuple[float, float]]:
    inverse = {f"1 / ({name})": (1 / factor, -offset / factor) for name, (factor, offset) in UNITS.items()}
    return {**UNITS, **inverse}


def _cell(request: Request, name: str, number: float) -> Any:  # noqa: ANN401 - float or Decimal
    return Decimal(repr(number)) if request.columns[name].kind is Kind.DECIMAL else number


def _outside(name: str, least: Any, greatest: Any) -> Predicate:  # noqa: ANN401 - any cell
    return Or((Compare(name, Relation.LESS, least), Compare(name, Relation.GREATER, greatest)))


def _ranged(request: Request) -> dict[str, Predicate]:
    return {name: _outside(name, *request.known.ends(name)) for name in request.shared(NUMBERS)}


def ask_range(request: Request) -> tuple[Asked, Asked]:
    """Ask for the rows outside of the reference's range."""
    return {f"outside {name}": CountWhere(found) for name, found in _ranged(request).items()}, {}


def out_of_range_share(request: Request) -> Found:
    """Estimate the share of rows outside of the smallest and largest number of the reference."""
    if request.base is None:
        return "needs a reference"
    predicates = _ranged(request)
    if not predicates:
        return "no column of numbers is in both tables"
    items = []
    for name in predicates:
        present = request.current.present(name)
        count = request.counts[0][f"outside {name}"]
        items.append(
            Item(
                estimate=beyond_support(count, present, request.base.present(name)),
                n_samples=present,
                group=name,
            )
        )
    return Finding(items=items, where=_seen(request, "outside", predicates))


def _fences(request: Request) -> dict[str, Predicate]:
    found = {}
    profile = request.base or request.current
    for name in request.of_kind(NUMBERS) if request.base is None else request.shared(NUMBERS):
        quantiles = profile.quantiles(name)
        if quantiles is not None and quantiles[4] > quantiles[2]:
            reach = _FAR * (quantiles[4] - quantiles[2])
            found[name] = _outside(
                name,
                _cell(request, name, quantiles[2] - reach),
                _cell(request, name, quantiles[4] + reach),
            )
    return found


def ask_outliers(request: Request) -> tuple[Asked, Asked]:
    """Ask both tables for the rows beyond the fences of the reference, or of the table itself."""
    asked: dict[str, Aggregate] = {
        f"far {name}": CountWhere(found) for name, found in _fences(request).items()
    }
    return asked, asked if request.base is not None else {}


def outlier_share(request: Request) -> Found:
    """Estimate how many more rows than in the reference lie far beyond its quartiles."""
    predicates = _fences(request)
    if not predicates:
        return "no column of numbers varies between its quartiles"
    items = []
    for name in predicates:
        present = request.current.present(name)
        estimate = proportion(request.counts[0][f"far {name}"], present)
        if request.base is not None:
            before = proportion(request.counts[1][f"far {name}"], request.base.present(name))
            estimate = difference(estimate, before)
        items.append(Item(estimate=estimate, n_samples=present, group=name))
    return Finding(
        items=items,
        where=_seen(request, "far", predicates),
        unjudged=None if request.base is not None else "heavy tails are honest; needs a reference",
    )


def unit_error_columns(request: Request) -> Found:
    """Count the columns whose quantiles are those of the reference in another unit."""
    if request.base is None:
        return "needs a reference"
    listed = []
    for name in request.shared(NUMBERS):
        before, now = request.base.quantiles(name), request.current.quantiles(name)
        unit = None if before is None or now is None else _unit_between(before[1:-1], now[1:-1])
        if unit is not None:
            listed.append({"column": name, "unit": unit})
    names = [f"{row['column']} {row['unit']}" for row in listed]
    return Finding(
        items=[counted(len(listed), request.current.n_rows, note=named(names))],
        exact=True,
        unit="columns",
        listed=listed,
    )


def _unit_between(before: Sequence[float], now: Sequence[float]) -> str | None:
    """Return the unit that all quantiles agree on, None where there is none or nothing changed."""
    spread = before[-1] - before[0]
    if not spread > 0 or _is_scaled(before, now, 1.0, 0.0, spread):
        return None
    return next(
        (
            name
            for name, (factor, offset) in _units().items()
            if _is_scaled(before, now, factor, offset, spread)
        ),
        None,
    )


def _is_scaled(
    before: Sequence[float], now: Sequence[float], factor: float, offset: float, spread: float
) -> bool:
    if offset:
        return all(
            abs(y - factor * x - offset) <= _TOLERANCE * factor * spread
            for x, y in zip(before, now, strict=True)
        )
    pairs = [(x, y) for x, y in zip(before, now, strict=True) if x or y]
    fitting = [x * y > 0 and abs(math.log(y / x / factor)) <= _TOLERANCE for x, y in pairs]
    return len({x for x, _ in pairs}) >= _LEAST_QUANTILES and all(fitting)


def _bands(request: Request) -> dict[str, dict[str, Predicate]]:
    """Return for each column and unit which rows are out of range and, converted back, usual."""
    found: dict[str, dict[str, Predicate]] = {}
    for name in _ranged(request):
        quantiles = request.known.quantiles(name)
        if quantiles is None or not 0 < quantiles[0] < quantiles[-1]:
            continue
        outside = _outside(name, *request.known.ends(name))
        found[name] = {
            unit: And(
                (
                    outside,
                    Compare(name, Relation.AT_LEAST, _cell(request, name, factor * quantiles[0] + offset)),
                    Compare(name, Relation.AT_MOST, _cell(request, name, factor * quantiles[-1] + offset)),
                )
            )
            for unit, (factor, offset) in _units().items()
        }
    return found


def ask_units(request: Request) -> tuple[Asked, Asked]:
    """Ask for the rows that are usual in another unit."""
    if request.base is None:
        return {}, {}
    return {
        f"unit {unit} {name}": CountWhere(band)
        for name, bands in _bands(request).items()
        for unit, band in bands.items()
    }, {}


def unit_error_share(request: Request) -> Found:
    """Estimate the share of rows out of range that one other unit explains."""
    if request.base is None:
        return "needs a reference"
    items, where = [], {}
    for name, bands in _bands(request).items():
        counts = {unit: request.counts[0][f"unit {unit} {name}"] for unit in bands}
        unit = max(counts, key=lambda key: counts[key])
        present = request.current.present(name)
        items.append(
            Item(
                estimate=beyond_support(counts[unit], present, request.base.present(name)),
                n_samples=present,
                group=name,
                note=unit if counts[unit] else None,
            )
        )
        if counts[unit]:
            where[name] = bands[unit]
    return Finding(items=items, where=where) if items else "no column of numbers is above 0 in both tables"


def _seen(request: Request, key: str, predicates: Mapping[str, Predicate]) -> dict[str, Predicate]:
    return {name: found for name, found in predicates.items() if request.counts[0][f"{key} {name}"]}
