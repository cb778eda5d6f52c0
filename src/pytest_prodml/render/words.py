"""Codes of the records -> words for people. Every sentence of the views that is not data stands here."""

from __future__ import annotations

import re

from pytest_prodml.records import (
    Burden,
    Comparison,
    Criterion,
    Dimension,
    Outcome,
    Readiness,
    RunState,
    Severity,
)
from pytest_prodml.render.model import Status
from pytest_prodml.render.numbers import Scale, percent, plain

QUESTIONS = {
    Dimension.DATA: "Is the data what the model was built for?",
    Dimension.PERFORMANCE: "Is it good enough?",
    Dimension.FAIRNESS: "Is it good enough for everybody?",
    Dimension.BEHAVIOR: "Does it react as it must?",
    Dimension.LATENCY: "Is it fast enough?",
    Dimension.PIPELINE: "Is what is served what was tested?",
}

STATUS_WORDS = {
    Status.FAILED: "Failed",
    Status.INCONCLUSIVE: "Inconclusive",
    Status.NOT_RUN: "Did not run",
    Status.WAIVED: "Waived",
    Status.WARNED: "Warning",
    Status.PASSED: "Passed",
    Status.ABSENT: "No gates",
}

GROUP_WORDS = {
    Status.FAILED: ("Failed", "The data prove that a limit is missed, or the test itself failed."),
    Status.INCONCLUSIVE: (
        "Inconclusive",
        "Neither proven nor refuted. Not enough evidence blocks like a failure.",
    ),
    Status.NOT_RUN: (
        "Did not run",
        "Without a finished run there is no evidence, and no evidence is never a pass.",
    ),
    Status.WAIVED: ("Waived", "Did not pass; a signed, dated exception lets the decision go on."),
    Status.WARNED: (
        "Warnings",
        "Did not pass, and does not block: neither the policy nor the project requires it.",
    ),
    Status.PASSED: (
        "Passed",
        "Proven at the policy's confidence level, counted exactly, or held by a test's own asserts.",
    ),
}

READINESS = {
    Readiness.READY: ("ready", "READY"),
    Readiness.READY_WITH_WAIVERS: ("waived", "READY WITH WAIVERS"),
    Readiness.NOT_READY: ("not-ready", "NOT READY"),
}

STATES = {
    RunState.PASSED: "ran, the test passed",
    RunState.FAILED: "ran, the test failed",
    RunState.SKIPPED: "skipped",
    RunState.XFAILED: "failed as its xfail mark expects",
    RunState.XPASSED: "passed although marked as an expected failure",
    RunState.ERRORED: "error in a fixture or in the teardown",
    RunState.CRASHED: "the process died",
    RunState.TIMED_OUT: "ran into its time limit",
    RunState.DESELECTED: "deselected",
    RunState.NOT_RUN: "did not run",
}

#: Where a check's note says why nothing was decided: the group that is too small, the machine that is shared.
_NOTES_EXPLAIN = frozenset({Dimension.FAIRNESS, Dimension.LATENCY})

_METRICS = {
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1 score",
    "specificity": "specificity",
    "max_abs_difference": "largest absolute difference",
    "brier_score_loss": "Brier score",
    "selection_rate": "selection rate",
    "true_positive_rate": "true positive rate",
    "false_positive_rate": "false positive rate",
    "true_negative_rate": "true negative rate",
    "false_negative_rate": "false negative rate",
}

_STEPS = {
    "no-measurement": "Record a measurement of this metric and group in the test.",
    "no-evidence": "Call a check of the gate's fixture in the test, so that it records a measurement.",
    "invalid-measurement": "Correct the check: its numbers contradict each other.",
    "confidence-level": "Compute the bounds at the policy's confidence level.",
    "not-estimable": "Give the check rows on which the metric is defined.",
    "unbound-model": "Return a path from prodml_model, or bind the object to its file.",
    "subject-mismatch": "Measure the very file that is certified.",
    "evidence-mix": "Record the evidence under the gate's own id.",
    "failed": "Rerun the test and correct what its assertion found.",
    "xfailed": "Correct the cause and remove the xfail mark; an expected failure is no waiver.",
    "xpassed": "Remove the xfail mark; the test passes.",
    "skipped": "Let the test run; a skipped gate proves nothing.",
    "errored": "Correct the fixture or the teardown, then run the test again.",
    "crashed": "Find what killed the process, then run the test again.",
    "timed_out": "Give the test more time, or less to do.",
    "deselected": "Run without the option that left this test out.",
    "not_run": "Let the run finish.",
    "not-collected": "Write a test with this gate id, or ask the owner of the policy.",
    "foreign-host": "Run the gate on the declared target, or state its limit as a ratio.",
    "missing-cell": "Run the gate on the missing target too, and merge the runs.",
    "no-verdict": "Issue the certificate again with a current version.",
}

_IMPROVE = {
    Dimension.DATA: "Correct the rows or their source, or agree on another schema.",
    Dimension.PERFORMANCE: "Improve the model or its data; a limit is the policy owner's to change.",
    Dimension.FAIRNESS: "Look at the group table, mitigate, or have the gap accepted by a signed waiver.",
    Dimension.BEHAVIOR: "Look at the rows that react wrongly; constrain or retrain the model.",
    Dimension.LATENCY: "Make the call faster, or serve it on other hardware.",
    Dimension.PIPELINE: "Compare both sides row by row; what is served is not what was tested.",
}


def metric_words(metric: str) -> str:
    """Name a metric for people; an unknown name in code style loses its underscores and nothing else."""
    if metric in _METRICS:
        return _METRICS[metric]
    for suffix in ("_difference", "_ratio"):
        stem = metric.removesuffix(suffix)
        if stem != metric and stem in _METRICS:
            return f"{_METRICS[stem]} {suffix[1:]}"
    return metric.replace("_", " ") if re.fullmatch(r"[a-z0-9_.]+", metric) else metric


def edge_of(criterion: Criterion) -> float:
    """Return the number that a bound is compared with: the limit, loosened by the margin."""
    if criterion.comparison is Comparison.AT_LEAST:
        return criterion.limit - criterion.margin
    return criterion.limit + criterion.margin


def criterion_words(criterion: Criterion, name: str, group: str, scale: Scale, level: float | None) -> str:
    """Say a criterion in a sentence.

    Parameters
    ----------
    criterion : Criterion
        What has to hold.
    name, group : str
        Metric and group as they are shown; `group` is empty for all rows.
    scale : Scale
        Of the metric's numbers.
    level : float or None
        Confidence level of the bound that is compared; None if nothing was measured.
    """
    at_least = criterion.comparison is Comparison.AT_LEAST
    limit = scale.with_unit(scale.limit(edge_of(criterion)))
    where = f" for {group}" if group else ""
    margin = ""
    if criterion.margin:
        margin = f" (limit {scale.limit(criterion.limit)}, margin {scale.limit(criterion.margin)})"
    if criterion.burden is Burden.VIOLATION:
        side = "below" if at_least else "above"
        return f"Alarm if the data prove {name}{where} {side} {limit}{margin}."
    word = "at least" if at_least else "at most"
    if level is not None and level >= 1:
        return f"{_capital(name)}{where}, counted exactly, must be {word} {limit}{margin}."
    shown = f" with {percent(level)} confidence" if level is not None else ""
    return f"{_capital(name)}{where} must be proven to be {word} {limit}{margin}{shown}."


def criterion_formula(criterion: Criterion, metric: str, scale: Scale, level: float | None) -> str:
    """Write a criterion as the comparison that the judge makes."""
    at_least = criterion.comparison is Comparison.AT_LEAST
    sign = "≥" if at_least else "≤"
    group = f"[{criterion.group}]" if criterion.group is not None else ""
    limit = scale.with_unit(scale.limit(edge_of(criterion)))
    if level is not None and level >= 1:
        return f"{metric}{group} {sign} {limit}"
    alarm = criterion.burden is Burden.VIOLATION
    bound = "upper" if at_least is alarm else "lower"
    subscript = f" {percent(level)}" if level is not None else ""
    return f"{bound}{subscript}({metric}{group}) {sign} {limit}"


def step_words(reason: str, dimension: Dimension) -> str:
    """Say what to do about a verdict's reason code."""
    if reason == "refuted":
        return f"{_IMPROVE[dimension]} More {sample_noun(dimension)} will not help: the limit is missed."
    return _STEPS.get(reason, "")


def more_rows(n_required: int | None, n_samples: int, dimension: Dimension, note: str = "") -> str:
    """Say how much more evidence would decide, or what the check notes instead."""
    noun = sample_noun(dimension)
    more = ""
    if n_required is not None and n_required > n_samples:
        more = (
            f"About {plain(n_required - n_samples)} more {noun} would decide ({plain(n_required)} in all), "
            "if the true value is the observed one."
        )
    if note and (not more or dimension in _NOTES_EXPLAIN):
        return f"Undecided: {note}. {more}".rstrip()
    if more:
        return f"{more} Note: {note}." if note else more
    return f"More {noun} would narrow the interval."


def sample_noun(dimension: Dimension) -> str:
    """Name what a dimension counts."""
    return "calls" if dimension is Dimension.LATENCY else "rows"


def more_criteria(statuses: list[Status]) -> str:
    """Announce criteria that are listed in short."""
    passed = ", all passed" if all(status is Status.PASSED for status in statuses) else ""
    return f"and {counted(len(statuses), 'more criterion', 'more criteria')}{passed}" if statuses else ""


def severity_words(severity: Severity | None, *, required: bool) -> str:
    """Say whether a gate blocks, and who says so."""
    if required:
        return "required" if severity is Severity.REQUIRED else "required by the policy"
    return "warns only" if severity is Severity.WARN else "for information only"


def outcome_status(outcome: Outcome) -> Status:
    """Map a statistical outcome to its status."""
    return {
        Outcome.PASS: Status.PASSED,
        Outcome.FAIL: Status.FAILED,
        Outcome.INCONCLUSIVE: Status.INCONCLUSIVE,
    }[outcome]


def need_words(comparison: Comparison, limit: str) -> str:
    """Write the side of the limit that is asked for; sign and number stay on one line."""
    return f"{'≥' if comparison is Comparison.AT_LEAST else '≤'}\N{NO-BREAK SPACE}{limit}"


def counted(number: int, one: str, many: str) -> str:
    """Put a number before the fitting form of a noun or phrase."""
    return f"{plain(number)} {one if number == 1 else many}"


def listed(parts: list[str]) -> str:
    """Join phrases: a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _capital(text: str) -> str:
    # Only a word of ours gets a capital; the name of a metric in code stays as it is.
    return text[:1].upper() + text[1:] if " " in text or text.isalpha() else text
