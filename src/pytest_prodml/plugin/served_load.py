"""The checks of a served model under load and beyond it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.quantities import seconds, size_in_bytes
from pytest_prodml.plugin.served_base import WARM_UP_SECONDS, Asked, ServedBound, budget_of, timeout_of
from pytest_prodml.records import Evidence

if TYPE_CHECKING:
    from pytest_prodml.adapters.serving.load import Answers
    from pytest_prodml.adapters.serving.processes import Holding
    from pytest_prodml.checks.pipeline.serving.recovery import Trial

_LEAST_SECONDS = 5.0
_MOST_SECONDS = 300.0
#: Callers that wait for their answers, as many as it takes until more of them get no more answers.
_CALLERS = (2, 8, 32)
_CAPACITY_SECONDS = 1.0
_BEFORE_SECONDS = 3.0
_READINGS = 200


class ServedLoad(ServedBound):
    """What `ml_pipeline` says of a served model under load."""

    def sustains(
        self,
        rate: float,
        *,
        p99: float | str | None = None,
        p: float | None = None,
        within: float | str | None = None,
        duration: float | str | None = None,
        errors_at_most: float | None = None,
        arrivals: Literal["constant", "poisson"] = "constant",
        timeout: float | str | None = None,
        burst: int | None = None,
        server: object = None,
        data: object = None,
        compare: bool = True,
        results: Answers | None = None,
        level: float | None = None,
    ) -> Evidence:
        """Show that clients are answered in time, and rightly, at a rate; see the check of that name.

        Requests are sent at fixed times, whether earlier ones were answered or not, and latency counts from
        when each was due. Client and server share this machine, which the record says.

        Parameters
        ----------
        rate : float
            Requests a second.
        p99 : float or str
            The budget for 99 of 100 requests, in seconds or as text: ``"100 ms"``. Or `p` and `within`.
        duration : float or str, optional
            Default: as many requests as prove the claim in 9 of 10 runs of a server that uses a quarter of
            what may be late, and at least 5 s.
        errors_at_most : float, optional
            The share of requests that may fail. Failed requests count as late in any case.
        arrivals : str
            ``"constant"``, or ``"poisson"`` as of many independent clients.
        timeout : float or str, optional
            When a client gives up; default ten budgets, and at least 2 s.
        burst : int, optional
            How many requests in a row may be slow together; see the check.
        server : ServedModel, optional
            Default the fixture `prodml_server`. It is started anew, and ended afterwards.
        data : table, optional
            Rows that are asked for; default the fixture `prodml_test`.
        compare : bool
            Whether each answer is compared with what the model under test says for its rows.
        results : Answers, optional
            Of another load generator, read by `adapters.serving.imports.read_vegeta` or `read_k6`: nothing is
            sent. Answers were not compared, so they count for no model file.
        level : float, optional
            A level of its own, above that of the run.
        """
        __tracebackhide__ = True
        from pytest_prodml.adapters.serving.load import Phase
        from pytest_prodml.checks.latency.plan import n_calls_for
        from pytest_prodml.checks.pipeline.serving.sustains import sustains
        from pytest_prodml.checks.timings import longest_burst

        quantile, budget = budget_of(p, within, p99)
        wait, tail, noise = timeout_of(budget, timeout), self._tail(level), self._noise()
        if not rate > 0:
            raise InputError(f"the rate must be above 0, got {rate!r}", where=self._session.gate_id)
        row = longest_burst(1 / rate) if burst is None else burst
        needed = n_calls_for(quantile, tail["confidence_level"], burst=row) / rate
        length = min(max(_LEAST_SECONDS, needed), _MOST_SECONDS) if duration is None else seconds(duration)

        if results is not None:
            return self._settle_served(
                lambda: sustains(
                    quantile,
                    budget,
                    results,
                    errors_at_most=errors_at_most,
                    burst=burst,
                    is_loopback=False,
                    **tail,
                ),
                is_compared=False,
            )

        def check() -> Evidence:
            with self._asked(server, data, compares=compare) as asked:
                answers = asked.run(
                    [Phase(rate=rate, seconds=WARM_UP_SECONDS), Phase(rate=rate, seconds=length)],
                    timeout=wait,
                    seed=self._session.seed,
                    arrivals=arrivals,
                )
                return sustains(
                    quantile,
                    budget,
                    answers.of_phase(1),
                    errors_at_most=errors_at_most,
                    is_right=asked.is_right,
                    noise=noise,
                    burst=burst,
                    is_loopback=asked.endpoint.is_loopback,
                    **tail,
                )

        return self._settle_served(check, is_compared=compare)

    def sheds_load(
        self,
        at: float = 2.0,
        *,
        p99: float | str | None = None,
        p: float | None = None,
        within: float | str | None = None,
        capacity: float | None = None,
        duration: float | str = 8.0,
        goodput_at_least: float = 0.8,
        timeouts_at_most: float = 0.01,
        refused_within: float | str | None = None,
        timeout: float | str | None = None,
        server: object = None,
        data: object = None,
        level: float | None = None,
    ) -> Evidence:
        """Show what clients get when more of them come than the server can answer; see the check.

        Parameters
        ----------
        at : float
            How many times the capacity is asked for.
        p99 : float or str
            What is in time for a client. Or `within`.
        capacity : float, optional
            Requests a second; default what it answers to callers that wait, measured first.
        duration : float or str
            Of the overload.
        goodput_at_least : float
            The part of the capacity that is still answered in time.
        timeouts_at_most : float
            The share of requests that nobody answers.
        refused_within : float or str, optional
            For 95 of 100 refusals; default a fifth of the budget.
        timeout, server, data, level
            As in `sustains`.
        """
        __tracebackhide__ = True
        from pytest_prodml.adapters.serving.load import Phase
        from pytest_prodml.checks.pipeline.serving.overload import sheds_load

        _, budget = budget_of(p, within, p99)
        wait, tail, noise = timeout_of(budget, timeout), self._tail(level), self._noise()
        if not at > 1:
            raise InputError(f"an overload is more than 1 time the capacity, got {at!r}", where="sheds_load")

        def check() -> Evidence:
            with self._asked(server, data, compares=False) as asked:
                most = capacity_of(asked) if capacity is None else capacity
                answers = asked.run(
                    [Phase(rate=at * most, seconds=seconds(duration))], timeout=wait, seed=self._session.seed
                )
                return sheds_load(
                    most,
                    budget,
                    answers,
                    goodput_at_least=goodput_at_least,
                    timeouts_at_most=timeouts_at_most,
                    refused_within_seconds=None if refused_within is None else seconds(refused_within),
                    noise=noise,
                    **tail,
                )

        return self._settle_served(check, is_compared=False)

    def recovers_within(
        self,
        limit: float | str,
        *,
        fault: Literal["overload", "kill_worker"] = "overload",
        rate: float | None = None,
        p99: float | str | None = None,
        p: float | None = None,
        within: float | str | None = None,
        at: float = 2.0,
        capacity: float | None = None,
        fault_seconds: float = 3.0,
        trials: int = 1,
        timeout: float | str | None = None,
        server: object = None,
        data: object = None,
    ) -> Evidence:
        """Show that the server is soon as before, after an overload or after one of its workers was killed.

        Parameters
        ----------
        limit : float or str
            From the end of the fault to the moment from which every second is good again.
        fault : str
            ``"overload"``: `at` times the capacity for `fault_seconds`; ``"kill_worker"``: SIGKILL for the
            newest process that listens.
        rate : float, optional
            Requests a second before and after; default half of the capacity.
        capacity : float, optional
            Requests a second; default what it answers to callers that wait, measured first.
        p99, p, within
            What a good second keeps.
        trials : int
            How often; each with a server of its own.
        timeout, server, data
            As in `sustains`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.pipeline.serving.recovery import recovers_within

        quantile, budget = budget_of(p, within, p99)
        longest, wait, noise = seconds(limit), timeout_of(budget, timeout), self._noise()
        if fault not in {"overload", "kill_worker"}:
            raise InputError(
                f"there is no fault {fault!r}", where=self._session.gate_id, hint="overload or kill_worker"
            )

        def one(number: int) -> Trial:
            with self._asked(server, data, compares=False) as asked:
                needs = capacity is None and (rate is None or fault == "overload")
                most = capacity_of(asked) if needs else capacity or 0.0
                calm = 0.5 * most if rate is None else rate
                seed = self._session.seed + number
                if fault == "overload":
                    return _overloaded(asked, calm, at * most, fault_seconds, longest, wait, seed)
                return _killed(asked, calm, longest, wait, seed)

        told = (
            f"{at:g} times the capacity for {fault_seconds:g} s"
            if fault == "overload"
            else "a worker was killed"
        )
        return self._settle_served(
            lambda: recovers_within(
                longest,
                quantile,
                budget,
                [one(number) for number in range(trials)],
                fault=told,
                noise=noise,
                **self._session.tail,
            ),
            is_compared=False,
        )

    def soak(
        self,
        rate: float,
        *,
        duration: float | str,
        memory_per_hour: float | str,
        p99: float | str | None = None,
        p: float | None = None,
        within: float | str | None = None,
        latency_drift: float = 0.5,
        descriptors: int = 10,
        failures_at_most: float = 0.01,
        warm_up: float | str = 5.0,
        timeout: float | str | None = None,
        server: object = None,
        data: object = None,
        level: float | None = None,
    ) -> Evidence:
        """Show that the server is the same after a long run; see the check of that name.

        Parameters
        ----------
        rate : float
            Requests a second.
        duration : float or str
            After the warm-up, ``"10 min"``.
        memory_per_hour : float or str
            By how much resident memory may grow, ``"50 MB"``.
        p99, p, within
            A request is failed that got no success within that.
        latency_drift : float
            The largest growth of the median latency over the run, as a share.
        descriptors : int
            How many more open files there may be at the end.
        failures_at_most : float
            The share of requests that may fail.
        warm_up : float or str
            At the same rate, before.
        timeout, server, data, level
            As in `sustains`.
        """
        __tracebackhide__ = True
        import time

        from pytest_prodml.adapters.serving.load import Phase
        from pytest_prodml.adapters.serving.processes import holding_of
        from pytest_prodml.checks.pipeline.serving.soak import soak

        _, budget = budget_of(p, within, p99)
        wait, tail, noise = timeout_of(budget, timeout), self._tail(level), self._noise()
        before, length = seconds(warm_up), seconds(duration)

        def check() -> Evidence:
            with self._asked(server, data, compares=False) as asked:
                running, holdings = asked.endpoint.server, _nothing_held()

                def read(started: float) -> None:
                    end = started + before + length
                    while (now := time.monotonic()) < end and running.is_alive():
                        if running.pid is not None and (held := holding_of(running.pid, now - started)):
                            holdings.append(held)
                        time.sleep(length / _READINGS)

                answers = asked.run(
                    [Phase(rate=rate, seconds=before), Phase(rate=rate, seconds=length)],
                    timeout=wait,
                    seed=self._session.seed,
                    during=read,
                )
                return soak(
                    size_in_bytes(memory_per_hour),
                    budget,
                    answers.of_phase(1),
                    holdings,
                    latency_drift=latency_drift,
                    descriptors=descriptors,
                    failures_at_most=failures_at_most,
                    noise=noise,
                    **tail,
                )

        return self._settle_served(check, is_compared=False)


def _nothing_held() -> list[Holding]:
    return []


def capacity_of(asked: Asked) -> float:
    """Return how many requests a second the server answers at most, to callers that wait.

    Raises
    ------
    InputError
        If it answers none.
    """
    best = 0.0
    for callers in _CALLERS:
        answers = asked.endpoint.run_closed(asked.requests, concurrency=callers, seconds=_CAPACITY_SECONDS)
        in_time = answers.is_answered & (answers.done <= _CAPACITY_SECONDS)
        found = float(in_time.sum()) / _CAPACITY_SECONDS
        if found < 0.95 * best:
            break
        best = max(best, found)
    if best == 0:
        raise InputError("the server answered nothing with success", where="capacity")
    return best


def _overloaded(
    asked: Asked, calm: float, busy: float, length: float, limit: float, timeout: float, seed: int
) -> Trial:
    from pytest_prodml.adapters.serving.load import Phase
    from pytest_prodml.checks.pipeline.serving.recovery import Trial

    phases = [
        Phase(rate=calm, seconds=_BEFORE_SECONDS),
        Phase(rate=busy, seconds=length),
        Phase(rate=calm, seconds=limit + 2.0),
    ]
    answers = asked.run(phases, timeout=timeout, seed=seed)
    return Trial(answers=answers, began=_BEFORE_SECONDS, ended=_BEFORE_SECONDS + length)


def _killed(asked: Asked, calm: float, limit: float, timeout: float, seed: int) -> Trial:
    import time

    from pytest_prodml.adapters.serving.load import Phase
    from pytest_prodml.checks.pipeline.serving.recovery import Trial

    moments: list[float] = []

    def kill(started: float) -> None:
        time.sleep(max(started + _BEFORE_SECONDS - time.monotonic(), 0.0))
        moments.append(asked.endpoint.server.kill_worker() - started)

    phases = [Phase(rate=calm, seconds=_BEFORE_SECONDS + limit + 2.0)]
    answers = asked.run(phases, timeout=timeout, seed=seed, during=kill)
    return Trial(answers=answers, began=moments[0], ended=moments[0])
