"""Certificates for the views, decided by the real policy code: refused, waived, ready, hostile, very large."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pytest_prodml.certificate.build import build_certificate
from pytest_prodml.certificate.waiver import make_waiver_envelope
from pytest_prodml.codec import canonical_json, encode, sha256_hex
from pytest_prodml.records import (
    Basis,
    Burden,
    Certificate,
    Comparison,
    Criterion,
    Dimension,
    Environment,
    Evidence,
    Gate,
    GateRun,
    JsonValue,
    Limit,
    Measurement,
    Policy,
    RunState,
    RunSummary,
    Severity,
    Subject,
    Waiver,
)
from pytest_prodml.render.model import View
from pytest_prodml.render.view import view

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
KEYID = sha256_hex(b"the key of the build server")
MODEL = Subject(name="credit.onnx", digest={"sha256": sha256_hex(b"model")}, annotations={"size": 87_312})
TEST_ROWS = Subject(
    name="credit_default_test.csv.gz",
    digest={"sha256": sha256_hex(b"rows")},
    uri="file:data/credit_default_test.csv.gz",
    annotations={"rows": 6000, "role": "test"},
)
ENVIRONMENT = Environment(
    python="3.12.1",
    platform="Linux-6.1.0-x86_64-with-glibc2.36",
    machine="x86_64",
    processor="Example Processor 8375C @ 2.90GHz",
    processor_count=2,
    memory_bytes=8_322_019_328,
    providers=("CPUExecutionProvider",),
    threads={"OMP_NUM_THREADS": "1", "intra_op_num_threads": "1"},
    packages={"numpy": "2.4.1", "onnxruntime": "1.32.0", "pandas": "3.1.1", "scikit-learn": "1.9.1"},
)
ENVIRONMENT_DIGEST = sha256_hex(canonical_json(encode(ENVIRONMENT)))
RUN = RunSummary(
    id="run-2026-11-22-0001",
    arguments=("--prodml", "-n", "2", "tests"),
    exit_status=1,
    workers=2,
    inventory_complete=True,
    ordinary_tests={"passed": 31},
    plugins={"pytest-benchmark": "5.2.3", "pytest-prodml": "0.1.0", "pytest-xdist": "3.8.0"},
)
POLICY = Policy(
    name="credit-production",
    version="3",
    required_dimensions=tuple(Dimension),
    required_gates=("data.schema", "performance.auc", "fairness.*", "pipeline.rollback"),
    limits=(Limit(gate="performance.auc", metric="roc_auc", comparison=Comparison.AT_LEAST, limit=0.75),),
    waivable_gates=("fairness.*",),
    max_waivers=1,
)


class _Approver:
    keyid = sha256_hex(b"the key of the risk officer")

    def sign(self, data: bytes) -> bytes:
        return data[:1] * 64


def measured(
    metric: str, value: float | None, half: float, *, n: int = 6000, **changes: object
) -> Measurement:
    made = Measurement(
        metric=metric,
        value=value,
        lower=None if value is None else value - half,
        upper=None if value is None else value + half,
        confidence_level=0.95,
        method="DeLong interval on the logit scale",
        n_samples=n,
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def counted(metric: str, value: int, *, n: int = 6000, group: str | None = None) -> Measurement:
    return Measurement(
        metric=metric,
        value=value,
        lower=value,
        upper=value,
        confidence_level=1,
        method="exact count",
        n_samples=n,
        unit="rows",
        higher_is_better=False,
        group=group,
    )


def at_least(metric: str, limit: float, **changes: object) -> Criterion:
    made = Criterion(metric=metric, comparison=Comparison.AT_LEAST, limit=limit)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def at_most(metric: str, limit: float, **changes: object) -> Criterion:
    made = Criterion(metric=metric, comparison=Comparison.AT_MOST, limit=limit)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def evidence(
    gate_id: str,
    measurements: Sequence[Measurement],
    criteria: Sequence[Criterion],
    details: dict[str, JsonValue] | None = None,
) -> Evidence:
    return Evidence(
        gate_id=gate_id,
        measurements=tuple(measurements),
        criteria=tuple(criteria),
        subjects=(MODEL,),
        materials=(TEST_ROWS,),
        environment_digest=ENVIRONMENT_DIGEST,
        started_at=NOW - timedelta(minutes=3),
        duration_seconds=0.25,
        seed=7,
        details=details or {},
    )


def run_of(
    gate: Gate, evidence: Evidence | None, *, state: RunState = RunState.PASSED, reason: str = ""
) -> GateRun:
    return GateRun(
        gate_id=gate.id,
        location=gate.location,
        state=state,
        evidence=evidence,
        reason=reason,
        worker="gw0",
        duration_seconds=0.4321,
    )


def gate(gate_id: str, description: str, *, test: str = "", **changes: object) -> Gate:
    dimension, _, name = gate_id.partition(".")
    made = Gate(
        id=gate_id,
        dimension=Dimension(dimension),
        description=description,
        location=f"tests/test_{dimension}.py::test_{test or name}",
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def _roc() -> JsonValue:
    xs = [index / 60 for index in range(61)]
    return {"x": list(xs), "y": [x**0.28 for x in xs]}


def _ecdf() -> JsonValue:
    times = [2.2e-5 * math.exp(0.35 * (index / 100) ** 6 * 3.2) for index in range(101)]
    return {"x": list(times), "y": [index / 100 for index in range(101)], "budget": 0.005}


_AGES = [
    ("age_band=21-25", 0.861, 0.018, 906),
    ("age_band=26-40", 0.803, 0.011, 3241),
    ("age_band=41-60", 0.769, 0.017, 1798),
    ("age_band=over 60", 0.709, 0.104, 55),
]

Entry = tuple[Gate, GateRun | None]


def _entries(*, release: int) -> list[Entry]:
    entries: list[Entry] = []

    def add(item: Gate, found: Evidence | None, **run: object) -> None:
        entries.append((item, run_of(item, found, **run)))  # type: ignore[arg-type]

    codes = 399 if release == 1 else 0
    item = gate("data.schema", "The table has the columns, types and ranges that the model was built for.")
    add(
        item,
        evidence(
            item.id,
            [
                counted("rows_failing", 345 if codes else 0, group="education: isin"),
                counted("rows_failing", 54 if codes else 0, group="marriage: isin"),
                counted("rows_failing", 0, group="age: in_range"),
                counted("rows_failing", 0, group="limit_bal: not_null"),
            ],
            [
                at_most("rows_failing", 0, group=name)
                for name in ("education: isin", "marriage: isin", "age: in_range", "limit_bal: not_null")
            ],
        ),
        state=RunState.FAILED if codes else RunState.PASSED,
    )
    item = gate("performance.auc", "Defaulters are ranked above payers.", test="auc")
    add(
        item,
        evidence(
            item.id,
            [measured("roc_auc", 0.78812, 0.0131, higher_is_better=True, seed=7)],
            [at_least("roc_auc", 0.77)],
            {"roc": _roc(), "positives": 1327, "negatives": 4673},
        ),
    )
    item = gate(
        "performance.accuracy", "Decisions beat the majority class by two points.", rubric="mlts.model.5"
    )
    add(
        item,
        evidence(
            item.id,
            [measured("accuracy", 0.82933, 0.00799, higher_is_better=True, method="Clopper-Pearson")],
            [at_least("accuracy", 0.799)],
        ),
    )
    item = gate("performance.recall", "Half of the defaulters are found.", severity=Severity.WARN)
    add(
        item,
        evidence(
            item.id,
            [measured("recall", 0.387, 0.022, n=1327, higher_is_better=True, method="Clopper-Pearson")],
            [at_least("recall", 0.5)],
        ),
    )
    item = gate("fairness.age", "Clients of all ages are approved alike.")
    add(
        item,
        evidence(
            item.id,
            [
                measured(
                    "selection_rate_difference",
                    0.152,
                    0.021,
                    n=6000,
                    method="Newcombe, groups of at least 200",
                ),
                *(
                    measured("selection_rate", value, half, n=n, group=name, method="Wilson")
                    for name, value, half, n in _AGES
                ),
            ],
            [at_most("selection_rate_difference", 0.1)],
            {"reference_group": "age_band=26-40"},
        ),
        state=RunState.FAILED,
        reason="age gap",
    )
    item = gate("fairness.elderly", "Good payers over 60 are not refused more often.")
    add(
        item,
        evidence(
            item.id,
            [
                measured(
                    "true_positive_rate_difference",
                    0.071,
                    0.094,
                    n=55,
                    n_required=1241,
                    method="Newcombe",
                    note="55 rows in the smallest group",
                )
            ],
            [at_most("true_positive_rate_difference", 0.1)],
        ),
        state=RunState.FAILED if release == 1 else RunState.PASSED,
    )
    if release == 2:
        entries.pop()
    item = gate("behavior.monotone", "A later payment status never lowers the risk.")
    flips = 0.074 if release == 1 else 0.0
    add(
        item,
        evidence(
            item.id,
            [
                measured(
                    "monotonicity_violations",
                    flips,
                    0.0061 if flips else 0.0004,
                    lower=0.068 if flips else 0.0,
                    method="Clopper-Pearson",
                )
            ],
            [at_most("monotonicity_violations", 0.01)],
            {
                "counterexamples": [
                    {"row": 118, "payment_status": "0 -> 1", "score_before": 0.3121, "score_after": 0.2874},
                    {"row": 402, "payment_status": "1 -> 2", "score_before": 0.4410, "score_after": 0.4127},
                ]
            }
            if flips
            else {},
        ),
        state=RunState.FAILED if flips else RunState.PASSED,
    )
    item = gate(
        "behavior.sex", "The decision does not change when only the sex does.", test="invariant_to_sex"
    )
    add(
        item,
        evidence(
            item.id,
            [measured("decision_flips", 0.00583, 0.0018, method="Clopper-Pearson")],
            [at_most("decision_flips", 0.01, burden=Burden.COMPLIANCE)],
        ),
    )
    item = gate("latency.p99", "One request is answered in 5 ms.", test="p99")
    add(
        item,
        evidence(
            item.id,
            [
                measured(
                    "latency_p99",
                    7.4e-5,
                    0.6e-5,
                    unit="s",
                    n=2000,
                    higher_is_better=False,
                    method="order statistics, blocks of 20 calls",
                )
            ],
            [at_most("latency_p99", 0.005)],
            {"ecdf": _ecdf(), "overhead_seconds": 1.9e-7, "shared_host": True},
        ),
    )
    item = gate("pipeline.parity", "The exported model gives the scores of the trained one.")
    add(
        item,
        evidence(
            item.id,
            [
                dataclasses.replace(
                    counted("max_absolute_difference", 0), value=2.3e-7, lower=2.3e-7, upper=2.3e-7, unit="1"
                ),
                counted("decision_flips", 0),
            ],
            [at_most("max_absolute_difference", 1e-5), at_most("decision_flips", 0)],
        ),
    )
    item = gate("pipeline.etl", "The nightly pipeline runs on a small sample.", basis=Basis.ASSERTION)
    add(item, None)
    item = gate("pipeline.rollback", "The previous certified model loads and answers.", basis=Basis.ASSERTION)
    if release == 1:
        add(item, None, state=RunState.SKIPPED, reason="no previous model on this machine")
    else:
        add(item, None)
    return entries


def certificate(release: int = 1, *, waived: bool = False, policy: Policy = POLICY) -> Certificate:
    """Return the certificate of release 1 (refused) or 2 (the age gap is left; `waived` accepts it)."""
    entries = _entries(release=release)
    if release == 2 and not waived:
        entries = [entry for entry in entries if entry[0].id != "fairness.age"]
        policy = dataclasses.replace(policy, required_dimensions=())
    waiver = Waiver(
        id="W-2026-014",
        gate_id="fairness.age",
        subject_digest=MODEL.digest["sha256"],
        reason="The gap follows income and payment history; remediation is planned for release 3.",
        approver="Dana Whitfield, head of credit risk",
        reference="RISK-2231",
        issued_at=NOW - timedelta(days=2),
        expires_at=NOW + timedelta(days=58),
    )
    return build_certificate(
        model_name="credit-default",
        model_version=f"{release}.0.0",
        subjects=[MODEL],
        materials=[TEST_ROWS],
        policy=policy,
        gates=[item for item, _ in entries],
        runs=[run for _, run in entries if run is not None],
        run=RUN if release == 1 else dataclasses.replace(RUN, exit_status=0),
        environments={ENVIRONMENT_DIGEST: ENVIRONMENT},
        started_at=NOW - timedelta(minutes=4),
        issued_at=NOW,
        waivers=[make_waiver_envelope(waiver, _Approver())] if waived else [],
        certificate_id="6f9d6b8e-33f3-4c8b-9d5c-3b7f7f3f1a10",
        nonce="0123456789abcdef" * 2,
    )


def view_of(made: Certificate, *, signed: bool = True) -> View:
    payload = canonical_json(encode(made))
    return view(made, keyids=[KEYID] if signed else [], payload_digest=sha256_hex(payload), signed=signed)
