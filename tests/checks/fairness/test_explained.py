"""Gaps taken apart: the parts add up, agree with other programs, and keep their level; never a verdict."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_prodml.checks.fairness import EXPLANATION, gap_explained
from pytest_prodml.checks.fairness.outcomes import EXPLAINABLE
from pytest_prodml.codec import canonical_json, decode, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge
from pytest_prodml.records import Dimension, Evidence, Gate, GateRun, Measurement, Outcome, RunState

PARTS = ("_from_composition", "_within_strata", "_outside_overlap")


def explained(*columns: Any, metric: str = "selection_rate", **more: Any) -> dict[str, Measurement]:
    """Return the four measurements of the only comparison, by the end of their names."""
    values, groups, factor = columns
    more = {"y_true": None} | more
    found = gap_explained(
        metric, more.pop("y_true"), values, {"sex": groups}, {"job": factor}, gate_id="fairness.test", **more
    )
    assert found.criteria == ()
    assert len({m.group for m in found.measurements}) == 1
    return {m.metric.partition("_gap")[2]: m for m in found.measurements}


def rows(cells: dict[tuple[str, str], tuple[int, int]]) -> tuple[npt.NDArray[Any], ...]:
    """Make decisions, sexes and jobs from (selected, rows) by (sex, job)."""
    decisions = np.concatenate([np.arange(n) < hits for hits, n in cells.values()]).astype(int)
    sizes = [n for _, n in cells.values()]
    return decisions, np.repeat([sex for sex, _ in cells], sizes), np.repeat([job for _, job in cells], sizes)


# --- values -----------------------------------------------------------------------------------------------


def test_a_decomposition_by_hand() -> None:
    """Women: 80 % in A (rate 0.2), 20 % in B (0.6). Men: 40 % in A (0.3), 60 % in B (0.7)."""
    data = rows({("f", "A"): (16, 80), ("f", "B"): (12, 20), ("m", "A"): (12, 40), ("m", "B"): (42, 60)})
    parts = explained(*data, reference="m")
    assert parts[""].value == pytest.approx(0.28 - 0.54)
    assert parts["_from_composition"].value == pytest.approx(0.4 * 0.25 - 0.4 * 0.65)  # -0.16
    assert parts["_within_strata"].value == pytest.approx(-0.1 * 0.6 - 0.1 * 0.4)  # -0.10
    assert parts["_outside_overlap"].value == 0.0
    blinder = explained(*data, reference="m", standard="reference")
    assert blinder["_from_composition"].value == pytest.approx(0.4 * 0.3 - 0.4 * 0.7)
    assert blinder["_within_strata"].value == pytest.approx(-0.1 * 0.8 - 0.1 * 0.2)


def test_simpsons_paradox_leaves_nothing_within() -> None:
    """Men and women are selected alike in either job, and apply to different ones."""
    data = rows({("f", "A"): (80, 400), ("f", "B"): (60, 100), ("m", "A"): (20, 100), ("m", "B"): (240, 400)})
    parts = explained(*data, reference="m")
    assert parts[""].value == pytest.approx(-0.24)
    assert parts[""].upper is not None
    assert parts[""].upper < -0.15
    assert parts["_within_strata"].value == pytest.approx(0.0, abs=1e-12)
    assert parts["_from_composition"].value == pytest.approx(-0.24)


def test_a_gap_that_the_jobs_hide() -> None:
    """The reversal: no raw gap, and ten points within each job."""
    data = rows(
        {("f", "A"): (30, 100), ("f", "B"): (200, 400), ("m", "A"): (80, 200), ("m", "B"): (150, 250)}
    )
    parts = explained(*data, reference="m")
    assert parts["_within_strata"].value == pytest.approx(-0.1)
    assert abs(parts[""].value or 0) < 0.06


@pytest.mark.parametrize("standard", ["average", "reference"])
def test_blinder_and_oaxaca_of_statsmodels(standard: str) -> None:
    """The regressions on indicators of the strata give the parts; theirs is high minus low."""
    from statsmodels.stats.oaxaca import OaxacaBlinder

    random = np.random.default_rng(5)
    n = 900
    sex = random.choice(["f", "m"], n)
    job = np.where(sex == "f", random.choice(3, n, p=[0.6, 0.3, 0.1]), random.choice(3, n, p=[0.2, 0.3, 0.5]))
    pay = 100 + 20 * job - 6 * (sex == "f") + random.normal(0, 9, n)
    exog = np.column_stack([(sex == "m").astype(int), job == 1, job == 2]).astype(float)
    model = OaxacaBlinder(pay, exog, 0, hasconst=False)
    if standard == "average":
        unexplained, explained_part, raw = model.two_fold(
            two_fold_type="self_submitted", submitted_weight=0.5
        ).params
    else:  # the coefficients of women
        effect_of_shares, of_rates, interaction, raw = model.three_fold().params
        explained_part, unexplained = effect_of_shares, of_rates + interaction
    parts = explained(pay, sex, job, metric="mean_prediction", reference="f", standard=standard)
    assert parts[""].value == pytest.approx(raw, rel=1e-9)
    assert parts["_from_composition"].value == pytest.approx(explained_part, rel=1e-6)
    assert parts["_within_strata"].value == pytest.approx(unexplained, rel=1e-6)


def by_force(values: Any, side: Any, strata: Any, weights: Any) -> tuple[float, float, float, float]:
    """Follow the formulas of the docstring, row by row."""

    def mean(mask: Any) -> float:
        return float(np.average(values[mask], weights=weights[mask]))

    both = [s for s in np.unique(strata) if all((side[strata == s] == g).any() for g in (0, 1))]
    inside = np.isin(strata, both)
    raw = mean(side == 0) - mean(side == 1)
    if not both:
        return raw, math.nan, math.nan, math.nan
    composition = within = 0.0
    for stratum in both:
        here = strata == stratum
        w = [weights[here & (side == g)].sum() / weights[inside & (side == g)].sum() for g in (0, 1)]
        r = [mean(here & (side == g)) for g in (0, 1)]
        composition += (w[0] - w[1]) * (r[0] + r[1]) / 2
        within += (r[0] - r[1]) * (w[0] + w[1]) / 2
    matched = mean(inside & (side == 0)) - mean(inside & (side == 1))
    return raw, composition, within, raw - matched


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from("abcd"), st.integers(1, 4)),
        min_size=4,
        max_size=60,
    ),
    st.sampled_from(["average", "reference"]),
    st.booleans(),
)
def test_the_parts_add_up_to_the_gap(
    data: list[tuple[int, int, str, int]],
    standard: str,
    weighted: bool,
) -> None:
    values, side, strata, weights = (np.array(column) for column in zip(*data, strict=True))
    assume(np.unique(side).size == 2)
    w = weights if weighted else np.ones_like(weights)
    more: dict[str, Any] = {"sample_weight": w} if weighted else {}
    parts = explained(
        values, side, strata, favorable_label=1, labels=[0, 1], reference="1", standard=standard, **more
    )
    raw, composition, within, outside = by_force(values.astype(float), side, strata, w.astype(float))
    assert parts[""].value == pytest.approx(raw, abs=1e-12)
    found = [parts[name].value for name in PARTS]
    if math.isnan(composition):
        assert found == [None, None, None]
        assert "no stratum holds rows of both groups" in (parts["_within_strata"].note or "")
        return
    assert sum(value or 0.0 for value in found) == pytest.approx(raw, abs=1e-12)
    assert parts["_outside_overlap"].value == pytest.approx(outside, abs=1e-12)
    if standard == "average":
        assert parts["_from_composition"].value == pytest.approx(composition, abs=1e-12)
        assert parts["_within_strata"].value == pytest.approx(within, abs=1e-12)
    for part in parts.values():
        for low, high in ((part.lower, part.value), (part.value, part.upper)):
            assert low is None or high is None or low <= high + 1e-12


@pytest.mark.parametrize("metric", EXPLAINABLE)
def test_every_metric_is_the_groups_difference(metric: str) -> None:
    random = np.random.default_rng(3)
    n = 400
    sex, job = random.choice(["f", "m"], n), random.choice(list("ab"), n)
    truth, decision = random.integers(0, 2, n), random.integers(0, 2, n)
    f, t, d = sex == "f", truth == 1, decision == 1
    of: dict[str, tuple[Any, Any]] = {
        "accuracy": (t == d, np.ones(n, bool)),
        "false_negative_rate": (~d, t),
        "false_positive_rate": (d, ~t),
        "precision": (t, d),
        "selection_rate": (d, np.ones(n, bool)),
        "true_negative_rate": (~d, ~t),
        "true_positive_rate": (d, t),
        "mean_prediction": (decision, np.ones(n, bool)),
        "mean_error": (decision - truth, np.ones(n, bool)),
        "mean_absolute_error": (np.abs(decision - truth), np.ones(n, bool)),
    }
    values, counted = of[metric]
    parts = explained(decision, sex, job, metric=metric, y_true=truth, reference="m")
    raw = values[f & counted].mean() - values[~f & counted].mean()
    assert parts[""].value == pytest.approx(raw, abs=1e-12)
    assert sum(parts[name].value or 0 for name in PARTS) == pytest.approx(raw, abs=1e-12)
    assert parts[""].n_samples == counted.sum()


# --- bounds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "rates"),
    [((400, 600), (0.3, 0.6)), ((150, 1500), (0.1, 0.4)), ((80, 80), (0.5, 0.5))],
    ids=["even", "uneven", "small"],
)
def test_bounds_keep_their_level(sizes: tuple[int, int], rates: tuple[float, float]) -> None:
    """One-sided 95 % bounds miss at most 7 % each, those of the composition, a skewed product, at most 9 %.

    4,000 runs gave 6.1 % and 6.9 %; here are 600, so the error of a share of 5 % is 0.9 %.
    """
    random = np.random.default_rng(11)
    shares = (np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5]))
    inside = [np.array([rates[g], rates[g] + 0.15, rates[g] + 0.3]) for g in (0, 1)]
    truth = {
        "": sum(shares[0] * inside[0]) - sum(shares[1] * inside[1]),
        "_from_composition": float(((shares[0] - shares[1]) * (inside[0] + inside[1]) / 2).sum()),
        "_within_strata": float(((inside[0] - inside[1]) * (shares[0] + shares[1]) / 2).sum()),
    }
    side = np.repeat(["a", "b"], sizes)
    missed = dict.fromkeys(itertools.product(truth, ("lower", "upper")), 0)
    runs = 600
    for _ in range(runs):
        job = np.concatenate([random.choice(3, n, p=share) for n, share in zip(sizes, shares, strict=True)])
        chance = np.concatenate([p[job[side == g]] for g, p in zip("ab", inside, strict=True)])
        decision = (random.random(side.size) < chance).astype(int)
        parts = explained(decision, side, job, reference="b")
        for name, true in truth.items():
            lower, upper = parts[name].lower, parts[name].upper
            assert lower is not None
            assert upper is not None
            missed[name, "lower"] += lower > true
            missed[name, "upper"] += upper < true
    for (name, _), count in missed.items():
        assert count / runs <= (0.09 if name == "_from_composition" else 0.07), missed


def test_bounds_of_means_with_weights_and_of_clusters() -> None:
    """Five rows a person that are all alike: bounds by person are those of one row a person."""
    random = np.random.default_rng(2)
    people = 200
    sex, job = random.choice(["f", "m"], people), random.choice(list("ab"), people)
    pay = random.normal(10, 2, people) + (job == "a")
    once = explained(pay, sex, job, metric="mean_prediction", reference="m")
    person = np.repeat(np.arange(people), 5)
    repeated = [column[person] for column in (pay, sex, job)]
    clustered = explained(*repeated, metric="mean_prediction", reference="m", clusters=person)
    naive = explained(*repeated, metric="mean_prediction", reference="m")
    weighted = explained(
        pay, sex, job, metric="mean_prediction", reference="m", sample_weight=np.full(people, 5.0)
    )

    def width(parts: dict[str, Measurement]) -> float:
        upper, lower = parts["_within_strata"].upper, parts["_within_strata"].lower
        assert upper is not None
        assert lower is not None
        return upper - lower

    assert clustered["_within_strata"].value == pytest.approx(once["_within_strata"].value)
    assert width(clustered) == pytest.approx(width(once), rel=0.03)
    assert width(naive) < 0.5 * width(once)
    assert width(weighted) == pytest.approx(width(once), rel=1e-9)
    few = explained(*repeated, metric="mean_prediction", reference="m", clusters=person % 7)
    assert few[""].lower is None
    assert "fewer than 20" in (few[""].note or "")


def test_a_stratum_in_which_all_are_selected_is_not_certain() -> None:
    data = rows({("f", "A"): (3, 3), ("m", "A"): (3, 3)})
    within = explained(*data)["_within_strata"]
    assert within.value == 0.0
    assert within.upper is not None
    assert within.upper > 0.3


# --- groups, strata, evidence -----------------------------------------------------------------------------


def test_rows_without_a_counterpart_are_told() -> None:
    data = rows({("f", "A"): (10, 50), ("f", "C"): (40, 50), ("m", "A"): (10, 50), ("m", "B"): (5, 50)})
    found = gap_explained(
        "selection_rate",
        None,
        data[0],
        {"sex": data[1]},
        {"job": data[2]},
        gate_id="fairness.test",
        reference="m",
    )
    facts = found.details["explanation of selection_rate by sex"]
    assert isinstance(facts, dict)
    assert facts["holds_for"] == "rows of strata that both sides have"
    assert facts["outside_overlap"] == {"sex=f minus m": "50.0% and 50.0%"}
    table = found.details["strata of selection_rate, sex=f minus m"]
    assert isinstance(table, list)
    by_name = {row["stratum"]: row for row in table if isinstance(row, dict)}
    assert [by_name[f"job={job}"]["compared"] for job in "ABC"] == [True, False, False]
    assert by_name["job=C"]["value_compared_with"] is None


def test_several_groups_are_compared_with_the_rest_or_with_a_named_one() -> None:
    random = np.random.default_rng(0)
    group, job = random.choice(list("xyz"), 600), random.choice(list("ab"), 600)
    decision = random.integers(0, 2, 600)
    rest = gap_explained(
        "selection_rate", None, decision, {"g": group}, {"job": job}, gate_id="fairness.test"
    )
    raw = {m.group: m.value for m in rest.measurements if m.metric.endswith("_gap")}
    assert list(raw) == [f"g={name} minus the rest" for name in "xyz"]
    for name in "xyz":
        own = decision[group == name].mean() - decision[group != name].mean()
        assert raw[f"g={name} minus the rest"] == pytest.approx(own)
    named = gap_explained(
        "selection_rate", None, decision, {"g": group}, {"job": job}, gate_id="fairness.test", reference="y"
    )
    assert {m.group for m in named.measurements} == {"g=x minus y", "g=z minus y"}


def test_two_groups_are_compared_with_the_larger_one() -> None:
    data = rows({("f", "A"): (10, 60), ("m", "A"): (10, 40)})
    assert explained(*data)[""].group == "sex=m minus f"


def test_numbers_by_bands_and_missing_values() -> None:
    age = np.array([25.0, 30.0, 44.9, 45.0, math.nan] * 20)
    found = gap_explained(
        "selection_rate",
        None,
        np.arange(100) % 2,
        {"sex": ["f", "m"] * 50},
        {"age": age},
        bins={"age": [30, 45]},
        gate_id="fairness.test",
        labels=[0, 1],
    )
    [table] = [value for key, value in found.details.items() if key.startswith("strata of")]
    assert isinstance(table, list)
    names = {str(row["stratum"]): row for row in table if isinstance(row, dict)}
    assert set(names) == {"age=(-inf, 30)", "age=[30, 45)", "age=[45, inf)", "age=(missing)"}
    assert names["age=[30, 45)"]["rows"] == 20


def test_tables_are_bounded_and_say_what_they_leave_out() -> None:
    random = np.random.default_rng(0)
    n = 5000
    found = gap_explained(
        "selection_rate",
        None,
        random.integers(0, 2, n),
        {"g": random.integers(0, 14, n)},
        {"a": random.integers(0, 10, n), "b": random.integers(0, 9, n)},
        gate_id="fairness.test",
    )
    tables = [value for value in found.details.values() if isinstance(value, list)]
    assert len(tables) == 10
    assert max(map(len, tables)) == 50
    assert found.details["comparisons without a table of strata"] == 4
    assert found.details["strata left out of the table, g=0 minus the rest"] == 40
    assert decode(Evidence, encode(found), where="test") == found
    assert len(canonical_json(encode(found))) < 400_000


def test_it_says_explanation_and_no_policy_takes_it_for_a_pass() -> None:
    data = rows({("f", "A"): (50, 100), ("m", "A"): (50, 100)})
    found = gap_explained(
        "selection_rate", None, data[0], {"sex": data[1]}, {"job": data[2]}, gate_id="fairness.test"
    )
    assert found.details["explanation"] == EXPLANATION
    assert all("explanation, not judged" in (m.note or "") for m in found.measurements)
    gate = Gate(id="fairness.test", dimension=Dimension.FAIRNESS, description="explained")
    run = GateRun(gate_id=gate.id, location="t.py::t", state=RunState.PASSED, evidence=found)
    judged = judge(gate, run, confidence_level=0.95)
    assert (judged.outcome, judged.reason) == (Outcome.INCONCLUSIVE, "no-evidence")


@pytest.mark.parametrize(
    ("groups", "trouble"),
    [
        (["f"] * 6, "no two groups"),
        (["f", "f", "f", "m", "m", "m"], "without any: sex=m"),
    ],
    ids=["one group", "one group without positives"],
)
def test_nothing_to_compare_is_not_estimable(groups: list[str], trouble: str) -> None:
    found = gap_explained(
        "true_positive_rate",
        [1, 1, 1, 0, 0, 0],
        [1, 0, 1, 0, 1, 0],
        {"sex": groups},
        {"job": list("aabbab")},
        gate_id="fairness.test",
    )
    [measured] = found.measurements
    assert measured.value is None
    assert trouble in (measured.note or "")


def test_no_rows_at_all() -> None:
    found = gap_explained("selection_rate", None, [], {"sex": []}, {"job": []}, gate_id="fairness.test")
    assert [m.value for m in found.measurements] == [None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "selction_rate"}, "did you mean 'selection_rate'"),
        ({"metric": "accuracy"}, "pass y_true"),
        ({"factors": {}}, "no factor"),
        ({"groups": {}}, "no attribute"),
        ({"factors": {"sex": ["f", "m"] * 2}}, "factor of its own gap"),
        ({"factors": {"job": [1, 2, 3]}}, "differ in length"),
        ({"groups": {"sex": ["f"]}}, "differ in length"),
        ({"reference": "q"}, "has no group 'q'"),
        ({"standard": "mine"}, "average or reference"),
        ({"bins": {"height": [1]}}, "neither compared nor a factor"),
        ({"bins": {"job": [2, 1]}}, "numbers that rise"),
        ({"bins": {"sex": [1]}}, "has bins but holds no numbers"),
        ({"sample_weight": [1, 2, 3, -1]}, "negative"),
        ({"clusters": [1, 2, None, 3]}, "missing in 1 of 4"),
        ({"confidence_level": 95}, "between 0.5 and 1"),
        ({"y_pred": [1, 0, None, 1]}, "missing in 1 of 4"),
    ],
)
def test_what_can_not_be_explained(change: dict[str, Any], message: str) -> None:
    call: dict[str, Any] = {
        "metric": "selection_rate",
        "y_true": None,
        "y_pred": [0, 1, 0, 1],
        "groups": {"sex": ["f", "m", "m", "f"]},
        "factors": {"job": [1, 2, 2, 1]},
        "gate_id": "fairness.test",
    } | change
    with pytest.raises(InputError, match=message):
        gap_explained(**call)
