"""Limits on the performance of the project's model: the first half of what `ml_performance` offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.plugin.answers import answers, needs_of, part_of
from pytest_prodml.plugin.dimensions import ModelBound
from pytest_prodml.records import Evidence

if TYPE_CHECKING:
    import numpy as np

    from pytest_prodml.checks.performance import Metric, Sample
    from pytest_prodml.plugin.answers import Where


class LimitsOfPerformance(ModelBound):
    """The checks that hold a metric against a limit: over all rows, in parts of them, against a baseline."""

    def at_least(
        self,
        metric: str | Metric,
        limit: float,
        *,
        by: str | Sequence[str] | None = None,
        where: Where | None = None,
        margin: float = 0.0,
        threshold: float | None = None,
        level: float | None = None,
        burden: str | None = None,
        sample: Sample | None = None,
    ) -> Evidence:
        """Show that a metric is at least `limit`; see `checks.performance.at_least`.

        Parameters
        ----------
        metric : str or Metric
            A scikit-learn scorer name, the plain name of a loss, or a metric of your own (`custom_metric`).
        limit : float
            What the lower bound has to reach.
        by : str or sequence of str, optional
            Columns; the limit has to be kept in every group of each.
        where : mapping, callable or array of bool, optional
            Judge only a part of the rows: ``{"sex": "female"}``, ``{"age": [60, 61]}``, a function of the
            table, or true and false for each row.
        margin : float
            Loosens the limit.
        threshold : float, optional
            For metrics of decisions, another threshold than the configured one, for example accuracy at even
            odds (0.5) of a model that declines from 0.22 on.
        level : float, optional
            The level of each one-sided bound, where a gate needs a higher one than the policy.
        burden : {"compliance", "violation"}, optional
            Who has to prove it; default the policy's.
        sample : Sample, optional
            Answers to judge instead of the model's on `prodml_test`, for example of several labels a row.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.performance import at_least

        return self._limited(at_least, metric, (limit,), by, where, margin, threshold, level, burden, sample)

    def at_most(
        self,
        metric: str | Metric,
        limit: float,
        *,
        by: str | Sequence[str] | None = None,
        where: Where | None = None,
        margin: float = 0.0,
        threshold: float | None = None,
        level: float | None = None,
        burden: str | None = None,
        sample: Sample | None = None,
    ) -> Evidence:
        """Show that a metric is at most `limit`; see `at_least` and `checks.performance.at_most`."""
        __tracebackhide__ = True
        from pytest_prodml.checks.performance import at_most

        return self._limited(at_most, metric, (limit,), by, where, margin, threshold, level, burden, sample)

    def between(
        self,
        metric: str | Metric,
        low: float,
        high: float,
        *,
        by: str | Sequence[str] | None = None,
        where: Where | None = None,
        margin: float = 0.0,
        threshold: float | None = None,
        level: float | None = None,
        burden: str | None = None,
        sample: Sample | None = None,
    ) -> Evidence:
        """Show that a metric lies between two limits; see `at_least` and `checks.performance.between`."""
        __tracebackhide__ = True
        from pytest_prodml.checks.performance import between

        return self._limited(
            between, metric, (low, high), by, where, margin, threshold, level, burden, sample
        )

    def not_worse_than(
        self,
        baseline: object,
        metric: str | Metric,
        margin: float = 0.0,
        *,
        by_at_least: float | None = None,
        threshold: float | None = None,
        level: float | None = None,
        keys: Sequence[str | Path] = (),
        gate: str | None = None,
    ) -> Evidence:
        """Show that the model is not worse than a baseline; see `checks.performance.not_worse_than`.

        Parameters
        ----------
        baseline : object
            A model or its path, such as `prodml_baseline`; the name of a simple model that is trained on
            `prodml_reference` ("majority", "prior", "logistic", "mean", "median"); or the certificate of an
            earlier model, a path that ends in ``.json``.
        metric : str or Metric
            What is compared, row by row where the baseline is a model.
        margin : float
            How much worse the model may be.
        by_at_least : float, optional
            Asks for more than no loss: how much better the model must be, for example than a simple one.
        threshold, level : float, optional
            As for `at_least`.
        keys : sequence of paths, optional
            Public keys that may vouch for a certificate; default `baseline_keys` of the configuration.
        gate : str, optional
            Which gate's record counts, where a certificate measured the metric in several.
        """
        __tracebackhide__ = True
        from pytest_prodml.plugin.baselines import compare, resolve_baseline

        fixture = self._request.getfixturevalue

        def measure() -> Evidence:
            found = resolve_baseline(
                baseline,
                self._context,
                reference=lambda: fixture("prodml_reference"),
                columns=self._model.dataset.frame.columns,
                keys=keys,
            )
            return compare(
                metric,
                self._model,
                found,
                context=self._context,
                sample_of=lambda model: answers(model, needs_of(metric), threshold),
                margin=margin,
                by_at_least=by_at_least,
                gate=gate,
                tail=self._tail(level),
            )

        return self._settle(measure)

    def slices(
        self,
        metric: str | Metric,
        limit: float,
        by: str | Sequence[str] = (),
        *,
        where: Mapping[str, Where] | None = None,
        bins: Mapping[str, int | Sequence[float]] | None = None,
        depth: int = 2,
        min_rows: int | None = None,
        margin: float = 0.0,
        threshold: float | None = None,
        level: float | None = None,
        burden: str | None = None,
    ) -> Evidence:
        """Show that a metric keeps its limit in every slice; see `checks.performance.slices`.

        Parameters
        ----------
        by : str or sequence of str
            Columns; every value of each is a slice, and so are their intersections up to `depth`.
        where : mapping of str to mapping, callable or array of bool, optional
            Slices of your own by name, each as `where` of `at_least`.
        bins : mapping of str to int or sequence of float, optional
            For columns of numbers, how many quantile bins, or the edges between bins.
        min_rows : int, optional
            Slices with fewer rows are listed and not judged.
        metric, limit, margin, threshold, level, burden
            As for `at_least`; the limit is a ceiling for losses.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.performance import slices

        return self._settle(
            lambda: slices(
                metric,
                limit,
                self._answers(metric, threshold),
                self._columns(by),
                masks={name: part_of(self._model, chosen)[0] for name, chosen in (where or {}).items()},
                bins=bins,
                depth=depth,
                min_rows=min_rows,
                margin=margin,
                burden=self._burden(burden),
                **self._tail(level),
            )
        )

    def weakest_slices(
        self,
        metric: str | Metric,
        limit: float,
        by: str | Sequence[str] = (),
        *,
        gap: bool = False,
        bins: Mapping[str, int | Sequence[float]] | None = None,
        depth: int = 2,
        share_to_search: float = 0.5,
        top: int = 5,
        min_rows: int = 30,
        threshold: float | None = None,
        level: float | None = None,
        burden: str | None = None,
    ) -> Evidence:
        """Find where the model is weakest, and hold that against a limit.

        See `checks.performance.weakest_slices`. One half of the rows is searched, the other half is judged.

        Parameters
        ----------
        by : str or sequence of str
            Columns to make slices of; default all of the table.
        gap : bool
            The limit is on the difference to all other rows instead of the value.
        metric, limit, threshold, level, burden
            As for `at_least`; the limit is a ceiling for losses.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.performance import weakest_slices

        return self._settle(
            lambda: weakest_slices(
                metric,
                limit,
                self._answers(metric, threshold),
                self._columns(by or list(self._model.dataset.frame.columns)),
                gap=gap,
                bins=bins,
                depth=depth,
                share_to_search=share_to_search,
                top=top,
                min_rows=min_rows,
                burden=self._burden(burden),
                **self._tail(level),
            )
        )

    def _limited(
        self,
        check: Callable[..., Evidence],
        metric: str | Metric,
        limits: tuple[float, ...],
        by: str | Sequence[str] | None,
        where: Where | None,
        margin: float,
        threshold: float | None,
        level: float | None,
        burden: str | None,
        sample: Sample | None,
    ) -> Evidence:
        __tracebackhide__ = True

        def measure() -> Evidence:
            mask, name = (None, "") if where is None else part_of(self._model, where)
            return check(
                metric,
                *limits,
                self._answers(metric, threshold) if sample is None else sample,
                by=None if by is None else self._model.groups(by),
                where=mask,
                where_name=name,
                margin=margin,
                burden=self._burden(burden),
                **self._tail(level),
            )

        return self._settle(measure)

    def _answers(self, metric: str | Metric, threshold: float | None) -> Sample:
        __tracebackhide__ = True
        return answers(self._model, needs_of(metric), threshold)

    def _columns(self, by: str | Sequence[str]) -> dict[str, np.ndarray]:
        return self._model.groups(by) if by else {}
