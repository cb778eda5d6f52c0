"""Keyless signatures: an identity counts only with a whole proof, under the trusted root of the gate, offline.

The proofs come from `sigstore_factory`, in the form of the real services; the verifier is sigstore-python's.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sigstore", reason="sigstore is optional: pytest-prodml[signers-sigstore]")

from certificate_factory import NOW, Desk, ready
from keyless_twins import TWINS
from pytest_prodml.certificate.document import add_signature
from pytest_prodml.certificate.dsse import Envelope, envelope_json, parse_envelope
from pytest_prodml.certificate.forms import fill_page, read_form, rendering_of, sigstore_bundle
from pytest_prodml.certificate.statement import certificate_payload
from pytest_prodml.cli import main
from pytest_prodml.errors import ConfigurationError
from pytest_prodml.render.html import render_html
from pytest_prodml.render.view import view
from pytest_prodml.verify.cosign import check_added
from pytest_prodml.verify.report import VerificationReport
from pytest_prodml.verify.revocation import RevocationList
from pytest_prodml.verify.trustfile import load_trust
from sigstore_factory import ISSUER, WORKFLOW, Sigstore
from trust_factory import LATER, codes, entry, gate, revocation_list, signed_trust, write_trust

KEYED = {"ds": "data-science", "risk": "risk", "sec": "security"}
ONLY_PLATFORM: dict[str, Any] = {"roles": "platform = 1", "people": {"risk": "risk", "sec": "security"}}


@pytest.fixture(scope="module")
def sigstore() -> Sigstore:
    return Sigstore()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Note every connection that something tries to open, and refuse it."""
    tried: list[Any] = []

    def refuse(_self: socket.socket, address: Any) -> None:
        tried.append(address)
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    yield tried
    assert tried == []


def identity_table(
    name: str = "release",
    *,
    identity: str = WORKFLOW,
    issuer: str = ISSUER,
    role: str = "platform",
    more: str = "",
) -> str:
    """Return the table of one identity."""
    return f'[identities.{name}]\nrole = "{role}"\nissuer = "{issuer}"\nidentity = "{identity}"\n{more}\n'


def trust(desk: Desk, sigstore: Sigstore, *tables: str, **changes: Any) -> Path:
    """Write a trust root that believes this Sigstore, and one identity unless others are given."""
    (desk.root / "trusted_root.json").write_text(sigstore.trusted_root(), encoding="utf-8")
    tail = "\n".join(['[sigstore]\ntrusted_root = "trusted_root.json"', *(tables or (identity_table(),))])
    return write_trust(desk, **{**ONLY_PLATFORM, "tail": tail, **changes})


def judged(desk: Desk, envelope: Envelope, **changes: Any) -> VerificationReport:
    """Verify as a gate does."""
    return gate(desk, envelope_json(envelope), **changes)


def test_identity_fills_a_role_in_every_form(desk: Desk, sigstore: Sigstore) -> None:
    trust(desk, sigstore)
    empty = render_html(view(ready(desk), keyids=["sigstore:"], payload_digest="", signed=True)).encode()
    payload = certificate_payload(replace(ready(desk), renderings=(rendering_of(empty),)))
    envelope = sigstore.envelope(payload)
    text = envelope_json(envelope)
    assert parse_envelope(text) == envelope
    bundle = sigstore_bundle(envelope, 0)
    assert read_form(bundle).envelope == envelope
    for form in (text, bundle, fill_page(empty, text)):
        report = gate(desk, form)
        assert codes(report) == []
        assert report.roles == {"platform": ("release",)}
        assert report.signers == (load_trust(desk.root / "trust.toml").identities[0].keyid,)


def test_an_identity_and_a_key_fill_two_roles(desk: Desk, sigstore: Sigstore) -> None:
    trust(desk, sigstore, roles="data-science = 1\nplatform = 1", people=KEYED)
    envelope = sigstore.envelope(certificate_payload(ready(desk)))
    assert codes(judged(desk, envelope)) == ["role"]
    both = add_signature(envelope, desk.key("ds"))
    report = judged(desk, both)
    assert codes(report) == []
    assert report.roles == {"data-science": ("ds",), "platform": ("release",)}
    stripped = replace(both, signatures=(replace(both.signatures[0], material=None), both.signatures[1]))
    assert codes(judged(desk, stripped)) == ["role"]


def test_the_trusted_root_is_part_of_a_signed_trust_root(desk: Desk, sigstore: Sigstore) -> None:
    trust(desk, sigstore)
    tail = f'[sigstore]\ntrusted_root = "trusted_root.json"\n{identity_table()}'
    signed = signed_trust(desk, tail=tail, **ONLY_PLATFORM)
    (desk.root / "trusted_root.json").unlink()
    envelope = sigstore.envelope(certificate_payload(ready(desk)))
    report = judged(desk, envelope, trust=signed, roots=[desk.public("root")])
    assert codes(report) == []


@pytest.mark.parametrize("twin", TWINS)
def test_a_twin_proves_nobody(desk: Desk, sigstore: Sigstore, twin: str) -> None:
    trust(desk, sigstore)
    payload = certificate_payload(ready(desk))
    assert codes(judged(desk, sigstore.envelope(payload))) == []
    report = judged(desk, TWINS[twin](sigstore, payload))
    assert codes(report) == ["identity"]
    assert report.signers == ()
    assert len(report.reasons[0].message) < 500


def test_edited_content_is_not_what_was_signed(desk: Desk, sigstore: Sigstore) -> None:
    trust(desk, sigstore)
    envelope = sigstore.envelope(certificate_payload(ready(desk)))
    changed = replace(envelope, payload=envelope.payload.replace(b'"value":0.78', b'"value":0.98'))
    assert changed.payload != envelope.payload
    assert codes(judged(desk, changed)) == ["identity"]
    assert codes(judged(desk, replace(envelope, payload_type="application/json"))) == ["identity"]


def test_other_trusted_root_believes_nobody(desk: Desk, sigstore: Sigstore) -> None:
    envelope = sigstore.envelope(certificate_payload(ready(desk)))
    trust(desk, Sigstore())
    assert codes(judged(desk, envelope)) == ["identity"]
    (desk.root / "trusted_root.json").write_text(
        json.dumps({"mediaType": json.loads(sigstore.trusted_root())["mediaType"]}), encoding="utf-8"
    )
    report = judged(desk, envelope)
    assert codes(report) == ["identity"]
    assert "can not be used" in report.reasons[0].message


def test_identity_counts_once(desk: Desk, sigstore: Sigstore) -> None:
    second = identity_table("second", identity=f"{WORKFLOW}-2")
    trust(desk, sigstore, identity_table(), second, roles="platform = 2")
    payload = certificate_payload(ready(desk))
    first = sigstore.envelope(payload)
    again = replace(first, signatures=(*first.signatures, sigstore.sign(payload)))
    assert codes(judged(desk, again)) == ["role"]
    other = replace(first, signatures=(*first.signatures, sigstore.sign(payload, names=(f"{WORKFLOW}-2",))))
    assert codes(judged(desk, other)) == []


def test_junk_beside_a_proof_changes_nothing(desk: Desk, sigstore: Sigstore) -> None:
    trust(desk, sigstore)
    payload = certificate_payload(ready(desk))
    junk = sigstore.sign(payload, names=("https://evil.example/w",))
    envelope = sigstore.envelope(payload)
    assert codes(judged(desk, replace(envelope, signatures=(junk, *envelope.signatures)))) == []


def test_revoked_by_the_id_that_check_prints(
    desk: Desk, sigstore: Sigstore, capsys: pytest.CaptureFixture[str]
) -> None:
    path = trust(desk, sigstore)
    assert main(["trust", "check", str(path)]) == 0
    shown = capsys.readouterr().out
    assert f"release {WORKFLOW} by way of {ISSUER}" in shown
    keyid = shown.partition("keyid ")[2].split()[0]
    envelope = sigstore.envelope(certificate_payload(ready(desk)))
    revocations = revocation_list(desk, entry("key", keyid))
    assert codes(judged(desk, envelope, revocations=revocations)) == ["revoked"]
    other = revocation_list(desk, entry("key", "0" * 64), name="other.json")
    assert codes(judged(desk, envelope, revocations=other)) == []


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ("valid_from = 2026-11-22T09:31:00Z", []),
        ("valid_from = 2026-11-22T09:31:01Z", ["key-validity"]),
        ("valid_until = 2026-11-22T09:31:00Z", ["key-validity"]),
        ("valid_until = 2026-11-22T09:31:01Z", []),
    ],
)
def test_window_is_judged_by_the_gate_s_clock(
    desk: Desk, sigstore: Sigstore, window: str, expected: list[str]
) -> None:
    trust(desk, sigstore, identity_table(more=window))
    assert codes(judged(desk, sigstore.envelope(certificate_payload(ready(desk))), now=LATER)) == expected


def test_keys_alone_do_not_believe_a_keyless_signature(desk: Desk, sigstore: Sigstore) -> None:
    envelope = sigstore.envelope(certificate_payload(ready(desk)))
    write_trust(desk)
    assert codes(judged(desk, envelope)) == ["untrusted"]
    assert [item.code for item in desk.verify(envelope_json(envelope)).reasons] == ["untrusted"]


def test_waiver_approved_by_an_identity_is_not_approved(desk: Desk, sigstore: Sigstore) -> None:
    with pytest.raises(ConfigurationError, match="an identity signs certificates"):
        load_trust(trust(desk, sigstore, identity_table(role="risk")))


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ([identity_table(identity="https://github.com/acme/*")], "no pattern"),
        ([identity_table(issuer="")], "expected printable text"),
        ([identity_table(identity=" a@b.example")], "expected printable text"),
        ([identity_table(), identity_table("twin")], "are the same identity"),
        ([identity_table("sec")], "a key has this name too"),
        ([identity_table(role="nobody")], "'nobody' does not"),
        (
            [identity_table(more="valid_from = 2026-01-02T00:00:00Z\nvalid_until = 2026-01-01T00:00:00Z")],
            "ends before it begins",
        ),
        ([identity_table().replace("identity =", "identity_regexp =")], "unknown field"),
    ],
)
def test_what_is_wrong_with_an_identity_is_told(
    desk: Desk, sigstore: Sigstore, tables: list[str], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        load_trust(trust(desk, sigstore, *tables))


@pytest.mark.parametrize(
    ("content", "told"),
    [("", "not JSON|is not"), ("{}", "expected a Sigstore"), ('{"mediaType":1}', "expected a Sigstore")],
)
def test_what_is_wrong_with_the_trusted_root_is_told(
    desk: Desk, sigstore: Sigstore, content: str, told: str
) -> None:
    path = trust(desk, sigstore)
    (desk.root / "trusted_root.json").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=told):
        load_trust(path)
    (desk.root / "trusted_root.json").unlink()
    with pytest.raises(ConfigurationError, match=r"@ \$\.sigstore\.trusted_root"):
        load_trust(path)


def test_identities_need_a_trusted_root(desk: Desk) -> None:
    with pytest.raises(ConfigurationError, match="none is named"):
        load_trust(write_trust(desk, **ONLY_PLATFORM, tail=identity_table()))


def test_without_the_package_nobody_is_proven(
    desk: Desk, sigstore: Sigstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(desk, sigstore)
    monkeypatch.setitem(sys.modules, "sigstore.models", None)
    report = judged(desk, sigstore.envelope(certificate_payload(ready(desk))))
    assert codes(report) == ["identity"]
    assert "pytest-prodml[signers-sigstore]" in report.reasons[0].message


def test_the_public_instance_s_trusted_root_is_usable(desk: Desk, sigstore: Sigstore) -> None:
    import sigstore as package

    (found,) = (Path(package.__file__).parent / "_store").glob("*sigstore.dev/trusted_root.json")
    trust(desk, sigstore)
    (desk.root / "trusted_root.json").write_bytes(found.read_bytes())
    envelope = sigstore.envelope(certificate_payload(ready(desk)))
    tail = f'[sigstore]\ntrusted_root = "trusted_root.json"\n{identity_table()}'
    signed = signed_trust(desk, tail=tail, **ONLY_PLATFORM)
    for changes in ({}, {"trust": signed, "roots": [desk.public("root")]}):
        report = judged(desk, envelope, **changes)
        assert codes(report) == ["identity"]
        assert "failed to build timestamp certificate chain" in report.reasons[0].message


def test_failed_proof_is_told_beside_the_role_that_it_was_for(desk: Desk, sigstore: Sigstore) -> None:
    trust(desk, sigstore, roles="data-science = 1\nplatform = 1", people=KEYED)
    envelope = sigstore.envelope(certificate_payload(ready(desk)), names=("https://github.com/evil/x",))
    assert codes(judged(desk, add_signature(envelope, desk.key("ds")))) == ["role", "identity"]


def test_signature_that_would_not_count_is_not_added(desk: Desk, sigstore: Sigstore) -> None:
    payload = certificate_payload(ready(desk))
    before = replace(sigstore.envelope(payload), signatures=())
    after = sigstore.envelope(payload)

    def told(revoked: frozenset[str] = frozenset(), *, window: str = "") -> str | None:
        root = load_trust(trust(desk, sigstore, identity_table(more=window)))
        entries = tuple(entry("key", keyid) for keyid in revoked)
        listed = RevocationList(version=1, issued_at=NOW, next_update=LATER, entries=entries)
        reason = check_added(before, after, root, listed, LATER)
        return None if reason is None else reason.code

    assert told() is None
    assert told(window="valid_until = 2026-11-22T09:31:00Z") == "key-validity"
    keyid = load_trust(desk.root / "trust.toml").identities[0].keyid
    assert told(frozenset({keyid})) == "revoked"
    assert told(frozenset({"0" * 64})) is None
