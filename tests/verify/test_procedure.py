"""The verifier's procedure: each way to be refused has its own code, and nothing else is accepted."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import (
    GATES,
    NOW,
    POLICY_TOML,
    RUN,
    Desk,
    b64,
    edited,
    gate_runs,
    not_ready,
    payload_of,
    policy,
    ready,
    ready_with_waiver,
    rebuilt,
    signed,
    with_payload,
)
from pytest_prodml.certificate.digest import directory_subject, list_files, manifest, subject_of
from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.certificate.statement import certificate_payload
from pytest_prodml.codec import canonical_json
from pytest_prodml.records import (
    Burden,
    Comparison,
    Limit,
    Outcome,
    Readiness,
    RunState,
    Subject,
)
from pytest_prodml.verify.report import REASONS, ExitCode, VerificationReport, report_json
from pytest_prodml.verify.subjects import present, present_bytes


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def codes(report: VerificationReport) -> list[str]:
    """Return the reason codes, and check that the exit code is the first one's."""
    assert report.accepted == (report.exit_code == 0) == (not report.reasons)
    if report.reasons:
        assert report.exit_code == REASONS[report.reasons[0].code][0]
    return [reason.code for reason in report.reasons]


def test_a_ready_model_is_accepted(desk: Desk) -> None:
    report = desk.verify(desk.certify())
    assert codes(report) == []
    assert report.decision is Readiness.READY
    assert report.signers == (desk.key().keyid,)
    assert (report.model_name, report.model_version) == ("credit-default", "2.0")
    assert report.notes == ()


# --- 11: not a document of ours -----------------------------------------------------------------------------


def test_malformed(desk: Desk) -> None:
    data = desk.certify()
    for broken in (b"", b"{}", data[:-1], data + b" x", b"\xef\xbb\xbf" + data, rebuilt(data, payload="!")):
        assert codes(desk.verify(broken)) == ["malformed"]
        assert desk.verify(broken).exit_code == ExitCode.MALFORMED
    twice = data.replace(b'{"payload":', b'{"payload":"e30=","payload":', 1)
    assert codes(desk.verify(twice)) == ["malformed"]


@pytest.mark.parametrize(
    ("payload_edit", "code"),
    [
        (lambda p: p.replace(b'"workers":0', b'"workers":NaN'), "statement"),
        (lambda p: p.replace(b'"outcome":"READY"', b'"outcome":"NOT_READY","outcome":"READY"'), "statement"),
        (lambda p: p + b"\n", "statement"),
        (lambda p: b"\xef\xbb\xbf" + p, "statement"),
        (lambda _: b"not json", "statement"),
        (lambda p: p.replace(b"production-readiness/v1", b"production-readiness/v2"), "predicate-type"),
        (lambda p: p.replace(b'"schemaVersion":"1.0.0"', b'"schemaVersion":"2.0.0"'), "statement"),
    ],
)
def test_what_a_trusted_key_signed_must_still_be_a_certificate(
    desk: Desk, payload_edit: Any, code: str
) -> None:
    payload = payload_edit(certificate_payload(ready(desk)))
    report = desk.verify(signed(desk, payload))
    assert codes(report) == [code]
    assert report.exit_code == ExitCode.MALFORMED


def test_another_payload_type(desk: Desk) -> None:
    report = desk.verify(signed(desk, certificate_payload(ready(desk)), payload_type="application/json"))
    assert codes(report) == ["payload-type"]
    assert report.exit_code == ExitCode.MALFORMED


def test_a_signed_waiver_is_no_certificate(desk: Desk) -> None:
    assert codes(desk.verify(desk.waiver(signer="ci"))) == ["predicate-type"]


# --- 10 and 12: signatures ----------------------------------------------------------------------------------


def test_no_signature(desk: Desk) -> None:
    data = desk.certify()
    fields = json.loads(data)
    del fields["signatures"]
    for stripped in (desk.certify(signers=()), rebuilt(data, signatures=[]), json.dumps(fields).encode()):
        report = desk.verify(stripped)
        assert codes(report) == ["no-signature"]
        assert report.exit_code == ExitCode.NO_SIGNATURE
        assert report.model_name is None, "nothing of an unsigned certificate is told as a fact"


def test_another_key(desk: Desk) -> None:
    report = desk.verify(desk.certify(signers=("other",)))
    assert codes(report) == ["untrusted"]
    assert report.exit_code == ExitCode.UNTRUSTED
    assert desk.key("other").keyid[:16] in report.reasons[0].message
    assert codes(desk.verify(desk.certify(), keys=[])) == ["untrusted"]


def test_a_changed_number(desk: Desk) -> None:
    data = desk.certify(not_ready(desk))
    payload = parse_envelope(data).payload
    assert b'"value":0.2' in payload
    forged = with_payload(data, payload.replace(b'"value":0.2', b'"value":0.0'))
    assert codes(desk.verify(forged)) == ["untrusted"]


def test_a_changed_payload_type_is_a_changed_content(desk: Desk) -> None:
    assert codes(desk.verify(rebuilt(desk.certify(), payloadType="application/json"))) == ["untrusted"]


def test_a_foreign_signature_under_a_trusted_hint(desk: Desk) -> None:
    fields = json.loads(desk.certify(signers=("other",)))
    fields["signatures"][0]["keyid"] = desk.key("ci").keyid
    assert codes(desk.verify(json.dumps(fields).encode())) == ["untrusted"]


def test_hints_decide_nothing(desk: Desk) -> None:
    data = desk.certify(signers=("ci", "risk"))
    first, second = json.loads(data)["signatures"]
    swapped = [{**first, "keyid": second["keyid"]}, {**second, "keyid": first["keyid"]}]
    two = policy(POLICY_TOML.replace("min_signatures = 1", "min_signatures = 2"))
    keys = [desk.key("ci").public_key, desk.key("risk").public_key]
    for signatures in (
        swapped,
        [{**first, "keyid": ""}, second],
        [{"sig": first["sig"]}, second],
        [{**first, "keyid": "\u202e"}, second],
    ):
        assert codes(desk.verify(rebuilt(data, signatures=signatures), policy=two, keys=keys)) == []


def test_the_threshold_counts_keys(desk: Desk) -> None:
    two = policy(POLICY_TOML.replace("min_signatures = 1", "min_signatures = 2"))
    keys = [desk.key("ci").public_key, desk.key("risk").public_key]
    both = desk.certify(signers=("ci", "risk"))
    assert codes(desk.verify(both, policy=two, keys=keys)) == []
    first, second = json.loads(both)["signatures"]
    relabelled = {**first, "keyid": second["keyid"]}
    for signatures in ([first], [second], [first, first], [first, relabelled], [first] * 16):
        report = desk.verify(rebuilt(both, signatures=signatures), policy=two, keys=keys)
        assert codes(report) == ["threshold"]
        assert report.exit_code == ExitCode.UNTRUSTED
    # One key in two files, or given twice, is one key.
    shutil.copy(desk.public("ci"), desk.root / "copy.pub")
    from pytest_prodml.verify.trust import load_keys

    loaded = load_keys([desk.public("ci"), desk.root / "copy.pub"])
    assert len(loaded) == 1
    assert codes(desk.verify(both, policy=two, keys=[*loaded, *loaded])) == ["threshold"]
    # A signature of somebody unknown neither helps nor hurts.
    assert codes(desk.verify(desk.certify(signers=("ci", "other")), policy=two, keys=keys)) == ["threshold"]
    assert codes(desk.verify(desk.certify(signers=("ci", "other")), keys=keys)) == []


def test_no_field_of_the_envelope_chooses_the_algorithm(desk: Desk) -> None:
    data = desk.certify(signers=("other",))
    (signature,) = json.loads(data)["signatures"]
    for extra in ({"alg": "none"}, {"alg": "HS256"}, {"cert": desk.public("other").read_text()}):
        assert codes(desk.verify(rebuilt(data, signatures=[{**signature, **extra}]))) == ["untrusted"]
    for sig in (b"", b"\x00" * 64, b"\x01" + b"\x00" * 31 + b"\x00" * 32):
        assert codes(desk.verify(rebuilt(data, signatures=[{"sig": b64(sig)}]))) == ["untrusted"]


# --- 13: the model ------------------------------------------------------------------------------------------


def test_a_flipped_byte(desk: Desk) -> None:
    data = desk.certify()
    content = bytearray(desk.model.read_bytes())
    content[100] ^= 1
    desk.model.write_bytes(content)
    report = desk.verify(data)
    assert codes(report) == ["subject-differs"]
    assert report.exit_code == ExitCode.SUBJECT
    assert desk.subject().digest["sha256"] in report.reasons[0].message


def test_a_missing_or_unreadable_model(desk: Desk) -> None:
    data = desk.certify()
    desk.model.unlink()
    report = desk.verify(data)
    assert codes(report) == ["subject-unreadable"]
    assert report.exit_code == ExitCode.SUBJECT
    assert codes(desk.verify(data, models=[])) == ["subject-missing"]


def test_names(desk: Desk) -> None:
    data = desk.certify()
    renamed = desk.root / "production-model.bin"
    shutil.copy(desk.model, renamed)
    assert codes(desk.verify(data, models=[present(renamed)])) == []
    assert codes(desk.verify(data, models=[present(renamed, "model.onnx")])) == []
    report = desk.verify(data, models=[present(renamed, "tokenizer")])
    assert codes(report) == ["subject-name"]
    assert "model.onnx" in report.reasons[0].message


@pytest.fixture
def two(desk: Desk) -> tuple[bytes, Path]:
    tokenizer = desk.root / "tokenizer.json"
    tokenizer.write_bytes(b"tokens")
    subjects = (desk.subject(), subject_of(tokenizer))
    return desk.certify(desk.build(subjects=subjects)), tokenizer


def test_every_certified_artefact_must_be_given(desk: Desk, two: tuple[bytes, Path]) -> None:
    data, tokenizer = two
    model, other = present(desk.model), present(tokenizer)
    assert codes(desk.verify(data, models=[model, other])) == []
    assert codes(desk.verify(data, models=[other, model, model])) == []
    assert codes(desk.verify(data, models=[model])) == ["subject-missing"]
    assert codes(desk.verify(data, models=[model, model])) == ["subject-missing"]
    changed = present_bytes(b"other tokens", "tokenizer.json")
    report = desk.verify(data, models=[model, changed])
    assert set(codes(report)) == {"subject-differs", "subject-missing"}


def test_the_right_bytes_under_the_wrong_name(desk: Desk, two: tuple[bytes, Path]) -> None:
    data, tokenizer = two
    swapped = [present(tokenizer, "model.onnx"), present(desk.model, "tokenizer.json")]
    assert codes(desk.verify(data, models=swapped))[:2] == ["subject-differs", "subject-differs"]


def test_an_uncertified_companion_is_refused(desk: Desk) -> None:
    report = desk.verify(desk.certify(), models=[present(desk.model), present_bytes(b"adapter", "lora.bin")])
    assert codes(report) == ["subject-differs"]
    assert report.reasons[0].path == "lora.bin"


def test_a_material_is_not_a_subject(desk: Desk) -> None:
    table = desk.root / "test.csv"
    table.write_bytes(b"a,b\n")
    data = desk.certify(desk.build(materials=(subject_of(table),)))
    assert "subject-differs" in codes(desk.verify(data, models=[present(table)]))


def test_a_directory(desk: Desk) -> None:
    root = desk.root / "bundle"
    root.mkdir()
    (root / "model.onnx").write_bytes(b"weights")
    (root / "config.json").write_bytes(b"{}")
    data = desk.certify(desk.build(subjects=(directory_subject(root),)))
    assert codes(desk.verify(data, models=[present(root)])) == []
    listing = desk.root / "MANIFEST.sha256"
    listing.write_bytes(manifest(list_files(root)))
    assert codes(desk.verify(data, models=[present(listing)])) == ["subject-kind"]
    (root / "evil.so").write_bytes(b"\x7fELF")
    (root / "config.json").write_bytes(b"{ }")
    (root / "model.onnx").unlink()
    report = desk.verify(data, models=[present(root)])
    assert codes(report) == ["subject-differs"]
    for told in ("extra: evil.so", "changed: config.json", "missing: model.onnx"):
        assert told in report.reasons[0].message
    (root / "link").symlink_to("config.json")
    assert codes(desk.verify(data, models=[present(root)])) == ["subject-unreadable"]


# --- 14: time -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (NOW - timedelta(seconds=301), ["not-yet-valid"]),
        (NOW - timedelta(seconds=300), []),
        (NOW + timedelta(days=90, seconds=300), []),
        (NOW + timedelta(days=90, seconds=301), ["expired"]),
        (NOW.replace(year=1), ["not-yet-valid"]),
        (NOW.replace(year=9999), ["expired"]),
    ],
)
def test_the_window_with_300_seconds_of_skew(desk: Desk, moment: Any, expected: list[str]) -> None:
    report = desk.verify(desk.certify(), now=moment)
    assert codes(report) == expected
    if expected:
        assert report.exit_code == ExitCode.TIME


def test_a_window_that_is_too_long_or_empty(desk: Desk) -> None:
    certificate = ready(desk)
    longer = replace(certificate, expires_at=certificate.expires_at + timedelta(seconds=1))
    assert codes(desk.verify(desk.certify(longer))) == ["window"]
    shorter_policy = policy(POLICY_TOML.replace('validity = "90d"', 'validity = "30d"'))
    report = desk.verify(desk.certify(certificate), policy=shorter_policy)
    assert codes(report) == ["window"]
    assert report.exit_code == ExitCode.TIME
    empty = replace(certificate, expires_at=certificate.issued_at)
    assert codes(desk.verify(desk.certify(empty), now=NOW)) == ["window"]


# --- 17: the decision must follow from the evidence --------------------------------------------------------------


def test_a_signed_lie_about_the_decision(desk: Desk) -> None:
    refused = not_ready(desk)
    lie = replace(refused, decision=replace(ready(desk).decision, run_id=refused.run.id))
    report = desk.verify(desk.certify(lie))
    assert report.exit_code == ExitCode.EVIDENCE
    assert "decision" in codes(report)
    assert "READY" in report.reasons[0].message
    assert report.decision is Readiness.NOT_READY


@pytest.mark.parametrize(
    "change",
    [
        lambda d: replace(d, policy_digest="0" * 64),
        lambda d: replace(d, run_id="another"),
        lambda d: replace(d, reasons=("none",)),
        lambda d: replace(d, verdicts=d.verdicts[1:]),
        lambda d: replace(d, verdicts=(*d.verdicts, d.verdicts[0])),
        lambda d: replace(d, verdicts=(replace(d.verdicts[0], message="all is well"), *d.verdicts[1:])),
        lambda d: replace(d, verdicts=(replace(d.verdicts[0], required=False), *d.verdicts[1:])),
        lambda d: replace(d, verdicts=(replace(d.verdicts[0], waiver_id="w"), *d.verdicts[1:])),
        lambda d: replace(
            d, verdicts=(replace(d.verdicts[0], outcome=Outcome.INCONCLUSIVE), *d.verdicts[1:])
        ),
        lambda d: replace(d, outcome=Readiness.NOT_READY),
    ],
)
def test_every_part_of_the_decision_is_repeated(desk: Desk, change: Any) -> None:
    certificate = ready(desk)
    changed = replace(certificate, decision=change(certificate.decision))
    report = desk.verify(desk.certify(changed))
    assert report.exit_code == ExitCode.EVIDENCE, report.reasons


def test_thresholds_weakened_after_the_decision(desk: Desk) -> None:
    refused = not_ready(desk)
    weaker = tuple(
        replace(
            run,
            evidence=None
            if run.evidence is None
            else replace(
                run.evidence, criteria=tuple(replace(c, limit=c.limit + 1) for c in run.evidence.criteria)
            ),
        )
        for run in refused.runs
    )
    assert desk.verify(desk.certify(replace(refused, runs=weaker))).exit_code == ExitCode.EVIDENCE
    other_policy = replace(refused, policy=replace(refused.policy, required_gates=()))
    assert desk.verify(desk.certify(other_policy)).exit_code == ExitCode.EVIDENCE


def test_sentences_of_another_version_may_differ_and_nothing_else(desk: Desk) -> None:
    certificate = ready(desk)
    older = replace(certificate, producer=replace(certificate.producer, version="0.0.1"))
    first, *rest = certificate.decision.verdicts
    reworded = replace(certificate.decision, verdicts=(replace(first, message="as 0.0.1 said it"), *rest))
    assert codes(desk.verify(desk.certify(replace(older, decision=reworded)))) == []
    recoded = replace(certificate.decision, verdicts=(replace(first, reason="other"), *rest))
    assert codes(desk.verify(desk.certify(replace(older, decision=recoded)))) == ["decision"]


def test_an_embedded_policy_that_overflows_is_told(desk: Desk) -> None:
    certificate = ready_with_waiver(desk)
    absurd = replace(certificate.policy, max_waiver_days=2**50)
    report = desk.verify(
        desk.certify(replace(certificate, policy=absurd)), waiver_keys=[desk.key("risk").public_key]
    )
    assert codes(report) == ["decision"]


# --- 1 and 15: ready, here and now --------------------------------------------------------------------------


def test_not_ready(desk: Desk) -> None:
    report = desk.verify(desk.certify(not_ready(desk)))
    assert set(codes(report)) == {"not-ready"}
    assert report.exit_code == ExitCode.NOT_READY
    assert any(reason.path == "fairness.age" and "0.2" in reason.message for reason in report.reasons)


def test_not_ready_stays_so_under_a_policy_that_asks_for_less(desk: Desk) -> None:
    lax = policy('name = "lax"\nversion = "1"\n[require]\ngates = ["performance.auc"]\n')
    only_auc = desk.build(
        gates=GATES[:1], runs=gate_runs((desk.subject(),))[:1], policy=policy(), age_gap=0.03
    )
    assert only_auc.decision.outcome is Readiness.NOT_READY
    report = desk.verify(desk.certify(only_auc), policy=lax)
    assert report.exit_code == ExitCode.NOT_READY
    assert report.decision is Readiness.READY


def test_not_ready_without_a_recorded_reason_is_not_acceptance(desk: Desk) -> None:
    lax = policy('name = "lax"\nversion = "1"\n[require]\ngates = ["performance.auc"]\n')
    only_auc = desk.build(gates=GATES[:1], runs=gate_runs((desk.subject(),))[:1])
    silent = replace(
        only_auc,
        producer=replace(only_auc.producer, version="0.0.1"),
        decision=replace(only_auc.decision, reasons=()),
    )
    report = desk.verify(desk.certify(silent), policy=lax)
    assert report.decision is Readiness.READY
    assert report.exit_code == ExitCode.NOT_READY


def test_an_absent_required_gate(desk: Desk) -> None:
    asks_more = policy(POLICY_TOML.replace('"performance.auc"]', '"performance.auc", "latency.p99"]', 1))
    report = desk.verify(desk.certify(), policy=asks_more)
    assert set(codes(report)) == {"policy"}
    assert report.exit_code == ExitCode.POLICY
    assert any(
        reason.path == "latency.p99" and "no test of that id" in reason.message for reason in report.reasons
    )
    assert report.notes[0].code == "policy"


def test_a_stricter_limit_here(desk: Desk) -> None:
    limit = Limit(gate="performance.*", metric="roc_auc", comparison=Comparison.AT_LEAST, limit=0.9)
    report = desk.verify(desk.certify(), policy=replace(policy(), limits=(limit,)))
    assert report.exit_code == ExitCode.POLICY
    higher_level = replace(policy(), confidence_level=0.99)
    assert desk.verify(desk.certify(), policy=higher_level).exit_code == ExitCode.POLICY


def test_a_policy_that_requires_nothing_accepts_nothing(desk: Desk) -> None:
    empty = replace(policy(), required_gates=(), required_dimensions=())
    assert desk.verify(desk.certify(), policy=empty).exit_code == ExitCode.POLICY


def test_evidence_about_another_model(desk: Desk) -> None:
    other = Subject(name="model.onnx", digest={"sha256": "b" * 64})
    certificate = desk.build(runs=gate_runs((other,)))
    assert certificate.decision.outcome is Readiness.NOT_READY
    report = desk.verify(desk.certify(certificate))
    assert report.exit_code == ExitCode.NOT_READY
    assert any("not the certified artefact's" in reason.message for reason in report.reasons)


@pytest.mark.parametrize("state", [state for state in RunState if state is not RunState.PASSED])
def test_only_passed_counts(desk: Desk, state: RunState) -> None:
    runs = gate_runs((desk.subject(),))
    certificate = desk.build(runs=(replace(runs[0], state=state), *runs[1:]))
    assert desk.verify(desk.certify(certificate)).exit_code == ExitCode.NOT_READY


def test_an_unfinished_inventory(desk: Desk) -> None:
    certificate = desk.build(run=replace(RUN, inventory_complete=False))
    assert desk.verify(desk.certify(certificate)).exit_code == ExitCode.NOT_READY


# --- the report ---------------------------------------------------------------------------------------------


def test_all_reasons_are_told_and_the_first_stage_gives_the_code(desk: Desk) -> None:
    asks_more = policy(POLICY_TOML.replace('"performance.auc"]', '"performance.auc", "latency.p99"]', 1))
    data = desk.certify(not_ready(desk))
    desk.model.write_bytes(b"another model")
    report = desk.verify(data, now=NOW + timedelta(days=400), policy=asks_more)
    assert list(dict.fromkeys(codes(report))) == ["subject-differs", "expired", "not-ready", "policy"]
    assert report.exit_code == ExitCode.SUBJECT


def test_the_report_as_json(desk: Desk) -> None:
    document = report_json(desk.verify(desk.certify()))
    assert (document["accepted"], document["exitCode"], document["decision"]) == (True, 0, "READY")
    assert json.loads(canonical_json(document)) == document
    refused = report_json(desk.verify(b""))
    assert (refused["accepted"], refused["exitCode"]) == (False, 11)
    assert refused["reasons"] == [
        {"code": "malformed", "message": refused["reasons"][0]["message"], "path": ""}  # type: ignore[index,call-overload]
    ]


def test_a_rewritten_predicate_by_a_trusted_key_is_still_judged(desk: Desk) -> None:
    data = desk.certify(not_ready(desk))
    runs = payload_of(data)["predicate"]["runs"]
    for run in runs:
        run.pop("evidence", None)
    report = desk.verify(signed(desk, edited(data, runs=runs)))
    assert report.exit_code == ExitCode.EVIDENCE


def test_a_policy_that_asks_nobody_for_proof_certifies_nothing(desk: Desk) -> None:
    guard = replace(policy(), burden=Burden.VIOLATION)
    issued_so = desk.verify(desk.certify(desk.build(policy=guard)))
    assert codes(issued_so) == ["policy-guard"]
    assert issued_so.exit_code is ExitCode.POLICY
    judged_so = desk.verify(desk.certify(), policy=guard)
    assert codes(judged_so) == ["policy-guard"]
