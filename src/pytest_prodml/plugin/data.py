"""What the `ml_data` fixture returns: the project's tables, bound to the checks of the data dimension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.plugin.data_sources import SourcesOfData
from pytest_prodml.plugin.tables import Role
from pytest_prodml.records import Evidence

if TYPE_CHECKING:
    from pytest_prodml.checks.data.predictions import Task as PredictionTask
    from pytest_prodml.checks.data.summaries import Summary
    from pytest_prodml.checks.deepchecks import OnWarn, Task


class DataGate(SourcesOfData):
    """What the `ml_data` fixture returns."""

    def conforms_to(
        self,
        schema: object = None,
        *,
        data: Role = "test",
        at_most: float = 0.0,
        sampled_at_most: float = 0.0,
        keys: Sequence[str] | None = None,
        redact: bool = False,
    ) -> Evidence:
        """Show that a table conforms to a pandera schema; see `checks.data.conforms_to`.

        Parameters
        ----------
        schema : pandera schema or path, optional
            Also a schema file; default what the fixture `prodml_schema` gives.
        data : {"test", "reference", "current"}
            Which table: that of the fixture ``prodml_<data>``.
        at_most : float
            How many violations are accepted.
        sampled_at_most : float
            The share of rows that may break a rule of your own that was evaluated on a sample.
        keys : sequence of str, optional
            Columns that name a failing row; default the configured entity.
        redact : bool
            Leave the values of violating rows out of the evidence.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.data import conforms_to

        rules = self._request.getfixturevalue("prodml_schema") if schema is None else schema
        table = self._source(data)
        entity = self._context.settings.data.entity
        if isinstance(rules, (str, Path)):
            rules = self._context.settings.at(str(rules))
        return self._session.settle(
            lambda: conforms_to(
                rules,
                table,
                at_most=at_most,
                sampled_at_most=sampled_at_most,
                keys=([] if entity is None else [entity]) if keys is None else keys,
                redact=redact,
                **self._session.tail,
            )
        )

    def no_duplicates(
        self, *, data: Role = "test", ignore: Sequence[str] = (), at_most: float = 0.0, redact: bool = False
    ) -> Evidence:
        """Show that no row repeats another one; see `checks.data.no_duplicates`."""
        __tracebackhide__ = True
        from pytest_prodml.checks.data import no_duplicates

        table = self._source(data)
        return self._session.settle(
            lambda: no_duplicates(table, ignore=ignore, at_most=at_most, redact=redact, **self._session.tail)
        )

    def no_drift(
        self,
        *,
        reference: Role = "reference",
        current: Role = "current",
        limits: float | Mapping[str, float] | None = None,
        measures: Mapping[str, str] | None = None,
        columns: Sequence[str] | None = None,
        ignore: Sequence[str] = (),
        summaries: Mapping[str, Summary] | None = None,
        missing_at_most: float = 0.05,
        burden: str = "compliance",
    ) -> Evidence:
        """Show that no column moved further than its margin; see `checks.data.no_drift`.

        The configured entity says whose rows belong together.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.data import no_drift

        first, second = self._table(reference), self._table(current)
        return self._session.settle(
            lambda: no_drift(
                first,
                second,
                limits=limits,
                measures=measures,
                columns=columns,
                ignore=ignore,
                summaries=summaries,
                missing_at_most=missing_at_most,
                entity=self._context.settings.data.entity,
                burden=burden,
                **self._session.tail,
            )
        )

    def no_joint_drift(
        self,
        *,
        reference: Role = "reference",
        current: Role = "current",
        at_most: float = 0.6,
        columns: Sequence[str] | None = None,
        ignore: Sequence[str] = (),
        burden: str = "compliance",
    ) -> Evidence:
        """Show that a classifier can hardly tell two tables apart; see `checks.data.no_joint_drift`.

        The configured entity says whose rows belong together.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.data import no_joint_drift

        first, second = self._table(reference), self._table(current)
        return self._session.settle(
            lambda: no_joint_drift(
                first,
                second,
                at_most=at_most,
                columns=columns,
                ignore=ignore,
                entity=self._context.settings.data.entity,
                burden=burden,
                **self._session.tail,
            )
        )

    def no_prediction_drift(
        self,
        *,
        reference: Role = "reference",
        current: Role = "current",
        at_most: float = 0.1,
        decisions_at_most: float = 0.05,
        decisions: bool = True,
        burden: str = "compliance",
    ) -> Evidence:
        """Show that the model's answers did not move; see `checks.data.no_prediction_drift`.

        Parameters
        ----------
        reference, current : {"test", "reference", "current"}
            The tables that the model answers.
        at_most, decisions_at_most : float
            How far scores, and shares of decisions, may move.
        decisions : bool
            Compare decided labels too; False for a model that predicts numbers.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.data import no_prediction_drift
        from pytest_prodml.plugin.subjects import ModelOnData

        context, given = self._context, self._request.getfixturevalue
        model = given("prodml_model")
        before, after = (
            ModelOnData(context, model, context.dataset(self._given(role), role))
            for role in (reference, current)
        )
        return self._session.settle(
            lambda: no_prediction_drift(
                before.scores,
                after.scores,
                reference_decisions=before.decisions if decisions else None,
                current_decisions=after.decisions if decisions else None,
                positive_label=context.settings.model.positive if before.classes is None else None,
                labels=before.classes,
                at_most=at_most,
                decisions_at_most=decisions_at_most,
                reference_groups=before.column("entity"),
                current_groups=after.column("entity"),
                burden=burden,
                **self._session.tail,
            ),
            subjects=[before.predictor.subject],
            materials=[before.dataset.material, after.dataset.material],
        )

    def deepchecks(
        self,
        suite: str = "data_integrity",
        *,
        data: Role = "test",
        against: Role | None = "reference",
        checks: Sequence[str] | None = None,
        task: Task | None = None,
        categorical: Sequence[str] | None = None,
        timeout_seconds: float | None = None,
        memory_bytes: int | None = None,
        on_warn: OnWarn = "fail",
        redact: bool = False,
    ) -> Evidence:
        """Show that the conditions of a suite of deepchecks hold; see `checks.deepchecks.deepchecks_suite`.

        Parameters
        ----------
        suite : str
            ``data_integrity`` looks at `data` alone, ``train_test_validation`` also at `against`; or the
            name of a module under ``[tool.prodml.deepchecks.suites]``.
        data, against : {"test", "reference", "current"}
            Which tables; a suite of your own looks at one only where `against` is None.
        checks : sequence of str, optional
            Run these checks of the suite and no other; each of them must then show something.
        task : {"binary", "multiclass", "regression"}, optional
            What the labels are; default what deepchecks takes them for.
        categorical : sequence of str, optional
            The categories among the inputs; default what deepchecks takes for such.
        timeout_seconds, memory_bytes : float, int, optional
            What the worker may take; default the configured limits.
        on_warn : {"fail", "pass"}
            What a condition means that only warns.
        redact : bool
            Leave out values and details: they quote cells of the tables.
        """
        __tracebackhide__ = True
        from pytest_prodml.plugin.deepchecks import DeepchecksOptions, suite_on_data

        options = DeepchecksOptions(
            checks=checks,
            task=task,
            categorical=categorical,
            timeout_seconds=timeout_seconds,
            memory_bytes=memory_bytes,
            on_warn=on_warn,
            redact=redact,
        )
        return suite_on_data(
            self._request, self._session, self._context, suite, data=data, against=against, options=options
        )

    def predictions_conform(
        self,
        *,
        task: PredictionTask = "probabilities",
        classes: Sequence[object] | None = None,
        low: float | None = None,
        high: float | None = None,
        sum_to_one: bool | None = None,
        tolerance: float = 1e-6,
        may_be_constant: bool = False,
    ) -> Evidence:
        """Show that the model answers by what it can mean; see `checks.data.predictions_conform`.

        Parameters
        ----------
        task : {"probabilities", "scores", "regression", "labels"}
            What is asked of `prodml_model` on `prodml_test`: its scores, or the labels that it decides for.
        classes : sequence, optional
            The labels that may be predicted; default those of the test data.
        low, high : float, optional
            Where scores must lie, ends included; default [0, 1] for probabilities.
        sum_to_one : bool, optional
            Whether the scores of a row sum to one; default for probabilities of more than two classes.
        tolerance : float
            How far a sum may be from one, and a number from its range.
        may_be_constant : bool
            Accept that all rows get the same answer.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.data import predictions_conform
        from pytest_prodml.plugin.subjects import ModelOnData

        given = self._request.getfixturevalue
        model = ModelOnData(self._context, given("prodml_model"), given("prodml_test"))
        rows = model.dataset.frame
        known = (
            list(dict.fromkeys(model.labels.tolist())) if task == "labels" and classes is None else classes
        )

        def check() -> Evidence:
            ask = model.predictor.predict if task == "labels" else model.predictor.predict_score
            return predictions_conform(
                ask(rows),
                task=task,
                n_rows=len(rows),
                classes=known,
                low=low,
                high=high,
                sum_to_one=sum_to_one,
                tolerance=tolerance,
                may_be_constant=may_be_constant,
                **self._session.tail,
            )

        return self._session.settle(
            check, subjects=[model.predictor.subject], materials=[model.dataset.material]
        )
