"""`prodml verify` as a deployment runs it: exit codes, sentences, JSON, and never a traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import (
    POLICY_TOML,
    Desk,
    edited,
    not_ready,
    ready,
    ready_with_waiver,
    rebuilt,
    signed,
    with_payload,
)
from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.cli import main
from pytest_prodml.verify.report import ExitCode


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.certify()
    return desk


def flip_model_byte(desk: Desk) -> None:
    content = bytearray(desk.model.read_bytes())
    content[7] ^= 0x10
    desk.model.write_bytes(content)


def change_number(desk: Desk) -> None:
    data = desk.certificate.read_bytes()
    payload = parse_envelope(data).payload
    desk.certificate.write_bytes(with_payload(data, payload.replace(b'"value":0.78', b'"value":0.99')))


def strip_signature(desk: Desk) -> None:
    desk.certificate.write_bytes(rebuilt(desk.certificate.read_bytes(), signatures=[]))


def use_another_key(desk: Desk) -> None:
    desk.certify(signers=("other",))


def expire(desk: Desk) -> None:
    certificate = ready(desk)
    early = certificate.issued_at - timedelta(days=91)
    desk.certify(replace(certificate, issued_at=early, expires_at=early + timedelta(days=90)))


def postdate(desk: Desk) -> None:
    desk.certify(desk.build(issued_at=ready(desk).issued_at + timedelta(days=1)))


def require_absent_gate(desk: Desk) -> None:
    desk.policy.write_text(POLICY_TOML.replace('"performance.auc"]', '"performance.auc", "latency.p99"]', 1))


def refuse_the_model(desk: Desk) -> None:
    desk.certify(not_ready(desk))


def sign_a_lie(desk: Desk) -> None:
    data = desk.certify(not_ready(desk))
    lie = desk.build().decision
    from pytest_prodml.codec import encode

    desk.certificate.write_bytes(signed(desk, edited(data, decision=encode(lie))))


def duplicate_a_key(desk: Desk) -> None:
    payload = parse_envelope(desk.certificate.read_bytes()).payload
    doubled = payload.replace(b'"outcome":"READY"', b'"outcome":"READY","outcome":"READY"')
    desk.certificate.write_bytes(signed(desk, doubled))


def append_bytes(desk: Desk) -> None:
    desk.certificate.write_bytes(desk.certificate.read_bytes() + b"\x00")


def prepend_bom(desk: Desk) -> None:
    desk.certificate.write_bytes(b"\xef\xbb\xbf" + desk.certificate.read_bytes())


def waive_without_the_approvers_key(desk: Desk) -> None:
    desk.certify(ready_with_waiver(desk))


CASES = [
    (lambda _: None, ExitCode.ACCEPTED, "ACCEPTED: credit-default 2.0 is READY"),
    (refuse_the_model, ExitCode.NOT_READY, r"not-ready \[fairness\.age\]: fairness\.age failed"),
    (strip_signature, ExitCode.NO_SIGNATURE, "no-signature: the certificate carries no signature"),
    (duplicate_a_key, ExitCode.MALFORMED, "statement: certificate: .* stands twice"),
    (append_bytes, ExitCode.MALFORMED, "malformed: certificate: "),
    (prepend_bom, ExitCode.MALFORMED, "byte-order mark"),
    (change_number, ExitCode.UNTRUSTED, "untrusted: no signature fits a given key"),
    (use_another_key, ExitCode.UNTRUSTED, "signed with another key"),
    (flip_model_byte, ExitCode.SUBJECT, "subject-differs .*: this is not the artefact that was certified"),
    (expire, ExitCode.TIME, "expired .*: expired at 2026-11-21"),
    (postdate, ExitCode.TIME, "not-yet-valid .*: valid from 2026-11-23"),
    (require_absent_gate, ExitCode.POLICY, r"policy \[latency\.p99\]: .* no test of that id was collected"),
    (waive_without_the_approvers_key, ExitCode.WAIVER, "waiver-untrusted .*: the waiver for fairness.age"),
    (sign_a_lie, ExitCode.EVIDENCE, "says READY, but its own evidence and policy give NOT_READY"),
]


@pytest.mark.parametrize(("prepare", "code", "told"), CASES, ids=lambda item: getattr(item, "__name__", None))
def test_exit_codes(
    desk: Desk, prepare: Any, code: ExitCode, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(desk)
    assert main(desk.arguments()) == code
    captured = capsys.readouterr()
    shown, silent = (captured.out, captured.err) if code == 0 else (captured.err, captured.out)
    assert silent == ""
    assert re.search(told, shown), shown
    if code:
        assert shown.startswith(f"REFUSED (exit code {int(code)}): ")
    assert main(desk.arguments("--json")) == code
    report = json.loads(capsys.readouterr().out)
    assert (report["accepted"], report["exitCode"]) == (code == 0, code)
    assert all(reason.keys() == {"code", "message", "path"} for reason in report["reasons"])


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a process of its own."""
    script = Path(sys.executable).with_name("prodml")
    return subprocess.run([script, *arguments], capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        (lambda _: None, 0),
        (refuse_the_model, 1),
        (strip_signature, 10),
        (change_number, 12),
        (flip_model_byte, 13),
    ],
)
def test_the_process_ends_with_the_code(desk: Desk, prepare: Any, code: int) -> None:
    prepare(desk)
    finished = run(*desk.arguments())
    assert finished.returncode == code
    assert "Traceback" not in finished.stderr


def test_the_clock_is_used_by_default(desk: Desk) -> None:
    now = datetime.now(UTC)
    desk.certify(desk.build(issued_at=now))
    arguments = desk.arguments()
    at = arguments.index("--at")
    assert main(arguments[:at] + arguments[at + 2 :]) == 0


def test_a_waiver_is_shown_with_its_approver_and_end(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.certify(ready_with_waiver(desk))
    assert main(desk.arguments("--waiver-key", desk.public("risk"))) == 0
    out = capsys.readouterr().out
    assert "READY_WITH_WAIVERS" in out
    assert "waived: fairness.age until 2026-12-22T09:30:00Z, approved by Head of Credit Risk" in out
    assert "(RISK-42)" in out


def test_names_on_the_command_line(desk: Desk) -> None:
    arguments = desk.arguments()
    at = arguments.index(str(desk.model))
    odd = desk.root / "a=b.onnx"
    odd.write_bytes(desk.model.read_bytes())
    for given, code in (
        (f"model.onnx={desk.model}", 0),
        (f"other={desk.model}", 13),
        (str(odd), 0),
        (f"model.onnx={odd}", 0),
        ("=x", 2),
        ("name=", 2),
    ):
        arguments[at] = given
        assert main(arguments) == code, given


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--policy", "absent.toml"),
        ("--policy", "certificate.json"),
        ("--key", "absent.pub"),
        ("--key", "keys/ci.key"),
        ("--key", "policy.toml"),
        ("--waiver-key", "absent.pub"),
        ("--at", "yesterday"),
        ("--at", "2026-11-22"),
        ("--at", "2026-11-22T09:30:00"),
        ("--at", "0001-01-01T00:00:00+23:00"),
        ("--unknown", "x"),
    ],
)
def test_usage_errors(
    desk: Desk, option: str, value: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.root)
    assert main(desk.arguments(option, value)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err
    assert "Traceback" not in captured.err


def test_usage_errors_as_json(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.certificate.unlink()
    assert main(desk.arguments("--json")) == 2
    report = json.loads(capsys.readouterr().out)
    assert (report["accepted"], report["exitCode"], report["reasons"][0]["code"]) == (False, 2, "usage")


@pytest.mark.parametrize("missing", ["--key", "--model", "--policy"])
def test_nothing_has_a_default_that_accepts(desk: Desk, missing: str) -> None:
    arguments = desk.arguments()
    at = arguments.index(missing)
    assert main(arguments[:at] + arguments[at + 2 :]) == 2


def test_a_broken_verifier_refuses(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr("pytest_prodml.verify.gate.verify", broken)
    assert main(desk.arguments()) == 70
    assert "internal: RuntimeError: out of order" in capsys.readouterr().err
    assert main(desk.arguments("--json")) == 70
    assert json.loads(capsys.readouterr().out)["accepted"] is False


def test_text_from_a_certificate_can_not_steer_the_terminal(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    waiver = desk.waiver(reason="ok\x1b[2J\x1b[1;1HACCEPTED \u202edetpecca\nREFUSED")
    desk.certify(desk.build(age_gap=0.2, waivers=[waiver]))
    assert main(desk.arguments("--waiver-key", desk.public("risk"))) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "\nREFUSED" not in out
    assert "\\x1b[2J" in out


def test_a_terminal_without_the_letters(desk: Desk) -> None:
    desk.certify(desk.build(model_name="Kreditausfälle 信用"))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    finished = run(*desk.arguments(), env=environment)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "Kreditausf\\xe4lle" in finished.stdout


def test_a_closed_output_is_not_acceptance(desk: Desk) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(
            [Path(sys.executable).with_name("prodml"), *desk.arguments()],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert finished.returncode != 0


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert main(["verify", "--help"]) == 0
    assert "17 evidence does not support the decision" in " ".join(capsys.readouterr().out.split())
    assert main([]) == 2
    assert main(["no-such-command"]) == 2
