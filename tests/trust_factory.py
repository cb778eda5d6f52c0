"""Trust roots, signed trust roots and revocation lists for tests, on a `Desk`.

Four people: ``ds`` (data-science) and ``ci`` (platform) must both sign a certificate, ``risk`` approves waivers,
``sec`` signs revocation lists. ``root`` signs the trust root.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from certificate_factory import NOW, Desk
from pytest_prodml.certificate.document import add_signature
from pytest_prodml.certificate.dsse import envelope_json
from pytest_prodml.codec import format_time
from pytest_prodml.policy.load import load_policy
from pytest_prodml.verify.gate import Believed, verify_files
from pytest_prodml.verify.report import REASONS, VerificationReport
from pytest_prodml.verify.revocation import Revocation, RevocationKind, RevocationList, sign_revocations
from pytest_prodml.verify.subjects import present
from pytest_prodml.verify.trustfile import load_trust, sign_trust

PEOPLE = {"ds": "data-science", "ci": "platform", "risk": "risk", "sec": "security"}
BOTH = ("ds", "ci")
LATER = NOW + timedelta(minutes=1)


def trust_text(
    desk: Desk,
    *,
    version: int = 1,
    roles: str = "data-science = 1\nplatform = 1",
    people: Mapping[str, str] = PEOPLE,
    windows: Mapping[str, str] | None = None,
    head: str = "",
    tail: str = "",
    waivers: str = 'role = "risk"',
    revocation: str | None = None,
    root: Sequence[str] = (),
    root_threshold: int = 1,
) -> str:
    """Return the text of a trust.toml; `head` goes before the first table, `tail` to the end."""
    if revocation is None:
        revocation = 'role = "security"\nrequired = false' if "security" in people.values() else ""
    lines = [f"version = {version}", head, "[roles]", roles]
    for name, role in people.items():
        desk.public(name)
        lines += [f"[keys.{name}]", f'role = "{role}"', f'file = "keys/{name}.pub"']
        lines += [(windows or {}).get(name, "")]
    lines += ["[waivers]", waivers] if waivers else []
    lines += ["[revocation]", revocation] if revocation else []
    if root:
        names = ", ".join(f'"keys/{name}.pub"' for name in root)
        for name in root:
            desk.public(name)
        lines += ["[root]", f"threshold = {root_threshold}", f"keys = [{names}]"]
    return "\n".join([*lines, tail, ""])


def write_trust(desk: Desk, **changes: Any) -> Path:
    """Write trust.toml."""
    path = desk.root / "trust.toml"
    path.write_text(trust_text(desk, **changes), encoding="utf-8")
    return path


def signed_trust(
    desk: Desk,
    *signers: str,
    root: Sequence[str] = ("root",),
    expires: datetime | None = None,
    **changes: Any,
) -> Path:
    """Write a trust root signed by some keys, whether they are its root keys or not."""
    until = format_time(expires or NOW + timedelta(days=30))
    head = f"expires = {until}\n{changes.pop('head', '')}"
    trust = load_trust(write_trust(desk, root=root, head=head, **changes))
    envelope = sign_trust(trust, [])
    for name in signers or root:
        envelope = add_signature(envelope, desk.key(name))
    path = desk.root / f"trust-{trust.document.version}-{'-'.join(signers or root)}.json"
    path.write_bytes(envelope_json(envelope))
    return path


def entry(kind: str, value: str, **changes: Any) -> Revocation:
    """Return one revocation."""
    made = Revocation(kind=RevocationKind(kind), value=value, reason="key was stolen", revoked_at=NOW)
    return replace(made, **changes)


def revocation_list(
    desk: Desk, *entries: Revocation, signer: str = "sec", name: str = "revocations.json", **changes: Any
) -> str:
    """Write a signed revocation list of the moment of issue and return its path."""
    made = RevocationList(
        version=1, issued_at=NOW, next_update=NOW + timedelta(hours=24), entries=tuple(entries)
    )
    path = desk.root / name
    path.write_bytes(sign_revocations(replace(made, **changes), desk.key(signer)))
    return str(path)


def gate(desk: Desk, envelope: bytes | None = None, **changes: Any) -> VerificationReport:
    """Verify as the command does, with trust.toml, one minute after issue; `changes` go to `Believed`."""
    now = changes.pop("now", LATER)
    models = changes.pop("models", [present(desk.model)])
    arguments: dict[str, Any] = {"trust": desk.root / "trust.toml"}
    report = verify_files(
        desk.certificate.read_bytes() if envelope is None else envelope,
        Believed(**{**arguments, **changes}),
        models=models,
        policy=load_policy(desk.policy),
        now=now,
    )
    assert report.accepted == (not report.reasons) == (report.exit_code == 0)
    return report


def codes(report: VerificationReport) -> list[str]:
    """Return the reason codes, after a check that the first gives the exit code."""
    if report.reasons:
        assert report.exit_code == REASONS[report.reasons[0].code][0]
    return [reason.code for reason in report.reasons]
