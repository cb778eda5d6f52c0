"""The envelope: one reading of every file, and signatures counted by key."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_prodml.certificate.dsse import (
    Envelope,
    Signature,
    envelope_json,
    pae,
    parse_envelope,
    sign,
    valid_signers,
)
from pytest_prodml.errors import MalformedError, SigningKeyError


@dataclass(frozen=True)
class Toy:
    """A key whose signatures can be read: enough to test the counting."""

    keyid: str

    def sign(self, data: bytes) -> bytes:
        return self.keyid.encode() + b":" + data

    def verify(self, signature: bytes, data: bytes) -> bool:
        return signature == self.sign(data)


def document(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "payload": base64.b64encode(b'{"a":1}').decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"keyid": "k", "sig": "AAAA"}],
    }
    return json.dumps({**fields, **changes}).encode()


def test_the_vector_of_the_specification() -> None:
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("http://example.com/HelloWorld", b"hello world") == expected


def test_lengths_are_bytes() -> None:
    assert pae("é", "€".encode()) == "DSSEv1 2 é 3 €".encode()


@given(st.text(max_size=20), st.binary(max_size=40), st.text(max_size=20), st.binary(max_size=40))
@example("a 1 b", b"c", "a", b"b 1 c")
def test_no_two_contents_share_an_encoding(type_a: str, body_a: bytes, type_b: str, body_b: bytes) -> None:
    same = (type_a, body_a) == (type_b, body_b)
    assert (pae(type_a, body_a) == pae(type_b, body_b)) == same


@given(
    st.builds(
        Envelope,
        payload=st.binary(),
        payload_type=st.text(min_size=1, max_size=50),
        signatures=st.lists(
            st.builds(Signature, keyid=st.text(max_size=70), sig=st.binary(max_size=80)), max_size=16
        ).map(tuple),
    )
)
def test_reading_returns_what_was_written(envelope: Envelope) -> None:
    data = envelope_json(envelope)
    assert parse_envelope(data) == envelope
    assert envelope_json(parse_envelope(data)) == data


@given(st.binary(min_size=1))
def test_both_alphabets_are_read(payload: bytes) -> None:
    standard = base64.b64encode(payload).decode()
    urlsafe = base64.urlsafe_b64encode(payload).decode()
    assert parse_envelope(document(payload=standard)).payload == payload
    assert parse_envelope(document(payload=urlsafe)).payload == payload


@pytest.mark.parametrize(
    "text",
    [
        "YQ",  # no padding
        "YR==",  # unused bits set: decodes to the same byte
        "YQ==\n",
        "Y Q==",
        "YQ==YQ==",
        "YQ===",
        "+_++",  # both alphabets
        "-/--",
        "é",
        "!!!!",
        None,
        7,
        ["YQ=="],
    ],
)
def test_base64_with_a_second_spelling_is_refused(text: object) -> None:
    with pytest.raises(MalformedError):
        parse_envelope(document(payload=text))
    with pytest.raises(MalformedError):
        parse_envelope(document(signatures=[{"keyid": "", "sig": text}]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        document()[:-1],
        document() + b"x",
        b"\xef\xbb\xbf" + document(),
        document().decode().encode("utf-16"),
        document(payloadType=None),
        document(payloadType=""),
        document(payloadType="x" * 2000),
        document(payloadType=["application/vnd.in-toto+json"]),
        document(signatures={}),
        document(signatures="AAAA"),
        document(signatures=[None]),
        document(signatures=[{"keyid": "k"}]),
        document(signatures=[{"keyid": 1, "sig": "AAAA"}]),
        document(signatures=[{"keyid": "k" * 2000, "sig": "AAAA"}]),
        document(signatures=[{"keyid": "k", "sig": "A" * 8000}]),
        document(signatures=[{"keyid": "k", "sig": "AAAA"}] * 17),
        document()[:-1] + b',"payload":"e30="}',
        document()[:-1] + b',"x":NaN}',
        document()[:-1] + b',"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        document(payload="A" * (23 * 2**20)),
        document(x="A" * (33 * 2**20)),
    ],
    ids=lambda data: f"{len(data)} bytes {data[-12:]!r}",
)
def test_what_is_not_strictly_an_envelope_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_envelope(data)


def test_unknown_fields_are_ignored_as_dsse_demands() -> None:
    extended = document(x={"y": 1}, signatures=[{"keyid": "k", "sig": "AAAA", "cert": "PEM", "alg": "none"}])
    assert parse_envelope(extended) == parse_envelope(document())


def test_unset_is_empty() -> None:
    assert parse_envelope(document(signatures=[{"sig": "AAAA"}])).signatures[0].keyid == ""
    assert parse_envelope(document(signatures=None)).signatures == ()
    fields = json.loads(document())
    del fields["signatures"]
    assert parse_envelope(json.dumps(fields).encode()).signatures == ()


def test_a_key_counts_once() -> None:
    a, b = Toy("a"), Toy("b")
    envelope = sign(b"payload", [a, b])
    assert valid_signers(envelope, [a, b, a]) == (a, b)
    twice = replace(envelope, signatures=(envelope.signatures[0], envelope.signatures[0]))
    assert valid_signers(twice, [a, b]) == (a,)
    relabelled = replace(
        envelope, signatures=tuple(replace(envelope.signatures[0], keyid=keyid) for keyid in ("a", "b"))
    )
    assert valid_signers(relabelled, [a, b]) == (a,)


def test_key_ids_are_hints() -> None:
    a, b = Toy("a"), Toy("b")
    envelope = sign(b"payload", [a, b])
    first, second = envelope.signatures
    swapped = (replace(first, keyid=second.keyid), replace(second, keyid=first.keyid))
    assert valid_signers(replace(envelope, signatures=swapped), [a, b]) == (a, b)
    lying = replace(envelope, signatures=(replace(second, keyid="a"),))
    assert valid_signers(lying, [a]) == ()


def test_payload_and_type_are_both_signed() -> None:
    key = Toy("a")
    envelope = sign(b"payload", [key])
    assert valid_signers(envelope, [key]) == (key,)
    assert valid_signers(replace(envelope, payload=b"Payload"), [key]) == ()
    assert valid_signers(replace(envelope, payload_type="text/plain"), [key]) == ()


def test_signing_twice_with_one_key_is_an_error() -> None:
    with pytest.raises(SigningKeyError, match="twice"):
        sign(b"payload", [Toy("a"), Toy("a")])


def test_an_envelope_may_be_unsigned() -> None:
    envelope = sign(b"payload", [])
    assert parse_envelope(envelope_json(envelope)).signatures == ()
