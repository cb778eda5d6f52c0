"""What our own checks measure and what deepchecks measures, on the same real tables with the same faults.

Runs where deepchecks' environment is, as `test_deepchecks_worker` does.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from checks.test_deepchecks_worker import TARGET, asked, python, run, said, tables
from pytest_prodml.adapters.engines.opening import open_table
from pytest_prodml.checks.data import no_drift, no_duplicates, quality, splits
from pytest_prodml.checks.performance import Sample, metric_named
from pytest_prodml.records import Evidence

__all__ = ["python"]

CHECKS = {
    "data_integrity": (
        "IsSingleValue",
        "DataDuplicates",
        "ConflictingLabels",
        "StringMismatch",
        "MixedDataTypes",
    ),
    "train_test_validation": (
        *("NewCategoryTrainTest", "StringMismatchComparison", "IndexTrainTestLeakage", "FeatureDrift"),
        *("DateTrainTestLeakageOverlap", "DateTrainTestLeakageDuplicates"),
    ),
    "model_evaluation": ("CalibrationScore", "TrainTestPerformance", "RocReport", "ConfusionMatrixReport"),
}


@pytest.fixture(scope="module")
def faulty() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return training rows, and test rows with a fault for every check."""
    train, test = (table.assign(constant=1) for table in tables())
    test.loc[:49, "sex"] = "unknown"
    test.loc[50:79, "marital_status"] = "Single"
    test["age"] += 8
    flipped = test.iloc[300:320].assign(**{TARGET: lambda rows: 1 - rows[TARGET]})
    return train, pd.concat([test, test.iloc[200:230], flipped, train.iloc[:40]], ignore_index=True)


@pytest.fixture(scope="module")
def theirs(python: Path, faulty: tuple[pd.DataFrame, pd.DataFrame]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for suite, checks in CHECKS.items():
        values = run(python, asked(suite, *faulty, *checks)).details["deepchecks_values"]
        assert isinstance(values, list)
        for item in values:
            assert isinstance(item, dict)
            found[str(item["check"]).removesuffix(" (test)")] = item["value"]
    return found


def ours(evidence: Evidence, metric: str) -> dict[str | None, float]:
    return {
        item.group: item.value
        for item in evidence.measurements
        if item.metric == metric and item.value is not None
    }


def of_quality(table: pd.DataFrame, only: Iterable[str], reference: pd.DataFrame | None = None) -> Evidence:
    return quality(
        open_table(table, name="test"),
        reference=None if reference is None else open_table(reference, name="reference"),
        only=list(only),
        target=TARGET,
        keys=["client_id"],
        ignore=["asked_on"],
        gate_id="data.g",
    )


def test_repeated_rows(theirs: dict[str, Any], faulty: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    found = no_duplicates(faulty[1], ignore=["client_id", "asked_on"], gate_id="data.g")
    assert theirs["DataDuplicates"] == pytest.approx(ours(found, "repeated_rows")[None] / len(faulty[1]))
    assert theirs["DataDuplicates"] > 0


def test_faults_within_a_table(theirs: dict[str, Any], faulty: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    kinds = ("conflicting_labels", "category_variants", "constant_columns", "mixed_type_columns")
    found = of_quality(faulty[1], kinds)
    # deepchecks counts both rows of a contradiction, we count the label that contradicts.
    theirs_share = theirs["ConflictingLabels"]["percent_of_conflicting_samples"]
    assert theirs_share == pytest.approx(2 * ours(found, "conflicting_labels")[None])
    [variant] = [
        item
        for item in theirs["StringMismatch"]["columns"]["marital_status"]["single"]
        if item["variant"] == "Single"
    ]
    assert variant["count"] == ours(found, "category_variants")[None] == 30
    single = [name for name, values in theirs["IsSingleValue"].items() if values == 1]
    assert single == ["constant"]
    assert ours(found, "constant_columns")[None] == 1
    assert not any(theirs["MixedDataTypes"].values())
    assert ours(found, "mixed_type_columns")[None] == 0
    spelled = theirs["StringMismatchComparison"]["marital_status"]["single"]
    assert spelled["percent_variants_only_in_test"] == pytest.approx(30 / len(faulty[1]))


def test_new_categories(theirs: dict[str, Any], faulty: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    found = ours(of_quality(faulty[1], ["new_category_share"], faulty[0]), "new_category_share")
    for column, share in theirs["NewCategoryTrainTest"]["Ratio of New Categories"].items():
        assert share == pytest.approx(found[column])


def test_leaks_between_splits(theirs: dict[str, Any], faulty: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    opened = {
        name: open_table(table, name=name) for name, table in zip(("train", "test"), faulty, strict=True)
    }
    found = splits(opened, entity="client_id", time="asked_on", near_duplicates=False, gate_id="data.g")
    assert theirs["IndexTrainTestLeakage"] == pytest.approx(ours(found, "entity_overlap")["train/test"])
    overlap = ours(found, "time_overlap")["train/test"]
    assert theirs["DateTrainTestLeakageOverlap"] == pytest.approx(overlap)
    assert theirs["DateTrainTestLeakageDuplicates"] == pytest.approx(overlap)


def test_drift_of_every_number(theirs: dict[str, Any], faulty: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    tables_of_both = [
        open_table(table, name=name) for name, table in zip(("train", "test"), faulty, strict=True)
    ]
    found = no_drift(*tables_of_both, ignore=["client_id"], gate_id="data.g")
    distances = ours(found, "kolmogorov_smirnov")
    compared = {
        column: said_of["Drift score"]
        for column, said_of in theirs["FeatureDrift"].items()
        if said_of["Method"] == "Kolmogorov-Smirnov"
    }
    assert len(compared) > 15
    assert compared == pytest.approx({column: distances[column] for column in compared})


def test_performance(theirs: dict[str, Any], faulty: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    truth, answers = faulty[1][TARGET].to_numpy(), said(faulty[1])
    scores = np.asarray(answers.probabilities)[:, 1]
    sample = Sample(y_true=truth, y_pred=answers.labels, y_score=scores)

    def value(metric: str) -> float | None:
        return metric_named(metric).measure(sample, 0).estimate.value

    assert theirs["RocReport"]["1"] == pytest.approx(value("roc_auc"))
    assert theirs["CalibrationScore"]["0"] == pytest.approx(value("brier_score_loss"))
    rows = theirs["TrainTestPerformance"]
    told = {
        rows["Metric"][key]: rows["Value"][key]
        for key in rows["Value"]
        if rows["Dataset"][key] == "Test" and rows["Class"][key] == 1
    }
    assert told == pytest.approx(
        {"F1": value("f1"), "Precision": value("precision"), "Recall": value("recall")}
    )
    counts = theirs["ConfusionMatrixReport"]
    right = counts["0"]["0"] + counts["1"]["1"]
    assert right / len(truth) == pytest.approx(value("accuracy"))
