"""A finished run -> certificate, views and their files; or, of a shard, what it leaves to `prodml merge`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.certificate.build import build_certificate, materials_of
from pytest_prodml.certificate.digest import subject_of
from pytest_prodml.errors import ConfigurationError, InputError
from pytest_prodml.plugin.outputs import now
from pytest_prodml.plugin.preparation import Plan
from pytest_prodml.plugin.runs import RunMerger
from pytest_prodml.publication import publish
from pytest_prodml.records import Certificate, Readiness, RunSummary

if TYPE_CHECKING:
    from pytest_prodml.render.model import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """How a run ended: a certificate and its view, a shard's sealed log, or why there is neither."""

    problem: str = ""
    certificate: Certificate | None = None
    view: View | None = None
    shard_log: Path | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is a certificate and it says ready, with or without waivers."""
        return self.certificate is not None and self.certificate.decision.outcome is not Readiness.NOT_READY

    @property
    def may_succeed(self) -> bool:
        """Whether the status 0 is true: the model is ready, or only a shard's evidence was asked for."""
        return self.is_ready or self.shard_log is not None


def certify(plan: Plan, merger: RunMerger, summary: RunSummary, *, started_at: datetime) -> Conclusion:
    """Decide, sign and write.

    Raises
    ------
    ProdmlError
        If the records can not become a document.
    OSError
        If a file can not be written. Then none is left.
    """
    settings = plan.settings
    certificate = build_certificate(
        model_name=plan.model_name,
        model_version=settings.model.version,
        subjects=[plan.subject],
        policy=plan.policy,
        gates=merger.gates,
        runs=sorted(merger.runs, key=lambda run: (run.gate_id, run.location)),
        run=summary,
        environments=merger.environments,
        started_at=started_at,
        issued_at=now(),
        materials=materials_of(merger.runs),
        waivers=plan.waiver_envelopes,
        serial=settings.serial,
    )
    published = publish(certificate, plan.signers, settings.at(settings.out))
    return Conclusion(certificate=published.certificate, view=published.view)


def check_unchanged(plan: Plan) -> None:
    """Refuse a model that is not the one with which the run began.

    Raises
    ------
    InputError
        If it changed while the tests ran.
    """
    path = plan.settings.model.path
    if path is None:
        raise ConfigurationError("there is no model to certify", where=plan.settings.source)
    if subject_of(plan.settings.at(path)).digest != plan.subject.digest:
        raise InputError(
            "changed while the tests ran, so nobody knows which of the two they measured",
            where=path,
            hint="make the model before `pytest --prodml` starts",
        )
