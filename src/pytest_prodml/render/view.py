"""Certificate -> `View`: the one place where a certificate turns into text for people.

A pure function of the signed statement and of what its envelope claims about signatures: no clock, no
randomness, no file. Whoever shows a certificate shows this.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.certificate.waiver import read_waiver
from pytest_prodml.codec import format_time
from pytest_prodml.errors import MalformedError
from pytest_prodml.records import (
    Certificate,
    Dimension,
    Gate,
    GateRun,
    Outcome,
    Verdict,
)
from pytest_prodml.render import words
from pytest_prodml.render.gates import BuiltGate, GateSource, gate_view
from pytest_prodml.render.inert import inert, one_line
from pytest_prodml.render.limits import does_not_prove, proves
from pytest_prodml.render.model import (
    EnvironmentView,
    Fix,
    GateGroup,
    GateView,
    SignatureView,
    Status,
    Tile,
    VerdictView,
    View,
    WaiverView,
)
from pytest_prodml.render.numbers import plain
from pytest_prodml.render.sections import artifact, environment_views, policy_facts, run_facts, run_tables

#: Gates that are shown with everything; more of them become rows, worst first, so that a page stays readable.
MOST_FULL_GATES = 200
_MOST_FIXES = 12
_GROUP_ORDER = (
    Status.FAILED,
    Status.INCONCLUSIVE,
    Status.NOT_RUN,
    Status.WAIVED,
    Status.WARNED,
    Status.PASSED,
)


def view(certificate: Certificate, *, keyids: Sequence[str], payload_digest: str, signed: bool) -> View:
    """Build the view model of a certificate.

    Parameters
    ----------
    certificate : Certificate
        The payload of the envelope.
    keyids : sequence of str
        The key ids that the envelope's signatures claim. Whether they are valid is `verify`'s to say.
    payload_digest : str
        SHA-256 of the payload, lowercase hex.
    signed : bool
        Whether the envelope holds any signature at all.
    """
    environments = environment_views(certificate.environments)
    sources = _sources(certificate)
    waivers = _waivers(certificate, {source_id: source.anchor for source_id, source in sources.items()})
    built = _build(certificate, sources, waivers, environments)
    gates = [item.view for item in built]
    blocking = [gate for gate in gates if gate.blocks]
    kind, word = words.READINESS[certificate.decision.outcome]
    name, version = inert(certificate.model_name, limit=300), inert(certificate.model_version, limit=100)
    producer = certificate.producer
    days = (certificate.expires_at - certificate.issued_at).days
    return View(
        title=f"{word}{'' if signed else ' (unsigned)'}: {one_line(name, 80)} {one_line(version, 40)}"
        " · production-readiness certificate",
        verdict=VerdictView(
            kind=kind,
            word=word,
            sentence=_sentence(gates),
            reasons=tuple(inert(reason) for reason in certificate.decision.reasons),
        ),
        model_name=name,
        model_version=version,
        subjects=tuple(artifact(subject) for subject in certificate.subjects),
        issued=format_time(certificate.issued_at),
        expires=format_time(certificate.expires_at),
        validity=words.counted(days, "day", "days"),
        policy=f"{inert(certificate.policy.name, limit=200)} {inert(certificate.policy.version, limit=60)}",
        policy_digest=inert(certificate.decision.policy_digest, limit=130),
        signature=_signature(keyids, payload_digest, signed=signed),
        verify_command=_verify_command(certificate),
        verify_note="Put your own public key and policy in place of the words in capitals.",
        tiles=tuple(_tile(dimension, built, certificate) for dimension in Dimension),
        waivers=tuple(sorted(waivers, key=lambda waiver: (not waiver.in_force, waiver.gate_id, waiver.id))),
        fixes=tuple(_fix(gate) for gate in blocking[:_MOST_FIXES]),
        more_fixes=f"and {words.counted(len(blocking) - _MOST_FIXES, 'more gate', 'more gates')} below"
        if len(blocking) > _MOST_FIXES
        else "",
        groups=_groups(gates),
        policy_facts=policy_facts(certificate),
        materials=tuple(artifact(material) for material in certificate.materials),
        environments=tuple(environments.values()),
        run_facts=run_facts(certificate),
        run_tables=run_tables(certificate),
        proves=proves(certificate),
        does_not_prove=does_not_prove(certificate),
        produced_by=f"{inert(producer.name, limit=60)} {inert(producer.version, limit=60)}",
    )


def _sources(certificate: Certificate) -> dict[str, GateSource]:
    """Gather records by gate id; what has no verdict still gets a place, and never as a pass."""
    gates: dict[str, Gate] = {}
    for gate in certificate.gates:
        gates.setdefault(gate.id, gate)
    verdicts: dict[str, Verdict] = {}
    for verdict in certificate.decision.verdicts:
        known = verdicts.get(verdict.gate_id)
        # A certificate with two verdicts on one gate is forged or broken; the worse one is shown.
        if known is None or known.outcome is Outcome.PASS:
            verdicts[verdict.gate_id] = verdict
    runs: dict[str, list[GateRun]] = {}
    for run in certificate.runs:
        runs.setdefault(run.gate_id, []).append(run)
    anchors: set[str] = set()
    return {
        gate_id: GateSource(
            gate=gates.get(gate_id),
            verdict=verdicts.get(gate_id),
            runs=tuple(runs.get(gate_id, ())),
            waiver=None,
            anchor=_anchor(gate_id, anchors),
        )
        for gate_id in sorted({*gates, *verdicts})
    }


def _anchor(gate_id: str, taken: set[str]) -> str:
    stem = "gate-" + re.sub(r"[^A-Za-z0-9._-]+", "-", gate_id)[:80]
    anchor, number = stem, 2
    while anchor in taken:
        anchor, number = f"{stem}-{number}", number + 1
    taken.add(anchor)
    return anchor


def _waivers(certificate: Certificate, anchors: Mapping[str, str]) -> list[WaiverView]:
    used = {verdict.waiver_id for verdict in certificate.decision.verdicts if verdict.waiver_id is not None}
    found = []
    for index, text in enumerate(certificate.waivers):
        try:
            envelope = parse_envelope(text.encode(), where=f"waivers[{index}]")
            waiver = read_waiver(envelope, where=f"waivers[{index}]")
        except MalformedError as error:
            found.append(_unknown_waiver(f"waiver {plain(index + 1)}", f"It can not be read: {error.what}"))
            continue
        found.append(
            WaiverView(
                id=inert(waiver.id, limit=200),
                gate_id=inert(waiver.gate_id, limit=300),
                gate_anchor=anchors.get(waiver.gate_id, ""),
                reason=inert(waiver.reason, lines=True),
                approver=inert(waiver.approver, limit=200),
                reference=inert(waiver.reference or "", limit=300),
                issued=format_time(waiver.issued_at),
                until=format_time(waiver.expires_at),
                keyids=tuple(inert(signature.keyid, limit=130) for signature in envelope.signatures),
                in_force=waiver.id in used,
                covers=""
                if waiver.subject_name is None
                else f"every artefact named {inert(waiver.subject_name, limit=200)}",
            )
        )
    return found


def _unknown_waiver(waiver_id: str, reason: str, *, in_force: bool = False) -> WaiverView:
    return WaiverView(
        id=inert(waiver_id, limit=200),
        gate_id="unknown",
        gate_anchor="",
        reason=inert(reason, lines=True),
        approver="unknown",
        reference="",
        issued="",
        until="unknown",
        keyids=(),
        in_force=in_force,
    )


def _build(
    certificate: Certificate,
    sources: Mapping[str, GateSource],
    waivers: Sequence[WaiverView],
    environments: Mapping[str, EnvironmentView],
) -> list[BuiltGate]:
    """Build all gates, worst status first; beyond `MOST_FULL_GATES` without their details."""
    in_force = {waiver.id: waiver for waiver in waivers if waiver.in_force}
    complete = [_with_waiver(source, in_force) for source in sources.values()]
    if len(complete) <= MOST_FULL_GATES:
        return _sorted([gate_view(source, certificate, environments, full=True) for source in complete])
    rows = [gate_view(source, certificate, environments, full=False) for source in complete]
    by_anchor = {source.anchor: source for source in complete}
    ordered = _sorted(rows)
    return [
        gate_view(by_anchor[item.view.anchor], certificate, environments, full=True)
        for item in ordered[:MOST_FULL_GATES]
    ] + ordered[MOST_FULL_GATES:]


def _with_waiver(source: GateSource, in_force: Mapping[str, WaiverView]) -> GateSource:
    waiver_id = source.verdict.waiver_id if source.verdict is not None else None
    if waiver_id is None:
        return source
    unknown = _unknown_waiver(
        waiver_id, "The decision names this waiver, and the certificate does not hold it.", in_force=True
    )
    return GateSource(
        gate=source.gate,
        verdict=source.verdict,
        runs=source.runs,
        waiver=in_force.get(inert(waiver_id, limit=200), unknown),
        anchor=source.anchor,
    )


def _sorted(built: list[BuiltGate]) -> list[BuiltGate]:
    dimensions = [dimension.value for dimension in Dimension]
    return sorted(
        built,
        key=lambda item: (
            _GROUP_ORDER.index(item.view.status),
            dimensions.index(item.view.dimension),
            item.view.anchor,
        ),
    )


def _groups(gates: Sequence[GateView]) -> tuple[GateGroup, ...]:
    groups = []
    for status in _GROUP_ORDER:
        members = [(index, gate) for index, gate in enumerate(gates) if gate.status is status]
        if members:
            title, note = words.GROUP_WORDS[status]
            groups.append(
                GateGroup(
                    status=status,
                    title=title,
                    note=note,
                    count=plain(len(members)),
                    gates=tuple(gate for index, gate in members if index < MOST_FULL_GATES),
                    rows=tuple(gate for index, gate in members if index >= MOST_FULL_GATES),
                )
            )
    return tuple(groups)


def _sentence(gates: Sequence[GateView]) -> str:
    counts = {status: sum(gate.status is status for gate in gates) for status in Status}
    phrases = {
        Status.FAILED: ("failed", "failed"),
        Status.INCONCLUSIVE: ("is inconclusive", "are inconclusive"),
        Status.NOT_RUN: ("did not run", "did not run"),
        Status.WAIVED: ("is waived", "are waived"),
        Status.WARNED: ("warning does not block", "warnings do not block"),
    }
    told = [words.counted(counts[status], *forms) for status, forms in phrases.items() if counts[status]]
    passed = f"{plain(counts[Status.PASSED])} of {words.counted(len(gates), 'gate', 'gates')} passed"
    return f"{words.listed([passed, *told])}."


def _tile(dimension: Dimension, built: Sequence[BuiltGate], certificate: Certificate) -> Tile:
    members = [item for item in built if item.view.dimension == dimension.value]
    title, question = dimension.value.capitalize(), words.QUESTIONS[dimension]
    if not members:
        required = dimension in certificate.policy.required_dimensions
        return Tile(
            title=title,
            question=question,
            status=Status.NOT_RUN if required else Status.ABSENT,
            word=words.STATUS_WORDS[Status.ABSENT],
            score=f"{plain(0)}/{plain(0)}",
            gate_id="",
            worst="The policy requires this dimension." if required else "Nothing was asked.",
            anchor="",
        )
    worst = min(members, key=lambda item: (_GROUP_ORDER.index(item.view.status), item.headroom)).view
    passed = sum(item.view.status is Status.PASSED for item in members)
    return Tile(
        title=title,
        question=question,
        status=worst.status,
        word=worst.word if worst.status is Status.NOT_RUN else words.STATUS_WORDS[worst.status],
        score=f"{plain(passed)}/{plain(len(members))}",
        gate_id=one_line(worst.id, 60),
        worst=one_line(worst.brief, 120),
        anchor=worst.anchor,
    )


def _fix(gate: GateView) -> Fix:
    return Fix(
        gate_id=gate.id,
        anchor=gate.anchor,
        status=gate.status,
        word=gate.word,
        found=gate.brief,
        step=gate.step,
        command=gate.command,
    )


def _signature(keyids: Sequence[str], payload_digest: str, *, signed: bool) -> SignatureView:
    return SignatureView(
        signed=signed,
        sentence="The key ids are what the file claims; only the check can say whether a signature is valid."
        if signed
        else "This certificate carries no signature. It proves nothing, and prodml verify refuses it.",
        keyids=tuple(inert(keyid, limit=130) or "(no key id)" for keyid in keyids),
        payload_digest=inert(payload_digest, limit=130),
    )


def _as_path(name: str) -> str:
    shown = inert(name, limit=300)
    # A dash would begin an option, and what is before an equals sign would be read as a name.
    return f"./{shown}" if shown.startswith("-") or "=" in shown else shown


def _verify_command(certificate: Certificate) -> tuple[str, ...]:
    models = [f"--model {shlex.quote(_as_path(subject.name))}" for subject in certificate.subjects]
    waived = any(verdict.waiver_id is not None for verdict in certificate.decision.verdicts)
    keys = ["--key PUBLIC_KEY", *(["--waiver-key APPROVER_KEY"] if waived else [])]
    return ("prodml verify certificate.json", *keys, *models, "--policy POLICY")
