"""A rule as a rate and as a search: planted faults, clean twins, seeds, known counterexamples, strategies."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import strategies as st

from behavior_inputs import angry, by_income, clients, measured, outcome
from pytest_prodml.adapters import as_predictor
from pytest_prodml.checks.behavior import (
    additive,
    bounded_change,
    consistent,
    directional,
    invariant_to,
    monotone,
    symmetric,
)
from pytest_prodml.checks.behavior.generator import generate
from pytest_prodml.checks.behavior.profile import profile_of
from pytest_prodml.checks.behavior.strategies import rows as rows_strategy
from pytest_prodml.checks.behavior.told import sentences
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, Outcome

Model = Callable[[pd.DataFrame], Any]


def applicants(n_rows: int = 2000, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return clients(n_rows, seed).assign(
        first=rng.gamma(3.0, 10.0, n_rows).round(1), second=rng.gamma(3.0, 10.0, n_rows).round(1)
    )


def planted(rows: pd.DataFrame) -> Any:
    """Return where the faults are: about 0.5 % of applicants."""
    return ((rows["income"] > 4321) & (rows["region"] == "south") & (rows["late"] >= 3)).to_numpy()


def no_fault(rows: pd.DataFrame) -> Any:
    return np.zeros(len(rows), dtype=bool)


def of_sex(where: Model) -> Model:
    return lambda rows: np.where(where(rows) & (rows["sex"] == "m"), 0.9, 0.1)


def falling_with_age(where: Model) -> Model:
    return lambda rows: 0.5 + np.where(where(rows), -0.003, 0.001) * rows["age"].to_numpy()


def jumping_with_age(where: Model) -> Model:
    return lambda rows: 0.5 + np.where(where(rows), rows["age"] % 2, 0.01)


def of_order(where: Model) -> Model:
    return lambda rows: np.where(where(rows) & (rows["first"] > rows["second"]), 0.9, 0.1)


def not_additive(where: Model) -> Model:
    return lambda rows: 2 * rows["first"].to_numpy() + np.where(where(rows), 50.0, 0.0)


def other_sex(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(sex=rows["sex"].map({"f": "m", "m": "f"}))


def five_years_older(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(age=rows["age"] + 5)


RULES: dict[str, tuple[Callable[[Model], Model], Callable[..., Evidence]]] = {
    "invariant_to": (of_sex, lambda model, data, **more: invariant_to("sex", model, data, threshold=0.5, **more)),
    "monotone": (falling_with_age, lambda model, data, **more: monotone("age", "increasing", model, data, **more)),
    "directional": (
        falling_with_age,
        lambda model, data, **more: directional(five_years_older, model, data, expect="not_decrease", **more),
    ),
    "consistent": (
        of_sex,
        lambda model, data, **more: consistent(other_sex, np.isclose, model, data, **more),
    ),
    "bounded_change": (
        jumping_with_age,
        lambda model, data, **more: bounded_change("age", 1, model, data, change_at_most=0.1, **more),
    ),
    "symmetric": (
        of_order,
        lambda model, data, **more: symmetric("first", "second", model, data, threshold=0.5, **more),
    ),
    "additive": (not_additive, lambda model, data, **more: additive("first", model, data, **more)),
}  # fmt: skip


def test_the_planted_fault_is_half_a_percent_of_the_space() -> None:
    plausible = generate(profile_of(applicants()), 50_000, mode="plausible", seed=0).rows
    assert 0.002 < planted(plausible).mean() < 0.012
    assert 0.002 < planted(applicants(50_000)).mean() < 0.008


@pytest.mark.parametrize("rule", RULES)
def test_a_planted_fault_is_found_and_shown_by_the_fewest_columns_and_the_roundest_values(rule: str) -> None:
    make, ask = RULES[rule]
    evidence = ask(as_predictor(make(planted)), applicants(), gate_id="g", never=True, seed=5)
    assert outcome(evidence) is Outcome.FAIL
    table: Any = evidence.details["minimal_counterexample"]
    shown = {row["column"]: row for row in table}
    typical = profile_of(applicants()).typical.iloc[0]
    differing = {
        name for name, row in shown.items() if "ordinary row" in row and row["ordinary row"] != row["before"]
    }
    moved = {name for name, row in shown.items() if row.get("changed")}
    assert differing - moved == {"income", "region", "late"} - moved
    assert shown["income"]["before"] == 5000
    assert shown["region"]["before"] == "south"
    assert shown["late"]["before"] == 3
    assert shown["region"]["ordinary row"] == typical["region"] == "north"
    found: Any = evidence.details["minimal_counterexample_found"]
    assert found["still_broken_up_to"]["income"] == pytest.approx(4321, abs=0.5)
    assert found["still_broken_up_to"]["late"] == 3
    assert "income" in sentences(evidence)


@pytest.mark.parametrize("rule", RULES)
def test_a_clean_model_is_never_accused(rule: str) -> None:
    make, ask = RULES[rule]
    model = as_predictor(make(no_fault))
    for seed in range(10):
        searched = ask(model, applicants(seed=seed), gate_id="g", never=True, n_inputs=2000, seed=seed)
        assert outcome(searched) is Outcome.PASS
        assert measured(searched, "violations").value == 0
        assert measured(searched, "violations").n_samples > 1000
        assert "counterexamples" not in searched.details
        rate = ask(model, applicants(seed=seed), gate_id="g", at_most=0.005, inputs="plausible", seed=seed)
        assert outcome(rate) is Outcome.PASS


@pytest.mark.parametrize("inputs", ["observed", "plausible"])
def test_a_rate_has_bounds_and_is_proven_refuted_or_neither(inputs: str) -> None:
    model = as_predictor(of_sex(planted))
    data = applicants(10_000)

    def at(limit: float) -> Outcome:
        return outcome(
            invariant_to("sex", model, data, gate_id="g", threshold=0.5, at_most=limit, inputs=inputs)
        )

    assert (at(0.02), at(0.001)) == (Outcome.PASS, Outcome.FAIL)
    found = measured(
        invariant_to("sex", model, data, gate_id="g", threshold=0.5, at_most=0.02, inputs=inputs),
        "decision_flip_rate",
    )
    assert found.value is not None
    assert at(found.value) is Outcome.INCONCLUSIVE


def test_a_model_on_the_limit_passes_in_at_most_five_of_a_hundred_samples() -> None:
    limit = 0.02

    def score(rows: pd.DataFrame) -> Any:
        return np.where((rows["lot"] < limit) & (rows["sex"] == "m"), 0.9, 0.1)

    passed = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        rows = pd.DataFrame({"sex": rng.choice(["f", "m"], 500), "lot": rng.random(500)})
        evidence = invariant_to(
            "sex", as_predictor(score), rows, gate_id="g", threshold=0.5, at_most=limit, redact=True
        )
        passed += outcome(evidence) is Outcome.PASS
    # Exact bounds err on the safe side; 31 of 400 is three deviations above 5 %.
    assert passed <= 31


def test_the_same_seed_gives_the_same_counterexample_in_another_process() -> None:
    def told() -> str:
        evidence = invariant_to(
            "sex", as_predictor(of_sex(planted)), applicants(), gate_id="g", threshold=0.5, never=True,
            inputs="plausible", seed=11,
        )  # fmt: skip
        return json.dumps([evidence.details["counterexamples"], evidence.details["minimal_counterexample"]])

    if "PRODML_TEST_TOLD" in os.environ:
        Path(os.environ["PRODML_TEST_TOLD"]).write_text(told(), encoding="utf-8")
        return
    here = Path(__file__)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "told.json"
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                f"{here}::{inspect.stack()[0].function}",
                "-p",
                "no:cacheprovider",
            ],
            check=True,
            capture_output=True,
            cwd=here.parents[3],
            env={**os.environ, "PYTHONHASHSEED": "77", "PRODML_TEST_TOLD": str(path)},
        )
        assert path.read_text(encoding="utf-8") == told()


def test_what_was_found_is_kept_and_tried_first(tmp_path: Path) -> None:
    path = tmp_path / "known" / "behavior.g.json"
    faulty, clean = as_predictor(of_sex(planted)), as_predictor(of_sex(no_fault))
    data = applicants()

    def ask(model: Any, **more: Any) -> Evidence:
        return invariant_to("sex", model, data, gate_id="behavior.g", threshold=0.5, known=path, **more)

    assert outcome(ask(clean, never=True)) is Outcome.PASS
    assert not path.exists()
    assert outcome(ask(faulty, never=True)) is Outcome.FAIL
    stored = json.loads(path.read_text())
    assert [entry["rule"] for entry in stored["entries"]] == ["invariant_to sex"]
    # Few rows without the fault among them: only the known one shows it.
    harmless = data[~planted(data)].head(50)
    again = invariant_to(
        "sex",
        faulty,
        harmless,
        gate_id="behavior.g",
        threshold=0.5,
        known=path,
        never=True,
        inputs="observed",
    )
    assert measured(again, "violations").value == 1
    assert again.details["known_counterexamples"] == {
        "tried": 1, "still_broken": 1, "no_longer_fitting_the_data": 0,
    }  # fmt: skip
    assert [item.name for item in again.materials] == ["test", "counterexamples of behavior.g"]
    # A rate is about its own inputs alone: a known counterexample is told, and not counted.
    rate = invariant_to("sex", faulty, harmless, gate_id="behavior.g", threshold=0.5, known=path, at_most=0.2)
    assert measured(rate, "decision_flip_rate").value == 0
    assert rate.details["known_counterexamples"] == again.details["known_counterexamples"]
    # What a rate allows is no counterexample to be kept; what it does not allow is.
    assert outcome(ask(faulty, at_most=0.5)) is Outcome.PASS
    assert json.loads(path.read_text()) == stored
    other = tmp_path / "other.json"
    invariant_to("sex", faulty, data, gate_id="behavior.g", threshold=0.5, known=other, at_most=0.0001)
    assert len(json.loads(other.read_text())["entries"]) == 1
    fixed = ask(clean, never=True)
    assert outcome(fixed) is Outcome.PASS
    assert json.loads(path.read_text()) == stored
    # Columns that are gone: kept, and told.
    narrower = invariant_to(
        "sex", clean, data.drop(columns="first"), gate_id="behavior.g", threshold=0.5, known=path, never=True
    )
    known: Any = narrower.details["known_counterexamples"]
    assert known["no_longer_fitting_the_data"] == 1


def test_redacted_inputs_are_neither_shown_nor_kept(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    evidence = invariant_to(
        "sex", as_predictor(of_sex(planted)), applicants(), gate_id="g", threshold=0.5, known=path, never=True,
        redact=True,
    )  # fmt: skip
    assert outcome(evidence) is Outcome.FAIL
    assert not path.exists()
    assert "counterexamples" not in evidence.details
    assert sentences(evidence) == ""


def test_a_schema_keeps_generated_rows_out() -> None:
    schema = pa.DataFrameSchema({"income": pa.Column(float, pa.Check.in_range(0, 4000))})
    evidence = invariant_to(
        "sex", as_predictor(of_sex(planted)), applicants(), gate_id="g", threshold=0.5, never=True,
        inputs=["plausible", "extreme"], schema=schema,
    )  # fmt: skip
    assert measured(evidence, "violations").value == 0
    table: Any = evidence.details["inputs_tried"]
    assert [row["inputs"] for row in table] == ["plausible", "extreme"]
    assert table[0]["refused by the schema"] > 0


def test_extreme_inputs_that_the_model_refuses_are_told_and_break_nothing() -> None:
    def careful(rows: pd.DataFrame) -> Any:
        if (rows["income"] > 1e6).any():
            raise ValueError("no such income")
        return by_income(rows)

    evidence = invariant_to(
        "sex", as_predictor(careful), clients(), gate_id="g", threshold=0.5, never=True, inputs="extreme",
        n_inputs=500,
    )  # fmt: skip
    table: Any = evidence.details["inputs_tried"]
    assert table[0]["refused by the model"] > 0
    assert table[0]["made"] + table[0]["refused by the model"] == 500
    assert outcome(evidence) is Outcome.PASS

    def refuses(rows: pd.DataFrame) -> Any:
        raise ValueError(f"closed to {len(rows)} people")

    with pytest.raises(InputError, match="refuses all 50 extreme inputs"):
        invariant_to(
            "sex", as_predictor(refuses), clients(), gate_id="g", threshold=0.5, never=True, inputs="extreme",
            n_inputs=50,
        )  # fmt: skip


def test_a_strategy_of_ones_own_is_searched_in_batches_and_shrunk_by_hypothesis() -> None:
    calls = []

    def remembered(rows: pd.DataFrame) -> Any:
        calls.append(len(rows))
        return of_sex(planted)(rows)

    evidence = invariant_to(
        "sex", as_predictor(remembered), applicants(), gate_id="g", threshold=0.5, never=True,
        inputs=rows_strategy(applicants()), n_inputs=300,
    )  # fmt: skip
    assert outcome(evidence) is Outcome.FAIL
    assert max(calls) >= 250
    table: Any = evidence.details["minimal_counterexample"]
    shown = {row["column"]: row["before"] for row in table}
    # Hypothesis' own idea of simple: the smallest allowed values.
    assert (shown["income"], shown["late"], shown["region"]) == (pytest.approx(4322, abs=1), 3, "south")
    clean = invariant_to(
        "sex", as_predictor(of_sex(no_fault)), applicants(), gate_id="g", threshold=0.5, never=True,
        inputs=rows_strategy(applicants()), n_inputs=100,
    )  # fmt: skip
    assert outcome(clean) is Outcome.PASS


def test_texts_of_a_strategy() -> None:
    def shout(text: str) -> str:
        return text.upper()

    words = st.lists(st.sampled_from(["good", "not", "bad"]), min_size=1, max_size=6).map(" ".join)
    evidence = invariant_to(
        shout, as_predictor(angry), ["x"], gate_id="g", threshold=0.5, never=True, inputs=words, n_inputs=200
    )
    assert outcome(evidence) is Outcome.FAIL
    table: Any = evidence.details["minimal_counterexample"]
    assert table[0] == {"what": "input", "before": "not", "after": "NOT"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either a rate or a rule that is never broken"),
        ({"at_most": 0.1, "never": True}, "either a rate or a rule that is never broken"),
        ({"at_most": 0.1, "inputs": ["observed", "plausible"]}, "a rate is about one kind of inputs"),
        ({"at_most": 0.1, "inputs": "likely"}, "there are no inputs 'likely'"),
        ({"never": True, "inputs": ["observed", "observed"]}, "or one twice"),
        ({"never": True, "n_inputs": 0}, "n_inputs must be a whole number from 1"),
        ({"never": True, "n_inputs": 1.5}, "n_inputs must be a whole number"),
        ({"at_most": 0.1, "inputs": st.text()}, "no rate over its examples"),
        ({"never": True, "inputs": st.text()}, "gives rows as dicts, got str"),
        (
            {"never": True, "inputs": st.fixed_dictionaries({"sex": st.just("f")})},
            "the strategy gives no age",
        ),
        ({"never": True, "inputs": st.nothing()}, "the strategy"),
        ({"never": True, "sead": 3}, "there is no option sead"),
    ],
)
def test_what_is_no_claim_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        invariant_to("sex", as_predictor(by_income), clients(), gate_id="g", threshold=0.5, **options)


def test_generated_inputs_need_a_table() -> None:
    with pytest.raises(InputError, match="plausible inputs can be made of tables only"):
        invariant_to(str.lower, as_predictor(angry), ["a", "B"], gate_id="g", never=True, inputs="plausible")
