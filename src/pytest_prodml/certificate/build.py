"""Records of a finished run -> `Certificate` -> signed envelope -> file."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from pytest_prodml.certificate.dsse import envelope_json, parse_envelope, sign
from pytest_prodml.certificate.signers import Signer
from pytest_prodml.certificate.statement import PRODUCER, SCHEMA_VERSION, certificate_payload
from pytest_prodml.certificate.waiver import read_waiver
from pytest_prodml.policy.decide import decide
from pytest_prodml.records import (
    Certificate,
    Environment,
    Gate,
    GateRun,
    Policy,
    RunSummary,
    Subject,
)


def build_certificate(
    *,
    model_name: str,
    model_version: str,
    subjects: Sequence[Subject],
    policy: Policy,
    gates: Sequence[Gate],
    runs: Sequence[GateRun],
    run: RunSummary,
    environments: Mapping[str, Environment],
    started_at: datetime,
    issued_at: datetime,
    materials: Sequence[Subject] = (),
    waivers: Sequence[bytes] = (),
    certificate_id: str | None = None,
    serial: int | None = None,
    nonce: str | None = None,
    valid_from: datetime | None = None,
) -> Certificate:
    """Put a run's records together and decide.

    The decision is made here, at the moment of issue, because a verifier repeats exactly this: the embedded
    policy, applied to the embedded evidence and waivers at `issued_at`.

    Parameters
    ----------
    model_name, model_version : str
        How people call the model.
    subjects, materials : sequence of Subject
        What is certified; what it was measured with (data, code, configuration).
    policy, gates, runs, run, environments
        What was required and what happened.
    started_at, issued_at : datetime
        Begin of the run, and now (aware). Validity begins at `issued_at` and lasts as the policy says.
    waivers : sequence of bytes
        Envelopes of waivers whose signatures the caller has checked (`open_waiver`); embedded as they are.
    certificate_id : str, optional
        Default: a random UUID.
    serial : int, optional
        Greater than that of every earlier certificate of the same model name. Default: the seconds from
        1970 to `issued_at`, so that no counter has to be kept.
    nonce : str, optional
        32 hexadecimal digits; default random.
    valid_from : datetime, optional
        From when on the policy's validity counts: the begin of the oldest run, where runs are merged.
        Default: `issued_at`.

    Raises
    ------
    MalformedError
        If a waiver is not one.
    """
    issued_at = issued_at.replace(microsecond=0)
    opened = [
        read_waiver(parse_envelope(data, where=f"waivers[{index}]"), where=f"waivers[{index}]")
        for index, data in enumerate(waivers)
    ]
    return Certificate(
        schema_version=SCHEMA_VERSION,
        id=certificate_id or str(uuid.uuid4()),
        model_name=model_name,
        model_version=model_version,
        producer=PRODUCER,
        started_at=started_at.replace(microsecond=0),
        issued_at=issued_at,
        expires_at=(valid_from or issued_at).replace(microsecond=0) + timedelta(days=policy.validity_days),
        subjects=tuple(subjects),
        materials=tuple(materials),
        policy=policy,
        decision=decide(
            policy,
            gates,
            runs,
            run,
            subjects=subjects,
            environments=environments,
            waivers=opened,
            now=issued_at,
        ),
        gates=tuple(gates),
        runs=tuple(runs),
        run=run,
        environments=dict(environments),
        waivers=tuple(data.decode("utf-8") for data in waivers),
        serial=int(issued_at.timestamp()) if serial is None else serial,
        nonce=nonce or secrets.token_hex(16),
    )


def issue(certificate: Certificate, signers: Sequence[Signer]) -> bytes:
    """Sign a certificate and return the envelope file's bytes.

    Without a signer the envelope has no signature: the record of a run without a key, which no verifier
    accepts.

    Raises
    ------
    MalformedError
        If the certificate holds what a verifier would refuse to read.
    """
    return envelope_json(sign(certificate_payload(certificate), signers))


def materials_of(runs: Iterable[GateRun]) -> tuple[Subject, ...]:
    """Return what the gates were measured with, each once, by name."""
    found: list[Subject] = []
    for run in runs:
        for material in run.evidence.materials if run.evidence is not None else ():
            if material not in found:
                found.append(material)
    return tuple(sorted(found, key=lambda material: (material.name, material.digest.get("sha256", ""))))


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old one or the new one, complete, whenever the power goes off."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o644)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        # Some file systems can not sync a directory; the rename itself has happened.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
