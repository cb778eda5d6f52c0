"""What a gate has accepted before, in one JSON file: newest certificate of each model, trust root, list.

The file only ever moves forward. It is locked while a gate decides, replaced whole, and one that can not be
read is an error, never an empty one. Nothing protects it from who may write it: it belongs beside the trust
root, in a directory of the deployment's own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from pytest_prodml.certificate.build import write_atomically
from pytest_prodml.certificate.digest import open_regular
from pytest_prodml.codec import canonical_json, decode, digest_of, encode, parse_json
from pytest_prodml.errors import InputError, MalformedError
from pytest_prodml.verify.report import Reason, RefusalError
from pytest_prodml.verify.revocation import RevocationList
from pytest_prodml.verify.trustroot import TrustRoot

_MAX_BYTES = 16 * 2**20
_LOCK_SECONDS = 10.0
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCertificate:
    """The newest certificate that was accepted for a model name."""

    id: str
    issued_at: datetime
    payload_sha256: str
    serial: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenTrust:
    """The newest trust root. If it was signed, its `root_keys` (PEM) vouch for the next one."""

    version: int
    digest: str
    root_keys: tuple[str, ...] = ()
    root_threshold: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRevocations:
    """The newest revocation list."""

    version: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that was accepted before."""

    format: int = _FORMAT
    trust: SeenTrust | None = None
    revocations: SeenRevocations | None = None
    models: Mapping[str, SeenCertificate] = field(default_factory=dict)


class StateFile:
    """A state file whose lock is held."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = _read(path)

    def advance(self, state: State) -> None:
        """Replace the file's content, if it differs.

        Raises
        ------
        RefusalError
            ``state``: if it can not be written; then nothing may be accepted.
        """
        if state == self.state:
            return
        try:
            write_atomically(self.path, canonical_json(encode(state)) + b"\n")
        except OSError as error:
            raise _refused(self.path, f"the state can not be written: {error.strerror}") from None
        self.state = state


@contextmanager
def locked(path: Path, *, seconds: float = _LOCK_SECONDS) -> Iterator[None]:
    """Hold the lock of a file that is read, changed and replaced; ``PATH.lock`` exists as long as it is held.

    Raises
    ------
    RefusalError
        ``state``: if it can not be locked within `seconds`.
    """
    lock = path.with_name(f"{path.name}.lock")
    end = time.monotonic() + seconds
    while (descriptor := _lock(lock, path)) is None:
        if time.monotonic() >= end:
            raise _refused(path, "is locked by another process")
        time.sleep(0.02)
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def _lock(lock: Path, path: Path) -> int | None:
    """Return the descriptor of a lock that is held now, or None if somebody else holds it."""
    import fcntl

    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(lock, flags, 0o600)
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else "the path holds a NUL"
        raise _refused(path, f"can not be locked: {told}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who held it before may have removed the name meanwhile, and another made it anew.
        if os.path.samestat(os.fstat(descriptor), lock.stat(follow_symlinks=False)):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


@contextmanager
def locked_state(path: Path, *, seconds: float = _LOCK_SECONDS) -> Iterator[StateFile]:
    """Lock a state file and read it. One that does not exist yet is empty.

    Raises
    ------
    RefusalError
        ``state``: if it can not be locked within `seconds` or read, or is no state file, or others than
        its owner may write it.
    """
    with locked(path, seconds=seconds):
        yield StateFile(path)


def check_trust(state: State, trust: TrustRoot) -> None:
    """Refuse a trust root that is older than the last one, or another of the same version.

    Raises
    ------
    RefusalError
        ``trust-rollback``.
    """
    seen = state.trust
    if seen is None:
        return
    version = trust.document.version
    if version < seen.version:
        message = f"this is version {version} of the trust root, and {seen.version} was accepted here before"
    elif version == seen.version and trust.digest != seen.digest:
        message = f"another trust root of the same version {version} was accepted here before"
    else:
        return
    raise RefusalError(Reason(code="trust-rollback", message=message, path=trust.where))


def check_revocations(state: State, revocations: RevocationList, where: str) -> None:
    """Refuse a revocation list that is older than the last one, or another of the same version.

    Raises
    ------
    RefusalError
        ``revocation-rollback``.
    """
    seen = state.revocations
    if seen is None:
        return
    if revocations.version < seen.version:
        message = f"this is list {revocations.version}, and {seen.version} was accepted here before"
    elif revocations.version == seen.version and digest_of(revocations) != seen.digest:
        message = f"another list of the same version {seen.version} was accepted here before"
    else:
        return
    raise RefusalError(Reason(code="revocation-rollback", message=message, path=where))


def with_trust(state: State, trust: TrustRoot, *, signed: bool) -> State:
    """Return the state after a trust root was accepted."""
    document = trust.document
    root = document.root if signed else None
    seen = SeenTrust(
        version=document.version,
        digest=trust.digest,
        root_keys=root.keys if root is not None else (),
        root_threshold=root.threshold if root is not None else None,
    )
    return replace(state, trust=seen)


def with_revocations(state: State, revocations: RevocationList) -> State:
    """Return the state after a revocation list was accepted."""
    seen = SeenRevocations(version=revocations.version, digest=digest_of(revocations))
    return replace(state, revocations=seen)


def with_certificate(state: State, model_name: str, seen: SeenCertificate) -> State:
    """Return the state after a certificate was accepted."""
    return replace(state, models={**state.models, model_name: seen})


def replay_reason(state: State, model_name: str, shown: SeenCertificate) -> Reason | None:
    """Say why a certificate is not the newest that this gate has seen of a model; None if it is.

    Serials decide. Where neither has one, the time of issue does; a certificate without a serial never
    follows one that has it.
    """
    newest = state.models.get(model_name)
    if newest is None or newest.payload_sha256 == shown.payload_sha256:
        return None
    told = f"the certificate {newest.id} of {model_name} was accepted here before"
    if newest.serial is not None and shown.serial is None:
        message = f"{told} with serial {newest.serial}, and this one has none"
    elif newest.serial is not None and shown.serial is not None and shown.serial <= newest.serial:
        message = f"{told} with serial {newest.serial}, and this one has {shown.serial}"
    elif newest.serial is None and shown.serial is None and shown.issued_at <= newest.issued_at:
        message = f"{told}, and this one was not issued later"
    else:
        return None
    return Reason(code="replay", message=message, path="serial")


def _read(path: Path) -> State:
    if not os.path.lexists(path):
        return State()
    try:
        with open_regular(path, follow_links=False) as descriptor:
            if os.fstat(descriptor).st_mode & 0o022:
                raise _refused(path, "the state can be written by others than its owner")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            # Cut off, it could still be a state, and an older one than was written.
            raise _refused(path, f"the state has more than {_MAX_BYTES:,} bytes")
        state = decode(State, parse_json(data))
    except (InputError, MalformedError) as error:
        raise _refused(path, f"the state can not be read: {error.what}") from None
    if state.format != _FORMAT:
        raise _refused(path, f"the state has the format {state.format}, and this version reads {_FORMAT}")
    return state


def _refused(path: Path, message: str) -> RefusalError:
    return RefusalError(Reason(code="state", message=message, path=str(path)))
