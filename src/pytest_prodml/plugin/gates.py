"""A collected test -> its `Gate`; all collected tests -> the inventory of a run."""

from __future__ import annotations

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields

import pytest

from pytest_prodml.certificate.text import label_problem
from pytest_prodml.errors import ConfigurationError
from pytest_prodml.plugin.markers import MARKERS, MEASURING_FIXTURES
from pytest_prodml.records import Basis, Dimension, Gate, Severity

#: The gate of an item, set while the inventory is taken.
GATE = pytest.StashKey[Gate]()

_NAME = re.compile(r"[\w.-]+")
_LONGEST_ID = 200
_LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOptions:
    """The keywords of a marker.

    Parameters
    ----------
    gate : str, optional
        The id, beginning with the dimension: ``"fairness.opportunity"``.
    severity : str
        ``required`` blocks, ``warn`` warns, ``info`` is only told.
    rubric : str, optional
        The item of a checklist that this gate answers.
    description : str, optional
        One sentence; default: the first line of the test's docstring.
    """

    gate: str | None = None
    severity: Severity = Severity.REQUIRED
    rubric: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What was collected, before anything was deselected.

    `ordinary` counts the tests that are no gates. `unselected` holds the ids of gates that were deselected.
    """

    gates: tuple[Gate, ...]
    unselected: tuple[str, ...] = ()
    ordinary: int = 0
    ordinary_unselected: int = 0


def gate_of(item: pytest.Item) -> Gate | None:
    """Return the gate that `item` is, or None for an ordinary test.

    Raises
    ------
    ConfigurationError
        If its markers are wrong, or its id is not usable.
    """
    marks = _closest_marks(item)
    if not marks:
        return None
    names = sorted({mark.name for mark in marks})
    if len(names) > 1:
        raise ConfigurationError(
            f"belongs to {len(names)} dimensions: {', '.join(names)}",
            where=item.nodeid,
            hint=f"mark the test with the one that it is evidence for, for example @pytest.mark.{names[0]}",
        )
    options = _options(item, marks)
    dimension = Dimension(names[0].removeprefix("ml_"))
    measures = MEASURING_FIXTURES.intersection(getattr(item, "fixturenames", ()))
    return Gate(
        id=_id_of(item, dimension, options.gate),
        dimension=dimension,
        description=options.description or _description_of(item),
        severity=options.severity,
        basis=Basis.MEASUREMENTS if measures else Basis.ASSERTION,
        rubric=options.rubric,
        location=clean(item.nodeid),
    )


def clean(text: str) -> str:
    """Return `text` in the one form that a signed document may hold: NFC, what can not be seen escaped.

    File names and parameters may hold anything, and a node id must neither end the run nor fool a reader.
    """
    normal = unicodedata.normalize("NFC", text)
    if label_problem(normal or "-") is None:
        return normal
    return "".join(c if c == " " or label_problem(c) is None else ascii(c)[1:-1] for c in normal)


def seed_of(gate_id: str, seed: int) -> int:
    """Return the gate's own seed: fixed by the configured one and the id, and below 2**32."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{gate_id}".encode()).digest()[:4], "big")


def repeated_ids(items: Mapping[pytest.Item, Gate]) -> list[tuple[pytest.Item, str]]:
    """Return each item whose id an earlier item has already, with a sentence about both."""
    first: dict[str, pytest.Item] = {}
    problems = []
    for item, gate in items.items():
        other = first.setdefault(gate.id, item)
        if other is not item:
            problem = ConfigurationError(
                f"the gate {gate.id!r} is claimed twice, also by {other.nodeid}",
                where=item.nodeid,
                hint=f'give one of them another id: @pytest.mark.ml_{gate.dimension.value}(gate="...")',
            )
            problems.append((item, str(problem)))
    return problems


def _closest_marks(item: pytest.Item) -> list[pytest.Mark]:
    """Return the dimension marks of the nearest node that has any; the test's own hide its class's."""
    found: list[pytest.Mark] = []
    nearest: object = None
    for node, mark in item.iter_markers_with_node():
        if mark.name in MARKERS and (nearest is None or node is nearest):
            nearest = node
            found.append(mark)
    return found


def _options(item: pytest.Item, marks: list[pytest.Mark]) -> GateOptions:
    name = marks[0].name
    problems: list[str] = []
    merged: dict[str, object] = {}
    known = [option.name for option in fields(GateOptions)]
    for mark in marks:
        if mark.args:
            shown = ", ".join(map(repr, mark.args))
            problems.append(f"{name} takes keywords only, got {shown}")
        for key, value in mark.kwargs.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                guess = f"; did you mean {near[0]!r}?" if near else ""
                problems.append(f"{name} has no keyword {key!r}{guess} (known: {', '.join(known)})")
            elif key in merged and merged[key] != value:
                problems.append(f"{name} got {key!r} twice, {merged[key]!r} and {value!r}")
            merged[key] = value
    for key in ("gate", "rubric", "description"):
        problems += _text_problems(name, key, merged.get(key))
    severity = merged.get("severity", Severity.REQUIRED)
    if not isinstance(severity, str) or severity not in list(Severity):
        problems.append(f"{name}: severity is one of {', '.join(Severity)}, got {severity!r}")
    if problems:
        raise ConfigurationError("\n  ".join(["its marker is wrong", *problems]), where=item.nodeid)
    return GateOptions(**{**merged, "severity": Severity(str(severity))})  # type: ignore[arg-type]


def _text_problems(name: str, key: str, value: object) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, str):
        return [f"{name}: {key} is a line of text, got {value!r}"]
    if problem := label_problem(value):
        return [f"{name}: {key} {problem}"]
    if len(value) > _LONGEST_TEXT:
        return [f"{name}: {key} has at most {_LONGEST_TEXT} characters, got {len(value)}"]
    return []


def _id_of(item: pytest.Item, dimension: Dimension, chosen: str | None) -> str:
    own_name = getattr(item, "originalname", None) or item.name
    base = chosen or f"{dimension.value}.{own_name.removeprefix('test_') or own_name}"
    callspec = getattr(item, "callspec", None)
    gate_id = f"{base}[{callspec.id}]" if callspec is not None and callspec.id else base
    problem = _id_problem(base, gate_id, dimension)
    if problem:
        raise ConfigurationError(
            f"the gate id {gate_id[: _LONGEST_ID + 1]!r} {problem}",
            where=item.nodeid,
            hint=f'choose one: @pytest.mark.ml_{dimension.value}(gate="{dimension.value}.name"); '
            "parametrized tests add the parameter's id, which pytest.param(..., id=...) sets",
        )
    return gate_id


def _id_problem(base: str, gate_id: str, dimension: Dimension) -> str | None:
    prefix, dot, rest = base.partition(".")
    if prefix != dimension.value or not dot or not rest:
        return f"does not begin with '{dimension.value}.'"
    if not _NAME.fullmatch(rest):
        return "may only hold letters, digits, '_', '-' and '.' after the dimension"
    if "*" in gate_id:
        return "holds '*', which is a wildcard in policies"
    if len(gate_id) > _LONGEST_ID:
        return f"has {len(gate_id)} characters, more than {_LONGEST_ID}"
    return label_problem(gate_id)


def _description_of(item: pytest.Item) -> str:
    documented = (getattr(getattr(item, "obj", None), "__doc__", None) or "").strip()
    name: str = getattr(item, "originalname", None) or item.name
    line = documented.splitlines()[0].strip() if documented else ""
    words = (name.removeprefix("test_") or name).replace("_", " ").strip()
    text = line or f"{words[:1].upper()}{words[1:]}."
    return clean(text)[:_LONGEST_TEXT]
