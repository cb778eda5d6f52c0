"""Run logs for tests, written by the class that writes them in a run.

``Shards(desk)`` writes the logs of a suite that two hosts share: ``1/2`` runs the performance gate, ``2/2`` the other
two. Every record can be replaced, so that a test shows the one thing it changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from certificate_factory import ENVIRONMENT, GATES, RUN, Desk, gate_runs, policy
from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.certificate.runlog import LogHead, LogInventory, RunLog
from pytest_prodml.certificate.statement import PRODUCER, read_certificate
from pytest_prodml.cli import main
from pytest_prodml.codec import digest_of
from pytest_prodml.policy.load import policy_digest
from pytest_prodml.records import Certificate, Gate, GateRun, Provenance

SHARES = {"1/2": ("performance.auc",), "2/2": ("fairness.age", "pipeline.parity")}
DIGEST = digest_of(ENVIRONMENT)


@dataclass
class Shards:
    """The run logs of one suite; `out` is where `merge` writes."""

    desk: Desk
    started_at: datetime = field(
        default_factory=lambda: datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    )
    count: int = 0

    @property
    def out(self) -> Path:
        return self.desk.root / "merged"

    def runs(self, *gate_ids: str, **values: float) -> list[GateRun]:
        """Return what a run tells of some gates; `auc` and `age_gap` change what it measured."""
        subject = self.desk.subject()
        return [
            replace(run, evidence=run.evidence and replace(run.evidence, environment_digest=DIGEST))
            for run in gate_runs([subject], **values)
            if run.gate_id in gate_ids
        ]

    def write(
        self,
        shard: str | None = "1/2",
        *,
        runs: Sequence[GateRun] | None = None,
        gates: Sequence[Gate] = GATES,
        signer: str | None = "ci",
        ended: bool = True,
        head: dict[str, Any] | None = None,
        summary: dict[str, Any] | None = None,
        ordinary: int = 12,
    ) -> Path:
        """Write the log of one run and return its path."""
        self.count += 1
        run_id = f"{self.count:032x}"
        if runs is None:
            runs = self.runs(*SHARES.get(shard or "", SHARES["1/2"]))
        began = LogHead(
            run_id=run_id,
            started_at=self.started_at,
            producer=PRODUCER,
            model_name="credit-default",
            model_version="2.0",
            subjects=(self.desk.subject(),),
            policy_digest=policy_digest(policy()),
            configuration_digest="c" * 64,
            shard=shard,
            revision="a" * 40,
            arguments=("--prodml",),
        )
        began = replace(began, **(head or {}))
        log = RunLog(self.desk.root / f"evidence-{self.count}", began)
        unselected = tuple(sorted({gate.id for gate in gates} - {run.gate_id for run in runs}))
        log.add_inventory(LogInventory(gates=tuple(gates), unselected=unselected, ordinary=ordinary))
        of = {gate.id: gate for gate in GATES}
        for run in runs:
            log.add(of[run.gate_id], run, {DIGEST: ENVIRONMENT})
        if ended:
            ending = replace(
                RUN,
                id=began.run_id,
                target=began.target,
                look=began.look,
                provenance=Provenance(revision=began.revision, is_dirty=False),
            )
            log.seal(replace(ending, **(summary or {})), [self.desk.key(signer)] if signer else [])
        return log.path

    def both(self, **changes: Any) -> list[Path]:
        """Write the logs of both shards."""
        return [self.write(name, **changes) for name in SHARES]

    def arguments(self, logs: Iterable[Path], *more: object) -> list[str]:
        """Return the command line that merges `logs`."""
        given: list[object] = ["merge", *logs, "--model", self.desk.model, "--policy", self.desk.policy]
        self.desk.key()
        given += ["--key", self.desk.root / "keys" / "ci.key", "--out", self.out, *more]
        return [str(item) for item in given]

    def merge(self, logs: Iterable[Path], *more: object) -> int:
        """Merge with the key ``ci`` and return the exit code."""
        return main(self.arguments(logs, *more))

    def certificate(self) -> Certificate:
        """Return what was merged."""
        return read_certificate(parse_envelope((self.out / "certificate.json").read_bytes()).payload)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rewrite(path: Path, lines: Iterable[dict[str, Any]]) -> Path:
    """Write lines to a log as they are: what a forger without a key can do."""
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return path
