"""`prodml trust` and `prodml verify --trust`: as typed, with the exit codes of the procedure."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from certificate_factory import NOW, Desk
from pytest_prodml.cli import main
from pytest_prodml.policy.load import load_policy, policy_digest
from trust_factory import BOTH, revocation_list, signed_trust, trust_text, write_trust

AT = ("--at", "2026-11-22T09:31:00Z")
UNTIL = "expires = 2026-12-22T00:00:00Z"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    desk = Desk(tmp_path)
    desk.certify(signers=BOTH)
    for name in ("root", "new"):
        desk.key(name)
    write_trust(desk, head=UNTIL, root=("root",))
    return desk


def verify(*more: object) -> int:
    arguments = ["verify", "certificate.json", "--model", "model.onnx", "--policy", "policy.toml", *AT, *more]
    return main([str(item) for item in arguments])


def trust(*arguments: object) -> int:
    return main([str(item) for item in ("trust", *arguments)])


def test_verify_with_an_unsigned_trust_root(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify("--trust", "trust.toml") == 0
    out = capsys.readouterr().out
    assert "signed as data-science by ds" in out
    assert "signed as platform by ci" in out
    assert verify("--trust", "trust.toml", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["roles"], report["trustVersion"]) == ({"data-science": ["ds"], "platform": ["ci"]}, 1)
    desk.certify(signers=("ci",))
    assert verify("--trust", "trust.toml") == 12
    assert "role [data-science]: 0 of the keys of the role data-science signed" in capsys.readouterr().err


def test_sign_check_and_verify(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert trust("sign", "trust.toml", "--key", "keys/root.key", "--out", "trust.json") == 0
    assert "complete: every root has signed" in capsys.readouterr().out
    assert trust("check", "trust.json", "--root", "keys/root.pub", *AT) == 0
    out = capsys.readouterr().out
    assert "trust root 1, valid until 2026-12-22T00:00:00Z" in out
    assert "  data-science: 1 must sign a certificate\n    ds " in out
    assert "  risk: approves waivers\n    risk " in out
    assert "  security: signs revocation lists\n    sec " in out
    assert verify("--trust", "trust.json", "--root", "keys/root.pub") == 0
    assert verify("--trust", "trust.json") == 2
    assert verify("--trust", desk.root / "trust.toml", "--root", "keys/root.pub") == 2
    assert verify("--trust", "trust.json", "--root", "keys/new.pub") == 12
    assert trust("check", "trust.json", "--root", "keys/new.pub", *AT) == 12
    assert trust("check", "trust.json", "--root", "keys/root.pub", "--at", "2026-12-22T00:00:00Z") == 12
    assert "trust-expired" in capsys.readouterr().err


def test_the_next_version_needs_both_roots(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert trust("sign", "trust.toml", "--key", "keys/root.key", "--out", "v1.json") == 0
    (desk.root / "trust.toml").write_text(trust_text(desk, version=2, head=UNTIL, root=("new",)))
    capsys.readouterr()
    assert (
        trust("sign", "trust.toml", "--key", "keys/new.key", "--previous", "v1.json", "--out", "v2.json") == 0
    )
    assert "missing: 1 more of the previous root keys" in capsys.readouterr().out
    state = ("--root", "keys/root.pub", "--state", "state.json")
    assert trust("check", "v1.json", *state, *AT) == 0
    assert trust("check", "v2.json", *state, *AT) == 12
    assert trust("sign", "v2.json", "--key", "keys/root.key") == 2, "without --previous it is no root key"
    assert trust("sign", "v2.json", "--key", "keys/root.key", "--previous", "v1.json") == 0
    assert "complete" in capsys.readouterr().out
    assert trust("check", "v2.json", *state, *AT) == 0
    assert verify("--trust", "v2.json", *state) == 0
    assert verify("--trust", "v1.json", *state) == 12
    assert "trust-root" in capsys.readouterr().err, "the roots of version 2 never signed version 1"
    shutil.copy("v1.json", "same-roots.json")
    assert verify("--trust", "v2.json", "--root", "keys/new.pub") == 0


def test_what_is_not_signed(desk: Desk) -> None:
    sign = ("sign", "trust.toml", "--key")
    assert trust(*sign, "keys/root.key") == 2, "no --out"
    assert trust(*sign, "keys/ci.key", "--out", "t.json") == 2, "no root key"
    assert trust(*sign, "keys/root.pub", "--out", "t.json") == 2
    assert trust(*sign, "keys/root.key", "--out", "policy.toml") == 2, "not overwritten"
    assert trust("sign", "absent.toml", "--key", "keys/root.key", "--out", "t.json") == 2
    assert trust(*sign, "keys/root.key", "--out", "policy.toml/t.json") == 2
    for text in (
        trust_text(desk),
        trust_text(desk, head=UNTIL),
        trust_text(desk, root=("root",)),
        trust_text(desk, head=UNTIL, root=("root",), root_threshold=2),
        trust_text(desk, head=UNTIL, root=("root",), version=0),
    ):
        (desk.root / "trust.toml").write_text(text)
        assert trust(*sign, "keys/root.key", "--out", "t.json") == 2
    assert not (desk.root / "t.json").exists()


def test_a_version_that_does_not_follow(desk: Desk) -> None:
    assert trust("sign", "trust.toml", "--key", "keys/root.key", "--out", "v1.json") == 0
    for version in (1, 3):
        (desk.root / "trust.toml").write_text(trust_text(desk, version=version, head=UNTIL, root=("root",)))
        out = f"v{version}-again.json"
        assert (
            trust("sign", "trust.toml", "--key", "keys/root.key", "--previous", "v1.json", "--out", out) == 2
        )


def test_a_key_signs_a_trust_root_once(desk: Desk) -> None:
    path = signed_trust(desk)
    assert trust("sign", path, "--key", "keys/root.key") == 2
    path.write_bytes(b"{}")
    assert trust("sign", path, "--key", "keys/root.key") == 2


def test_the_digest_of_a_policy(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert trust("digest", "policy.toml") == 0
    digest = policy_digest(load_policy(desk.policy))
    assert capsys.readouterr().out == f"{digest}  policy.toml\n"
    write_trust(desk, head=f'gate_policies = ["{digest}"]')
    assert verify("--trust", "trust.toml") == 0
    (desk.root / "trust.toml").write_text(trust_text(desk, head=f'gate_policies = ["{"0" * 64}"]'))
    assert verify("--trust", "trust.toml") == 15
    assert trust("digest", "absent.toml") == 2
    assert trust() == 2


def test_revocations_and_state_on_the_command_line(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    write_trust(desk, head="require_state = true", revocation='role = "security"')
    assert verify("--trust", "trust.toml") == 16
    assert "revocation-missing" in capsys.readouterr().err
    path = revocation_list(desk)
    assert verify("--trust", "trust.toml", "--revocations", path) == 2
    assert verify("--trust", "trust.toml", "--revocations", path, "--state", "state.json") == 0
    desk.certify(desk.build(issued_at=NOW - timedelta(seconds=1)), signers=BOTH)
    assert verify("--trust", "trust.toml", "--revocations", path, "--state", "state.json") == 14
    assert "replay" in capsys.readouterr().err
    assert (
        verify("--trust", "trust.toml", "--revocations", "http://127.0.0.1/l", "--state", "state.json") == 16
    )


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--key", "keys/ci.pub", "--trust", "trust.toml"),
        ("--trust", "trust.toml", "--waiver-key", "keys/risk.pub"),
        ("--key", "keys/ci.pub", "--revocations", "list.json"),
        ("--key", "keys/ci.pub", "--root", "keys/root.pub"),
        ("--trust", "trust.toml", "--root-threshold", "1"),
        ("--trust", "absent.toml"),
        ("--trust", "policy.toml"),
        ("--trust", "keys/ci.key"),
        ("--trust", "keys"),
    ],
)
def test_usage(desk: Desk, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    desk.public("risk")
    assert verify(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
