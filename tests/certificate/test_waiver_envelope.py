"""A waiver says exactly one thing about one model, and only an approver's key makes it count."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import NOW, Desk, payload_of, with_payload
from pytest_prodml.certificate.dsse import envelope_json, parse_envelope, sign
from pytest_prodml.certificate.statement import certificate_payload
from pytest_prodml.certificate.waiver import WAIVER_TYPE, make_waiver_envelope, open_waiver
from pytest_prodml.codec import canonical_json
from pytest_prodml.errors import MalformedError, UntrustedError
from pytest_prodml.records import Waiver


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_it_opens_with_the_approvers_key_only(desk: Desk) -> None:
    data = desk.waiver()
    risk, other = desk.key("risk").public_key, desk.key("other").public_key
    waiver = open_waiver(data, [other, risk])
    assert waiver.gate_id == "fairness.age"
    assert waiver.subject_digest == desk.subject().digest["sha256"]
    assert waiver.expires_at == NOW + timedelta(days=30)
    for keys in ([], [other]):
        with pytest.raises(UntrustedError, match="not signed by an approver"):
            open_waiver(data, keys)


def test_it_is_an_in_toto_statement_about_the_model(desk: Desk) -> None:
    statement = payload_of(desk.waiver())
    assert statement["predicateType"] == WAIVER_TYPE
    assert statement["subject"] == [{"name": "model", "digest": {"sha256": desk.subject().digest["sha256"]}}]
    assert "subjectDigest" not in statement["predicate"]
    assert statement["predicate"]["reference"] == "RISK-42"


def test_an_edited_waiver_is_not_signed(desk: Desk) -> None:
    data = desk.waiver()
    statement = payload_of(data)
    statement["predicate"]["expiresAt"] = "2036-01-01T00:00:00Z"
    with pytest.raises(UntrustedError):
        open_waiver(with_payload(data, canonical_json(statement)), [desk.key("risk").public_key])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"gate_id": "fairness.*"}, "one gate"),
        ({"gate_id": "fairness.\u202eage"}, "can not be seen"),
        ({"reason": " \n"}, "give a reason"),
        ({"approver": ""}, "is empty"),
        ({"expires_at": NOW - timedelta(days=1)}, "before it begins"),
        ({"subject_digest": "abc"}, "exactly one sha256"),
    ],
)
def test_a_waiver_that_says_too_little_or_too_much_is_not_made(
    desk: Desk, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(MalformedError, match=told):
        desk.waiver(**changes)


def test_a_signed_document_of_another_kind_is_no_waiver(desk: Desk) -> None:
    risk = desk.key("risk")
    certificate = envelope_json(sign(certificate_payload(desk.build()), [risk]))
    with pytest.raises(MalformedError, match="predicate type"):
        open_waiver(certificate, [risk.public_key])
    payload = parse_envelope(desk.waiver()).payload
    with pytest.raises(MalformedError, match="payload type"):
        open_waiver(envelope_json(sign(payload, [risk], payload_type="text/plain")), [risk.public_key])


def test_exactly_one_subject(desk: Desk) -> None:
    risk = desk.key("risk")
    statement = payload_of(desk.waiver())
    statement["subject"].append({"name": "other", "digest": {"sha256": "0" * 64}})
    with pytest.raises(MalformedError, match="exactly one subject"):
        open_waiver(envelope_json(sign(canonical_json(statement), [risk])), [risk.public_key])
    statement = payload_of(desk.waiver())
    statement["predicate"]["subjectDigest"] = "0" * 64
    with pytest.raises(MalformedError, match="exactly one subject"):
        open_waiver(envelope_json(sign(canonical_json(statement), [risk])), [risk.public_key])


def test_the_reference_is_optional(desk: Desk) -> None:
    risk = desk.key("risk")
    waiver = open_waiver(desk.waiver(reference=None), [risk.public_key])
    assert waiver.reference is None
    assert isinstance(waiver, Waiver)
    again = make_waiver_envelope(replace(waiver, reference="T"), risk, subject_name="model.onnx")
    assert json.loads(parse_envelope(again).payload)["subject"][0]["name"] == "model.onnx"
