"""What `prodml verify --explain` prints: every step, what was looked at, and what it found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_prodml.certificate.forms import Form, read_form
from pytest_prodml.codec import format_time
from pytest_prodml.errors import MalformedError
from pytest_prodml.records import Certificate
from pytest_prodml.render.inert import inert
from pytest_prodml.verify.report import Reason, VerificationReport
from pytest_prodml.verify.subjects import Artifact
from pytest_prodml.verify.verifier import open_certificate

#: The steps of the procedure, and the reason codes that each can give.
STEPS: tuple[tuple[str, frozenset[str]], ...] = (
    (
        "Options, trust root, revocation list and state: what this gate believes",
        frozenset(
            {"usage", "internal", "state", "trust-root", "trust-expired", "trust-rollback"}
            | {"revocation-missing", "revocation-untrusted", "revocation-stale", "revocation-rollback"}
        ),
    ),
    ("The file: an envelope in strict JSON, a page or a bundle that carries one", frozenset({"malformed"})),
    (
        "The signatures: enough distinct keys that count here, over exactly these bytes",
        frozenset({"no-signature", "untrusted", "threshold", "role", "key-validity", "identity"}),
    ),
    (
        "The statement: ours, in its one form; a page must be the one that was signed",
        frozenset({"payload-type", "predicate-type", "statement", "html-mismatch"}),
    ),
    (
        "The model: not revoked, and byte for byte what was certified",
        frozenset(
            {"revoked", "subject-unreadable", "subject-differs", "subject-name", "subject-kind"}
            | {"subject-missing"}
        ),
    ),
    (
        "The time: in force now, and not older than what was accepted before",
        frozenset({"not-yet-valid", "expired", "window", "issued-too-early", "no-serial", "replay"}),
    ),
    ("The evidence: the decision, repeated from the measurements", frozenset({"decision"})),
    (
        "The decision: ready by its own policy, and by this gate's, with waivers that count",
        frozenset(
            {"not-ready", "policy", "policy-guard", "policy-not-accepted", "waiver-expired"}
            | {"waiver-untrusted", "waiver-self-approved", "waiver-revoked", "waiver-not-allowed"}
        ),
    ),
)
#: Up to this step the first refusal ends the procedure; from the next one on all steps run.
_LAST_THAT_STOPS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    report: VerificationReport
    form: Form | None
    certificate: Certificate | None
    models: Sequence[Artifact]


def explain(report: VerificationReport, data: bytes | None, models: Sequence[Artifact]) -> Iterator[str]:
    """Yield lines that tell how a report came about.

    Parameters
    ----------
    report : VerificationReport
        What `verify` returned.
    data : bytes, optional
        The file that was verified; None if it could not be read.
    models : sequence of Artifact
        What it was compared with.
    """
    form: Form | None = None
    certificate: Certificate | None = None
    if data is not None:
        try:
            form = read_form(data)
        except MalformedError:
            form = None
    stopped = _stopped(report)
    # What a statement says is shown only where its signatures have been found good.
    if form is not None and stopped is None:
        opened = open_certificate(form.envelope)
        certificate = opened if isinstance(opened, Certificate) else None
    seen = _Seen(report=report, form=form, certificate=certificate, models=models)
    for number, (title, codes) in enumerate(STEPS):
        yield f"{number}. {title}"
        if stopped is not None and number > stopped:
            yield "   NOT REACHED: nothing is looked at after the refusal above"
            continue
        yield from (f"   {inert(line)}" for line in _looked_at(number, seen))
        found = [reason for reason in report.reasons if reason.code in codes]
        yield from (f"   {line}" for line in _found(found))
    yield f"Result: {'ACCEPTED' if report.accepted else f'REFUSED (exit code {int(report.exit_code)})'}"
    for note in report.notes:
        yield f"   note: {inert(note.message)}"


def step_of(code: str) -> int:
    """Return the number of the step that gives a reason code."""
    return next(number for number, (_, codes) in enumerate(STEPS) if code in codes)


def _stopped(report: VerificationReport) -> int | None:
    # The signatures can be refused because a key was revoked; a model's revocation comes later.
    steps = [step_of(reason.code) for reason in report.reasons]
    if report.certificate_id is None and report.reasons:
        return min(_LAST_THAT_STOPS, *steps) if report.reasons[0].code != "revoked" else 2
    return None


def _found(reasons: Sequence[Reason]) -> Iterator[str]:
    if not reasons:
        yield "ok"
    for reason in reasons:
        where = f" [{inert(reason.path)}]" if reason.path else ""
        yield f"REFUSED {reason.code}{where}: {inert(reason.message)}"


def _looked_at(number: int, seen: _Seen) -> Iterator[str]:
    report, form, certificate = seen.report, seen.form, seen.certificate
    if number == 0:
        trust = f"trust root version {report.trust_version}" if report.trust_version else "the keys given"
        lists = f", revocation list {report.revocations_version}" if report.revocations_version else ""
        yield f"believed: {trust}{lists}; policy {report.policy or 'unknown'}"
        yield f"the time: {format_time(report.checked_at)}"
    elif number == 1 and form is not None:
        yield f"{form.kind}, {len(form.envelope.payload):,} signed bytes, sha256 {report.payload_sha256}"
    elif number == 2 and form is not None:
        counting = ", ".join(report.signers) or "none"
        yield f"{len(form.envelope.signatures)} in the file; of keys that count: {counting}"
        for role, names in report.roles.items():
            yield f"as {role}: {', '.join(names)}"
    elif number == 3 and form is not None and form.page_digest is not None:
        yield f"the page with an empty slot has the sha256 {form.page_digest}"
    elif certificate is not None:
        yield from _content(number, report, certificate, seen.models)


def _content(
    number: int, report: VerificationReport, certificate: Certificate, models: Sequence[Artifact]
) -> Iterator[str]:
    if number == 3:
        yield f"certificate {certificate.id} of {certificate.model_name} {certificate.model_version}"
    elif number == 4:
        for subject in certificate.subjects:
            yield f"certified: {subject.name} sha256 {subject.digest['sha256']}"
        for model in models:
            digest = model.subject.digest["sha256"] if model.subject is not None else "can not be read"
            yield f"given:     {model.location} sha256 {digest}"
    elif number == 5:
        yield f"in force from {format_time(certificate.issued_at)} to {format_time(certificate.expires_at)}"
        yield f"serial {certificate.serial if certificate.serial is not None else 'none'}"
    elif number == 6:
        decision = certificate.decision
        runs, gates = len(certificate.runs), len(certificate.gates)
        yield f"{runs} runs of {gates} gates; stated: {decision.outcome.value}"
    elif number == 7:
        yield f"under the policy of the issue: {certificate.decision.outcome.value}"
        yield f"under the policy given here: {report.decision.value if report.decision else 'unknown'}"
        for waiver in report.waivers:
            yield f"waived: {waiver.gate_id} by {waiver.approver}: {waiver.reason}"
