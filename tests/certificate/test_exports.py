"""What other tools read: Sigstore bundles, in-toto statements, JUnit, and the JSON schema."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from certificate_factory import NOW, RUN, Desk, not_ready, payload_of, ready, ready_with_waiver
from pytest_prodml.certificate.dsse import envelope_json, parse_envelope
from pytest_prodml.certificate.exports import (
    TEST_RESULT_TYPE,
    VERIFICATION_RESULT_TYPE,
    intoto_lines,
    junit_xml,
    verification_result_payload,
)
from pytest_prodml.certificate.exports import (
    test_result_payload as result_payload,
)
from pytest_prodml.certificate.forms import read_form, sigstore_bundle
from pytest_prodml.certificate.schema import predicate_schema
from pytest_prodml.certificate.statement import read_certificate, read_statement
from pytest_prodml.codec import canonical_json, sha256_hex
from pytest_prodml.errors import MalformedError
from pytest_prodml.policy.load import policy_digest
from pytest_prodml.records import Certificate, ContinuousIntegration, Provenance, Readiness, Subject

SCHEMA = Path(__file__).parents[2] / "schema" / "production-readiness-v1.schema.json"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize("index", [0, 1])
def test_a_bundle_for_every_signature(desk: Desk, index: int) -> None:
    data = desk.certify(signers=("ci", "risk"))
    envelope = parse_envelope(data)
    bundle = sigstore_bundle(envelope, index)
    value = json.loads(bundle)
    assert value["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert value["verificationMaterial"] == {"publicKey": {"hint": envelope.signatures[index].keyid}}
    form = read_form(bundle)
    assert form.kind == "bundle"
    assert form.envelope == replace(envelope, signatures=(envelope.signatures[index],))
    name = ("ci", "risk")[index]
    assert desk.verify(bundle, keys=[desk.key(name).public_key]).accepted
    assert not desk.verify(bundle, keys=[desk.key("other").public_key]).accepted


def broken(desk: Desk, **changes: Any) -> bytes:
    value = json.loads(sigstore_bundle(parse_envelope(desk.certify(signers=("ci", "risk"))), 0))
    inner = changes.pop("inner", {})
    return json.dumps({**value, "dsseEnvelope": {**value["dsseEnvelope"], **inner}, **changes}).encode()


def test_other_bundles_are_malformed(desk: Desk) -> None:
    two = json.loads(desk.certify(signers=("ci", "risk")))["signatures"]
    assert desk.verify(broken(desk)).accepted
    for data in (
        broken(desk, mediaType="application/vnd.dev.sigstore.bundle+json;version=0.1"),
        broken(desk, dsseEnvelope=[]),
        broken(desk, messageSignature={}),
        broken(desk, inner={"signatures": two}),
        broken(desk, inner={"signatures": []}),
        broken(desk, inner={"payload": "e30"}),
        b'{"dsseEnvelope": 1}',
        b'["dsseEnvelope"]',
    ):
        with pytest.raises(MalformedError):
            read_form(data)
        assert [reason.code for reason in desk.verify(data).reasons] == ["malformed"]


@pytest.mark.parametrize(
    ("make", "result", "passed", "warned", "failed"),
    [
        (ready, "PASSED", ["fairness.age", "performance.auc", "pipeline.parity"], [], []),
        (ready_with_waiver, "WARNED", ["performance.auc", "pipeline.parity"], ["fairness.age"], []),
        (not_ready, "FAILED", ["performance.auc", "pipeline.parity"], [], ["fairness.age"]),
    ],
)
def test_test_result(
    desk: Desk, make: Any, result: str, passed: list[str], warned: list[str], failed: list[str]
) -> None:
    certificate = make(desk)
    payload = result_payload(certificate, "a" * 64)
    statement = read_statement(payload, TEST_RESULT_TYPE, where="test-result")
    assert statement.subjects == (desk.subject(),)
    assert statement.predicate["result"] == result
    assert statement.predicate["passedTests"] == passed
    assert statement.predicate["warnedTests"] == warned
    assert statement.predicate["failedTests"] == failed
    configuration: Any = statement.predicate["configuration"]
    assert [item["digest"]["sha256"] for item in configuration] == [
        "a" * 64,
        policy_digest(certificate.policy),
        "d" * 64,
    ]


def test_a_gate_that_did_not_run_has_failed(desk: Desk) -> None:
    certificate = ready(desk)
    made = desk.build(runs=certificate.runs[:2])
    statement: Any = json.loads(result_payload(made, "a" * 64))
    assert statement["predicate"]["failedTests"] == ["pipeline.parity"]
    assert statement["predicate"]["result"] == "FAILED"


def test_verification_result_names_what_was_proven(desk: Desk) -> None:
    for make, expected in (
        (ready, ["PRODML_READY", "PRODML_PERFORMANCE", "PRODML_FAIRNESS", "PRODML_PIPELINE"]),
        (
            ready_with_waiver,
            ["PRODML_READY_WITH_WAIVERS", "PRODML_PERFORMANCE", "PRODML_PIPELINE"],
        ),
    ):
        certificate = make(desk)
        payload = verification_result_payload(
            certificate,
            "b" * 64,
            policy=certificate.policy,
            outcome=certificate.decision.outcome,
            verified_at=NOW,
        )
        predicate = read_statement(payload, VERIFICATION_RESULT_TYPE, where="svr").predicate
        assert predicate["properties"] == expected
        assert predicate["timeCreated"] == "2026-11-22T09:30:00Z"
        verifier: Any = predicate["verifier"]
        assert verifier["policies"][0]["digest"] == {"sha256": policy_digest(certificate.policy)}


def test_summaries_leave_a_directory_s_files_out(desk: Desk) -> None:
    subject = Subject(name="model", digest={"sha256": "1" * 64}, annotations={"files": ["x"]})
    statement: Any = json.loads(result_payload(desk.build(subjects=(subject,)), "a" * 64))
    assert statement["subject"] == [{"name": "model", "digest": {"sha256": "1" * 64}}]


def test_intoto_lines_are_envelopes(desk: Desk) -> None:
    one = parse_envelope(desk.certify())
    lines = intoto_lines([one, one]).splitlines()
    assert lines == [envelope_json(one)] * 2


def test_junit(desk: Desk) -> None:
    root = ET.fromstring(junit_xml(not_ready(desk)))  # noqa: S314 - our own document
    suite = root.find("testsuite")
    assert suite is not None
    assert {key: suite.attrib[key] for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "0",
    }
    [case] = [item for item in suite.iter("testcase") if item.find("failure") is not None]
    assert (case.attrib["classname"], case.attrib["name"]) == ("prodml.fairness", "fairness.age")
    waived = ET.fromstring(junit_xml(ready_with_waiver(desk)))  # noqa: S314
    assert [item.attrib["message"].startswith("waived by w-1: ") for item in waived.iter("skipped")] == [True]


def test_junit_of_a_hostile_name_is_xml(desk: Desk) -> None:
    data = junit_xml(desk.build(model_name='x"><failure>\x00\x1b[31m\ufffe'))
    suite = ET.fromstring(data).find("testsuite")  # noqa: S314
    assert suite is not None
    assert suite.attrib["name"].startswith('x"><failure>\\x00\\x1b[31m')


def everything(desk: Desk) -> Certificate:
    provenance = Provenance(
        revision="a" * 40,
        is_dirty=False,
        repository="https://example.com/org/repo",
        automation=ContinuousIntegration(provider="github-actions", project="org/repo", run="7"),
        selection_digest="b" * 64,
        files=(Subject(name="tests/conftest.py", digest={"sha256": "c" * 64}),),
    )
    return replace(
        desk.build(age_gap=0.2, waivers=[desk.waiver()], run=replace(RUN, provenance=provenance)),
        renderings=(),
    )


def test_published_schema_is_the_one_of_the_records() -> None:
    published = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert published == predicate_schema(), f"prodml schema > schema/{SCHEMA.name}"
    jsonschema.Draft202012Validator.check_schema(published)


@pytest.mark.parametrize("make", [ready, not_ready, ready_with_waiver, everything])
def test_predicates_meet_the_schema(desk: Desk, make: Any) -> None:
    validator = jsonschema.Draft202012Validator(predicate_schema())
    predicate = payload_of(desk.certify(make(desk)))["predicate"]
    assert list(validator.iter_errors(predicate)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"schemaVersion": "2.0.0"},
        {"serial": -1},
        {"nonce": "x"},
        {"unknown": 1},
        {"issuedAt": "yesterday"},
        {"decision": {}},
        {"gates": [{}]},
        {"run": None},
        {"renderings": [{"mediaType": "text/html", "slot": "a", "digest": {"md5": "b"}}]},
    ],
)
def test_schema_and_reader_refuse_the_same(desk: Desk, changes: dict[str, Any]) -> None:
    statement = payload_of(desk.certify())
    statement["predicate"].update(changes)
    assert not jsonschema.Draft202012Validator(predicate_schema()).is_valid(statement["predicate"])
    with pytest.raises(MalformedError):
        read_certificate(canonical_json(statement))


def test_exports_speak_of_the_signed_payload(desk: Desk) -> None:
    envelope = parse_envelope(desk.certify())
    digest = sha256_hex(envelope.payload)
    certificate = read_certificate(envelope.payload)
    svr: Any = json.loads(
        verification_result_payload(
            certificate,
            digest,
            policy=certificate.policy,
            outcome=Readiness.READY,
            verified_at=datetime(2027, 1, 1, tzinfo=UTC),
        )
    )
    assert svr["predicate"]["inputAttestations"] == [{"name": certificate.id, "digest": {"sha256": digest}}]
