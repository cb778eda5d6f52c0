"""The page on roles, rotation and revocation, done as it is written, by one who has a certificate."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from certificate_factory import Desk
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.signers.local import load_signing_key

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "roles-rotation-revocation.md"
BLOCK = re.compile(r'^```(bash|toml title="trust.toml")\n(.*?)^```$', re.DOTALL | re.MULTILINE)


def run(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=directory,
        env={"PATH": path, "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_command_works_as_it_is_typed(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    desk = Desk(tmp_path)
    # The years of the page lie around its own; a reader of a later year would write later ones.
    text = PAGE.read_text(encoding="utf-8").replace("2027-", f"{now.year + 1}-")
    said = []
    for kind, block in BLOCK.findall(text):
        if kind != "bash":
            (tmp_path / "trust.toml").write_text(block, encoding="utf-8")
            continue
        done = run(block, tmp_path)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
        said.append(done.stdout)
        if not desk.certificate.exists():
            signer = load_signing_key(tmp_path / "keys" / "ci.key")
            desk.certificate.write_bytes(issue(desk.build(issued_at=now, started_at=now), [signer]))
    accepted = [out for out in said if "ACCEPTED" in out]
    assert len(accepted) == 3
    assert "signed as platform by ci\n" in accepted[0]
    assert "signed as platform by ci-next\n" in accepted[1], "the old key is revoked"
    state = json.loads((tmp_path / "state.json").read_bytes())
    assert state["trust"]["version"] == 4
    assert state["revocations"]["version"] == 4


def test_what_the_page_says_is_refused(tmp_path: Path) -> None:
    """Without the second role, and with the older trust root after the newer."""
    now = datetime.now(UTC)
    desk = Desk(tmp_path)
    text = PAGE.read_text(encoding="utf-8").replace("2027-", f"{now.year + 1}-")
    blocks = BLOCK.findall(text)
    keygen = next(block for kind, block in blocks if kind == "bash")
    trust = next(block for kind, block in blocks if kind != "bash")
    (tmp_path / "trust.toml").write_text(trust, encoding="utf-8")
    assert run(keygen, tmp_path).returncode == 0
    signer = load_signing_key(tmp_path / "keys" / "ci.key")
    desk.certificate.write_bytes(issue(desk.build(issued_at=now, started_at=now), [signer]))
    commands = [block for kind, block in blocks if kind == "bash"]
    make_list = commands[2].splitlines()[0]
    verify = commands[3]
    assert run(make_list, tmp_path).returncode == 0
    done = run(verify, tmp_path)
    assert done.returncode == 12
    assert "role [data-science]" in done.stderr
