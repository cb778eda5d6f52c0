"""Rows T of the must-reject table: time, replay, roles, trust roots and revocation lists."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from certificate_factory import NOW, policy, signed
from conformance.make import POLICY, Case, Table
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.certificate.statement import certificate_payload
from pytest_prodml.codec import canonical_json, digest_of, encode, format_time, sha256_hex
from pytest_prodml.verify.revocation import (
    REVOCATIONS_TYPE,
    Revocation,
    RevocationKind,
    RevocationList,
    sign_revocations,
)
from pytest_prodml.verify.state import SeenCertificate, SeenRevocations, SeenTrust, State
from pytest_prodml.verify.trustfile import parse_trust_toml
from trust_factory import trust_text

BOTH = ("ds", "ci")
LIST = ("--revocations", "revocations.json")
REQUIRED = 'role = "security"\nrequired = true\nmax_age_hours = 24'


def cases(table: Table) -> list[Case]:
    """Return the cases."""
    return [*_times(table), *_replays(table), *_roles(table), *_trust_files(table), *_revocations(table)]


def _times(table: Table) -> Iterator[Case]:
    made = table.small()
    good = issue(made, [table.key()])
    moments: dict[str, tuple[datetime, str | None]] = {
        "t01-at-the-end": (made.expires_at, None),
        "t03-skew-before-1": (made.expires_at + timedelta(seconds=299), None),
        "t03-skew-exactly": (made.expires_at + timedelta(seconds=300), None),
        "t03-skew-after-1": (made.expires_at + timedelta(seconds=301), "expired"),
        "t01-a-day-later": (made.expires_at + timedelta(days=1), "expired"),
        "t01-in-year-9999": (datetime.fromisoformat("9999-12-31T23:59:59Z"), "expired"),
        "t02-at-the-beginning": (NOW, None),
        "t03-early-skew-before-1": (NOW - timedelta(seconds=299), None),
        "t03-early-skew-exactly": (NOW - timedelta(seconds=300), None),
        "t03-early-skew-after-1": (NOW - timedelta(seconds=301), "not-yet-valid"),
        "t02-a-day-before": (NOW - timedelta(days=1), "not-yet-valid"),
        "t10-clock-at-1970": (datetime.fromisoformat("1970-01-01T00:00:00Z"), "not-yet-valid"),
        "t10-clock-in-year-1": (datetime.fromisoformat("0001-01-01T00:00:00Z"), "not-yet-valid"),
    }
    for name, (moment, code) in moments.items():
        # `format_time` writes years before 1000 without leading zeros on some systems.
        at = moment.isoformat().replace("+00:00", "Z")
        yield Case(name=name, row=name[:3].upper(), what=f"The clock: {name[4:]}", certificate=good, at=at,
                   codes=[code] if code else [], exit_code=14 if code else 0)  # fmt: skip
    document = json.loads(certificate_payload(made))
    windows = {
        "t04-window-one-second-longer": ("issuedAt", "2026-11-22T09:29:59Z", "window"),
        "t04-window-of-a-century": ("expiresAt", "2126-11-22T09:30:00Z", "window"),
        "t05-window-reversed": ("expiresAt", "2026-11-22T09:29:00Z", "window"),
        "t05-window-empty": ("expiresAt", "2026-11-22T09:30:00Z", "window"),
    }
    for name, (field, value, code) in windows.items():
        changed = json.loads(json.dumps(document))
        changed["predicate"][field] = value
        yield Case(name=name, row=name[:3].upper(), what=f"A trusted key signed another window: {name[11:]}",
                   certificate=signed(table, canonical_json(changed)), codes=[code], exit_code=14)  # fmt: skip
    short = POLICY.replace('validity = "90d"', 'validity = "30d"')
    yield Case(name="t04-gate-allows-less", row="T04", what="The gate's policy allows a shorter window only",
               certificate=good, policy=short, codes=["window"], exit_code=14)  # fmt: skip


def _seen(certificate: bytes, **changes: Any) -> SeenCertificate:
    payload = parse_envelope(certificate).payload
    predicate = json.loads(payload)["predicate"]
    seen = SeenCertificate(
        id=predicate["id"], issued_at=NOW, payload_sha256=sha256_hex(payload), serial=predicate.get("serial")
    )
    return replace(seen, **changes)


def _state(**fields: Any) -> bytes:
    return canonical_json(encode(State(**fields))) + b"\n"


def _replays(table: Table) -> Iterator[Case]:
    def model(seen: SeenCertificate, name: str = "credit-default") -> bytes:
        return _state(models={name: seen})

    second = issue(table.small(serial=2), [table.key()])
    other = SeenCertificate(id="other", issued_at=NOW, payload_sha256="0" * 64)
    first_version = replace(table.small(), serial=None, nonce=None)
    without = issue(first_version, [table.key()])
    stated: dict[str, tuple[str, bytes, bytes | None, str | None, int]] = {
        "new-file": ("The state file does not exist yet", second, None, None, 0),
        "same": ("The same certificate again", second, model(_seen(second)), None, 0),
        "older-seen": ("An older one was accepted", second, model(replace(other, serial=1)), None, 0),
        "other-model": ("A newer one of another model", second, model(replace(other, serial=9), "x"), None, 0),
        "newer-seen": ("A newer one was accepted", second, model(replace(other, serial=3)), "replay", 14),
        "equal-serial": ("Another one of this serial was accepted", second, model(replace(other, serial=2)),
                         "replay", 14),
        "without-serial": ("One with a serial was accepted, this has none", without,
                           model(replace(other, serial=1)), "replay", 14),
        "same-time": ("Neither has a serial, and both one time", without, model(other), "replay", 14),
        "later": ("Neither has a serial, and this is later", without,
                  model(replace(other, issued_at=NOW - timedelta(seconds=1))), None, 0),
        "empty": ("The state file is empty", second, b"", "state", 2),
        "cut": ("The state file was cut", second, model(_seen(second))[:-20], "state", 2),
        "not-json": ("The state file is no JSON", second, b"state", "state", 2),
        "format": ("The state file has another format", second, _state(format=2), "state", 2),
        "unknown-field": ("The state file has a field of its own", second, b'{"format":1,"x":1}', "state", 2),
    }  # fmt: skip
    for name, (what, certificate, state, code, exit_code) in stated.items():
        yield Case(name=f"t06-state-{name}", row="T06", what=what, certificate=certificate,
                   options=["--state", "state.json"], files={"state.json": state} if state is not None else {},
                   codes=[code] if code else [], exit_code=exit_code)  # fmt: skip


def _trusted(
    table: Table, name: str, what: str, code: str | None, exit_code: int = 12, *,
    signers: Sequence[str] = BOTH, certificate: Any = None, files: Any = None, options: Sequence[str] = (),
    at: str = "2026-11-22T09:31:00Z", trust: str | None = None, **changes: Any,
) -> Case:  # fmt: skip
    made = table.small() if certificate is None else certificate
    return Case(name=name, row=name[:3].upper(), what=what, files=files or {}, options=options, at=at,
                certificate=issue(made, [table.key(signer) for signer in signers]),
                trust=trust_text(table, **changes) if trust is None else trust,
                codes=[code] if code else [], exit_code=exit_code if code else 0)  # fmt: skip


def _roles(table: Table) -> Iterator[Case]:
    yield _trusted(table, "s05-both-roles", "Both roles signed", None)
    yield _trusted(
        table, "s05-reordered", "Both roles signed, in the other order", None, signers=("ci", "ds")
    )
    yield _trusted(table, "s05-and-a-third", "Both roles signed, and a stranger", None,
                   signers=("ds", "ci", "other"))  # fmt: skip
    for name, signers in {"platform": ("ci",), "data-science": ("ds",)}.items():
        yield _trusted(table, f"s05-only-{name}", f"Only {name} signed", "role", signers=signers)
    yield _trusted(
        table, "s05-approver-signs", "The approver of waivers signed", "role", signers=("ds", "risk")
    )
    yield _trusted(table, "s05-only-a-stranger", "Only a stranger signed", "untrusted", signers=("other",))
    yield _trusted(table, "s05-nobody", "Nobody signed", "no-signature", 10, signers=())
    people = {"ds": "data-science", "ds2": "data-science", "ci": "platform"}
    two: dict[str, Any] = {
        "roles": "data-science = 2\nplatform = 1", "people": people, "waivers": "", "revocation": "",
    }  # fmt: skip
    yield _trusted(table, "s05-two-of-two", "A role asks for two keys and has them", None,
                   signers=("ds", "ds2", "ci"), **two)  # fmt: skip
    yield _trusted(table, "s05-one-of-two", "A role asks for two keys and has one", "role", **two)
    windows = {
        "not-yet": ('valid_from = "2026-12-01T00:00:00Z"', "key-validity"),
        "ended": ('valid_until = "2026-11-01T00:00:00Z"', "key-validity"),
        "ends-now": ('valid_until = "2026-11-22T09:31:00Z"', "key-validity"),
        "ends-in-a-second": ('valid_until = "2026-11-22T09:31:01Z"', None),
        "begins-now": ('valid_from = "2026-11-22T09:31:00Z"', None),
    }
    for name, (window, code) in windows.items():
        yield _trusted(table, f"t09-key-{name}", f"The window of a key: {name}", code, windows={"ci": window})
    rotated = {"ds": "data-science", "ci": "platform", "ci2": "platform"}
    ended = {"ci": 'valid_until = "2026-11-01T00:00:00Z"'}
    changes: dict[str, Any] = {"people": rotated, "windows": ended, "waivers": "", "revocation": ""}
    yield _trusted(table, "t09-rotated-new-key", "The new key of a role signed", None, signers=("ds", "ci2"),
                   **changes)  # fmt: skip
    yield _trusted(table, "t09-rotated-old-key", "The old key of a role signed", "key-validity", **changes)
    yield _trusted(table, "t09-rotated-both", "The old and the new key of a role signed", None,
                   signers=("ds", "ci", "ci2"), **changes)  # fmt: skip


def _trust_files(table: Table) -> Iterator[Case]:
    good = trust_text(table)
    yield _trusted(table, "t07-not-expired", "The trust root has not expired", None,
                   head='expires = "2026-11-22T09:31:01Z"')  # fmt: skip
    yield _trusted(table, "t07-expired", "The trust root has expired", "trust-expired",
                   head='expires = "2026-11-22T09:31:00Z"')  # fmt: skip
    yield _trusted(table, "t07-issued-too-early", "The trust root takes newer certificates only",
                   "issued-too-early", 14, head='not_issued_before = "2026-11-22T09:30:01Z"')  # fmt: skip
    yield _trusted(table, "t07-issued-just-in-time", "The trust root takes certificates of this second", None,
                   head='not_issued_before = "2026-11-22T09:30:00Z"')  # fmt: skip
    yield _trusted(table, "t06-state-required", "The trust root asks for a state file, none is given", "state", 2,
                   head="require_state = true")  # fmt: skip
    yield _trusted(table, "t06-serial-required", "The trust root needs serials, and there is none", "no-serial",
                   14, certificate=replace(table.small(), serial=None), options=["--state", "state.json"],
                   head="require_state = true")  # fmt: skip
    accepted = digest_of(policy(POLICY))
    for kind in ("gate", "certificate"):
        yield _trusted(table, f"p09-{kind}-policy-listed", f"The trust root lists the {kind}'s policy", None,
                       head=f'{kind}_policies = ["{accepted}"]')  # fmt: skip
        yield _trusted(table, f"p09-{kind}-policy-swapped", f"The trust root lists another policy of the {kind}",
                       "policy-not-accepted", 15, head=f'{kind}_policies = ["{"0" * 64}"]')  # fmt: skip
    files = {
        "not-toml": "version = ",
        "empty": "",
        "no-roles": good.replace("data-science = 1\nplatform = 1", ""),
        "role-without-key": good.replace("platform = 1", "platform = 2"),
        "threshold-zero": good.replace("platform = 1", "platform = 0"),
        "threshold-negative": good.replace("platform = 1", "platform = -1"),
        "key-in-two-roles": good.replace("keys/ds.pub", "keys/ci.pub"),
        "unknown-field": "trust_everybody = true\n" + good,
        "version-zero": good.replace("version = 1", "version = 0"),
        "version-text": good.replace("version = 1", 'version = "1"'),
        "missing-key-file": good.replace("keys/ds.pub", "keys/nobody.pub"),
        "no-key-file": good.replace("keys/ds.pub", "trust.toml"),
        "window-reversed": good.replace(
            'file = "keys/ci.pub"',
            'file = "keys/ci.pub"\nvalid_from = "2026-12-01T00:00:00Z"\nvalid_until = "2026-01-01T00:00:00Z"',
        ),
        "approver-signs-too": good.replace('role = "risk"\n[rev', 'role = "platform"\n[rev'),
        "local-time": "expires = 2026-12-01T00:00:00\n" + good,
    }
    for name, text in files.items():
        if text == good:
            raise ValueError(name)
        yield _trusted(table, f"t07-trust-{name}", f"The trust root is no sound one: {name}", "usage", 2,
                       trust=text)  # fmt: skip
    path = table.root / "trust.toml"
    found = parse_trust_toml(good.encode(), where=str(path), directory=table.root)
    seen = SeenTrust(version=1, digest=found.digest)
    for name, (state, code) in {
        "same": (seen, None),
        "lowered": (replace(seen, version=2), "trust-rollback"),
        "replaced": (replace(seen, digest="0" * 64), "trust-rollback"),
    }.items():
        yield _trusted(table, f"t07-version-{name}", f"Against the last trust root the version is: {name}", code,
                       files={"state.json": _state(trust=state)}, options=["--state", "state.json"])  # fmt: skip


def _revocations(table: Table) -> Iterator[Case]:
    made = table.small()
    empty = RevocationList(version=3, issued_at=NOW, next_update=NOW + timedelta(hours=24), entries=())

    def revoked(kind: str, value: str, model_name: str | None = None) -> RevocationList:
        entry = Revocation(kind=RevocationKind(kind), value=value, reason="key was stolen", revoked_at=NOW,
                           model_name=model_name)  # fmt: skip
        return replace(empty, entries=(entry,))

    def case(name: str, what: str, code: str | None, data: bytes, *, at: timedelta | None = None,
             files: Any = None, **changes: Any) -> Case:  # fmt: skip
        moment = format_time(NOW + (at or timedelta(minutes=1)))
        options = [*LIST, *changes.pop("options", ())]
        return _trusted(table, name, what, code, 16, at=moment, options=options,
                        files={"revocations.json": data, **(files or {})}, revocation=REQUIRED,
                        **changes)  # fmt: skip

    listed = sign_revocations(empty, table.key("sec"))
    yield case("t08-list", "A fresh list that revokes nothing", None, listed)
    found: dict[str, tuple[str, RevocationList]] = {
        "certificate": ("revoked", revoked("certificate", made.id)),
        "serial": ("revoked", revoked("serial", str(made.serial), made.model_name)),
        "subject": ("revoked", revoked("subject", made.subjects[0].digest["sha256"])),
        "key": ("revoked", revoked("key", table.key().keyid)),
        "other-key": ("revoked", revoked("key", table.key("ds").keyid)),
    }
    for name, (named, revocations) in found.items():
        yield case(f"t08-revoked-{name}", f"The list revokes: {name}", named,
                   sign_revocations(revocations, table.key("sec")))  # fmt: skip
    for name, revocations in {
        "certificate": revoked("certificate", "5f0c6a52-0000-0000-0000-6c1f7b1a4c11"),
        "serial-of-another-model": revoked("serial", str(made.serial), "other-model"),
        "key": revoked("key", table.key("other").keyid),
        "subject": revoked("subject", "0" * 64),
    }.items():
        yield case(f"t08-not-revoked-{name}", f"The list revokes something else: {name}", None,
                   sign_revocations(revocations, table.key("sec")))  # fmt: skip
    wrong = {
        "by-platform": sign_revocations(empty, table.key()),
        "by-stranger": sign_revocations(empty, table.key("other")),
        "unsigned": listed.replace(listed[listed.index(b'"signatures":') :], b'"signatures":[]}'),
        "edited": listed.replace(b'"payload":"ey', b'"payload":"ez'),
        "empty": b"",
        "not-json": b"revocations",
        "as-statement": signed(table, parse_envelope(listed).payload, signer="sec"),
        "other-type": signed(table, parse_envelope(listed).payload, signer="sec",
                             payload_type=REVOCATIONS_TYPE.replace("v1", "v2")),
        "certificate": issue(made, [table.key("sec")]),
        "not-canonical": signed(table, parse_envelope(listed).payload + b"\n", signer="sec",
                                payload_type=REVOCATIONS_TYPE),
        "upper-case-digest": _list_text(table, [{"kind": "key", "value": table.key().keyid.upper(),
                                                 "reason": "stolen", "revokedAt": format_time(NOW)}]),
        "unknown-kind": _list_text(table, [{"kind": "everything", "value": "x", "reason": "stolen",
                                            "revokedAt": format_time(NOW)}]),
        "revokes-its-signer": _list_text(table, [{"kind": "key", "value": table.key("sec").keyid,
                                                  "reason": "stolen", "revokedAt": format_time(NOW)}]),
    }  # fmt: skip
    for name, data in wrong.items():
        yield case(f"t08-list-{name}", f"The list does not count: {name}", "revocation-untrusted", data)
    for name, (later, code) in {
        "at-the-age-limit": (timedelta(hours=24) - timedelta(seconds=1), None),
        "next-is-due": (timedelta(hours=24), "revocation-stale"),
        "stale": (timedelta(hours=25), "revocation-stale"),
    }.items():
        yield case(f"t08-list-{name}", f"The list's age: {name}", code, listed, at=later)
    future = replace(empty, issued_at=NOW + timedelta(hours=1), next_update=NOW + timedelta(hours=9))
    yield case("t08-list-from-the-future", "The list lies in the future", "revocation-stale",
               sign_revocations(future, table.key("sec")))  # fmt: skip
    yield _trusted(table, "t08-list-missing", "A list is required and none is given", "revocation-missing", 16,
                   revocation=REQUIRED)  # fmt: skip
    yield _trusted(table, "t08-list-file-missing", "The list's file is not there", "revocation-missing", 16,
                   revocation=REQUIRED, options=["--revocations", "missing.json"])  # fmt: skip
    same = SeenRevocations(version=3, digest=digest_of(empty))
    for name, (seen, code) in {
        "same": (same, None),
        "older-seen": (replace(same, version=2, digest="0" * 64), None),
        "newer-seen": (replace(same, version=4), "revocation-rollback"),
        "replaced": (replace(same, digest="0" * 64), "revocation-rollback"),
    }.items():
        yield case(f"t08-version-{name}", f"Against the last list the version is: {name}", code, listed,
                   files={"state.json": _state(revocations=seen)},
                   options=["--state", "state.json"])  # fmt: skip


def _list_text(table: Table, entries: list[Any]) -> bytes:
    document: Any = {
        "version": 3,
        "issuedAt": format_time(NOW),
        "nextUpdate": format_time(NOW + timedelta(hours=24)),
        "entries": entries,
    }
    return signed(table, canonical_json(document), signer="sec", payload_type=REVOCATIONS_TYPE)
