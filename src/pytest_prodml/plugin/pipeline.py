"""What the `ml_pipeline` fixture returns."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.pipeline_runs import PipelineRuns
from pytest_prodml.plugin.served_load import ServedLoad
from pytest_prodml.plugin.served_requests import ServedRequests
from pytest_prodml.plugin.tables import SkewOfTables
from pytest_prodml.records import Evidence

if TYPE_CHECKING:
    import numpy.typing as npt


class PipelineGate(SkewOfTables, PipelineRuns, ServedLoad, ServedRequests):
    """What the `ml_pipeline` fixture returns."""

    def parity(
        self,
        reference: object,
        candidate: object = None,
        *,
        data: object = None,
        atol: float = 1e-5,
        at_most_flips: float = 0,
        tie_margin: float | None = None,
        differing_at_most: float | None = None,
    ) -> Evidence:
        """Show that two models give the same scores and decisions; see `checks.pipeline.parity`.

        Parameters
        ----------
        reference : object
            The model that is right by definition, for example the trained one.
        candidate : object, optional
            The model that shall serve; default the fixture `prodml_model`. Either may be what the fixture
            `prodml_server` returns: it is started, and asked as clients ask.
        data : table, optional
            Rows to compare on; default the fixture `prodml_test`.
        atol, at_most_flips, tie_margin, differing_at_most
            How far scores may lie apart, how many decisions may differ, when a flip is a tie, and for which
            share of rows scores may lie further apart.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.pipeline import parity

        fixture = self._request.getfixturevalue
        rows = self._dataset(data)

        def check() -> Evidence:
            with contextlib.ExitStack() as running:
                return parity(
                    self._form(reference, running),
                    self._form(fixture("prodml_model") if candidate is None else candidate, running),
                    rows,
                    atol=atol,
                    at_most_flips=at_most_flips,
                    threshold=self._context.settings.model.threshold,
                    tie_margin=tie_margin,
                    differing_at_most=differing_at_most,
                    **self._session.tail,
                )

        return self._session.settle(check)

    def agrees_with(
        self,
        champion: object = None,
        candidate: object = None,
        *,
        at_least: float = 0.95,
        metric: str | None = None,
        margin: float = 0.0,
        latency_ratio: float | None = None,
        data: object = None,
        level: float | None = None,
    ) -> Evidence:
        """Show that the model may take the champion's place: paired on the same rows, as in a shadow run.

        See `checks.pipeline.agrees_with`; with `metric` also `ml_performance.not_worse_than`, with
        `latency_ratio` also `ml_latency.not_slower_than`, recorded in this gate.

        Parameters
        ----------
        champion : model, optional
            The model that serves; default the fixture `prodml_baseline`. What `prodml_server` returns is
            started and asked.
        candidate : model, optional
            Default the fixture `prodml_model`.
        at_least : float
            The share of rows that both have to decide alike.
        metric : str, optional
            A metric in which the candidate must not be worse, by `margin`, on the labels of `data`.
        latency_ratio : float, optional
            1.1: the candidate takes at most 10 % longer.
        data : table, optional
            Default the fixture `prodml_test`.
        level : float, optional
            A level of its own, above that of the run.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.pipeline.agreement import agrees_with
        from pytest_prodml.plugin.latency import LatencyGate
        from pytest_prodml.plugin.performance import PerformanceGate

        fixture = self._request.getfixturevalue
        first = fixture("prodml_baseline") if champion is None else champion
        second = fixture("prodml_model") if candidate is None else candidate
        rows = self._context.dataset(fixture("prodml_test") if data is None else data, "test")
        tail = self._tail(level)
        if latency_ratio is not None and not latency_ratio > 1:
            raise InputError(
                f"latency_ratio {latency_ratio!r} leaves no room for chance",
                where=self._session.gate_id,
                hint="1.1: at most 10 % longer",
            )

        def check() -> Evidence:
            with contextlib.ExitStack() as running:
                return agrees_with(
                    self._form(first, running),
                    self._form(second, running),
                    rows,
                    at_least,
                    threshold=self._context.settings.model.threshold,
                    **tail,
                )

        found = self._session.settle(check)
        if metric is not None:
            PerformanceGate(self._request, second, rows).not_worse_than(first, metric, margin, level=level)
        if latency_ratio is not None:
            LatencyGate(self._request, second, rows).not_slower_than(
                first, margin=latency_ratio - 1, level=level
            )
        return found

    def agrees(self, expected: npt.ArrayLike, actual: npt.ArrayLike, *, atol: float = 1e-6) -> Evidence:
        """Show that two arrays hold the same answers, for example the model's and the service's.

        See `checks.pipeline.agrees`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.pipeline import agrees

        return self._session.settle(lambda: agrees(expected, actual, atol=atol, **self._session.tail))
