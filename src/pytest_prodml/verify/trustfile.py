"""Files -> `TrustRoot`: ``trust.toml`` as it lies there, or a signed one whose root keys vouch for it.

A signed trust root follows the rules of The Update Framework (specification 5.3): version N+1 is signed by
the threshold of N's root keys and of its own, the version never goes down, and an expired one counts no more.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_prodml.certificate.digest import open_regular
from pytest_prodml.certificate.document import read_record, sign_record
from pytest_prodml.certificate.dsse import Envelope, parse_envelope, valid_signers
from pytest_prodml.certificate.signers import Signer
from pytest_prodml.certificate.signers.local import PublicKey, load_public_key, parse_public_key
from pytest_prodml.codec import decode, digest_of, format_time, parse_json, parse_toml, snake_case
from pytest_prodml.errors import ConfigurationError, InputError, MalformedError, SigningKeyError
from pytest_prodml.verify.report import Reason, RefusalError
from pytest_prodml.verify.trustroot import (
    TRUST_ROOT_TYPE,
    KeyEntry,
    RootRule,
    SigstoreRule,
    TrustDocument,
    TrustedIdentity,
    TrustedKey,
    TrustRoot,
    document_problems,
    key_problems,
)

#: https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto
TRUSTED_ROOT_MEDIA_TYPE = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"

_MAX_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class RootPin:
    """The root keys that are believed before the file is opened, and how many of them must have signed."""

    keys: tuple[PublicKey, ...]
    threshold: int


def pin_of(paths: Iterable[Path], threshold: int | None = None) -> RootPin | None:
    """Return the pin that ``--root`` and ``--root-threshold`` stand for; None without a key.

    Without a threshold all given keys must have signed.

    Raises
    ------
    SigningKeyError, ConfigurationError
        If a file is not a public key, or the threshold can not be met.
    """
    keys = tuple({key.keyid: key for key in map(load_public_key, paths)}.values())
    if not keys and threshold is None:
        return None
    if threshold is not None and not 1 <= threshold <= len(keys):
        raise ConfigurationError(f"{threshold} of {len(keys)} given root keys can not have signed")
    return RootPin(keys=keys, threshold=threshold or len(keys))


def load_trust(path: Path, pin: RootPin | None = None) -> TrustRoot:
    """Load a trust root.

    Parameters
    ----------
    path : Path
        ``trust.toml``, believed as it lies there; or, with `pin`, a signed one.
    pin : RootPin, optional
        Root keys that vouch for the file.

    Raises
    ------
    ConfigurationError
        If the file can not be read or is not a trust root, with every problem; or if a signed one is given
        without a pin, or an unsigned one with it.
    RefusalError
        If too few root keys signed it (``trust-root``).
    """
    data = _read(path)
    where = str(path)
    is_signed = data.lstrip()[:1] == b"{"
    if not is_signed:
        if pin is not None:
            raise ConfigurationError(
                "is not signed, and root keys were given",
                where=where,
                hint="sign it with `prodml trust sign`",
            )
        return parse_trust_toml(data, where=where, directory=path.parent)
    if pin is None:
        raise ConfigurationError(
            "is signed, and no root key was given to check that", where=where, hint="give --root PUB"
        )
    return open_signed(data, pin, where=where)


def parse_trust_toml(data: bytes, *, where: str, directory: Path) -> TrustRoot:
    """Read ``trust.toml``; key files are looked up in `directory`."""
    document = _decode(parse_toml(data, where=where), where)
    problems: list[str] = []
    keys = {
        name: replace(entry, public_key=_inline(entry, directory, f"$.keys.{name}", problems), file=None)
        for name, entry in document.keys.items()
    }
    root = document.root
    if root is not None:
        texts = [
            _pem(text, directory, f"$.root.keys[{index}]", problems) for index, text in enumerate(root.keys)
        ]
        root = replace(root, keys=tuple(text for text in texts if text is not None))
    sigstore = document.sigstore
    if sigstore is not None:
        sigstore = SigstoreRule(trusted_root=_trusted_root(sigstore.trusted_root, directory, problems))
    if problems:
        raise ConfigurationError("\n  ".join(["is not a usable trust root", *problems]), where=where)
    return resolve(replace(document, keys=keys, root=root, sigstore=sigstore), where=where)


def resolve(document: TrustDocument, *, where: str) -> TrustRoot:
    """Read the keys of a document in which they stand as text.

    Raises
    ------
    ConfigurationError
        With every problem: no signer, a threshold that can not be met, a key in two roles, and so on.
    """
    problems = list(document_problems(document))
    keys = []
    for name, entry in document.keys.items():
        key = _key(entry.public_key or "", f"$.keys.{name}", problems)
        if key is not None:
            keys.append(
                TrustedKey(
                    name=name,
                    role=entry.role,
                    key=key,
                    valid_from=entry.valid_from,
                    valid_until=entry.valid_until,
                )
            )
    problems += key_problems(keys)
    root_keys = _root_keys(document.root, keys, problems)
    if document.sigstore is not None:
        problems += _trusted_root_problems(document.sigstore.trusted_root)
    identities = tuple(
        TrustedIdentity(
            name=name,
            role=entry.role,
            issuer=entry.issuer,
            identity=entry.identity,
            valid_from=entry.valid_from,
            valid_until=entry.valid_until,
        )
        for name, entry in (document.identities or {}).items()
    )
    if problems:
        raise ConfigurationError("\n  ".join(["is not a usable trust root", *problems[:50]]), where=where)
    return TrustRoot(
        document=document,
        keys=tuple(keys),
        identities=identities,
        root_keys=root_keys,
        digest=digest_of(document),
        where=where,
    )


def open_signed(data: bytes, pin: RootPin, *, where: str) -> TrustRoot:
    """Read a signed trust root that the threshold of `pin` and its own threshold vouch for.

    Raises
    ------
    RefusalError
        ``trust-root``: malformed, or signed by too few.
    """
    try:
        envelope = parse_envelope(data, where=where)
        # Nothing of it is read before keys that are believed already have signed it.
        _need(envelope, pin.keys, pin.threshold, "the root keys that are believed here", where)
        trust = read_signed(envelope, where=where)
    except (MalformedError, ConfigurationError) as error:
        raise RefusalError(Reason(code="trust-root", message=str(error), path=where)) from None
    rule = trust.document.root
    _need(envelope, trust.root_keys, rule.threshold if rule else 1, "its own root keys", where)
    return trust


def read_signed(envelope: Envelope, *, where: str) -> TrustRoot:
    """Read the trust root of an envelope, whoever signed it.

    Raises
    ------
    MalformedError, ConfigurationError
        If it is not one, or lacks what a signed one needs: an end and root keys.
    """
    document = read_record(envelope, TrustDocument, TRUST_ROOT_TYPE, where=where)
    _need_root_fields(document, where)
    return resolve(document, where=where)


def sign_trust(trust: TrustRoot, signers: Sequence[Signer]) -> Envelope:
    """Sign a trust root with root keys.

    Raises
    ------
    ConfigurationError
        If it has no end or no root keys of its own.
    """
    _need_root_fields(trust.document, trust.where)
    return sign_record(trust.document, TRUST_ROOT_TYPE, signers)


def _need(envelope: Envelope, keys: Sequence[PublicKey], threshold: int, whose: str, where: str) -> None:
    signed = len(valid_signers(envelope, keys))
    if signed < threshold:
        message = f"{signed} of {whose} signed the trust root, and {threshold} must have"
        raise RefusalError(Reason(code="trust-root", message=message, path=where))


def _need_root_fields(document: TrustDocument, where: str) -> None:
    if document.expires is None or document.root is None:
        raise ConfigurationError("a signed trust root needs `expires` and `root`", where=where)


def _decode(value: Any, where: str) -> TrustDocument:  # noqa: ANN401 - parsed TOML
    try:
        return decode(TrustDocument, _times_as_text(value), naming=snake_case)
    except MalformedError as error:
        raise ConfigurationError("\n  ".join([error.what, *error.problems]), where=where) from None


def _times_as_text(value: Any) -> Any:  # noqa: ANN401
    """Write TOML's own times in the one form that documents have; others are left for `decode` to refuse."""
    if isinstance(value, dict):
        return {key: _times_as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_times_as_text(item) for item in value]
    if isinstance(value, datetime) and value.tzinfo is not None and not value.microsecond:
        # At the ends of the calendar an offset leads out of it.
        with suppress(OverflowError):
            return format_time(value)
    return value


def _inline(entry: KeyEntry, directory: Path, path: str, problems: list[str]) -> str | None:
    if entry.file is None:
        return entry.public_key
    if entry.public_key is not None:
        problems.append(f"expected public_key or file, and one of them @ {path}")
        return None
    return _pem(entry.file, directory, path, problems)


def _pem(text: str, directory: Path, path: str, problems: list[str]) -> str | None:
    """Return PEM text as it is, and read it from the file where `text` is a name."""
    if "-----BEGIN" in text:
        return text
    try:
        return _read(directory / text).decode("ascii")
    except (ConfigurationError, UnicodeDecodeError) as error:
        problems.append(f"{str(error).splitlines()[0]} @ {path}")
        return None


def _trusted_root(text: str, directory: Path, problems: list[str]) -> str:
    """Return the JSON text as it is, and read it from the file where `text` is a name."""
    if text.lstrip()[:1] == "{":
        return text
    try:
        return _read(directory / text).decode("utf-8")
    except (ConfigurationError, UnicodeDecodeError) as error:
        problems.append(f"{str(error).splitlines()[0]} @ $.sigstore.trusted_root")
        return ""


def _trusted_root_problems(text: str) -> list[str]:
    """Say why a text is no Sigstore trusted root at all; what is in it is `verify.keyless`'s to judge."""
    try:
        value = parse_json(text.encode("utf-8", "replace"))
    except MalformedError as error:
        return [f"{error.what} @ $.sigstore.trusted_root"]
    if not isinstance(value, dict) or value.get("mediaType") != TRUSTED_ROOT_MEDIA_TYPE:
        return [f"expected a Sigstore {TRUSTED_ROOT_MEDIA_TYPE} @ $.sigstore.trusted_root"]
    return []


def _key(text: str, path: str, problems: list[str]) -> PublicKey | None:
    try:
        return parse_public_key(text.encode("utf-8", "replace"), where=path)
    except SigningKeyError as error:
        problems.append(f"{error.what} @ {path}")
        return None


def _root_keys(
    rule: RootRule | None, others: Sequence[TrustedKey], problems: list[str]
) -> tuple[PublicKey, ...]:
    if rule is None:
        return ()
    found = [_key(text, f"$.root.keys[{index}]", problems) for index, text in enumerate(rule.keys)]
    keys = {key.keyid: key for key in found if key is not None}
    if not 1 <= rule.threshold <= len(keys):
        problems.append(
            f"asks for {rule.threshold} root signatures and {len(keys)} different keys are given @ $.root"
        )
    problems += [
        f"is a root key too; a root key signs nothing else @ $.keys.{other.name}"
        for other in others
        if other.keyid in keys
    ]
    return tuple(keys.values())


def _read(path: Path) -> bytes:
    try:
        with open_regular(path) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(_MAX_BYTES + 1)
    except InputError as error:
        raise ConfigurationError(error.what, where=str(path)) from None
    if len(data) > _MAX_BYTES:
        raise ConfigurationError(f"has more than {_MAX_BYTES:,} bytes", where=str(path))
    return data
