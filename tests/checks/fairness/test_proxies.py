"""Which inputs give an attribute away: planted ones are found, chance is none, the parts of the gap by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from credit_people import clients, risk
from pytest_prodml.adapters import as_predictor
from pytest_prodml.checks.fairness import TRAVELS, proxies
from pytest_prodml.checks.fairness.encoded import areas, coded, evidence_of_column, largest
from pytest_prodml.checks.people import halves
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge
from pytest_prodml.records import Dimension, Evidence, Gate, GateRun, Measurement, Outcome, RunState
from pytest_prodml.statistics.design import Design

N = 2000
RANDOM = np.random.default_rng(3)
SEX = RANDOM.choice(["f", "m"], N)
FRAME = pd.DataFrame(
    {
        "sex": SEX,
        "income": RANDOM.normal(size=N),
        "height": np.where(SEX == "m", 1.78, 1.66) + RANDOM.normal(0, 0.07, N),
        "job": np.where(RANDOM.random(N) < 0.5, np.where(SEX == "m", "smith", "nurse"), "clerk"),
    }
)


def fair(rows: pd.DataFrame) -> Any:
    return 1 / (1 + np.exp(-rows["income"].to_numpy()))


def by_proxy(rows: pd.DataFrame) -> Any:
    odds = rows["income"] + 8 * (rows["height"] - 1.72) + 0 * (rows["job"] == "smith")
    return 1 / (1 + np.exp(-odds.to_numpy()))


def found(model: Any = by_proxy, frame: pd.DataFrame = FRAME, **more: Any) -> Evidence:
    name = more.pop("attribute", "sex")
    more = {"at_most": 0.6, "threshold": 0.5, "repeats": 2, **more}
    made = proxies(name, as_predictor(model), frame, gate_id="fairness.test", **more)
    canonical_json(encode(made.details))
    return made


def measured(made: Evidence, group: str = "sex") -> Measurement:
    return next(one for one in made.measurements if one.group == group)


def outcome(made: Evidence) -> Outcome:
    gate = Gate(id=made.gate_id, dimension=Dimension.FAIRNESS, description="")
    run = GateRun(gate_id=made.gate_id, location="t", state=RunState.PASSED, evidence=made)
    return judge(gate, run, confidence_level=0.95).outcome


def through(made: Evidence) -> dict[str, Any]:
    told: Any = made.details["gap_through_inputs"]
    return {row["input"]: row for row in told["through"]}


def test_planted_fault_and_clean_twin() -> None:
    assert outcome(found(by_proxy)) is Outcome.FAIL
    assert outcome(found(fair)) is Outcome.PASS
    assert found(fair).details["inputs_by_strength"] == [
        {"input": "income", "auc": measured(found(fair), "sex: income").value, "of": "sex=f"}
    ]


def test_real_clients() -> None:
    frame = clients()
    clean = found(risk(), frame, at_most=0.7, threshold=0.22)
    assert outcome(clean) is Outcome.PASS
    height = np.where(frame["sex"] == "male", 178.0, 166.0) + np.random.default_rng(1).normal(
        0, 7, len(frame)
    )
    planted = frame.assign(height=height)
    names = ["credit_limit", "age", "height"]
    fault = found(risk(), planted, at_most=0.7, threshold=0.22, inputs=names)
    assert outcome(fault) is Outcome.FAIL
    table: Any = fault.details["inputs_by_strength"]
    assert table[0]["input"] == "height"


def test_single_inputs_are_scikit_learns_on_the_half_that_is_measured() -> None:
    made = found(seed=5)
    teach = halves(N, Design(), np.random.default_rng(5))
    is_f = SEX == "f"
    height = roc_auc_score(is_f[~teach], -FRAME["height"][~teach])
    assert measured(made, "sex: height").value == pytest.approx(height)
    rates = pd.Series(is_f[teach]).groupby(FRAME["job"][teach].to_numpy()).mean()
    job = roc_auc_score(is_f[~teach], FRAME["job"][~teach].map(rates))
    assert measured(made, "sex: job").value == pytest.approx(job)
    assert {one.group for one in made.measurements} == {"sex", "sex: income", "sex: height", "sex: job"}
    together = measured(made).value
    assert together is not None
    assert together > max(height, job)


def test_both_ends_against_the_middle_are_found() -> None:
    values = np.random.default_rng(2).normal(size=4000)
    is_member = np.abs(values) > 1
    teach = halves(4000, Design(), np.random.default_rng(0))
    scores = evidence_of_column(coded(pd.Series(values)), is_member, teach, Design())
    assert roc_auc_score(is_member[~teach], scores[~teach]) > 0.95


def test_chance_is_no_proxy_and_bounds_keep_their_level() -> None:
    # A category for every second row: what was learnt on the same rows would look like a proxy.
    above = low = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        is_member = random.random(300) < 0.4
        teach = halves(300, Design(), random)
        column = coded(pd.Series(random.integers(0, 150, 300).astype(str)))
        scores = np.full((300, 2), np.nan)
        scores[:, 0] = evidence_of_column(column, is_member, teach, Design())
        estimate, _ = largest(areas(scores, (~is_member).astype(np.intp), ~teach, Design()), ["a", "b"])
        lower, upper = estimate.at(0.95)
        assert lower is not None
        assert upper is not None
        above += lower > 0.5
        low += upper < 0.5
    assert above <= 22  # 5 % of 200 and three standard errors
    assert low <= 22


def test_gap_through_inputs_by_hand() -> None:
    # The score is linear in the inputs, so dealing one out anew takes away exactly its own part, on average.
    def linear(rows: pd.DataFrame) -> Any:
        return 0.5 + 0.5 * (rows["height"] - 1.72) + 0.01 * rows["income"] + 0.02 * (rows["job"] == "smith")

    made = found(linear, repeats=20)
    part = through(made)
    male = SEX == "m"
    height = 0.5 * (FRAME["height"][male].mean() - FRAME["height"][~male].mean())
    job = 0.02 * ((FRAME["job"] == "smith")[male].mean() - (FRAME["job"] == "smith")[~male].mean())
    gap = linear(FRAME)[male].mean() - linear(FRAME)[~male].mean()
    told: Any = made.details["gap_through_inputs"]
    assert told["gaps"]["mean_score"] == {"gap": pytest.approx(gap), "of": "sex=m minus sex=f"}
    assert part["height"]["mean_score"] == pytest.approx(height, abs=0.002)
    assert part["job"]["mean_score"] == pytest.approx(job, abs=0.001)
    assert part["all inputs"]["mean_score"] == pytest.approx(gap, abs=0.002)
    assert told["is"] == TRAVELS


def test_who_is_selected_follows_the_favorable_label() -> None:
    ones: Any = found(favorable_label=1).details["gap_through_inputs"]
    zeros: Any = found(favorable_label=0).details["gap_through_inputs"]
    assert ones["gaps"]["selection_rate"]["of"] == "sex=m minus sex=f"
    assert zeros["gaps"]["selection_rate"]["of"] == "sex=f minus sex=m"
    assert ones["gaps"]["selection_rate"]["gap"] == pytest.approx(zeros["gaps"]["selection_rate"]["gap"])


def test_the_attribute_itself_is_no_proxy_and_told() -> None:
    def direct(rows: pd.DataFrame) -> Any:
        return np.where(rows["sex"] == "m", 0.7, 0.3) + 0 * rows["income"].to_numpy()

    made = found(direct)
    assert made.details["model_takes_the_attribute"] is True
    assert "takes sex itself" in str(measured(made).note)
    assert outcome(made) is Outcome.PASS
    assert through(made)["all inputs"]["mean_score"] == pytest.approx(0.0)
    with pytest.raises(InputError, match="no input but 'sex'"):
        found(direct, inputs=["sex"])


def test_several_groups_and_a_number_in_bins() -> None:
    frame = FRAME.assign(region=pd.cut(FRAME["income"], 4, labels=list("abcd")).astype(str))
    made = found(frame=frame, attribute="region", at_most=0.9)
    assert outcome(made) is Outcome.FAIL
    assert measured(made, "region: income").value == pytest.approx(1.0, abs=0.02)
    banded = found(frame=FRAME, attribute="income", bins=[-0.5, 0.5], inputs=["height"])
    assert len(banded.details["groups"]) == 3  # type: ignore[arg-type]
    assert outcome(banded) is Outcome.PASS


def test_a_group_that_can_not_be_measured_is_named_and_inconclusive() -> None:
    sex = FRAME["sex"].copy()
    sex.iloc[0] = "x"
    made = found(fair, FRAME.assign(sex=sex), at_most=0.99)
    assert measured(made).upper is None
    assert "not measured: sex=x" in str(measured(made).note)
    assert outcome(made) is Outcome.INCONCLUSIVE


def test_one_group_shows_nothing() -> None:
    made = found(fair, FRAME.assign(sex="f"))
    assert measured(made).value is None
    assert outcome(made) is Outcome.INCONCLUSIVE


def test_without_a_limit_nothing_is_judged() -> None:
    assert found(at_most=None).criteria == ()


def test_the_seed_decides() -> None:
    assert found(seed=3).details == found(seed=3).details
    assert found(seed=3).seed == 3
    assert measured(found(seed=3)).value != measured(found(seed=4)).value


def test_rows_of_one_person_do_not_teach_about_it() -> None:
    # Ten rows of each of 60 people, who are told by an identifier: honest halves keep them apart.
    random = np.random.default_rng(0)
    person = np.repeat(np.arange(60), 10)
    sex = random.choice(["f", "m"], 60)[person]
    frame = pd.DataFrame({"sex": sex, "code": random.normal(size=60)[person]})

    def score(rows: pd.DataFrame) -> Any:
        return np.clip(rows["code"].to_numpy(), 0, 1)

    leaked = measured(found(score, frame)).value
    honest = measured(found(score, frame, clusters=person)).value
    assert leaked is not None
    assert honest is not None
    assert leaked > 0.9
    assert honest < 0.8


def test_odd_columns() -> None:
    odd = FRAME.assign(
        same=1.0,
        gone=np.nan,
        day=pd.Timestamp("2026-01-01"),
        day_or_none=pd.Series(pd.date_range("2020", periods=N, tz="UTC")).where(FRAME.index % 3 != 0),
        span=pd.to_timedelta(np.arange(N), unit="s"),
        flag=FRAME["sex"] == "f",
        kind=FRAME["job"].astype("category"),
        text=FRAME["job"].where(FRAME.index % 5 != 0),
        infinite=np.where(FRAME.index % 9 == 0, np.inf, 1.0),
        many=[str(i) for i in range(N)],
    )
    made = found(fair, odd, inputs=[name for name in odd.columns if name != "sex"], repeats=1)
    assert measured(made, "sex: flag").value == 1.0
    assert measured(made, "sex: same").value == pytest.approx(0.5)
    assert measured(made, "sex: gone").value == pytest.approx(0.5)


HOSTILE: dict[str, tuple[pd.DataFrame, dict[str, Any], str]] = {
    "no column": (FRAME, {"attribute": "sxe"}, "no column 'sxe'"),
    "no input": (FRAME, {"inputs": ["incom"]}, "did you mean 'income'"),
    "text": (FRAME, {"inputs": "income"}, "list of names"),
    "no rows": (FRAME.iloc[:0], {}, "no rows"),
    "number": (FRAME, {"attribute": "income"}, "groups"),
    "complex": (FRAME.assign(c=1j), {"inputs": ["c"]}, "complex numbers"),
    "lists": (FRAME.assign(job=[["a"]] * N), {"inputs": ["job"]}, "can not be compared"),
    "limit": (FRAME, {"at_most": 0.3}, "between 0.5"),
    "percent": (FRAME, {"at_most": 75}, "between 0 and 1"),
    "repeats": (FRAME, {"repeats": 0}, "whole number"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_bad_input_is_told(case: str) -> None:
    frame, more, told = HOSTILE[case]
    with pytest.raises(InputError, match=told):
        found(frame=frame, **more)
