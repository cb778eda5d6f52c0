"""Evidence of a running test -> recorded, judged, and told to the test where it stands."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypedDict

import pytest

from pytest_prodml.certificate.text import label_problem
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import ConfigurationError, InputError, MalformedError
from pytest_prodml.plugin.context import Context, context_of
from pytest_prodml.plugin.gates import GATE, gate_of, seed_of
from pytest_prodml.plugin.markers import MARKERS, ProdmlGateWarning
from pytest_prodml.plugin.recorder import PENDING, WAIVED
from pytest_prodml.policy.criterion import Judgement
from pytest_prodml.policy.decide import is_required
from pytest_prodml.policy.judge import is_about_all_rows, judge, rule_of
from pytest_prodml.records import Evidence, Gate, GateRun, Limit, Outcome, RunState, Severity, Subject


class Tail(TypedDict):
    """The keywords that every check takes from its gate."""

    gate_id: str
    confidence_level: float
    seed: int


class GateSession:
    """The recorder of the gate that a test is: what the `prodml` fixture returns."""

    def __init__(self, item: pytest.Item, gate: Gate, context: Context) -> None:
        self._item = item
        self._gate = gate
        self._context = context

    @property
    def gate_id(self) -> str:
        """The id of this gate, for evidence of your own."""
        return self._gate.id

    @property
    def confidence_level(self) -> float:
        """The one-sided level at which bounds are to be computed."""
        return self._context.confidence_level

    @property
    def seed(self) -> int:
        """The seed of this gate: fixed by the configured seed and the gate's id."""
        return seed_of(self._gate.id, self._context.settings.seed)

    @property
    def tail(self) -> Tail:
        """The three of them, as the keywords that check functions take."""
        return Tail(gate_id=self.gate_id, confidence_level=self.confidence_level, seed=self.seed)

    def record(self, evidence: Evidence) -> Evidence:
        """Record evidence and judge it.

        Parameters
        ----------
        evidence : Evidence
            What was measured and the criteria it has to meet; its `gate_id` is `prodml.gate_id`.

        Returns
        -------
        Evidence
            As it was recorded.

        Raises
        ------
        InputError
            If the evidence is of another gate, or holds what a certificate can not hold (NaN, objects).
        Failed
            If a required gate does not pass by it.
        """
        __tracebackhide__ = True
        return self.settle(lambda: evidence)

    def settle(
        self,
        check: Callable[[], Evidence],
        *,
        subjects: Iterable[Subject | None] = (),
        materials: Iterable[Subject | None] = (),
    ) -> Evidence:
        """Run a check, record its evidence, and fail, warn or go on as its verdict asks."""
        __tracebackhide__ = True
        evidence = self._keep(check, subjects, materials)
        self._tell(self._judge(evidence))
        return evidence

    def note(
        self,
        check: Callable[[], Evidence],
        *,
        subjects: Iterable[Subject | None] = (),
        materials: Iterable[Subject | None] = (),
    ) -> Evidence:
        """Run a check that explains and judges nothing: record its evidence and go on.

        A gate that holds nothing else has no criterion to meet, so it ends inconclusive.

        Raises
        ------
        InputError
            If the evidence has criteria, which would have to be judged.
        """
        __tracebackhide__ = True

        def explanation() -> Evidence:
            found = check()
            if isinstance(found, Evidence) and found.criteria:
                raise InputError(
                    "an explanation has no criteria", where=self.gate_id, hint="record it with prodml.record"
                )
            return found

        return self._keep(explanation, subjects, materials)

    def section(self, title: str, text: str) -> None:
        """Add text to what pytest shows of the test if it fails."""
        self._item.add_report_section("call", title, text)

    def _keep(
        self,
        check: Callable[[], Evidence],
        subjects: Iterable[Subject | None],
        materials: Iterable[Subject | None],
    ) -> Evidence:
        __tracebackhide__ = True
        started_at, start = datetime.now(UTC), time.perf_counter()
        evidence = check()
        if not isinstance(evidence, Evidence):
            raise InputError(
                f"expected Evidence, got {type(evidence).__name__}",
                where=self.gate_id,
                hint="build pytest_prodml.records.Evidence from what you measured",
            )
        evidence = replace(
            evidence,
            subjects=_joined(evidence.subjects, subjects),
            materials=_joined(evidence.materials, materials),
            started_at=evidence.started_at or started_at,
            duration_seconds=evidence.duration_seconds or time.perf_counter() - start,
            seed=self.seed if evidence.seed is None else evidence.seed,
        )
        _check(evidence, self.gate_id)
        if self._context.brief is not None:
            evidence = replace(evidence, environment_digest=self._context.environment()[0])
            self._item.stash.setdefault(PENDING, []).append(evidence)
        return evidence

    def _judge(self, evidence: Evidence) -> Judgement:
        run = GateRun(
            gate_id=self.gate_id, location=self._gate.location, state=RunState.PASSED, evidence=evidence
        )
        policy = self._context.policy
        # What another call of the same test is going to measure is judged there, and all of it at the end.
        limits = [limit for limit in policy.limits if self._is_measured(limit, evidence)] if policy else []
        return judge(
            self._gate,
            run,
            confidence_level=self.confidence_level,
            limits=limits,
            rule=rule_of(policy, self.gate_id),
            standing=self._context.standing(evidence),
        )

    def _is_measured(self, limit: Limit, evidence: Evidence) -> bool:
        if limit.group is None:
            return is_about_all_rows(limit, self.gate_id, evidence)
        return any(m.metric == limit.metric and m.group == limit.group for m in evidence.measurements)

    def _tell(self, judged: Judgement) -> None:
        __tracebackhide__ = True
        if judged.outcome is Outcome.PASS:
            return
        policy = self._context.policy
        required = is_required(policy, self._gate) if policy else self._gate.severity is Severity.REQUIRED
        message = f"{self.gate_id}: {judged.outcome.value}: {judged.message}"
        if not required:
            self._item.warn(ProdmlGateWarning(message))
        elif self.gate_id in self._context.waivers:
            self._item.stash[WAIVED] = True
        else:
            pytest.fail(message, pytrace=False)


def session_of(request: pytest.FixtureRequest) -> GateSession:
    """Return the recorder of the gate that is running.

    Raises
    ------
    ConfigurationError
        If the test is no gate.
    """
    __tracebackhide__ = True
    item: pytest.Item = request.node
    gate = item.stash.get(GATE, None) or gate_of(item)
    if gate is None:
        raise ConfigurationError(
            "records evidence but is no gate",
            where=item.nodeid,
            hint=f"mark it with its dimension, one of {', '.join(MARKERS)}",
        )
    return GateSession(item, gate, context_of(request.config))


def _joined(own: tuple[Subject, ...], more: Iterable[Subject | None]) -> tuple[Subject, ...]:
    found = list(own)
    found += [subject for subject in more if subject is not None and subject not in found]
    return tuple(found)


def _check(evidence: Evidence, gate_id: str) -> None:
    """Refuse, where the test can still be blamed, what would make the whole certificate impossible."""
    __tracebackhide__ = True
    if evidence.gate_id != gate_id:
        raise InputError(
            f"the evidence is of the gate {evidence.gate_id!r}",
            where=gate_id,
            hint="build it with gate_id=prodml.gate_id",
        )
    for measured in evidence.measurements:
        if measured.value is not None and math.isnan(measured.value):
            hint = "look for empty or constant input"
            raise InputError(f"{measured.metric} is NaN", where=gate_id, hint=hint)
    try:
        canonical_json(encode(evidence))
    except MalformedError as error:
        raise InputError(str(error), where=gate_id) from None
    labels = [item.metric for item in evidence.measurements]
    labels += [item.metric for item in evidence.criteria]
    labels += [item.group for item in evidence.measurements if item.group is not None]
    labels += [item.group for item in evidence.criteria if item.group is not None]
    labels += [subject.name for subject in (*evidence.subjects, *evidence.materials)]
    for label in labels:
        if problem := label_problem(label):
            raise InputError(f"the name {label!a} {problem}", where=gate_id)
