"""A deployment needs neither pytest nor anything scientific: what the command loads is listed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from certificate_factory import Desk, ready_with_waiver
from trust_factory import BOTH, revocation_list, write_trust

FORBIDDEN = {
    "numpy",
    "pandas",
    "scipy",
    "sklearn",
    "pytest",
    "_pytest",
    "jinja2",
    "onnxruntime",
    "hypothesis",
    "fairlearn",
    "pandera",
}
LIST_MODULES = """
import sys
from pytest_prodml.cli import main
code = main(sys.argv[1:])
print(sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""


def modules(script: str, *arguments: str) -> set[str]:
    """Run a script that prints its modules to standard error and return them."""
    finished = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    return set(finished.stderr.strip().strip("[]").replace("'", "").split(", "))


def test_verify_loads_nothing_heavy(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.certify(ready_with_waiver(desk))
    loaded = modules(LIST_MODULES, *desk.arguments("--waiver-key", desk.public("risk")))
    assert "cryptography" in loaded, "it really verified"
    assert loaded & FORBIDDEN == set()
    assert not loaded & {"socket", "ssl", "http", "urllib3", "requests"}, "nothing that could dial out"


def test_a_trust_root_a_list_and_a_state_load_nothing_that_could_dial_out(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.certify(signers=BOTH)
    trust = write_trust(desk, revocation='role = "security"', head="require_state = true")
    arguments = ["verify", desk.certificate, "--model", desk.model, "--policy", desk.policy, "--trust", trust]
    arguments += ["--revocations", revocation_list(desk), "--state", tmp_path / "state.json"]
    loaded = modules(LIST_MODULES, *map(str, arguments), "--at", "2026-11-22T09:31:00Z")
    assert "fcntl" in loaded, "it really locked the state"
    assert loaded & FORBIDDEN == set()
    assert not loaded & {"socket", "ssl", "http", "urllib3", "requests"}


def test_plain_keys_load_nothing_of_a_trust_root(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.certify()
    script = LIST_MODULES.replace('name.partition(".")[0]', "name")
    loaded = modules(script, *desk.arguments())
    assert "pytest_prodml.verify.gate" in loaded
    heavy = {"trustroot", "trustfile", "revocation", "state", "acceptance", "standing", "fetch", "cosign"}
    assert not loaded & {f"pytest_prodml.verify.{name}" for name in heavy}


def test_importing_the_command_line_loads_almost_nothing() -> None:
    script = "import sys, pytest_prodml.cli; print(sorted(sys.modules), file=sys.stderr)"
    loaded = modules(script)
    assert "pytest_prodml.cli" in loaded
    ours = {name for name in loaded if name.startswith("pytest_prodml")}
    assert ours == {"pytest_prodml", "pytest_prodml.cli"}
    assert not {name.partition(".")[0] for name in loaded} & (FORBIDDEN | {"cryptography", "argparse"})


def test_identities_in_a_trust_root_load_nothing_where_keys_signed(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.certify(signers=BOTH)
    media_type = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
    (tmp_path / "trusted_root.json").write_text(f'{{"mediaType":"{media_type}"}}', encoding="utf-8")
    tail = """
[sigstore]
trusted_root = "trusted_root.json"
[identities.release]
role = "platform"
issuer = "https://token.actions.githubusercontent.com"
identity = "https://github.com/acme/churn/.github/workflows/release.yml@refs/heads/main"
"""
    arguments = ["verify", desk.certificate, "--model", desk.model, "--policy", desk.policy]
    arguments += ["--trust", write_trust(desk, tail=tail), "--at", "2026-11-22T09:31:00Z"]
    script = LIST_MODULES.replace('name.partition(".")[0]', "name")
    loaded = modules(script, *map(str, arguments))
    assert "pytest_prodml.verify.trustfile" in loaded, "it really read the trust root"
    assert "pytest_prodml.verify.keyless" not in loaded
    assert not {name.partition(".")[0] for name in loaded} & {"sigstore", "pydantic", "requests", "socket"}
