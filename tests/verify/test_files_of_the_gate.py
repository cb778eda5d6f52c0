"""The files that a gate keeps and reads: whose they are, how long they may be, and what is refused for it."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import NOW, Desk, ready_with_waiver
from pytest_prodml.codec import ENVELOPE_LIMITS
from pytest_prodml.errors import ConfigurationError
from pytest_prodml.verify.acceptance import accept_trust, open_list
from pytest_prodml.verify.fetch import read_revocations_from
from pytest_prodml.verify.report import Reason, RefusalError, VerificationReport
from pytest_prodml.verify.state import SeenTrust, State, StateFile, locked, locked_state
from pytest_prodml.verify.trustfile import load_trust
from trust_factory import BOTH, LATER, codes, gate, revocation_list, signed_trust, write_trust

STATE_BYTES, TRUST_BYTES = 16 * 2**20, 2**20


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    write_trust(desk)
    desk.certify(signers=BOTH)
    return desk


# --- the lock -----------------------------------------------------------------------------------------------


def test_the_lock_is_its_owners(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with locked(tmp_path / "state.json"):
            mode = (tmp_path / "state.json.lock").stat().st_mode
    finally:
        os.umask(before)
    assert stat.S_IMODE(mode) == 0o600


def test_a_lock_that_turns_into_a_link_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write the folder could move the lock away and point to it: a second gate would see no lock."""
    lock = tmp_path / "state.json.lock"

    def swapped(*_: object) -> None:
        if not lock.is_symlink():
            lock.rename(tmp_path / "moved")
            lock.symlink_to(tmp_path / "moved")

    monkeypatch.setattr(fcntl, "flock", swapped)
    with (
        pytest.raises(RefusalError, match="can not be locked"),
        locked(tmp_path / "state.json", seconds=0.05),
    ):
        pass


def test_a_path_that_can_not_be_one(desk: Desk) -> None:
    with pytest.raises(RefusalError) as refused, locked_state(Path("a\0b")):
        pass
    assert refused.value.reason == Reason(
        code="state", message="can not be locked: the path holds a NUL", path="a\0b"
    )
    with pytest.raises(RefusalError) as refused, locked_state(desk.root / "absent" / "state.json"):
        pass
    assert refused.value.reason.message == "can not be locked: No such file or directory"


# --- the state ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o755, 0o645])
def test_a_state_that_others_may_read_is_believed(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "state.json"
    path.write_text("{}")
    path.chmod(mode)
    assert StateFile(path).state == State()


def test_a_state_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    """Cut off at the limit it would be a state, and an older one than was written."""
    path = tmp_path / "state.json"
    path.write_bytes(b'{"format":1}'.ljust(STATE_BYTES))
    assert StateFile(path).state == State()
    for more in (1, 2, 100):
        path.write_bytes(b'{"format":1}'.ljust(STATE_BYTES + more - 1) + b"x")
        with pytest.raises(RefusalError) as refused:
            StateFile(path)
        message = "the state has more than 16,777,216 bytes"
        assert refused.value.reason == Reason(code="state", message=message, path=str(path))


def test_a_state_that_can_not_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = StateFile(tmp_path / "state.json")
    monkeypatch.setattr("pytest_prodml.verify.state.write_atomically", full)
    with pytest.raises(RefusalError) as refused:
        file.advance(State(trust=SeenTrust(version=1, digest="a")))
    message = "the state can not be written: No space left on device"
    assert refused.value.reason == Reason(code="state", message=message, path=str(tmp_path / "state.json"))
    assert file.state == State()


def test_an_unsigned_trust_root_leaves_no_root_keys(desk: Desk) -> None:
    """It may carry the keys that will sign it one day; until then they vouch for nothing."""
    write_trust(desk, root=["root"])
    state = desk.root / "state.json"
    assert codes(gate(desk, state=state)) == []
    with locked_state(state) as file:
        seen = file.state.trust
    assert seen == SeenTrust(version=1, digest=load_trust(desk.root / "trust.toml").digest)
    assert codes(gate(desk, state=state)) == []


@pytest.mark.parametrize(
    ("keys", "threshold", "told"),
    [
        (
            ["junk"],
            1,
            "the root keys in the state can not be read: is not one public key in PEM (found: no PEM block)",
        ),
        ([], 0, "the root keys in the state can not meet their own threshold"),
        (["root"], 2, "the root keys in the state can not meet their own threshold"),
        (["root", "root"], 2, "the root keys in the state can not meet their own threshold"),
    ],
)
def test_root_keys_of_a_state_that_can_not_vouch(
    desk: Desk, keys: list[str], threshold: int, told: str
) -> None:
    path = signed_trust(desk)
    pems = tuple(name if name == "junk" else desk.public(name).read_text("ascii") for name in keys)
    seen = SeenTrust(version=1, digest="a" * 64, root_keys=pems, root_threshold=threshold)
    state = desk.root / "state.json"
    with locked_state(state) as file:
        file.advance(State(trust=seen))
    report = gate(desk, trust=path, roots=[desk.public("root")], state=state)
    reason = Reason(code="state", message=told, path=str(state))
    assert report == VerificationReport(checked_at=LATER, reasons=(reason,))


def test_a_trust_root_is_remembered_by_whoever_signs_too(desk: Desk) -> None:
    state, path = desk.root / "state.json", desk.root / "trust.toml"
    for version, refused in ((2, False), (3, False), (2, True), (3, False)):
        write_trust(desk, version=version)
        assert accept_trust(path, None, None, LATER).document.version == version
        if refused:
            with pytest.raises(RefusalError) as found:
                accept_trust(path, None, state, LATER)
            assert found.value.reason.code == "trust-rollback"
        else:
            assert accept_trust(path, None, state, LATER).document.version == version
    assert json.loads(state.read_bytes())["trust"]["version"] == 3


def test_a_list_for_whoever_signs(desk: Desk) -> None:
    windows = {"sec": "valid_until = 2026-11-22T09:31:00Z"}
    trust = load_trust(write_trust(desk, windows=windows))
    source = revocation_list(desk)
    assert open_list(None, trust, NOW) is None
    assert open_list(source, None, NOW) is None
    found = open_list(source, trust, NOW)
    assert found is not None
    assert found.version == 1
    with pytest.raises(RefusalError) as refused:
        open_list(source, trust, LATER)
    message = "no key that may sign revocation lists signed this one"
    assert refused.value.reason == Reason(code="revocation-untrusted", message=message, path=source)


def test_plain_keys_count_beside_a_state_as_without(desk: Desk) -> None:
    data = desk.certify(ready_with_waiver(desk), signers=("ci",))
    state = desk.root / "state.json"
    for remembered in (None, state):
        keys: dict[str, Any] = {"trust": None, "keys": [desk.public("ci")], "state": remembered}
        assert codes(gate(desk, data, **keys)) == ["waiver-untrusted"]
        assert codes(gate(desk, data, **keys, waiver_keys=[desk.public("risk")])) == []
        assert codes(gate(desk, data, **{**keys, "keys": [desk.public("other")]})) == ["untrusted"]
    assert json.loads(state.read_bytes())["models"].keys() == {"credit-default"}


# --- lengths ------------------------------------------------------------------------------------------------


def test_the_length_of_a_trust_root(desk: Desk) -> None:
    path = desk.root / "trust.toml"
    text = path.read_bytes() + b"\n#"
    path.write_bytes(text.ljust(TRUST_BYTES, b"-"))
    assert load_trust(path).document.version == 1
    path.write_bytes(text.ljust(TRUST_BYTES + 1, b"-"))
    with pytest.raises(ConfigurationError, match="has more than 1,048,576 bytes"):
        load_trust(path)


def test_no_more_of_a_list_is_read_than_it_takes_to_refuse_it(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.touch()
    os.truncate(path, ENVELOPE_LIMITS.size_bytes + 100)
    assert len(read_revocations_from(str(path))) == ENVELOPE_LIMITS.size_bytes + 1


def test_a_refusal_names_its_place() -> None:
    assert str(RefusalError(Reason(code="state", message="is gone", path="s.json"))) == "s.json: is gone"
    assert str(RefusalError(Reason(code="state", message="is gone"))) == "is gone"
    assert RefusalError(Reason(code="state", message="is gone")).where is None
