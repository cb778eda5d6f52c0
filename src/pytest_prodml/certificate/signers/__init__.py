"""Who signs and who checks: one module a backend, all with these two shapes."""

from __future__ import annotations

from typing import Protocol


class Signer(Protocol):
    """A private key, wherever it lives."""

    @property
    def keyid(self) -> str:
        """SHA-256 (lowercase hex) of the DER SubjectPublicKeyInfo of its public half."""

    def sign(self, data: bytes) -> bytes:
        """Return the signature over `data`, in the form that the key's algorithm defines."""


class VerificationKey(Protocol):
    """A public key. The algorithm is the key's own and is never read from a document."""

    @property
    def keyid(self) -> str:
        """SHA-256 (lowercase hex) of the DER SubjectPublicKeyInfo."""

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Tell whether `signature` over `data` was made with the private half."""
