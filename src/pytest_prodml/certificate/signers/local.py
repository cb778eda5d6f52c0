"""Keys in PEM files: make them, sign with them, check with them.

Ed25519 (the default) and ECDSA P-256. Private keys are PKCS#8 files that only their owner can read; what is
wrong with one is told in one sentence that never carries key material.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeGuard

from pytest_prodml.certificate.digest import open_regular
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import InputError, SigningKeyError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    _Private: TypeAlias = Ed25519PrivateKey | EllipticCurvePrivateKey
    _Public: TypeAlias = Ed25519PublicKey | EllipticCurvePublicKey

KeyType: TypeAlias = Literal["ed25519", "p256"]

PASSPHRASE_VARIABLE = "PRODML_KEY_PASSPHRASE"

_MAX_KEY_BYTES = 64 * 2**10
# An identity token comes the same way, and those of build systems take some kilobytes.
_LONGEST_PASSPHRASE = 8192
_PEM_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_PRIVATE_LABELS = ([b"PRIVATE KEY"], [b"ENCRYPTED PRIVATE KEY"])


class Secret(bytes):
    """Bytes that do not show themselves in logs, and in tracebacks that print local variables."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"

    __str__ = __repr__


class Passphrase(Secret):
    """What opens an encrypted key."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A verification key. Two of these are equal if they are the same key, whichever file they came from."""

    keyid: str
    type: KeyType
    where: str = field(compare=False)
    key: _Public = field(repr=False, compare=False)

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Tell whether `signature` over `data` was made with the private half of this key."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            if isinstance(self.key, ec.EllipticCurvePublicKey):
                self.key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
            else:
                self.key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSigner:
    """A private key that was loaded from a file."""

    public_key: PublicKey
    key: _Private = field(repr=False, compare=False)

    @property
    def keyid(self) -> str:
        """SHA-256 (lowercase hex) of the DER SubjectPublicKeyInfo."""
        return self.public_key.keyid

    def sign(self, data: bytes) -> bytes:
        """Sign: 64 bytes for Ed25519, DER ``Ecdsa-Sig-Value`` over SHA-256 for P-256."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return self.key.sign(data, ec.ECDSA(hashes.SHA256()))
        return self.key.sign(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFiles:
    """Where `generate` left the two halves of a key."""

    private: Path
    public: Path
    keyid: str


def generate(path: Path, *, passphrase: bytes | None = None, key_type: KeyType = "ed25519") -> KeyFiles:
    """Make a key pair: ``PATH.key`` (mode 0600) and ``PATH.pub``.

    Parameters
    ----------
    path : Path
        Without extension. A directory that does not exist is made, with a ``.gitignore`` for ``*.key``.
    passphrase : bytes, optional
        Encrypts the private half.
    key_type : {"ed25519", "p256"}

    Raises
    ------
    SigningKeyError
        If a file is there already (a key is never overwritten) or can not be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    files = (path.with_name(f"{path.name}.key"), path.with_name(f"{path.name}.pub"))
    for file in files:
        if os.path.lexists(file):
            raise SigningKeyError(
                "is there already, and a key is never overwritten", where=str(file), hint="choose another"
            )
    passphrase = Passphrase(passphrase) if passphrase else None
    key: _Private
    if key_type == "p256":
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = ed25519.Ed25519PrivateKey.generate()
    protection = (
        serialization.BestAvailableEncryption(bytes(passphrase))
        if passphrase
        else serialization.NoEncryption()
    )
    private_pem = Secret(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    )
    public_pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _make_directory(path.parent)
    _write_new(files[0], private_pem, 0o600)
    try:
        _write_new(files[1], public_pem, 0o644)
    except SigningKeyError:
        files[0].unlink()
        raise
    return KeyFiles(private=files[0], public=files[1], keyid=_keyid(key.public_key()))


def load_signing_key(path: Path, passphrase: bytes | None = None) -> LocalSigner:
    """Load a private key.

    Parameters
    ----------
    path : Path
        A PKCS#8 PEM file that only its owner can read.
    passphrase : bytes, optional
        For an encrypted key; default the environment variable ``PRODML_KEY_PASSPHRASE``.

    Raises
    ------
    SigningKeyError
        If others can read the file, or it can not be opened with this passphrase.
    """
    passphrase = Passphrase(passphrase) if passphrase is not None else passphrase_from_environment()
    key = _private_key(path, passphrase)
    if key is None:
        raise SigningKeyError(
            "can not be opened: not an Ed25519 or P-256 private key in PKCS#8 PEM, or its passphrase is "
            "missing or wrong",
            where=str(path),
        )
    public = key.public_key()
    half = PublicKey(keyid=_keyid(public), type=_type_of(public), where=str(path), key=public)
    return LocalSigner(public_key=half, key=key)


def load_public_key(path: Path) -> PublicKey:
    """Load a public key.

    Raises
    ------
    SigningKeyError
        If the file is not exactly one public key in PEM, or the key is not Ed25519 or ECDSA P-256. A private
        key is refused: it does not belong where certificates are verified.
    """
    return parse_public_key(_read(path, private=False), where=str(path))


def parse_public_key(data: bytes, *, where: str) -> PublicKey:
    """Read a public key from PEM bytes; see `load_public_key`."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    labels = _PEM_LABEL.findall(data)
    if any(label.endswith(b"PRIVATE KEY") for label in labels):
        raise SigningKeyError(
            "holds a private key where a public one is expected",
            where=where,
            hint="give the .pub file; a private key stays with its signer",
        )
    if labels != [b"PUBLIC KEY"]:
        found = ", ".join(label.decode("ascii").lower() for label in labels) or "no PEM block"
        raise SigningKeyError(f"is not one public key in PEM (found: {found})", where=where)
    try:
        key = load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SigningKeyError("holds a public key that can not be read", where=where) from None
    if not _is_supported_public(key):
        raise SigningKeyError(
            f"holds a key of an unsupported kind ({type(key).__name__.removeprefix('_')})",
            where=where,
            hint="use Ed25519 or ECDSA P-256",
        )
    return PublicKey(keyid=_keyid(key), type=_type_of(key), where=where, key=key)


def passphrase_from_environment() -> Passphrase | None:
    """Return what ``PRODML_KEY_PASSPHRASE`` holds; None if it is unset or empty."""
    text = os.environ.get(PASSPHRASE_VARIABLE)
    return Passphrase(os.fsencode(text)) if text else None


def passphrase_from_descriptor(descriptor: int) -> Passphrase:
    """Read a passphrase from an open file descriptor: the first line, without its end.

    Raises
    ------
    SigningKeyError
        If nothing can be read from it.
    """
    try:
        line = _first_line(descriptor)
    except OSError as error:
        raise SigningKeyError(
            f"no passphrase can be read from descriptor {descriptor}: {error.strerror}"
        ) from None
    if not 0 < len(line) <= _LONGEST_PASSPHRASE:
        message = f"descriptor {descriptor} gives no passphrase of 1 to {_LONGEST_PASSPHRASE} bytes"
        raise SigningKeyError(message)
    return line


def _first_line(descriptor: int) -> Passphrase:
    data = b""
    while b"\n" not in data and len(data) <= _LONGEST_PASSPHRASE and (chunk := os.read(descriptor, 1024)):
        data += chunk
    return Passphrase(data.partition(b"\n")[0].removesuffix(b"\r"))


def _private_key(path: Path, passphrase: bytes | None) -> _Private | None:
    """Return the key, or None whatever the reason: no frame that holds the file's bytes ever raises."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read(path, private=True)
    labels = _PEM_LABEL.findall(data)
    if labels not in _PRIVATE_LABELS:
        return None
    encrypted = labels == [b"ENCRYPTED PRIVATE KEY"]
    try:
        key = load_pem_private_key(data, bytes(passphrase) if encrypted and passphrase is not None else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    return None


def _is_supported_public(key: object) -> TypeGuard[_Public]:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, ec.SECP256R1)
    return isinstance(key, ed25519.Ed25519PublicKey)


def _type_of(key: _Public) -> KeyType:
    from cryptography.hazmat.primitives.asymmetric import ed25519

    return "ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else "p256"


def _keyid(key: _Public) -> str:
    from cryptography.hazmat.primitives import serialization

    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return sha256_hex(der)


def _read(path: Path, *, private: bool) -> bytes:
    try:
        with open_regular(path) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
            status = os.fstat(descriptor)
            if private and status.st_mode & 0o077:
                raise SigningKeyError(
                    f"the private key can be read by others (mode {stat.S_IMODE(status.st_mode):04o})",
                    where=str(path),
                    hint=f"chmod 600 {path}; if it was ever shared, make a new one",
                )
            if status.st_size > _MAX_KEY_BYTES:
                raise SigningKeyError("is too large for a key", where=str(path))
            return file.read(_MAX_KEY_BYTES)
    except InputError as error:
        raise SigningKeyError(f"the key {error.what}", where=str(path)) from None


def _make_directory(directory: Path) -> None:
    if directory.exists():
        return
    try:
        directory.mkdir(parents=True)
        (directory / ".gitignore").write_text("*.key\n", encoding="ascii")
    except OSError as error:
        raise SigningKeyError(
            f"the directory can not be made: {error.strerror}", where=str(directory)
        ) from None


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that must not exist yet. It appears under its name complete, or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # Unlike rename, link fails if the name was taken meanwhile.
            os.link(temporary, path)
        finally:
            temporary.unlink()
    except OSError as error:
        raise SigningKeyError(f"can not be written: {error.strerror}", where=str(path)) from None
