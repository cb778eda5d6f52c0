"""Who signs and who checks: one module a backend, all with these shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from pytest_prodml.records import JsonValue


class Signer(Protocol):
    """A private key, wherever it lives."""

    @property
    def keyid(self) -> str:
        """SHA-256 (lowercase hex) of the DER SubjectPublicKeyInfo of its public half."""

    def sign(self, data: bytes) -> bytes:
        """Return the signature over `data`, in the form that the key's algorithm defines."""


@runtime_checkable
class KeylessSigner(Signer, Protocol):
    """A signer without a lasting key: it signs in-toto statements only, and leaves proof of who it was.

    Its `keyid` names the service and no key, because there is none before it signs; `sign` always raises.
    """

    def sign_statement(self, payload: bytes) -> tuple[str, bytes, Mapping[str, JsonValue]]:
        """Sign a statement: the id of the key that was made for it, the signature, and the proof.

        The proof is a ``VerificationMaterial`` of a Sigstore bundle.
        """


class VerificationKey(Protocol):
    """A public key. The algorithm is the key's own and is never read from a document."""

    @property
    def keyid(self) -> str:
        """SHA-256 (lowercase hex) of the DER SubjectPublicKeyInfo."""

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Tell whether `signature` over `data` was made with the private half."""
