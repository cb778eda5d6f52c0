"""Requests at a fixed rate -> Evidence that clients are answered in time, and rightly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pytest_prodml.adapters.serving.load import Answers
from pytest_prodml.checks.counts import at_most, check_share, exact, share
from pytest_prodml.checks.pipeline.serving.judged import (
    IsRight,
    check_open_loop,
    latencies,
    saturated,
    told_of,
    wrong_answers,
)
from pytest_prodml.checks.timings import (
    LEAST_CLUSTERS,
    METHOD,
    MOST_DRIFT,
    Dependence,
    checked_samples,
    dependence_of,
    distribution,
    drift_of,
    empirical,
    longest_burst,
    quantile_of,
)
from pytest_prodml.errors import InputError
from pytest_prodml.records import Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level
from pytest_prodml.statistics.quantiles import quantile_bounds, required_samples

_HOPELESS = 0.9


def sustains(
    p: float,
    budget_seconds: float,
    answers: Answers,
    *,
    gate_id: str,
    errors_at_most: float | None = None,
    is_right: IsRight | None = None,
    noise: Sequence[str] = (),
    burst: int | None = None,
    is_loopback: bool = True,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a served model answers in time at the rate at which it was asked.

    Measures ``served_latency_p99`` (for p = 0.99), in seconds from when each request was due, with one-sided
    bounds. A request that was refused, failed or given up counts as one beyond the budget. Measures
    ``failed_share`` with bounds, and ``wrong_answers`` exactly over this run.

    Parameters
    ----------
    p : float
        The quantile, 0.99: 99 of 100 requests.
    budget_seconds : float
        What it may be at most.
    answers : Answers
        Of an open loop, after the warm-up, at one rate.
    errors_at_most : float, optional
        The share of requests that may fail; without it, those that exceed the budget and those that fail
        share the 1 - p.
    is_right : callable, optional
        Says what is wrong with an answer. One wrong answer fails the gate.
    noise : sequence of str
        What else this machine did. It makes answers later and never earlier, so it withholds a failure.
    burst : int, optional
        How many requests in a row are taken to be slow together where the run does not show it. Default: as
        many as are due within 10 ms, at most 20.
    is_loopback : bool
        Whether client and server share a machine, for the record.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If requests waited for answers (a closed loop), none was sent, or one was given up within the budget.

    Notes
    -----
    No bound is told where the generator was saturated: it measures itself. The lower bound is withheld where
    requests beyond the budget came in fewer than 10 separate clusters, or the machine did other work. Where
    latency grew over the run by more than chance, the upper bound must leave room for once more as much.

    References
    ----------
    Tene: *How NOT to measure latency* (coordinated omission); David, Nagaraja: *Order Statistics* (2003),
    section 7.1, for the bounds.
    """
    del seed
    level = checked_level(confidence_level)
    if not 0 < p < 1:
        raise InputError(f"p must lie between 0 and 1, got {p!r}", hint="0.99: 99 of 100 requests")
    check_open_loop(answers, budget_seconds)
    samples = checked_samples(latencies(answers), "latency")
    rate = answers.phases[int(answers.phase[0])].rate
    drift = drift_of(samples)
    row = longest_burst(1 / rate) if burst is None else burst
    found = dependence_of(p, budget_seconds, samples, drift, row)
    lower, upper, causes = _bounds(p, budget_seconds, answers, found, drift, level, noise)
    metric = f"served_latency_p{100 * p:g}"
    failed = int(np.count_nonzero(~answers.is_answered))
    measurements = [
        Measurement(
            metric=metric,
            value=empirical(samples, p),
            lower=lower,
            upper=upper,
            confidence_level=level,
            method=f"{METHOD}, {found.n_effective:,.0f} effective requests",
            n_samples=len(samples),
            unit="s",
            higher_is_better=False,
            n_required=_requests_to_decide(p, level, found, len(samples)),
            note="; ".join(causes) or None,
        ),
        quantile_of(samples, 0.5, "served_latency_p50", level=level, group=None),
        share("failed_share", failed, len(samples), confidence_level=level, limit=errors_at_most),
    ]
    criteria = [at_most(metric, budget_seconds)]
    if errors_at_most is not None:
        check_share(errors_at_most, "errors_at_most")
        criteria.append(at_most("failed_share", errors_at_most))
    details: dict[str, JsonValue] = {
        **told_of(answers),
        "rate": rate,
        "loopback": is_loopback,
        "ecdf": distribution(samples, budget_seconds),
        "effective_requests": round(found.n_effective, 1),
        "requests_beyond_budget": found.exceedances,
        "clusters_beyond_budget": found.clusters,
        "requests_of_a_burst": None if found.is_cluster_size_known else row,
        "median_change_first_to_last_third": drift,
        "noise": list(noise),
    }
    if is_right is not None:
        measured, limit, examples = rightness(answers, is_right)
        measurements.append(measured)
        criteria.append(limit)
        details["wrong_examples"] = examples
    return Evidence(
        gate_id=gate_id, measurements=tuple(measurements), criteria=tuple(criteria), details=details
    )


def rightness(answers: Answers, is_right: IsRight) -> tuple[Measurement, Criterion, list[JsonValue]]:
    """Measure how many answers are wrong; where bodies were not kept, nobody knows how many more are."""
    wrong = wrong_answers(answers, is_right)
    measured = exact(
        "wrong_answers",
        int(wrong.is_wrong.sum()),
        max(int(np.count_nonzero(answers.is_answered)), 1),
        unit="requests",
    )
    note = None
    if not answers.is_answered.any():
        note = "no request was answered"
    elif wrong.unknown:
        note = f"too many different answers to keep: {wrong.unknown:,} were not looked at"
    if note is not None:
        measured = replace(measured, upper=None, note=note)
    return measured, at_most("wrong_answers", 0), list(wrong.examples)


def _bounds(
    p: float,
    budget: float,
    answers: Answers,
    found: Dependence,
    drift: float,
    level: float,
    noise: Sequence[str],
) -> tuple[float | None, float | None, list[str]]:
    cause = saturated(answers, budget)
    if cause is not None:
        return None, None, [cause]
    lower, upper = quantile_bounds(latencies(answers), p, level, found.n_effective)
    causes = []
    if drift > MOST_DRIFT:
        causes.append(f"latency grew: the median changed by {drift:+.0%} from first to last third")
        if upper is not None and upper * (1 + drift) > budget:
            upper = None
    if 0 < found.independent_exceedances < LEAST_CLUSTERS:
        causes.append(
            f"requests beyond the budget: {found.exceedances:,}, in separate clusters: {found.clusters:,}, "
            "too few to know how often that happens"
        )
        lower = None
    if noise:
        causes.append(f"{'; '.join(noise)}; other work can slow answers down: it can not fail here")
        lower = None
    if upper is None and not causes:
        causes.append("too few requests for an upper bound")
    return lower, upper, causes


def _requests_to_decide(p: float, level: float, found: Dependence, n: int) -> int | None:
    allowed = found.exceedances / n / (1 - p)
    if allowed >= _HOPELESS:
        return None
    return int(np.ceil(required_samples(p, level, allowed) * n / found.n_effective))
