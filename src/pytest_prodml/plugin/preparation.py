"""Everything that can be wrong before the first test: configuration, policy, model, keys, waivers."""

from __future__ import annotations

import glob
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import pytest

from pytest_prodml.certificate.digest import subject_of
from pytest_prodml.certificate.signers import KeylessSigner, Signer
from pytest_prodml.errors import ConfigurationError, ProdmlError
from pytest_prodml.plugin import options
from pytest_prodml.plugin.context import check_level, planned_level
from pytest_prodml.plugin.settings import Settings, load_settings
from pytest_prodml.policy.load import load_policy
from pytest_prodml.records import Look, Policy, Subject, Waiver

if TYPE_CHECKING:
    from pytest_prodml.certificate.signers.local import PublicKey

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is about to certify, and by what. `notes` tell about waivers that do not count."""

    settings: Settings
    policy: Policy
    subject: Subject
    signer: Signer | None
    waivers: tuple[Waiver, ...]
    waiver_envelopes: tuple[bytes, ...]
    notes: tuple[str, ...]

    @property
    def model_name(self) -> str:
        """How the certificate calls the model."""
        return self.settings.model.name or self.subject.name

    @property
    def signers(self) -> tuple[Signer, ...]:
        """Who signs the certificate, if anybody does."""
        return () if self.signer is None else (self.signer,)


def prepare(config: pytest.Config) -> Plan:
    """Check everything that a certificate needs, and tell all that is wrong at once.

    Raises
    ------
    pytest.UsageError
        For a wrong configuration, and for a policy, model or key that is missing or can not be read.
    """
    try:
        settings = load_settings(config.rootpath, options.given(config))
    except ProdmlError as error:
        raise pytest.UsageError(str(error)) from None
    problems: list[str] = []
    policy = _attempt(_load_policy, settings, problems)
    subject = _attempt(_load_subject, settings, problems)
    signer = _attempt(_load_signer, settings, problems)
    approvers = _attempt(_load_approvers, settings, problems) or []
    _attempt(_make_output_directory, settings, problems)
    if policy is None or subject is None or problems:
        raise pytest.UsageError(*problems)
    from pytest_prodml.certificate.waiver import waivers_in_force

    documents, notes = _read_waivers(settings)
    found = waivers_in_force(
        documents,
        approvers,
        signers=[signer] if signer is not None else [],
        policy=policy,
        subject=subject,
        now=datetime.now(UTC),
    )
    return Plan(
        settings=settings,
        policy=policy,
        subject=subject,
        signer=signer,
        waivers=found.waivers,
        waiver_envelopes=found.envelopes,
        notes=(*notes, *found.notes),
    )


def look_of(plan: Plan, *, run_id: str) -> Look | None:
    """Count this run as a look at the test set, where looks are planned.

    Raises
    ------
    pytest.UsageError
        If all planned looks are spent, the ledger can not be written, or no test file is configured.
    """
    settings = plan.settings
    if settings.looks is None:
        return None
    from pytest_prodml.plugin.looks import take_look

    try:
        if settings.data.test is None:
            raise ConfigurationError(
                "looks are planned, and no test file is named whose looks could be counted",
                where=settings.source,
                hint='set test = "data/test.parquet" under [tool.prodml.data]',
            )
        taken = take_look(
            settings.looks,
            settings.at(settings.looks.ledger),
            test=(test := subject_of(settings.at(settings.data.test))),
            model=plan.subject,
            confidence_level=planned_level(settings, plan.policy),
            run_id=run_id,
            started_at=datetime.now(UTC).replace(microsecond=0),
        )
    except ProdmlError as error:
        raise pytest.UsageError(str(error)) from None
    return Look(
        number=taken.number,
        planned=taken.planned,
        spending=taken.spending,
        confidence_level=taken.confidence_level,
        test_digest=test.digest["sha256"],
    )


def _attempt(load: Callable[[Settings], _T], settings: Settings, problems: list[str]) -> _T | None:
    try:
        return load(settings)
    except ProdmlError as error:
        problems.append(str(error))
        return None


def _load_policy(settings: Settings) -> Policy:
    if settings.policy is None:
        raise ConfigurationError(
            "--prodml needs a policy: it decides what is required",
            where=settings.source,
            hint='set policy = "policy.toml", or give --prodml-policy PATH',
        )
    policy = load_policy(settings.at(settings.policy))
    check_level(settings, policy)
    return policy


def _load_subject(settings: Settings) -> Subject:
    if settings.model.path is None:
        raise ConfigurationError(
            "--prodml needs a model: the file whose digest the certificate names",
            where=settings.source,
            hint='set path = "model/model.onnx" under [tool.prodml.model], or give --prodml-model PATH',
        )
    return subject_of(settings.at(settings.model.path))


def _load_signer(settings: Settings) -> Signer | None:
    from pytest_prodml.certificate.signers.uri import open_statement_signer

    if not settings.sign:
        return None
    if settings.key is None:
        raise ConfigurationError(
            "--prodml needs a key to sign the certificate",
            where=settings.source,
            hint='make one with `prodml keygen` and set key = "..." or give --prodml-key PATH; '
            "--prodml-no-sign makes an unsigned record that `prodml verify` never accepts",
        )
    signer = open_statement_signer(settings.key, root=settings.root)
    if settings.shard is not None and isinstance(signer, KeylessSigner):
        raise ConfigurationError(
            "an identity can not seal the run log of a shard; this needs a key",
            where=settings.key,
            hint="make one with `prodml keygen`; what `prodml merge` makes can be signed keyless",
        )
    return signer


def _load_approvers(settings: Settings) -> list[PublicKey]:
    from pytest_prodml.certificate.signers.local import load_public_key

    return [load_public_key(settings.at(path)) for path in settings.waiver_keys]


def _make_output_directory(settings: Settings) -> None:
    directory = settings.at(settings.out)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"the output directory can not be made: {error.strerror}", where=str(directory)
        ) from None


def _read_waivers(settings: Settings) -> tuple[list[tuple[str, bytes]], list[str]]:
    documents: list[tuple[str, bytes]] = []
    notes: list[str] = []
    for pattern in settings.waivers:
        # Unlike Path.glob, this takes absolute patterns too.
        paths = sorted(glob.glob(pattern, root_dir=settings.root, recursive=True))  # noqa: PTH207
        if not paths and not glob.has_magic(pattern):
            notes.append(f"{pattern}: there is no such waiver")
        for path in paths:
            try:
                documents.append((path, settings.at(path).read_bytes()))
            except OSError as error:
                notes.append(f"a waiver does not count: {path}: {error.strerror}")
    return documents, notes
