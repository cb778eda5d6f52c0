"""Certificates of every version are kept here, as that version issued them, and verify for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.certificate.statement import read_certificate
from pytest_prodml.cli import main
from pytest_prodml.verify.report import ExitCode

HERE = Path(__file__).parent
KEPT = sorted(path.parent for path in HERE.glob("*/*/certificate.json"))
EXPECTED = {"ready": ExitCode.ACCEPTED, "waived": ExitCode.ACCEPTED, "not-ready": ExitCode.NOT_READY}


def verify(folder: Path, certificate: Path | None = None) -> int:
    arguments = [
        "verify",
        certificate or folder / "certificate.json",
        "--key",
        folder / "ci.pub",
        "--waiver-key",
        folder / "risk.pub",
        "--model",
        folder / "model.onnx",
        "--policy",
        folder / "policy.toml",
        "--at",
        "2026-11-22T09:31:00Z",
    ]
    return main([str(argument) for argument in arguments])


def test_there_is_one_of_each_kind_of_every_version() -> None:
    assert KEPT
    for version in {folder.parent for folder in KEPT}:
        assert {folder.name for folder in version.iterdir() if folder.is_dir()} == set(EXPECTED)


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_it_verifies_as_it_did(folder: Path) -> None:
    envelope = parse_envelope((folder / "certificate.json").read_bytes())
    assert read_certificate(envelope.payload).producer.version == folder.parent.name
    assert verify(folder) == EXPECTED[folder.name]


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_and_its_tampered_twin_does_not(folder: Path, tmp_path: Path) -> None:
    envelope = json.loads((folder / "certificate.json").read_bytes())
    middle = len(envelope["payload"]) // 2
    letter = "A" if envelope["payload"][middle] != "A" else "B"
    envelope["payload"] = envelope["payload"][:middle] + letter + envelope["payload"][middle + 1 :]
    twin = tmp_path / "certificate.json"
    twin.write_text(json.dumps(envelope), encoding="utf-8")
    assert verify(folder, twin) == ExitCode.UNTRUSTED
