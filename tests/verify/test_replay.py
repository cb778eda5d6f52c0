"""Replay: with a state file the newest certificate of a model wins, and the file itself never goes back."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import NOW, Desk, not_ready, payload_of
from pytest_prodml import guard
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.statement import certificate_payload, read_certificate
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import CertificateError, MalformedError
from pytest_prodml.policy.load import load_policy
from pytest_prodml.records import Certificate
from pytest_prodml.verify.gate import Believed, verify_files
from pytest_prodml.verify.report import ExitCode, RefusalError, VerificationReport
from pytest_prodml.verify.state import State, locked, locked_state
from pytest_prodml.verify.subjects import present
from trust_factory import BOTH, LATER, codes, gate, write_trust


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    write_trust(desk)
    return desk


def shown(desk: Desk, certificate: Certificate, **changes: Any) -> VerificationReport:
    """Issue a certificate and verify it against the state file."""
    data = desk.certify(certificate, signers=BOTH)
    return gate(desk, data, **{"state": desk.root / "state.json", **changes})


def serial(desk: Desk, number: int | None, **changes: Any) -> Certificate:
    return replace(desk.build(certificate_id=f"c-{number}", **changes), serial=number)


# --- the certificate's own fields ---------------------------------------------------------------------------


def test_a_certificate_has_a_serial_and_a_nonce(desk: Desk) -> None:
    made = desk.build(nonce=None)
    assert made.serial == int(NOW.timestamp())
    assert made.nonce is not None
    assert len(made.nonce) == 32
    assert made.nonce != desk.build(nonce=None).nonce
    assert desk.build(serial=7).serial == 7
    assert read_certificate(certificate_payload(made)) == made


def test_certificates_of_the_first_version_have_neither_and_still_verify(desk: Desk) -> None:
    old = replace(desk.build(), serial=None, nonce=None)
    data = desk.certify(old, signers=BOTH)
    assert not {"serial", "nonce"} & payload_of(data)["predicate"].keys()
    assert codes(gate(desk, data)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"serial": -1},
        {"serial": 2**53},
        {"nonce": ""},
        {"nonce": "x" * 32},
        {"nonce": "a" * 31},
        {"nonce": "A" * 32},
    ],
)
def test_what_is_no_serial_or_nonce(desk: Desk, changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        issue(replace(desk.build(), **changes), [])


# --- newest wins --------------------------------------------------------------------------------------------


def test_an_older_certificate_is_refused(desk: Desk) -> None:
    old, new = serial(desk, 5), serial(desk, 6)
    assert codes(shown(desk, old)) == []
    assert codes(shown(desk, new)) == []
    report = shown(desk, old)
    assert codes(report) == ["replay"]
    assert report.exit_code == ExitCode.TIME
    assert codes(shown(desk, new)) == [], "the newest one, again and again"


def test_two_of_one_serial(desk: Desk) -> None:
    assert codes(shown(desk, serial(desk, 5))) == []
    assert codes(shown(desk, serial(desk, 5, model_version="2.1"))) == ["replay"]


def test_models_are_told_apart_by_name(desk: Desk) -> None:
    assert codes(shown(desk, serial(desk, 9))) == []
    assert codes(shown(desk, serial(desk, 3, model_name="other"))) == []
    assert codes(shown(desk, serial(desk, 8))) == ["replay"]


def test_a_refused_certificate_is_not_remembered(desk: Desk) -> None:
    refused = replace(not_ready(desk), serial=100)
    assert codes(shown(desk, refused))[0] == "not-ready"
    forged = gate(desk, desk.certify(serial(desk, 200), signers=("other",)), state=desk.root / "state.json")
    assert codes(forged) == ["untrusted"]
    assert codes(shown(desk, serial(desk, 5))) == []


def test_without_serials_the_time_of_issue_counts(desk: Desk) -> None:
    old, new = serial(desk, None), serial(desk, None, issued_at=NOW + timedelta(seconds=1))
    same_time = serial(desk, None, model_version="2.1", issued_at=NOW + timedelta(seconds=1))
    assert codes(shown(desk, old)) == []
    assert codes(shown(desk, new)) == []
    assert codes(shown(desk, old)) == ["replay"]
    assert codes(shown(desk, same_time)) == ["replay"]


def test_a_first_serial_follows_none(desk: Desk) -> None:
    """A model whose certificates had no serial yet: the first that has one is newer, and stays it."""
    assert codes(shown(desk, serial(desk, None, issued_at=NOW + timedelta(seconds=30)))) == []
    assert codes(shown(desk, serial(desk, 1))) == []
    assert codes(shown(desk, serial(desk, 0))) == ["replay"]


def test_leaving_the_serial_out_does_not_help(desk: Desk) -> None:
    assert codes(shown(desk, serial(desk, None))) == []
    assert codes(shown(desk, serial(desk, 5))) == []
    later = serial(desk, None, issued_at=NOW + timedelta(seconds=30))
    assert codes(shown(desk, later)) == ["replay"]


def test_a_trust_root_that_asks_for_a_state(desk: Desk) -> None:
    write_trust(desk, head="require_state = true")
    report = gate(desk, desk.certify(signers=BOTH))
    assert codes(report) == ["state"]
    assert report.exit_code == ExitCode.USAGE
    report = shown(desk, serial(desk, None))
    assert codes(report) == ["no-serial"]
    assert report.exit_code == ExitCode.TIME
    assert codes(shown(desk, serial(desk, 5))) == []


def test_plain_keys_with_a_state(desk: Desk) -> None:
    plain = {"trust": None, "keys": [desk.public("ci")]}
    assert codes(shown(desk, serial(desk, 6), **plain)) == []
    assert codes(shown(desk, serial(desk, 5), **plain)) == ["replay"]


def test_the_guard(desk: Desk) -> None:
    def load() -> bytes:
        return guard.load(
            desk.model,
            certificate=desk.certificate,
            policy=desk.policy,
            trust=desk.root / "trust.toml",
            state=desk.root / "state.json",
            now=NOW,
        )

    desk.certify(serial(desk, 6), signers=BOTH)
    assert load() == desk.model.read_bytes()
    desk.certify(serial(desk, 5), signers=BOTH)
    with pytest.raises(CertificateError, match="replay: the certificate c-6"):
        load()
    desk.certify(serial(desk, 7), signers=("ci",))
    with pytest.raises(CertificateError, match="role: 0 of the keys of the role data-science"):
        load()


# --- the file -----------------------------------------------------------------------------------------------


def test_what_the_file_holds(desk: Desk) -> None:
    assert codes(shown(desk, serial(desk, 6))) == []
    path = desk.root / "state.json"
    content = json.loads(path.read_bytes())
    assert content["models"]["credit-default"]["serial"] == 6
    assert content["trust"]["version"] == 1
    assert canonical_json(content) + b"\n" == path.read_bytes()
    assert not (desk.root / "state.json.lock").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"format":2}',
        b'{"format":1,"models":{"m":{}}}',
        b'{"format":1,"unknown":1}',
        b'{"format":1,"format":1}',
        b'{"format":1,"trust":{"version":"9","digest":"a"}}',
        b"\xff",
        b" " * (16 * 2**20 + 1),
    ],
)
def test_a_file_that_was_tampered_with_is_never_an_empty_one(desk: Desk, content: bytes) -> None:
    path = desk.root / "state.json"
    path.write_bytes(content)
    report = shown(desk, serial(desk, 5))
    assert codes(report) == ["state"]
    assert report.exit_code == ExitCode.USAGE
    assert path.read_bytes() == content


def test_a_file_that_others_may_write(desk: Desk) -> None:
    assert codes(shown(desk, serial(desk, 5))) == []
    for mode in (0o666, 0o664, 0o602):
        (desk.root / "state.json").chmod(mode)
        assert codes(shown(desk, serial(desk, 6))) == ["state"]


def test_links_and_devices(desk: Desk) -> None:
    path = desk.root / "state.json"
    target = desk.root / "elsewhere.json"
    target.write_bytes(canonical_json(encode(State())))
    path.symlink_to(target)
    assert codes(shown(desk, serial(desk, 5))) == ["state"]
    path.unlink()
    path.mkdir()
    assert codes(shown(desk, serial(desk, 5))) == ["state"]
    path.rmdir()
    os.mkfifo(path)
    assert codes(shown(desk, serial(desk, 5))) == ["state"]
    assert codes(shown(desk, serial(desk, 5), state=desk.root / "absent" / "state.json")) == ["state"]
    assert codes(shown(desk, serial(desk, 5), state=Path("a\0b"))) == ["state"]


def test_what_can_not_be_recorded_is_not_accepted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert codes(shown(desk, serial(desk, 5))) == []
    before = (desk.root / "state.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pytest_prodml.verify.state.write_atomically", full)
    report = shown(desk, serial(desk, 6))
    assert codes(report) == ["state"]
    assert "No space left" in report.reasons[0].message
    assert (desk.root / "state.json").read_bytes() == before
    assert codes(shown(desk, serial(desk, 5))) == [], "what is recorded already needs no writing"


def test_a_lock_that_is_held(desk: Desk) -> None:
    path = desk.root / "state.json"
    with (
        locked(path),
        pytest.raises(RefusalError, match="is locked by another process"),
        locked_state(path, seconds=0.1),
    ):
        pass
    with locked_state(path, seconds=0.1) as file:
        assert file.state == State()


def test_a_lock_left_by_a_process_that_died(desk: Desk) -> None:
    (desk.root / "state.json.lock").write_bytes(b"")
    assert codes(shown(desk, serial(desk, 5))) == []


def test_a_lock_that_is_a_link(desk: Desk) -> None:
    victim = desk.root / "victim"
    (desk.root / "state.json.lock").symlink_to(victim)
    assert codes(shown(desk, serial(desk, 5))) == ["state"]
    assert not victim.exists()


def _accept(directory: str, number: int) -> int:
    # Not a `Desk`: making one writes its files, and another process is reading them.
    root = Path(directory)
    report = verify_files(
        (root / f"{number}.json").read_bytes(),
        Believed(trust=root / "trust.toml", state=root / "state.json"),
        models=[present(root / "model.onnx")],
        policy=load_policy(root / "policy.toml"),
        now=LATER,
    )
    return int(report.exit_code)


def test_many_gates_at_once_end_with_the_newest(desk: Desk) -> None:
    numbers = list(range(1, 13))
    for number in numbers:
        data = issue(serial(desk, number), [desk.key(name) for name in BOTH])
        (desk.root / f"{number}.json").write_bytes(data)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.starmap(_accept, [(str(desk.root), number) for number in reversed(numbers)])
    assert set(found) <= {0, int(ExitCode.TIME)}
    assert found[0] == 0
    content = json.loads((desk.root / "state.json").read_bytes())
    assert content["models"]["credit-default"]["serial"] == 12


def test_two_holders_never_share_a_lock(desk: Desk) -> None:
    """The name is removed when the lock is given back: who waited must not hold the removed file."""
    path = desk.root / "state.json"
    with locked(path):
        lock = desk.root / "state.json.lock"
        lock.unlink()
        other = os.open(lock, os.O_RDWR | os.O_CREAT)
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RefusalError, match="locked"), locked(path, seconds=0.05):
            pass
        os.close(other)
