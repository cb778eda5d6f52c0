"""A signer by URI: a PEM file, or a key that never leaves its device or service.

``keys/ci.key`` and ``file:keys/ci.key`` are PEM files. Everything else is a URI of securesystemslib with the
public key as its fragment::

    pkcs11:2?label=release#keys/release.pub
    awskms:alias/release#keys/release.pub

The public key is given and never asked from the device: it says which key has to answer, and every signature
is checked with it before anything is written.

``sigstore:`` signs without a lasting key, in-toto statements only; see `keyless`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_prodml.certificate.signers.local import (
    LocalSigner,
    PublicKey,
    load_public_key,
    load_signing_key,
    passphrase_from_environment,
)
from pytest_prodml.errors import MissingDependencyError, SigningKeyError

if TYPE_CHECKING:
    from pytest_prodml.certificate.signers.keyless import SigstoreSigner

#: Scheme -> the scheme of securesystemslib and the extra that brings what it needs.
EXTERNAL: Mapping[str, tuple[str, str]] = {
    "pkcs11": ("hsm", "signers-pkcs11"),
    "hsm": ("hsm", "signers-pkcs11"),
    "awskms": ("awskms", "signers-aws"),
    "gcpkms": ("gcpkms", "signers-gcp"),
    "azurekms": ("azurekms", "signers-azure"),
    "hv": ("hv", "signers-vault"),
}

#: The scheme of signatures that prove an identity: `open_statement_signer` opens it, `open_signer` does not.
KEYLESS = "sigstore"

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalSigner:
    """A private key behind securesystemslib. `public_key` is the half that the operator named."""

    public_key: PublicKey
    uri: str
    backend: Any = field(repr=False, compare=False)

    @property
    def keyid(self) -> str:
        """SHA-256 (lowercase hex) of the DER SubjectPublicKeyInfo."""
        return self.public_key.keyid

    def sign(self, data: bytes) -> bytes:
        """Have `data` signed, and check the answer with the public key.

        Raises
        ------
        SigningKeyError
            If the device or service fails, or what it returns is not a signature by the named key.
        """
        try:
            signature = bytes.fromhex(self.backend.sign(data).signature)
        except Exception as error:  # noqa: BLE001 - every backend has errors of its own
            raise SigningKeyError(f"can not sign: {_named(error)}", where=self.uri) from None
        if not self.public_key.verify(signature, data):
            raise SigningKeyError(
                "signed with another key than the public key that was named for it", where=self.uri
            )
        return signature


def open_signer(
    uri: str, *, passphrase: bytes | None = None, root: Path | None = None
) -> LocalSigner | ExternalSigner:
    """Return the signer that a path or URI names.

    Parameters
    ----------
    uri : str
        ``PATH``, ``file:PATH``, or ``SCHEME:REST#PUBLIC_KEY_PATH`` with a scheme of `EXTERNAL`.
    passphrase : bytes, optional
        Of an encrypted PEM file, or the PIN of a token; default the variable ``PRODML_KEY_PASSPHRASE``. Never
        a part of the URI.
    root : Path, optional
        Where relative paths begin; default the working directory.

    Raises
    ------
    SigningKeyError
        If the scheme is unknown, a part is missing or wrong, or the key can not be opened.
    MissingDependencyError
        If the scheme needs a package that is not installed; the message names the extra.
    """
    base = root or Path()
    matched = _SCHEME.fullmatch(uri)
    if matched is None:
        return load_signing_key(base / uri, passphrase)
    scheme, rest = matched.groups()
    if scheme == "file":
        return load_signing_key(base / rest.removeprefix("//"), passphrase)
    if scheme == KEYLESS:
        raise SigningKeyError(
            "an identity signs certificates and other in-toto statements only; this needs a key",
            where=f"{KEYLESS}:",
        )
    if scheme not in EXTERNAL:
        known = ", ".join(["file", KEYLESS, *EXTERNAL])
        raise SigningKeyError(
            f"has the unknown scheme {scheme!r} (known: {known})",
            where=f"{scheme}:",
            hint=f"a file of that name is written ./{scheme}:...",
        )
    return _external(scheme, rest, base, passphrase)


def open_statement_signer(
    uri: str, *, passphrase: bytes | None = None, root: Path | None = None
) -> LocalSigner | ExternalSigner | SigstoreSigner:
    """Return the signer of a statement: what `open_signer` opens, or ``sigstore:`` for a keyless signature.

    ``sigstore:`` is the public instance, ``sigstore:staging`` its staging twin, and ``sigstore:FILE`` the one
    that a Sigstore client trust configuration describes. `passphrase` stands for the identity token there.

    Raises
    ------
    SigningKeyError, MissingDependencyError
        As `open_signer` does.
    """
    scheme, mark, rest = uri.partition(":")
    if not mark or scheme != KEYLESS:
        return open_signer(uri, passphrase=passphrase, root=root)
    from pytest_prodml.certificate.signers.keyless import open_keyless

    return open_keyless(rest, token=passphrase, root=root)


def _external(scheme: str, rest: str, base: Path, passphrase: bytes | None) -> ExternalSigner:
    address, mark, public = rest.partition("#")
    if not mark or not public:
        raise SigningKeyError(
            "names no public key",
            where=f"{scheme}:{address}",
            hint=f"write {scheme}:{address}#PUBLIC_KEY_FILE",
        )
    key = load_public_key(base / public)
    where = f"{scheme}:{address}"
    foreign, extra = EXTERNAL[scheme]
    secret = passphrase if passphrase is not None else passphrase_from_environment()

    def pin(_what: str) -> str:
        if secret is None:
            raise SigningKeyError("needs a PIN; give it like a key's passphrase", where=where)
        return bytes(secret).decode("utf-8")

    try:
        from securesystemslib.signer import (  # type: ignore[attr-defined] # it re-exports without saying so
            Signer,
            SSlibKey,
        )
    except ImportError:
        raise _missing(where, "securesystemslib", extra) from None
    try:
        backend = Signer.from_priv_key_uri(
            f"{foreign}:{address}", SSlibKey.from_crypto(key.key, keyid=key.keyid), pin
        )
    except Exception as error:  # noqa: BLE001 - as above
        if type(error).__name__ == "UnsupportedLibraryError" or isinstance(error, ImportError):
            raise _missing(where, str(error), extra) from None
        raise SigningKeyError(f"can not be opened: {_named(error)}", where=where) from None
    return ExternalSigner(public_key=key, uri=where, backend=backend)


def _missing(where: str, what: str, extra: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"this signer needs packages that are not installed ({what})",
        where=where,
        hint=f'pip install "pytest-prodml[{extra}]"',
    )


def _named(error: Exception) -> str:
    """Return an error of a backend in one line. Its text may come from a service, so it is kept short."""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
