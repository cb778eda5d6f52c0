"""The view model: everything that any view shows, as finished text.

`view` fills these types; `html`, `markdown` and `terminal` only lay them out. A renderer that formats a
number or chooses a word of its own would be able to disagree with another one. A command is a tuple of the
parts that belong on one line.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a gate, a dimension or a criterion came out, worst first. The value is its style name."""

    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not-run"
    WAIVED = "waived"
    WARNED = "warned"
    PASSED = "passed"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A labelled value; `code` asks for a fixed-width face (digests, commands, ids)."""

    label: str
    value: str
    code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A table column; numbers are aligned right."""

    label: str
    numeric: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of finished text. `note` says what is left out, if anything."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One SVG element: its name, geometry and colors as attributes, its style class, its text."""

    tag: str
    attributes: tuple[tuple[str, str], ...]
    role: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A drawing in user units, with the title and the description a screen reader says."""

    title: str
    description: str
    width: int
    height: int
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionView:
    """One criterion in words and as a formula, and how it came out."""

    words: str
    formula: str
    source: str
    status: Status
    word: str
    brief: str
    message: str
    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricView:
    """All measurements of one metric of a gate: what they share, one row each, and their chart."""

    label: str
    facts: tuple[Fact, ...]
    table: Table
    chart: Chart | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """One execution of a gate's test."""

    state: str
    location: str
    command: tuple[str, ...]
    reason: str
    facts: tuple[Fact, ...]
    environment: str = ""
    environment_anchor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaiverView:
    """An exception as its statement words it.

    `in_force` means that the decision uses it; `covers` tells a waiver by name from one for this model alone.
    """

    id: str
    gate_id: str
    gate_anchor: str
    reason: str
    approver: str
    reference: str
    issued: str
    until: str
    keyids: tuple[str, ...]
    in_force: bool
    covers: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateView:
    """One gate. `status` is its place on the page, `result` what the measurement itself said.

    `criteria` are worst first; what is too much to read in full is in `more_criteria`.
    """

    id: str
    anchor: str
    dimension: str
    description: str
    status: Status
    result: Status
    word: str
    severity: str
    blocks: bool
    reason: str
    message: str
    brief: str
    step: str
    location: str
    command: tuple[str, ...]
    facts: tuple[Fact, ...]
    criteria: tuple[CriterionView, ...]
    more_criteria: tuple[CriterionView, ...]
    more_criteria_title: str
    metrics: tuple[MetricView, ...]
    charts: tuple[Chart, ...]
    tables: tuple[Table, ...]
    runs: tuple[RunView, ...]
    waiver: WaiverView | None
    waived_word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateGroup:
    """The gates of one status. `gates` are shown in full, `rows` (when there are very many) as a table."""

    status: Status
    title: str
    note: str
    count: str
    gates: tuple[GateView, ...]
    rows: tuple[GateView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One dimension at a glance: its worst status, how many of its gates pass, its worst gate."""

    title: str
    question: str
    status: Status
    word: str
    score: str
    gate_id: str
    worst: str
    anchor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A gate that blocks: what was found, and what would change it."""

    gate_id: str
    anchor: str
    status: Status
    word: str
    found: str
    step: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactView:
    """A subject or material by name and full digest."""

    name: str
    digest: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentView:
    """A machine and its software."""

    anchor: str
    title: str
    digest: str
    facts: tuple[Fact, ...]
    packages: Table | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictView:
    """The first thing that is read. `kind` is the style name: ready, waived, not-ready."""

    kind: str
    word: str
    sentence: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureView:
    """Who signed, as far as a page can say: key ids that the envelope claims."""

    signed: bool
    sentence: str
    keyids: tuple[str, ...]
    payload_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A whole certificate, ready to be laid out."""

    title: str
    verdict: VerdictView
    model_name: str
    model_version: str
    subjects: tuple[ArtifactView, ...]
    issued: str
    expires: str
    validity: str
    policy: str
    policy_digest: str
    signature: SignatureView
    verify_command: tuple[str, ...]
    verify_note: str
    tiles: tuple[Tile, ...]
    waivers: tuple[WaiverView, ...]
    fixes: tuple[Fix, ...]
    more_fixes: str
    groups: tuple[GateGroup, ...]
    policy_facts: tuple[Fact, ...]
    materials: tuple[ArtifactView, ...]
    environments: tuple[EnvironmentView, ...]
    run_facts: tuple[Fact, ...]
    run_tables: tuple[Table, ...]
    proves: tuple[str, ...]
    does_not_prove: tuple[str, ...]
    produced_by: str
