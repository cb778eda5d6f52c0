"""Fairness gates: fairlearn's values, every group kept, and what small groups can and can not prove."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fairlearn.metrics
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_prodml.checks import fairness
from pytest_prodml.checks.fairness import RATES, Answers
from pytest_prodml.codec import decode, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.criterion import judge_criterion
from pytest_prodml.records import Evidence, Measurement, Outcome

ORACLES: dict[str, Callable[..., Any]] = {
    "accuracy": sklearn.metrics.accuracy_score,
    "false_discovery_rate": lambda truth, decision: (
        1 - sklearn.metrics.precision_score(truth, decision, zero_division=0)
    ),
    "false_omission_rate": lambda truth, decision: (
        1 - sklearn.metrics.precision_score(truth, decision, pos_label=0)
    ),
    "negative_predictive_value": lambda truth, decision: sklearn.metrics.precision_score(
        truth, decision, pos_label=0
    ),
    "precision": sklearn.metrics.precision_score,
    "false_negative_rate": fairlearn.metrics.false_negative_rate,
    "false_positive_rate": fairlearn.metrics.false_positive_rate,
    "selection_rate": fairlearn.metrics.selection_rate,
    "true_negative_rate": fairlearn.metrics.true_negative_rate,
    "true_positive_rate": fairlearn.metrics.true_positive_rate,
}


def check(which: str, metric: Any, limit: float, *given: Any, **options: Any) -> Evidence:
    """Call a check with truth, decisions and groups one by one, and columns of the answers as options."""
    options |= dict(zip(("y_true", "y_pred", "groups"), given, strict=False))
    columns = {name: options.pop(name) for name in Answers.__dataclass_fields__ if name in options}
    found: Evidence = getattr(fairness, which)(
        metric, limit, Answers(**columns), options.pop("groups"), **options
    )
    return found


def difference_at_most(metric: Any, limit: float, *columns: Any, **options: Any) -> Evidence:
    return check("difference_at_most", metric, limit, *columns, **options)


def ratio_at_least(metric: Any, limit: float, *columns: Any, **options: Any) -> Evidence:
    return check("ratio_at_least", metric, limit, *columns, **options)


def outcomes(evidence: Evidence) -> list[Outcome]:
    return [judge_criterion(c, evidence, confidence_level=0.95).outcome for c in evidence.criteria]


def headline(evidence: Evidence, attribute: str = "sex") -> Measurement:
    (measured,) = (m for m in evidence.measurements if m.group == attribute)
    return measured


def by_counts(groups: dict[str, tuple[int, int]]) -> tuple[npt.NDArray[np.int_], npt.NDArray[np.str_]]:
    """Make decisions and memberships from (selected, rows) of each group."""
    decisions = np.concatenate([np.arange(rows) < chosen for chosen, rows in groups.values()]).astype(int)
    return decisions, np.repeat(list(groups), [rows for _, rows in groups.values()])


def selection(
    limit: float, groups: dict[str, tuple[int, int]], compare: Callable[..., Evidence] = difference_at_most
) -> Evidence:
    decisions, membership = by_counts(groups)
    return compare("selection_rate", limit, None, decisions, {"sex": membership}, gate_id="fairness.test")


# --- values -----------------------------------------------------------------------------------------------


@settings(max_examples=40)  # fairlearn takes 10 ms
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from("abc")), min_size=12, max_size=80
    ),
    st.sampled_from(list(RATES)),
)
def test_values_are_fairlearns(rows: list[tuple[int, int, str]], metric: str) -> None:
    truth, decision, group = (np.array(column) for column in zip(*rows, strict=True))
    assume(np.unique(group).size > 1)
    for name in np.unique(group):  # fairlearn says 0 where a rate is undefined, see below
        assume(np.unique(truth[group == name]).size == 2)
        assume(np.unique(decision[group == name]).size == 2)
    frame = fairlearn.metrics.MetricFrame(
        metrics=ORACLES[metric], y_true=truth, y_pred=decision, sensitive_features=group
    )
    difference = difference_at_most(metric, 0.1, truth, decision, {"sex": group}, gate_id="fairness.test")
    assert headline(difference).metric == f"{metric}_difference"
    assert headline(difference).value == pytest.approx(frame.difference(), abs=1e-12)
    ratio = ratio_at_least(metric, 0.8, truth, decision, {"sex": group}, gate_id="fairness.test")
    if frame.group_max() > 0:
        assert headline(ratio).value == pytest.approx(frame.ratio(), abs=1e-12)
    else:
        assert headline(ratio).value is None
    for name, value in frame.by_group.items():
        assert headline(ratio, f"sex={name}").value == pytest.approx(value, abs=1e-12)
    for evidence in (difference, ratio):
        assert decode(Evidence, encode(evidence)) == evidence


def test_labels_may_have_any_name() -> None:
    truth, decision = ["repaid", "default", "repaid"] * 50, ["repaid", "repaid", "default"] * 50
    evidence = difference_at_most(
        "true_positive_rate",
        0.2,
        truth,
        decision,
        {"sex": ["f", "m"] * 75},
        favorable_label="repaid",
        gate_id="fairness.test",
    )
    assert headline(evidence, "sex=f").value == 0.5


def test_several_classes_are_one_against_the_rest() -> None:
    truth, decision = ["a", "b", "c", "a"], ["a", "b", "b", "b"]
    evidence = difference_at_most(
        "accuracy",
        0.2,
        truth,
        decision,
        {"sex": ["f", "f", "m", "m"]},
        favorable_label="a",
        gate_id="fairness.test",
    )
    assert headline(evidence).value == 1
    evidence = difference_at_most(
        "selection_rate",
        0.2,
        truth,
        decision,
        {"sex": ["f", "f", "m", "m"]},
        favorable_label="a",
        gate_id="f",
    )
    assert headline(evidence, "sex=f").value == 0.5


# --- nothing is dropped -----------------------------------------------------------------------------------


def test_rows_without_a_group_are_a_group() -> None:
    decision = [1, 0] * 40
    membership = pd.Series(["f", "m", None, "m"] * 20)
    evidence = difference_at_most(
        "selection_rate", 0.1, None, decision, {"sex": membership}, gate_id="fairness.test"
    )
    groups = [m.group for m in evidence.measurements]
    assert groups == ["sex", "sex=f", "sex=m", "sex=(missing)"]
    assert sum(m.n_samples for m in evidence.measurements[1:]) == 80
    assert headline(evidence).value == 1


def test_every_attribute_is_a_criterion() -> None:
    evidence = difference_at_most(
        "selection_rate",
        0.4,
        None,
        [1, 0] * 500,
        {"sex": ["f", "f", "m", "m"] * 250, "age_band": [1, 2] * 500},
        gate_id="fairness.test",
    )
    assert [c.group for c in evidence.criteria] == ["sex", "age_band"]
    assert outcomes(evidence) == [Outcome.PASS, Outcome.FAIL]
    assert list(evidence.details) == ["selection_rate_by_sex", "selection_rate_by_age_band"]


def test_a_group_without_positives_is_not_estimable() -> None:
    """fairlearn gives it a true positive rate of 0, so a gap of 1, from a single row."""
    truth = [1] * 100 + [0]
    decision = [1] * 100 + [0]
    groups = {"race": ["a"] * 50 + ["b"] * 50 + ["c"]}
    evidence = difference_at_most("true_positive_rate", 0.1, truth, decision, groups, gate_id="fairness.test")
    alone = headline(evidence, "race=c")
    assert (alone.value, alone.lower, alone.upper, alone.n_samples) == (None, None, None, 1)
    assert alone.note == "there are no rows with the favorable label"
    measured = headline(evidence, "race")
    assert (measured.value, measured.upper) == (0, None)
    assert "race=c: 1 rows, no rows with the favorable label among them" in (measured.note or "")
    assert outcomes(evidence) == [Outcome.INCONCLUSIVE]


def test_a_proven_gap_fails_even_beside_a_group_without_positives() -> None:
    truth = [1] * 1_000 + [0]
    decision = [1] * 500 + [0] * 500 + [0]
    groups = {"race": ["a"] * 500 + ["b"] * 500 + ["c"]}
    evidence = difference_at_most("true_positive_rate", 0.1, truth, decision, groups, gate_id="fairness.test")
    assert outcomes(evidence) == [Outcome.FAIL]


def test_one_group_proves_nothing() -> None:
    evidence = selection(0.1, {"m": (500, 1_000)})
    assert outcomes(evidence) == [Outcome.INCONCLUSIVE]
    assert headline(evidence).note == "only one group, sex=m: there is nothing to compare"


def test_no_rows_prove_nothing() -> None:
    evidence = difference_at_most("selection_rate", 0.1, None, [], {"sex": []}, gate_id="fairness.test")
    assert outcomes(evidence) == [Outcome.INCONCLUSIVE]
    assert headline(evidence).note == "there are no rows"


def test_a_subgroup_of_29_is_judged() -> None:
    """A peer leaves out groups below 30 rows: 0 of 29 against 1,000 of 1,000 passes there."""
    assert outcomes(selection(0.1, {"a": (1_000, 1_000), "b": (0, 29)})) == [Outcome.FAIL]


def test_a_rate_of_zero_breaks_four_fifths() -> None:
    """A peer drops zero rates before it divides."""
    assert outcomes(selection(0.8, {"a": (80, 1_000), "b": (0, 1_000)}, ratio_at_least)) == [Outcome.FAIL]
    nobody = selection(0.8, {"a": (0, 100), "b": (0, 100)}, ratio_at_least)
    assert outcomes(nobody) == [Outcome.INCONCLUSIVE]
    assert "no group has a rate above 0" in (headline(nobody).note or "")


# --- verdicts ---------------------------------------------------------------------------------------------


def test_enough_data_passes_and_fails() -> None:
    assert outcomes(selection(0.1, {"f": (1_500, 5_000), "m": (1_550, 5_000)})) == [Outcome.PASS]
    assert outcomes(selection(0.1, {"f": (1_000, 5_000), "m": (1_750, 5_000)})) == [Outcome.FAIL]
    assert outcomes(selection(0.8, {"f": (1_500, 5_000), "m": (1_550, 5_000)}, ratio_at_least)) == [
        Outcome.PASS
    ]
    assert outcomes(selection(0.8, {"f": (1_000, 5_000), "m": (1_750, 5_000)}, ratio_at_least)) == [
        Outcome.FAIL
    ]


def test_the_undecided_group_and_its_rows_are_named() -> None:
    evidence = selection(0.1, {"<=25": (640, 900), "26-60": (3_800, 5_000), ">60": (38, 55)})
    assert outcomes(evidence) == [Outcome.INCONCLUSIVE]
    measured = headline(evidence)
    assert measured.note is not None
    assert measured.note.startswith("sex=>60: 55 rows, not enough data")
    table = evidence.details["selection_rate_by_sex"]
    assert isinstance(table, list)
    row = table[-1]
    assert isinstance(row, dict)
    assert (row["group"], row["rows"], row["hits"], row["undecided"]) == (">60", 55, 38, True)
    assert isinstance(row["rows_needed"], int)
    assert row["rows_needed"] > 55
    assert f"about {row['rows_needed']:,} rows of this group would decide" in measured.note
    assert measured.n_required is not None
    assert measured.n_required > 5_955
    (criterion,) = evidence.criteria
    message = judge_criterion(criterion, evidence, confidence_level=0.95).message
    assert "sex=>60: 55 rows, not enough data" in message


def test_twelve_rows_neither_accuse_nor_acquit() -> None:
    """A point gate raises a false alarm in 58 % of fair samples, and passes an unfair one in 16 %."""
    rng = np.random.default_rng(1)
    fair, unfair = [
        [
            outcomes(
                selection(
                    0.1, {"a": (int(rng.binomial(1_000, 0.3)), 1_000), "b": (int(rng.binomial(12, rate)), 12)}
                )
            )[0]
            for _ in range(300)
        ]
        for rate in (0.3, 0.12)
    ]
    assert fair.count(Outcome.FAIL) / 300 <= 0.05
    assert unfair.count(Outcome.PASS) == 0


def test_a_fair_model_is_not_accused_over_four_groups() -> None:
    """The four-fifths rule on point values accuses it in 89 % of the samples."""
    rng = np.random.default_rng(2)
    sizes = {"a": 500, "b": 100, "c": 50, "d": 20}
    found = [
        outcomes(
            selection(
                0.8, {name: (int(rng.binomial(n, 0.25)), n) for name, n in sizes.items()}, ratio_at_least
            )
        )[0]
        for _ in range(200)
    ]
    assert found.count(Outcome.FAIL) / 200 <= 0.05
    assert found.count(Outcome.PASS) == 0


# --- errors -----------------------------------------------------------------------------------------------


def call(metric: str = "accuracy", limit: float = 0.1, **changes: Any) -> Evidence:
    given: dict[str, Any] = {"y_true": [0, 1], "y_pred": [0, 1], "groups": {"sex": ["f", "m"]}, **changes}
    return difference_at_most(metric, limit, gate_id="fairness.test", **given)


@pytest.mark.parametrize(
    ("told", "changes"),
    [
        ("did you mean 'selection_rate'", {"metric": "selection_rates"}),
        ("between 0 and 1", {"limit": 10}),
        ("confidence_level", {"confidence_level": 1.0}),
        ("no attribute", {"groups": {}}),
        ("pass y_true", {"y_true": None}),
        ("y_pred is missing in 1 of 2", {"y_pred": [0, None]}),
        ("y_true is missing in 1 of 2", {"y_true": [0, None]}),
        ("these look like scores", {"y_pred": [0.1, 0.95]}),
        ("y_pred holds 2", {"y_pred": [0, 2]}),
        (
            "name all labels",
            {
                "metric": "selection_rate",
                "y_true": None,
                "y_pred": [2, 1, 3],
                "groups": {"sex": list("abc")},
            },
        ),
        ("favorable_label 1", {"y_true": ["no", "yes"], "y_pred": ["no", "yes"]}),
        ("differ in length", {"y_true": [0, 1, 1]}),
        ("sex 3", {"groups": {"sex": ["f", "m", "f"]}}),
        ("shape", {"groups": {"sex": np.array([["f"], ["m"]])}}),
        ("both written '1'", {"groups": {"sex": np.array([1, "1"], dtype=object)}}),
        ("both written '(missing)'", {"groups": {"sex": np.array([None, "(missing)"], dtype=object)}}),
    ],
)
def test_what_can_not_be_judged_says_why(told: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError) as raised:
        call(**changes)
    assert told in str(raised.value)


def test_a_column_of_numbers_is_no_grouping() -> None:
    with pytest.raises(InputError, match="into bands"):
        call(y_true=[0, 1] * 100, y_pred=[0, 1] * 100, groups={"age": np.arange(200)})


def test_whole_numbers_keep_their_name_beside_missing_ones() -> None:
    evidence = call(y_true=[0, 1, 1], y_pred=[0, 1, 1], groups={"code": [1.0, 2.0, float("nan")]})
    assert [m.group for m in evidence.measurements][1:] == ["code=1", "code=2", "code=(missing)"]
