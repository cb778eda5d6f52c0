"""Certificates for tests, made through the public functions: ready, refused, ready with a waiver.

``Desk(tmp_path)`` is a directory as a deployer has it: a model, a policy, keys, and `certify` to issue what a
run would issue. Every record can be replaced, so that a test shows the one thing it changes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from pytest_prodml.certificate.build import build_certificate, issue
from pytest_prodml.certificate.digest import subject_of
from pytest_prodml.certificate.dsse import (
    INTOTO_PAYLOAD_TYPE,
    envelope_json,
    parse_envelope,
    sign,
)
from pytest_prodml.certificate.signers.local import LocalSigner, generate, load_signing_key
from pytest_prodml.certificate.waiver import make_waiver_envelope
from pytest_prodml.codec import canonical_json, parse_json
from pytest_prodml.policy.load import parse_policy
from pytest_prodml.records import (
    Basis,
    Certificate,
    Comparison,
    Criterion,
    Dimension,
    Environment,
    Evidence,
    Gate,
    GateRun,
    Measurement,
    Policy,
    RunState,
    RunSummary,
    Subject,
    Waiver,
)
from pytest_prodml.verify.report import VerificationReport
from pytest_prodml.verify.subjects import present
from pytest_prodml.verify.verifier import verify

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
MODEL_BYTES = b"ONNX" + bytes(range(256)) * 16

POLICY_TOML = """\
name = "credit-production"
version = "1"
confidence_level = 0.95
validity = "90d"
min_signatures = 1

[require]
dimensions = ["performance", "fairness", "pipeline"]
gates = ["performance.auc"]

[waivers]
gates = ["fairness.age"]
max = 1
max_days = 60
"""

ENVIRONMENT = Environment(
    python="3.12.1",
    platform="Linux-6.1-x86_64",
    machine="x86_64",
    processor="Example CPU",
    processor_count=2,
    memory_bytes=8 * 2**30,
    threads={"OMP_NUM_THREADS": "1"},
    packages={"numpy": "2.1.0"},
)

RUN = RunSummary(
    id="run-0001",
    arguments=("--prodml",),
    exit_status=0,
    workers=0,
    inventory_complete=True,
    ordinary_tests={"passed": 12},
    plugins={"pytest-prodml": "0.1.0"},
)

GATES = (
    Gate(
        id="performance.auc",
        dimension=Dimension.PERFORMANCE,
        description="ranks clients well enough",
        location="tests/test_performance.py::test_auc",
    ),
    Gate(
        id="fairness.age",
        dimension=Dimension.FAIRNESS,
        description="approves clients of all ages alike",
        location="tests/test_fairness.py::test_age",
    ),
    Gate(
        id="pipeline.parity",
        dimension=Dimension.PIPELINE,
        description="the exported model predicts as the trained one",
        basis=Basis.ASSERTION,
        location="tests/test_pipeline.py::test_parity",
    ),
)


def policy(text: str = POLICY_TOML) -> Policy:
    """Parse the policy that the tests' gate uses."""
    return parse_policy(text.encode(), where="policy.toml")


def measurement(value: float, half_width: float, *, metric: str = "roc_auc", **changes: Any) -> Measurement:
    """Return a measurement with symmetric bounds."""
    made = Measurement(
        metric=metric,
        value=value,
        lower=value - half_width,
        upper=value + half_width,
        confidence_level=0.95,
        method="delong",
        n_samples=9000,
        higher_is_better=metric == "roc_auc",
        seed=0,
    )
    return replace(made, **changes)


def evidence(gate_id: str, measured: Measurement, limit: float, subjects: Sequence[Subject]) -> Evidence:
    """Return the evidence of one gate with one criterion."""
    at_least = measured.metric == "roc_auc"
    comparison = Comparison.AT_LEAST if at_least else Comparison.AT_MOST
    return Evidence(
        gate_id=gate_id,
        measurements=(measured,),
        criteria=(Criterion(metric=measured.metric, comparison=comparison, limit=limit),),
        subjects=tuple(subjects),
        environment_digest="e" * 64,
        started_at=NOW,
        duration_seconds=0.25,
        seed=0,
    )


def gate_runs(
    subjects: Sequence[Subject], *, auc: float = 0.78, age_gap: float = 0.03
) -> tuple[GateRun, ...]:
    """Return what happened: limits are 0.77 for the AUC and 0.10 for the age gap."""
    about = [Subject(name=subject.name, digest=subject.digest) for subject in subjects]
    made = {
        "performance.auc": evidence("performance.auc", measurement(auc, 0.005), 0.77, about),
        "fairness.age": evidence(
            "fairness.age",
            measurement(age_gap, 0.02, metric="selection_rate_difference", method="newcombe"),
            0.10,
            about,
        ),
        "pipeline.parity": None,
    }
    return tuple(
        GateRun(
            gate_id=gate.id,
            location=gate.location,
            state=RunState.PASSED,
            evidence=made[gate.id],
            duration_seconds=0.5,
        )
        for gate in GATES
    )


@dataclass
class Desk:
    """A directory with ``model.onnx``, ``policy.toml`` and keys ``ci``, ``risk``, ``other``."""

    root: Path
    model: Path = field(init=False)
    policy: Path = field(init=False)
    certificate: Path = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.root / "model.onnx"
        self.policy = self.root / "policy.toml"
        self.certificate = self.root / "certificate.json"
        self.model.write_bytes(MODEL_BYTES)
        self.policy.write_text(POLICY_TOML, encoding="utf-8")

    def key(self, name: str = "ci", **options: Any) -> LocalSigner:
        """Return a private key, made on first use."""
        path = self.root / "keys" / f"{name}.key"
        if not path.exists():
            generate(path.with_suffix(""), **options)
        return load_signing_key(path, options.get("passphrase"))

    def public(self, name: str = "ci") -> Path:
        """Return the path of a public key."""
        self.key(name)
        return self.root / "keys" / f"{name}.pub"

    def subject(self) -> Subject:
        """Identify the model as it lies there."""
        return subject_of(self.model)

    def build(self, **changes: Any) -> Certificate:
        """Return the certificate of a run in which everything passed; `auc` and `age_gap` change the run."""
        subjects = changes.pop("subjects", (self.subject(),))
        values = {name: changes.pop(name) for name in ("auc", "age_gap") if name in changes}
        arguments: dict[str, Any] = {
            "model_name": "credit-default",
            "model_version": "2.0",
            "subjects": subjects,
            "materials": (Subject(name="test.csv", digest={"sha256": "d" * 64}),),
            "policy": policy(),
            "gates": GATES,
            "runs": gate_runs(subjects, **values),
            "run": RUN,
            "environments": {"e" * 64: ENVIRONMENT},
            "started_at": NOW - timedelta(minutes=5),
            "issued_at": NOW,
            "certificate_id": "5f0c6a52-7d0b-4a55-9d53-6c1f7b1a4c11",
            "nonce": "0123456789abcdef" * 2,
        }
        return build_certificate(**{**arguments, **changes})

    def certify(self, certificate: Certificate | None = None, *, signers: Sequence[str] = ("ci",)) -> bytes:
        """Issue a certificate and write it to ``certificate.json``."""
        data = issue(certificate or self.build(), [self.key(name) for name in signers])
        self.certificate.write_bytes(data)
        return data

    def waiver(self, *, signer: str = "risk", **changes: Any) -> bytes:
        """Return a signed waiver for ``fairness.age`` of the model."""
        made = Waiver(
            id="w-1",
            gate_id="fairness.age",
            subject_digest=self.subject().digest["sha256"],
            reason="gap is known, mitigation is planned for release 3",
            approver="Head of Credit Risk",
            issued_at=NOW - timedelta(days=1),
            expires_at=NOW + timedelta(days=30),
            reference="RISK-42",
        )
        return make_waiver_envelope(replace(made, **changes), self.key(signer))

    def verify(self, envelope: bytes | None = None, **changes: Any) -> VerificationReport:
        """Verify with the key ``ci`` under the policy, one minute after issue."""
        arguments: dict[str, Any] = {
            "keys": [self.key().public_key],
            "models": [present(self.model)],
            "policy": policy(),
            "now": NOW + timedelta(minutes=1),
        }
        return verify(
            self.certificate.read_bytes() if envelope is None else envelope, **{**arguments, **changes}
        )

    def arguments(self, *more: object) -> list[str]:
        """Return the command line that verifies ``certificate.json``."""
        given = ["verify", self.certificate, "--key", self.public(), "--model", self.model]
        given += ["--policy", self.policy, "--at", "2026-11-22T09:31:00Z", *more]
        return [str(item) for item in given]


def ready(desk: Desk) -> Certificate:
    """Every gate passes: READY."""
    return desk.build()


def not_ready(desk: Desk) -> Certificate:
    """The age gap is proven to be too large: NOT_READY."""
    return desk.build(age_gap=0.2)


def ready_with_waiver(desk: Desk, **waiver: Any) -> Certificate:
    """The age gap is too large and waived by ``risk``: READY_WITH_WAIVERS."""
    return desk.build(age_gap=0.2, waivers=[desk.waiver(**waiver)])


def payload_of(data: bytes) -> Any:
    """Return the parsed statement of an envelope."""
    return parse_json(parse_envelope(data).payload)


def with_payload(data: bytes, payload: bytes) -> bytes:
    """Swap the payload and leave the signatures as they are: what a forger without the key can do."""
    envelope = parse_envelope(data)
    return envelope_json(replace(envelope, payload=payload))


def signed(
    desk: Desk, payload: bytes, *, payload_type: str = INTOTO_PAYLOAD_TYPE, signer: str = "ci"
) -> bytes:
    """Sign any bytes with a trusted key: what a broken or dishonest issuer can do."""
    return envelope_json(sign(payload, [desk.key(signer)], payload_type=payload_type))


def edited(data: bytes, **changes: Any) -> bytes:
    """Return the canonical payload of an envelope with fields of the predicate replaced."""
    statement = payload_of(data)
    statement["predicate"].update(changes)
    return canonical_json(statement)


@cache
def envelope_fields(data: bytes) -> Any:
    """Parse an envelope as plain JSON."""
    return json.loads(data)


def rebuilt(data: bytes, **changes: Any) -> bytes:
    """Return an envelope file with top-level fields replaced, not canonical."""
    return json.dumps({**envelope_fields(data), **changes}).encode()


def b64(data: bytes) -> str:
    """Encode as an envelope does."""
    return base64.b64encode(data).decode("ascii")
