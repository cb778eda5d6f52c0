"""What a verification returns: every reason with a stable code, and the exit code that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from pytest_prodml.codec import encode
from pytest_prodml.errors import ProdmlError
from pytest_prodml.records import JsonValue, Readiness


class ExitCode(IntEnum):
    """The exit codes of ``prodml verify``; pytest keeps 0 to 5 for itself."""

    ACCEPTED = 0
    NOT_READY = 1
    USAGE = 2
    NO_SIGNATURE = 10
    MALFORMED = 11
    UNTRUSTED = 12
    SUBJECT = 13
    TIME = 14
    POLICY = 15
    WAIVER = 16
    EVIDENCE = 17
    INTERNAL = 70


#: Every reason code, the stage it belongs to by its exit code, and what it stands for.
REASONS = {
    "malformed": (ExitCode.MALFORMED, "the file is not a DSSE envelope in strict JSON"),
    "no-signature": (ExitCode.NO_SIGNATURE, "the certificate is not signed"),
    "untrusted": (ExitCode.UNTRUSTED, "no given key signed this content: altered, or signed by someone else"),
    "threshold": (ExitCode.UNTRUSTED, "fewer given keys signed than the policy asks for"),
    "role": (ExitCode.UNTRUSTED, "a role of the trust root has not signed, or with too few keys"),
    "key-validity": (ExitCode.UNTRUSTED, "a key that is needed is outside of its window in the trust root"),
    "identity": (
        ExitCode.UNTRUSTED,
        "a keyless signature does not prove an identity that the trust root lists",
    ),
    "trust-root": (
        ExitCode.UNTRUSTED,
        "too few root keys signed the trust root, or it is malformed",
    ),
    "trust-expired": (ExitCode.UNTRUSTED, "the trust root has expired"),
    "trust-rollback": (ExitCode.UNTRUSTED, "a newer or another trust root was accepted here before"),
    "revoked": (ExitCode.WAIVER, "the certificate, its model, or a key that is needed was revoked"),
    "revocation-missing": (ExitCode.WAIVER, "a revocation list is needed and could not be had"),
    "revocation-untrusted": (ExitCode.WAIVER, "the revocation list is malformed, or not signed by its role"),
    "revocation-stale": (ExitCode.WAIVER, "the revocation list is too old, or not valid yet"),
    "revocation-rollback": (ExitCode.WAIVER, "a newer revocation list was accepted here before"),
    "payload-type": (ExitCode.MALFORMED, "the signed content is not an in-toto statement"),
    "predicate-type": (ExitCode.MALFORMED, "the signed statement is not a production-readiness certificate"),
    "statement": (ExitCode.MALFORMED, "the signed statement breaks a rule of the format"),
    "html-mismatch": (ExitCode.MALFORMED, "the page is not the one that was made with the certificate"),
    "subject-unreadable": (ExitCode.SUBJECT, "a given model can not be read or hashed"),
    "subject-differs": (ExitCode.SUBJECT, "a given model is not the one that was certified"),
    "subject-name": (ExitCode.SUBJECT, "no certified artefact has the name that was asked for"),
    "subject-kind": (ExitCode.SUBJECT, "a file was given for a directory, or a directory for a file"),
    "subject-missing": (ExitCode.SUBJECT, "a certified artefact was not given"),
    "not-yet-valid": (ExitCode.TIME, "the certificate is not valid yet"),
    "expired": (ExitCode.TIME, "the certificate has expired"),
    "window": (ExitCode.TIME, "the certificate claims a longer validity than the policy allows, or none"),
    "issued-too-early": (ExitCode.TIME, "the certificate is older than the trust root accepts"),
    "no-serial": (ExitCode.TIME, "the certificate has no serial, and one is needed to tell old from new"),
    "replay": (ExitCode.TIME, "a newer certificate of this model was accepted here before"),
    "decision": (ExitCode.EVIDENCE, "the stated decision does not follow from the evidence"),
    "not-ready": (ExitCode.NOT_READY, "the certificate records that the model is not ready"),
    "policy": (ExitCode.POLICY, "the policy given here is not met"),
    "policy-guard": (ExitCode.POLICY, "a policy whose burden of proof is violation certifies nothing"),
    "policy-not-accepted": (
        ExitCode.POLICY,
        "the trust root does not accept the policy of the gate or of the issue",
    ),
    "waiver-expired": (ExitCode.WAIVER, "a waiver that is needed is not in force"),
    "waiver-untrusted": (ExitCode.WAIVER, "a waiver that is needed is not signed by a given approver"),
    "waiver-self-approved": (ExitCode.WAIVER, "a waiver was approved with a key that signed the certificate"),
    "waiver-revoked": (ExitCode.WAIVER, "a waiver that is needed was revoked"),
    "waiver-not-allowed": (ExitCode.POLICY, "the policy given here does not allow a waiver that is needed"),
    "state": (ExitCode.USAGE, "what was accepted before can not be read, locked or recorded, or is needed"),
    "usage": (ExitCode.USAGE, "an option, key or policy can not be used"),
    "internal": (ExitCode.INTERNAL, "the verifier itself failed"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something was refused (or, as a note, what was seen and did not matter).

    `path` says where: a file, a field, a gate id, a waiver id.
    """

    code: str
    message: str
    path: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the stage this reason belongs to."""
        return REASONS[self.code][0]


class RefusalError(ProdmlError):
    """A step before the certificate itself refused: the trust root, the revocation list, the state."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.message, where=reason.path or None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedWaiver:
    """An exception without which the model would not have been accepted."""

    id: str
    gate_id: str
    approver: str
    reason: str
    expires_at: datetime
    reference: str | None = None
    subject_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationReport:
    """The result. What follows `payload_sha256` is known only once the signatures have been checked.

    `reasons` are in the order of the procedure, so the first one's stage gives the exit code; empty means
    accepted. `decision` is what follows under the policy given here, now. `roles` names, where a trust root
    was given, the keys that signed in each role.
    """

    checked_at: datetime
    reasons: tuple[Reason, ...]
    notes: tuple[Reason, ...] = ()
    signers: tuple[str, ...] = ()
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    trust_version: int | None = None
    revocations_version: int | None = None
    payload_sha256: str | None = None
    certificate_id: str | None = None
    model_name: str | None = None
    model_version: str | None = None
    serial: int | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    decision: Readiness | None = None
    policy: str | None = None
    policy_digest: str | None = None
    waivers: tuple[AppliedWaiver, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the first stage that refused; ACCEPTED if none did."""
        return self.reasons[0].exit_code if self.reasons else ExitCode.ACCEPTED

    @property
    def accepted(self) -> bool:
        """Whether the model may be used."""
        return not self.reasons


def report_json(report: VerificationReport) -> dict[str, JsonValue]:
    """Return the report as plain JSON, with `accepted` and `exitCode` spelled out."""
    return {"accepted": report.accepted, "exitCode": int(report.exit_code), **encode(report)}
