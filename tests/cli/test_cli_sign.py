"""`prodml sign`: nothing is signed unchecked, and what is there is never changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import (
    NOW,
    POLICY_TOML,
    Desk,
    edited,
    not_ready,
    ready_with_waiver,
    rebuilt,
    signed,
    with_payload,
)
from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.cli import main
from pytest_prodml.codec import encode
from trust_factory import BOTH, PEOPLE, codes, entry, gate, revocation_list, signed_trust, write_trust

AT = "2026-11-22T09:31:00Z"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    desk = Desk(tmp_path)
    write_trust(desk)
    desk.certify(signers=("ci",))
    return desk


def sign(desk: Desk, *more: object, key: str = "ds", known: Any = ("--trust", "trust.toml")) -> int:
    desk.key(key)
    arguments = ["sign", "certificate.json", "--key", f"keys/{key}.key", "--model", "model.onnx", "--at", AT]
    return main([str(item) for item in (*arguments, *known, *more)])


def test_the_second_role_signs(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    before = parse_envelope(desk.certificate.read_bytes())
    assert codes(gate(desk)) == ["role"]
    assert sign(desk) == 0
    assert "complete: every role has signed" in capsys.readouterr().out
    after = parse_envelope(desk.certificate.read_bytes())
    assert after.payload == before.payload
    assert after.signatures[:1] == before.signatures
    assert len(after.signatures) == 2
    assert codes(gate(desk)) == []
    assert sorted(path.name for path in desk.root.iterdir()) == [
        "certificate.json", "keys", "model.onnx", "policy.toml", "trust.toml",
    ]  # fmt: skip


def test_a_role_that_is_still_missing_is_named(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    people = {**PEOPLE, "ds2": "data-science"}
    write_trust(desk, people=people, roles="data-science = 2\nplatform = 1")
    assert sign(desk) == 0
    assert "missing: 1 more of the role data-science" in capsys.readouterr().out
    assert sign(desk, key="ds2") == 0
    assert "complete" in capsys.readouterr().out


def test_the_first_signature(desk: Desk) -> None:
    desk.certify(signers=())
    assert sign(desk, key="ci") == 0
    assert sign(desk) == 0
    assert codes(gate(desk)) == []


def test_without_a_trust_root(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert sign(desk, known=("--signed-by", desk.public("ci"))) == 0
    assert "signatures: 2" in capsys.readouterr().out
    assert codes(gate(desk)) == []


def test_another_file(desk: Desk) -> None:
    before = desk.certificate.read_bytes()
    assert sign(desk, "--out", "signed/certificate.json") == 0
    assert desk.certificate.read_bytes() == before
    assert codes(gate(desk, (desk.root / "signed" / "certificate.json").read_bytes())) == []


def other_signature(desk: Desk) -> None:
    desk.certify(signers=("ci", "other"))


def changed_number(desk: Desk) -> None:
    data = desk.certificate.read_bytes()
    payload = parse_envelope(data).payload
    desk.certificate.write_bytes(with_payload(data, payload.replace(b'"value":0.78', b'"value":0.99')))


def lie(desk: Desk) -> None:
    data = desk.certify(not_ready(desk))
    desk.certificate.write_bytes(signed(desk, edited(data, decision=encode(desk.build().decision))))


def other_model(desk: Desk) -> None:
    desk.model.write_bytes(b"other")


def expired(desk: Desk) -> None:
    early = NOW - timedelta(days=91)
    desk.certify(replace(desk.build(), issued_at=early, expires_at=early + timedelta(days=90)))


def refused_model(desk: Desk) -> None:
    desk.certify(not_ready(desk))


def broken(desk: Desk) -> None:
    desk.certificate.write_bytes(desk.certificate.read_bytes()[:-1])


def no_certificate(desk: Desk) -> None:
    desk.certificate.write_bytes(desk.waiver(signer="ci"))


def other_payload_type(desk: Desk) -> None:
    payload = parse_envelope(desk.certificate.read_bytes()).payload
    desk.certificate.write_bytes(signed(desk, payload, payload_type="application/json"))


def self_approved(desk: Desk) -> None:
    desk.certify(ready_with_waiver(desk, signer="ds"), signers=("ci",))


def ended_trust(desk: Desk) -> None:
    write_trust(desk, head="expires = 2026-11-22T09:30:59Z")


def ended_key(desk: Desk) -> None:
    write_trust(desk, windows={"ds": "valid_until = 2026-11-22T09:30:59Z"})


def missing_list(desk: Desk) -> None:
    write_trust(desk, revocation='role = "security"\nrequired = true')


@pytest.mark.parametrize(
    ("prepare", "code", "told"),
    [
        (other_signature, 12, "a signature that is there is by no known key"),
        (changed_number, 12, "a signature that is there is by no known key"),
        (lie, 17, "says READY, but its own evidence and policy give NOT_READY"),
        (other_model, 13, "subject-differs"),
        (expired, 14, "expired"),
        (refused_model, 1, "not-ready"),
        (broken, 11, "malformed"),
        (no_certificate, 11, "predicate-type"),
        (other_payload_type, 11, "payload-type"),
        (self_approved, 16, "waiver-self-approved"),
        (ended_trust, 12, "trust-expired"),
        (ended_key, 12, "key-validity"),
        (missing_list, 16, "revocation-missing"),
    ],
    ids=lambda item: getattr(item, "__name__", None),
)
def test_what_is_not_signed(
    desk: Desk, prepare: Any, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(desk)
    before = desk.certificate.read_bytes()
    assert sign(desk) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err
    assert "was not signed" in captured.err
    assert desk.certificate.read_bytes() == before


def test_a_record_is_signed_only_when_told(desk: Desk) -> None:
    desk.certify(not_ready(desk), signers=("ci",))
    assert sign(desk) == 1
    assert sign(desk, "--record") == 0
    assert codes(gate(desk))[0] == "not-ready", "no number of signatures makes it ready"
    desk.certify(not_ready(desk), signers=("ci",))
    other_model(desk)
    assert sign(desk, "--record") == 13, "a record of another model is no record"


def test_record_does_not_cover_a_policy_that_is_not_met(desk: Desk) -> None:
    asks_more = POLICY_TOML.replace('"performance.auc"]', '"performance.auc", "latency.p99"]', 1)
    (desk.root / "strict.toml").write_text(asks_more)
    assert sign(desk, "--policy", "strict.toml") == 15
    assert sign(desk, "--policy", "strict.toml", "--record") == 15
    assert sign(desk, "--policy", "policy.toml") == 0


@pytest.mark.parametrize("key", ["risk", "sec", "other"])
def test_a_key_without_a_role_that_signs(desk: Desk, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sign(desk, key=key) == 12
    assert "has no role in the trust root" in capsys.readouterr().err


def test_a_revoked_key_and_a_revoked_model(desk: Desk) -> None:
    for item in (entry("key", desk.key("ds").keyid), entry("subject", desk.subject().digest["sha256"])):
        path = revocation_list(desk, item)
        assert sign(desk, "--revocations", path) == 16
    assert sign(desk, "--revocations", revocation_list(desk)) == 0


def test_a_key_signs_once(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert sign(desk) == 0
    before = desk.certificate.read_bytes()
    assert sign(desk) == 2
    assert "has signed already" in capsys.readouterr().err
    assert desk.certificate.read_bytes() == before


def test_a_false_hint_hides_no_signature(desk: Desk) -> None:
    """The hint of the first signature is anybody's text: signing again with that key is still refused."""
    assert sign(desk) == 0
    data = desk.certificate.read_bytes()
    signatures = [{**item, "keyid": ""} for item in json.loads(data)["signatures"]]
    desk.certificate.write_bytes(rebuilt(data, signatures=signatures))
    assert sign(desk) == 2


def test_waivers_without_a_trust_root_need_their_approver(desk: Desk) -> None:
    desk.certify(ready_with_waiver(desk), signers=("ci",))
    known = ("--signed-by", desk.public("ci"))
    assert sign(desk, known=known) == 16
    assert sign(desk, "--waiver-key", desk.public("risk"), known=known) == 0


def test_a_signed_trust_root(desk: Desk) -> None:
    trust = signed_trust(desk)
    assert sign(desk, known=("--trust", trust)) == 2, "without the root key"
    assert sign(desk, known=("--trust", trust, "--root", desk.public("other"))) == 12
    assert sign(desk, known=("--trust", trust, "--root", desk.public("root"))) == 0


def test_usage(desk: Desk) -> None:
    public = str(desk.public("ci"))
    for known, more in (
        (("--trust", "trust.toml"), ("--signed-by", public)),
        (("--trust", "trust.toml"), ("--waiver-key", public)),
        (("--signed-by", public), ("--root", public)),
        (("--signed-by", public), ("--revocations", "list.json")),
        (("--trust", "absent.toml"), ()),
        (("--signed-by", "keys/ci.key"), ()),
        (("--trust", "trust.toml"), ("--policy", "absent.toml")),
        (("--trust", "trust.toml"), ("--out", "policy.toml/certificate.json")),
    ):
        assert sign(desk, *more, known=known) == 2, (known, more)
    assert main(["sign", "certificate.json", "--key", "keys/ds.key", "--trust", "trust.toml"]) == 2
    desk.certificate.unlink()
    assert sign(desk) == 2


def test_two_who_sign_at_once_lose_nothing(desk: Desk) -> None:
    desk.certify(signers=())
    for name in BOTH:
        desk.key(name)
    prodml = str(Path(sys.executable).with_name("prodml"))
    common = ["--model", "model.onnx", "--trust", "trust.toml", "--at", AT]
    running = [
        subprocess.Popen(
            [prodml, "sign", "certificate.json", "--key", f"keys/{name}.key", *common],
            env=os.environ,
            stdout=subprocess.DEVNULL,
        )
        for name in BOTH
    ]
    assert [process.wait() for process in running] == [0, 0]
    assert codes(gate(desk)) == []
