"""`prodml show` prints what a file says, and says that it checked nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from certificate_factory import Desk, not_ready, payload_of, rebuilt
from pytest_prodml.cli import main


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def show(desk: Desk, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert main(["show", str(desk.certificate), *more]) == 0
    return capsys.readouterr().out


def test_the_view_is_labelled(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.certify()
    out = show(desk, capsys)
    assert out.startswith("UNVERIFIED: ")
    assert "credit-default 2.0" in out
    assert "\x1b" not in out, "no colors where nobody looks"
    desk.certify(not_ready(desk))
    assert "NOT READY" in show(desk, capsys)


def test_a_bad_signature_changes_nothing_that_is_shown(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing here depends on signatures, so nobody can take the output for a verification."""
    good = desk.certify()
    shown = show(desk, capsys)
    (signature,) = json.loads(good)["signatures"]
    desk.certificate.write_bytes(rebuilt(good, signatures=[{**signature, "sig": "AAAA"}]))
    assert show(desk, capsys) == shown


def test_the_statement_as_json(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    data = desk.certify()
    assert main(["show", str(desk.certificate), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == payload_of(data)
    assert captured.err.startswith("UNVERIFIED: ")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff", b'{"payload":"e30=","payloadType":"x","signatures":[]}']
)
def test_what_is_no_certificate(desk: Desk, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    desk.certificate.write_bytes(content)
    assert main(["show", str(desk.certificate)]) == 11
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("prodml: error: ")


def test_a_missing_file(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(desk.certificate)]) == 2
    assert "No such file" in capsys.readouterr().err


def test_hostile_text_is_shown_as_escapes(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    certificate = not_ready(desk)
    verdicts = [replace(v, message=f"\x1b]0;x\x07\u202e{v.message}") for v in certificate.decision.verdicts]
    hostile = replace(certificate, decision=replace(certificate.decision, verdicts=tuple(verdicts)))
    desk.certify(hostile)
    out = show(desk, capsys)
    assert not {"\x1b", "\x07", "\u202e"} & set(out)


def test_a_terminal_without_the_letters(desk: Desk) -> None:
    desk.certify(desk.build(model_name="Kreditausfälle"))
    finished = subprocess.run(
        [Path(sys.executable).with_name("prodml"), "show", desk.certificate],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "Kreditausf\\xe4lle" in finished.stdout
    assert finished.stdout.isascii()
    assert "+ Passed" in finished.stdout


def test_a_reader_that_stops_early_is_no_error(desk: Desk) -> None:
    desk.certify()
    reader, writer = os.pipe()
    os.close(reader)
    command: list[str | Path] = [Path(sys.executable).with_name("prodml"), "show", desk.certificate]
    finished = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (finished.returncode, finished.stderr) == (141, b"")
