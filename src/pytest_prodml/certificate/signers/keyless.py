"""Keyless signing with Sigstore: an identity token -> a key that lives for one signature, and its proof.

Fulcio certifies the key for the token's identity, Rekor logs the signature, and both answers stay with it.
Everything is done by sigstore-python; what it returns is compared with what was to be signed.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.certificate.dsse import INTOTO_PAYLOAD_TYPE, pae
from pytest_prodml.certificate.forms import read_form
from pytest_prodml.certificate.signers.local import Passphrase, PublicKey, parse_public_key
from pytest_prodml.errors import MissingDependencyError, SigningKeyError
from pytest_prodml.records import JsonValue

if TYPE_CHECKING:
    from sigstore.models import ClientTrustConfig
    from sigstore.oidc import IdentityToken

#: The name that cosign gave it.
TOKEN_VARIABLE = "SIGSTORE_ID_TOKEN"
EXTRA = "signers-sigstore"

_MOST_TOLD = 200
_PUBLIC = ("", "staging")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigstoreSigner:
    """An identity that signs through a Sigstore instance.

    `instance` is empty for the public one, ``"staging"``, or the path of a client trust configuration.
    `token` is an identity token that was handed over; without one the environment is asked at signing time,
    because a token of a build system lives for minutes and a test run longer.
    """

    instance: str
    token: Passphrase | None = field(default=None, repr=False, compare=False)
    root: Path | None = None

    @property
    def keyid(self) -> str:
        """What the signer is called before it signs: it has no key yet. A path stays out of the page."""
        return f"sigstore:{self.instance if self.instance in _PUBLIC else 'private'}"

    def sign(self, _data: bytes) -> bytes:
        """Refuse: only in-toto statements are signed keyless.

        Raises
        ------
        SigningKeyError
            Always.
        """
        raise SigningKeyError(
            "an identity signs certificates and other in-toto statements only; this needs a key",
            where=self.keyid,
        )

    def sign_statement(self, payload: bytes) -> tuple[str, bytes, Mapping[str, JsonValue]]:
        """Sign an in-toto statement; see `KeylessSigner`. Talks to the Sigstore instance.

        Raises
        ------
        SigningKeyError
            If there is no identity token, a service refuses or can not be reached, or what comes back is not
            about these bytes. The text of the token is in none of them.
        """
        try:
            answer = self._signed(payload)
        except SigningKeyError:
            raise
        except Exception as error:  # noqa: BLE001 - clients and services raise many kinds
            raise SigningKeyError(f"can not sign: {_told(error)}", where=self.keyid) from None
        envelope = read_form(answer, where=self.keyid).envelope
        (signature,) = envelope.signatures
        key = _certified_key(signature.material or {}, self.keyid)
        data = pae(INTOTO_PAYLOAD_TYPE, payload)
        if signature.material is None or not key.verify(signature.sig, data):
            raise SigningKeyError("signed something else than it was given", where=self.keyid)
        return key.keyid, signature.sig, signature.material

    def _signed(self, payload: bytes) -> bytes:
        from sigstore.dsse import Statement
        from sigstore.sign import SigningContext

        configuration = self._configuration()
        context = SigningContext.from_trust_config(configuration)
        with context.signer(self._identity()) as signer:
            text: str = signer.sign_dsse(Statement(payload)).to_json()
            return text.encode()

    def _configuration(self) -> ClientTrustConfig:
        from sigstore.models import ClientTrustConfig

        if not self.instance:
            return ClientTrustConfig.production()
        if self.instance == "staging":
            return ClientTrustConfig.staging()
        path = (self.root or Path()) / self.instance
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise SigningKeyError("the client trust configuration can not be read", where=str(path)) from None
        return ClientTrustConfig.from_json(text)

    def _identity(self) -> IdentityToken:
        from sigstore.oidc import IdentityToken, detect_credential

        token = self.token or token_from_environment()
        text = bytes(token).decode("ascii", "replace") if token is not None else detect_credential()
        if not text:
            raise SigningKeyError(
                "found no identity: no token was given, and no build system here hands one out",
                where=self.keyid,
                hint=f"set {TOKEN_VARIABLE}, or let the job have one (GitHub: permissions: id-token: write)",
            )
        return IdentityToken(text)


def open_keyless(rest: str, *, token: bytes | None = None, root: Path | None = None) -> SigstoreSigner:
    """Return the signer of a ``sigstore:`` URI.

    Parameters
    ----------
    rest : str
        What follows the scheme; slashes before it are taken off.
    token : bytes, optional
        An identity token from a file descriptor.
    root : Path, optional
        Where a relative path of a client trust configuration begins.

    Raises
    ------
    MissingDependencyError
        If sigstore-python is not installed.
    """
    try:
        import sigstore.sign  # noqa: F401 - a missing package is told before the tests run, not after
    except ImportError as error:
        raise MissingDependencyError(
            f"keyless signing needs packages that are not installed ({error.name})",
            where="sigstore:",
            hint=f'pip install "pytest-prodml[{EXTRA}]"',
        ) from None
    instance = rest.removeprefix("//")
    return SigstoreSigner(instance=instance, token=Passphrase(token) if token else None, root=root)


def token_from_environment() -> Passphrase | None:
    """Return what ``SIGSTORE_ID_TOKEN`` holds; None if it is unset or empty."""
    text = os.environ.get(TOKEN_VARIABLE)
    return Passphrase(os.fsencode(text.strip())) if text and text.strip() else None


def _certified_key(material: Mapping[str, JsonValue], where: str) -> PublicKey:
    """Return the key that the certificate in a proof certifies."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import load_der_x509_certificate

    certificate = material.get("certificate")
    text = certificate.get("rawBytes") if isinstance(certificate, dict) else None
    try:
        key = load_der_x509_certificate(base64.b64decode(str(text), validate=True)).public_key()
    except ValueError:
        raise SigningKeyError("returned no certificate that can be read", where=where) from None
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return parse_public_key(pem, where=where)


def _told(error: Exception) -> str:
    """Return a foreign error in one line, with what it was raised from: sigstore-python wraps the reason."""
    parts = [error, error.__cause__] if error.__cause__ is not None else [error]
    texts = [" ".join(f"{type(part).__name__} {part}".split())[:_MOST_TOLD] for part in parts]
    return "; ".join(texts)
