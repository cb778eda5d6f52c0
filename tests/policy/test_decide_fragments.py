"""What the decision asks of runs that were merged: that each ended, where each ran, and by what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from certificate_factory import ENVIRONMENT, GATES, NOW, RUN, gate_runs, policy
from pytest_prodml.policy.decide import decide
from pytest_prodml.records import (
    ContinuousIntegration,
    Decision,
    Fragment,
    HardwareTarget,
    Policy,
    Provenance,
    Readiness,
    RunSummary,
    Subject,
)

MODEL = Subject(name="model.onnx", digest={"sha256": "a" * 64})
GITHUB = ContinuousIntegration(provider="github-actions", project="org/credit")
GITLAB = ContinuousIntegration(provider="gitlab-ci", project="org/credit")


def fragment(
    name: str,
    *,
    ended: bool = True,
    target: str | None = None,
    automation: ContinuousIntegration | None = None,
) -> Fragment:
    return Fragment(
        name=name,
        digest={"sha256": "b" * 64},
        run_id=f"run of {name}",
        started_at=NOW,
        ended=ended,
        target=target,
        automation=automation,
    )


def decided(run: RunSummary, required: Policy | None = None, worker: str = "") -> Decision:
    return decide(
        required or policy(),
        GATES,
        [replace(item, worker=worker) for item in gate_runs([MODEL])],
        run,
        subjects=[MODEL],
        environments={"e" * 64: ENVIRONMENT},
        now=NOW,
    )


def merged(*fragments: Fragment, **changes: object) -> RunSummary:
    return replace(RUN, fragments=fragments, **changes)  # type: ignore[arg-type]


def test_runs_that_ended_are_no_obstacle() -> None:
    assert decided(merged(fragment("1/2"), fragment("2/2"))).outcome is Readiness.READY


def test_an_interrupted_run_blocks_whatever_the_others_did() -> None:
    found = decided(merged(fragment("1/2"), fragment("2/2", ended=False)))
    assert found.outcome is Readiness.NOT_READY
    assert found.reasons == ("the run of the fragment 2/2 was interrupted: what it left undone is unknown",)


TARGETS: list[tuple[Sequence[str | None], list[str]]] = [
    (["gpu", "gpu"], []),
    (["gpu", "cpu"], []),
    (["gpu", "laptop"], ["the tests ran on 'laptop', and the policy asks for gpu or cpu"]),
    (
        [None, "gpu"],
        ["the tests ran on a machine without a declared target, and the policy asks for gpu or cpu"],
    ),
    (["laptop", "laptop"], ["the tests ran on 'laptop', and the policy asks for gpu or cpu"]),
]


@pytest.mark.parametrize(("targets", "reasons"), TARGETS)
def test_every_machine_must_be_a_required_target(targets: Sequence[str | None], reasons: list[str]) -> None:
    described = {name: HardwareTarget(machine="x86_64") for name in ("gpu", "cpu")}
    required = replace(policy(), required_targets=("gpu", "cpu"), targets=described)
    # What the merged run says of itself counts for nothing beside its fragments.
    run = merged(*(fragment(str(i), target=target) for i, target in enumerate(targets)), target="gpu")
    assert list(decided(run, required, worker="0").reasons) == reasons


def test_every_run_must_be_of_a_required_automation() -> None:
    required = replace(policy(), required_automation=("github-actions:org/*", "gitlab-ci:org/*"))
    vouched = Provenance(revision="c" * 40, is_dirty=False, automation=GITHUB)
    both = [fragment("a", automation=GITHUB), fragment("b", automation=GITLAB)]
    assert decided(merged(*both), required).outcome is Readiness.READY
    outside = merged(fragment("a", automation=GITHUB), fragment("b"), provenance=vouched)
    assert decided(outside, required).reasons == (
        "the tests ran outside of any automation, and the policy asks for github-actions:org/* or gitlab-ci:org/*",
    )
    fork = fragment("b", automation=replace(GITHUB, project="fork/credit"))
    [reason] = decided(merged(fragment("a", automation=GITHUB), fork, provenance=vouched), required).reasons
    assert "in 'github-actions:fork/credit'" in reason


def test_no_fragments_is_one_run() -> None:
    described = {"gpu": HardwareTarget(machine="x86_64")}
    required = replace(policy(), required_targets=("gpu",), targets=described)
    for fragments in (None, ()):
        assert decided(replace(RUN, target="gpu", fragments=fragments), required).outcome is Readiness.READY
        assert decided(replace(RUN, fragments=fragments), required).outcome is Readiness.NOT_READY
