"""What a certificate says, in the formats of other tools: in-toto statements and JUnit XML.

A statement here is a summary for tools that do not know our predicate. It refers to the certificate by the
digest of its signed payload, so that the full record can always be asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from xml.etree import ElementTree as ET

from pytest_prodml.certificate.dsse import Envelope, envelope_json
from pytest_prodml.certificate.statement import CERTIFICATE_TYPE, statement_payload
from pytest_prodml.codec import digest_of, format_time
from pytest_prodml.records import (
    Certificate,
    Dimension,
    JsonValue,
    Outcome,
    Policy,
    Readiness,
    RunState,
    Subject,
    Verdict,
)

#: https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
TEST_RESULT_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
#: https://github.com/in-toto/attestation/blob/main/spec/predicates/svr.md
VERIFICATION_RESULT_TYPE = "https://in-toto.io/attestation/svr/v0.2"
VERIFIER_ID = "https://github.com/pytest-prodml/pytest-prodml/verify/v1"

_RESULTS = {
    Readiness.READY: "PASSED",
    Readiness.READY_WITH_WAIVERS: "WARNED",
    Readiness.NOT_READY: "FAILED",
}


def test_result_payload(certificate: Certificate, payload_digest: str) -> bytes:
    """Return an in-toto test-result v0.1 statement about the certified artefacts, canonical and unsigned.

    A waived gate is warned; a required gate that did not run or is not proven has failed, because the format
    has no third list. The certificate, the policy and the materials are the configuration.

    Parameters
    ----------
    certificate : Certificate
        What is summarized.
    payload_digest : str
        SHA-256 of the certificate's signed payload, lowercase hex.
    """
    lists: dict[str, list[JsonValue]] = {"passedTests": [], "warnedTests": [], "failedTests": []}
    for verdict in certificate.decision.verdicts:
        lists[_list_of(verdict)].append(verdict.gate_id)
    configuration: list[JsonValue] = [
        {"name": certificate.id, "digest": {"sha256": payload_digest}, "mediaType": CERTIFICATE_TYPE},
        _policy_descriptor(certificate.policy, certificate.decision.policy_digest),
    ]
    configuration.extend(
        {"name": item.name, "digest": {"sha256": item.digest["sha256"]}} for item in certificate.materials
    )
    predicate: dict[str, JsonValue] = {
        "result": _RESULTS[certificate.decision.outcome],
        "configuration": configuration,
        **lists,
    }
    return statement_payload(TEST_RESULT_TYPE, _named(certificate.subjects), predicate)


def verification_result_payload(
    certificate: Certificate,
    payload_digest: str,
    *,
    policy: Policy,
    outcome: Readiness,
    verified_at: datetime,
) -> bytes:
    """Return an in-toto Simple Verification Result v0.2, canonical and unsigned.

    Only for a certificate that was verified and accepted: whoever signs this vouches for the check. The
    properties are the decision under the policy of the gate, and one a dimension whose required gates all
    passed without a waiver.

    Parameters
    ----------
    certificate : Certificate
        What was accepted.
    payload_digest : str
        SHA-256 of its signed payload, lowercase hex.
    policy : Policy
        The policy of the gate.
    outcome : Readiness
        The decision under it.
    verified_at : datetime
        When it was verified (aware).
    """
    properties: list[JsonValue] = [f"PRODML_{outcome.value}"]
    properties += [f"PRODML_{dimension.value.upper()}" for dimension in _proven(certificate)]
    policies: list[JsonValue] = [_policy_descriptor(policy, digest_of(policy))]
    predicate: dict[str, JsonValue] = {
        "verifier": {"id": VERIFIER_ID, "policies": policies},
        "timeCreated": format_time(verified_at),
        "properties": properties,
        "inputAttestations": [{"name": certificate.id, "digest": {"sha256": payload_digest}}],
    }
    return statement_payload(VERIFICATION_RESULT_TYPE, _named(certificate.subjects), predicate)


def intoto_lines(envelopes: Sequence[Envelope]) -> bytes:
    """Return an in-toto bundle (``.intoto.jsonl``): one envelope a line."""
    return b"".join(envelope_json(envelope) + b"\n" for envelope in envelopes)


def junit_xml(certificate: Certificate) -> bytes:
    """Return the gates as JUnit XML, for a CI system that shows test results.

    A gate is a test case: a failure if it blocks, skipped if it was waived or does not have to pass.
    """
    verdicts = certificate.decision.verdicts
    durations: dict[str, float] = {}
    for run in certificate.runs:
        durations[run.gate_id] = durations.get(run.gate_id, 0.0) + run.duration_seconds
    blocking = [item for item in verdicts if _blocks(item)]
    excused = [item for item in verdicts if item.outcome is not Outcome.PASS and not _blocks(item)]
    suite = ET.Element(
        "testsuite",
        name=_xml_text(f"{certificate.model_name} {certificate.model_version}"),
        tests=str(len(verdicts)),
        failures=str(len(blocking)),
        errors="0",
        skipped=str(len(excused)),
        timestamp=format_time(certificate.started_at),
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("prodml.certificate", certificate.id),
        ("prodml.decision", certificate.decision.outcome.value),
        ("prodml.policy", f"{certificate.policy.name} {certificate.policy.version}"),
    ):
        ET.SubElement(properties, "property", name=name, value=_xml_text(value))
    for verdict in verdicts:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=f"prodml.{verdict.dimension.value}",
            name=_xml_text(verdict.gate_id),
            time=f"{durations.get(verdict.gate_id, 0.0):.3f}",
        )
        message = _xml_text(verdict.message)
        if _blocks(verdict):
            ET.SubElement(case, "failure", type=verdict.reason, message=message)
        elif verdict.outcome is not Outcome.PASS:
            why = f"waived by {verdict.waiver_id}: " if verdict.waiver_id is not None else "not required: "
            ET.SubElement(case, "skipped", message=_xml_text(why) + message)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return (
        b'<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode").encode() + b"\n"
    )


def _named(subjects: Sequence[Subject]) -> list[Subject]:
    # The annotations list a directory's files; a summary needs name and digest only.
    return [Subject(name=subject.name, digest=subject.digest) for subject in subjects]


def _list_of(verdict: Verdict) -> str:
    if verdict.outcome is Outcome.PASS:
        return "passedTests"
    return "failedTests" if _blocks(verdict) else "warnedTests"


def _blocks(verdict: Verdict) -> bool:
    return verdict.required and verdict.outcome is not Outcome.PASS and verdict.waiver_id is None


def _proven(certificate: Certificate) -> Iterator[Dimension]:
    """Yield the dimensions in which gates ran to their end and every required one passed by itself."""
    ran = {run.gate_id for run in certificate.runs if run.state is RunState.PASSED}
    for dimension in Dimension:
        required = [v for v in certificate.decision.verdicts if v.dimension is dimension and v.required]
        if required and all(v.outcome is Outcome.PASS and v.gate_id in ran for v in required):
            yield dimension


def _policy_descriptor(policy: Policy, digest: str) -> dict[str, JsonValue]:
    return {"name": f"{policy.name} {policy.version}", "digest": {"sha256": digest}}


def _xml_text(text: str) -> str:
    """Spell out what XML can not hold or a reader can not see."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
