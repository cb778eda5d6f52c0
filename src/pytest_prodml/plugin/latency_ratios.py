"""Latency gates that compare: with a workload, with a predecessor, and what runs with what was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.bench_blocks import time_against, time_beside
from pytest_prodml.plugin.latency_base import LatencyBound
from pytest_prodml.plugin.latency_model import Setting, void_evidence
from pytest_prodml.records import Evidence, JsonValue

_QUADRUPLES = 40


class RatioLatency(LatencyBound):
    """What `ml_latency` offers that needs no target: ratios hold on any machine."""

    def ratio_to_reference_at_most(
        self,
        ratio: float,
        reference: str = "matmul",
        *,
        batch_size: int = 1,
        threads: int | None = None,
        provider: str | None = None,
        quadruples: int = _QUADRUPLES,
        level: float | None = None,
    ) -> Evidence:
        """Show that a call takes at most `ratio` times as long as a workload that is the same everywhere.

        See `checks.latency.ratio_to_reference_at_most`. This budget travels: it holds on any machine.

        Parameters
        ----------
        ratio : float
            Of the medians.
        reference : str
            ``matmul`` (arithmetic), ``lookups`` (memory and branches: trees), ``dispatch`` (the cost of a
            call: small graphs) or ``device_matmul`` (arithmetic on the execution provider).
        quadruples : int
            How often model and workload are timed in turn, at least 20.
        batch_size, threads, provider, level
            As in `quantile_at_most`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.latency.blocks import ratio_to_reference_at_most
        from pytest_prodml.checks.latency.references import reference as workload_named

        setting = Setting(batch_size=batch_size, threads=threads, provider=provider)
        tail = self._tail(level)

        def check() -> Evidence:
            model = self._timed_model(setting)
            if model.fell_back:
                return void_evidence("latency_ratio_to_reference", ratio, model, tail["gate_id"])
            workload = workload_named(reference, provider=model.provider)
            own, other = time_beside(self._request, model.calls, workload.call, quadruples=quadruples)
            evidence = ratio_to_reference_at_most(
                ratio, own, other, workload, group=model.group, runtime=model.runtime, **tail
            )
            return model.proven(evidence)

        return self._settle(check)

    def not_slower_than(
        self,
        baseline: object = None,
        *,
        margin: float = 0.05,
        batch_size: int = 1,
        threads: int | None = None,
        quadruples: int = _QUADRUPLES,
        level: float | None = None,
    ) -> Evidence:
        """Show that the model is at most `margin` slower than its predecessor; see the check of that name.

        Both are called in turn on the same rows. A model that runs in the calling thread is timed by that
        thread's processor time, which other work on the machine does not change.

        Parameters
        ----------
        baseline : model, optional
            Default `prodml_baseline`.
        margin : float
            0.05: 5 %.
        quadruples : int
            How often both are timed in turn, at least 20.
        batch_size, threads, level
            As in `quantile_at_most`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.latency.blocks import not_slower_than

        given = self._request.getfixturevalue("prodml_baseline") if baseline is None else baseline
        other = self._context.predictor(given)
        setting = Setting(batch_size=batch_size, threads=threads)
        tail = self._tail(level)

        def check() -> Evidence:
            new = self._timed_model(setting)
            old = self._timed_model(setting, predictor=other)
            alone = new.is_bound_to_one_thread and old.is_bound_to_one_thread
            clock: Callable[[], float] = time.thread_time if alone else time.perf_counter
            candidate, before = time_against(new.calls, old.calls, quadruples=quadruples, clock=clock)
            runtimes: dict[str, JsonValue] = {
                "runtime": dict(new.runtime),
                "runtime_of_the_baseline": dict(old.runtime),
            }
            return not_slower_than(
                margin,
                candidate,
                before,
                clock="processor time of the thread" if alone else "wall clock",
                noise=() if alone else self._noise(),
                group=new.group,
                details=runtimes,
                **tail,
            )

        return self._session.settle(
            check,
            subjects=[self._model.predictor.subject],
            materials=[self._model.dataset.material, other.subject],
        )

    def runs_on(
        self,
        provider: str,
        *,
        at_least: float = 1.0,
        allowed_elsewhere: Sequence[str] = (),
        batch_size: int = 1,
        threads: int | None = None,
    ) -> Evidence:
        """Show that an execution provider runs the graph: a fallback to the processor fails.

        See `checks.latency.runs_on`. One run under onnxruntime's profiler tells what executed each node.

        Parameters
        ----------
        provider : str
            For example ``CUDAExecutionProvider``.
        at_least : float
            The share of the nodes.
        allowed_elsewhere : sequence of str
            Operators that do not count, such as those that compute shapes: ``["Shape", "Gather"]``.
        batch_size, threads
            As in `quantile_at_most`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.latency.provider import runs_on

        setting = Setting(batch_size=batch_size, threads=threads, provider=provider)

        def check() -> Evidence:
            found = self._timed_model(setting).execution
            if found is None:
                raise InputError("only an ONNX model tells what executed it", where=self._session.gate_id)
            return runs_on(
                provider,
                found.without(allowed_elsewhere).nodes,
                found.seconds,
                at_least=at_least,
                allowed_elsewhere=allowed_elsewhere,
                **self._session.tail,
            )

        return self._settle(check)
