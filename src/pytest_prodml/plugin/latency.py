"""What the `ml_latency` fixture returns: the model's calls, timed, and held against a claim."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.bench import Timed, seconds_each, time_calls
from pytest_prodml.plugin.latency_model import Setting, TimedModel, void_evidence
from pytest_prodml.plugin.latency_process import ProcessLatency
from pytest_prodml.plugin.latency_ratios import RatioLatency
from pytest_prodml.plugin.quantities import seconds
from pytest_prodml.plugin.verdicts import Tail
from pytest_prodml.records import Evidence

if TYPE_CHECKING:
    from pytest_prodml.checks.latency.conditions import Conditions

#: A cheap call is timed for this long before the first look, up to this many times the planned calls.
_SPARE_SECONDS = 0.5
_MOST_SPARE = 50
_WINDOWS = 30
_WINDOW_SECONDS = 0.05
#: pytest-benchmark keeps and sums up every call.
_MOST_WINDOW_CALLS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What one test has timed, and as what it was declared."""

    timed: Timed
    looks: int
    burst: int | None

    def at_each_look(self, tail: Tail) -> Tail:
        """Return the keywords of a check of samples that a look may have ended: each has its share."""
        from pytest_prodml.checks.latency.plan import level_of_each_look

        return {**tail, "confidence_level": level_of_each_look(tail["confidence_level"], self.looks)}


class LatencyGate(RatioLatency, ProcessLatency):
    """What the `ml_latency` fixture returns."""

    def __init__(self, request: pytest.FixtureRequest, model: object, data: object) -> None:
        __tracebackhide__ = True
        super().__init__(request, model, data)
        self._runs: dict[Setting, _Run] = {}

    def quantile_at_most(
        self,
        p: float,
        budget: float | str,
        *,
        batch_size: int = 1,
        threads: int | None = None,
        provider: str | None = None,
        on_device: bool = False,
        calls: int | Sequence[int] | None = None,
        burst: int | None = None,
        level: float | None = None,
    ) -> Evidence:
        """Show that the p-quantile of the latency keeps a budget; see `checks.latency.quantile_at_most`.

        The model is called on rows of `prodml_test`, already converted: building a one-row frame can cost
        100 times the model. Several quantiles of one setting share their samples, so ask for the highest
        first; a test times one setting.

        Parameters
        ----------
        p : float
            The quantile, 0.99: 99 of 100 calls.
        budget : float or str
            Seconds, or text such as ``"5 ms"``.
        batch_size : int
            Rows in a call.
        threads : int, optional
            Of one operator, for an ONNX model; default those of the model under test.
        provider : str, optional
            The execution provider, for an ONNX model; default that of the declared hardware target, else of
            the model under test. What asks for one must run there, or the gate fails.
        on_device : bool
            Time without copies of input and output (IO binding), for an ONNX model. Otherwise from host to
            host, which is what a caller feels.
        calls : int or sequence of int, optional
            How many calls to time; up to three growing numbers, after each of which the run may be decided.
            Default: three looks, for models that use none, a quarter and a half of what may exceed the
            budget, and more calls where they are cheap.
        burst : int, optional
            How many calls in a row may be slow together; see the check.
        level : float, optional
            A level of its own, above that of the run.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.latency.quantile import quantile_at_most

        limit = seconds(budget)
        setting = Setting(batch_size=batch_size, threads=threads, provider=provider, on_device=on_device)
        tail = self._tail(level)

        def check() -> Evidence:
            model = self._timed_model(setting)
            if model.fell_back:
                return void_evidence(f"latency_p{100 * p:g}", limit, model, tail["gate_id"])

            def judged(samples: Sequence[float], conditions: Conditions, looks: int, spread: int) -> Evidence:
                return quantile_at_most(
                    p, limit, samples, conditions=conditions, looks=looks, burst=spread, group=model.group,
                    **tail,
                )  # fmt: skip

            run = self._run(model, p, calls, burst, tail["confidence_level"], judged)
            timed = run.timed
            evidence = quantile_at_most(
                p,
                limit,
                timed.samples,
                conditions=timed.conditions,
                looks=run.looks,
                look_sizes=timed.sizes,
                burst=run.burst if burst is None else burst,
                group=model.group,
                runtime=model.runtime,
                **tail,
            )
            return self._with(evidence, model, timed)

        return self._settle(check)

    def throughput_at_least(
        self,
        rows_per_second: float,
        *,
        batch_size: int = 32,
        threads: int | None = None,
        provider: str | None = None,
        on_device: bool = False,
        level: float | None = None,
    ) -> Evidence:
        """Show that one caller gets so many rows a second; see `checks.latency.throughput_at_least`.

        Parameters are those of `quantile_at_most`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.latency.throughput import throughput_at_least

        setting = Setting(batch_size=batch_size, threads=threads, provider=provider, on_device=on_device)
        tail = self._tail(level)

        def check() -> Evidence:
            model = self._timed_model(setting)
            if model.fell_back:
                return void_evidence("throughput", rows_per_second, model, tail["gate_id"], at_least=True)
            run = self._windows(model)
            timed = run.timed
            evidence = throughput_at_least(
                rows_per_second, timed.samples, batch_size=batch_size, conditions=timed.conditions,
                group=model.group, runtime=model.runtime, **run.at_each_look(tail),
            )  # fmt: skip
            return self._with(evidence, model, timed)

        return self._settle(check)

    def cost_per_million_at_most(
        self,
        limit: float,
        *,
        batch_size: int = 32,
        threads: int | None = None,
        provider: str | None = None,
        level: float | None = None,
    ) -> Evidence:
        """Show what a million rows cost on the declared target; see the check of that name.

        The price of an hour is that of ``[tool.prodml.targets.NAME]``.

        Parameters
        ----------
        limit : float
            In the currency of the target.
        batch_size, threads, provider, level
            As in `quantile_at_most`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.latency.throughput import cost_per_million_at_most

        setting = Setting(batch_size=batch_size, threads=threads, provider=provider)
        tail = self._tail(level)
        price, currency = self._price()

        def check() -> Evidence:
            model = self._timed_model(setting)
            if model.fell_back:
                return void_evidence("cost_per_million", limit, model, tail["gate_id"])
            run = self._windows(model)
            timed = run.timed
            evidence = cost_per_million_at_most(
                limit, timed.samples, batch_size=batch_size, price_per_hour=price, currency=currency,
                conditions=timed.conditions, group=model.group, runtime=model.runtime,
                **run.at_each_look(tail),
            )  # fmt: skip
            return self._with(evidence, model, timed)

        return self._settle(check)

    def _run(
        self,
        model: TimedModel,
        p: float,
        calls: int | Sequence[int] | None,
        burst: int | None,
        level: float,
        judged: Callable[[Sequence[float], Conditions, int, int], Evidence],
    ) -> _Run:
        """Time the calls of a setting, or return what this test has timed already."""
        __tracebackhide__ = True
        from pytest_prodml.checks.timings import longest_burst

        known = self._runs.get(model.setting)
        if known is not None and (calls is None or len(known.timed.samples) >= _sizes(calls)[-1]):
            return known
        each = seconds_each(model.calls[0])
        spread = longest_burst(each) if burst is None else burst
        sizes = _planned(p, level, each, spread) if calls is None else _sizes(calls)
        looks = len(sizes)

        def is_decided(samples: list[float], conditions: Conditions) -> bool:
            evidence = judged(samples, conditions, looks, spread)
            measured, limit = evidence.measurements[0], evidence.criteria[0].limit
            too_slow = measured.lower is not None and measured.lower > limit
            return too_slow or (measured.upper is not None and measured.upper <= limit)

        timed = time_calls(
            self._request, model.calls, sizes=sizes, is_decided=is_decided, base=self._base(model)
        )
        run = _Run(timed=timed, looks=looks, burst=spread)
        self._runs[model.setting] = run
        return run

    def _windows(self, model: TimedModel) -> _Run:
        """Time calls for a rate: thirty windows of at least 50 ms and a call each."""
        __tracebackhide__ = True
        known = self._runs.get(model.setting)
        if known is not None:
            return known
        each = max(seconds_each(model.calls[0]), 1e-9)
        count = _WINDOWS * min(max(1, round(_WINDOW_SECONDS / each)), _MOST_WINDOW_CALLS)
        timed = time_calls(self._request, model.calls, sizes=(count,), base=self._base(model))
        self._runs[model.setting] = run = _Run(timed=timed, looks=1, burst=None)
        return run


def _planned(p: float, level: float, each: float, spread: int) -> tuple[int, ...]:
    """Return the three looks, more calls in each where they are cheap."""
    from pytest_prodml.checks.latency.plan import MOST_LOOKS, affordable, planned_looks

    sizes = planned_looks(p, level, looks=MOST_LOOKS, burst=spread)
    first = affordable(sizes[0], each, spare_seconds=_SPARE_SECONDS, most=_MOST_SPARE)
    return tuple(-(-size * first // sizes[0]) for size in sizes)


def _sizes(calls: int | Sequence[int]) -> tuple[int, ...]:
    sizes = (calls,) if isinstance(calls, int) else tuple(calls)
    growing = all(before < after for before, after in itertools.pairwise(sizes))
    if not 1 <= len(sizes) <= 3 or not growing or sizes[0] < 1:
        raise InputError(
            f"calls must be at least 1, or up to three growing numbers, got {calls!r}", where="ml_latency"
        )
    return sizes
