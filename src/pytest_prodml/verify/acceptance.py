"""Trust root, revocation list and state file of a gate: read in order, held against each other, recorded.

A trust root or list that is found good moves the locked state file forward at once, an accepted certificate
does so at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pytest_prodml.certificate.signers.local import parse_public_key
from pytest_prodml.errors import ConfigurationError, SigningKeyError
from pytest_prodml.verify.fetch import read_revocations_from
from pytest_prodml.verify.report import Reason, RefusalError, VerificationReport
from pytest_prodml.verify.revocation import RevocationList, open_revocations
from pytest_prodml.verify.state import (
    SeenCertificate,
    State,
    StateFile,
    check_revocations,
    check_trust,
    locked_state,
    with_certificate,
    with_revocations,
    with_trust,
)
from pytest_prodml.verify.trustfile import RootPin, load_trust, pin_of
from pytest_prodml.verify.trustroot import TrustRoot, check_expiry


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What a gate judges on, apart from plain keys. With a `file` its lock is held."""

    trust: TrustRoot | None
    revocations: RevocationList | None
    file: StateFile | None

    @property
    def state(self) -> State | None:
        """What was accepted before; None where nothing is remembered."""
        return self.file.state if self.file is not None else None

    def record(self, report: VerificationReport) -> VerificationReport:
        """Write what was accepted; a report that can not be recorded accepts nothing."""
        if self.file is None or not report.accepted or report.model_name is None or report.issued_at is None:
            return report
        seen = SeenCertificate(
            id=report.certificate_id or "",
            issued_at=report.issued_at,
            payload_sha256=report.payload_sha256 or "",
            serial=report.serial,
        )
        try:
            self.file.advance(with_certificate(self.file.state, report.model_name, seen))
        except RefusalError as error:
            return replace(report, reasons=(error.reason,))
        return report


def basis_of(
    stack: ExitStack,
    *,
    trust: Path | None,
    roots: Sequence[Path],
    root_threshold: int | None,
    revocations: str | None,
    state: Path | None,
    now: datetime,
) -> Basis:
    """Read what the options name; the lock of the state file is held until `stack` ends.

    Raises
    ------
    RefusalError
        If one of them refuses: not signed, expired, older than before, not to be had.
    ConfigurationError, SigningKeyError
        If a file that the operator gave can not be used.
    """
    pin = pin_of(roots, root_threshold)
    # Before the lock: whoever waits for it should not wait for somebody's network.
    data = read_revocations_from(revocations) if revocations is not None else None
    file = stack.enter_context(locked_state(state)) if state is not None else None
    believed = _load_trust(trust, pin, file, now) if trust is not None else None
    found = None
    if data is not None and believed is not None:
        found = _recorded_list(data, revocations or "", believed, file, now)
    return Basis(trust=believed, revocations=found, file=file)


def accept_trust(path: Path, pin: RootPin | None, state: Path | None, now: datetime) -> TrustRoot:
    """Load a trust root, hold it against the state file and record it there.

    Raises
    ------
    RefusalError
        If it does not count here: ``trust-root``, ``trust-expired``, ``trust-rollback``, ``state``.
    """
    with ExitStack() as stack:
        file = stack.enter_context(locked_state(state)) if state is not None else None
        return _load_trust(path, pin, file, now)


def _load_trust(path: Path, pin: RootPin | None, file: StateFile | None, now: datetime) -> TrustRoot:
    """Load the trust root, hold it against the one in the state, and record it there.

    A signed one that was accepted before hands over to its successor: its root keys vouch, not the pin.
    """
    if file is not None:
        pin = _handed_over(file) or pin
    trust = load_trust(path, pin)
    if file is not None:
        check_trust(file.state, trust)
    if reason := check_expiry(trust, now):
        raise RefusalError(reason)
    if file is not None:
        file.advance(with_trust(file.state, trust, signed=pin is not None))
    return trust


def _handed_over(file: StateFile) -> RootPin | None:
    seen = file.state.trust
    if seen is None or seen.root_threshold is None:
        return None
    try:
        keys = tuple(parse_public_key(text.encode(), where="state") for text in seen.root_keys)
    except SigningKeyError as error:
        message = f"the root keys in the state can not be read: {error.what}"
        raise RefusalError(Reason(code="state", message=message, path=str(file.path))) from None
    if not 1 <= seen.root_threshold <= len({key.keyid for key in keys}):
        message = "the root keys in the state can not meet their own threshold"
        raise RefusalError(Reason(code="state", message=message, path=str(file.path)))
    return RootPin(keys=keys, threshold=seen.root_threshold)


def open_list(source: str | None, trust: TrustRoot | None, now: datetime) -> RevocationList | None:
    """Read a revocation list from a file or URL; None without one.

    Raises
    ------
    RefusalError
        If it can not be had or is not signed by its role.
    ConfigurationError
        If the trust root names no such role.
    """
    if source is None or trust is None:
        return None
    return _open(read_revocations_from(source), source, trust, now)


def _open(data: bytes, where: str, trust: TrustRoot, now: datetime) -> RevocationList:
    if trust.document.revocation is None:
        raise ConfigurationError("names no role that signs revocation lists", where=trust.where)
    return open_revocations(data, trust, now, where=where)


def _recorded_list(
    data: bytes, where: str, trust: TrustRoot, file: StateFile | None, now: datetime
) -> RevocationList:
    revocations = _open(data, where, trust, now)
    if file is not None:
        check_revocations(file.state, revocations, where)
        file.advance(with_revocations(file.state, revocations))
    return revocations
