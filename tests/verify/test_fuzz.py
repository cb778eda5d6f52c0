"""Whatever the bytes, there is a report; and no edit is ever accepted with another content."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from certificate_factory import GATES, Desk, gate_runs, policy, ready_with_waiver, signed
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.certificate.statement import certificate_payload
from pytest_prodml.codec import canonical_json
from pytest_prodml.errors import MalformedError
from pytest_prodml.records import Readiness
from pytest_prodml.verify.report import VerificationReport


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    desk.certify(ready_with_waiver(desk))
    return desk


def judged(desk: Desk, data: bytes) -> VerificationReport:
    return desk.verify(data, waiver_keys=[desk.key("risk").public_key])


def test_one_changed_bit_in_each_byte_of_an_envelope(desk: Desk) -> None:
    """Accepted flips lie in the hint only, its text and its name, and never change the payload."""
    small = policy('name = "small"\nversion = "1"\n[require]\ngates = ["performance.auc"]\n')
    certificate = desk.build(
        gates=GATES[:1], runs=gate_runs((desk.subject(),))[:1], policy=small, materials=(), environments={}
    )
    data = issue(certificate, [desk.key()])
    assert desk.verify(data, policy=small).accepted
    payload = parse_envelope(data).payload
    start = data.index(b'"keyid":"')
    hint = range(start, data.index(b'","sig"', start))
    accepted = []
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << (position % 8)
        report = desk.verify(bytes(flipped), policy=small)
        assert int(report.exit_code) in {0, 10, 11, 12}
        if report.accepted:
            accepted.append(position)
            assert parse_envelope(bytes(flipped)).payload == payload
    assert set(accepted) <= set(hint)
    assert accepted, "a hint may say anything"


def test_one_changed_bit_in_what_a_trusted_key_signed(desk: Desk) -> None:
    """A trusted signature does not make a damaged statement readable: always a report, mostly refused."""
    payload = parse_envelope(desk.certificate.read_bytes()).payload
    original = json.loads(payload)
    for position in range(0, len(payload), 11):
        flipped = bytearray(payload)
        flipped[position] ^= 1 << (position % 8)
        report = judged(desk, signed(desk, bytes(flipped)))
        assert int(report.exit_code) in {0, 1, 11, 13, 14, 15, 16, 17}
        if report.accepted:
            # What may change without a consequence is what decides nothing: names, numbers inside the limits.
            changed = json.loads(bytes(flipped))
            assert changed["subject"][0]["digest"] == original["subject"][0]["digest"]
            decision, before = changed["predicate"]["decision"], original["predicate"]["decision"]
            assert decision["outcome"] == before["outcome"]
            assert changed["predicate"]["expiresAt"] <= original["predicate"]["expiresAt"]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
@example(b"")
@example(b"\xff")
@example(b'{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":""}]}')
@example(b"[" * 5000)
@example(b"1" * 10_000)
@example(b'"\\ud800"')
def test_any_bytes_give_a_report(desk: Desk, data: bytes) -> None:
    report = desk.verify(data)
    assert not report.accepted
    assert int(report.exit_code) in {10, 11, 12}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["payload", "payloadType", "signatures", "x"]), JSON))
def test_any_json_object_gives_a_report(desk: Desk, fields: dict[str, object]) -> None:
    assert not desk.verify(json.dumps(fields).encode()).accepted


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_edit_of_a_signed_statement_gives_a_report(desk: Desk, data: st.DataObject) -> None:
    """Replace one value anywhere in a statement by any JSON and sign it with the trusted key."""
    document = json.loads(certificate_payload(ready_with_waiver(desk)))
    place = document
    while isinstance(place, (dict, list)) and place:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            place[key] = data.draw(JSON)
            break
        place = place[key]
    try:
        payload = canonical_json(document)
    except MalformedError:
        payload = json.dumps(document).encode()
    report = judged(desk, signed(desk, payload))
    assert int(report.exit_code) in {0, 1, 11, 13, 14, 15, 16, 17}
    if report.accepted:
        assert report.decision in {Readiness.READY, Readiness.READY_WITH_WAIVERS}
        assert document["subject"][0]["digest"] == {"sha256": desk.subject().digest["sha256"]}
