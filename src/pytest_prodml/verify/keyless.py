"""Keyless signatures -> the identities that they prove, offline, under a Sigstore trusted root that is given.

Loaded only where a trust root lists identities and a signature carries a proof. What is proven: a certificate
authority of the trusted root gave the key to this identity, a transparency log recorded the signature while
that certificate was valid, and the signature covers exactly the payload at hand. The proof is checked by
sigstore-python (`sigstore.verify.Verifier`), after Sigstore's client specification; nothing is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_prodml.certificate.dsse import INTOTO_PAYLOAD_TYPE, Envelope
from pytest_prodml.certificate.forms import sigstore_bundle

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.verify import Verifier

    from pytest_prodml.verify.trustroot import TrustedIdentity

_MOST_TOLD = 300


def proven_identities(
    envelope: Envelope, identities: Sequence[TrustedIdentity], trusted_root: str
) -> tuple[tuple[TrustedIdentity, ...], tuple[str, ...]]:
    """Return the listed identities that signed, each once, and of every proof that fails the reason.

    Parameters
    ----------
    envelope : Envelope
        What was presented.
    identities : sequence of TrustedIdentity
        Who counts; each is compared as a whole, never by pattern.
    trusted_root : str
        The JSON text of a Sigstore ``trusted_root.json``: authorities and logs that are believed.
    """
    claims = [index for index, signature in enumerate(envelope.signatures) if signature.material is not None]
    if not claims or not identities:
        return (), ()
    try:
        verifier = _verifier(trusted_root)
    except ImportError:
        message = 'Sigstore is not installed here; pip install "pytest-prodml[signers-sigstore]"'
        return (), (message,)
    except Exception as error:  # noqa: BLE001 - a root that can not be used proves nobody
        return (), (f"the trusted root can not be used: {_told(error)}",)
    proven: dict[str, TrustedIdentity] = {}
    problems: list[str] = []
    for index in claims:
        try:
            identity = _prove(envelope, index, identities, verifier)
        except Exception as error:  # noqa: BLE001 - any failure to prove is the same answer
            problems.append(f"signatures[{index}]: {_told(error)}")
        else:
            proven.setdefault(identity.keyid, identity)
    return tuple(proven.values()), tuple(problems)


class _OneOf:
    """The policy that sigstore-python asks: whether the certificate names exactly one listed identity."""

    def __init__(self, identities: Sequence[TrustedIdentity]) -> None:
        self._identities = identities
        self.found: TrustedIdentity | None = None

    def verify(self, cert: Certificate) -> None:
        """Raise unless issuer and name in the certificate are those of one of the identities."""
        from cryptography.x509 import ExtensionNotFound, SubjectAlternativeName
        from sigstore.errors import VerificationError
        from sigstore.verify.policy import AllOf, Identity, OIDCIssuer, OIDCIssuerV2

        names = list(cert.extensions.get_extension_for_class(SubjectAlternativeName).value)
        if len(names) != 1:
            raise VerificationError(f"the certificate carries {len(names)} names and must carry one")
        try:
            cert.extensions.get_extension_for_oid(OIDCIssuerV2.oid)
            issuer_of = OIDCIssuerV2
        except ExtensionNotFound:
            issuer_of = OIDCIssuer
        for listed in self._identities:
            try:
                AllOf([issuer_of(listed.issuer), Identity(identity=listed.identity)]).verify(cert)
            except (VerificationError, ValueError):
                continue
            self.found = listed
            return
        raise VerificationError(
            f"it was signed by {names[0].value!r}, or by way of an issuer, that is not listed"
        )


def _verifier(trusted_root: str) -> Verifier:
    from sigstore.models import TrustedRoot
    from sigstore.verify import Verifier
    from sigstore_models.trustroot.v1 import TrustedRoot as Inner

    return Verifier(trusted_root=TrustedRoot(Inner.from_json(trusted_root)))


def _prove(
    envelope: Envelope, index: int, identities: Sequence[TrustedIdentity], verifier: Verifier
) -> TrustedIdentity:
    from sigstore.errors import VerificationError
    from sigstore.models import Bundle

    policy = _OneOf(identities)
    bundle = Bundle.from_json(sigstore_bundle(envelope, index))
    payload_type, payload = verifier.verify_dsse(bundle, policy)
    # The bundle was made from this envelope a moment ago; that it says the same is not left to two parsers.
    if payload_type != INTOTO_PAYLOAD_TYPE or payload != envelope.payload or policy.found is None:
        raise VerificationError("what was proven is not the content at hand")
    return policy.found


def _told(error: Exception) -> str:
    """Return a foreign error in one bounded line."""
    text = re.sub(r"\s+", " ", str(error))[:_MOST_TOLD]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
