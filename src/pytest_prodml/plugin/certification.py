"""A finished run -> certificate, views and their files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from pytest_prodml.certificate.build import build_certificate, issue, write_atomically
from pytest_prodml.certificate.digest import subject_of
from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.certificate.forms import fill_page, rendering_of
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import ConfigurationError, InputError
from pytest_prodml.plugin.outputs import CERTIFICATE, VIEWS, now, remove_certificate
from pytest_prodml.plugin.preparation import Plan
from pytest_prodml.plugin.runs import RunMerger
from pytest_prodml.records import Certificate, Readiness, RunSummary, Subject

if TYPE_CHECKING:
    from pytest_prodml.render.model import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """How a run ended: a certificate and its view, or the problem for which there is none."""

    problem: str = ""
    certificate: Certificate | None = None
    view: View | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is a certificate and it says ready, with or without waivers."""
        return self.certificate is not None and self.certificate.decision.outcome is not Readiness.NOT_READY


def certify(plan: Plan, merger: RunMerger, summary: RunSummary, *, started_at: datetime) -> Conclusion:
    """Decide, sign and write.

    The files appear in an order in which ``certificate.json`` is the last: where it is, all are.

    Raises
    ------
    ProdmlError
        If the model changed while the tests ran, or the records can not become a document.
    OSError
        If a file can not be written. Then none is left.
    """
    from pytest_prodml.render.html import render_html
    from pytest_prodml.render.markdown import render_markdown
    from pytest_prodml.render.view import view

    settings = plan.settings
    _check_unchanged(plan)
    certificate = build_certificate(
        model_name=settings.model.name or plan.subject.name,
        model_version=settings.model.version,
        subjects=[plan.subject],
        policy=plan.policy,
        gates=merger.gates,
        runs=sorted(merger.runs, key=lambda run: (run.gate_id, run.location)),
        run=summary,
        environments=merger.environments,
        started_at=started_at,
        issued_at=now(),
        materials=_materials(merger),
        waivers=plan.waiver_envelopes,
    )
    signers = [plan.signer] if plan.signer is not None else []
    keyids = [signer.keyid for signer in signers]
    # The digest of the payload covers the digest of the page, so the page can not show it.
    blank = view(certificate, keyids=keyids, payload_digest="", signed=bool(signers))
    empty = render_html(blank).encode("utf-8")
    certificate = replace(certificate, renderings=(rendering_of(empty),))
    envelope = issue(certificate, signers)
    page = view(
        certificate,
        keyids=keyids,
        payload_digest=sha256_hex(parse_envelope(envelope).payload),
        signed=bool(signers),
    )
    directory = settings.at(settings.out)
    documents = (fill_page(empty, envelope), render_markdown(page).encode("utf-8"))
    try:
        for name, document in zip(VIEWS, documents, strict=True):
            write_atomically(directory / name, document)
        write_atomically(directory / CERTIFICATE, envelope)
    except BaseException:
        remove_certificate(directory)
        raise
    return Conclusion(certificate=certificate, view=page)


def _check_unchanged(plan: Plan) -> None:
    path = plan.settings.model.path
    if path is None:
        raise ConfigurationError("there is no model to certify", where=plan.settings.source)
    if subject_of(plan.settings.at(path)).digest != plan.subject.digest:
        raise InputError(
            "changed while the tests ran, so nobody knows which of the two they measured",
            where=path,
            hint="make the model before `pytest --prodml` starts",
        )


def _materials(merger: RunMerger) -> list[Subject]:
    found: list[Subject] = []
    for run in merger.runs:
        for material in run.evidence.materials if run.evidence is not None else ():
            if material not in found:
                found.append(material)
    return sorted(found, key=lambda material: (material.name, material.digest.get("sha256", "")))
