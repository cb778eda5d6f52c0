"""Mitigated models: the gap falls on real data, the seed repeats everything, and what is undefined is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pytest_prodml.adapters import as_predictor, bind
from pytest_prodml.adapters.draws import draws
from pytest_prodml.adapters.mitigation import CONSTRAINTS, MitigatedModel, mitigated
from pytest_prodml.checks.fairness import Answers, difference_at_most
from pytest_prodml.errors import InputError

DATA = Path(__file__).parents[2] / "example_project" / "data" / "credit_default.csv.gz"
FEATURES = ["credit_limit", "age", "pay_status_sep", "pay_status_aug", "bill_sep", "paid_sep"]


@pytest.fixture(scope="module")
def clients() -> tuple[pd.DataFrame, pd.DataFrame]:
    frame = pd.read_csv(DATA).sample(frac=1, random_state=0, ignore_index=True)
    frame["school"] = np.where(frame["education"] == "graduate_school", "graduate", "other")
    frame["age_band"] = np.where(frame["age"] <= 25, "young", "older")
    frame["ok"] = 1 - frame["default_next_month"]
    return frame.iloc[:20_000], frame.iloc[20_000:]


def estimator() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))


def gap(
    decided: npt.ArrayLike, groups: npt.ArrayLike, metric: str = "selection_rate", truth: Any = None
) -> float:
    answers = Answers(y_true=truth, y_pred=decided, labels=[0, 1])
    found = difference_at_most(metric, 0.1, answers, {"g": groups}, gate_id="fairness.t")
    value = found.measurements[0].value
    assert value is not None
    return value


@pytest.fixture(scope="module")
def plain(clients: tuple[pd.DataFrame, pd.DataFrame]) -> npt.NDArray[np.int_]:
    train, test = clients
    return np.asarray(estimator().fit(train[FEATURES], train["ok"]).predict(test[FEATURES]))


@pytest.mark.parametrize(
    ("method", "constraint", "options", "most"),
    [
        ("threshold_optimizer", "demographic_parity", {"objective": "balanced_accuracy_score"}, 0.3),
        ("exponentiated_gradient", "demographic_parity", {"max_iter": 8}, 0.3),
        ("grid_search", "demographic_parity", {"grid_size": 11, "constraint_weight": 0.9}, 0.3),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_gap_of_real_clients_falls(
    clients: tuple[pd.DataFrame, pd.DataFrame],
    plain: npt.NDArray[np.int_],
    method: str,
    constraint: str,
    options: dict[str, Any],
    most: float,
) -> None:
    train, test = clients
    model = mitigated(
        estimator(),
        train,
        train["ok"],
        sensitive="school",
        method=method,
        constraint=constraint,
        features=FEATURES,
        seed=3,
        **options,
    )
    before, after = gap(plain, test["school"]), gap(model.predict(test), test["school"])
    assert before > 0.1, "there is a gap in the data"
    assert after <= most * before
    accuracy = [(decided == test["ok"]).mean() for decided in (plain, model.predict(test))]
    assert accuracy[1] > accuracy[0] - 0.08


@pytest.fixture(scope="module")
def optimized(clients: tuple[pd.DataFrame, pd.DataFrame]) -> MitigatedModel:
    train, _ = clients
    return mitigated(
        estimator(),
        train,
        train["ok"],
        sensitive="age_band",
        method="threshold_optimizer",
        features=FEATURES,
        objective="balanced_accuracy_score",
        seed=3,
    )


def test_the_seed_repeats_every_decision(
    clients: tuple[pd.DataFrame, pd.DataFrame], optimized: MitigatedModel
) -> None:
    train, test = clients

    def again(seed: int) -> MitigatedModel:
        return mitigated(
            estimator(),
            train,
            train["ok"],
            sensitive="age_band",
            method="threshold_optimizer",
            features=FEATURES,
            objective="balanced_accuracy_score",
            seed=seed,
        )

    decided = optimized.predict(test)
    assert (again(3).predict(test) == decided).all()
    chance = optimized.predict_proba(test)[:, 1]
    drawn = (chance > 0) & (chance < 1)
    assert drawn.any()
    assert (again(4).predict(test) != decided).any()
    assert decided[~drawn].tolist() == chance[~drawn].astype(int).tolist()
    assert decided[drawn].mean() == pytest.approx(chance[drawn].mean(), abs=4 * 0.5 / np.sqrt(drawn.sum()))


def test_a_row_gets_its_decision_alone_in_a_batch_and_in_any_order(
    clients: tuple[pd.DataFrame, pd.DataFrame], optimized: MitigatedModel
) -> None:
    rows = clients[1].iloc[:300]
    decided = optimized.predict(rows)
    order = np.random.default_rng(0).permutation(300)
    assert (optimized.predict(rows.iloc[order]) == decided[order]).all()
    assert [int(optimized.predict(rows.iloc[[i]])[0]) for i in range(40)] == decided[:40].tolist()
    floats = rows.assign(age=rows["age"].astype(float))
    assert (optimized.predict(floats) == decided).all()


def test_draws_are_uniform_and_differ_by_seed_and_value() -> None:
    frame = pd.DataFrame({"a": np.arange(20_000), "b": ["x", None, "z", "é"] * 5_000})
    u = draws(frame, 1)
    assert ((u >= 0) & (u < 1)).all()
    counts = np.bincount((u * 20).astype(int), minlength=20)
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi-squared, 19 degrees, 0.1 %
    assert abs(np.corrcoef(u, draws(frame, 2))[0, 1]) < 0.03
    assert (draws(frame.assign(a=frame["a"].astype(float)), 1) == u).all()
    assert (draws(np.array([[0.0, np.nan]]), 1) == draws(np.array([[-0.0, -np.nan]]), 1)).all()


def test_the_estimator_is_trained_on_the_labels_as_they_are(
    clients: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    """With 0 as the favorable label monotone constraints keep their meaning, and so does the constraint."""
    train, test = clients
    boost = HistGradientBoostingClassifier(max_iter=20, monotonic_cst=[0, 0, 1, 1, 0, 0])
    default = train["default_next_month"]
    model = mitigated(
        boost,
        train,
        default,
        sensitive="age_band",
        method="threshold_optimizer",
        constraint="true_positive_rate_parity",
        features=FEATURES,
        favorable_label=0,
        objective="balanced_accuracy_score",
    )
    truth = test["default_next_month"].to_numpy()
    decided = model.predict(test)
    assert (decided == truth).mean() > 0.6
    assert model.mitigation["constraint"] == "true_positive_rate_parity"
    assert model.fitted.constraints == "true_negative_rate_parity"
    before = gap(1 - boost.fit(train[FEATURES], default).predict(test[FEATURES]), test["age_band"])
    approved = gap(1 - decided, test["age_band"], "true_positive_rate", 1 - truth)
    assert before >= 0
    assert approved < 0.08


def test_labels_keep_their_names_and_their_order() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 2))
    sex = random.choice(["f", "m"], 400)
    y = np.where(x[:, 0] + 0.5 * (sex == "f") > 0, "no", "yes")
    model = mitigated(LogisticRegression(), x, y, sensitive=sex, method="grid_search", grid_size=5)
    assert model.classes_.tolist() == ["no", "yes"]
    assert set(model.predict(x)) <= {"no", "yes"}
    assert model.predict_proba(x).sum(axis=1) == pytest.approx(1)
    assert (model.predict(x) == y).mean() > 0.7


def test_it_is_measured_bound_and_described_like_any_model(
    clients: tuple[pd.DataFrame, pd.DataFrame], optimized: MitigatedModel, tmp_path: Path
) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"what the model was saved to")
    bound = bind(optimized, file)
    assert bound.subject is not None
    rows = clients[1][["age_band", *FEATURES, "sex"]].iloc[:50]
    assert bound.predict(rows).tolist() == optimized.predict(rows).tolist()
    assert as_predictor(optimized).predict_score(rows) == pytest.approx(optimized.predict_proba(rows)[:, 1])
    with pytest.raises(InputError, match="age_band"):
        bound.predict(rows.drop(columns="age_band"))
    told = json.loads(json.dumps(dict(optimized.mitigation)))
    assert told["groups"].keys() == {"young", "older"}
    assert (told["method"], told["seed"], told["randomized"]) == ("threshold_optimizer", 3, True)
    assert told["options"] == {"objective": "balanced_accuracy_score"}
    assert told["fairlearn"]


def test_groups_apart_from_the_table(clients: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    train, test = clients
    model = mitigated(
        estimator(),
        train[FEATURES],
        train["ok"],
        sensitive=train[["age_band", "sex"]],
        method="threshold_optimizer",
    )
    assert set(model.mitigation["groups"]) == {  # type: ignore[arg-type]  # a mapping by name
        f"age_band={band} & sex={sex}" for band in ("young", "older") for sex in ("female", "male")
    }
    with pytest.raises(InputError, match="needs the group"):
        model.predict(test[FEATURES])
    assert len(model.predict(test[FEATURES], test[["age_band", "sex"]])) == len(test)
    with pytest.raises(InputError, match="not trained on the group 'age_band=old & sex=male'"):
        model.predict(test[FEATURES][:1], pd.DataFrame({"age_band": ["old"], "sex": ["male"]}))


def test_a_missing_membership_is_a_group() -> None:
    random = np.random.default_rng(1)
    x = pd.DataFrame({"a": random.normal(size=300), "sex": random.choice(np.array(["f", "m", None]), 300)})
    y = (x["a"] + random.normal(size=300) > 0).astype(int)
    model = mitigated(
        LogisticRegression(), x, y, sensitive="sex", features=["a"], method="threshold_optimizer"
    )
    assert set(model.mitigation["groups"]) == {"f", "m", "(missing)"}  # type: ignore[arg-type]
    assert len(model.predict(x)) == 300


@pytest.mark.parametrize("method", CONSTRAINTS)
@pytest.mark.parametrize("constraint", ["equalized_odds", "true_positive_rate_parity"])
def test_a_group_without_a_label_is_refused_by_name(method: str, constraint: str) -> None:
    x = np.arange(40.0).reshape(-1, 1)
    sex = ["f"] * 20 + ["m"] * 20
    y = [0] * 20 + [0, 1] * 10
    with pytest.raises(InputError, match="the group 'f' has 20 rows and none with the favorable label"):
        mitigated(LogisticRegression(), x, y, sensitive=sex, constraint=constraint, method=method)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "magic"}, "exponentiated_gradient"),
        ({"constraint": "false_negative_rate_parity"}, "has no constraint"),
        ({"y": [0, 1, 2, 0]}, "y holds 3"),
        ({"y": [0, 1, None, 0]}, "missing in 1 of 4"),
        ({"y": [0, 1]}, "4 rows, y 2"),
        ({"sensitive": ["f"] * 4}, "only the group 'f'"),
        ({"sensitive": "sex"}, "no column 'sex'"),
        ({"seed": -1}, "seed"),
        ({"favorable_label": "yes"}, "not among the labels"),
        ({"eps": -1, "nonsense": 2}, "nonsense"),
        ({"favorable_label": 0, "ratio_bound": 0.8}, "about the second label"),
    ],
)
def test_what_can_not_be_mitigated(change: dict[str, Any], message: str) -> None:
    call: dict[str, Any] = {
        "X": np.arange(8.0).reshape(4, 2),
        "y": [0, 1, 0, 1],
        "sensitive": ["f", "m", "f", "m"],
    } | change
    with pytest.raises(InputError, match=message):
        mitigated(LogisticRegression(), **call)
