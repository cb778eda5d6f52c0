"""Texts that a wrong reading broke, that are empty, or of unusual length."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pytest_prodml.adapters.engines.expressions import (
    CountWhere,
    HasPart,
    Length,
    Matches,
    Not,
    Predicate,
    present_and,
)
from pytest_prodml.checks.data.quality.request import (
    TEXTS,
    Asked,
    Finding,
    Found,
    Item,
    Request,
    beyond_support,
    counted,
    is_more,
    named,
)

_LETTERS = "àáâãäåæçèéêëìíîïñòóôõöøùúûüßÄÖÜÉ£§°±µ\u2013\u2014\u2018\u2019\u201c\u201d•…€"


def _misread(encoding: str) -> set[str]:
    """Return what letters and signs of Western texts become when their UTF-8 is read as something else."""
    found = set()
    for letter in _LETTERS:
        try:
            found.add(letter.encode().decode(encoding))
        except UnicodeDecodeError:
            continue
    return found


_MISREAD = tuple(sorted(_misread("cp1252") | _misread("latin-1")))
# One pattern: a search for each of them alone would read the texts so many times.
_MOJIBAKE = r"(?:[^\n]|\n)*(?:" + "|".join(_MISREAD) + ")"
_FAULTS: Mapping[str, Callable[[str], Predicate]] = MappingProxyType(
    {
        "empty_texts": lambda name: Matches(name, r"[ \t\r\n]*", whole=True),
        "replacement_characters": lambda name: HasPart(name, "\ufffd", "anywhere"),
        "mojibake": lambda name: Matches(name, _MOJIBAKE),
        "control_characters": lambda name: Matches(name, r"(?:[^\n]|\n)*[\x00-\x08\x0B\x0C\x0E-\x1F\x7F]"),
    }
)


def asks_for(kind: str) -> Callable[[Request], tuple[Asked, Asked]]:
    """Return what asks both tables for the texts with a fault."""

    def ask(request: Request) -> tuple[Asked, Asked]:
        make = _FAULTS[kind]
        return (
            {f"{kind} {name}": CountWhere(make(name)) for name in request.of_kind(TEXTS)},
            {f"{kind} {name}": CountWhere(make(name)) for name in request.shared(TEXTS)},
        )

    return ask


def counts(kind: str) -> Callable[[Request], Found]:
    """Return what counts the rows of columns that have a fault, and have it more often than the reference."""

    def measure(request: Request) -> Found:
        names = request.of_kind(TEXTS)
        if not names:
            return "no column holds texts"
        shared = set(request.shared(TEXTS))
        rows = {}
        for name in names:
            count = request.counts[0][f"{kind} {name}"]
            before = request.counts[1][f"{kind} {name}"] if name in shared else 0
            n_before = request.known.present(name) if name in shared else 1
            if is_more(request, count, before, request.current.present(name), n_before):
                rows[name] = count
        return Finding(
            items=[counted(sum(rows.values()), request.current.n_rows, note=named(list(rows)))],
            exact=True,
            unit="rows",
            where={name: _FAULTS[kind](name) for name in rows},
        )

    return measure


def _unusual(request: Request) -> dict[str, Predicate]:
    found: dict[str, Predicate] = {}
    for name in request.shared(TEXTS):
        lengths = request.known.lengths(name)
        if lengths is not None:
            found[name] = present_and(name, Not(Length(name, *lengths)))
    return found


def ask_lengths(request: Request) -> tuple[Asked, Asked]:
    """Ask for the texts that are shorter or longer than all of the reference, by powers of two."""
    return {f"length {name}": CountWhere(found) for name, found in _unusual(request).items()}, {}


def text_length_share(request: Request) -> Found:
    """Estimate the share of texts shorter or longer than all of the reference, by powers of two."""
    if request.base is None:
        return "needs a reference"
    predicates = _unusual(request)
    if not predicates:
        return "no column of texts is in both tables"
    items = [
        Item(
            estimate=beyond_support(
                request.counts[0][f"length {name}"], request.current.present(name), request.base.present(name)
            ),
            n_samples=request.current.present(name),
            group=name,
        )
        for name in predicates
    ]
    where = {name: found for name, found in predicates.items() if request.counts[0][f"length {name}"]}
    return Finding(items=items, where=where)
