"""The numbered procedure: whether a certificate allows this model, under this policy, now.

1. read the envelope; 2. count trusted signatures, in every role of the trust root; 3. read the signed
statement; 4. look whether it was revoked, and compare the models; 5. look at the clock and at what was
accepted before; 6. repeat the certificate's own decision from its evidence; 7. judge the waivers and decide
again under the policy of this gate.

Nothing after step 2 is looked at before enough trusted keys vouch for the bytes. From step 4 on all steps
run and all reasons are reported; the first step that refused gives the exit code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pytest_prodml.certificate.dsse import INTOTO_PAYLOAD_TYPE, Envelope, parse_envelope
from pytest_prodml.certificate.forms import page_problem, read_form
from pytest_prodml.certificate.signers.local import PublicKey
from pytest_prodml.certificate.statement import PRODUCER, PredicateTypeError, read_certificate
from pytest_prodml.certificate.waiver import read_waiver
from pytest_prodml.codec import format_time, sha256_hex
from pytest_prodml.errors import MalformedError, ProdmlError
from pytest_prodml.policy.decide import decide
from pytest_prodml.policy.load import policy_digest
from pytest_prodml.records import Burden, Certificate, Decision, Outcome, Policy, Readiness, Waiver
from pytest_prodml.verify.report import AppliedWaiver, Reason, VerificationReport
from pytest_prodml.verify.subjects import Artifact, match_subjects
from pytest_prodml.verify.trust import (
    JudgedWaiver,
    check_roles,
    check_signatures,
    counting_keys,
    judge_waivers,
)

if TYPE_CHECKING:
    from pytest_prodml.verify.revocation import RevocationList
    from pytest_prodml.verify.state import State
    from pytest_prodml.verify.trustroot import TrustRoot

#: How far the clocks of issuer and verifier may be apart.
CLOCK_SKEW = timedelta(seconds=300)

_READY = (Readiness.READY, Readiness.READY_WITH_WAIVERS)


def verify(
    envelope: bytes,
    *,
    models: Sequence[Artifact],
    policy: Policy,
    now: datetime,
    keys: Sequence[PublicKey] = (),
    waiver_keys: Sequence[PublicKey] = (),
    trust: TrustRoot | None = None,
    revocations: RevocationList | None = None,
    state: State | None = None,
) -> VerificationReport:
    """Verify a certificate. Any bytes give a report, never an exception.

    Parameters
    ----------
    envelope : bytes
        The certificate file, its page, or a Sigstore bundle of it.
    models : sequence of Artifact
        What is about to be used, hashed by `present` or `present_bytes`.
    policy : Policy
        What this gate requires, whatever policy the certificate was issued under.
    now : datetime
        The time to judge at (aware).
    keys : sequence of PublicKey
        Whose signatures count. Not looked at where `trust` is given.
    waiver_keys : sequence of PublicKey
        Who may approve waivers. Not looked at where `trust` is given.
    trust : TrustRoot, optional
        Keys with roles, windows and conditions, in place of `keys` and `waiver_keys`.
    revocations : RevocationList, optional
        What counts no more; its signature has been checked (`open_revocations`).
    state : State, optional
        What was accepted here before; what follows from this report is `gate.verify_files`'s to record.
    """
    report = VerificationReport(
        checked_at=now,
        reasons=(),
        policy=f"{policy.name} {policy.version}",
        policy_digest=policy_digest(policy),
        trust_version=trust.document.version if trust is not None else None,
        revocations_version=revocations.version if revocations is not None else None,
    )
    if trust is not None:
        from pytest_prodml.verify.standing import conditions

        if unmet := conditions(trust, revocations, state, now):
            return replace(report, reasons=unmet)
        waiver_keys = counting_keys(trust.approvers, revocations, now)
    elif revocations is not None:
        keys = [key for key in keys if key.keyid not in revocations.keyids]
        waiver_keys = [key for key in waiver_keys if key.keyid not in revocations.keyids]
    try:
        form = read_form(envelope, where="certificate")
    except MalformedError as error:
        return replace(report, reasons=(Reason(code="malformed", message=str(error)),))
    parsed = form.envelope
    report = replace(report, payload_sha256=sha256_hex(parsed.payload))
    if trust is not None:
        signers, roles, refused = check_roles(parsed, trust, revocations, policy.min_signatures, now)
        report = replace(report, roles=roles)
    else:
        signers, reason = check_signatures(parsed, keys, policy.min_signatures)
        refused = () if reason is None else (reason,)
    report = replace(report, signers=tuple(key.keyid for key in signers))
    if refused:
        return replace(report, reasons=refused)
    opened = open_certificate(parsed)
    if isinstance(opened, Reason):
        return replace(report, reasons=(opened,))
    if problem := page_problem(form, opened):
        return replace(report, reasons=(Reason(code="html-mismatch", message=problem, path="renderings"),))
    try:
        judged = judge_waivers(opened, waiver_keys, signers, policy, now, revocations)
    except MalformedError as error:
        return replace(report, reasons=(Reason(code="statement", message=str(error)),))
    first: tuple[Reason, ...] = ()
    later: tuple[Reason, ...] = ()
    if revocations is not None:
        from pytest_prodml.verify.revocation import revoked_reasons

        first = tuple(revoked_reasons(revocations, opened))
    if trust is not None or state is not None:
        from pytest_prodml.verify.standing import standing_reasons

        later = tuple(standing_reasons(opened, report.payload_sha256 or "", policy, trust, state))
    return judge_content(report, opened, judged, models, policy, first=first, later=later)


def open_certificate(envelope: Envelope) -> Certificate | Reason:
    """Read the statement of an envelope whose signatures have been checked, or say why it is none of ours."""
    if envelope.payload_type != INTOTO_PAYLOAD_TYPE:
        message = f"the signed content is {envelope.payload_type[:200]!a}, not {INTOTO_PAYLOAD_TYPE!r}"
        return Reason(code="payload-type", message=message, path="payloadType")
    try:
        return read_certificate(envelope.payload)
    except PredicateTypeError as error:
        return Reason(code="predicate-type", message=str(error), path="predicateType")
    except MalformedError as error:
        return Reason(code="statement", message=str(error))


def judge_content(
    report: VerificationReport,
    certificate: Certificate,
    judged: Sequence[JudgedWaiver],
    models: Sequence[Artifact],
    policy: Policy,
    *,
    first: Sequence[Reason] = (),
    later: Sequence[Reason] = (),
) -> VerificationReport:
    """Take steps 4 to 7 for a certificate that has been opened; what signed it is not asked here.

    `first` and `later` are reasons of the caller's own, put before the comparison of models and after the
    clock.
    """
    now = report.checked_at
    all_waivers = [item.waiver for item in judged]
    counting = [item.waiver for item in judged if item.problem is None]
    decision = _decide(certificate, policy, counting, now)
    reasons = [
        *first,
        *match_subjects(certificate.subjects, models),
        *_window_reasons(certificate, policy, now),
        *later,
        *replay_reasons(certificate, all_waivers),
    ]
    waiver_problems = [item.problem for item in judged if item.problem is not None]
    refusals = list(_decision_reasons(certificate, decision, policy, judged))
    notes = list(_policy_notes(certificate, policy))
    if not refusals:
        notes += waiver_problems
    used = {verdict.waiver_id for verdict in decision.verdicts}
    return replace(
        report,
        reasons=(*reasons, *refusals),
        notes=tuple(notes),
        certificate_id=certificate.id,
        model_name=certificate.model_name,
        model_version=certificate.model_version,
        serial=certificate.serial,
        issued_at=certificate.issued_at,
        expires_at=certificate.expires_at,
        decision=decision.outcome,
        waivers=tuple(_applied(waiver) for waiver in counting if waiver.id in used),
    )


def _window_reasons(certificate: Certificate, policy: Policy, now: datetime) -> Iterator[Reason]:
    issued, expires = certificate.issued_at, certificate.expires_at
    # Differences, not sums: a sum can leave the range of datetime.
    if issued - now > CLOCK_SKEW:
        message = f"valid from {format_time(issued)}; it is {format_time(now)} here"
        yield Reason(code="not-yet-valid", message=message, path="issuedAt")
    if now - expires > CLOCK_SKEW:
        message = f"expired at {format_time(expires)}; it is {format_time(now)} here"
        yield Reason(code="expired", message=message, path="expiresAt")
    if expires <= issued:
        yield Reason(code="window", message="the certificate expires before it begins", path="expiresAt")
    elif expires - issued > timedelta(days=policy.validity_days):
        message = (
            f"valid from {format_time(issued)} to {format_time(expires)}, longer than the "
            f"{policy.validity_days} days that the policy allows"
        )
        yield Reason(code="window", message=message, path="expiresAt")


def replay_reasons(certificate: Certificate, waivers: Sequence[Waiver] | None = None) -> Iterator[Reason]:
    """Repeat the decision that the certificate states, from what it embeds, and say where it differs.

    `waivers` are the embedded ones if they have been read already; whether they count is asked separately.

    Outcomes and codes must agree always. The sentences too, unless another version of this package wrote
    them: old certificates stay verifiable when a sentence is improved.
    """
    try:
        if waivers is None:
            waivers = [
                read_waiver(parse_envelope(text.encode(), where="waiver")) for text in certificate.waivers
            ]
        again = _decide(certificate, certificate.policy, waivers, certificate.issued_at)
    except (ProdmlError, ArithmeticError, ValueError) as error:
        message = f"the decision can not be repeated from the evidence: {error}"
        yield Reason(code="decision", message=message, path="decision")
        return
    stated = certificate.decision
    if certificate.producer != PRODUCER:
        again, stated = _without_sentences(again), _without_sentences(stated)
    if again == stated:
        return
    if again.outcome is not stated.outcome:
        message = (
            f"the certificate says {stated.outcome.value}, but its own evidence and policy give "
            f"{again.outcome.value}"
        )
        yield Reason(code="decision", message=message, path="decision.outcome")
    mine = {verdict.gate_id: verdict for verdict in again.verdicts}
    theirs = {verdict.gate_id: verdict for verdict in stated.verdicts}
    differing = [gate for gate in sorted(mine.keys() | theirs.keys()) if mine.get(gate) != theirs.get(gate)]
    for gate in differing:
        message = f"the stated verdict of {gate} does not follow from its evidence"
        yield Reason(code="decision", message=message, path=gate)
    if again.outcome is stated.outcome and not differing:
        message = "the stated reasons, policy digest or run id do not follow from the evidence"
        yield Reason(code="decision", message=message, path="decision")


def _decision_reasons(
    certificate: Certificate, decision: Decision, policy: Policy, judged: Sequence[JudgedWaiver]
) -> Iterator[Reason]:
    """Yield why the model is not ready here: its own record, a waiver that does not count, or the policy."""
    if Burden.VIOLATION in {certificate.policy.burden, policy.burden}:
        # Under such a policy few rows pass everything: it guards pull requests and certifies nothing.
        whose = "issued under" if certificate.policy.burden is Burden.VIOLATION else "to be judged here by"
        message = f"{whose} a policy that asks nobody for proof (burden = violation)"
        yield Reason(code="policy-guard", message=message, path="policy.burden")
    own = certificate.decision
    if own.outcome not in _READY:
        # Never only the recorded reasons: a record without one must not be taken for acceptance.
        message = f"the certificate records that the model is {own.outcome.value}"
        yield Reason(code="not-ready", message=message, path="decision.outcome")
        yield from _blocking("not-ready", own)
    if decision.outcome in _READY:
        return
    problems = [item.problem for item in judged if item.problem is not None]
    lost = [problem for problem in problems if problem.code != "waiver-not-allowed"]
    hypothetical = _decide(certificate, policy, [item.waiver for item in judged], certificate.issued_at)
    if lost and hypothetical.outcome in _READY:
        # With every waiver trusted and in force the policy would be met: so the waivers are what is missing.
        yield from sorted(problems, key=lambda problem: problem not in lost)
        return
    recorded = {(reason.message, reason.path) for reason in _blocking("not-ready", own)}
    further = [
        reason
        for reason in _blocking("policy", decision)
        if own.outcome in _READY or (reason.message, reason.path) not in recorded
    ]
    if own.outcome in _READY or further:
        message = f"the policy {policy.name} {policy.version} is not met"
        yield Reason(code="policy", message=message, path="policy")
        yield from further
    yield from problems


def _blocking(code: str, decision: Decision) -> Iterator[Reason]:
    for sentence in decision.reasons:
        yield Reason(code=code, message=sentence)
    for verdict in decision.verdicts:
        if verdict.required and verdict.outcome is not Outcome.PASS and verdict.waiver_id is None:
            told = "failed" if verdict.outcome is Outcome.FAIL else "is not proven"
            message = f"{verdict.gate_id} {told}: {verdict.message}"
            yield Reason(code=code, message=message, path=verdict.gate_id)


def _policy_notes(certificate: Certificate, policy: Policy) -> Iterator[Reason]:
    if certificate.policy != policy:
        message = (
            f"issued under the policy {certificate.policy.name} {certificate.policy.version}, judged here "
            f"under {policy.name} {policy.version}"
        )
        yield Reason(code="policy", message=message, path="policy")


def _decide(certificate: Certificate, policy: Policy, waivers: Iterable[Waiver], now: datetime) -> Decision:
    return decide(
        policy,
        certificate.gates,
        certificate.runs,
        certificate.run,
        subjects=certificate.subjects,
        environments=certificate.environments,
        waivers=tuple(waivers),
        now=now,
    )


def _without_sentences(decision: Decision) -> Decision:
    verdicts = tuple(replace(verdict, message="") for verdict in decision.verdicts)
    return replace(decision, verdicts=verdicts, reasons=())


def _applied(waiver: Waiver) -> AppliedWaiver:
    return AppliedWaiver(
        id=waiver.id,
        gate_id=waiver.gate_id,
        approver=waiver.approver,
        reason=waiver.reason,
        expires_at=waiver.expires_at,
        reference=waiver.reference,
        subject_name=waiver.subject_name,
    )
