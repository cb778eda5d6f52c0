"""The files of a run: certificate and views, written whole at the end, and the run log as it grows."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pytest_prodml.codec import dumps, format_time
from pytest_prodml.records import Environment, Gate, GateRun, Subject

#: The views first: whoever sees a certificate.json can rely on the others being there.
CERTIFICATE = "certificate.json"
VIEWS = ("certificate.html", "summary.md")
EVIDENCE = "evidence"

LOG_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHead:
    """First line of a run log: which run, of what, under which policy."""

    kind: str = "run"
    version: int = LOG_VERSION
    run_id: str
    started_at: datetime
    policy_digest: str
    subjects: tuple[Subject, ...]


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


class RunLog:
    """An append-only file of one JSON line each: what is left of a run that died."""

    def __init__(self, directory: Path, head: LogHead) -> None:
        stamp = format_time(head.started_at).replace(":", "").replace("-", "")
        self.path = directory / EVIDENCE / f"{stamp}-{head.run_id[:8]}.jsonl"
        self._environments: set[str] = set()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._append(head)

    def add(self, gate: Gate, run: GateRun, environments: Mapping[str, Environment]) -> None:
        """Write one gate run, and its environment (by digest) if it is the first from there."""
        digest = run.evidence.environment_digest if run.evidence is not None else None
        if digest is not None and digest in environments and digest not in self._environments:
            self._environments.add(digest)
            self._append(LogEnvironment(digest=digest, environment=environments[digest]))
        self._append(LogGateRun(gate=gate, run=run))

    def _append(self, record: LogHead | LogEnvironment | LogGateRun) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(dumps(record) + "\n")


def remove_certificate(directory: Path) -> bool:
    """Remove the certificate of an earlier run and its views; tell whether there was one.

    Raises
    ------
    OSError
        If one is there and can not be removed.
    """
    found = False
    for name in (CERTIFICATE, *VIEWS):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            (directory / name).unlink()
            found = True
    return found


def now() -> datetime:
    """Return the present time in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)
