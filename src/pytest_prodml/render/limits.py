"""What a certificate proves, and what it does not: sentences from the certificate's own numbers."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_prodml.records import (
    Basis,
    Burden,
    Certificate,
    Criterion,
    Dimension,
    Evidence,
    Outcome,
    Readiness,
)
from pytest_prodml.render import words
from pytest_prodml.render.inert import inert, one_line
from pytest_prodml.render.numbers import percent


def proves(certificate: Certificate) -> tuple[str, ...]:
    """Say what follows from the certificate if its signature is valid and its tests are honest."""
    level = certificate.policy.confidence_level
    measured = sum(gate.basis is Basis.MEASUREMENTS for gate in certificate.gates)
    told = [
        "It is about the artifacts with the digests above and about no other bytes.",
        _bases(measured, len(certificate.gates) - measured),
    ]
    if certificate.decision.outcome is Readiness.NOT_READY:
        told.append(
            "Not ready means that at least one required gate failed, or lacks the evidence to pass. Only a "
            "gate that failed by its measurements says that a limit is missed; an inconclusive one says "
            "nothing yet."
        )
    told.append(
        "If every method keeps its stated level, the probability that a model which truly misses a "
        f"required, measured limit is called ready is at most {percent(1 - level)}. All required gates have "
        "to pass, so no correction for their number is needed (intersection-union test, Berger 1982)."
    )
    return tuple(told)


def _bases(measured: int, asserted: int) -> str:
    told = f"{words.counted(measured, 'gate rests', 'gates rest')} on measurements with bounds"
    if not asserted:
        return f"{told}."
    return (
        f"{told}, and {words.counted(asserted, 'gate', 'gates')} on the plain asserts of a test: these say "
        "what happened once, without a confidence level."
    )


def does_not_prove(certificate: Certificate) -> tuple[str, ...]:
    """Say where the certificate ends."""
    return tuple(_does_not_prove(certificate))


def _does_not_prove(certificate: Certificate) -> Iterator[str]:
    yield (
        "This page is not the proof; anybody can write a page. The proof is the signed statement, and "
        "prodml verify checks it: signature, digests, policy, validity, and that the decision follows from "
        "the evidence."
    )
    yield (
        "A signature says who vouches for the run and that nothing was changed since. It does not say that "
        "the tests are honest, that the limits are right, or that no important question was left out."
    )
    names = [one_line(inert(material.name), 60) for material in certificate.materials[:8]]
    listed = f" ({', '.join(names)})" if names else ""
    yield (
        f"The bounds speak about the population from which the test rows were drawn{listed}. They say "
        "nothing about rows of another kind, time or place."
    )
    yield (
        "The levels hold for one run on data that had no part in any choice. Picking the best of many runs, "
        "or tuning on the test data, voids them."
    )
    if any(gate.dimension is Dimension.LATENCY for gate in certificate.gates):
        yield (
            "Latency holds on the hardware and with the thread settings under Environments, or on machines "
            "of the described targets, and nowhere else; only ratios carry over. It is that of one caller."
        )
    exact, alarms = _unproven(certificate)
    if exact:
        count = words.counted(exact, "criterion is an exact count", "criteria are exact counts")
        yield f"{count} over the rows at hand, without inference to other rows."
    if alarms:
        count = words.counted(alarms, "criterion is an alarm", "criteria are alarms")
        yield f"{count}: passing means that no violation was proven, which is less than proven compliance."
    waived = sum(verdict.waiver_id is not None for verdict in certificate.decision.verdicts)
    if waived:
        count = words.counted(waived, "waived gate", "waived gates")
        yield (
            f"{count} did not pass. Somebody accepted that until a date; the statement on errors above does "
            "not cover it."
        )
    warned = sum(
        not verdict.required and verdict.outcome is not Outcome.PASS
        for verdict in certificate.decision.verdicts
    )
    if warned:
        count = words.counted(warned, "gate that does not block", "gates that do not block")
        yield f"{count} did not pass; the decision takes no notice."


def _unproven(certificate: Certificate) -> tuple[int, int]:
    """Count criteria on exact counts, and criteria that only raise alarms."""
    exact = alarms = 0
    for run in certificate.runs:
        if run.evidence is not None:
            for criterion in run.evidence.criteria:
                alarms += criterion.burden is Burden.VIOLATION
                exact += _is_exact(criterion, run.evidence)
    return exact, alarms


def _is_exact(criterion: Criterion, evidence: Evidence) -> bool:
    levels = [
        m.confidence_level
        for m in evidence.measurements
        if m.metric == criterion.metric and m.group == criterion.group
    ]
    return bool(levels) and min(levels) >= 1
