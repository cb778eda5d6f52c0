"""A stand-in for the interpreter of the deepchecks worker: it answers at once, or as badly as it is told to."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from pytest_prodml.checks.deepchecks.suites import SUITES
from pytest_prodml.deepchecks_worker.home import locked_versions

#: A stand-in for the worker's interpreter: makes a whole answer in which all conditions hold; `body` spoils it.
FAKE = """\
#!{python} -I
import json, os, pathlib, signal, subprocess, sys, time

directory = pathlib.Path(sys.argv[-1])
request = json.loads((directory / "request.json").read_text())
tables = {{side: table["name"] for side, table in request["tables"].items() if table}}
rows = {rows}
if request["tables"]["test"] is None:
    rows = {{"train": rows["test"] or rows["train"], "test": 0}}
alone = {alone}


def check(name, kind=None, category="pass", sides=("train", "test")):
    return {{
        "name": name, "check": kind or name, "state": "ran", "reason": "",
        "conditions": [{{"text": "Holds", "category": category, "details": "Found 3.7 of them"}}],
        "value": {{"share": 0.5}}, "seconds": 0.25,
        "n_samples": {{side: rows[side] for side in sides if rows[side]}},
    }}


checks = []
for kind, single in alone.get(request["suite"]["name"], {{}}).items():
    if request["checks"] is not None and kind not in request["checks"]:
        continue
    if single:
        checks += [check(f"{{kind}} ({{name}})", kind, sides=(side,)) for side, name in tables.items()]
    else:
        checks.append(check(kind))
answer = {{
    "format": 1, "id": request["id"], "python": "3.12.1", "versions": {versions},
    "suite": request["suite"]["name"], "rows": rows, "planned": [item["name"] for item in checks],
    "checks": checks, "left_out": [], "complete": True,
}}


def write(text):
    (directory / "answer.json").write_text(text)


status = 0
text = None
{body}
write(json.dumps(answer) if text is None else text)
sys.exit(status)
"""


def fake_interpreter(path: Path, body: str = "", *, train: int, test: int = 0) -> Path:
    """Write the stand-in for tables of so many rows; `body` spoils its answer."""
    path.write_text(
        FAKE.format(
            python=sys.executable,
            rows={"train": train, "test": test},
            alone={name: dict(held) for name, held in SUITES.items()},
            versions=locked_versions(),
            body=textwrap.dedent(body),
        ),
        encoding="utf-8",
    )
    path.chmod(0o755)
    return path
