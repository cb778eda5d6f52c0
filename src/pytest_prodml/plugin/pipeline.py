"""What the `ml_pipeline` fixture returns."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

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
        atol, at_most_flips, tie_margin
            How far scores may lie apart, how many decisions may differ, and when a flip is a tie.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.pipeline import parity

        fixture = self._request.getfixturevalue
        rows = self._context.dataset(fixture("prodml_test") if data is None else data, "test")

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
                    **self._session.tail,
                )

        return self._session.settle(check)

    def agrees(self, expected: npt.ArrayLike, actual: npt.ArrayLike, *, atol: float = 1e-6) -> Evidence:
        """Show that two arrays hold the same answers, for example the model's and the service's.

        See `checks.pipeline.agrees`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.pipeline import agrees

        return self._session.settle(lambda: agrees(expected, actual, atol=atol, **self._session.tail))
