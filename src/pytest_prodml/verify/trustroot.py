"""`TrustRoot`: whom a gate believes, in which role, from when to when, and under which conditions.

The file (`trustfile`) says it, `verify.trust` counts signatures by it, `verify.verifier` holds certificates
against its conditions. Nothing in a certificate ever adds to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pytest_prodml.certificate.signers.local import PublicKey
from pytest_prodml.certificate.statement import CERTIFICATE_TYPE
from pytest_prodml.certificate.text import label_problem
from pytest_prodml.codec import canonical_json, format_time, sha256_hex
from pytest_prodml.verify.report import Reason

TRUST_ROOT_TYPE = "application/vnd.pytest-prodml.trust-root.v1+json"

_MOST_KEYS = 256
_LONGEST_IDENTITY = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """One key as the file lists it: PEM text in `public_key`, or the name of a `file` that holds it.

    It counts at times from `valid_from` up to, and without, `valid_until`.
    """

    role: str
    public_key: str | None = None
    file: str | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityEntry:
    """Somebody who signs without a lasting key: the exact name that `issuer` vouches for.

    `identity` is the name in the signing certificate: an address, or the URI of a workflow.
    """

    role: str
    issuer: str
    identity: str
    valid_from: datetime | None = None
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SigstoreRule:
    """The Sigstore services that are believed: a ``trusted_root.json`` as text, or its file name in TOML."""

    trusted_root: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaiverRule:
    """The role whose keys approve waivers."""

    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationRule:
    """The role whose keys sign revocation lists, and how old a list may be."""

    role: str
    required: bool = True
    max_age_hours: int = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class RootRule:
    """The keys that sign the trust root itself (PEM text, or file names in TOML), and how many must."""

    threshold: int
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustDocument:
    """The trust root as it is written: ``trust.toml``, or the payload of a signed one.

    `roles` names every role that must sign a certificate and how many of its keys. Empty lists of policies
    and predicate types mean: any that this version can judge.
    """

    version: int
    roles: Mapping[str, int]
    keys: Mapping[str, KeyEntry]
    expires: datetime | None = None
    not_issued_before: datetime | None = None
    require_state: bool = False
    gate_policies: tuple[str, ...] = ()
    certificate_policies: tuple[str, ...] = ()
    predicate_types: tuple[str, ...] = ()
    waivers: WaiverRule | None = None
    revocation: RevocationRule | None = None
    root: RootRule | None = None
    # None and never empty: a trust root without them has the digest that it had before they existed.
    identities: Mapping[str, IdentityEntry] | None = None
    sigstore: SigstoreRule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """A public key with its name in the trust root, its role and its window."""

    name: str
    role: str
    key: PublicKey
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    @property
    def keyid(self) -> str:
        """SHA-256 (lowercase hex) of the DER SubjectPublicKeyInfo."""
        return self.key.keyid

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Tell whether `signature` over `data` was made with the private half of this key."""
        return self.key.verify(signature, data)

    def is_valid(self, now: datetime) -> bool:
        """Tell whether `now` lies in the key's window.

        Only the verifier's own clock is asked: the time inside a certificate is what its signer claims, so a
        signature by a key whose window has ended counts no more, whenever it says it was made.
        """
        return (self.valid_from is None or self.valid_from <= now) and (
            self.valid_until is None or now < self.valid_until
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIdentity:
    """An identity with its name in the trust root, its role and its window."""

    name: str
    role: str
    issuer: str
    identity: str
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    @property
    def keyid(self) -> str:
        """SHA-256 (lowercase hex) of issuer and identity: it stands where the id of a key stands.

        An identity has a new key for each signature, counts once, and is revoked by this.
        """
        return sha256_hex(canonical_json({"identity": self.identity, "issuer": self.issuer}))

    @property
    def key(self) -> TrustedIdentity:
        """Itself, among the keys that signed."""
        return self

    def verify(self, _signature: bytes, _data: bytes) -> bool:
        """Return False: a bare signature proves no identity (`verify.keyless` asks for the whole proof)."""
        return False

    def is_valid(self, now: datetime) -> bool:
        """Tell whether `now` lies in the identity's window, by the verifier's own clock as for a key."""
        return (self.valid_from is None or self.valid_from <= now) and (
            self.valid_until is None or now < self.valid_until
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRoot:
    """A trust root whose keys have been read. `digest` is the SHA-256 of the document's canonical form."""

    document: TrustDocument
    keys: tuple[TrustedKey, ...]
    root_keys: tuple[PublicKey, ...]
    digest: str
    where: str = field(compare=False, default="trust root")
    identities: tuple[TrustedIdentity, ...] = ()

    def of_roles(self, roles: Iterable[str]) -> tuple[TrustedKey, ...]:
        """Return the keys of some roles."""
        wanted = frozenset(roles)
        return tuple(key for key in self.keys if key.role in wanted)

    @property
    def certificate_keys(self) -> tuple[TrustedKey, ...]:
        """The keys whose signatures count on certificates."""
        return self.of_roles(self.document.roles)

    @property
    def approvers(self) -> tuple[TrustedKey, ...]:
        """The keys that approve waivers."""
        return self.of_roles([self.document.waivers.role] if self.document.waivers else [])

    @property
    def revokers(self) -> tuple[TrustedKey, ...]:
        """The keys that sign revocation lists."""
        return self.of_roles([self.document.revocation.role] if self.document.revocation else [])


def check_expiry(trust: TrustRoot, now: datetime) -> Reason | None:
    """Say why the trust root counts no more at `now`; None while it does."""
    expires = trust.document.expires
    if expires is None or now < expires:
        return None
    message = f"the trust root expired at {format_time(expires)}; it is {format_time(now)} here"
    return Reason(code="trust-expired", message=message, path=trust.where)


def document_problems(document: TrustDocument) -> Iterator[str]:
    """Yield what makes a document no usable trust root, apart from the keys themselves."""
    if not 1 <= document.version < 2**53:
        yield "expected a version from 1 on @ $.version"
    if not document.roles:
        yield "names no role, so nobody could sign @ $.roles"
    if len(document.keys) > _MOST_KEYS:
        yield f"lists {len(document.keys)} keys, more than {_MOST_KEYS} @ $.keys"
    for role, threshold in document.roles.items():
        have = sum(entry.role == role for entry in _entries(document))
        if not 1 <= threshold <= have:
            yield f"asks for {threshold} signatures and {have} keys have the role @ $.roles.{role}"
    yield from _identity_problems(document)
    known = set(document.roles)
    for place, rule in (("waivers", document.waivers), ("revocation", document.revocation)):
        if rule is None:
            continue
        known.add(rule.role)
        if rule.role in document.roles:
            # Who signs certificates would approve their own exceptions, or drop their own revocation.
            yield f"the role {rule.role!r} signs certificates; this needs a role of its own @ $.{place}.role"
        if all(entry.role != rule.role for entry in document.keys.values()):
            yield f"no key has the role {rule.role!r} @ $.{place}.role"
    if document.revocation is not None and not 1 <= document.revocation.max_age_hours <= 24 * 366:
        yield "expected 1 to 8784 hours @ $.revocation.max_age_hours"
    for name, entry in document.keys.items():
        yield from _entry_problems(name, entry, known)
    for name, digests in (
        ("gate_policies", document.gate_policies),
        ("certificate_policies", document.certificate_policies),
    ):
        for index, digest in enumerate(digests):
            if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
                yield f"expected a sha256 of 64 lowercase hexadecimal digits @ $.{name}[{index}]"
    if document.predicate_types and CERTIFICATE_TYPE not in document.predicate_types:
        yield f"this version reads {CERTIFICATE_TYPE} only, which is not listed @ $.predicate_types"


def _entries(document: TrustDocument) -> tuple[KeyEntry | IdentityEntry, ...]:
    return (*document.keys.values(), *(document.identities or {}).values())


def _identity_problems(document: TrustDocument) -> Iterator[str]:
    identities = document.identities or {}
    if identities and document.sigstore is None:
        yield "identities are proven under a Sigstore trusted root, and none is named @ $.sigstore"
    if len(identities) > _MOST_KEYS:
        yield f"lists {len(identities)} identities, more than {_MOST_KEYS} @ $.identities"
    seen: dict[tuple[str, str], str] = {}
    for name, entry in identities.items():
        path = f"$.identities.{name[:100]}"
        if problem := label_problem(name) or label_problem(entry.role):
            yield f"the name or role {problem} @ {path}"
        if name in document.keys:
            yield f"a key has this name too @ {path}"
        if entry.role not in document.roles:
            # Waivers and revocation lists are signed with keys: their signatures carry no proof.
            yield f"an identity signs certificates, and the role {entry.role[:100]!r} does not @ {path}.role"
        for place, text in (("issuer", entry.issuer), ("identity", entry.identity)):
            if not 0 < len(text) <= _LONGEST_IDENTITY or not text.isprintable() or text != text.strip():
                yield f"expected printable text of 1 to {_LONGEST_IDENTITY} characters @ {path}.{place}"
            elif "*" in text:
                yield f"is no pattern: write the whole {place}, without * @ {path}.{place}"
        if entry.valid_from and entry.valid_until and entry.valid_until <= entry.valid_from:
            yield f"the window ends before it begins @ {path}.valid_until"
        other = seen.setdefault((entry.issuer, entry.identity), name)
        if other != name:
            yield f"{other} and {name} are the same identity @ {path}"


def _entry_problems(name: str, entry: KeyEntry, known: set[str]) -> Iterator[str]:
    path = f"$.keys.{name[:100]}"
    if problem := label_problem(name) or label_problem(entry.role):
        yield f"the name or role {problem} @ {path}"
    if entry.role not in known:
        yield f"the role {entry.role[:100]!r} is none of {', '.join(sorted(known))} @ {path}.role"
    if (entry.public_key is None) == (entry.file is None):
        yield f"expected public_key or file, and one of them @ {path}"
    if entry.valid_from and entry.valid_until and entry.valid_until <= entry.valid_from:
        yield f"the window ends before it begins @ {path}.valid_until"


def key_problems(keys: Iterable[TrustedKey]) -> Iterator[str]:
    """Yield which keys are listed twice. In two roles, one person would meet both; in one, count twice."""
    seen: dict[str, TrustedKey] = {}
    for key in keys:
        other = seen.setdefault(key.keyid, key)
        if other is not key:
            roles = f"the role {key.role}" if other.role == key.role else f"roles {other.role} and {key.role}"
            yield f"{other.name} and {key.name} are the same key, in {roles} @ $.keys.{key.name}"
