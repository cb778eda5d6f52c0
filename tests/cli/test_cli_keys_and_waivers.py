"""`prodml keygen` and `prodml waive`: files with the right modes, and no secret in any output."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from certificate_factory import Desk
from pytest_prodml.certificate.signers.local import PASSPHRASE_VARIABLE, load_signing_key
from pytest_prodml.certificate.waiver import open_waiver
from pytest_prodml.cli import main


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(PASSPHRASE_VARIABLE, raising=False)
    return Desk(tmp_path)


def secrets(path: Path, passphrase: bytes | None = None) -> list[bytes]:
    """Return the forms in which a private key could leak."""
    pem = path.read_bytes()
    key = serialization.load_pem_private_key(pem, passphrase)
    raw = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )[-32:]
    lines = [line for line in pem.splitlines() if not line.startswith(b"-----")]
    return [*lines, raw, raw.hex().encode(), base64.b64encode(raw), base64.b64encode(raw)[2:-2]]


def test_keygen(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen", "fresh/ci", "fresh/risk", "--type", "p256"]) == 0
    out = capsys.readouterr().out
    for name in ("ci", "risk"):
        private = desk.root / "fresh" / f"{name}.key"
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
        assert f"keyid {load_signing_key(private).keyid}\n  private fresh/{name}.key\n" in out
        for secret in secrets(private):
            assert secret not in out.encode()
    assert (desk.root / "fresh" / ".gitignore").read_text() == "*.key\n"
    assert main(["keygen", "fresh/ci"]) == 2
    assert "never overwritten" in capsys.readouterr().err


def test_keygen_reports_what_it_can_not_write(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    (desk.root / "file").write_bytes(b"")
    assert main(["keygen", "file/ci"]) == 2
    assert "file" in capsys.readouterr().err


def test_passphrases_come_from_the_environment_or_a_descriptor(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "correct horse")
    assert main(["keygen", "by-variable"]) == 0
    monkeypatch.delenv(PASSPHRASE_VARIABLE)
    reader, writer = os.pipe()
    os.write(writer, b"battery staple\n")
    os.close(writer)
    assert main(["keygen", "by-descriptor", "--passphrase-fd", str(reader)]) == 0
    os.close(reader)
    load_signing_key(desk.root / "by-variable.key", b"correct horse")
    load_signing_key(desk.root / "by-descriptor.key", b"battery staple")
    captured = capsys.readouterr()
    assert "horse" not in captured.out + captured.err
    assert "staple" not in captured.out + captured.err
    assert main(["keygen", "none", "--passphrase-fd", "987"]) == 2
    assert main(["keygen", "none", "--passphrase", "on the command line"]) == 2
    assert not (desk.root / "none.key").exists()


def waive(desk: Desk, *more: str, key: str = "risk", out: str = "waiver.json") -> int:
    if not (desk.root / "keys" / f"{key}.key").exists():
        desk.key(key)
    return main(
        [
            "waive",
            "fairness.age",
            "--model",
            str(desk.model),
            "--reason",
            "gap is known",
            "--approver",
            "Head of Risk",
            "--key",
            f"keys/{key}.key",
            "--out",
            out,
            *(more or ("--days", "30")),
        ]
    )


def test_waive(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert waive(desk, "--days", "30", "--reference", "RISK-1") == 0
    assert "fairness.age until" in capsys.readouterr().out
    waiver = open_waiver((desk.root / "waiver.json").read_bytes(), [desk.key("risk").public_key])
    assert waiver.subject_digest == desk.subject().digest["sha256"]
    assert (waiver.reason, waiver.approver, waiver.reference) == ("gap is known", "Head of Risk", "RISK-1")
    assert waiver.expires_at - waiver.issued_at == timedelta(days=30)
    assert waive(desk) == 2, "a waiver is not overwritten"


def test_a_date_lasts_to_its_end(desk: Desk) -> None:
    day = (datetime.now(UTC) + timedelta(days=10)).date()
    assert waive(desk, "--expires", day.isoformat()) == 0
    waiver = open_waiver((desk.root / "waiver.json").read_bytes(), [desk.key("risk").public_key])
    assert waiver.expires_at == datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    "more",
    [
        ("--days", "0"),
        ("--days", "-1"),
        ("--days", "1.5"),
        ("--days", "99999999999999999999"),
        ("--expires", "2020-01-01"),
        ("--expires", "soon"),
        ("--days", "3", "--expires", "2099-01-01"),
        ("--reference", "RISK-1"),
        ("--days", "3", "--reference", "a\u202eb"),
    ],
)
def test_a_waiver_needs_a_sound_end(
    desk: Desk, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert waive(desk, *more) == 2
    assert not (desk.root / "waiver.json").exists()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("gate", ["fairness.*", "fairness", "age", "", "fairness."])
def test_a_waiver_names_one_gate(desk: Desk, gate: str) -> None:
    desk.key("risk")
    arguments = ["waive", gate, "--model", "model.onnx", "--reason", "r", "--approver", "a"]
    assert main([*arguments, "--days", "1", "--key", "keys/risk.key", "--out", "waiver.json"]) == 2


def test_wrong_files(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.key("risk")
    (desk.root / "keys" / "risk.key").chmod(0o644)
    assert waive(desk) == 2
    assert "can be read by others (mode 0644)" in capsys.readouterr().err
    assert waive(desk, key="other", out="policy.toml/waiver.json") == 2
    desk.model.unlink()
    assert waive(desk, key="other") == 2
    assert "model.onnx" in capsys.readouterr().err


def test_no_output_of_any_command_holds_a_secret(desk: Desk) -> None:
    """Run the commands as a pipeline would, verbosely and with errors, and search everything they leave."""
    prodml = str(Path(sys.executable).with_name("prodml"))
    plain = {name: value for name, value in os.environ.items() if name != PASSPHRASE_VARIABLE}
    secret = {**plain, PASSPHRASE_VARIABLE: "correct-horse-battery"}
    make_waiver = [
        prodml,
        "waive",
        "fairness.age",
        "--model",
        "model.onnx",
        "--reason",
        "r",
        "--approver",
        "a",
    ]
    make_waiver += ["--days", "1", "--key", "k/risk.key", "--out"]
    subprocess.run([prodml, "keygen", "k/ci"], env=plain, check=True, capture_output=True)
    runs = [
        ([prodml, "keygen", "k/risk"], secret, 0),
        ([*make_waiver, "one.json"], secret, 0),
        ([*make_waiver, "two.json"], plain, 2),
        ([*make_waiver, "two.json"], {**plain, PASSPHRASE_VARIABLE: "wrong"}, 2),
        (
            [
                prodml,
                "verify",
                "one.json",
                "--key",
                "k/ci.key",
                "--model",
                "model.onnx",
                "--policy",
                "policy.toml",
            ],
            plain,
            2,
        ),
        (
            [
                prodml,
                "verify",
                "one.json",
                "--key",
                "k/ci.pub",
                "--model",
                "model.onnx",
                "--policy",
                "policy.toml",
            ],
            plain,
            12,
        ),
        (
            [
                prodml,
                "verify",
                "k/ci.key",
                "--key",
                "k/ci.pub",
                "--model",
                "model.onnx",
                "--policy",
                "k/ci.key",
            ],
            plain,
            2,
        ),
        ([prodml, "show", "k/ci.key"], plain, 11),
    ]
    seen = b""
    for command, environment, code in runs:
        finished = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert finished.returncode == code, finished.stderr
        seen += finished.stdout + finished.stderr
    for path in desk.root.rglob("*"):
        if path.is_file() and path.suffix != ".key":
            seen += path.read_bytes()
    for private, passphrase in (("ci", None), ("risk", b"correct-horse-battery")):
        for form in secrets(desk.root / "k" / f"{private}.key", passphrase):
            assert form not in seen
    assert b"correct-horse-battery" not in seen
