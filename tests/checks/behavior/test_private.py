"""What a model's answers give away of its training rows, and what a generator copies of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import threadpoolctl
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from pytest_prodml.adapters import as_predictor
from pytest_prodml.checks.behavior.private import private
from pytest_prodml.checks.behavior.private_attacks import signals_of_classes
from pytest_prodml.checks.behavior.private_copies import memorised, reproduced
from pytest_prodml.checks.behavior.private_likeness import nearest_distances
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Measurement, Outcome


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    with threadpoolctl.threadpool_limits(1):
        yield


def people(n_rows: int, seed: int) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    rows = pd.DataFrame(random.normal(size=(n_rows, 5)), columns=list("abcde"))
    odds = rows["a"] - rows["b"] + random.logistic(size=n_rows)
    return rows, (odds > 0).to_numpy(dtype=np.int64)


def measured(evidence: Evidence, metric: str, group: str | None = None) -> Measurement:
    canonical_json(encode(evidence))
    [found] = [item for item in evidence.measurements if (item.metric, item.group) == (metric, group)]
    return found


def outcome(evidence: Evidence) -> Outcome:
    found = [
        judged.judgement.outcome for judged in judge_criteria("behavior.g", evidence, confidence_level=0.95)
    ]
    assert found
    for worst in (Outcome.FAIL, Outcome.INCONCLUSIVE):
        if worst in found:
            return worst
    return Outcome.PASS


def attack(model: Any, data: Any, members: Any, **options: Any) -> Evidence:
    limits = {"at_most": 0.1, "compare_origin": False, **options}
    return private(as_predictor(model), data, members=members, gate_id="behavior.g", **limits)


def test_47_a_forest_that_learned_its_rows_by_heart_is_caught() -> None:
    train, test = people(800, 0), people(800, 1)
    forest = RandomForestClassifier(30, bootstrap=False, random_state=0).fit(*train)
    evidence = attack(forest, test, train, tpr_at_most={0.01: 0.05})
    found = measured(evidence, "membership_advantage")
    assert found.lower is not None
    assert found.lower > 0.25
    assert outcome(evidence) is Outcome.FAIL
    area = measured(evidence, "membership_roc_auc")
    assert area.lower is not None
    assert area.lower > 0.6
    assert measured(evidence, "membership_tpr", "fpr=0.001").value is None
    # Without labels the same forest is found by how sure it is.
    unlabelled = attack(forest, test[0], train[0])
    assert measured(unlabelled, "membership_advantage").lower > 0.2  # type: ignore[operator]
    assert set(unlabelled.details["attacks_tried"]) == {"confidence", "entropy"}  # type: ignore[arg-type]


def test_a_regularized_model_passes() -> None:
    train, test = people(4000, 0), people(4000, 1)
    evidence = attack(LogisticRegression(C=0.1).fit(*train), test, train, tpr_at_most={0.01: 0.03})
    assert outcome(evidence) is Outcome.PASS
    found = measured(evidence, "membership_advantage")
    assert found.upper is not None
    assert found.upper < 0.08
    assert found.n_samples == 4000
    assert "while" in str(measured(evidence, "membership_tpr", "fpr=0.01").note)


def test_a_regressor_is_attacked_by_its_errors() -> None:
    train, test = people(600, 0), people(600, 1)
    truth, unseen = (rows["a"].to_numpy() + np.random.default_rng(seed).normal(size=600) for seed, (rows, _) in
                     enumerate((train, test)))  # fmt: skip
    forest = RandomForestRegressor(20, bootstrap=False, random_state=0).fit(train[0], truth)
    assert outcome(attack(forest, (test[0], unseen), (train[0], truth))) is Outcome.FAIL
    assert attack(forest, (test[0], unseen), (train[0], truth)).details["attacks_tried"] == ["loss"]
    line = LinearRegression().fit(train[0], truth)
    assert outcome(attack(line, (test[0], unseen), (train[0], truth), at_most=0.25)) is Outcome.PASS
    with pytest.raises(InputError, match="tell members only by their errors"):
        attack(line, test[0], train[0], task="regression")


def test_the_bounds_keep_their_level_where_nothing_leaks() -> None:
    # A function that was never trained: the true advantage of every attack is 0.
    def model(rows: npt.NDArray[Any]) -> Any:
        return 1 / (1 + np.exp(-rows[:, 0] + rows[:, 1]))

    runs, missed, alarms = 400, 0, 0
    random = np.random.default_rng(2)
    for seed in range(runs):
        sets = []
        for _ in range(2):
            rows = random.normal(size=(160, 3))
            sets.append((rows, (rows[:, 0] - rows[:, 1] + random.logistic(size=160) > 0).astype(int)))
        found = measured(attack(model, sets[0], sets[1], seed=seed), "membership_advantage")
        assert found.upper is not None
        assert found.lower is not None
        missed += found.upper < 0
        alarms += found.lower > 0
    # 5 % each; three standard errors of 400 runs are 3.3 points.
    assert missed / runs <= 0.083
    assert alarms / runs <= 0.083


def test_ties_at_the_low_rate_are_accused_at_random_not_let_off() -> None:
    # Half of the training rows and 2 % of the held-out rows get the surest answer.
    random = np.random.default_rng(0)
    sure = np.where(random.random(4000) < 0.5, 0.99, 0.7), np.where(random.random(4000) < 0.02, 0.99, 0.7)
    known, held = ([f"{side} {place}" for place in range(4000)] for side in "mh")
    table = dict(zip(known + held, np.concatenate(sure), strict=True))
    evidence = attack(lambda texts: np.array([table[text] for text in texts]), held, known, at_most=0.6)
    found = measured(evidence, "membership_tpr", "fpr=0.01")
    # A rate of 1 % accuses half of the ties: 25 % of the training rows.
    assert found.value == pytest.approx(0.25, abs=0.1)


def test_signals_agree_with_their_definitions() -> None:
    chances = np.array([[0.7, 0.2, 0.1], [0.2, 0.2, 0.6]])
    found = signals_of_classes(chances, np.array(["x", "z"]), ["x", "y", "z"])
    assert found["loss"] == pytest.approx(np.log([0.7, 0.6]))
    assert found["confidence"] == pytest.approx([0.7, 0.6])
    assert found["entropy"] == pytest.approx([sum(p * np.log(p) for p in row) for row in chances])
    expected = [
        0.3 * np.log(0.7) + 0.2 * np.log(0.8) + 0.1 * np.log(0.9),
        0.4 * np.log(0.6) + 0.2 * np.log(0.8) + 0.2 * np.log(0.8),
    ]
    assert found["modified entropy"] == pytest.approx(expected)
    binary = signals_of_classes(np.array([0.9, 0.2]), np.array([1, 0]), [0, 1])
    assert binary["loss"] == pytest.approx(np.log([0.9, 0.8]))
    decisions = signals_of_classes(np.array([-3.0, 4.0]), np.array([1, 1]), [0, 1])
    assert decisions["loss"][0] < decisions["loss"][1]


def test_sets_of_unequal_origin_are_told() -> None:
    train, (rows, labels) = people(600, 0), people(600, 1)
    later = rows.assign(c=rows["c"] + 1.5)
    model = LogisticRegression().fit(*train)
    evidence = attack(model, (later, labels), train, compare_origin=True)
    found = measured(evidence, "origin_roc_auc")
    assert found.lower is not None
    assert found.lower > 0.7
    assert "differ by what they hold" in str(evidence.details["warning"])
    assert "differ by what they hold" in str(measured(evidence, "membership_advantage").note)
    limited = attack(model, (later, labels), train, compare_origin=True, origin_at_most=0.6, at_most=0.5)
    assert outcome(limited) is Outcome.FAIL
    same = attack(model, (rows, labels), train, compare_origin=True)
    assert "warning" not in same.details
    arrays = attack(
        lambda batch: model.predict_proba(pd.DataFrame(batch, columns=list("abcde")))[:, 1],
        later.to_numpy(),
        train[0].to_numpy(),
        compare_origin=True,
    )
    assert measured(arrays, "origin_roc_auc").lower > 0.7  # type: ignore[operator]


def test_training_rows_among_the_held_out_ones_do_not_hide_what_leaks() -> None:
    train, test = people(800, 0), people(800, 1)
    forest = RandomForestClassifier(30, bootstrap=False, random_state=0).fit(*train)
    mixed = pd.concat([test[0], train[0].iloc[:400]]), np.concatenate([test[1], train[1][:400]])
    evidence = attack(forest, mixed, train)
    assert evidence.details["held_out_copies_left_out"] == 400
    clean = attack(forest, test, train)
    assert measured(evidence, "membership_advantage").value == pytest.approx(
        measured(clean, "membership_advantage").value, abs=0.08
    )
    with pytest.raises(InputError, match="every held-out row is a copy"):
        attack(forest, train, train)
    most = pd.concat([test[0].iloc[:100], train[0]]), np.concatenate([test[1][:100], train[1]])
    with pytest.raises(InputError, match="800 of 900 held-out rows are copies"):
        attack(forest, most, train)


def test_texts_are_attacked_too() -> None:
    random = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(200)])
    texts = [" ".join(random.choice(words, 8)) for _ in range(400)]
    known = set(texts[:200])

    def model(batch: list[str]) -> Any:
        return np.array([0.99 if text in known else 0.6 for text in batch])

    evidence = attack(model, texts[200:], texts[:200])
    assert measured(evidence, "membership_advantage").value == 1
    assert [material.name for material in evidence.materials] == ["members", "test"]


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "limit": ({"at_most": 2.0}, "at_most must be a share"),
    "rate": ({"tpr_at_most": {0.05: 0.1}}, "has no rate 0.05"),
    "rate's limit": ({"tpr_at_most": {0.01: 3.0}}, "must be a share"),
    "task": ({"task": "ranking"}, "there is no task"),
    "classes": ({"classes": ["a", "b"]}, "is none of the model's classes"),
    "number of classes": ({"classes": [0, 1, 2]}, "2 scores and 3 classes"),
    "few": ({"members": "few"}, "10 training rows, at least 50"),
    "labels of one": ({"members": "bare"}, "the training rows have no labels"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_get_a_sentence(mistake: str) -> None:
    options, told = MISTAKES[mistake]
    options = dict(options)
    train, test = people(100, 0), people(100, 1)
    chosen: Any = {"few": (train[0].iloc[:10], train[1][:10]), "bare": train[0], None: train}
    members = chosen[options.pop("members", None)]
    with pytest.raises(InputError, match=told):
        attack(lambda rows: np.full(len(rows), 0.5), test, members, **options)


def test_a_model_that_refuses_rows_or_answers_nan_is_an_error() -> None:
    train, test = people(100, 0), people(100, 1)
    with pytest.raises(InputError, match="the model refuses training rows: KeyError"):
        attack(lambda rows: rows["absent"], test, train)
    with pytest.raises(InputError, match="of 100 training rows are not finite"):
        attack(lambda rows: np.full(len(rows), np.nan), test, train)


# Memorised answers


def test_a_nearest_neighbour_gives_its_training_answers_back() -> None:
    train, test = people(500, 0), people(500, 1)

    def check(model: Any, data: Any, members: Any) -> Evidence:
        return memorised(as_predictor(model), data, members=members, gate_id="behavior.g", at_most=0.1)

    evidence = check(KNeighborsClassifier(1).fit(*train), test, train)
    assert outcome(evidence) is Outcome.FAIL
    assert evidence.details["training_share"] == 1.0
    assert outcome(check(LogisticRegression().fit(*train), test, train)) is Outcome.PASS
    numbers = [(rows, rows["a"].to_numpy() + 0.1 * labels) for rows, labels in (train, test)]
    nearest = check(KNeighborsRegressor(1).fit(*numbers[0]), numbers[1], numbers[0])
    assert outcome(nearest) is Outcome.FAIL
    assert outcome(check(LinearRegression().fit(*numbers[0]), numbers[1], numbers[0])) is Outcome.PASS
    with pytest.raises(InputError, match="held-out rows have no labels"):
        check(LogisticRegression().fit(*train), test[0], train)
    with pytest.raises(InputError, match="are no probabilities"):
        check(lambda rows: rows["a"], test, train)


# Generated rows


def mixed_table(n_rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    rows = pd.DataFrame(random.normal(size=(n_rows, 4)), columns=list("abcd"))
    rows["b"] += rows["a"]
    return rows.assign(job=random.choice(["x", "y", "z"], n_rows), age=random.integers(18, 80, n_rows))


def copies(generated: Any, data: Any, members: Any, **options: Any) -> Evidence:
    return reproduced(generated, data, members=members, gate_id="behavior.g", at_most=0.03, **options)


def fresh(n_rows: int, seed: int = 0) -> pd.DataFrame:
    return mixed_table(n_rows, seed + 77)


def test_a_generator_of_new_rows_passes() -> None:
    evidence = copies(fresh, mixed_table(2000, 1), mixed_table(2000, 0), n_rows=2000, seed=3)
    assert outcome(evidence) is Outcome.PASS
    assert {item.group for item in evidence.measurements} == {"exact", "near", "nearest"}
    assert evidence.details["generated_rows"] == 2000
    assert [material.name for material in evidence.materials] == ["generated", "members", "test"]


@pytest.mark.parametrize(("noise", "group"), [(0.0, "exact"), (0.002, "near"), (0.03, "nearest")])
def test_a_generator_that_repeats_one_row_in_ten_is_caught(noise: float, group: str) -> None:
    train = mixed_table(2000, 0)
    made = fresh(2000)
    stolen = train.iloc[:200].copy()
    stolen[list("abcd")] += np.random.default_rng(0).normal(scale=noise, size=(200, 4)) if noise else 0.0
    made.iloc[:200] = stolen
    evidence = copies(made, mixed_table(2000, 1), train)
    found = measured(evidence, "copied_share", group)
    assert found.lower is not None
    assert found.lower > 0.03
    assert outcome(evidence) is Outcome.FAIL


def test_equal_rows_of_a_table_of_few_levels_are_no_copies() -> None:
    def levels(seed: int) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        return pd.DataFrame({name: random.integers(0, 3, 2000) for name in "abcd"})

    evidence = reproduced(levels(2), levels(1), members=levels(0), gate_id="behavior.g", at_most=0.05)
    assert measured(evidence, "copied_share", "exact").value == pytest.approx(0, abs=0.01)
    assert outcome(evidence) is Outcome.PASS


def test_texts_that_repeat_passages_are_caught() -> None:
    random = np.random.default_rng(0)
    words = np.array([f"w{number}" for number in range(400)])

    def texts(count: int) -> list[str]:
        return [" ".join(random.choice(words, 20)) for _ in range(count)]

    train, held, made = texts(300), texts(300), texts(300)
    assert outcome(copies(made, held, train)) is Outcome.PASS
    changed = [f"So: {text} indeed" for text in train[:60]]
    evidence = copies(changed + made[60:], held, train)
    assert measured(evidence, "copied_share", "near").value == pytest.approx(0.2)
    shouted = [text.upper() for text in train[:60]]
    assert measured(copies(shouted + made[60:], held, train), "copied_share", "exact").value == pytest.approx(
        0.2
    )


def test_distances_agree_with_the_definition() -> None:
    random = np.random.default_rng(0)
    train, rows = (
        pd.DataFrame({"a": random.normal(size=n), "b": random.choice(["x", "y"], n)}) for n in (70, 9)
    )
    found = nearest_distances(train, [rows])
    assert found is not None
    low, high = np.quantile(train["a"], (0.25, 0.75))
    spread = (high - low) / 1.349
    for row in range(9):
        gaps = ((train["a"] - rows["a"].iloc[row]) / spread) ** 2 + (train["b"] != rows["b"].iloc[row])
        assert found[0][row] == pytest.approx(float(np.sqrt(gaps.min())))


def test_images_are_compared_by_distance() -> None:
    random = np.random.default_rng(0)
    train, held, made = (random.random((200, 4, 4)) for _ in range(3))
    assert outcome(reproduced(made, held, members=train, gate_id="behavior.g", at_most=0.1)) is Outcome.PASS
    made[:50] = train[:50] + 0.01
    evidence = reproduced(made, held, members=train, gate_id="behavior.g", at_most=0.1)
    assert measured(evidence, "copied_share", "nearest").lower > 0.1  # type: ignore[operator]
    assert outcome(evidence) is Outcome.FAIL


def test_mistakes_with_generated_rows_get_a_sentence() -> None:
    train, held = mixed_table(100, 0), mixed_table(100, 1)
    with pytest.raises(InputError, match="10 generated rows, at least 50"):
        copies(train.iloc[:10], held, train)
    with pytest.raises(InputError, match="the training rows have no column 'new'"):
        copies(fresh(100).assign(new=1), held, train)
    with pytest.raises(InputError, match="of different kinds"):
        copies(np.ones((100, 6)), held, train)
    with pytest.raises(InputError, match="the generator raises TypeError"):
        copies(lambda: train, held, train)
    with pytest.raises(InputError, match="of different shapes"):
        copies(np.ones((100, 2)), np.ones((100, 3)), np.ones((100, 3)))
