"""What changes when only the attribute does: counted by brute force, on made and on real people."""

# ruff: noqa: ARG001, ARG005 - a user's functions take what they are given

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import scipy.stats

from credit_people import clients, risk
from pytest_prodml.adapters import as_predictor
from pytest_prodml.checks.fairness import counterfactual
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge
from pytest_prodml.records import Dimension, Evidence, Gate, GateRun, Measurement, Outcome, RunState

N = 800
RANDOM = np.random.default_rng(4)
FRAME = pd.DataFrame(
    {
        "income": RANDOM.normal(size=N),
        "sex": RANDOM.choice(["f", "m", "x"], N, p=[0.5, 0.4, 0.1]),
        "title": "none",
    }
)
FRAME["title"] = FRAME["sex"].map({"f": "Ms", "m": "Mr", "x": "Mx"})
WEIGHT = {"f": 0.0, "m": 0.4, "x": -0.2}


def by_sex(rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    odds = rows["income"] + rows["sex"].map(WEIGHT)
    return np.asarray(1 / (1 + np.exp(-odds)))


def by_title(rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    odds = rows["income"] + rows["title"].map({"Ms": 0.0, "Mr": 1.0, "Mx": 0.0})
    return np.asarray(1 / (1 + np.exp(-odds)))


def found(model: Any = by_sex, frame: pd.DataFrame = FRAME, **more: Any) -> Evidence:
    name = more.pop("attribute", "sex")
    more = {"at_most": 0.05, "threshold": 0.5, **more}
    made = counterfactual(name, as_predictor(model), frame, gate_id="fairness.test", **more)
    canonical_json(encode(made.details))
    return made


def measured(made: Evidence, metric: str = "counterfactual_flip_rate") -> Measurement:
    return next(one for one in made.measurements if one.metric == metric)


def outcome(made: Evidence) -> Outcome:
    gate = Gate(id=made.gate_id, dimension=Dimension.FAIRNESS, description="")
    run = GateRun(gate_id=made.gate_id, location="t", state=RunState.PASSED, evidence=made)
    return judge(gate, run, confidence_level=0.95).outcome


def test_every_row_and_value_by_hand() -> None:
    made = found(score_at_most=0.1)
    flips, changes = np.zeros(N, dtype=bool), np.zeros(N)
    pairs: dict[tuple[str, str], list[float]] = {}
    for row in range(N):
        one = FRAME.iloc[[row]]
        before = by_sex(one)[0]
        for value in ("f", "m", "x"):
            if value == one["sex"].iloc[0]:
                continue
            after = by_sex(one.assign(sex=value))[0]
            flips[row] |= (after >= 0.5) != (before >= 0.5)
            changes[row] = max(changes[row], abs(after - before))
            pairs.setdefault((one["sex"].iloc[0], value), []).append(after - before)
    rate = measured(made)
    assert rate.value == pytest.approx(flips.mean())
    assert rate.upper == pytest.approx(scipy.stats.beta.ppf(0.95, flips.sum() + 1, N - flips.sum()))
    assert rate.lower == pytest.approx(scipy.stats.beta.ppf(0.05, flips.sum(), N - flips.sum() + 1))
    change = measured(made, "counterfactual_score_change")
    assert change.value == pytest.approx(changes.mean())
    table: Any = made.details["pairs_of_values"]
    assert {(row["from"], row["to"]) for row in table} == set(pairs)
    for row in table:
        expected = np.array(pairs[row["from"], row["to"]])
        assert row["rows"] == expected.size
        assert row["mean_change"] == pytest.approx(expected.mean())
        assert row["mean_absolute_change"] == pytest.approx(np.abs(expected).mean())
        assert row["spread_of_change"] == pytest.approx(expected.std(), abs=1e-9)
    shown: Any = made.details["largest_changes"]
    assert shown[0]["any_decision_changes"]
    assert len(shown) == 20
    assert made.details["largest_changes_left_out"] == N - 20


def test_blocks_count_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = found()
    module = importlib.import_module("pytest_prodml.checks.fairness.counterfactual")
    monkeypatch.setattr(module, "_BLOCK", 37)
    parts = found()
    assert parts.measurements == whole.measurements
    assert parts.details["largest_changes"] == whole.details["largest_changes"]


def test_planted_fault_and_clean_twin() -> None:
    assert outcome(found(at_most=0.02)) is Outcome.FAIL
    assert outcome(found(lambda rows: 1 / (1 + np.exp(-rows["income"])), at_most=0.02)) is Outcome.PASS


def test_real_clients() -> None:
    frame = clients()
    assert outcome(found(risk(0.5), frame, threshold=0.22, at_most=0.02)) is Outcome.FAIL
    clean = found(risk(), frame, threshold=0.22, at_most=0.02)
    assert outcome(clean) is Outcome.PASS
    rate = measured(found(risk(0.5), frame, threshold=0.22))
    both = [risk(0.5)(frame.assign(sex=value)) >= 0.22 for value in ("female", "male")]
    assert rate.value == pytest.approx(float((both[0] != both[1]).mean()))


def test_a_column_that_the_model_does_not_see_is_told() -> None:
    made = found(by_title)
    assert measured(made).value == 0
    assert "does not see sex" in str(measured(made).note)
    assert "stand in" in str(made.details["what_it_shows"])
    ignored = found(lambda rows: rows["income"] * 0 + 0.3 + 0 * rows["sex"].map(WEIGHT))
    assert "no direct effect" in str(measured(ignored).note)
    assert "what_it_shows" not in found().details


def test_what_follows_moves_with_it() -> None:
    titles = {"f": "Ms", "m": "Mr", "x": "Mx"}
    expected = 0
    for _, one in FRAME.iterrows():
        decisions = {by_title(pd.DataFrame([{**one, "title": title}]))[0] >= 0.5 for title in titles.values()}
        expected += len(decisions) > 1
    mapping = found(by_title, dependants={"title": lambda rows, value: [titles[value]] * len(rows)})
    scalar = found(by_title, dependants={"title": lambda rows, value: titles[rows["sex"].iloc[0]]})
    whole = found(by_title, dependants=(["title"], lambda rows, value: rows.assign(title=titles[value])))
    assert measured(mapping).value == pytest.approx(expected / N)
    assert measured(mapping) == measured(scalar) == measured(whole)
    assert mapping.details["moved_with_it"] == ["title"]


WRONG: dict[str, tuple[Any, str]] = {
    "undeclared": (
        (["title"], lambda rows, value: rows.assign(income=0.0)),
        "'income', which is not declared",
    ),
    "attribute": ((["title"], lambda rows, value: rows.assign(sex="f")), "'sex', which is not declared"),
    "order": ((["title"], lambda rows, value: rows.iloc[::-1]), "same rows in the same order"),
    "columns": ((["title"], lambda rows, value: rows[["sex"]]), "same columns"),
    "no columns": (lambda rows, value: rows, "must say which columns"),
    "length": ({"title": lambda rows, value: ["Mr"]}, "shape"),
    "type": ({"income": lambda rows, value: "much"}, "does not fit"),
    "error": ({"title": lambda rows, value: 1 / 0}, "ZeroDivisionError"),
    "no column": ({"titel": lambda rows, value: "Mr"}, "did you mean 'title'"),
    "itself": ({"sex": lambda rows, value: "m"}, "own dependant"),
    "no function": ({"title": "Mr"}, "needs a function"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_dependants(case: str) -> None:
    dependants, told = WRONG[case]
    with pytest.raises(InputError, match=told):
        found(dependants=dependants)


def test_a_function_that_writes_into_its_rows_is_seen() -> None:
    def writes(rows: pd.DataFrame, value: object) -> pd.DataFrame:
        rows["income"] = 0.0
        return rows

    with pytest.raises(InputError, match="income"):
        found(dependants=(["title"], writes))


def test_missing_is_a_value_only_if_asked() -> None:
    frame = FRAME.assign(sex=FRAME["sex"].where(FRAME["sex"] != "x"))

    def score(rows: pd.DataFrame) -> Any:
        return np.where(rows["sex"].isna(), 0.9, 0.1)

    plain = found(score, frame)
    assert plain.details["values_shown"] == ["f", "m"]
    assert measured(plain).value == pytest.approx(float(frame["sex"].isna().mean()))
    asked = found(score, frame, values=["f", "m", None])
    assert measured(asked).value == 1.0
    table: Any = asked.details["pairs_of_values"]
    assert {"(missing)"} <= {row["to"] for row in table}


HOSTILE: dict[str, tuple[pd.DataFrame, dict[str, Any], str]] = {
    "constant": (FRAME.assign(sex="f"), {}, "holds 1 different value"),
    "nothing to change": (FRAME.assign(sex="f"), {"values": ["f"]}, "nothing was changed"),
    "all missing": (FRAME.assign(sex=None), {}, "holds 0 different values"),
    "lists": (FRAME.assign(sex=[["f"]] * N), {}, "can not be compared"),
    "no column": (FRAME, {"attribute": "sxe"}, "no column 'sxe'"),
    "no rows": (FRAME.iloc[:0], {}, "no rows"),
    "number": (FRAME, {"attribute": "income"}, "different values"),
    "type": (FRAME, {"attribute": "income", "values": ["much"]}, "does not fit"),
    "empty": (FRAME, {"values": []}, "values is empty"),
    "text": (FRAME, {"values": "fm"}, "must be a list"),
    "limit": (FRAME, {"at_most": 5}, "between 0 and 1"),
    "score limit": (FRAME, {"score_at_most": -1}, "from 0 on"),
    "weights": (FRAME, {"sample_weight": np.ones(3)}, "sample_weight"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_bad_input_is_told(case: str) -> None:
    frame, more, told = HOSTILE[case]
    with pytest.raises(InputError, match=told):
        found(frame=frame, **more)


def test_a_value_that_the_model_refuses_is_told() -> None:
    def strict(rows: pd.DataFrame) -> Any:
        if not set(rows["sex"]) <= set(WEIGHT):
            raise ValueError("Found unknown categories ['q'] in column 0")
        return by_sex(rows)

    with pytest.raises(InputError, match="refuses sex = 'q': ValueError: Found unknown categories"):
        found(strict, values=["f", "q"])
    with pytest.raises(InputError, match="not finite"):
        found(lambda rows: np.where(rows["sex"] == "m", np.nan, 0.5))


def test_rows_can_be_left_out_of_the_evidence() -> None:
    assert "largest_changes" not in found(redact=True).details


def test_clusters_and_weights() -> None:
    simple = measured(found())
    twice = pd.concat([FRAME, FRAME], ignore_index=True)
    person = np.tile(np.arange(N), 2)
    doubled = measured(found(frame=twice, clusters=person))
    assert doubled.value == simple.value
    assert doubled.upper is not None
    assert simple.upper is not None
    assert doubled.upper >= simple.upper - 0.002
    heavy = measured(found(sample_weight=np.where(FRAME["sex"] == "x", 0.0, 1.0)))
    kept = measured(found(frame=FRAME[FRAME["sex"] != "x"], values=["f", "m", "x"]))
    assert heavy.value == pytest.approx(kept.value)


def test_several_classes_have_decisions_and_no_score() -> None:
    def three(rows: pd.DataFrame) -> Any:
        return np.column_stack([rows["sex"] == value for value in ("f", "m", "x")]).astype(float)

    made = found(three, threshold=None)
    assert measured(made).value == 1.0
    assert len(made.measurements) == 1
    with pytest.raises(InputError, match="more than two classes"):
        found(three, threshold=None, score_at_most=0.1)
