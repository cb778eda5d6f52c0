"""Several runs as one: what is added up, what is refused, and in which words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import ENVIRONMENT, GATES, RUN, Desk, policy
from fragment_factory import DIGEST, SHARES, Shards
from pytest_prodml.certificate.statement import PRODUCER
from pytest_prodml.codec import format_time
from pytest_prodml.policy.load import policy_digest
from pytest_prodml.records import (
    ContinuousIntegration,
    GateRun,
    Look,
    Producer,
    Provenance,
    RunState,
    Severity,
    Subject,
)
from pytest_prodml.verify.fragment import LoggedRun, MergeReason, MergeRefusedError, read_run_log
from pytest_prodml.verify.merging import MergedRun, merge_runs

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BEGAN = NOW - timedelta(minutes=5)
GITHUB = ContinuousIntegration(provider="github-actions", project="org/credit", run="7", job="a")


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    return Shards(Desk(tmp_path), started_at=BEGAN)


def read(shards: Shards, *paths: Path) -> list[LoggedRun]:
    key = shards.desk.key().public_key
    return [
        read_run_log(path.read_bytes(), where=f"log {index}", keys=[key], allow_unsigned=True)
        for index, path in enumerate(paths, start=1)
    ]


def both(
    shards: Shards, first: dict[str, Any] | None = None, second: dict[str, Any] | None = None
) -> list[LoggedRun]:
    return read(shards, shards.write("1/2", **(first or {})), shards.write("2/2", **(second or {})))


def merge(shards: Shards, logged: Sequence[LoggedRun], **changes: Any) -> MergedRun:
    arguments: dict[str, Any] = {
        "run_id": "merged",
        "policy": policy(),
        "subject": shards.desk.subject(),
        "now": NOW,
    }
    return merge_runs(logged, **{**arguments, **changes})


def refused(shards: Shards, logged: Sequence[LoggedRun], **changes: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(MergeRefusedError) as caught:
        merge(shards, logged, **changes)
    return [(reason.code, reason.path, reason.message) for reason in caught.value.reasons]


def test_what_two_shards_become(shards: Shards) -> None:
    logged = both(
        shards,
        {"head": {"target": "gpu", "started_at": BEGAN - timedelta(hours=1)}},
        {"head": {"target": "gpu"}, "summary": {"exit_status": 1, "workers": 2}},
    )
    found = merge(shards, logged)
    assert (found.model_name, found.model_version) == ("credit-default", "2.0")
    assert found.subject == shards.desk.subject()
    assert found.gates == tuple(sorted(GATES, key=lambda gate: gate.id))
    assert [(run.gate_id, run.worker) for run in found.runs] == [
        ("fairness.age", "2/2"),
        ("performance.auc", "1/2"),
        ("pipeline.parity", "2/2"),
    ]
    assert found.environments == {DIGEST: ENVIRONMENT}
    assert found.started_at == BEGAN - timedelta(hours=1)
    summary = found.summary
    assert (summary.id, summary.arguments, summary.exit_status, summary.workers) == ("merged", (), 1, 2)
    assert summary.inventory_complete
    assert (summary.target, summary.look) == ("gpu", None)
    assert summary.plugins == {"pytest-prodml": "0.1.0"}
    one, two = summary.fragments or ()
    assert (one.name, one.run_id, one.digest) == ("1/2", f"{1:032x}", {"sha256": logged[0].digest})
    assert (one.started_at, two.started_at) == (BEGAN - timedelta(hours=1), BEGAN)
    assert (one.ended, one.signed_by) == (True, (shards.desk.key().keyid,))
    assert (one.arguments, one.exit_status, one.workers) == (("--prodml",), 0, 0)
    assert (two.exit_status, two.workers, two.target) == (1, 2, "gpu")
    assert one.environments == (DIGEST,)
    assert one.states == {"deselected": 2, "passed": 1}
    assert two.states == {"deselected": 1, "passed": 2}
    assert (one.selection_digest, one.automation) == (None, None)


def test_the_subject_has_the_name_of_the_runs(shards: Shards) -> None:
    renamed = replace(shards.desk.subject(), name="copy.onnx", annotations={"method": "x"})
    found = merge(shards, both(shards), subject=renamed).subject
    assert (found.name, found.annotations) == ("model.onnx", {"method": "x"})


def test_an_interrupted_run_among_others(shards: Shards) -> None:
    logged = both(shards, None, {"ended": False, "runs": shards.runs("fairness.age")})
    summary = merge(shards, logged).summary
    _, two = summary.fragments or ()
    assert (two.ended, two.exit_status, two.workers, two.signed_by) == (False, None, 0, ())
    assert summary.exit_status == 2
    assert summary.inventory_complete
    provenance = summary.provenance
    assert provenance is not None
    assert (provenance.revision, provenance.is_dirty) == ("a" * 40, None)
    assert provenance.problem == "the run was interrupted"
    without = [logged[0], replace(logged[1], inventory=None)]
    assert not merge(shards, without).summary.inventory_complete
    told = merge(shards, both(shards, {"ended": False})).summary.provenance
    assert told is not None
    assert told.revision == "a" * 40
    incomplete = both(shards, {"summary": {"inventory_complete": False}})
    assert not merge(shards, incomplete).summary.inventory_complete


def test_names_of_runs(shards: Shards) -> None:
    logs = [shards.write(name, runs=shards.runs("pipeline.parity")) for name in ("a", None, "b", "a", None)]
    found = merge(shards, read(shards, *logs)).summary.fragments or ()
    assert [item.name for item in found] == ["a 00000000", "00000000", "b", "a 00000000", "00000000"]


def gate_run(shards: Shards, state: RunState, **changes: Any) -> GateRun:
    [run] = shards.runs("performance.auc")
    return replace(run, **{"state": state, "evidence": None, **changes})


def kept(shards: Shards, *runs: GateRun) -> list[tuple[str, str]]:
    logs = [shards.write(str(number), runs=[run]) for number, run in enumerate(runs)]
    found = merge(shards, read(shards, *logs)).runs
    return [(run.worker, run.state.value) for run in found if run.gate_id == "performance.auc"]


def test_a_run_that_says_nothing_gives_way_to_one_that_does(shards: Shards) -> None:
    passed = shards.runs("performance.auc")[0]
    silent = [
        gate_run(shards, RunState.DESELECTED),
        gate_run(shards, RunState.SKIPPED, reason="no GPU"),
        gate_run(shards, RunState.NOT_RUN),
    ]
    for left_out in silent:
        assert kept(shards, left_out, passed) == [("1", "passed")]
        assert kept(shards, passed, left_out) == [("0", "passed")]
    telling = [
        gate_run(shards, RunState.SKIPPED, evidence=passed.evidence),
        gate_run(shards, RunState.NOT_RUN, evidence=passed.evidence),
        gate_run(shards, RunState.NOT_RUN, reason="the test did not run to its end"),
        *(
            gate_run(shards, state)
            for state in RunState
            if state not in {RunState.SKIPPED, RunState.NOT_RUN, RunState.DESELECTED}
        ),
    ]
    assert len(telling) == 10
    for run in telling:
        assert kept(shards, passed, run) == [("0", "passed"), ("1", run.state.value)]


def test_where_nobody_ran_it_the_skip_is_told(shards: Shards) -> None:
    deselected, skipped = gate_run(shards, RunState.DESELECTED), gate_run(shards, RunState.SKIPPED)
    assert kept(shards, deselected, skipped, skipped) == [("1", "skipped")]
    assert kept(shards, deselected, gate_run(shards, RunState.NOT_RUN)) == [("0", "deselected")]


def test_workers_keep_their_names(shards: Shards) -> None:
    [run] = shards.runs("performance.auc")
    assert kept(shards, replace(run, worker="gw1"), run) == [("0:gw1", "passed"), ("1", "passed")]


COUNTS: list[tuple[list[dict[str, int] | None], dict[str, int]]] = [
    ([{"passed": 12}, {"passed": 12}], {"passed": 24}),
    ([{"passed": 5, "deselected": 7}, {"passed": 7, "deselected": 5}], {"passed": 12}),
    (
        [{"passed": 5, "deselected": 7}, {"failed": 2, "deselected": 10}],
        {"failed": 2, "not_run": 5, "passed": 5},
    ),
    ([{"passed": 5, "not_run": 7}, {"skipped": 7}], {"passed": 5, "skipped": 7}),
    ([{"passed": 14}, {"deselected": 14}], {"passed": 14}),
    ([{"passed": 4, "deselected": 10}, {"passed": 4, "deselected": 10}], {"not_run": 6, "passed": 8}),
    ([{"passed": 4, "deselected": 20}, {"passed": 4, "deselected": 10}], {"not_run": 16, "passed": 8}),
    ([None, {"passed": 2, "deselected": 10}], {"not_run": 10, "passed": 2}),
    ([{}, {}], {"not_run": 12}),
]


@pytest.mark.parametrize(("told", "together"), COUNTS)
def test_ordinary_tests_are_added_up(
    shards: Shards, told: list[dict[str, int] | None], together: dict[str, int]
) -> None:
    logs = [
        shards.write(
            str(number), **({"ended": False} if counts is None else {"summary": {"ordinary_tests": counts}})
        )
        for number, counts in enumerate(told)
    ]
    found = merge(shards, read(shards, *logs)).summary.ordinary_tests
    assert found == together
    assert list(found) == sorted(found)


def test_an_inventory_that_did_not_arrive_counts_none(shards: Shards) -> None:
    logged = both(shards, {"summary": {"ordinary_tests": {}}}, {"summary": {"ordinary_tests": {}}})
    bare = [replace(run, inventory=None) for run in logged]
    assert merge(shards, bare).summary.ordinary_tests == {}


def test_versions_of_plugins(shards: Shards) -> None:
    plugins = [{"xdist": "3.8", "b": "1"}, {"xdist": "3.9", "a": "2"}]
    logged = both(shards, {"summary": {"plugins": plugins[0]}}, {"summary": {"plugins": plugins[1]}})
    found = merge(shards, logged).summary.plugins
    assert found == {"a": "2", "b": "1", "xdist": "3.8, 3.9"}
    assert list(found) == ["a", "b", "xdist"]


def provenance(**changes: Any) -> dict[str, Any]:
    return {"provenance": Provenance(**{"revision": "a" * 40, "is_dirty": False, **changes})}


def together(shards: Shards, first: dict[str, Any], second: dict[str, Any]) -> Provenance:
    found = merge(shards, both(shards, {"summary": first}, {"summary": second})).summary.provenance
    assert found is not None
    return found


def test_provenance_is_what_all_say(shards: Shards) -> None:
    file = [Subject(name=name, digest={"sha256": "1" * 64}) for name in ("b.py", "a.py", "c.py")]
    found = together(
        shards,
        provenance(repository="https://x/y", problem="p", files=(file[0], file[2]), selection_digest="1"),
        provenance(repository="https://x/y", problem="p", files=(file[1], file[2]), selection_digest="2"),
    )
    assert found == Provenance(
        revision="a" * 40,
        is_dirty=False,
        repository="https://x/y",
        problem="p",
        files=(file[1], file[0], file[2]),
    )
    found = together(shards, provenance(repository="https://x/y"), provenance(problem="q"))
    assert (found.repository, found.problem) == (None, "q")
    found = together(shards, provenance(repository="https://x/y"), provenance(repository="https://x/z"))
    assert found.repository is None
    assert together(shards, provenance(problem="p"), provenance(problem="q")).problem == "p; q"
    assert together(shards, provenance(), provenance()).problem is None


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        (False, False, False),
        (False, True, True),
        (True, None, True),
        (None, True, True),
        (False, None, None),
        (None, None, None),
    ],
)
def test_one_dirty_tree_is_enough(
    shards: Shards, first: bool | None, second: bool | None, merged: bool | None
) -> None:
    assert together(shards, provenance(is_dirty=first), provenance(is_dirty=second)).is_dirty is merged


def test_automation_is_where_all_agree(shards: Shards) -> None:
    other = replace(GITHUB, job="b")
    found = together(shards, provenance(automation=GITHUB), provenance(automation=other))
    assert found.automation == replace(GITHUB, job=None)
    [alone] = read(shards, shards.write(None, summary=provenance(automation=GITHUB)))
    assert merge(shards, [alone]).summary.provenance == replace(provenance()["provenance"], automation=GITHUB)
    for differing in (None, replace(GITHUB, project="fork"), replace(GITHUB, provider="gitlab-ci")):
        for pair in ((GITHUB, differing), (differing, GITHUB)):
            assert together(shards, *(provenance(automation=item) for item in pair)).automation is None
    assert together(shards, provenance(), provenance()).automation is None
    logged = both(shards, {"summary": provenance(automation=GITHUB, selection_digest="5")})
    one, two = merge(shards, logged).summary.fragments or ()
    assert (one.automation, one.selection_digest) == (GITHUB, "5")
    assert (two.automation, two.selection_digest) == (None, None)


def test_targets_that_differ_are_none(shards: Shards) -> None:
    logged = both(shards, {"head": {"target": "a"}, "summary": {"target": "a"}})
    assert merge(shards, logged).summary.target is None


def test_looks_must_be_one(shards: Shards) -> None:
    look = Look(number=2, planned=3, spending="pocock", confidence_level=0.98, test_digest="d" * 64)
    same = both(shards, {"head": {"look": look}}, {"head": {"look": look}})
    assert merge(shards, same).summary.look == look
    one = both(shards, {"head": {"look": look}})
    assert refused(shards, one) == [
        ("fragment-look", "log 2", "is the look at the test set unknown, and log 1 2 of 3")
    ]


def test_each_run_is_compared_with_what_is_given(shards: Shards) -> None:
    digest = shards.desk.subject().digest["sha256"]
    other = Subject(name="model.onnx", digest={"sha256": "0" * 64})
    assert refused(shards, both(shards, None, {"head": {"subjects": (other,)}})) == [
        (
            "fragment-subject",
            "log 2",
            f"is about the model model.onnx (sha256 {'0' * 64}); the one given here is sha256 {digest}",
        )
    ]
    required = policy_digest(policy())
    assert refused(shards, both(shards, None, {"head": {"policy_digest": "0" * 64}})) == [
        (
            "fragment-policy",
            "log 2",
            f"was made under the policy {'0' * 64}; credit-production 1, given here, is {required}",
        )
    ]
    old = Producer(name="pytest-prodml", version="0.1.0")
    assert refused(shards, both(shards, None, {"head": {"producer": old}})) == [
        (
            "fragment-version",
            "log 2",
            f"was made by pytest-prodml 0.1.0, and this is pytest-prodml {PRODUCER.version}",
        )
    ]
    moved = provenance(revision="b" * 40)
    assert refused(shards, both(shards, None, {"summary": moved})) == [
        ("fragment-revision", "log 2", f"began at the revision {'a' * 40} and ended at {'b' * 40}")
    ]
    # What a run did not tell at its end is taken from its beginning.
    told = {"summary": provenance(revision=None)}
    assert merge(
        shards, both(shards, told, {"summary": {"provenance": None}})
    ).summary.provenance == Provenance(problem="not recorded")


def test_the_clock(shards: Shards) -> None:
    def at(began: datetime) -> list[LoggedRun]:
        return both(shards, None, {"head": {"started_at": began}})

    skew, validity = timedelta(seconds=300), timedelta(days=90)
    second = timedelta(seconds=1)
    assert merge(shards, at(NOW + skew)).started_at == BEGAN
    late = NOW + skew + second
    assert refused(shards, at(late)) == [
        ("fragment-time", "log 2", f"began at {format_time(late)}; it is {format_time(NOW)} here")
    ]
    assert merge(shards, at(NOW - validity + second)).started_at == NOW - validity + second
    assert refused(shards, at(NOW - validity)) == [
        (
            "fragment-time",
            "log 2",
            f"began at {format_time(NOW - validity)}, longer ago than the 90 days that its evidence is valid",
        )
    ]


DIFFERENCES: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "name": (
        {"model_name": "b"},
        ("fragment-configuration", "names the model b, and log 1 credit-default"),
    ),
    "version": (
        {"model_version": "3"},
        ("fragment-configuration", "gives the model the version 3, and log 1 2.0"),
    ),
    "configuration": (
        {"configuration_digest": "d" * 64},
        ("fragment-configuration", f"has the configuration {'d' * 64}, and log 1 {'c' * 64}"),
    ),
    "revision": (
        {"revision": None},
        ("fragment-revision", f"is of the revision unknown, and log 1 {'a' * 40}"),
    ),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_runs_are_compared_with_the_first(shards: Shards, name: str) -> None:
    head, (code, message) = DIFFERENCES[name]
    logs = [shards.write(str(number), head=changes) for number, changes in enumerate([{}, {}, head])]
    assert refused(shards, read(shards, *logs)) == [(code, "log 3", message)]


def test_one_model_has_one_name(shards: Shards) -> None:
    other = replace(shards.desk.subject(), name="other.onnx")
    assert refused(shards, both(shards, None, {"head": {"subjects": (other,)}})) == [
        ("fragment-subject", "log 2", "calls the model other.onnx, and log 1 model.onnx")
    ]


def test_a_run_counts_once(shards: Shards) -> None:
    logged = both(shards)
    again = replace(logged[0], where="log 3")
    assert refused(shards, [*logged, again]) == [
        ("fragment-twice", "log 3", f"is the run {1:032x}, as log 1 is; a run counts once")
    ]


def test_gates_are_defined_once(shards: Shards) -> None:
    changed = (replace(GATES[0], severity=Severity.WARN, rubric="r"), *GATES[1:])
    assert refused(shards, both(shards, {"gates": changed})) == [
        (
            "fragment-gate",
            "performance.auc",
            "log 2 defines performance.auc differently than log 1: severity, rubric",
        )
    ]
    # One that only one of them knows is no contradiction, and one run's own is for the decision to refuse.
    assert len(merge(shards, both(shards, {"gates": GATES[:1]})).gates) == 3
    [first, second] = both(shards)
    assert (
        len(
            merge(shards, [replace(first, gates=(*first.gates, changed[0])), replace(second, gates=())]).gates
        )
        == 4
    )


def test_test_code_and_data_are_one(shards: Shards) -> None:
    def code(digit: str, name: str = "tests/conftest.py") -> dict[str, Any]:
        return {"summary": provenance(files=(Subject(name=name, digest={"sha256": digit * 64}),))}

    assert refused(shards, both(shards, code("1"), code("2"))) == [
        ("fragment-revision", "log 2", "the test code tests/conftest.py is another one than in log 1")
    ]
    assert merge(shards, both(shards, code("1"), code("1")))
    assert merge(shards, both(shards, code("1"), code("2", "tests/b/conftest.py")))


def on_data(shards: Shards, gate: str, *digits: str) -> GateRun:
    [run] = shards.runs(gate)
    assert run.evidence is not None
    materials = tuple(Subject(name="test.csv", digest={"sha256": digit * 64}) for digit in digits)
    return replace(run, evidence=replace(run.evidence, materials=materials))


def test_data_of_one_name_are_one(shards: Shards) -> None:
    def logs(first: Sequence[str], *second: Sequence[str]) -> list[LoggedRun]:
        gates = ("fairness.age", "performance.auc")
        runs = [on_data(shards, gate, *digits) for gate, digits in zip(gates, second, strict=False)]
        return both(shards, {"runs": [on_data(shards, "performance.auc", *first)]}, {"runs": runs})

    reason = ("fragment-data", "log 2", "the data test.csv is another one than in log 1")
    assert refused(shards, logs("1", "2")) == [reason]
    assert refused(shards, logs("1", "2", "2")) == [reason]
    assert merge(shards, logs("1", "1"))
    # A name that stands for several contents in one run is no name of one data set.
    assert merge(shards, logs("1", "23"))
    assert merge(shards, logs("12", "3"))
    assert merge(shards, logs("1", "2", "3"))


def test_shards_expect_each_other(shards: Shards) -> None:
    def logs(*names: str | None) -> list[LoggedRun]:
        return read(shards, *(shards.write(name, runs=shards.runs("pipeline.parity")) for name in names))

    assert merge(shards, logs("1/2", "2/2"))
    assert merge(shards, logs("2/2", "1/2", None, "gpu", "1/2"))
    assert merge(shards, logs("1/1"))
    assert refused(shards, logs("1/2")) == [
        ("fragment-missing", "log 1", "is one of 2 shards; runs given: 1")
    ]
    assert refused(shards, logs(None, "gpu", "1/2")) == [
        ("fragment-missing", "log 3", "the shard 2/2 was not given")
    ]
    assert refused(shards, logs("2/3", "3/3", "3/3")) == [
        ("fragment-missing", "log 1", "the shard 1/3 was not given")
    ]
    assert refused(shards, logs("1/2", "2/2", "3/2")) == [
        ("fragment-missing", "log 3", "calls itself the shard 3/2")
    ]
    assert refused(shards, logs("cpu"), expected=["cpu", "gpu", "1/2"]) == [
        ("fragment-missing", "--expect", "the shard gpu was not given"),
        ("fragment-missing", "--expect", "the shard 1/2 was not given"),
    ]
    assert merge(shards, logs("cpu", "gpu"), expected=["cpu", "gpu", "cpu"])
    # Nothing but a number of a number is one: 0/2, 1/02, 01/2 and 1/2a are names.
    assert merge(shards, logs("0/2", "1/02", "01/2", "1/2a", "1 /2"))


def test_every_reason_is_told_at_once(shards: Shards) -> None:
    head = {"revision": "b" * 40, "configuration_digest": "0" * 64, "policy_digest": "0" * 64, "shard": "3/3"}
    found = refused(shards, both(shards, None, {"head": head}))
    assert [(code, path) for code, path, _ in found] == [
        ("fragment-policy", "log 2"),
        ("fragment-configuration", "log 2"),
        ("fragment-revision", "log 2"),
        ("fragment-missing", "log 2"),
        ("fragment-missing", "log 1"),
    ]


def test_a_reason_says_where_it_is_from(shards: Shards) -> None:
    with pytest.raises(
        MergeRefusedError, match="^fragment-missing: is one of 2 shards; runs given: 1$"
    ) as caught:
        merge(shards, read(shards, shards.write("1/2")))
    assert caught.value.reasons == (
        MergeReason(code="fragment-missing", message="is one of 2 shards; runs given: 1", path="log 1"),
    )


def test_shares() -> None:
    assert sum(map(len, SHARES.values())) == len(GATES)
    assert RUN.ordinary_tests == {"passed": 12}
