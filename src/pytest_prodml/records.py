"""The core types that every stage hands to the next: frozen, plain, without I/O.

Checks make `Evidence`; the recorder wraps it in a `GateRun`; `policy.decide` turns gates and runs into a
`Decision`; `certificate` signs all of it as a `Certificate`; `verify` and `render` read that. The wire form
of each type (camelCase JSON) is derived from its fields by `codec`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None
else:
    # `codec` reads the annotations at run time; a recursive alias can not be resolved there.
    JsonValue = object


class Dimension(StrEnum):
    """The six questions a model is asked before it serves."""

    DATA = "data"
    PERFORMANCE = "performance"
    FAIRNESS = "fairness"
    BEHAVIOR = "behavior"
    LATENCY = "latency"
    PIPELINE = "pipeline"


class Severity(StrEnum):
    """What a gate that does not pass means: it blocks, it warns, or it is only told."""

    REQUIRED = "required"
    WARN = "warn"
    INFO = "info"


class Basis(StrEnum):
    """What a gate's verdict rests on: measurements that criteria judge, or a test's plain asserts."""

    MEASUREMENTS = "measurements"
    ASSERTION = "assertion"


class Comparison(StrEnum):
    """The side of the limit on which a metric must lie (the limit itself is allowed)."""

    AT_LEAST = "at_least"
    AT_MOST = "at_most"


class Burden(StrEnum):
    """Who has to prove it: `compliance` asks the model for proof, `violation` asks the accusation."""

    COMPLIANCE = "compliance"
    VIOLATION = "violation"


class Outcome(StrEnum):
    """The three statistical verdicts. `inconclusive` blocks like `fail`."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class RunState(StrEnum):
    """What happened to the test of a gate. Only `passed` can lead to a pass."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"
    ERRORED = "errored"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    DESELECTED = "deselected"
    NOT_RUN = "not_run"


class Readiness(StrEnum):
    """The decision over all gates."""

    READY = "READY"
    READY_WITH_WAIVERS = "READY_WITH_WAIVERS"
    NOT_READY = "NOT_READY"


class OrdinaryTests(StrEnum):
    """What a policy asks of tests that are no gates."""

    MUST_PASS = "must_pass"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An artefact by name and digest (an in-toto ResourceDescriptor).

    `digest` maps an algorithm to lowercase hex; this project writes and accepts ``sha256`` only.
    The same type describes materials (data, code, configuration).
    """

    name: str
    digest: Mapping[str, str]
    uri: str | None = None
    media_type: str | None = None
    annotations: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One device beside the processor, as its driver describes it; None is unknown."""

    name: str
    memory_bytes: int | None = None
    compute_capability: str | None = None
    driver: str | None = None
    cuda: str | None = None
    is_partitioned: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What durations depend on; None is unknown.

    `flags` are the instructions that numeric libraries choose their code by, `flags_digest` the SHA-256 of
    all that the processor has. `quota` is in processors. `runtimes` are distributions that run models.
    """

    vendor: str | None = None
    family: str | None = None
    model: str | None = None
    stepping: str | None = None
    flags: tuple[str, ...] = ()
    flags_digest: str | None = None
    sockets: int | None = None
    cores: int | None = None
    threads: int | None = None
    quota: float | None = None
    governor: str | None = None
    max_frequency_mhz: int | None = None
    is_virtual: bool | None = None
    numa_nodes: int | None = None
    accelerators: tuple[Accelerator, ...] = ()
    runtimes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareTarget:
    """What a name of a hardware target means: one exact kind of machine, or a class of them.

    `fingerprint` is that of `policy.hardware.fingerprint`; a machine that has it is the target exactly. One
    that keeps every other condition belongs to its class: `processor` and `accelerator` are patterns in which
    ``*`` stands for any characters, `reference` are median seconds of reference workloads, which a machine of
    the class keeps within 10 %. `provider` is the execution provider that serves there, `price_per_hour` what
    an hour costs.
    """

    fingerprint: str | None = None
    machine: str | None = None
    processor: str | None = None
    flags: tuple[str, ...] = ()
    min_processors: int | None = None
    max_processors: int | None = None
    min_memory_bytes: int | None = None
    accelerator: str | None = None
    min_compute_capability: str | None = None
    reference: Mapping[str, float] = field(default_factory=dict)
    provider: str | None = None
    price_per_hour: float | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The machine and the software that produced evidence; no host names, no user names."""

    python: str
    platform: str
    machine: str
    processor: str
    processor_count: int
    memory_bytes: int | None
    accelerator: str | None = None
    driver: str | None = None
    providers: tuple[str, ...] = ()
    threads: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    container_digest: str | None = None
    #: None in certificates of versions that did not look.
    hardware: Hardware | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One limit on one metric.

    `margin` (>= 0) loosens the limit: ``at_least`` passes from ``limit - margin``, ``at_most`` up to
    ``limit + margin``. `group` selects the measurement of that group; None the one over all rows.
    """

    metric: str
    comparison: Comparison
    limit: float
    margin: float = 0.0
    group: str | None = None
    burden: Burden = Burden.COMPLIANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A number with everything needed to judge it.

    `lower` and `upper` are one-sided bounds, each at `confidence_level` (0.95 both: together a two-sided
    90 % interval). None for `value` means not estimable, None for a bound means unbounded on that side;
    `note` says why. An exact count over the rows at hand has ``lower == value == upper`` and level 1.
    `n_required` is the number of rows (calls, examples) that would decide with the power that `note` or
    the method states if the observed value is the true one.
    """

    metric: str
    value: float | None
    lower: float | None
    upper: float | None
    confidence_level: float
    method: str
    n_samples: int
    unit: str = "1"
    higher_is_better: bool | None = None
    group: str | None = None
    p_value: float | None = None
    seed: int | None = None
    n_required: int | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One promise: what the inventory knows about it before any test runs.

    Criteria travel with the evidence, because a test states them in its body. `location` is the node id.
    """

    id: str
    dimension: Dimension
    description: str
    severity: Severity = Severity.REQUIRED
    basis: Basis = Basis.MEASUREMENTS
    rubric: str | None = None
    location: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All measurements of one gate and the criteria they have to meet.

    `subjects` names the artefacts that were really measured, by digest; `details` holds bounded series for
    charts and tables, plain JSON.
    """

    gate_id: str
    measurements: tuple[Measurement, ...]
    criteria: tuple[Criterion, ...]
    subjects: tuple[Subject, ...] = ()
    materials: tuple[Subject, ...] = ()
    environment_digest: str | None = None
    started_at: datetime | None = None
    duration_seconds: float | None = None
    seed: int | None = None
    details: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRun:
    """One execution of a gate's test. A gate that ran twice has two of these, and both count."""

    gate_id: str
    location: str
    state: RunState
    evidence: Evidence | None = None
    reason: str = ""
    worker: str = ""
    duration_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuousIntegration:
    """Which automation a run says it was, from the variables that the automation sets.

    Names and numbers only: no user, no host, no token. Whoever controls the machine can set them, so they say
    who vouches for what, and prove nothing by themselves.
    """

    provider: str
    project: str | None = None
    pipeline: str | None = None
    run: str | None = None
    job: str | None = None
    ref: str | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the code of a run came from, as far as the process that issued the certificate can tell.

    `revision` is the commit and `is_dirty` whether tracked files or new test files differ from it; both are
    None where that could not be asked, and `problem` says why. `repository` is an address without
    credentials. `selection_digest` is the SHA-256 of what selected the tests (arguments, ``-k``, ``-m``,
    ini values) as canonical JSON. `files` are the test modules of the gates and every ``conftest.py`` above
    them.
    """

    revision: str | None = None
    is_dirty: bool | None = None
    repository: str | None = None
    problem: str | None = None
    automation: ContinuousIntegration | None = None
    selection_digest: str | None = None
    files: tuple[Subject, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How many models were judged on this test set before, and the level that is left for this one."""

    number: int
    planned: int
    spending: str
    confidence_level: float
    test_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """One of the runs that a certificate was merged from, by the SHA-256 of its run log.

    `signed_by` are the key ids of those whose signature on the log was checked; empty where the issuer took
    it without one. `ended` is False for a run that was interrupted: what it had left to do is not known.
    `states` counts its gate runs by `RunState` value, those included that do not stand in the certificate
    because another fragment ran the gate. `environments` are digests.
    """

    name: str
    digest: Mapping[str, str]
    run_id: str
    started_at: datetime
    ended: bool
    signed_by: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    exit_status: int | None = None
    workers: int = 0
    target: str | None = None
    environments: tuple[str, ...] = ()
    states: Mapping[str, int] = field(default_factory=dict)
    selection_digest: str | None = None
    automation: ContinuousIntegration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """The test session as a whole: what selected the tests, and how it ended.

    `ordinary_tests` counts the tests that are no gates, by `RunState` value. `inventory_complete` is False
    when no process delivered the list of collected gates. `target` is what the machine was declared to
    stand for, and `targets` what the project means by such names; `policy.hardware` compares that with the
    environments. `look` is None where the project plans no number of looks at its test set. `fragments` are
    the runs that were merged; None for a certificate of one run.
    """

    id: str
    arguments: tuple[str, ...]
    exit_status: int
    workers: int
    inventory_complete: bool
    target: str | None = None
    look: Look | None = None
    ordinary_tests: Mapping[str, int] = field(default_factory=dict)
    plugins: Mapping[str, str] = field(default_factory=dict)
    provenance: Provenance | None = None
    fragments: tuple[Fragment, ...] | None = None
    targets: Mapping[str, HardwareTarget] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A policy's own limit on a metric of a gate: it holds whatever limit the test states.

    `gate` is an id or a pattern in which ``*`` stands for any characters. With `group` None it applies to
    every measurement of the metric in that gate.
    """

    gate: str
    metric: str
    comparison: Comparison
    limit: float
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NameWaivers:
    """A policy's limits on waivers that cover artefacts by name pattern instead of by digest."""

    max: int = 1
    max_days: int = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a stage requires. Owned by the platform team, apart from the project's configuration."""

    name: str
    version: str
    required_dimensions: tuple[Dimension, ...] = ()
    required_gates: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    confidence_level: float = 0.95
    validity_days: int = 90
    min_signatures: int = 1
    waivable_gates: tuple[str, ...] = ()
    max_waivers: int = 0
    max_waiver_days: int = 90
    ordinary_tests: OrdinaryTests = OrdinaryTests.MUST_PASS
    allow_unbound_models: bool = False
    required_targets: tuple[str, ...] = ()
    #: Who has to prove it. `violation` is for pull requests, where only a proven violation breaks the build;
    #: no verifier accepts a certificate issued so. None: `compliance`.
    burden: Burden | None = None
    #: Gates (ids or patterns) whose alarms suffice: "no violation is proven" passes. None: ``data.*``.
    alarm_gates: tuple[str, ...] | None = None
    #: None: waivers by name count nowhere. Not a plain default, so that older policies keep their digest.
    name_waivers: NameWaivers | None = None
    #: False: the revision must be known and nothing may differ from it. None: `True`.
    allow_dirty: bool | None = None
    #: Patterns of ``provider:project``; one of them must fit the automation of the run. None: any, or none.
    required_automation: tuple[str, ...] | None = None
    #: Groups of people with fewer rows may be left out of comparisons, and are listed. None: no group is.
    min_group: int | None = None
    #: What names of hardware targets mean, whatever the project says. None: as the project says.
    targets: Mapping[str, HardwareTarget] | None = None
    #: Gates (ids or patterns) that have to pass on each of these targets. None: on whatever they ran.
    matrix: Mapping[str, tuple[str, ...]] | None = None
    #: True: every run of a merged certificate must be signed by its host. None: `False`.
    signed_fragments: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """A reasoned, expiring exception for one gate. Its signature is its envelope's.

    It covers one artefact by `subject_digest`, or every artefact whose name fits the pattern `subject_name`
    (``*`` stands for any characters): exactly one of the two is given.
    """

    id: str
    gate_id: str
    subject_digest: str | None = None
    subject_name: str | None = None
    reason: str
    approver: str
    issued_at: datetime
    expires_at: datetime
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One gate's outcome under a policy. `reason` is a stable code, `message` a sentence for people."""

    gate_id: str
    dimension: Dimension
    outcome: Outcome
    required: bool
    reason: str
    message: str
    adjusted_p_value: float | None = None
    waiver_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The policy applied to all gates. `reasons` says why a model is not ready, one sentence each."""

    outcome: Readiness
    verdicts: tuple[Verdict, ...]
    policy_digest: str
    run_id: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Producer:
    """The harness that issued a certificate."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """A page that shows a certificate, by the SHA-256 of its bytes while the element `slot` is empty."""

    media_type: str
    slot: str
    digest: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Everything that is signed, apart from the subjects (they are the in-toto Statement's own).

    `waivers` are DSSE envelopes of waiver statements, embedded as they were signed. `serial` grows with every
    certificate of one model name, so that an older one can be told from a newer; `nonce` makes each unique.
    `renderings` are the pages that were made with it. Certificates of the first version have none of these.
    """

    schema_version: str
    id: str
    model_name: str
    model_version: str
    producer: Producer
    started_at: datetime
    issued_at: datetime
    expires_at: datetime
    subjects: tuple[Subject, ...]
    materials: tuple[Subject, ...]
    policy: Policy
    decision: Decision
    gates: tuple[Gate, ...]
    runs: tuple[GateRun, ...]
    run: RunSummary
    environments: Mapping[str, Environment]
    waivers: tuple[str, ...] = ()
    serial: int | None = None
    nonce: str | None = None
    renderings: tuple[Rendering, ...] = ()
