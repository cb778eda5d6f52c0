"""A small project as a user has it, and what a run of pytest left in it."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_prodml.certificate.dsse import Envelope, parse_envelope
from pytest_prodml.certificate.statement import read_certificate
from pytest_prodml.records import Certificate, GateRun, Readiness, Verdict

POLICY = """
name = "production"
version = "1"
[require]
gates = ["pipeline.one", "pipeline.two"]
"""

GATES = """
import pytest

@pytest.mark.ml_pipeline
def test_one():
    '''Raw rows become features.'''

@pytest.mark.ml_pipeline
def test_two():
    pass
"""

#: Source of a function that makes evidence without any library: 95 of 100, bounded from below by 0.9.
EVIDENCE = """
from pytest_prodml.records import Comparison, Criterion, Evidence, Measurement

def evidence(gate_id, value=0.95, lower=0.9, limit=0.8, metric="accuracy", **more):
    measured = Measurement(
        metric=metric, value=value, lower=lower, upper=0.99, confidence_level=0.95,
        method="given", n_samples=100, **more,
    )
    criterion = Criterion(
        metric=metric, comparison=Comparison.AT_LEAST, limit=limit, group=more.get("group")
    )
    return Evidence(gate_id=gate_id, measurements=(measured,), criteria=(criterion,))
"""


@dataclass(frozen=True)
class Project:
    """The project directory; `key` is a signing key outside of it."""

    pytester: pytest.Pytester
    key: Path

    @property
    def root(self) -> Path:
        return self.pytester.path

    @property
    def out(self) -> Path:
        return self.root / "prodml-report"

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return file

    def configure(self, text: str = "", *, model: str = "") -> None:
        """Write prodml.toml with what every run needs, and `text`."""
        lines = f'policy = "policy.toml"\nkey = "{self.key}"\n{textwrap.dedent(text)}\n'
        table = f'[model]\npath = "model.bin"\n{textwrap.dedent(model)}\n'
        self.write("prodml.toml", lines + table)

    def run(self, *arguments: str, sub: bool = False) -> pytest.RunResult:
        """Run ``pytest --prodml`` here; `sub` for a process of its own."""
        return self.idle("--prodml", *arguments, sub=sub)

    def idle(self, *arguments: str, sub: bool = False) -> pytest.RunResult:
        """Run ``pytest`` here.

        Only the plugins that `arguments` need are loaded: some import a library in every process.
        """
        run = self.pytester.runpytest_subprocess if sub else self.pytester.runpytest_inprocess
        needed = ["prodml"]
        needed += ["xdist"] if any(a.startswith(("-n", "--dist", "--tx")) for a in arguments) else []
        plugins = [part for name in needed for part in ("-p", name)]
        return run(*plugins, "-p", "no:cacheprovider", *arguments)

    def envelope(self) -> Envelope:
        return parse_envelope((self.out / "certificate.json").read_bytes())

    def certificate(self) -> Certificate | None:
        if not (self.out / "certificate.json").exists():
            return None
        return read_certificate(self.envelope().payload)

    def issued(self) -> Certificate:
        """Return the certificate, which must be there."""
        certificate = self.certificate()
        assert certificate is not None, "there is no certificate"
        return certificate

    def readiness(self) -> Readiness | None:
        certificate = self.certificate()
        return certificate.decision.outcome if certificate else None

    def verdict(self, gate_id: str) -> Verdict:
        return {v.gate_id: v for v in self.issued().decision.verdicts}[gate_id]

    def runs(self, gate_id: str) -> list[GateRun]:
        return [run for run in self.issued().runs if run.gate_id == gate_id]

    def log(self) -> list[dict[str, Any]]:
        """Return the lines of the newest run log."""
        files = sorted((self.out / "evidence").glob("*.jsonl"), key=lambda file: file.stat().st_mtime_ns)
        return [json.loads(line) for line in files[-1].read_text(encoding="utf-8").splitlines()]
