"""Before a signature: who signs looks at waivers, list and trust root as a gate does, and adds what counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import NOW, Desk, not_ready, ready_with_waiver, signed
from pytest_prodml.certificate.dsse import Envelope, parse_envelope
from pytest_prodml.certificate.statement import certificate_payload
from pytest_prodml.records import Readiness
from pytest_prodml.verify.acceptance import open_list
from pytest_prodml.verify.cosign import check_added, check_before_signing
from pytest_prodml.verify.report import Reason, VerificationReport
from pytest_prodml.verify.revocation import Revocation, RevocationList
from pytest_prodml.verify.subjects import present
from pytest_prodml.verify.trustfile import load_trust
from trust_factory import LATER, entry, revocation_list, write_trust


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def looked_at(
    desk: Desk,
    envelope: bytes,
    *entries: Revocation,
    signer: str | None = "ci",
    root: dict[str, Any] | None = None,
    **listed: Any,
) -> VerificationReport:
    """Return what the second signer is told, with a trust root and a list."""
    trust = load_trust(write_trust(desk, **(root or {})))
    return check_before_signing(
        parse_envelope(envelope),
        desk.key(signer).public_key if signer is not None else None,
        models=[present(desk.model)],
        now=LATER,
        trust=trust,
        revocations=open_list(revocation_list(desk, *entries, **listed), trust, NOW),
    )


def codes(report: VerificationReport) -> list[str]:
    return [reason.code for reason in report.reasons]


def waived(desk: Desk, **change: Any) -> bytes:
    return desk.certify(ready_with_waiver(desk, **change), signers=("ds",))


# --- waivers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signer", ["ci", None])
def test_a_waiver_counts_for_a_signer_as_at_a_gate(desk: Desk, signer: str | None) -> None:
    report = looked_at(desk, waived(desk), signer=signer)
    assert codes(report) == []
    assert report.decision is Readiness.READY_WITH_WAIVERS
    assert [waiver.id for waiver in report.waivers] == ["w-1"]
    own = looked_at(desk, waived(desk, signer="ds"), signer=signer)
    assert codes(own) == ["waiver-self-approved"]


def test_a_waiver_of_an_approver_who_is_out(desk: Desk) -> None:
    data = waived(desk)
    assert codes(looked_at(desk, data, entry("key", desk.key("risk").keyid))) == ["waiver-untrusted"]
    window = {"windows": {"risk": "valid_until = 2026-11-22T09:31:00Z"}}
    assert codes(looked_at(desk, data, root=window)) == ["waiver-untrusted"]
    assert codes(looked_at(desk, data, entry("waiver", "w-1"))) == ["waiver-revoked"]
    assert codes(looked_at(desk, data, entry("waiver", "w-2"))) == []


def test_what_is_no_waiver_is_not_signed(desk: Desk) -> None:
    made = replace(ready_with_waiver(desk), waivers=("{}",))
    report = looked_at(desk, signed(desk, certificate_payload(made), signer="ds"))
    message = "waivers[0]: has no payloadType, so it is not a DSSE envelope"
    assert report.reasons == (Reason(code="statement", message=message),)
    assert report.signers == (desk.key("ds").keyid,)


# --- the list -----------------------------------------------------------------------------------------------


def test_a_signer_needs_the_present_list(desk: Desk) -> None:
    data = desk.certify(signers=("ds",))
    root = {"revocation": 'role = "security"\nmax_age_hours = 24'}
    assert codes(looked_at(desk, data, root=root)) == []
    assert codes(looked_at(desk, data, root=root, next_update=LATER)) == ["revocation-stale"]


def test_the_record_of_a_bad_model_is_refused_for_everything_else(desk: Desk) -> None:
    trust = load_trust(write_trust(desk))

    def told(*entries: Revocation, **changes: Any) -> list[str]:
        listed = open_list(revocation_list(desk, *entries), trust, NOW)
        return codes(
            check_before_signing(
                parse_envelope(desk.certify(not_ready(desk), signers=("ds",))),
                desk.key("ci").public_key,
                **{"models": [present(desk.model)], "now": LATER, **changes},
                trust=trust,
                revocations=listed,
                record=True,
            )
        )

    assert told() == []
    assert told(entry("subject", desk.subject().digest["sha256"])) == ["revoked"]
    assert told(models=[]) == ["subject-missing"]
    assert told(now=NOW + timedelta(days=365)) == ["expired"]


# --- what was added -----------------------------------------------------------------------------------------


def test_what_was_added_would_count(desk: Desk) -> None:
    """Keys stand for identities here: both are known by their names in the trust root."""
    trust = load_trust(write_trust(desk, windows={"ci": "valid_until = 2026-11-22T09:31:00Z"}))

    def envelope(*names: str) -> Envelope:
        return parse_envelope(desk.certify(signers=names))

    def told(before: Sequence[str], after: Envelope, *revoked: str, now: Any = NOW) -> Reason | None:
        entries = tuple(entry("key", desk.key(name).keyid) for name in revoked)
        listed = RevocationList(version=1, issued_at=NOW, next_update=LATER, entries=entries)
        found = check_added(envelope(*before), after, trust, listed, now)
        if not revoked:
            assert check_added(envelope(*before), after, trust, None, now) == found
        return found

    assert check_added(envelope(), envelope("other"), None, None, NOW) is None
    assert told([], envelope("ds")) is None
    assert told(["ds"], envelope("ds", "ci")) is None
    assert told(["ds"], envelope("ds", "ci"), "ds", "sec") is None
    both = envelope("ds", "ci")
    again = replace(both, signatures=(*both.signatures, both.signatures[0]))
    assert told(["ds", "ci"], again) == Reason(
        code="identity", message="ds has signed already, and an identity counts once"
    )
    assert told(["ds"], envelope("ds", "other")) == Reason(
        code="identity", message="the trust root lists no identity that it could be"
    )
    assert told(["ds"], both, now=LATER) == Reason(
        code="key-validity", message="ci is outside of its window now"
    )
    assert told(["ds"], both, "ci") == Reason(code="revoked", message="ci was revoked", path="ci")
