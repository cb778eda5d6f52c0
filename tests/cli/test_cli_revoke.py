"""`prodml revoke`: the list grows, its version grows, and nobody else's list is taken over."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certificate_factory import Desk
from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.cli import main
from pytest_prodml.verify.revocation import RevocationList, read_revocations
from trust_factory import BOTH, PEOPLE, codes, gate, revocation_list, write_trust


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    desk = Desk(tmp_path)
    now = datetime.now(UTC)
    write_trust(desk, revocation='role = "security"')
    desk.certify(desk.build(issued_at=now, started_at=now), signers=BOTH)
    return desk


def revoke(desk: Desk, *more: object, key: str = "sec") -> int:
    desk.key(key)
    return main([str(item) for item in ("revoke", "list.json", "--key", f"keys/{key}.key", *more)])


def listed(desk: Desk) -> RevocationList:
    return read_revocations(parse_envelope((desk.root / "list.json").read_bytes()), where="list")


def judged(desk: Desk) -> list[str]:
    return codes(gate(desk, revocations="list.json", now=datetime.now(UTC)))


def test_a_first_list_and_the_next(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert revoke(desk) == 0
    assert "revocation list 1: 0 new, 0 in all" in capsys.readouterr().out
    assert judged(desk) == []
    assert revoke(desk, "--certificate", "certificate.json", "--reason", "wrong data") == 0
    assert "revocation list 2: 1 new, 1 in all" in capsys.readouterr().out
    assert judged(desk) == ["revoked"]
    assert revoke(desk) == 0
    made = listed(desk)
    assert (made.version, len(made.entries)) == (3, 1)
    assert made.entries[0].reason == "wrong data"
    assert made.next_update - made.issued_at == timedelta(hours=24)
    assert judged(desk) == ["revoked"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--certificate-id", "5f0c6a52-7d0b-4a55-9d53-6c1f7b1a4c11"),
        ("--model", "model.onnx"),
        ("--revoked-key", "keys/ci.pub"),
    ],
)
def test_everything_that_can_be_revoked(desk: Desk, arguments: tuple[str, ...]) -> None:
    assert revoke(desk, *arguments, "--reason", "stolen") == 0
    assert judged(desk) == ["revoked"]


def test_by_number(desk: Desk) -> None:
    payload = json.loads(parse_envelope(desk.certificate.read_bytes()).payload)
    serial = payload["predicate"]["serial"]
    assert revoke(desk, "--serial", f"credit-default={serial + 1}", "--reason", "r") == 0
    assert judged(desk) == []
    assert revoke(desk, "--serial", f"credit-default={serial}", "--reason", "r") == 0
    assert judged(desk) == ["revoked"]
    assert (
        revoke(desk, "--subject-digest", "a" * 64, "--keyid", "b" * 64, "--waiver", "w", "--reason", "r") == 0
    )
    assert [entry.kind.value for entry in listed(desk).entries] == [
        "serial",
        "serial",
        "subject",
        "key",
        "waiver",
    ]


def test_the_same_thing_twice_is_one_entry(desk: Desk) -> None:
    for _ in range(2):
        assert revoke(desk, "--model", "model.onnx", "--reason", "r") == 0
    assert (listed(desk).version, len(listed(desk).entries)) == (2, 1)


def test_another_key_of_the_role_goes_on(desk: Desk) -> None:
    write_trust(desk, people={**PEOPLE, "sec2": "security"}, revocation='role = "security"')
    assert revoke(desk, "--waiver", "w", "--reason", "r") == 0
    assert revoke(desk, key="sec2") == 2
    assert revoke(desk, "--trust", "trust.toml", key="sec2") == 0
    assert (listed(desk).version, len(listed(desk).entries)) == (2, 1)
    assert judged(desk) == []


def test_a_planted_list_is_not_taken_over(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    Path(revocation_list(desk, signer="other")).rename(desk.root / "list.json")
    before = (desk.root / "list.json").read_bytes()
    assert revoke(desk, "--trust", "trust.toml") == 2
    assert "is not signed with a known key" in capsys.readouterr().err
    (desk.root / "list.json").write_bytes(b"{}")
    assert revoke(desk) == 2
    (desk.root / "list.json").write_bytes(before[:-1])
    assert revoke(desk) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("--model", "model.onnx"),
        ("--model", "model.onnx", "--reason", " "),
        ("--model", "absent", "--reason", "r"),
        ("--certificate", "policy.toml", "--reason", "r"),
        ("--certificate-id", "", "--reason", "r"),
        ("--serial", "5", "--reason", "r"),
        ("--serial", "m=", "--reason", "r"),
        ("--serial", "m=-5", "--reason", "r"),
        ("--serial", "m=05", "--reason", "r"),
        ("--keyid", "A" * 64, "--reason", "r"),
        ("--subject-digest", "abc", "--reason", "r"),
        ("--revoked-key", "keys/sec.key", "--reason", "r"),
        ("--revoked-key", "keys/sec.pub", "--reason", "r"),
        ("--next-update-hours", "0"),
        ("--next-update-hours", "9000"),
        ("--next-update-hours", "1.5"),
        ("--trust", "absent.toml", "--model", "model.onnx", "--reason", "r", "--unknown"),
    ],
)
def test_wrong_arguments_leave_no_list(
    desk: Desk, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert revoke(desk, *arguments) == 2
    assert not (desk.root / "list.json").exists()
    assert "Traceback" not in capsys.readouterr().err


def test_a_place_that_can_not_be_written(desk: Desk) -> None:
    desk.key("sec")
    assert main(["revoke", "policy.toml/list.json", "--key", "keys/sec.key"]) == 2
