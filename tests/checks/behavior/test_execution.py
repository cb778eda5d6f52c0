"""The contract of a model in service: planted faults are named, healthy models of every kind pass."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import threadpoolctl
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from onnx_models import classifier, exported, features, save
from pytest_prodml.adapters import as_predictor, load_model
from pytest_prodml.checks.behavior.execution import CASE_NAMES, robust_execution
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome

#: These take seconds; they have tests of their own.
SLOW = ("process", "memory", "threads")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    with threadpoolctl.threadpool_limits(1):
        yield


def clients(n_rows: int = 300, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": random.integers(18, 80, n_rows),
            "income": random.gamma(2.0, 1000.0, n_rows),
            "job": random.choice(["clerk", "driver", "nurse"], n_rows),
        }
    )


def odds(rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    job = rows["job"].map({"clerk": 0.7, "driver": -0.6, "nurse": 0.2}).astype(float).fillna(0.0)
    age, income = (rows[name].to_numpy(dtype=float) for name in ("age", "income"))
    return np.asarray((age - 50) / 20 + (income - 2000) / 1500 + job.to_numpy(), dtype=np.float64)


def probability(odd: Any) -> npt.NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(np.asarray(odd, dtype=float), -500, 500))))


def healthy(rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Answer, or refuse what is not there or not finite."""
    found = odds(rows)
    if not np.isfinite(found).all():
        raise ValueError("a number is missing or infinite")
    return probability(found)


def labels(rows: pd.DataFrame, seed: int = 1) -> npt.NDArray[np.int64]:
    noise = np.random.default_rng(seed).logistic(size=len(rows))
    return np.asarray(odds(rows) + noise > 0, dtype=np.int64)


@functools.cache
def pipeline() -> Any:
    rows = clients(600, seed=3)
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["age", "income"]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["job"]),
        ]
    )
    return make_pipeline(columns, LogisticRegression()).fit(rows, labels(rows))


def check(model: Any, data: Any = None, **options: Any) -> Evidence:
    data = clients() if data is None else data
    evidence = robust_execution(as_predictor(model), data, gate_id="behavior.g", **options)
    canonical_json(encode(evidence))
    return evidence


def table(evidence: Evidence) -> dict[str, dict[str, Any]]:
    rows: Any = evidence.details["cases"]
    return {row["case"]: row for row in rows}


def outcome(evidence: Evidence) -> Outcome:
    found = [
        judged.judgement.outcome for judged in judge_criteria("behavior.g", evidence, confidence_level=0.95)
    ]
    assert found
    for worst in (Outcome.FAIL, Outcome.INCONCLUSIVE):
        if worst in found:
            return worst
    return Outcome.PASS


def wrong(evidence: Evidence) -> dict[str, str]:
    return {name: row["told"] for name, row in table(evidence).items() if row["outcome"] == "failed"}


# Planted faults: catalogue of statistics.md, section 5


def unsteady() -> Callable[[pd.DataFrame], Any]:
    random = np.random.default_rng(0)
    return lambda rows: np.clip(healthy(rows) + random.normal(scale=1e-3, size=len(rows)), 0, 1)


def scaled_by_batch(rows: pd.DataFrame) -> Any:
    own = odds(rows)
    return probability((own - own.mean()) / max(own.std(), 1e-3))


class Counting:
    """Keeps the highest income that it ever saw."""

    def __init__(self) -> None:
        self.highest = 1.0

    def __call__(self, rows: pd.DataFrame) -> Any:
        income = rows["income"].to_numpy(dtype=float)
        self.highest = max(self.highest, float(income.max(initial=0.0)))
        return np.clip(income / self.highest, 0, 1)


def overwrites(rows: pd.DataFrame) -> Any:
    rows["income"] = rows["income"] / 1000
    return probability(rows["income"] - 2)


def adds_a_column(rows: pd.DataFrame) -> Any:
    rows["log income"] = np.log(rows["income"])
    return probability(rows["log income"] - 7)


def by_position(rows: pd.DataFrame) -> Any:
    return probability(pd.to_numeric(rows.iloc[:, 0], errors="coerce").fillna(50) / 20 - 2.5)


def in_float32_sums(rows: pd.DataFrame) -> Any:
    income = rows["income"]
    # Cents since the epoch: float32 has seven digits.
    return probability(
        (income + np.asarray(1e9, dtype=income.dtype) - np.asarray(1e9, dtype=income.dtype)) / 1e3 - 2
    )


def missing_is_zero(rows: pd.DataFrame) -> Any:
    return probability(odds(rows.assign(age=rows["age"].fillna(0), income=rows["income"].fillna(0))))


def crashes_on_new_job(rows: pd.DataFrame) -> Any:
    known = {"clerk": 0.7, "driver": -0.6, "nurse": 0.2}
    return probability([known[job] + age / 50 - 1 for job, age in zip(rows["job"], rows["age"], strict=True)])


def new_job_is_the_first(rows: pd.DataFrame) -> Any:
    known = {"clerk": 0.7, "driver": -0.6, "nurse": 0.2}
    return probability(
        [known.get(job, 0.7) + age / 50 - 1 for job, age in zip(rows["job"], rows["age"], strict=True)]
    )


def needs_two_rows(rows: pd.DataFrame) -> Any:
    found = healthy(rows)
    return found + 0 * np.max(np.diff(found)) if len(rows) > 1 else found[np.arange(len(rows)) + 1]


def looks_at_the_first(rows: pd.DataFrame) -> Any:
    return healthy(rows) + 0 * rows["age"].iloc[0]


def drops_rows(rows: pd.DataFrame) -> Any:
    return healthy(rows.dropna())


def answers_nan(rows: pd.DataFrame) -> Any:
    with np.errstate(invalid="ignore"):
        return 1 / (1 + np.exp(-odds(rows)))


def spoils_neighbours(rows: pd.DataFrame) -> Any:
    own = odds(rows)
    own[~np.isfinite(own)] = 0.0
    return probability(own) * (0.5 if rows["income"].isna().any() else 1.0)


def joins_by_index(rows: pd.DataFrame) -> Any:
    found = pd.Series(healthy(rows), index=rows.index)
    return found[~found.index.duplicated()].reindex(rows.index).to_numpy()


FAULTS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "24 not deterministic": (unsteady(), "repeated_calls", {}),
    "25 batch normalization": (scaled_by_batch, "neighbours", {}),
    "25 batch normalization in other sizes": (scaled_by_batch, "batch_size", {}),
    "25 batch normalization of copies": (scaled_by_batch, "duplicate_rows", {}),
    "27 input changed": (overwrites, "input_unchanged", {}),
    "27 input widened": (adds_a_column, "input_unchanged", {}),
    "28 columns by position": (by_position, "column_order", {}),
    "28 columns by position, more of them": (by_position, "extra_columns", {}),
    "29 float32": (in_float32_sums, "float32", {}),
    "30 missing is zero": (missing_is_zero, "missing_as_number", {}),
    "31 crash on an unseen category": (
        crashes_on_new_job,
        "unseen_categories",
        {"must_answer": ["unseen_categories"]},
    ),
    "32 unseen is the first category": (new_job_is_the_first, "unseen_as_known", {}),
    "33 crash on one row": (needs_two_rows, "one_row", {}),
    "33 crash on no rows": (looks_at_the_first, "empty_batch", {"must_answer": ["empty_batch"]}),
    "33 an answer to no rows": (
        lambda rows: np.append(healthy(rows), [0.5] * (not len(rows))),
        "empty_batch",
        {},
    ),
    "rows swallowed": (drops_rows, "missing_values", {}),
    "NaN for missing": (answers_nan, "missing_values", {}),
    "neighbours of a missing value": (spoils_neighbours, "missing_values", {}),
    "index joined": (joins_by_index, "duplicated_index", {}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named(fault: str) -> None:
    model, case, options = FAULTS[fault]
    evidence = check(model, only=[case], **options)
    assert table(evidence)[case]["outcome"] == "failed", table(evidence)[case]
    assert outcome(evidence) is Outcome.FAIL
    [measured] = evidence.measurements
    assert (measured.value, measured.lower, measured.upper) == (1, 1, 1)
    assert case in str(measured.note)
    # The healthy twin.
    assert wrong(check(healthy, only=[case])) == {}


def test_26_state_between_calls_is_found_and_nothing_else_is_blamed() -> None:
    evidence = check(Counting(), clients(2000), skip=SLOW)
    assert "state" in wrong(evidence) or "repeated_calls" in wrong(evidence)
    rows = table(evidence)
    assert rows["row_order"]["outcome"] == "not tried"
    assert "would mean nothing" in rows["row_order"]["told"]
    assert outcome(evidence) is Outcome.FAIL


def test_57_swapped_classes_are_found_by_the_labels_of_the_data() -> None:
    rows = clients(500)
    swapped = check(lambda rows: 1 - healthy(rows), (rows, labels(rows)), only=["class_order"])
    assert "ranks its rows last" in wrong(swapped)["class_order"]
    assert wrong(check(healthy, (rows, labels(rows)), only=["class_order"])) == {}
    with pytest.raises(InputError, match="none of the cases applies"):
        check(healthy, rows, only=["class_order"])


def test_57_labels_that_contradict_the_scores_are_found() -> None:
    class Contradicts:
        classes_: tuple[Any, ...] = (0, 1)

        def predict_proba(self, rows: pd.DataFrame) -> Any:
            found = healthy(rows)
            return np.column_stack([found, 1 - found])

        def predict(self, rows: pd.DataFrame) -> Any:
            return (healthy(rows) >= 0.5).astype(int)

    assert "labelled 1" in wrong(check(Contradicts(), only=["labels_follow_scores"]))["labels_follow_scores"]

    class Swapped(Contradicts):
        classes_ = ("a", "b", "c")

        def predict_proba(self, rows: pd.DataFrame) -> Any:
            third = np.arange(len(rows)) % 3
            return np.eye(3)[third] * 0.4 + 0.2

        def predict(self, rows: pd.DataFrame) -> Any:
            return np.array(["b", "a", "c"])[np.arange(len(rows)) % 3]

    told = wrong(check(Swapped(), only=["labels_follow_scores"]))
    assert "the label 'b' goes with the score of the class 'a'" in told["labels_follow_scores"]


def test_54_a_model_that_threads_must_not_share_is_caught() -> None:
    class Buffer:
        """Keeps its input in itself while it computes."""

        rows: Any = None

        def __call__(self, rows: pd.DataFrame) -> Any:
            self.rows = rows
            n_rows = len(self.rows)
            own = odds(self.rows)
            return probability(own[:n_rows])

    assert "threads" in wrong(check(Buffer(), only=["threads"]))

    lock = threading.Lock()
    inner = Buffer()

    def locked(rows: pd.DataFrame) -> Any:
        with lock:
            return inner(rows)

    assert wrong(check(locked, only=["threads"])) == {}
    # Warnings are errors here, and threads of scikit-learn change the filters that all of them share.
    filters = list(warnings.filters)
    assert wrong(check(pipeline(), only=["threads"])) == {}
    assert list(warnings.filters) == filters


def test_probabilities_that_are_none() -> None:
    assert "out of bounds" in wrong(check(odds, only=["valid_answers"]))["valid_answers"]
    assert wrong(check(odds, only=["valid_answers"], bounds=None)) == {}
    three = check(lambda rows: np.full((len(rows), 3), 0.3), only=["valid_answers"])
    assert "sum to one" in wrong(three)["valid_answers"]
    told = {"sum_to_one": False}
    assert wrong(check(lambda rows: np.full((len(rows), 3), 0.3), only=["valid_answers"], **told)) == {}
    two = check(lambda rows: np.full((len(rows), 2), 0.4), only=["valid_answers"])
    assert "both classes sum to 0.8" in wrong(two)["valid_answers"]


def test_nan_may_be_a_refusal_but_not_for_other_rows() -> None:
    options: dict[str, Any] = {"only": ["missing_values"], "nan_refuses": True}
    assert wrong(check(answers_nan, **options)) == {}

    def all_nan(rows: pd.DataFrame) -> Any:
        found = answers_nan(rows)
        return found if np.isfinite(found).all() else np.full(len(rows), np.nan)

    assert "not finite" in wrong(check(all_nan, **options))["missing_values"]


def test_a_column_with_missing_cells_must_be_answered() -> None:
    rows = clients()
    rows.loc[::7, "income"] = np.nan

    def refuses_age(rows: pd.DataFrame) -> Any:
        if rows["age"].isna().any():
            raise ValueError("no age")
        return probability(odds(rows.assign(income=rows["income"].fillna(2000))))

    assert wrong(check(refuses_age, rows, only=["missing_values"])) == {}

    def answers_its_own(rows: pd.DataFrame) -> Any:
        if rows["income"].isna().sum() > 0 and len(rows) <= 16:
            raise ValueError("no income")
        return refuses_age(rows)

    found = wrong(check(answers_its_own, rows, only=["missing_values"]))["missing_values"]
    assert found.startswith("missing in 'income': ValueError")
    demanded = check(refuses_age, rows, only=["missing_values"], must_answer={"missing_values": ["age"]})
    assert wrong(demanded)["missing_values"].startswith("missing in 'age'")


def test_an_answer_may_be_demanded_wherever_a_refusal_would_do() -> None:
    def refuses_gaps(rows: pd.DataFrame) -> Any:
        if rows.isna().any(axis=None) or not rows["job"].isin(["clerk", "driver", "nurse"]).all():
            raise ValueError("not these")
        return healthy(rows)

    for case in ("missing_as_number", "unseen_as_known", "missing_values", "infinities"):
        model = healthy if case == "infinities" else refuses_gaps
        assert table(check(model, only=[case]))[case]["outcome"] == "refused"
        assert case in wrong(check(model, only=[case], must_answer=[case]))


def test_a_category_that_is_meant_for_the_unseen_may_be_declared() -> None:
    options: dict[str, Any] = {"only": ["unseen_as_known"]}
    assert wrong(check(new_job_is_the_first, fallbacks={"job": "clerk"}, **options)) == {}
    rows = clients().replace({"job": {"clerk": "other"}})

    def to_other(rows: pd.DataFrame) -> Any:
        return new_job_is_the_first(rows.replace({"job": {"other": "clerk"}}))

    assert wrong(check(to_other, rows, **options)) == {}


def test_one_value_does_not_hide_behind_another_that_is_refused() -> None:
    def refuses_only_plus(rows: pd.DataFrame) -> Any:
        if (rows["income"] == np.inf).any():
            raise ValueError("infinite")
        return np.where(np.isinf(rows["income"]), 7.0, probability(rows["income"] / 1000 - 2))

    found = wrong(check(refuses_only_plus, only=["infinities"]))["infinities"]
    assert found.startswith("infinite in 'income', alone: a score out of bounds")


def test_the_end_of_the_process_is_no_refusal() -> None:
    def exits(rows: pd.DataFrame) -> Any:
        if len(rows) == 0:
            raise SystemExit(3)
        return healthy(rows)

    assert "ends the process" in wrong(check(exits, only=["empty_batch"]))["empty_batch"]


# Healthy models


def test_a_healthy_pipeline_passes_every_case() -> None:
    rows = clients(400)
    evidence = check(pipeline(), (rows, labels(rows)), skip=SLOW)
    assert wrong(evidence) == {}
    assert outcome(evidence) is Outcome.PASS
    assert {item.group for item in evidence.measurements} == {
        "answers", "batches", "table", "types", "hostile values", "calls",
    }  # fmt: skip
    assert evidence.details["skipped"] == ["threads", "process", "memory"]
    assert table(evidence)["empty_batch"]["outcome"] == "refused"


@pytest.mark.parametrize("seed", range(3))
def test_trees_on_numbers_and_missing_values_pass(seed: int) -> None:
    rows = clients(300, seed).drop(columns="job")
    rows.loc[::9, "income"] = np.nan
    truth = (rows["age"] + np.random.default_rng(seed).normal(scale=9, size=300) > 50).astype(int).to_numpy()
    boosted = HistGradientBoostingClassifier(max_iter=20, random_state=seed).fit(rows, truth)
    evidence = check(boosted, (rows, truth), skip=SLOW, seed=seed)
    assert wrong(evidence) == {}
    assert table(evidence)["missing_values"]["refused"] == 0


def test_a_regressor_and_several_classes_pass() -> None:
    rows = clients(300)[["age", "income"]]
    regressor = LinearRegression().fit(rows, rows["income"] * 3 + rows["age"])
    assert wrong(check(regressor, (rows, rows["income"].to_numpy()), skip=SLOW, bounds=None)) == {}
    kinds = np.array(["a", "b", "c"])[pd.qcut(rows["age"], 3, labels=False)]
    forest = RandomForestClassifier(10, random_state=0).fit(rows, kinds)
    evidence = check(forest, (rows, kinds), skip=SLOW)
    assert wrong(evidence) == {}
    assert table(evidence)["class_order"]["outcome"] == "passed"


def test_a_healthy_onnx_model_passes_and_its_file_is_loaded_anew(tmp_path: Path) -> None:
    rows = pd.DataFrame(features(200, seed=4), columns=["a", "b", "c"])
    truth = classifier().predict(rows.to_numpy())
    linear = save(exported(classifier()), tmp_path / "linear.onnx")
    model = load_model(linear, columns=["a", "b", "c"])
    found = wrong(check(model, (rows, truth), skip=SLOW))
    # A linear graph passes NaN on: that is told, and may be declared to be its refusal.
    assert set(found) == {"missing_values"}
    assert wrong(check(model, (rows, truth), skip=SLOW, nan_refuses=True)) == {}
    forest = RandomForestClassifier(5, max_depth=3, random_state=0).fit(rows.to_numpy(), truth)
    data = to_onnx(forest, features(1), options={"zipmap": False}).SerializeToString()
    trees = save(data, tmp_path / "trees.onnx")
    loaded = load_model(trees, columns=["a", "b", "c"])
    evidence = check(loaded, (rows, truth), skip=["memory", "threads"], path=trees)
    assert wrong(evidence) == {}
    assert table(evidence)["process"]["outcome"] == "passed"
    assert table(evidence)["round_trip"]["outcome"] == "not applicable"
    with pytest.raises(InputError, match="another file than the model"):
        check(loaded, rows, only=["process"], path=linear)


def test_without_column_names_an_onnx_matrix_depends_on_their_order(tmp_path: Path) -> None:
    rows = pd.DataFrame(features(100, seed=4), columns=["a", "b", "c"])
    model = load_model(save(exported(classifier()), tmp_path / "linear.onnx"))
    assert "column_order" in wrong(check(model, rows, only=["column_order"]))


TEXTS = [f"the {kind} service of {place} was {word}" for kind in ("food", "room") for place in ("Rome", "Oslo")
         for word in ("good", "bad", "fine", "awful")]  # fmt: skip


def sentiment(texts: list[str]) -> npt.NDArray[np.float64]:
    good, bad = {"good", "fine"}, {"bad", "awful"}
    words = [set(text.split()) for text in texts]
    return np.array([0.5 + 0.4 * (len(own & good) > 0) - 0.4 * (len(own & bad) > 0) for own in words])


def test_a_function_of_texts_passes_and_unfit_ones_fail() -> None:
    evidence = check(sentiment, TEXTS, skip=SLOW)
    assert wrong(evidence) == {}
    rows = table(evidence)
    assert rows["column_order"]["told"] == "the inputs are no table"
    assert rows["column_order"]["outcome"] == "not applicable"
    assert rows["unusual_text"]["outcome"] == "passed"
    assert outcome(evidence) is Outcome.PASS
    by_share = check(lambda texts: [text.count("good") / len(text.split()) if text.split() else np.nan for text in texts], TEXTS,
                     only=["empty_text"])  # fmt: skip
    assert "not finite" in wrong(by_share)["empty_text"]


def test_arrays_pass_and_a_layout_that_matters_is_caught() -> None:
    images = np.random.default_rng(0).random((40, 6, 6))

    def brightness(batch: npt.NDArray[Any]) -> Any:
        found = batch.reshape(len(batch), 36).astype(float).mean(axis=1)
        if not np.isfinite(found).all():
            raise ValueError("not finite")
        return np.clip(found, 0, 1)

    evidence = check(brightness, images, skip=SLOW)
    assert wrong(evidence) == {}
    assert table(evidence)["memory_layout"]["outcome"] == "passed"

    def by_memory(batch: npt.NDArray[Any]) -> Any:
        return np.clip(batch.ravel(order="K").reshape(len(batch), 36)[:, :6].mean(axis=1), 0, 1)

    assert "memory_layout" in wrong(check(by_memory, images, only=["memory_layout"]))
    in_place = np.array(images)

    def normalizes(batch: npt.NDArray[Any]) -> Any:
        batch -= batch.min()
        return np.clip(batch.mean(axis=(1, 2)), 0, 1)

    assert (
        "changed in place" in wrong(check(normalizes, in_place, only=["input_unchanged"]))["input_unchanged"]
    )
    assert np.array_equal(in_place, images), "the check itself changes nothing"


# Evidence, and mistakes


def test_a_case_that_was_not_tried_leaves_the_gate_undecided() -> None:
    evidence = check(healthy, only=["process", "repeated_calls"])
    [measured] = evidence.measurements
    assert (measured.value, measured.lower, measured.upper) == (0, 0, None)
    assert 'process="module:function"' in str(measured.note)
    assert outcome(evidence) is Outcome.INCONCLUSIVE
    assert outcome(check(healthy, only=["process", "repeated_calls"], skip=["process"])) is Outcome.PASS


def test_redacted_evidence_holds_neither_rows_nor_words_of_the_model() -> None:
    def tells(rows: pd.DataFrame) -> Any:
        if rows["job"].isin(["clerk", "driver", "nurse"]).all() and len(rows):
            return healthy(rows)
        raise ValueError(f"secret {rows['income'].iloc[:1].tolist()}")

    options: dict[str, Any] = {"only": ["unseen_categories"], "must_answer": ["unseen_categories"]}
    open_text = canonical_json(encode(check(tells, **options))).decode()
    assert "secret" in open_text
    assert '"example"' in open_text
    closed = canonical_json(encode(check(tells, redact=True, **options))).decode()
    assert "secret" not in closed
    assert '"example"' not in closed


def test_what_must_be_answered_and_can_not_be_asked_is_undecided() -> None:
    rows = clients().drop(columns="job")
    model = as_predictor(lambda rows: probability(rows["age"] / 20 - 2))
    options: dict[str, Any] = {"only": ["unseen_categories", "one_row"], "must_answer": ["unseen_categories"]}
    evidence = check(model, rows, **options)
    assert "must be answered, and the inputs have nothing" in table(evidence)["unseen_categories"]["told"]
    assert outcome(evidence) is Outcome.INCONCLUSIVE


def test_every_row_of_the_data_is_asked_about() -> None:
    rows = clients(3000)
    rows.loc[2900, "income"] = np.inf
    found = check(answers_nan_at_infinity, rows, only=["valid_answers"], rows=20, seed=1)
    assert wrong(found)["valid_answers"] == "a score that is not finite for row 2,900"


def answers_nan_at_infinity(rows: pd.DataFrame) -> Any:
    return np.where(np.isinf(rows["income"]), np.nan, 0.5)


def test_dates_that_are_far_off_are_tried() -> None:
    random = np.random.default_rng(0)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 300, 100), "D")
    rows = pd.DataFrame({"day": days, "income": random.normal(size=100)})

    def share_of_year(rows: pd.DataFrame) -> Any:
        age = (rows["day"] - pd.Timestamp("2024-01-01")).dt.days / 366
        return age.to_numpy(dtype=float)

    found = wrong(check(share_of_year, rows, only=["extremes"]))["extremes"]
    assert found.startswith("dates far off in 'day': a score out of bounds")
    assert wrong(check(lambda rows: np.clip(share_of_year(rows), 0, 1), rows, only=["extremes"])) == {}


def test_counts_are_no_classes_and_places_are_no_names() -> None:
    rows = np.random.default_rng(0).random((200, 2))
    counts = np.round(rows[:, 0] * 6).astype(int)
    regressor = LinearRegression().fit(rows, counts)
    frame = pd.DataFrame(rows)
    evidence = check(regressor, (frame, counts), skip=SLOW, bounds=None)
    assert wrong(evidence) == {}
    assert table(evidence)["class_order"]["outcome"] == "not applicable"
    assert table(evidence)["column_order"]["told"] == "the columns have no names, only places"
    two_dimensional = LinearRegression().fit(rows, counts.reshape(-1, 1))
    assert wrong(check(two_dimensional, frame, only=["one_row", "valid_answers"], bounds=(-10.0, 10.0))) == {}


ODD: dict[str, Any] = {
    "bool": [True, False, True],
    "whole numbers with gaps": pd.array([1, None, 3], dtype="Int64"),
    "numbers of categories": pd.Categorical([1, 2, 1]),
    "categories with gaps": pd.Categorical(["x", None, "y"]),
    "mixed": [1, "x", None],
    "no value at all": [np.nan] * 3,
    "eight bits": np.array([5, 250, 9], dtype=np.uint8),
    "64 bits": np.full(3, 2**64 - 1, dtype=np.uint64),
    "half precision": np.array([0.5, 1.0, 2.0], dtype=np.float16),
    "infinite": [np.inf, -np.inf, 0.0],
    "dates of a zone": pd.date_range("2024", periods=3, tz="Europe/Berlin"),
    "periods": pd.period_range("2024", periods=3, freq="M"),
    "bytes": [b"x", b"y", b"z"],
}


@pytest.mark.parametrize("kind", ODD)
def test_columns_of_every_kind_can_be_tried(kind: str) -> None:
    rows = pd.DataFrame({"odd": pd.Series(ODD[kind]).repeat(10), "income": np.linspace(0, 1, 30)})

    def model(rows: pd.DataFrame) -> Any:
        return np.clip(pd.to_numeric(rows["income"]).fillna(0.5).to_numpy(dtype=float), 0, 1)

    evidence = check(model, rows, skip=SLOW)
    assert wrong(evidence) == {}
    assert outcome(evidence) is Outcome.PASS


def test_inputs_that_can_not_be_changed_leave_the_case_undecided() -> None:
    columns = pd.MultiIndex.from_tuples([("a", "x"), ("b", "y")])
    rows = pd.DataFrame(np.random.default_rng(0).random((30, 2)), columns=columns)
    evidence = check(lambda rows: np.full(len(rows), 0.5), rows, only=["extra_columns", "one_row"])
    assert "can not be changed so: KeyError" in table(evidence)["extra_columns"]["told"]
    assert outcome(evidence) is Outcome.INCONCLUSIVE


def test_the_same_seed_gives_the_same_evidence() -> None:
    first, second = (check(scaled_by_batch, skip=SLOW, seed=5) for _ in range(2))
    assert first == second


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown case": ({"only": ["row_ordr"]}, "did you mean 'row_order'"),
    "unknown skip": ({"skip": ["x"]}, "there is no case 'x'"),
    "text": ({"skip": "memory"}, "must be a list of cases"),
    "nothing left": ({"only": ["memory"], "skip": ["memory"]}, "no case is left"),
    "columns as text": ({"must_answer": {"missing_values": "age"}}, "must be a list of columns"),
    "absent column": ({"must_answer": {"missing_values": ["agee"]}}, "there is no column 'agee'"),
    "absent fallback": ({"fallbacks": {"jb": "clerk"}}, "there is no column 'jb'"),
    "demanded and left out": ({"must_answer": ["one_row"], "skip": ["one_row"]}, "which is left out"),
    "negative tolerance": ({"tolerance": -1.0}, "tolerance must be a number"),
    "NaN tolerance": ({"tolerance": float("nan")}, "tolerance must be a number"),
    "bounds": ({"bounds": (1.0, 0.0)}, "bounds must be"),
    "rows": ({"rows": 0}, "rows must be at least 1"),
    "process": ({"process": "module"}, 'process must be "module:function"'),
    "seconds": ({"process_seconds": 0.0}, "process_seconds=0.0"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_get_a_sentence(mistake: str) -> None:
    options, told = MISTAKES[mistake]
    with pytest.raises(InputError, match=told):
        check(healthy, **options)


def test_a_model_that_does_not_take_the_rows_is_an_error_of_the_set_up() -> None:
    with pytest.raises(InputError, match="does not answer the rows as they are: KeyError"):
        check(lambda rows: rows["absent"])
    with pytest.raises(InputError, match="returned scores of shape"):
        check(lambda rows: np.ones(len(rows) + 3))


def test_the_data_stay_as_they_are() -> None:
    rows = clients()
    before = rows.copy(deep=True)
    check(overwrites, rows, skip=SLOW)
    pd.testing.assert_frame_equal(rows, before)


def test_cases_have_stable_names() -> None:
    assert len(set(CASE_NAMES)) == len(CASE_NAMES) == 38
    assert all(name.isidentifier() and name == name.lower() for name in CASE_NAMES)
