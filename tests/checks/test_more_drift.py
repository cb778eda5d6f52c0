"""Drift that no column shows by itself, of summaries, of a model's answers, and of what they are worth."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from pytest_prodml.adapters.engines.opening import open_table
from pytest_prodml.checks.data import no_drift, no_joint_drift, no_prediction_drift
from pytest_prodml.checks.performance import Sample, calibrated, not_worse_on
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
GATE = "data.drift"


def outcomes(evidence: Evidence) -> dict[tuple[str, str | None], Outcome]:
    """Return the worst outcome of each metric and group."""
    canonical_json(encode(evidence))
    order = (FAIL, OPEN, PASS)
    found: dict[tuple[str, str | None], Outcome] = {}
    for item in judge_criteria(GATE, evidence, confidence_level=0.95):
        key = (item.criterion.metric, item.criterion.group)
        found[key] = min(found.get(key, PASS), item.judgement.outcome, key=order.index)
    return found


def pair(seed: int, rows: int, correlation: float) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(rows, 2))
    values[:, 1] = correlation * values[:, 0] + math.sqrt(1 - correlation**2) * values[:, 1]
    return pd.DataFrame(values, columns=["x", "y"])


def joint(reference: Any, current: Any, **options: Any) -> Evidence:
    tables = [open_table(one, name=name) for one, name in ((reference, "reference"), (current, "current"))]
    return no_joint_drift(*tables, gate_id=GATE, **options)


def test_columns_that_no_longer_go_together_are_found_by_all_at_once_only() -> None:
    before, after = pair(1, 3000, 0.9), pair(2, 3000, -0.9)
    alone = no_drift(open_table(before, name="reference"), open_table(after, name="current"), gate_id=GATE)
    assert set(outcomes(alone).values()) == {PASS}
    assert outcomes(joint(before, after))["adversarial_auc", None] is FAIL
    twin = joint(before, pair(3, 3000, 0.9))
    assert set(outcomes(twin).values()) == {PASS}
    assert twin.details["sample"] == {
        "seed": 0,
        "reference": {"rows": 3000, "of": 3000},
        "current": {"rows": 3000, "of": 3000},
    }


def test_the_sample_of_large_tables_is_declared() -> None:
    found = joint(pair(1, 10_400, 0.5), pair(2, 600, 0.5), seed=7)
    sample: Any = found.details["sample"]
    assert sample == {
        "seed": 7,
        "reference": {"rows": 10_000, "of": 10_400},
        "current": {"rows": 600, "of": 600},
    }
    assert found.measurements[0].n_samples == 10_600
    assert found.measurements[0].seed == 7
    assert "10,000 reference and 600 current rows" in str(found.measurements[0].note)


def test_an_entity_is_not_recognized_by_what_its_rows_share() -> None:
    rng = np.random.default_rng(4)
    clients = np.repeat(np.arange(30), 20)

    def visits(start: int) -> pd.DataFrame:
        own = rng.normal(size=30)
        return pd.DataFrame({"client": clients + start, "height": own[clients]})

    before, after = visits(0), visits(100)
    blind = joint(before, after, ignore=["client"])
    aware = joint(before, after, entity="client")
    assert outcomes(blind)["adversarial_auc", None] is FAIL
    assert outcomes(aware)["adversarial_auc", None] is OPEN


def test_text_with_many_values_is_named_and_truth_values_and_dates_are_handled() -> None:
    table = pair(1, 400, 0.0).assign(
        key=[f"k{place}" for place in range(400)],
        known=[True, False] * 200,
        at=pd.date_range("2026-01-01", periods=400),
    )
    found = joint(table, table)
    assert found.details["columns"] == ["x", "y", "known"]
    told: Any = found.details["not_compared"]
    assert set(told) == {"key", "at"}
    with pytest.raises(InputError, match="no column is left"):
        joint(table[["key"]], table[["key"]])


def test_a_column_without_any_value_is_no_obstacle() -> None:
    """scikit-learn's trees stop at one with an error from inside numpy."""
    before, after = (pair(seed, 600, 0.0).assign(empty=np.nan) for seed in (1, 2))
    assert outcomes(joint(before, after))["adversarial_auc", None] is PASS
    assert joint(before[["empty"]], after[["empty"]]).measurements[0].value == 0.5
    filled = after.assign(empty=1.0)
    assert outcomes(joint(before, filled))["adversarial_auc", None] is FAIL


def test_few_rows_show_nothing_and_lost_columns_fail() -> None:
    found = outcomes(joint(pair(1, 20, 0.0), pair(2, 20, 0.0).drop(columns="y")))
    assert found["adversarial_auc", None] is OPEN
    assert found["missing_columns", None] is FAIL
    with pytest.raises(InputError, match="no rows"):
        joint(pair(1, 20, 0.0), pair(1, 20, 0.0).head(0))


@pytest.mark.parametrize("limit", [0.4, 1.2, math.nan, "much"])
def test_a_limit_is_an_area_from_chance_on(limit: Any) -> None:
    with pytest.raises(InputError, match="at_most"):
        joint(pair(1, 50, 0.0), pair(2, 50, 0.0), at_most=limit)


def sentences(seed: int, words: float, rows: int = 1500) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "text": [" ".join(["word"] * int(count)) for count in 1 + rng.poisson(words, rows)],
            "image": rng.integers(0, 256, size=(rows, 4)).tolist(),
        }
    )


def lengths(cells: pd.Series) -> Any:
    return cells.str.len()


def brightness(cells: pd.Series) -> Any:
    pixels = np.stack([np.asarray(cell, dtype=float) for cell in cells])
    return np.column_stack([pixels.mean(axis=1), pixels.std(axis=1)])


SUMMARIES: dict[str, Any] = {"text": lengths, "image": brightness}


def summarized(reference: Any, current: Any, **options: Any) -> Evidence:
    tables = [open_table(one, name=name) for one, name in ((reference, "reference"), (current, "current"))]
    return no_drift(*tables, **{"gate_id": GATE, "summaries": SUMMARIES, **options})


@pytest.mark.parametrize("kind", ["frame", "parquet"])
def test_text_and_images_are_compared_by_what_a_project_says_about_them(kind: str, tmp_path: Path) -> None:
    before, same, longer = sentences(1, 8), sentences(2, 8), sentences(3, 11)

    def given(table: pl.DataFrame, name: str) -> Any:
        if kind == "frame":
            return table
        table.write_parquet(tmp_path / f"{name}.parquet")
        return tmp_path / f"{name}.parquet"

    twin = summarized(given(before, "before"), given(same, "same"))
    assert set(outcomes(twin).values()) == {PASS}
    told: Any = twin.details["summaries"]
    assert told["image"]["numbers"] == 2
    assert told["text"]["reference"] == {"rows": 1500, "of": 1500}
    moved = outcomes(summarized(given(before, "before"), given(longer, "longer")))
    assert {key for key, outcome in moved.items() if outcome is FAIL} == {("kolmogorov_smirnov", "text[0]")}
    assert ("missing_share_change", "image") in moved


def test_margins_and_measures_of_a_summary_go_by_the_name_of_its_column() -> None:
    before, longer = sentences(1, 8), sentences(3, 11)
    loose = summarized(before, longer, limits={"text": 0.9}, measures={"text": "wasserstein"})
    assert outcomes(loose)["wasserstein", "text[0]"] is PASS
    assert (
        outcomes(summarized(before, longer, limits={"text": 0.9, "text[0]": 0.01}))[
            "kolmogorov_smirnov", "text[0]"
        ]
        is FAIL
    )


def test_texts_that_are_missing_show_as_missing() -> None:
    before = sentences(1, 8).select("text")
    after = before.with_columns(pl.when(pl.int_range(1500) % 4 > 0).then("text").alias("text"))
    found = outcomes(summarized(before, after, summaries={"text": lengths}))
    assert found["missing_share_change", "text"] is FAIL
    assert found["kolmogorov_smirnov", "text[0]"] is PASS
    gone = before.with_columns(pl.lit(None, dtype=pl.String).alias("text"))
    assert (
        outcomes(summarized(before, gone, summaries={"text": lengths}))["kolmogorov_smirnov", "text[0]"]
        is OPEN
    )


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda cells: cells.str.len().to_numpy()[:-1], "shape"),
        (lambda cells: cells.str.len() * math.nan, "not a finite number"),
        (lambda cells: cells.str.nothing(), "raised AttributeError"),
        (lambda cells: np.ones((len(cells), 2000)), "2,000 numbers"),
        (lambda cells: ["x"] * len(cells), "raised ValueError"),
    ],
)
def test_a_summary_that_is_wrong_is_told(function: Any, told: str) -> None:
    table = sentences(1, 8, rows=50).select("text")
    with pytest.raises(InputError, match=told):
        summarized(table, table, summaries={"text": function})
    with pytest.raises(InputError, match="no column 'txt'"):
        summarized(table, table, summaries={"txt": lengths})


def predicted(first: Any, second: Any, **options: Any) -> dict[tuple[str, str | None], Outcome]:
    return outcomes(no_prediction_drift(first, second, gate_id=GATE, **options))


def scores(seed: int, rows: int = 4000, shift: float = 0.0) -> Any:
    return 1 / (1 + np.exp(-np.random.default_rng(seed).normal(shift, 1, rows)))


def test_scores_and_decisions_that_moved() -> None:
    before, same, after = scores(1), scores(2), scores(3, shift=0.6)

    def ask(current: Any, **options: Any) -> dict[tuple[str, str | None], Outcome]:
        return predicted(
            before,
            current,
            reference_decisions=(before > 0.7).astype(int),
            current_decisions=(current > 0.7).astype(int),
            positive_label=1,
            **options,
        )

    assert ask(same) == {("kolmogorov_smirnov", None): PASS, ("selection_rate_change", None): PASS}
    assert ask(after) == {("kolmogorov_smirnov", None): FAIL, ("selection_rate_change", None): FAIL}
    few = [np.repeat(np.arange(40), 100)] * 2
    clustered = ask(same, reference_groups=few[0], current_groups=few[1])
    assert set(clustered.values()) == {OPEN}


def test_every_class_is_compared() -> None:
    rng = np.random.default_rng(5)
    before, after = (rng.dirichlet([4, 4, 4], 3000) for _ in range(2))
    tilted = rng.dirichlet([4, 8, 4], 3000)
    options: dict[str, Any] = {"labels": ["a", "b", "c"], "reference_decisions": before.argmax(1)}
    same = predicted(before, after, current_decisions=after.argmax(1), **options)
    assert set(same.values()) == {PASS}
    assert {group for _, group in same} == {"a", "b", "c", None}
    moved = predicted(before, tilted, current_decisions=tilted.argmax(1), **options)
    assert moved["kolmogorov_smirnov", "b"] is FAIL
    assert moved["total_variation", None] is FAIL


def test_a_model_that_never_says_yes_did_not_move() -> None:
    never = np.zeros(3000, dtype=int)
    found = predicted(None, None, reference_decisions=never, current_decisions=never, positive_label=1)
    assert found == {("selection_rate_change", None): PASS}


@pytest.mark.parametrize(
    ("arguments", "options", "told"),
    [
        ((None, None), {}, "neither scores nor decisions"),
        (([0.1, math.nan], [0.1, 0.2]), {}, "not a finite number in 1 of 2"),
        (([], [0.1]), {}, "no rows"),
        (([[0.1, 0.9]], [0.1]), {}, "same classes"),
        (([0.1], [0.1]), {"at_most": 2}, "between 0 and 1"),
        (
            (None, None),
            {"reference_decisions": ["a", "b"], "current_decisions": ["a", "b"], "positive_label": 1},
            "is 1, found",
        ),
        ((None, None), {"reference_decisions": ["a"], "current_decisions": []}, "no rows"),
    ],
)
def test_answers_that_can_not_be_compared(arguments: Any, options: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        no_prediction_drift(*arguments, gate_id=GATE, **options)


def answered(seed: int, rows: int, *, right: float) -> Sample:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, rows)
    return Sample(y_true=truth, y_pred=np.where(rng.random(rows) < right, truth, 1 - truth), positive_label=1)


def test_a_model_that_became_worse() -> None:
    test = answered(1, 3000, right=0.9)
    same = not_worse_on("accuracy", answered(2, 3000, right=0.9), test, margin=0.03, gate_id=GATE)
    worse = not_worse_on("accuracy", answered(3, 3000, right=0.8), test, margin=0.03, gate_id=GATE)
    better = not_worse_on("accuracy", answered(3, 3000, right=0.95), test, margin=0.0, gate_id=GATE)
    few = not_worse_on("accuracy", answered(4, 40, right=0.8), test, margin=0.03, gate_id=GATE)
    assert [set(outcomes(one).values()) for one in (same, worse, better, few)] == [
        {PASS},
        {FAIL},
        {PASS},
        {OPEN},
    ]
    assert worse.measurements[0].value == pytest.approx(0.1, abs=0.03)
    assert few.measurements[0].n_required is not None
    loss = not_worse_on("zero_one_loss", answered(3, 3000, right=0.8), test, margin=0.03, gate_id=GATE)
    assert set(outcomes(loss).values()) == {FAIL}
    assert {item.group for item in loss.measurements} == {None, "current", "test"}


@pytest.mark.parametrize("margin", [-0.1, math.nan, "much", True])
def test_a_margin_of_a_loss_is_a_number_from_zero_on(margin: Any) -> None:
    one = answered(1, 100, right=0.9)
    with pytest.raises(InputError, match="margin must be a number"):
        not_worse_on("accuracy", one, one, margin=margin, gate_id=GATE)
    with pytest.raises(InputError, match="mean error"):
        not_worse_on("mean_error", one, one, margin=0.1, gate_id=GATE)


def test_calibration_on_current_labels_shows_what_scores_alone_do_not() -> None:
    rng = np.random.default_rng(6)
    chance = rng.beta(2, 2, 6000)
    before, after = rng.random(6000) < chance, rng.random(6000) < chance**2
    assert predicted(chance[:3000], chance[3000:]) == {("kolmogorov_smirnov", None): PASS}

    def ask(truth: Any) -> set[Outcome]:
        sample = Sample(y_true=truth.astype(int), y_score=chance, positive_label=1)
        return set(outcomes(calibrated(sample, gate_id=GATE)).values())

    assert ask(before) == {PASS}
    assert FAIL in ask(after)
