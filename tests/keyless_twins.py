"""Keyless envelopes that must prove nobody: each is a good one with one thing wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from cryptography.x509.oid import ExtendedKeyUsageOID

from certificate_factory import NOW
from pytest_prodml.certificate.dsse import Envelope
from sigstore_factory import ISSUER, WORKFLOW, Log, Sigstore

# What is wrong -> the envelope that has it.
Twin = Callable[[Sigstore, bytes], Envelope]


def edited(change: Callable[[dict[str, Any]], None]) -> Twin:
    """Return a good envelope after a change of its proof."""

    def make(sigstore: Sigstore, payload: bytes) -> Envelope:
        envelope = sigstore.envelope(payload)
        material: dict[str, Any] = copy.deepcopy(dict(envelope.signatures[0].material or {}))
        change(material)
        return replace(envelope, signatures=(replace(envelope.signatures[0], material=material),))

    return make


def signed(**changes: Any) -> Twin:
    """Return an envelope that was signed in another way."""
    return lambda sigstore, payload: sigstore.envelope(payload, **changes)


def other_instance(name: str) -> Twin:
    """Return an envelope with one part by another instance: nobody believes that one."""

    def make(sigstore: Sigstore, payload: bytes) -> Envelope:
        mixed = copy.copy(sigstore)
        if name == "authority":
            other = Sigstore()
            mixed.authority, mixed.authority_key = other.authority, other.authority_key
        else:
            setattr(mixed, name, Log())
        return mixed.envelope(payload)

    return make


def with_proof_of(other_payload: Callable[[bytes], bytes]) -> Twin:
    """Return an envelope whose signature and proof are those of another content."""

    def make(sigstore: Sigstore, payload: bytes) -> Envelope:
        return replace(sigstore.envelope(other_payload(payload)), payload=payload)

    return make


def entry_of_another_signature(sigstore: Sigstore, payload: bytes) -> Envelope:
    """Return an envelope whose log entry is of another signature over the same content."""
    mine, other = sigstore.envelope(payload), sigstore.envelope(payload)
    material = {**dict(mine.signatures[0].material or {})}
    material["tlogEntries"] = dict(other.signatures[0].material or {})["tlogEntries"]
    return replace(mine, signatures=(replace(mine.signatures[0], material=material),))


def foreign_certificate(sigstore: Sigstore, payload: bytes) -> Envelope:
    """Return a signature by somebody else under the certificate and log entry of the listed identity."""
    stranger = sigstore.envelope(payload, names=("https://github.com/evil/x/w.yml@refs/heads/main",))
    victim = sigstore.envelope(payload)
    return replace(
        stranger, signatures=(replace(stranger.signatures[0], material=victim.signatures[0].material),)
    )


def _log_entry(material: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = material["tlogEntries"][0]
    return found


TWINS: dict[str, Twin] = {
    "another workflow": signed(names=(WORKFLOW.replace("release", "nightly"),)),
    "another branch": signed(names=(f"{WORKFLOW}-2",)),
    "identity is a prefix": signed(names=(WORKFLOW.partition("@")[0],)),
    "unanchored name": signed(names=(f"https://evil.example/?{WORKFLOW}",)),
    "other case": signed(names=(WORKFLOW.upper(),)),
    "an address": signed(names=("release@acme.example",)),
    "two names": signed(names=(WORKFLOW, "https://github.com/evil/x")),
    "another issuer": signed(issuer="https://accounts.google.com"),
    "issuer with a slash": signed(issuer=f"{ISSUER}/"),
    "expired when it was logged": signed(logged_at=NOW + timedelta(minutes=11)),
    "logged before it was certified": signed(logged_at=NOW - timedelta(seconds=1)),
    "other purpose": signed(usage=ExtendedKeyUsageOID.CLIENT_AUTH),
    "certificate was not logged": signed(logged=False),
    "certificate by another authority": other_instance("authority"),
    "certificate in another log": other_instance("certificate_log"),
    "signature in another log": other_instance("signature_log"),
    "other payload": with_proof_of(lambda payload: payload.replace(b'"value":0.78', b'"value":0.98')),
    "entry of another signature": entry_of_another_signature,
    "signature by somebody else": foreign_certificate,
    "no log entry": edited(lambda material: material.update(tlogEntries=[])),
    "log entry twice": edited(lambda material: material["tlogEntries"].append(_log_entry(material))),
    "no entries at all": edited(lambda material: material.pop("tlogEntries") and None),
    "no certificate": edited(lambda material: material.pop("certificate") and None),
    "no inclusion proof": edited(lambda material: _log_entry(material).pop("inclusionProof") and None),
    "no promise, so no time": edited(lambda material: _log_entry(material).pop("inclusionPromise") and None),
    "no time": edited(lambda material: _log_entry(material).pop("integratedTime") and None),
    "other time": edited(
        lambda material: _log_entry(material).update(integratedTime=str(int(NOW.timestamp()) + 120))
    ),
    "other place in the tree": edited(
        lambda material: _log_entry(material)["inclusionProof"].update(logIndex="0")
    ),
    "other root of the tree": edited(
        lambda material: _log_entry(material)["inclusionProof"].update(rootHash="A" * 43 + "=")
    ),
    "no checkpoint": edited(
        lambda material: _log_entry(material)["inclusionProof"].pop("checkpoint") and None
    ),
    "unknown kind of entry": edited(
        lambda material: _log_entry(material)["kindVersion"].update(kind="intoto")
    ),
    "certificate is junk": edited(lambda material: material["certificate"].update(rawBytes="AAAA")),
    "numbers for objects": edited(lambda material: material.update(tlogEntries=7)),
    "empty proof": edited(lambda material: material.clear()),
}
