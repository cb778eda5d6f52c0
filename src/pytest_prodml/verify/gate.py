"""Files and options -> the arguments of `verify.verify`, and what it accepted -> the state file.

The command line and the guard in a serving program both pass through here, so there is one gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pytest_prodml.errors import ConfigurationError
from pytest_prodml.records import Policy
from pytest_prodml.verify.report import RefusalError, VerificationReport
from pytest_prodml.verify.subjects import Artifact
from pytest_prodml.verify.trust import load_keys
from pytest_prodml.verify.verifier import verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Believed:
    """Whom a gate believes: plain keys, or a trust root. Paths, except `revocations`, which may be a URL.

    Attributes
    ----------
    keys, waiver_keys : sequence of Path
        Public keys for certificates and for waivers; not together with `trust`.
    trust : Path, optional
        ``trust.toml``, or a signed trust root.
    roots, root_threshold
        Root keys that vouch for a signed trust root, and how many must (default: all of them).
    revocations : str, optional
        File or https address of a revocation list; only with `trust`, which says who signs it.
    state : Path, optional
        What was accepted before.
    """

    keys: Sequence[Path] = ()
    waiver_keys: Sequence[Path] = ()
    trust: Path | None = None
    roots: Sequence[Path] = ()
    root_threshold: int | None = None
    revocations: str | None = None
    state: Path | None = None


def verify_files(
    envelope: bytes,
    believed: Believed,
    *,
    models: Sequence[Artifact],
    policy: Policy,
    now: datetime,
) -> VerificationReport:
    """Verify a certificate as `verify.verify` does, with keys, trust root, list and state from files.

    What is accepted is recorded in the state file before the report is returned; if that fails, nothing is
    accepted. The versions of a trust root and a list that were found good are recorded even where the
    certificate is refused.

    Raises
    ------
    ConfigurationError, SigningKeyError
        If an option or a file that the operator gave can not be used.
    """
    _check_options(believed)
    keys, waiver_keys = load_keys(believed.keys), load_keys(believed.waiver_keys)
    if believed.trust is None and believed.state is None:
        return verify(envelope, models=models, policy=policy, now=now, keys=keys, waiver_keys=waiver_keys)
    # Not at the top: a gate with plain keys starts without all that.
    from pytest_prodml.verify.acceptance import basis_of

    try:
        with ExitStack() as stack:
            basis = basis_of(
                stack,
                trust=believed.trust,
                roots=believed.roots,
                root_threshold=believed.root_threshold,
                revocations=believed.revocations,
                state=believed.state,
                now=now,
            )
            report = verify(
                envelope,
                models=models,
                policy=policy,
                now=now,
                keys=keys,
                waiver_keys=waiver_keys,
                trust=basis.trust,
                revocations=basis.revocations,
                state=basis.state,
            )
            return basis.record(report)
    except RefusalError as error:
        return VerificationReport(checked_at=now, reasons=(error.reason,))


def _check_options(believed: Believed) -> None:
    if believed.trust is None:
        if believed.roots or believed.root_threshold is not None:
            raise ConfigurationError(
                "root keys vouch for a trust root, and none was given", hint="give --trust FILE"
            )
        if believed.revocations is not None:
            raise ConfigurationError(
                "a revocation list needs a trust root that says who signs it", hint="give --trust FILE"
            )
    elif believed.keys or believed.waiver_keys:
        raise ConfigurationError(
            "the trust root lists every key that counts; give it, or keys, and not both", where="--trust"
        )
