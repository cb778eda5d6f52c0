"""The run log: what one run of pytest leaves for `prodml merge`, a JSON line each, sealed at its end.

Head, inventory, environments and gate runs as they complete, the summary of the session, and the seal: a DSSE
envelope over the SHA-256 of everything before it. Its payload type is its own, so that a log can not pass for
a certificate nor the other way round. A run that died left no seal, and counts as interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_prodml.certificate.document import sign_record
from pytest_prodml.certificate.dsse import envelope_json
from pytest_prodml.certificate.signers import KeylessSigner, Signer
from pytest_prodml.codec import dumps, format_time, sha256_hex
from pytest_prodml.errors import MalformedError
from pytest_prodml.records import Environment, Gate, GateRun, Look, Producer, RunSummary, Subject

#: Version 1 (0.1.0) had neither inventory nor seal, and can not be merged.
LOG_VERSION = 2
SEAL_TYPE = "application/vnd.pytest-prodml.run-log.v2+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHead:
    """First line: which run, of what, under which policy and configuration, by which version.

    `shard` is what ``--prodml-shard`` said. `revision` is the commit when the run began; None if unknown.
    """

    kind: str = "run"
    version: int = LOG_VERSION
    run_id: str
    started_at: datetime
    producer: Producer
    model_name: str
    model_version: str
    subjects: tuple[Subject, ...]
    policy_digest: str
    configuration_digest: str
    shard: str | None = None
    target: str | None = None
    revision: str | None = None
    look: Look | None = None
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogInventory:
    """Every gate that was collected, before deselection; `unselected` holds the ids of those left out.

    `ordinary` counts the tests that are no gates. Workers of xdist tell theirs when they end, so the line
    stands early or late.
    """

    kind: str = "inventory"
    gates: tuple[Gate, ...]
    unselected: tuple[str, ...] = ()
    ordinary: int = 0
    ordinary_unselected: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEnvironment:
    """An environment, before the first line that names its digest."""

    kind: str = "environment"
    digest: str
    environment: Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGateRun:
    """One execution of one gate, written when it is complete."""

    kind: str = "gate-run"
    gate: Gate
    run: GateRun


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEnd:
    """The session as a whole. Where this line is missing, the run was interrupted."""

    kind: str = "end"
    run: RunSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSeal:
    """Last line: a DSSE envelope around a `SealedLog`, as text."""

    kind: str = "seal"
    envelope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedLog:
    """What a seal signs: the bytes of all lines before it, and whose they are."""

    run_id: str
    digest: Mapping[str, str]


class RunLog:
    """An append-only file of one JSON line each: what is left of a run that died."""

    def __init__(self, directory: Path, head: LogHead) -> None:
        stamp = format_time(head.started_at).replace(":", "").replace("-", "")
        self.path = directory / f"{stamp}-{head.run_id[:8]}.jsonl"
        self._run_id = head.run_id
        self._environments: set[str] = set()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._append(head)

    def add_inventory(self, inventory: LogInventory) -> None:
        """Write what was collected."""
        self._append(inventory)

    def add(self, gate: Gate, run: GateRun, environments: Mapping[str, Environment]) -> None:
        """Write one gate run, and its environment (by digest) if it is the first from there."""
        digest = run.evidence.environment_digest if run.evidence is not None else None
        if digest is not None and digest in environments and digest not in self._environments:
            self._environments.add(digest)
            self._append(LogEnvironment(digest=digest, environment=environments[digest]))
        self._append(LogGateRun(gate=gate, run=run))

    def seal(self, run: RunSummary, signers: Sequence[Signer]) -> None:
        """Write how the session ended and sign the whole; without a signer the seal has no signature.

        Nor with a keyless one: an identity signs statements, and a log that is to be merged needs a key.
        The bytes are read back from the file: what is signed is what a reader gets.

        Raises
        ------
        SigningKeyError
            If a key can not sign.
        """
        self._append(LogEnd(run=run))
        data = self.path.read_bytes()
        sealed = SealedLog(run_id=self._run_id, digest={"sha256": sha256_hex(data)})
        keys = [signer for signer in signers if not isinstance(signer, KeylessSigner)]
        envelope = sign_record(sealed, SEAL_TYPE, keys)
        self._append(LogSeal(envelope=envelope_json(envelope).decode("ascii")))

    def _append(self, record: Any) -> None:  # noqa: ANN401 - one of the lines above
        try:
            line = f"{dumps(record)}\n".encode()
        except UnicodeEncodeError:
            raise MalformedError("holds text that is not Unicode", where=str(self.path)) from None
        with self.path.open("ab") as file:
            file.write(line)
