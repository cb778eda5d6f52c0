"""The verifier of the page needs nothing of ours, accepts a certificate, and refuses what is not one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certificate_factory import Desk, rebuilt, signed, with_payload
from pytest_prodml.certificate.dsse import parse_envelope

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-verifier.md"
[PROGRAM] = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(params=["ed25519", "p256"])
def desk(tmp_path: Path, request: pytest.FixtureRequest) -> Desk:
    desk = Desk(tmp_path)
    desk.key("ci", key_type=request.param)
    desk.certify(desk.build(issued_at=datetime.now(UTC)))
    return desk


def check(desk: Desk, data: bytes | None = None, *, key: str = "ci") -> str:
    """Run the program isolated from this environment and return what it says."""
    program = desk.root / "check.py"
    program.write_text(PROGRAM, encoding="utf-8")
    if data is not None:
        desk.certificate.write_bytes(data)
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            str(program),
            desk.certificate.name,
            str(desk.public(key)),
            "model.onnx",
        ],
        cwd=desk.root,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == (done.stdout == "ACCEPTED\n"), done.stderr
    return done.stdout or done.stderr


def test_it_is_short_and_imports_only_the_standard_library() -> None:
    code = [line for line in PROGRAM.splitlines() if line.strip()]
    assert len(code) <= 60
    names = set(re.findall(r"^(?:import|from) (\w+)", PROGRAM, re.MULTILINE))
    assert names <= sys.stdlib_module_names


def test_it_accepts_a_certificate(desk: Desk) -> None:
    assert check(desk) == "ACCEPTED\n"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda _, data: data.replace(b'"payloadType":"a', b'"payloadType":"b'), "not signed by this key"),
        (lambda _, data: rebuilt(data, signatures=[]), "not signed by this key"),
        (
            lambda _, data: with_payload(data, parse_envelope(data).payload.replace(b"0.78", b"0.98")),
            "not signed by this key",
        ),
        (lambda d, data: signed(d, parse_envelope(data).payload, signer="other"), "not signed by this key"),
        (lambda _, data: data.replace(b"{", b'{"payloadType":"x",', 1), "stands twice"),
        (
            lambda d, _: d.certify(d.build(issued_at=datetime.now(UTC) - timedelta(days=91))),
            "not in force",
        ),
        (
            lambda d, _: d.certify(d.build(age_gap=0.2, issued_at=datetime.now(UTC))),
            "not ready",
        ),
        (
            lambda d, _: d.certify(d.build(issued_at=datetime.now(UTC) + timedelta(hours=1))),
            "not in force",
        ),
        (
            lambda d, _: signed(
                d, json.dumps({"_type": "https://in-toto.io/Statement/v1", "predicateType": "x"}).encode()
            ),
            "something else",
        ),
    ],
)
def test_it_refuses(desk: Desk, change: Callable[[Desk, bytes], bytes], told: str) -> None:
    assert told in check(desk, change(desk, desk.certificate.read_bytes()))


def test_it_refuses_another_model(desk: Desk) -> None:
    desk.model.write_bytes(b"another model")
    assert "not the model" in check(desk)
