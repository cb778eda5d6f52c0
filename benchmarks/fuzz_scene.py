"""What fuzzing starts from: a gate with a trust root, and certificates that it accepts.

`Scene` is a gate as a careful deployment has it, with four certificates: signed by two roles, with a waiver,
as a page, as a Sigstore bundle. Keys and documents are the same in every run. `Scene.judge` is the verifier,
and `Scene.fault` says, with code that shares nothing with it, whether something may have been accepted.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from certificate_factory import NOW, policy
from conformance.make import POLICY, DeterministicSigner, Table
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.dsse import INTOTO_PAYLOAD_TYPE, parse_envelope
from pytest_prodml.certificate.forms import fill_page, rendering_of, sigstore_bundle
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.records import Certificate, Policy
from pytest_prodml.render.html import render_html
from pytest_prodml.render.view import view
from pytest_prodml.verify.report import VerificationReport
from pytest_prodml.verify.revocation import Revocation, RevocationKind, RevocationList
from pytest_prodml.verify.state import SeenCertificate, State, with_certificate, with_revocations, with_trust
from pytest_prodml.verify.subjects import Artifact, present
from pytest_prodml.verify.trustfile import parse_trust_toml
from pytest_prodml.verify.trustroot import TrustRoot
from pytest_prodml.verify.verifier import verify
from trust_factory import trust_text

SLOT = re.compile(rb'(id="prodml-envelope">)([^<]*)(</script>)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """One certificate that its gate accepts: the `file` as it lies there, and the `envelope` in it."""

    name: str
    file: bytes
    envelope: bytes
    payload: bytes
    trust: TrustRoot
    signers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A changed file. `vouched` is a changed payload that everybody who must sign has signed, if there is."""

    data: bytes
    vouched: bytes | None = None


@dataclass(slots=True)
class Scene:
    """The gate. `bases` by name."""

    root: Path
    table: Table = field(init=False)
    keys: dict[str, DeterministicSigner] = field(init=False)
    bases: dict[str, Base] = field(init=False)
    issued: frozenset[bytes] = field(init=False)
    _policy: Policy = field(init=False)
    _models: tuple[Artifact, ...] = field(init=False)
    revocations: RevocationList = field(init=False)

    def __post_init__(self) -> None:
        self.table = Table(self.root)
        names = ("ds", "ci", "p256-ds", "risk", "sec", "other")
        self.keys = {name: self._key(name) for name in names}
        both, one = ("p256-ds", "ci"), ("ci",)
        small, waived = self.table.small(), self._waived()
        page = self._page(small)
        two_roles, one_role = self._trust(both), self._trust(one)
        plain = self._issue(small, both)
        self.bases = {
            "certificate.json": self._base("certificate.json", plain, two_roles, both),
            "certificate.json with a waiver": self._base(
                "certificate.json with a waiver", self._issue(waived, both), two_roles, both
            ),
            "certificate.html": self._base("certificate.html", page, two_roles, both),
            "Sigstore bundle": self._base(
                "Sigstore bundle", sigstore_bundle(parse_envelope(plain), 1), one_role, one
            ),
        }
        self.issued = frozenset(base.payload for base in self.bases.values())
        self._policy = policy(POLICY)
        self._models = (present(self.table.model),)
        stolen = Revocation(
            kind=RevocationKind.KEY, value=self.keys["other"].keyid, reason="key was stolen", revoked_at=NOW
        )
        self.revocations = RevocationList(
            version=1, issued_at=NOW, next_update=NOW + timedelta(hours=24), entries=(stolen,)
        )

    def _key(self, name: str) -> DeterministicSigner:
        made = self.table.key(name)
        return DeterministicSigner(public_key=made.public_key, key=made.key)

    def _issue(self, certificate: Certificate, signers: Sequence[str]) -> bytes:
        return issue(certificate, [self.keys[name] for name in signers])

    def _waived(self) -> Certificate:
        return self.table.small(2, age_gap=0.2, waivers=[self.table.waiver()])

    def _page(self, certificate: Certificate) -> bytes:
        both = ("p256-ds", "ci")
        keyids = [self.keys[name].keyid for name in both]
        shown = view(certificate, keyids=keyids, payload_digest="", signed=True)
        empty = render_html(shown).encode()
        bound = replace(certificate, renderings=(rendering_of(empty),))
        return fill_page(empty, self._issue(bound, both))

    def _trust(self, signers: Sequence[str]) -> TrustRoot:
        people = {name: "data-science" if name == "p256-ds" else "platform" for name in signers}
        text = trust_text(
            self.table,
            roles="\n".join(f"{role} = 1" for role in people.values()),
            people={**people, "risk": "risk", "sec": "security"},
            head="require_state = true",
            revocation='role = "security"\nrequired = true',
        )
        (self.root / "trust.toml").write_text(text, "utf-8")
        return parse_trust_toml(text.encode(), where="trust.toml", directory=self.root)

    @staticmethod
    def _base(name: str, file: bytes, trust: TrustRoot, signers: tuple[str, ...]) -> Base:
        envelope = envelope_in(file)
        return Base(name=name, file=file, envelope=json.dumps(envelope).encode(),
                    payload=_decoded(envelope["payload"]), trust=trust, signers=signers)  # fmt: skip

    def signed_root(self, root: str) -> TrustRoot:
        """Return a trust root with an end and a root key of its own, to be signed."""
        text = trust_text(self.table, root=(root,), head='expires = "2027-01-01T00:00:00Z"')
        return parse_trust_toml(text.encode(), where="trust.toml", directory=self.root)

    def state_text(self) -> bytes:
        """Return a state file of a gate that has seen the trust root, the list and a certificate."""
        trust = self.signed_root("other")
        seen = SeenCertificate(id="x", issued_at=NOW, payload_sha256="0" * 64, serial=1)
        state = with_revocations(with_trust(State(), trust, signed=True), self.revocations)
        return canonical_json(encode(with_certificate(state, "credit-default", seen)))

    def judge(self, base: Base, data: bytes) -> VerificationReport:
        """Verify as the gate does: the whole procedure on bytes, with trust root, revocations and state."""
        return verify(
            data,
            models=self._models,
            policy=self._policy,
            now=NOW + timedelta(minutes=1),
            trust=base.trust,
            revocations=self.revocations,
            state=State(),
        )

    def fault(self, base: Base, mutant: Mutant) -> str | None:
        """Say why this must not have been accepted; None if every rule for acceptance holds.

        1. The payload, read by the standard library alone, is byte for byte one that was issued, or one that
        all who must sign have signed now. 2. For each role a signature in the file covers exactly these bytes
        and their type, checked with `cryptography` alone. 3. A page is the one that was made with them.
        4. A payload that is not one of the issued ones is about this model, ready, in its window, and its
        required gate has a bound on the right side of its limit.
        """
        try:
            fields = envelope_in(mutant.data)
            payload, kind = _decoded(fields["payload"]), fields["payloadType"]
            made = [_decoded(signature["sig"]) for signature in fields["signatures"]]
        except (ValueError, KeyError, TypeError) as error:
            return f"nothing can be read from it: {error}"
        if payload not in {*self.issued, mutant.vouched}:
            return "its payload was never signed"
        signed = b"DSSEv1 %d %b %d %b" % (len(kind.encode()), kind.encode(), len(payload), payload)
        for name in base.signers:
            if not any(_covers(self.keys[name].key.public_key(), sig, signed) for sig in made):
                return f"no signature of {name} covers it"
        if kind != INTOTO_PAYLOAD_TYPE:
            return "it is of another type"
        if slots := list(SLOT.finditer(mutant.data)):
            page = mutant.data[: slots[0].start(2)] + mutant.data[slots[0].end(2) :]
            digest = hashlib.sha256(page).hexdigest()
            named = json.loads(payload)["predicate"].get("renderings", [])
            if len(slots) != 1 or all(item["digest"] != {"sha256": digest} for item in named):
                return "it is in a page of another content"
        if payload in self.issued:
            return None
        return _unready(json.loads(payload), hashlib.sha256(self.table.model.read_bytes()).hexdigest())

    @staticmethod
    def payload_of(mutant: Mutant) -> bytes:
        """Return the payload of a file that was accepted, read with the standard library alone."""
        return _decoded(envelope_in(mutant.data)["payload"])


def _unready(statement: Any, digest: str) -> str | None:  # noqa: ANN401 - parsed JSON
    predicate = statement["predicate"]
    now = NOW + timedelta(minutes=1)
    if [subject["digest"] for subject in statement["subject"]] != [{"sha256": digest}]:
        return "it is about another model"
    if predicate["decision"]["outcome"] not in {"READY", "READY_WITH_WAIVERS"}:
        return "it says that the model is not ready"
    begin, end = (
        datetime.strptime(predicate[name], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        for name in ("issuedAt", "expiresAt")
    )
    if not begin - timedelta(minutes=5) <= now <= end + timedelta(minutes=5):
        return "it is out of its window"
    runs = [run for run in predicate["runs"] if run["gateId"] == "performance.auc"]
    if not runs or any(run["state"] != "passed" for run in runs):
        return "its required gate did not pass"
    for run in runs:
        found = run["evidence"]
        for criterion in found["criteria"]:
            bounds = [item for item in found["measurements"] if item["metric"] == criterion["metric"]]
            sign = 1 if criterion["comparison"] == "at_least" else -1
            side = "lower" if sign > 0 else "upper"
            if not bounds or any(sign * (item[side] - criterion["limit"]) < 0 for item in bounds):
                return "a bound of its required gate lies beyond the limit"
    return None


def _covers(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _decoded(text: str) -> bytes:
    return base64.b64decode(text.replace("-", "+").replace("_", "/"))


def envelope_in(data: bytes) -> Any:  # noqa: ANN401 - parsed JSON
    """Return the fields of the envelope in a file of any form, read with the standard library alone."""
    slot = SLOT.search(data)
    fields = json.loads(base64.b64decode(slot[2]) if slot else data)
    return fields.get("dsseEnvelope", fields)


def put(base: Base, envelope: bytes) -> bytes:
    """Return the base's file with another envelope in its place."""
    if base.name == "certificate.html":
        return SLOT.sub(lambda found: found[1] + base64.b64encode(envelope) + found[3], base.file)
    if base.name == "Sigstore bundle":
        inner = json.dumps(json.loads(base.envelope)).encode()
        whole = json.dumps(json.loads(base.file)).encode()
        return whole.replace(inner, envelope)
    return envelope
