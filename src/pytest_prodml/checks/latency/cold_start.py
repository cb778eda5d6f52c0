"""Starts of fresh processes -> Evidence about the time from nothing to the first prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.latency.spawned import FLAGS, STAGES, Start
from pytest_prodml.checks.timings import (
    METHOD,
    MOST_DRIFT,
    Samples,
    checked_samples,
    distribution,
    drift_of,
    empirical,
    quantile_of,
)
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level
from pytest_prodml.statistics.quantiles import effective_sample_size, quantile_bounds, required_samples

WARM = (
    "one start before these was not counted: files of the model and of the packages are in the page cache; a "
    "first start after a reboot or on a new machine is slower"
)
#: Beyond this share of what may be too slow, more starts do not help.
_HOPELESS = 0.9
#: Order that is less probable than this is dependence.
_CHANCE = 0.05


def starts_for(p: float, confidence_level: float) -> int:
    """Return how many starts a claim is given by default.

    So many that one too slow start is no harm if one in a hundred is (p = 0.9; in general, a tenth of what
    the claim allows): 46 at 95 %. The fewest that can prove it are 29, of which none may be too slow.

    Parameters
    ----------
    p, confidence_level : float
        The claim.
    """
    return required_samples(p, confidence_level, 0.1)


def cold_start_at_most(
    p: float,
    budget_seconds: float,
    starts: Sequence[Start],
    *,
    gate_id: str,
    uncounted: Start | None = None,
    noisy: Sequence[str] = (),
    group: str | None = None,
    runtime: Mapping[str, JsonValue] | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that the p-quantile of the time from starting a process to its first prediction keeps a budget.

    Parameters
    ----------
    p : float
        The quantile, 0.9: nine of ten starts.
    budget_seconds : float
        The largest duration it may have.
    starts : sequence of Start
        In the order in which they were made.
    uncounted : Start, optional
        The one before them, which filled the page cache; for the record.
    noisy : sequence of str
        Why the host was noisy: sentences. Other work slows a start down and never speeds it up, so a pass
        stays a pass, and a failure is inconclusive.
    group, runtime, gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If there is no start, or p or the budget make no sense.

    Notes
    -----
    Bounds are order statistics of the starts, which assume no distribution. Processes share nothing but the
    machine, so starts are independent unless that has slow spells.

    - Where slow and quick starts come in fewer runs than chance makes (Wald and Wolfowitz 1940, at 5 %), they
      count for ``n / tau`` independent ones in the lower bound, tau the autocorrelation time. Spells add to a
      start and take nothing away, so the upper one holds for the machine without them; it is withheld all the
      same unless it would keep the budget if multiplied by what the slowest start took of the median one.
    - Where the median changed from the first to the last third by more than 5 %, and by more than chance, the
      lower bound is withheld, and the upper one too unless one more such change would keep the budget.

    The stages are measured beside it and have no limit: `interpreter` (the process, the interpreter, its
    ``site``, the request), `imports`, `load`, `input` (the rows read, by an ONNX model), `first_prediction`;
    and, to compare, the second prediction and a steady one.
    """
    del seed
    if not 0 < p < 1:
        raise InputError(f"p must lie between 0 and 1, got {p!r}", hint="0.9: nine of ten starts")
    if not 0 < budget_seconds < math.inf:
        raise InputError(f"the budget must be a number of seconds above 0, got {budget_seconds!r}")
    level = checked_level(confidence_level)
    samples = checked_samples([start.seconds for start in starts], "start")
    is_in_spells = comes_in_spells(samples)
    effective = float(len(samples))
    if is_in_spells:
        effective = min(effective_sample_size(samples, share) for share in (p, 0.5))
    lower, upper = quantile_bounds(samples, p, level, effective)[0], quantile_bounds(samples, p, level)[1]
    drift, causes = drift_of(samples), []
    if is_in_spells:
        causes.append(
            "the machine had slow spells: slow and quick starts came in turn less often than by chance"
        )
        spell = float(np.max(samples) / np.median(samples))
        upper = None if upper is None or upper * spell > budget_seconds else upper
    if abs(drift) > MOST_DRIFT:
        causes.append(f"no steady state: the median changed by {drift:+.0%} from first to last third")
        lower = None
        upper = None if upper is None or upper * max(1.0, 1 + drift) > budget_seconds else upper
    if noisy:
        causes.append(f"{'; '.join(noisy)}; other work can slow starts down: it can not fail here")
        lower = None
    metric = f"cold_start_p{100 * p:g}"
    beyond = int(np.count_nonzero(samples > budget_seconds))
    return Evidence(
        gate_id=gate_id,
        measurements=(
            Measurement(
                metric=metric,
                value=empirical(samples, p),
                lower=lower,
                upper=upper,
                confidence_level=level,
                method=METHOD if not is_in_spells else f"{METHOD}, {effective:,.0f} effective starts below",
                n_samples=len(samples),
                unit="s",
                higher_is_better=False,
                group=group,
                n_required=_starts_to_decide(p, level, beyond / len(samples)),
                note="; ".join(causes) or None,
            ),
            *_medians(starts, samples, p, level, group),
        ),
        criteria=(limited(metric, budget_seconds, group=group),),
        details={
            "ecdf": distribution(samples, budget_seconds),
            "starts": len(samples),
            "starts_beyond_budget": beyond,
            "effective_starts": round(effective, 1),
            "came_in_slow_spells": is_in_spells,
            "median_change_first_to_last_third": drift,
            "warm": WARM if uncounted is not None else "nothing is known of the page cache",
            "uncounted_start_seconds": None if uncounted is None else uncounted.seconds,
            "interpreter_flags": list(FLAGS),
            "noise": list(noisy),
            **({"process": dict(starts[0].told)} if starts[0].told else {}),
            **({"runtime": dict(runtime)} if runtime else {}),
        },
    )


def comes_in_spells(samples: Samples) -> bool:
    """Return whether samples above and below the median come in fewer runs than chance makes, at 5 %."""
    is_slow = samples > np.median(samples)
    runs = 1 + int(np.count_nonzero(is_slow[1:] != is_slow[:-1]))
    return runs_probability(runs, int(is_slow.sum()), int((~is_slow).sum())) <= _CHANCE


def runs_probability(runs: int, n_first: int, n_second: int) -> float:
    """Return how probable so few runs are, or fewer, when two kinds of things stand in random order."""
    if n_first == 0 or n_second == 0:
        return 1.0
    ways = 0
    for count in range(2, runs + 1):
        half, is_odd = divmod(count, 2)
        less = math.comb(n_first - 1, half - 1), math.comb(n_second - 1, half - 1)
        more = math.comb(n_first - 1, half), math.comb(n_second - 1, half)
        ways += more[0] * less[1] + less[0] * more[1] if is_odd else 2 * less[0] * less[1]
    return ways / math.comb(n_first + n_second, n_first)


def _medians(
    starts: Sequence[Start], samples: Samples, p: float, level: float, group: str | None
) -> tuple[Measurement, ...]:
    """Measure the median of the whole, of its stages, and of later predictions."""
    found = {} if p == 0.5 else {"cold_start_p50": samples}
    for stage in STAGES:
        if all(stage in start.stages for start in starts):
            found[f"cold_start_{stage}_p50"] = np.array([start.stages[stage] for start in starts])
    found["second_prediction_p50"] = np.array([start.second_prediction for start in starts])
    steady = [start.steady_prediction for start in starts if start.steady_prediction is not None]
    if len(steady) == len(starts):
        found["steady_prediction_p50"] = np.array(steady)
    return tuple(
        quantile_of(values, 0.5, metric, level=level, group=group) for metric, values in found.items()
    )


def _starts_to_decide(p: float, level: float, beyond: float) -> int | None:
    """Return how many starts would pass in 9 of 10 runs, if the share of slow ones is the observed one."""
    share = beyond / (1 - p)
    return None if share >= _HOPELESS else required_samples(p, level, share)
