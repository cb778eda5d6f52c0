"""What the `ml_performance` fixture returns: performance checks on the project's model and data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.answers import answers, needs_of
from pytest_prodml.plugin.performance_limits import LimitsOfPerformance
from pytest_prodml.plugin.subjects import ModelOnData
from pytest_prodml.records import Evidence

if TYPE_CHECKING:
    import numpy.typing as npt

    from pytest_prodml.checks.deepchecks import OnWarn, Task
    from pytest_prodml.checks.performance import Metric, Sample


class PerformanceGate(LimitsOfPerformance):
    """What the `ml_performance` fixture returns."""

    def calibrated(
        self,
        *,
        at_most: float = 0.05,
        slope: tuple[float | None, float | None] | None = None,
        intercept: tuple[float | None, float | None] | None = None,
        bins: int | Literal["auto"] = 15,
        strategy: Literal["quantile", "uniform"] = "quantile",
        multiclass: Literal["top_label", "class_wise"] = "top_label",
        by: str | Sequence[str] | None = None,
        data: Literal["test", "reference", "current"] = "test",
        level: float | None = None,
    ) -> Evidence:
        """Show that probabilities come true as often as they say; see `checks.performance.calibrated`.

        `by` names columns; the limits have to be kept in every group of each as well. `data` names the
        fixture ``prodml_<data>``: of current rows, this shows that what the scores mean did not change.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.performance import Needs, calibrated

        model = self._on(data)
        return self._settle_on(
            model,
            lambda: calibrated(
                answers(model, Needs.SCORES),
                at_most=at_most,
                slope=slope,
                intercept=intercept,
                bins=bins,
                strategy=strategy,
                multiclass=multiclass,
                by=None if by is None else model.groups(by),
                **self._tail(level),
            ),
        )

    def not_worse_on(
        self,
        current: str,
        metric: str | Metric,
        margin: float,
        *,
        threshold: float | None = None,
        level: float | None = None,
        burden: str | None = None,
    ) -> Evidence:
        """Show that the model is not worse on newer labelled rows; see `checks.performance.not_worse_on`.

        Parameters
        ----------
        current : {"current", "reference"}
            Which rows are compared with `prodml_test`: those of the fixture ``prodml_<current>``.
        metric, margin : str or Metric, float
            What is compared, and how much worse it may be.
        threshold, level, burden
            As for `at_least`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.performance import not_worse_on

        if current == "test":
            raise InputError(
                "the test data can not be compared with themselves",
                where="not_worse_on",
                hint='not_worse_on("current", ...)',
            )
        model = self._on(current)
        return self._settle_on(
            model,
            lambda: not_worse_on(
                metric,
                answers(model, needs_of(metric), threshold),
                answers(self._model, needs_of(metric), threshold),
                margin=margin,
                burden=self._burden(burden),
                current_name=current,
                **self._tail(level),
            ),
        )

    def _on(self, role: str) -> ModelOnData:
        """Return the model on another table than `prodml_test`."""
        __tracebackhide__ = True
        if role == "test":
            return self._model
        if role not in {"reference", "current"}:
            raise InputError(
                f"there is no table {role!r}", where="ml_performance", hint="test, reference or current"
            )
        rows = self._request.getfixturevalue(f"prodml_{role}")
        return ModelOnData(self._context, self._model.predictor, self._context.dataset(rows, role))

    def _settle_on(self, model: ModelOnData, check: Callable[[], Evidence]) -> Evidence:
        """Settle a check about another table; a material that is named twice counts once."""
        __tracebackhide__ = True
        return self._session.settle(
            check,
            subjects=[model.predictor.subject],
            materials=[model.dataset.material, self._model.dataset.material],
        )

    def threshold_is_right(
        self,
        cost_matrix: Mapping[str, float] | Sequence[Sequence[float]],
        *,
        threshold: float | None = None,
        at_most: float | None = None,
        tolerance: float | None = None,
        level: float | None = None,
    ) -> Evidence:
        """Show what decisions cost, and that no other threshold is much cheaper.

        See `checks.performance.threshold_is_right`. `threshold` defaults to the configured one.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.performance import Needs, threshold_is_right

        model = self._model
        return self._settle(
            lambda: threshold_is_right(
                cost_matrix,
                answers(model, Needs.SCORES),
                threshold=model.settings.threshold if threshold is None else threshold,
                at_most=at_most,
                tolerance=tolerance,
                **self._tail(level),
            )
        )

    def prediction_intervals(
        self,
        lower: npt.ArrayLike,
        upper: npt.ArrayLike | None = None,
        *,
        coverage: float = 0.9,
        at_most: float | None = None,
        margin: float = 0.0,
        mean_width_at_most: float | None = None,
        by: str | Sequence[str] | None = None,
        by_size: bool = False,
        interval: int = 0,
        level: float | None = None,
    ) -> Evidence:
        """Show that intervals hold the truth as often as promised.

        See `checks.performance.prediction_intervals`.

        Parameters
        ----------
        lower, upper : array-like of float
            The intervals for the rows of `prodml_test`; or one array of shape (n, 2) or (n, 2, k), as MAPIE
            returns it, of which `interval` chooses the last axis.
        by : str or sequence of str, optional
            Columns; the coverage has to be kept in every group of each.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.performance import prediction_intervals

        model = self._model
        return self._settle(
            lambda: prediction_intervals(
                model.labels,
                lower,
                upper,
                level=interval,
                coverage=coverage,
                at_most=at_most,
                margin=margin,
                mean_width_at_most=mean_width_at_most,
                by=None if by is None else model.groups(by),
                by_size=by_size,
                sample_weight=model.column("sample_weight"),
                groups=model.column("entity"),
                **self._tail(level),
            )
        )

    def prediction_sets(
        self,
        sets: npt.ArrayLike | Sequence[Collection[Any]],
        *,
        labels: Sequence[Any] | None = None,
        coverage: float = 0.9,
        at_most: float | None = None,
        margin: float = 0.0,
        mean_size_at_most: float | None = None,
        by: str | Sequence[str] | None = None,
        by_class: bool = False,
        by_size: bool = False,
        interval: int = 0,
        level: float | None = None,
    ) -> Evidence:
        """Show that sets of classes hold the true one as often as promised.

        See `checks.performance.prediction_sets`.

        Parameters
        ----------
        sets : array-like of bool, shape (n, classes) or (n, classes, k), or sequence of collections
            The sets for the rows of `prodml_test`; `interval` chooses the last axis.
        labels : sequence, optional
            The classes of the columns; default the model's own.
        by : str or sequence of str, optional
            Columns; the coverage has to be kept in every group of each.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.performance import prediction_sets

        model = self._model
        return self._settle(
            lambda: prediction_sets(
                model.labels,
                sets,
                labels=model.classes if labels is None else labels,
                level=interval,
                coverage=coverage,
                at_most=at_most,
                margin=margin,
                mean_size_at_most=mean_size_at_most,
                by=None if by is None else model.groups(by),
                by_class=by_class,
                by_size=by_size,
                sample_weight=model.column("sample_weight"),
                groups=model.column("entity"),
                **self._tail(level),
            )
        )

    def no_leakage(
        self,
        *,
        limits: Mapping[str, float | None] | None = None,
        only: Collection[str] | None = None,
        ignore: Collection[str] = (),
        allowed_names: Collection[str] = (),
        train: Callable[..., object] | None = None,
        repeats: int = 5,
        metric: str | Metric | None = None,
        level: float | None = None,
        burden: str | None = None,
    ) -> Evidence:
        """Show that the evaluation does not know its answers beforehand; see `checks.performance.no_leakage`.

        Compares `prodml_reference`, what the model was trained on, with `prodml_test`. Entities and times are
        the configured columns `entity` and `timestamp`.

        Parameters
        ----------
        limits : mapping of str to float or None, optional
            Other limits than the defaults, by kind; None switches a kind off.
        only : collection of str, optional
            Run these kinds and no other.
        ignore : collection of str
            Columns that are no input of the model, besides the configured ones (entity, timestamp, weights,
            queries).
        train : callable, optional
            ``train(X, y)`` gives a fitted model: it is trained on shuffled labels, where skill is leakage.
        metric : str or Metric, optional
            Measure by how much the model is better on its training rows; ``limits={"score_gap": 0.05}``
            judges it.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.performance import no_leakage

        context, model = self._context, self._model
        columns = context.settings.data
        roles = [columns.entity, columns.timestamp, columns.sample_weight, columns.query]

        def measure() -> Evidence:
            reference = context.dataset(self._request.getfixturevalue("prodml_reference"), "reference")
            known = {name for name in roles if name is not None and name in reference.frame.columns}
            samples: dict[str, Sample] = {}
            if metric is not None:
                seen = ModelOnData(context, model.predictor, reference)
                samples = {
                    "reference_sample": answers(seen, needs_of(metric)),
                    "test_sample": answers(model, needs_of(metric)),
                }
            return no_leakage(
                reference,
                model.dataset,
                limits=limits,
                only=only,
                entity=columns.entity,
                time=columns.timestamp,
                sample_weight=columns.sample_weight if columns.sample_weight in known else None,
                ignore=known.union(ignore),
                allowed_names=allowed_names,
                train=train,
                repeats=repeats,
                metric=metric,
                **samples,
                burden=self._burden(burden),
                **self._tail(level),
            )

        return self._settle(measure)

    def stable(
        self,
        train: Callable[..., object],
        metric: str | Metric,
        *,
        seeds: int | Sequence[int] = 5,
        folds: int | None = None,
        spread_at_most: float | None = None,
        worst_at_least: float | None = None,
        worst_at_most: float | None = None,
        changed_at_most: float | None = None,
        content: float = 0.9,
        level: float | None = None,
        burden: str | None = None,
    ) -> Evidence:
        """Show that retraining with other seeds gives the same quality; see `checks.performance.stable`.

        Trains on `prodml_reference` and judges on `prodml_test`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.performance import stable

        model = self._model
        return self._settle(
            lambda: stable(
                train,
                metric,
                self._context.dataset(self._request.getfixturevalue("prodml_reference"), "reference"),
                model.dataset,
                seeds=seeds,
                folds=folds,
                spread_at_most=spread_at_most,
                worst_at_least=worst_at_least,
                worst_at_most=worst_at_most,
                changed_at_most=changed_at_most,
                content=content,
                positive_label=model.settings.positive,
                threshold=model.settings.threshold,
                entity=self._context.settings.data.entity,
                sample_weight=self._context.settings.data.sample_weight,
                burden=self._burden(burden),
                **self._tail(level),
            )
        )

    def deepchecks(
        self,
        suite: str = "model_evaluation",
        *,
        checks: Sequence[str] | None = None,
        task: Task | None = None,
        categorical: Sequence[str] | None = None,
        timeout_seconds: float | None = None,
        memory_bytes: int | None = None,
        on_warn: OnWarn = "fail",
        redact: bool = False,
    ) -> Evidence:
        """Show that the conditions of a suite of deepchecks hold; see `checks.deepchecks.deepchecks_suite`.

        The model answers for `prodml_reference`, as its training data, and `prodml_test`; what it says goes
        to the worker, the model does not.

        Parameters
        ----------
        suite : str
            ``model_evaluation``, or the name of a module under ``[tool.prodml.deepchecks.suites]``.
        checks, task, categorical, timeout_seconds, memory_bytes, on_warn, redact
            As those of `plugin.data.DataGate.deepchecks`.
        """
        __tracebackhide__ = True
        from pytest_prodml.plugin.deepchecks import DeepchecksOptions, suite_on_model

        options = DeepchecksOptions(
            checks=checks,
            task=task,
            categorical=categorical,
            timeout_seconds=timeout_seconds,
            memory_bytes=memory_bytes,
            on_warn=on_warn,
            redact=redact,
        )
        return suite_on_model(
            self._request, self._session, self._context, self._model, suite, options=options
        )
