"""Exact robustness of tree ensembles: proofs against what random search finds. Needs dtai-veritas."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from behavior_inputs import measured, outcome
from pytest_prodml.adapters import as_predictor
from pytest_prodml.checks.behavior.trees import robust_trees
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, Outcome

pytest.importorskip("veritas", reason="the extra trees is not installed")


def data(n: int = 400) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(n, 6)), columns=list("abcdef"))
    return table, (table["a"] + 0.5 * table["b"] + 0.3 * rng.normal(size=n) > 0).to_numpy().astype(int)


def models() -> dict[str, Any]:
    table, labels = data()
    found: dict[str, Any] = {
        "forest": RandomForestClassifier(20, max_depth=5, random_state=0).fit(table.to_numpy(), labels),
        "boosting": GradientBoostingClassifier(n_estimators=30, random_state=0).fit(table.to_numpy(), labels),
    }
    try:
        xgboost = importlib.import_module("xgboost")
        found["xgboost"] = xgboost.XGBClassifier(n_estimators=30, max_depth=4).fit(table.to_numpy(), labels)
    except ImportError:
        pass
    return found


def served(model: Any) -> Any:
    return as_predictor(lambda rows: model.predict_proba(rows.to_numpy())[:, 1])


def ask(model: Any, table: pd.DataFrame, **more: Any) -> Evidence:
    options: dict[str, Any] = {"budget": 0.1, "at_least": 0.5, "rows": 80, **more}
    return robust_trees(model, served(model), table, gate_id="g", **options)


@pytest.mark.parametrize("name", ["forest", "boosting", "xgboost"])
def test_what_is_proven_no_random_change_turns_and_what_is_turned_is(name: str) -> None:
    model = models().get(name)
    if model is None:
        pytest.skip("xgboost is not installed")
    table, _ = data(80)
    evidence = ask(model, table)
    counts = evidence.details
    assert counts["answered_otherwise"] == 0
    assert counts["undecided"] == 0
    rng = np.random.default_rng(1)
    unit = ((table.quantile(0.75) - table.quantile(0.25)) / 1.349).to_numpy()
    own = model.predict(table.to_numpy())
    turned = 0
    for row, decision in zip(table.to_numpy(), own, strict=True):
        trial = row + rng.uniform(-0.1, 0.1, (500, 6)) * unit
        turned += bool((model.predict(trial) != decision).any())
    # Random changes find no more than the exact search, and most of it.
    assert turned <= counts["turned"]  # type: ignore[operator]
    assert turned >= 0.5 * counts["turned"]  # type: ignore[operator]
    found = measured(evidence, "proven_robust_rate")
    assert found.value == pytest.approx(1 - int(str(counts["turned"])) / 80)
    assert outcome(evidence) is Outcome.PASS


def test_a_larger_budget_proves_less_and_a_fixed_feature_helps() -> None:
    model = models()["boosting"]
    table, _ = data(80)
    small, large = (
        measured(ask(model, table, budget=size), "proven_robust_rate").value for size in (0.05, 1.0)
    )
    assert small is not None
    assert large is not None
    assert small > large
    assert measured(ask(model, table, budget=1.0, features=["f"]), "proven_robust_rate").value > large  # type: ignore[operator]


def test_another_deployed_model_is_not_proven_by_these_trees() -> None:
    table, labels = data(80)
    other = LogisticRegression().fit(table.to_numpy(), 1 - labels)
    evidence = robust_trees(
        models()["forest"], served(other), table, gate_id="g", budget=0.1, at_least=0.5, rows=80
    )
    assert int(str(evidence.details["answered_otherwise"])) > 60
    assert outcome(evidence) is not Outcome.PASS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": 0}, "got budget=0"),
        ({"table": data(20)[0].assign(a="x")}, "trees are searched over numbers"),
        ({"table": data(20)[0].assign(a=np.nan)}, "missing or infinite cells"),
    ],
)
def test_what_can_not_be_searched_is_told(changes: dict[str, Any], message: str) -> None:
    table = changes.pop("table", data(20)[0])
    with pytest.raises(InputError, match=message):
        ask(models()["forest"], table, **changes)


def test_a_model_without_trees_is_refused() -> None:
    table, labels = data(50)
    with pytest.raises(InputError, match="veritas can not convert it"):
        ask(LogisticRegression().fit(table.to_numpy(), labels), table)
