"""The reference pages say what the program does: help texts, exit codes, reason codes, and every command."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certificate_factory import Desk
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.digest import directory_subject
from pytest_prodml.certificate.runlog import SEAL_TYPE
from pytest_prodml.certificate.signers.local import load_signing_key
from pytest_prodml.certificate.statement import CERTIFICATE_TYPE
from pytest_prodml.certificate.waiver import WAIVER_TYPE
from pytest_prodml.cli import main
from pytest_prodml.verify.fragment import MERGE_REASONS
from pytest_prodml.verify.report import REASONS, ExitCode
from pytest_prodml.verify.revocation import REVOCATIONS_TYPE
from pytest_prodml.verify.trustroot import TRUST_ROOT_TYPE

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
CLI = (REFERENCE / "cli.md").read_text(encoding="utf-8")
FORMAT = (REFERENCE / "certificate-format.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def shell(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a block as a reader would, with the installed `prodml` first on the path."""
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=directory,
        env={"PATH": path, "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )


COMMANDS = [
    "",
    "keygen",
    "verify",
    "show",
    "export",
    "merge",
    "deepchecks",
    "deepchecks install",
    "deepchecks check",
    "schema",
    "waive",
    "sign",
    "revoke",
    "trust sign",
    "trust check",
    "trust digest",
]


@pytest.mark.parametrize("arguments", [command.split() for command in COMMANDS])
def test_help_texts(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main([*arguments, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown in blocks(CLI, "text"), "docs/reference/cli.md differs from --help with COLUMNS=100"


def test_exit_codes_and_reasons() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", FORMAT, flags=re.MULTILINE)}
    assert listed == {int(code) for code in ExitCode}
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \| (.+) \|$", FORMAT, flags=re.MULTILINE)
    assert [(code, int(number), text) for code, number, text in rows] == [
        (code, int(exit_code), text) for code, (exit_code, text) in REASONS.items()
    ]


def test_reasons_for_which_runs_are_not_merged() -> None:
    rows = re.findall(r"^\| `(fragment-[a-z]+)` \| (\d+) \| (.+) \|$", CLI, flags=re.MULTILINE)
    assert [(code, int(number), text) for code, number, text in rows] == [
        (code, int(exit_code), text) for code, (exit_code, text) in MERGE_REASONS.items()
    ]


def test_types() -> None:
    assert CERTIFICATE_TYPE in FORMAT
    assert WAIVER_TYPE in FORMAT
    assert TRUST_ROOT_TYPE in FORMAT
    assert REVOCATIONS_TYPE in FORMAT
    assert SEAL_TYPE in FORMAT


def test_the_commands_of_the_page_work_together(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    keygen, verify, waive = blocks(CLI, "bash")
    for script in (keygen, waive):
        finished = shell(script, tmp_path)
        assert finished.returncode == 0, finished.stderr
    waiver = (tmp_path / "waivers" / "age.json").read_bytes()
    certificate = desk.build(age_gap=0.2, waivers=[waiver], issued_at=datetime.now(UTC))
    desk.certificate.write_bytes(issue(certificate, [load_signing_key(tmp_path / "keys" / "ci.key")]))
    finished = shell(verify, tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "READY_WITH_WAIVERS" in finished.stdout


def test_the_shell_commands_of_the_format_page(tmp_path: Path) -> None:
    manifest, ed25519, p256 = blocks(FORMAT, "bash")
    desk = Desk(tmp_path)
    data = desk.certify()
    (tmp_path / "ci.pub").write_bytes(desk.public().read_bytes())
    finished = shell(ed25519, tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "Verified Successfully" in finished.stdout
    desk.certificate.write_bytes(data.replace(b'"payloadType":"a', b'"payloadType":"b'))
    assert shell(ed25519, tmp_path).returncode != 0

    (tmp_path / "p256").mkdir()
    other = Desk(tmp_path / "p256")
    other.key("ci", key_type="p256")
    other.certify()
    (other.root / "ci.pub").write_bytes(other.public().read_bytes())
    script = ed25519.rpartition("openssl pkeyutl")[0] + p256
    finished = shell(script, other.root)
    assert (finished.returncode, finished.stdout) == (0, "Verified OK\n"), finished.stderr

    bundle = tmp_path / "bundle"
    (bundle / "sub").mkdir(parents=True)
    (bundle / "sub" / "a.bin").write_bytes(b"a")
    (bundle / "b c.txt").write_bytes(b"b")
    assert shell(manifest, bundle).stdout.split()[0] == directory_subject(bundle).digest["sha256"]
