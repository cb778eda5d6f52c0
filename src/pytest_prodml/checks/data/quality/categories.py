"""Values of categories: spelled otherwise, new, alone; and the balance of the classes."""

from __future__ import annotations

from collections import Counter

from pytest_prodml.adapters.engines.expressions import Kind, OneOf, Predicate
from pytest_prodml.checks.counts import plain
from pytest_prodml.checks.data.quality.request import (
    MOST_VALUES,
    TEXTS,
    Finding,
    Found,
    Item,
    Profile,
    Request,
    counted,
)
from pytest_prodml.checks.data.quality.rows import normal_form
from pytest_prodml.records import JsonValue
from pytest_prodml.statistics.estimate import Estimate
from pytest_prodml.statistics.independent import difference
from pytest_prodml.statistics.intervals import proportion

_MOST_CLASSES = 100
_MOST_LISTED = 50
_ONCE = 1


def _category_columns(request: Request) -> list[str]:
    """Return the columns of categories; with a reference those that are categories there."""
    if request.base is None:
        return [name for name in request.of_kind(TEXTS) if request.current.is_category(name)]
    return [name for name in request.shared(TEXTS) if request.base.is_category(name)]


def category_variants(request: Request) -> Found:
    """Count the rows whose category differs from a more frequent one, or from the reference's, only in form.

    That is in case, white space, width or composition of letters (Unicode NFKC, case folding).
    """
    names = _category_columns(request)
    if not names:
        return "no column of texts is a category"
    total, listed = 0, list[dict[str, JsonValue]]()
    where: dict[str, Predicate] = {}
    for name in names:
        variants = _variants(request, name)
        total += sum(count for _, _, count in variants)
        if variants:
            where[name] = OneOf(name, tuple(value for value, _, _ in variants))
        listed += [
            {"column": name, "value": plain(value), "like": plain(known), "rows": count}
            for value, known, count in variants
        ]
    return Finding(
        items=[counted(total, request.current.n_rows)],
        exact=True,
        unit="rows",
        where=where,
        listed=listed[:_MOST_LISTED],
    )


def _variants(request: Request, name: str) -> list[tuple[str, str, int]]:
    known: dict[str, str] = {}
    before = set()
    if request.base is not None:
        before = {str(value) for value, _ in request.base.values[name]}
        for value, _ in request.base.values[name]:
            known.setdefault(normal_form(str(value)), str(value))
    found = []
    for value, count in request.current.values[name]:
        text = str(value)
        spelled = known.setdefault(normal_form(text), text)
        if spelled != text and text not in before:
            found.append((text, spelled, count))
    return found


def new_category_share(request: Request) -> Found:
    """Estimate the share of rows with a category that the reference has not, beyond chance.

    The reference's share of values that occur once estimates what it has not seen (Good 1953).
    """
    if request.base is None:
        return "needs a reference"
    items, where, listed = [], dict[str, Predicate](), list[dict[str, JsonValue]]()
    for name in _category_columns(request):
        known = {value for value, _ in request.base.values[name]}
        new = [(value, count) for value, count in request.current.values[name] if value not in known]
        present = request.current.present(name)
        rows = present - sum(count for value, count in request.current.values[name] if value in known)
        unseen = proportion(_alone(request.base, name), request.base.present(name))
        items.append(
            Item(
                estimate=_beyond(proportion(rows, present), unseen),
                n_samples=present,
                group=name,
                note=f"{len(new)} new values" if new else None,
            )
        )
        if new:
            where[name] = OneOf(name, tuple(value for value, _ in new[:_MOST_LISTED]))
        listed += [
            {"column": name, "value": plain(value), "rows": count} for value, count in new[:_MOST_LISTED]
        ]
    if not items:
        return "no column of texts is a category in the reference"
    return Finding(items=items, where=where, listed=listed[:_MOST_LISTED])


def _beyond(share: Estimate, unseen: Estimate) -> Estimate:
    """Return a share whose lower bound allows for what the reference has not seen."""
    less = difference(share, unseen)
    return Estimate(
        value=share.value,
        method=f"{share.method} less unseen categories",
        bounds=lambda level, growth, power: (
            less.bounds(level, growth, power)[0],
            share.bounds(level, growth, power)[1],
        ),
        note=share.note,
    )


def _alone(profile: Profile, name: str) -> int:
    return sum(count == _ONCE for _, count in profile.values[name])


def singleton_share(request: Request) -> Found:
    """Estimate the share of rows that have a category to themselves."""
    names = [name for name in _category_columns(request) if len(request.current.values[name]) < MOST_VALUES]
    if not names:
        return "no column of texts is a category"
    items = [
        Item(
            estimate=proportion(_alone(request.current, name), request.current.present(name)),
            n_samples=request.current.present(name),
            group=name,
        )
        for name in names
    ]
    return Finding(items=items)


def class_share_change(request: Request) -> Found:
    """Estimate by how much the share of each class changed since the reference."""
    if request.base is None:
        return "needs a reference"
    target = request.target
    if target is None or target in request.not_compared:
        return "needs a label column in both tables"
    if request.columns[target].kind in {Kind.FLOAT, Kind.DECIMAL, Kind.DATETIME, Kind.DATE}:
        return "labels are measured numbers, not classes"
    now, before = (Counter(dict(side.values.get(target, ()))) for side in (request.current, request.base))
    classes = list({**before, **now})
    if len(classes) > _MOST_CLASSES:
        return f"{len(classes)} different labels are no classes"
    n, m = request.current.present(target), request.base.present(target)
    items = [
        Item(
            estimate=difference(proportion(now[label], n), proportion(before[label], m)),
            n_samples=min(n, m),
            group=f"{target}={plain(label)}",
        )
        for label in classes
    ]
    return Finding(items=items, two_sided=True) if items else "no row has a label"
