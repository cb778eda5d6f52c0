from __future__ import annotations

import dataclasses

import pytest

from pytest_prodml.records import Burden, Criterion, Dimension, RunState, Severity
from pytest_prodml.render import words
from pytest_prodml.render.model import Status
from pytest_prodml.render.numbers import scale_of
from render.samples import at_least, at_most

RATIO = scale_of("1", [0.5])


@pytest.mark.parametrize(
    ("criterion", "level", "formula", "sentence"),
    [
        (
            at_least("recall", 0.5),
            0.95,
            "lower 95%(recall) ≥ 0.5",
            "Recall must be proven to be at least 0.5 with 95% confidence.",
        ),
        (
            at_most("recall", 0.5),
            0.95,
            "upper 95%(recall) ≤ 0.5",
            "Recall must be proven to be at most 0.5 with 95% confidence.",
        ),
        (
            at_least("recall", 0.5, margin=0.02, group="sex=female"),
            0.99,
            "lower 99%(recall[sex=female]) ≥ 0.48",
            "Recall for sex=female must be proven to be at least 0.48 (limit 0.5, margin 0.02) with 99% confidence.",
        ),
        (
            at_least("recall", 0.5, burden=Burden.VIOLATION),
            0.95,
            "upper 95%(recall) ≥ 0.5",
            "Alarm if the data prove recall below 0.5.",
        ),
        (
            at_most("recall", 0.5, burden=Burden.VIOLATION),
            0.95,
            "lower 95%(recall) ≤ 0.5",
            "Alarm if the data prove recall above 0.5.",
        ),
        (at_most("recall", 0.0), 1.0, "recall ≤ 0", "Recall, counted exactly, must be at most 0."),
        (at_most("recall", 0.0), None, "upper(recall) ≤ 0", "Recall must be proven to be at most 0."),
    ],
)
def test_a_criterion_is_said_as_the_judge_compares_it(
    criterion: Criterion, level: float | None, formula: str, sentence: str
) -> None:
    group = criterion.group or ""
    assert words.criterion_formula(criterion, "recall", RATIO, level) == formula
    assert words.criterion_words(criterion, "recall", group, RATIO, level) == sentence


def test_the_edge_is_what_the_margin_leaves_of_the_limit() -> None:
    assert words.edge_of(at_least("x", 0.5, margin=0.25)) == 0.25
    assert words.edge_of(at_most("x", 0.5, margin=0.25)) == 0.75


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("roc_auc", "ROC AUC"),
        ("selection_rate_difference", "selection rate difference"),
        ("true_positive_rate_ratio", "true positive rate ratio"),
        ("rows_failing", "rows failing"),
        ("MyMetric_x", "MyMetric_x"),
        ("a metric", "a metric"),
    ],
)
def test_metrics_have_names_for_people(metric: str, name: str) -> None:
    assert words.metric_words(metric) == name


def test_more_evidence_is_counted_in_what_the_dimension_counts() -> None:
    assert words.more_rows(1500, 1000, Dimension.LATENCY) == (
        "About 500 more calls would decide (1,500 in all), if the true value is the observed one."
    )
    assert words.more_rows(None, 10, Dimension.DATA) == "More rows would narrow the interval."
    assert words.more_rows(5, 10, Dimension.DATA) == "More rows would narrow the interval."


def test_a_note_says_what_else_stands_in_the_way_of_a_decision() -> None:
    assert words.more_rows(None, 10, Dimension.LATENCY, "the host was shared") == (
        "Undecided: the host was shared."
    )
    assert words.more_rows(60, 10, Dimension.FAIRNESS, "10 rows of over 60").startswith(
        "Undecided: 10 rows of over 60. About 50 more rows"
    )
    assert words.more_rows(60, 10, Dimension.BEHAVIOR, "with any of 2 values").endswith(
        "if the true value is the observed one. Note: with any of 2 values."
    )


def test_severity_says_who_requires_a_gate() -> None:
    assert words.severity_words(Severity.REQUIRED, required=True) == "required"
    assert words.severity_words(Severity.WARN, required=True) == "required by the policy"
    assert words.severity_words(None, required=True) == "required by the policy"
    assert words.severity_words(Severity.WARN, required=False) == "warns only"
    assert words.severity_words(Severity.INFO, required=False) == "for information only"


def test_no_state_and_no_status_is_without_a_word() -> None:
    assert set(words.STATES) == set(RunState)
    assert set(words.STATUS_WORDS) == set(Status)
    assert set(words.QUESTIONS) == set(Dimension)
    told = {words.step_words("refuted", dimension) for dimension in Dimension}
    assert len(told) == len(Dimension)


def test_a_margin_of_nothing_is_not_mentioned() -> None:
    bare = dataclasses.replace(at_least("recall", 0.5), margin=0.0)
    assert "margin" not in words.criterion_words(bare, "recall", "", RATIO, 0.95)
