"""The gate inside a serving program: verify, then hand over the bytes that were verified.

A path is read once. What was hashed is what the runtime gets, so a file that is replaced between check and
load can not slip in.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pytest_prodml.certificate.digest import open_regular
from pytest_prodml.codec import ENVELOPE_LIMITS
from pytest_prodml.errors import CertificateError, InputError, ProdmlError
from pytest_prodml.policy.load import load_policy
from pytest_prodml.verify.gate import Believed, verify_files
from pytest_prodml.verify.subjects import present_bytes

if TYPE_CHECKING:
    from pytest_prodml.verify.report import VerificationReport

StrPath: TypeAlias = str | os.PathLike[str]


def load(
    path: StrPath,
    *,
    certificate: StrPath,
    policy: StrPath,
    keys: Sequence[StrPath] = (),
    waiver_keys: Sequence[StrPath] = (),
    trust: StrPath | None = None,
    roots: Sequence[StrPath] = (),
    root_threshold: int | None = None,
    revocations: str | None = None,
    state: StrPath | None = None,
    now: datetime | None = None,
) -> bytes:
    """Return the bytes of a model file, if its certificate allows it to be used now.

    Parameters
    ----------
    path : path
        The model file. A certificate over several artefacts needs all of them: see `load_all`.
    certificate, policy : path
        The signed envelope, and what this deployment requires.
    keys, waiver_keys : sequence of path
        Public keys whose signatures count, for certificates and for waivers.
    trust : path, optional
        A trust root, in place of `keys` and `waiver_keys`.
    roots : sequence of path
        Root keys that vouch for a signed trust root.
    root_threshold : int, optional
        How many of them must have signed; default all.
    revocations : str, optional
        File or https address of a revocation list.
    state : path, optional
        File that remembers what was accepted, so that nothing older is accepted later.
    now : datetime, optional
        The time to judge at (aware); default the clock.

    Raises
    ------
    CertificateError
        For every reason not to use the model. There is no return value that means "refused".

    Examples
    --------
    >>> import onnxruntime  # doctest: +SKIP
    >>> model = load(
    ...     "model.onnx", certificate="certificate.json", keys=["ci.pub"], policy="policy.toml"
    ... )  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession(model)  # doctest: +SKIP
    """
    (data,) = load_all(
        [path],
        certificate=certificate,
        policy=policy,
        keys=keys,
        waiver_keys=waiver_keys,
        trust=trust,
        roots=roots,
        root_threshold=root_threshold,
        revocations=revocations,
        state=state,
        now=now,
    )
    return data


def load_all(
    paths: Sequence[StrPath],
    *,
    certificate: StrPath,
    policy: StrPath,
    keys: Sequence[StrPath] = (),
    waiver_keys: Sequence[StrPath] = (),
    trust: StrPath | None = None,
    roots: Sequence[StrPath] = (),
    root_threshold: int | None = None,
    revocations: str | None = None,
    state: StrPath | None = None,
    now: datetime | None = None,
) -> tuple[bytes, ...]:
    """Return the bytes of all artefacts of one certificate, in the order of `paths`; see `load`."""
    try:
        contents = tuple(_read(Path(path)) for path in paths)
        report = verify_files(
            _read(Path(certificate), limit=ENVELOPE_LIMITS.size_bytes),
            Believed(
                keys=_paths(keys),
                waiver_keys=_paths(waiver_keys),
                trust=None if trust is None else Path(trust),
                roots=_paths(roots),
                root_threshold=root_threshold,
                revocations=revocations,
                state=None if state is None else Path(state),
            ),
            models=[present_bytes(data, os.fspath(path)) for data, path in zip(contents, paths, strict=True)],
            policy=load_policy(Path(policy)),
            now=now or datetime.now(UTC),
        )
    except ProdmlError as error:
        raise CertificateError(error.what, where=error.where, hint=error.hint) from error
    if not report.accepted:
        raise CertificateError(_told(report), where=os.fspath(certificate))
    return contents


def _told(report: VerificationReport) -> str:
    reasons = "\n".join(f"  {reason.code}: {reason.message}" for reason in report.reasons)
    return f"does not allow this model to be used (exit code {int(report.exit_code)})\n{reasons}"


def _read(path: Path, limit: int | None = None) -> bytes:
    if path.is_dir():
        raise InputError(
            "is a directory; the guard hands over verified bytes, file by file",
            where=str(path),
            hint="certify and load its files, or check a read-only directory with `prodml verify`",
        )
    with open_regular(path) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
        # One byte more than allowed: the parser then says that it is too large.
        return file.read() if limit is None else file.read(limit + 1)


def _paths(paths: Iterable[StrPath]) -> list[Path]:
    if isinstance(paths, (str, os.PathLike)):
        raise InputError("keys are given as a list of paths", where=os.fspath(paths))
    return [Path(path) for path in paths]
