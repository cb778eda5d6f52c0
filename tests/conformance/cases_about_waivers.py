"""Rows W of the must-reject table: exceptions that do not count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from certificate_factory import NOW, policy
from conformance.make import POLICY, SHARED, Case, Table
from pytest_prodml.certificate.build import issue
from pytest_prodml.records import RunState
from pytest_prodml.verify.revocation import Revocation, RevocationKind, RevocationList, sign_revocations
from trust_factory import PEOPLE, trust_text

RISK = ("--waiver-key", f"{SHARED}/keys/risk.pub")


def cases(table: Table) -> list[Case]:
    """Return the cases."""
    return [*_cases(table), *_under_a_trust_root(table)]


def _cases(table: Table) -> Iterator[Case]:
    def case(
        name: str, what: str, code: str | None, exit_code: int, certificate: Any, **options: Any
    ) -> Case:
        options.setdefault("options", RISK)
        keys = [table.key(key) for key in options.pop("signers", ("ci",))]
        return Case(name=name, row=name[:3].upper(), what=what, certificate=issue(certificate, keys),
                    codes=[code] if code else [], exit_code=exit_code, **options)  # fmt: skip

    def waived(gates: int = 2, **changes: Any) -> Any:
        return table.small(gates, age_gap=0.2, waivers=[table.waiver(**changes)])

    good = waived()
    yield case("w01-good", "A failing gate with a waiver that counts", None, 0, good)
    yield case("w01-last-second", "The last second of a waiver", None, 0, good, at="2026-12-22T09:29:59Z")
    yield case("w01-expired", "The waiver ends now, before the certificate", "waiver-expired", 16, good,
               at="2026-12-22T09:30:00Z")  # fmt: skip
    yield case("w01-expired-later", "The waiver has expired for days", "waiver-expired", 16, good,
               at="2027-01-22T09:30:00Z")  # fmt: skip
    yield case("w01-approver-unknown", "The approver's key is not given", "waiver-untrusted", 16, good,
               options=())  # fmt: skip
    yield case("w01-approver-other", "Another approver's key is given", "waiver-untrusted", 16, good,
               options=("--waiver-key", f"{SHARED}/keys/other.pub"))  # fmt: skip
    own = waived(signer="ci")
    yield case("w01-self-approved", "The certificate's signer approved it", "waiver-self-approved", 16, own,
               options=("--waiver-key", f"{SHARED}/keys/ci.pub"))  # fmt: skip
    yield case("w01-self-approved-by-second", "The second signer approved it", "waiver-self-approved", 16, good,
               signers=("ci", "risk"), keys=["ci", "risk"])  # fmt: skip
    yield case("w01-not-needed", "A waiver by nobody that is not needed changes nothing", None, 0,
               table.small(2, waivers=[table.waiver(signer="other")]))  # fmt: skip
    unfit: dict[str, dict[str, Any]] = {
        "other-model": {"subject_digest": "0" * 64},
        "other-gate": {"gate_id": "performance.auc"},
        "no-such-gate": {"gate_id": "fairness.agee"},
        "too-long": {"issued_at": NOW - timedelta(days=40), "expires_at": NOW + timedelta(days=21)},
        "expired-at-issue": {"issued_at": NOW - timedelta(days=9), "expires_at": NOW - timedelta(days=1)},
        "not-yet-at-issue": {"issued_at": NOW + timedelta(days=1), "expires_at": NOW + timedelta(days=9)},
        "by-name-not-allowed": {"subject_digest": None, "subject_name": "model*"},
    }
    for name, changes in unfit.items():
        yield case(f"w01-{name}", f"The waiver does not fit: {name}", "not-ready", 1, waived(**changes))
    exact: dict[str, Any] = {"issued_at": NOW - timedelta(days=30), "expires_at": NOW + timedelta(days=30)}
    yield case("w01-as-long-as-allowed", "The waiver is exactly as long as allowed", None, 0, waived(**exact))
    for name, text in {
        "gate-forbids": POLICY.replace('gates = ["fairness.age"]', 'gates = ["performance.auc"]'),
        "gate-shorter": POLICY.replace("max_days = 60", "max_days = 20"),
        "gate-names-none": POLICY.replace('gates = ["fairness.age"]', "gates = []"),
    }.items():
        yield case(f"w01-{name}", f"The gate's policy does not take the waiver: {name}", "waiver-not-allowed",
                   15, good, policy=text)  # fmt: skip
    yield case("w02-gate-allows-none", "The gate's policy takes no waivers", "policy", 15, good,
               policy=POLICY.replace("max = 1", "max = 0"))  # fmt: skip
    both = table.small(
        2, auc=0.5, age_gap=0.2,
        waivers=[table.waiver(), table.waiver(id="w-2", gate_id="performance.auc")],
        policy=policy(POLICY.replace('gates = ["fairness.age"]', 'gates = ["fairness.age", "performance.auc"]')),
    )  # fmt: skip
    yield case("w02-two-and-one-allowed", "Two waivers are needed and one is allowed", "not-ready", 1, both)
    edited = replace(good, waivers=(good.waivers[0].replace('"keyid":"', '"keyid":"0', 1),))
    yield case("w01-keyid-edited", "The waiver's key id is a hint too", None, 0, edited)
    tampered = table.waiver().decode().replace('"sig":"', '"sig":"AAAA', 1)
    yield case("w01-signature-edited", "The waiver's signature was changed", "waiver-untrusted", 16,
               replace(good, waivers=(tampered,)))  # fmt: skip
    yield case("w02-removed", "The certificate says waived, and the waiver is gone", "decision", 17,
               replace(good, waivers=()))  # fmt: skip
    failing = table.small(2, age_gap=0.2)
    yield case("w02-added-after-the-decision", "A waiver was added and the decision not made again", "decision",
               17, replace(failing, waivers=good.waivers))  # fmt: skip
    for state in ("skipped", "crashed", "not_run", "timed_out"):
        runs = (good.runs[0], replace(good.runs[1], state=RunState(state)))
        yield case(f"w01-{state.replace('_', '-')}", f"A waiver for a test that was {state}", "not-ready", 1,
                   table.small(2, age_gap=0.2, waivers=[table.waiver()], runs=runs))  # fmt: skip
    by_name = POLICY + "\n[waivers.by_name]\nmax = 1\nmax_days = 40\n"
    named = table.small(
        2, age_gap=0.2, policy=policy(by_name),
        waivers=[table.waiver(subject_digest=None, subject_name="model*")],
    )  # fmt: skip
    yield case("w01-by-name", "A waiver by name where the policy takes them", None, 0, named, policy=by_name)
    yield case("w01-by-name-gate-refuses", "A waiver by name where the gate does not take them",
               "waiver-not-allowed", 15, named)  # fmt: skip


def _under_a_trust_root(table: Table) -> Iterator[Case]:
    """Yield waivers where a trust root says who approves, and a revocation list what counts no more."""
    waived = table.small(2, age_gap=0.2, waivers=[table.waiver()])
    certificate = issue(waived, [table.key("ds"), table.key("ci")])
    passing = table.small(2, waivers=[table.waiver()])
    not_needed = issue(passing, [table.key("ds"), table.key("ci")])

    def case(name: str, what: str, code: str | None, *, revoked: Sequence[tuple[str, str]] = (),
             data: bytes = certificate, **changes: Any) -> Case:  # fmt: skip
        entries = tuple(
            Revocation(kind=RevocationKind(kind), value=value, reason="was a mistake", revoked_at=NOW)
            for kind, value in revoked
        )
        listed = RevocationList(
            version=1, issued_at=NOW, next_update=NOW + timedelta(hours=24), entries=entries
        )
        rule = 'role = "security"\nrequired = true'
        return Case(name=f"w01-{name}", row="W01", what=what, certificate=data,
                    trust=trust_text(table, revocation=rule, **changes),
                    files={"revocations.json": sign_revocations(listed, table.key("sec"))},
                    options=("--revocations", "revocations.json"),
                    codes=[code] if code else [], exit_code=16 if code else 0)  # fmt: skip

    approver, people = table.key("risk").keyid, {**PEOPLE, "risk2": "risk"}
    yield case("approver-by-role", "The approver has the role that the trust root names", None)
    yield case("revoked", "The waiver was revoked", "waiver-revoked", revoked=[("waiver", "w-1")])
    yield case("revoked-another", "Another waiver was revoked", None, revoked=[("waiver", "w-2")])
    yield case("revoked-approver", "The approver's key was revoked", "waiver-untrusted",
               revoked=[("key", approver)], people=people)  # fmt: skip
    yield case("revoked-not-needed", "A waiver that is not needed was revoked", None, data=not_needed,
               revoked=[("waiver", "w-1")])  # fmt: skip
    yield case("revoked-approver-not-needed", "The approver of a waiver that is not needed was revoked", None,
               data=not_needed, revoked=[("key", approver)])  # fmt: skip
    yield case("approver-ended", "The window of the approver's key has ended", "waiver-untrusted",
               windows={"risk": 'valid_until = "2026-11-22T09:31:00Z"'})  # fmt: skip
    yield case("approver-not-yet", "The window of the approver's key has not begun", "waiver-untrusted",
               windows={"risk": 'valid_from = "2026-11-22T09:31:01Z"'})  # fmt: skip
    without = {name: role for name, role in PEOPLE.items() if name != "risk"}
    yield case("no-approvers", "The trust root names nobody who approves", "waiver-untrusted", waivers="",
               people=without)  # fmt: skip
    yield case("approver-another", "The trust root names another approver", "waiver-untrusted",
               people={**without, "other": "risk"})  # fmt: skip
