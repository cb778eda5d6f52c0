"""A signed trust root: its root keys vouch, it ends, it only moves forward, and old roots bless new ones."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certificate_factory import NOW, Desk, b64, rebuilt, with_payload
from pytest_prodml.certificate.document import add_signature
from pytest_prodml.certificate.dsse import envelope_json, parse_envelope, sign
from pytest_prodml.codec import canonical_json, parse_json
from pytest_prodml.errors import ConfigurationError, SigningKeyError
from pytest_prodml.verify.report import ExitCode, RefusalError, VerificationReport
from pytest_prodml.verify.trustfile import load_trust, open_signed, pin_of, sign_trust
from pytest_prodml.verify.trustroot import TRUST_ROOT_TYPE
from trust_factory import BOTH, PEOPLE, codes, gate, revocation_list, signed_trust, write_trust


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.certify(signers=BOTH)
    return desk


def judged(desk: Desk, trust: Path, *roots: str, **changes: Any) -> VerificationReport:
    return gate(desk, trust=trust, roots=[desk.public(name) for name in roots or ("root",)], **changes)


def test_it_is_believed_if_the_root_key_signed_it(desk: Desk) -> None:
    report = judged(desk, signed_trust(desk))
    assert codes(report) == []
    assert report.roles == {"data-science": ("ds",), "platform": ("ci",)}


def test_the_signed_file_carries_the_keys(desk: Desk) -> None:
    path = signed_trust(desk)
    for name in PEOPLE:
        desk.public(name).unlink()
    assert codes(judged(desk, path)) == []


@pytest.mark.parametrize("signers", [("other",), ("ci",), ("ds", "ci", "risk", "sec")])
def test_signed_by_somebody_else(desk: Desk, signers: tuple[str, ...]) -> None:
    report = judged(desk, signed_trust(desk, *signers))
    assert codes(report) == ["trust-root"]
    assert report.exit_code == ExitCode.UNTRUSTED


def test_edited_after_it_was_signed(desk: Desk) -> None:
    data = signed_trust(desk).read_bytes()
    payload = parse_envelope(data).payload
    path = desk.root / "edited.json"
    signature = json.loads(data)["signatures"]
    for edited in (
        with_payload(data, payload.replace(b'"platform":1', b'"platform":0')),
        with_payload(data, payload.replace(b'"version":1', b'"version":2')),
        rebuilt(data, payloadType="application/vnd.in-toto+json"),
        rebuilt(data, signatures=[]),
        rebuilt(data, signatures=[{**signature[0], "sig": b64(b"\0" * 64)}]),
        data[:-1],
        b"{}",
        b"{",
        b'{"a":' * 100_000,
    ):
        path.write_bytes(edited)
        assert codes(judged(desk, path)) == ["trust-root"]


def test_a_root_key_signs_nothing_that_is_no_trust_root(desk: Desk) -> None:
    """Documents of other kinds, and other spellings of this one, under a good root signature."""
    payload = parse_envelope(signed_trust(desk).read_bytes()).payload
    value = parse_json(payload)
    assert isinstance(value, dict)
    path = desk.root / "odd.json"
    odd = [
        (payload + b"\n", TRUST_ROOT_TYPE),
        (payload.replace(b'{"cert', b'{ "cert', 1), TRUST_ROOT_TYPE),
        (payload.replace(b'"version":1', b'"version":1,"version":1'), TRUST_ROOT_TYPE),
        (payload.replace(b'"version":1', b'"version":1.5'), TRUST_ROOT_TYPE),
        (canonical_json({**value, "extra": True}), TRUST_ROOT_TYPE),
        (canonical_json({key: item for key, item in value.items() if key != "expires"}), TRUST_ROOT_TYPE),
        (canonical_json({key: item for key, item in value.items() if key != "root"}), TRUST_ROOT_TYPE),
        (canonical_json({**value, "root": {"threshold": 0, "keys": []}}), TRUST_ROOT_TYPE),
        (payload, "application/vnd.in-toto+json"),
        (payload, "application/vnd.pytest-prodml.revocations.v1+json"),
        (b"[]", TRUST_ROOT_TYPE),
        (b"", TRUST_ROOT_TYPE),
    ]
    for content, kind in odd:
        path.write_bytes(envelope_json(sign(content, [desk.key("root")], payload_type=kind)))
        assert codes(judged(desk, path)) == ["trust-root"], content[:60]
    path.write_bytes(envelope_json(sign(payload, [desk.key("root")], payload_type=TRUST_ROOT_TYPE)))
    assert codes(judged(desk, path)) == []


def test_a_file_name_in_a_signed_root_is_not_followed(desk: Desk) -> None:
    value = parse_json(parse_envelope(signed_trust(desk).read_bytes()).payload)
    assert isinstance(value, dict)
    value["keys"]["ci"] = {"role": "platform", "file": "keys/ci.pub"}  # type: ignore[index, call-overload]
    path = desk.root / "odd.json"
    signer = desk.key("root")
    path.write_bytes(envelope_json(sign(canonical_json(value), [signer], payload_type=TRUST_ROOT_TYPE)))
    assert codes(judged(desk, path)) == ["trust-root"]


def test_the_threshold_of_the_pin(desk: Desk) -> None:
    """A pin of two keys asks for both, whatever threshold the file itself claims."""
    one = signed_trust(desk, "root", root=("root", "root2"), root_threshold=1)
    both = signed_trust(desk, "root", "root2", root=("root", "root2"), root_threshold=1)
    assert codes(judged(desk, one, "root", "root2")) == ["trust-root"]
    assert codes(judged(desk, both, "root", "root2")) == []
    assert codes(judged(desk, one, "root", "root2", root_threshold=1)) == []
    assert codes(judged(desk, one, "root", "root")) == [], "one key given twice is one"
    for threshold in (0, 3, -1):
        with pytest.raises(ConfigurationError, match="can not have signed"):
            judged(desk, one, "root", "root2", root_threshold=threshold)


def test_its_own_threshold_counts_too(desk: Desk) -> None:
    one = signed_trust(desk, "root", root=("root", "root2"), root_threshold=2)
    report = judged(desk, one)
    assert codes(report) == ["trust-root"]
    assert "1 of its own root keys signed" in report.reasons[0].message
    twice = json.loads(one.read_bytes())
    one.write_bytes(rebuilt(one.read_bytes(), signatures=twice["signatures"] * 2))
    assert codes(judged(desk, one)) == ["trust-root"], "one key counts once"


def test_a_root_key_has_no_other_role(desk: Desk) -> None:
    with pytest.raises(ConfigurationError, match="a root key signs nothing else"):
        signed_trust(desk, root=("ci",))


@pytest.mark.parametrize(("seconds", "code"), [(-1, []), (0, ["trust-expired"]), (1, ["trust-expired"])])
def test_it_ends(desk: Desk, seconds: int, code: list[str]) -> None:
    path = signed_trust(desk, expires=NOW + timedelta(hours=1))
    assert codes(judged(desk, path, now=NOW + timedelta(hours=1, seconds=seconds))) == code


def test_signed_and_unsigned_are_not_mixed_up(desk: Desk) -> None:
    path = signed_trust(desk)
    with pytest.raises(ConfigurationError, match="give --root"):
        gate(desk, trust=path)
    with pytest.raises(ConfigurationError, match="is not signed"):
        judged(desk, write_trust(desk))
    with pytest.raises(ConfigurationError, match="needs `expires` and `root`"):
        sign_trust(load_trust(write_trust(desk)), [desk.key("root")])
    with pytest.raises(SigningKeyError, match="has signed already"):
        add_signature(parse_envelope(path.read_bytes()), desk.key("root"))
    assert pin_of([]) is None


# --- versions, with a state file ----------------------------------------------------------------------------


def test_the_version_never_goes_down(desk: Desk) -> None:
    state = desk.root / "state.json"
    first, second = signed_trust(desk, version=1), signed_trust(desk, version=2)
    for path, code in ((first, []), (second, []), (first, ["trust-rollback"]), (second, [])):
        report = judged(desk, path, state=state)
        assert codes(report) == code
        if code:
            assert report.exit_code == ExitCode.UNTRUSTED
    assert json.loads(state.read_bytes())["trust"]["version"] == 2


def test_two_of_one_version(desk: Desk) -> None:
    state = desk.root / "state.json"
    assert codes(judged(desk, signed_trust(desk), state=state)) == []
    other = signed_trust(desk, head="require_state = true")
    assert codes(judged(desk, other, state=state)) == ["trust-rollback"]


def test_a_frozen_version_ends(desk: Desk) -> None:
    """An attacker who withholds version 2 can show version 1 only until it expires."""
    state = desk.root / "state.json"
    path = signed_trust(desk, expires=NOW + timedelta(days=2))
    assert codes(judged(desk, path, state=state)) == []
    assert codes(judged(desk, path, state=state, now=NOW + timedelta(days=2))) == ["trust-expired"]


def test_the_version_is_kept_even_where_the_certificate_is_refused(desk: Desk) -> None:
    state = desk.root / "state.json"
    desk.certify(signers=("ci",))
    assert codes(judged(desk, signed_trust(desk, version=5), state=state)) == ["role"]
    assert codes(judged(desk, signed_trust(desk, version=4), state=state)) == ["trust-rollback"]


def test_what_does_not_count_is_not_recorded(desk: Desk) -> None:
    state = desk.root / "state.json"
    assert codes(judged(desk, signed_trust(desk, "other", version=9), state=state)) == ["trust-root"]
    expired = signed_trust(desk, version=9, expires=NOW - timedelta(days=1))
    assert codes(judged(desk, expired, state=state)) == ["trust-expired"]
    assert codes(judged(desk, signed_trust(desk, version=1), state=state)) == []


def test_rotation_of_the_root(desk: Desk) -> None:
    """The new root counts only with the old one's signature; afterwards the old one is worth nothing."""
    state = desk.root / "state.json"
    first = signed_trust(desk, version=1)
    new_only = signed_trust(desk, "new", version=2, root=("new",))
    old_only = signed_trust(desk, "root", version=2, root=("new",))
    both = signed_trust(desk, "root", "new", version=2, root=("new",))
    assert codes(judged(desk, first, state=state)) == []
    assert codes(judged(desk, new_only, state=state)) == ["trust-root"], "signed by the new root only"
    assert codes(judged(desk, old_only, state=state)) == ["trust-root"], "signed by the old root only"
    assert codes(judged(desk, both, state=state)) == []
    by_thief = signed_trust(desk, "root", version=3, root=("root",))
    assert codes(judged(desk, by_thief, state=state)) == ["trust-root"], "the old root was handed over"
    third = signed_trust(desk, "new", version=3, root=("new",))
    assert codes(judged(desk, third, state=state)) == []
    assert codes(judged(desk, third)) == ["trust-root"], "without the state, the pin has to be changed"
    assert codes(judged(desk, third, "new")) == []


def test_a_gate_that_was_away_needs_the_version_between(desk: Desk) -> None:
    state = desk.root / "state.json"
    assert codes(judged(desk, signed_trust(desk, version=1), state=state)) == []
    second = signed_trust(desk, "root", "two", version=2, root=("two",))
    third = signed_trust(desk, "two", "three", version=3, root=("three",))
    assert codes(judged(desk, third, state=state)) == ["trust-root"]
    assert codes(judged(desk, second, state=state)) == []
    assert codes(judged(desk, third, state=state)) == []


def test_an_unsigned_root_does_not_follow_a_signed_one(desk: Desk) -> None:
    state = desk.root / "state.json"
    assert codes(judged(desk, signed_trust(desk), state=state)) == []
    unsigned = write_trust(desk, version=2)
    with pytest.raises(ConfigurationError, match="is not signed"):
        gate(desk, trust=unsigned, state=state)


def test_unsigned_ones_have_versions_too(desk: Desk) -> None:
    state = desk.root / "state.json"
    for version, code in ((2, []), (1, ["trust-rollback"]), (3, [])):
        write_trust(desk, version=version)
        assert codes(gate(desk, state=state)) == code


def test_a_state_without_root_keys_hands_over_to_nobody(desk: Desk) -> None:
    state = desk.root / "state.json"
    path = signed_trust(desk)
    assert codes(judged(desk, path, state=state)) == []
    content = json.loads(state.read_bytes())
    for keys, threshold in (([], 1), (["-----BEGIN PUBLIC KEY-----"], 1), (content["trust"]["rootKeys"], 0)):
        content["trust"].update(rootKeys=keys, rootThreshold=threshold)
        state.write_text(json.dumps(content))
        assert codes(judged(desk, path, state=state)) == ["state"]


# --- any bytes ----------------------------------------------------------------------------------------------


def test_one_changed_bit_in_each_byte(desk: Desk) -> None:
    """Believed flips lie in the hint only, and never change the content."""
    data = signed_trust(desk).read_bytes()
    pin = pin_of([desk.public("root")])
    assert pin is not None
    good = open_signed(data, pin, where="trust")
    hint = data.index(b'"keyid":"')
    believed, refused = [], set()
    for position in range(0, len(data), 3):
        flipped = bytearray(data)
        flipped[position] ^= 1 << (position % 8)
        try:
            opened = open_signed(bytes(flipped), pin, where="trust")
        except RefusalError as error:
            refused.add(error.reason.code)
            continue
        believed.append(position)
        assert opened.digest == good.digest
    assert refused == {"trust-root"}
    assert all(position >= hint for position in believed)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_report_or_an_error_of_ours(desk: Desk, content: bytes) -> None:
    path = desk.root / "any"
    path.write_bytes(content)
    for roots in ((), ("root",)):
        try:
            report = gate(desk, trust=path, roots=[desk.public(name) for name in roots])
        except ConfigurationError:
            continue
        assert not report.accepted
    write_trust(desk, revocation='role = "security"')
    assert codes(gate(desk, revocations=str(path))) == ["revocation-untrusted"]
    path.chmod(0o600)
    assert codes(gate(desk, revocations=revocation_list(desk), state=path)) == ["state"]
