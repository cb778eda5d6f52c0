from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import Desk
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import (
    Certificate,
    Dimension,
    Evidence,
    GateRun,
    Limit,
    Measurement,
    Outcome,
    Readiness,
    RunState,
)
from pytest_prodml.render.html import render_html
from pytest_prodml.render.markdown import render_markdown
from pytest_prodml.render.model import GateView, Status, View
from pytest_prodml.render.view import MOST_FULL_GATES
from render.reading import strings
from render.samples import POLICY, at_least, at_most, certificate, gate, measured, run_of, view_of


def gates_of(view: View) -> dict[str, GateView]:
    return {gate.id: gate for group in view.groups for gate in (*group.gates, *group.rows)}


def with_evidence(made: Certificate, gate_id: str, change: Callable[[Evidence], Evidence]) -> Certificate:
    def changed(run: GateRun) -> GateRun:
        if run.gate_id != gate_id or run.evidence is None:
            return run
        return dataclasses.replace(run, evidence=change(run.evidence))

    return dataclasses.replace(made, runs=tuple(map(changed, made.runs)))


def test_gates_are_grouped_by_what_they_mean_worst_first() -> None:
    view = view_of(certificate(1))
    assert [(group.status, [gate.id for gate in group.gates]) for group in view.groups] == [
        (Status.FAILED, ["data.schema", "fairness.age", "behavior.monotone"]),
        (Status.INCONCLUSIVE, ["fairness.elderly"]),
        (Status.NOT_RUN, ["pipeline.rollback"]),
        (Status.WARNED, ["performance.recall"]),
        (
            Status.PASSED,
            [
                "performance.accuracy",
                "performance.auc",
                "behavior.sex",
                "latency.p99",
                "pipeline.etl",
                "pipeline.parity",
            ],
        ),
    ]
    assert view.verdict.sentence == (
        "6 of 12 gates passed, 3 failed, 1 is inconclusive, 1 did not run and 1 warning does not block."
    )


def test_the_verdict_is_the_signed_one_in_words() -> None:
    for made, kind, word in (
        (certificate(1), "not-ready", "NOT READY"),
        (certificate(2, waived=True), "waived", "READY WITH WAIVERS"),
        (
            certificate(2, policy=dataclasses.replace(POLICY, required_gates=("performance.auc",))),
            "ready",
            "READY",
        ),
    ):
        view = view_of(made)
        assert (view.verdict.kind, view.verdict.word) == (kind, word)
        assert view.title.startswith(f"{word}: credit-default")


def test_fix_first_lists_every_gate_that_blocks_with_bound_limit_and_way_out() -> None:
    view = view_of(certificate(1))
    told = {fix.gate_id: fix for fix in view.fixes}
    assert list(told) == [
        "data.schema",
        "fairness.age",
        "behavior.monotone",
        "fairness.elderly",
        "pipeline.rollback",
    ]
    assert told["data.schema"].found == "rows failing [education: isin] is 345 rows; needs ≤\u00a00 rows"
    assert told["fairness.age"].found == (
        "selection rate difference is 0.1520, at least 0.1310 at 95%; needs ≤\u00a00.1"
    )
    assert told["fairness.elderly"].step == (
        "Undecided: 55 rows in the smallest group. "
        "About 1,186 more rows would decide (1,241 in all), if the true value is the observed one."
    )
    assert told["pipeline.rollback"].word == "Skipped"
    assert told["fairness.age"].command == ("pytest", "tests/test_fairness.py::test_age", "--prodml")


def test_tiles_show_the_worst_gate_and_of_passed_gates_the_tightest() -> None:
    tiles = {tile.title: tile for tile in view_of(certificate(1)).tiles}
    assert [tiles[name.capitalize()].word for name in Dimension] == [
        "Failed",
        "Warning",
        "Failed",
        "Failed",
        "Passed",
        "Skipped",
    ]
    assert (tiles["Fairness"].score, tiles["Fairness"].gate_id) == ("0/2", "fairness.age")
    assert tiles["Performance"].gate_id == "performance.recall"
    ready = {tile.title: tile for tile in view_of(certificate(2, waived=True)).tiles}
    assert (ready["Fairness"].status, ready["Fairness"].word) == (Status.WAIVED, "Waived")
    assert ready["Behavior"].gate_id == "behavior.sex"


def test_a_dimension_without_gates_says_whether_that_matters() -> None:
    bare = dataclasses.replace(certificate(1), gates=(), runs=())
    bare = dataclasses.replace(bare, decision=dataclasses.replace(bare.decision, verdicts=()))
    asked = view_of(bare)
    assert {tile.status for tile in asked.tiles} == {Status.NOT_RUN}
    unasked = view_of(dataclasses.replace(bare, policy=dataclasses.replace(POLICY, required_dimensions=())))
    assert {tile.status for tile in unasked.tiles} == {Status.ABSENT}
    assert {tile.score for tile in unasked.tiles} == {"0/0"}


def test_a_waived_gate_shows_who_why_until_and_what_the_measurement_said() -> None:
    view = view_of(certificate(2, waived=True))
    [waiver] = view.waivers
    assert waiver.in_force
    assert (waiver.gate_id, waiver.approver) == ("fairness.age", "Dana Whitfield, head of credit risk")
    assert (waiver.until, waiver.reference) == ("2027-01-19T09:30:00Z", "RISK-2231")
    gate = gates_of(view)["fairness.age"]
    assert (gate.status, gate.result, gate.blocks) == (Status.WAIVED, Status.FAILED, False)
    assert gate.waiver == waiver
    assert view.fixes == ()
    assert "--waiver-key APPROVER_KEY" in view.verify_command


def test_a_waiver_that_the_decision_does_not_use_is_not_in_force() -> None:
    made = certificate(1)
    embedded = certificate(2, waived=True).waivers
    [waiver] = view_of(dataclasses.replace(made, waivers=embedded)).waivers
    assert not waiver.in_force


def test_a_decision_that_names_a_waiver_the_certificate_lacks_says_so() -> None:
    made = dataclasses.replace(certificate(2, waived=True), waivers=())
    gate = gates_of(view_of(made))["fairness.age"]
    assert gate.waiver is not None
    assert gate.waiver.approver == "unknown"
    assert "does not hold it" in gate.waiver.reason


def test_a_waiver_that_can_not_be_read_is_shown_as_such_and_the_rest_stays() -> None:
    view = view_of(dataclasses.replace(certificate(1), waivers=("{}", "no json")))
    assert [waiver.approver for waiver in view.waivers] == ["unknown", "unknown"]
    assert all("can not be read" in waiver.reason for waiver in view.waivers)
    assert len(gates_of(view)) == 12


def test_the_command_to_check_names_every_artifact_as_a_path() -> None:
    made = certificate(1)

    def command(*names: str) -> str:
        subjects = tuple(dataclasses.replace(made.subjects[0], name=name) for name in names)
        return " ".join(view_of(dataclasses.replace(made, subjects=subjects)).verify_command)

    assert command("a.onnx", "my tokenizer") == (
        "prodml verify certificate.json --key PUBLIC_KEY --model a.onnx --model 'my tokenizer' --policy POLICY"
    )
    assert "--model ./--key=x" in command("--key=x")
    assert "--model ./a=b" in command("a=b")


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (RunState.SKIPPED, "Skipped"),
        (RunState.ERRORED, "Error"),
        (RunState.CRASHED, "Crashed"),
        (RunState.TIMED_OUT, "Timed out"),
        (RunState.DESELECTED, "Deselected"),
        (RunState.NOT_RUN, "Did not run"),
    ],
)
def test_a_gate_that_did_not_finish_is_told_from_one_that_is_inconclusive(state: RunState, word: str) -> None:
    made = certificate(1)
    runs = tuple(
        dataclasses.replace(run, state=state) if run.gate_id == "pipeline.rollback" else run
        for run in made.runs
    )
    gate = gates_of(view_of(dataclasses.replace(made, runs=runs)))["pipeline.rollback"]
    assert (gate.status, gate.word) == (Status.NOT_RUN, word)


def test_a_required_gate_that_nobody_wrote_is_listed() -> None:
    view = view_of(certificate(2))
    gate = gates_of(view)["fairness.*"]
    assert (gate.word, gate.blocks, gate.command) == ("Not collected", True, ())
    assert "Write a test with this gate id" in gate.step


def test_a_gate_without_a_verdict_is_never_shown_as_passed() -> None:
    made = certificate(2, waived=True)
    verdicts = tuple(v for v in made.decision.verdicts if v.gate_id != "performance.auc")
    view = view_of(dataclasses.replace(made, decision=dataclasses.replace(made.decision, verdicts=verdicts)))
    gate = gates_of(view)["performance.auc"]
    assert (gate.status, gate.blocks) == (Status.INCONCLUSIVE, True)


def test_of_two_verdicts_on_one_gate_the_worse_is_shown() -> None:
    made = certificate(2, waived=True)
    for first, second in ((Outcome.PASS, Outcome.FAIL), (Outcome.FAIL, Outcome.PASS)):
        [auc] = [v for v in made.decision.verdicts if v.gate_id == "performance.auc"]
        others = [v for v in made.decision.verdicts if v is not auc]
        twice = (dataclasses.replace(auc, outcome=first), dataclasses.replace(auc, outcome=second))
        decision = dataclasses.replace(made.decision, verdicts=(*others, *twice))
        assert gates_of(view_of(dataclasses.replace(made, decision=decision)))["performance.auc"].blocks


def test_each_criterion_comes_out_as_the_judge_says_and_names_who_set_it() -> None:
    made = certificate(1)
    gate = gates_of(view_of(made))["performance.auc"]
    [run] = [run for run in made.runs if run.gate_id == "performance.auc"]
    assert run.evidence is not None
    judged = judge_criteria("performance.auc", run.evidence, confidence_level=0.95, limits=POLICY.limits)
    assert [criterion.message for criterion in gate.criteria] == [item.judgement.message for item in judged]
    assert [criterion.source for criterion in gate.criteria] == ["test", "policy"]
    assert [criterion.formula for criterion in gate.criteria] == [
        "lower 95%(roc_auc) ≥ 0.77",
        "lower 95%(roc_auc) ≥ 0.75",
    ]
    assert gate.criteria[0].words == "ROC AUC must be proven to be at least 0.77 with 95% confidence."


def test_a_limit_of_the_policy_that_fails_is_among_the_criteria() -> None:
    limit = Limit(gate="performance.*", metric="roc_auc", comparison=at_least("x", 0).comparison, limit=0.8)
    made = certificate(1, policy=dataclasses.replace(POLICY, limits=(limit,)))
    gate = gates_of(view_of(made))["performance.auc"]
    assert [(criterion.source, criterion.status) for criterion in gate.criteria] == [
        ("policy", Status.INCONCLUSIVE),
        ("test", Status.PASSED),
    ]


def test_measurements_travel_with_bounds_level_n_method_seed_and_unit() -> None:
    gate = gates_of(view_of(certificate(1)))["performance.auc"]
    [metric] = gate.metrics
    labels = [column.label for column in metric.table.columns]
    assert dict(zip(labels, metric.table.rows[0], strict=True)) == {
        "Group": "all",
        "Value": "0.7881",
        "Lower": "0.7750",
        "Upper": "0.8012",
        "n": "6,000",
        "Limit": "≥\u00a00.77, ≥\u00a00.75",
        "Result": "Passed",
    }
    facts = {fact.label: fact.value for fact in metric.facts}
    assert facts == {
        "Metric": "roc_auc",
        "Method": "DeLong interval on the logit scale",
        "Bounds": "one-sided, each at 95% confidence",
        "Better is": "higher",
        "Seed": "7",
    }


def test_group_tables_hold_one_row_a_group_and_what_differs_becomes_a_column() -> None:
    gate = gates_of(view_of(certificate(1)))["fairness.age"]
    rates = gate.metrics[1]
    assert [row[0] for row in rates.table.rows] == [
        "age_band=21-25",
        "age_band=26-40",
        "age_band=41-60",
        "age_band=over 60",
    ]
    changed = with_evidence(
        certificate(1),
        "fairness.age",
        lambda found: dataclasses.replace(
            found,
            measurements=(
                *found.measurements[:-1],
                dataclasses.replace(found.measurements[-1], method="not enough rows", note="55 rows"),
            ),
        ),
    )
    rates = gates_of(view_of(changed))["fairness.age"].metrics[1]
    assert [column.label for column in rates.table.columns] == [
        "Group",
        "Value",
        "Lower",
        "Upper",
        "n",
        "Method",
    ]
    assert [fact.value for fact in rates.facts if fact.label == "Note on age_band=over 60"] == ["55 rows"]


def _leaves(evidence: Evidence) -> Iterator[tuple[str, Evidence]]:
    for index, item in enumerate(evidence.measurements):
        for field in (
            "value",
            "lower",
            "upper",
            "n_samples",
            "n_required",
            "seed",
            "p_value",
            "confidence_level",
        ):
            old = getattr(item, field)
            new: Any = 17 if old is None else old * 1.5 + 2
            if field in {"n_samples", "n_required", "seed"}:
                new = int(new)
            if field == "confidence_level":
                new = 0.97
            changed: Measurement = dataclasses.replace(item, **{field: new})
            measurements = (*evidence.measurements[:index], changed, *evidence.measurements[index + 1 :])
            yield f"{item.metric}.{field}", dataclasses.replace(evidence, measurements=measurements)
    for index, criterion in enumerate(evidence.criteria):
        for field in ("limit", "margin"):
            moved = dataclasses.replace(criterion, **{field: getattr(criterion, field) + 0.25})
            criteria = (*evidence.criteria[:index], moved, *evidence.criteria[index + 1 :])
            yield f"{criterion.metric}.{field}", dataclasses.replace(evidence, criteria=criteria)


def test_no_number_of_a_measurement_or_criterion_can_change_without_changing_the_view() -> None:
    made = certificate(1)
    for gate_id in ("performance.auc", "fairness.elderly", "latency.p99", "pipeline.parity"):
        [run] = [run for run in made.runs if run.gate_id == gate_id]
        assert run.evidence is not None
        before = gates_of(view_of(made))[gate_id]
        for name, changed in _leaves(run.evidence):
            after = gates_of(view_of(with_evidence(made, gate_id, lambda _, new=changed: new)))[gate_id]  # type: ignore[misc]
            assert list(strings(before)) != list(strings(after)), name


def test_a_gate_that_ran_twice_shows_both_runs() -> None:
    made = certificate(1)
    again = next(run for run in made.runs if run.gate_id == "performance.auc")
    gate = gates_of(view_of(dataclasses.replace(made, runs=(*made.runs, again))))["performance.auc"]
    assert len(gate.runs) == 2
    assert [metric.label for metric in gate.metrics] == ["ROC AUC (measurement 1)", "ROC AUC (measurement 2)"]


def test_known_series_of_the_details_become_charts_and_flat_rows_a_table() -> None:
    gates = gates_of(view_of(certificate(1)))
    assert [chart.title for chart in gates["performance.auc"].charts] == ["ROC curve"]
    assert [chart.title for chart in gates["latency.p99"].charts] == ["Distribution of latency"]
    [table] = gates["behavior.monotone"].tables
    assert table.caption == "Counterexamples"
    assert table.rows[0] == ("118", "0 -> 1", "0.3121", "0.2874")
    facts = {fact.label: fact.value for fact in gates["latency.p99"].runs[0].facts}
    assert facts["Shared host"] == "yes"
    assert "Ecdf" not in facts


def test_details_of_other_forms_become_facts_and_tables() -> None:
    details: dict[str, Any] = {
        "confusion": {"true_positives": 12000, "false_positives": 3},
        "threads": {"OMP_NUM_THREADS": "1"},
        "share": 1.9e-7,
        "ok": True,
        "nothing": None,
        "few": [1, 2],
        "many": list(range(100)),
        "deep": [[1]],
        "rate_by_sex": [
            {"group": "f", "value": 0.5, "needed": None, "extra": {"a": 1}},
            {"group": "m", "value": 0.25, "needed": 1200},
        ],
        "empty": [],
        "blank": [{}],
    }
    made = with_evidence(
        certificate(1), "performance.auc", lambda found: dataclasses.replace(found, details=details)
    )
    gate = gates_of(view_of(made))["performance.auc"]
    facts = {fact.label: fact.value for fact in gate.runs[0].facts}
    assert facts["Confusion, true positives"] == "12,000"
    assert facts["Threads, OMP_NUM_THREADS"] == "1"
    assert (facts["Share"], facts["Ok"], facts["Few"]) == ("1.9e-7", "yes", "1, 2")
    assert not {"Many", "Deep", "Empty", "Nothing"} & set(facts)
    [table] = gate.tables
    assert table.caption == "Rate by sex"
    assert [(column.label, column.numeric) for column in table.columns] == [
        ("group", False),
        ("value", True),
        ("needed", True),
        ("extra", False),
    ]
    assert table.rows == (("f", "0.5000", "", "…"), ("m", "0.2500", "1,200", ""))


def test_long_tables_of_details_are_cut_and_say_so() -> None:
    rows: list[Any] = [{"row": number} for number in range(60)]
    made = with_evidence(
        certificate(1),
        "performance.auc",
        lambda found: dataclasses.replace(found, details={"rows": rows}),
    )
    [table] = gates_of(view_of(made))["performance.auc"].tables
    assert (len(table.rows), table.note) == (50, "The first 50 of 60 rows.")


def test_series_of_a_gate_that_measured_twice_are_both_drawn() -> None:
    made = with_evidence(
        certificate(1),
        "performance.auc",
        lambda found: dataclasses.replace(
            found, details={**found.details, "roc (2)": found.details["roc"], "roc (x)": 3}
        ),
    )
    gate = gates_of(view_of(made))["performance.auc"]
    assert [chart.title for chart in gate.charts] == ["ROC curve", "ROC curve (2)"]
    assert [fact.label for fact in gate.runs[0].facts if "Roc" in fact.label] == ["Roc (x)"]


def test_the_sum_over_all_rows_speaks_for_groups_that_are_as_bad() -> None:
    def with_sum(found: Evidence) -> Evidence:
        total = dataclasses.replace(found.measurements[0], value=399, lower=399, upper=399, group=None)
        return dataclasses.replace(
            found,
            measurements=(*found.measurements, total),
            criteria=(*found.criteria, at_most("rows_failing", 0)),
        )

    gate = gates_of(view_of(with_evidence(certificate(1), "data.schema", with_sum)))["data.schema"]
    assert gate.brief == "rows failing is 399 rows; needs ≤\u00a00 rows"


def test_honest_limits_name_alpha_exact_counts_waivers_and_hardware() -> None:
    view = view_of(certificate(2, waived=True))
    assert "at most 5%" in " ".join(view.proves)
    ends = " ".join(view.does_not_prove)
    for text in (
        "not the proof",
        "credit_default_test.csv.gz",
        "exact counts",
        "1 waived gate did not pass",
        "Environments",
    ):
        assert text in ends
    stricter = certificate(2, policy=dataclasses.replace(POLICY, confidence_level=0.99))
    assert "at most 1%" in " ".join(view_of(stricter).proves)


def test_anchors_are_unique_even_where_ids_look_alike() -> None:
    made = certificate(1)
    ids = ("performance.a b", "performance.a/b", "performance.a b ", "performance.ä")
    gates = tuple(gate(gate_id, "same") for gate_id in ids)
    verdicts = tuple(
        dataclasses.replace(made.decision.verdicts[0], gate_id=gate_id, dimension=Dimension.PERFORMANCE)
        for gate_id in ids
    )
    view = view_of(
        dataclasses.replace(
            made, gates=gates, runs=(), decision=dataclasses.replace(made.decision, verdicts=verdicts)
        )
    )
    anchors = [gate.anchor for gate in gates_of(view).values()]
    assert len(anchors) == len(ids) == len(set(anchors))


def test_node_ids_are_quoted_for_a_shell_and_never_read_as_options() -> None:
    made = certificate(1)

    def command(location: str) -> tuple[str, ...]:
        gates = tuple(dataclasses.replace(item, location=location) for item in made.gates)
        return gates_of(view_of(dataclasses.replace(made, gates=gates)))["data.schema"].command

    assert command("t.py::test_a[x y]") == ("pytest", "'t.py::test_a[x y]'", "--prodml")
    assert command("t.py::a[$(reboot)'`]") == ("pytest", "'t.py::a[$(reboot)'\"'\"'`]'", "--prodml")
    assert command("-p evil") == ("pytest", "'./-p evil'", "--prodml")
    assert command("") == ()


def many(count: int) -> Certificate:
    made = certificate(2, policy=dataclasses.replace(POLICY, required_gates=("performance.auc",)))
    gates = tuple(gate(f"performance.g{number:05}", "one of many") for number in range(count))
    [run] = [run for run in made.runs if run.gate_id == "performance.auc"]
    assert run.evidence is not None
    runs = tuple(run_of(item, dataclasses.replace(run.evidence, gate_id=item.id)) for item in gates)
    [verdict] = [v for v in made.decision.verdicts if v.gate_id == "performance.auc"]
    verdicts = tuple(dataclasses.replace(verdict, gate_id=item.id) for item in gates)
    bad = dataclasses.replace(verdicts[-1], outcome=Outcome.FAIL, reason="refuted")
    decision = dataclasses.replace(made.decision, outcome=Readiness.NOT_READY, verdicts=(*verdicts[:-1], bad))
    return dataclasses.replace(made, gates=gates, runs=runs, decision=decision)


def test_very_many_gates_become_rows_and_the_worst_stay_in_full() -> None:
    view = view_of(many(MOST_FULL_GATES + 50))
    failed, passed = view.groups
    assert [gate.id for gate in failed.gates] == [f"performance.g{MOST_FULL_GATES + 49:05}"]
    assert (len(passed.gates), len(passed.rows)) == (MOST_FULL_GATES - 1, 50)
    assert all(gate.metrics for gate in passed.gates)
    assert not any(gate.metrics for gate in passed.rows)
    assert passed.rows[0].brief.startswith("ROC AUC is 0.7881")


def test_many_criteria_are_listed_in_short_behind_the_ones_that_need_attention() -> None:
    def widened(found: Evidence) -> Evidence:
        names = [f"column {number}" for number in range(60)]
        return dataclasses.replace(
            found,
            measurements=tuple(
                measured("share", 0.5 if name == "column 57" else 0.01, 0.001, group=name) for name in names
            ),
            criteria=tuple(at_most("share", 0.1, group=name) for name in names),
        )

    gate = gates_of(view_of(with_evidence(certificate(1), "data.schema", widened)))["data.schema"]
    assert gate.criteria[0].brief.startswith("share [column 57]")
    assert (len(gate.criteria), len(gate.more_criteria)) == (6, 54)
    assert gate.more_criteria_title == "and 54 more criteria, all passed"
    assert gate.metrics[0].table.rows[0][0] == "column 57"


def test_a_waiver_by_name_says_for_what_it_is(tmp_path: Path) -> None:
    envelope = Desk(tmp_path).waiver(subject_digest=None, subject_name="credit-*")
    made = dataclasses.replace(certificate(1), waivers=(envelope.decode(),))
    view = view_of(made)
    assert view.waivers[0].covers == "every artefact named credit-*"
    for shown in (render_html(view), render_markdown(view)):
        assert "every artefact named credit-" in shown
