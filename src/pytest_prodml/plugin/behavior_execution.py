"""The contract of a model in service, and privacy: the part of what `ml_behavior` offers about execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_prodml.plugin.behavior_base import BehaviorBound, _is_no_table
from pytest_prodml.records import Evidence

if TYPE_CHECKING:
    from pytest_prodml.checks.behavior.batches import Inputs


class ExecutionChecks(BehaviorBound):
    """The checks of how a model answers, and of what its answers give away."""

    def robust_execution(
        self,
        *,
        only: Sequence[str] | None = None,
        skip: Sequence[str] = (),
        must_answer: Sequence[str] | Mapping[str, Sequence[str]] = (),
        may_refuse: Sequence[str] = (),
        nan_refuses: bool = False,
        fallbacks: Mapping[str, object] | None = None,
        tolerance: float = 1e-6,
        float32_tolerance: float = 1e-4,
        bounds: tuple[float, float] | None = (0.0, 1.0),
        sum_to_one: bool | None = None,
        process: str | None = None,
        process_seconds: float = 120.0,
        memory_per_call: int = 1024,
        rows: int = 200,
        data: object = None,
        redact: bool = False,
        level: float | None = None,
    ) -> Evidence:
        """Show that the model keeps the contract of a model in service; see `checks.behavior`.

        A fresh process loads the configured model file, if that is what is measured and an adapter loads it;
        otherwise say `process`, or skip the case.

        Parameters
        ----------
        only, skip : sequence of str
            Cases to run, or to leave out; those left out stand in the evidence.
        must_answer : sequence of str, or mapping
            Cases that must be answered instead of refused; or case -> the columns in which.
        may_refuse : sequence of str
            Cases that are valid inputs and may be refused all the same.
        nan_refuses : bool
            A NaN score for a hostile row counts as a refusal.
        fallbacks : mapping, optional
            Column of text -> the category as which an unseen one is meant to be answered.
        tolerance, float32_tolerance : float
            How far scores may lie apart that have to be the same.
        bounds : (float, float), optional
            Where scores lie; None for scores that are no probabilities.
        sum_to_one : bool, optional
            Whether the scores of more than two classes sum to one.
        process : str, optional
            How a fresh process gets the model: "module:function" or "pickle".
        process_seconds : float
            How long that process may take.
        memory_per_call : int
            Bytes that each call of 32 rows may leave behind.
        rows : int
            How many rows the sample has.
        data : frame, array, list, path, or (X, y), optional
            Instead of `prodml_test`.
        redact : bool
            Leave rows and the model's own words out of the evidence.
        level : float, optional
            Of each one-sided bound; at least that of the run.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior.execution import robust_execution

        inputs, tail, file = self._inputs(data), self._tail(level), self._model_file()
        return self._settle(
            lambda: robust_execution(
                self._predictor,
                inputs,
                only=only,
                skip=skip,
                must_answer=must_answer,
                may_refuse=may_refuse,
                nan_refuses=nan_refuses,
                fallbacks=fallbacks,
                tolerance=tolerance,
                float32_tolerance=float32_tolerance,
                bounds=bounds,
                sum_to_one=sum_to_one,
                positive_label=self._settings.positive_label,
                process=process,
                path=file,
                process_seconds=process_seconds,
                memory_per_call=memory_per_call,
                rows=rows,
                redact=redact,
                **tail,
            )
        )

    def private(
        self,
        *,
        at_most: float,
        members: object = None,
        tpr_at_most: Mapping[float, float] | None = None,
        origin_at_most: float | None = None,
        task: Literal["auto", "classification", "regression"] = "auto",
        classes: Sequence[Any] | None = None,
        compare_origin: bool = True,
        data: object = None,
        level: float | None = None,
    ) -> Evidence:
        """Show that answers do not tell who was in the training data; see `checks.behavior.private`.

        Parameters
        ----------
        at_most : float
            The largest advantage of an attacker, from 0 to 1.
        members : frame, array, list, path, or (X, y), optional
            Training rows; default `prodml_reference`.
        tpr_at_most : mapping of float to float, optional
            Rate of false positives (0.001 or 0.01) -> the largest share of training rows found at it.
        origin_at_most : float, optional
            The largest ROC AUC with which both sets may be told apart without the model.
        task : {"auto", "classification", "regression"}
            "auto" takes labels with fractions for numbers.
        classes : sequence, optional
            The labels in the order of the scores.
        compare_origin : bool
            Whether to compare the origin of both sets.
        data : frame, array, list, path, or (X, y), optional
            Held-out rows instead of `prodml_test`.
        level : float, optional
            Of each one-sided bound; at least that of the run.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior.private import private

        inputs, known, tail = self._inputs(data), self._training(members), self._tail(level)
        return self._settle(
            lambda: private(
                self._predictor,
                inputs,
                members=known,
                at_most=at_most,
                tpr_at_most=tpr_at_most,
                origin_at_most=origin_at_most,
                task=task,
                classes=classes,
                compare_origin=compare_origin,
                **tail,
            )
        )

    def memorised(
        self,
        *,
        at_most: float,
        members: object = None,
        task: Literal["auto", "classification", "regression"] = "auto",
        classes: Sequence[Any] | None = None,
        data: object = None,
        level: float | None = None,
    ) -> Evidence:
        """Show that training rows are not answered with their own labels; see `checks.behavior.memorised`.

        Parameters
        ----------
        at_most : float
            The largest share of training rows that are, beyond that of held-out rows.
        members : frame, array, list, path, or (X, y), optional
            Training rows; default `prodml_reference`.
        task, classes : str, sequence
            As of `private`.
        data : frame, array, list, path, or (X, y), optional
            Held-out rows instead of `prodml_test`.
        level : float, optional
            Of each one-sided bound; at least that of the run.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior.private_copies import memorised

        inputs, known, tail = self._inputs(data), self._training(members), self._tail(level)
        return self._settle(
            lambda: memorised(
                self._predictor, inputs, members=known, at_most=at_most, task=task, classes=classes, **tail
            )
        )

    def reproduced(
        self,
        generated: Any,  # noqa: ANN401 - rows, or a function that makes them
        *,
        at_most: float,
        members: object = None,
        n_rows: int = 2_000,
        data: object = None,
        level: float | None = None,
    ) -> Evidence:
        """Show that a generator does not copy its training rows; see `checks.behavior.reproduced`.

        Parameters
        ----------
        generated : frame, array, list, or callable
            Generated rows, or a function of a number of rows that makes them.
        at_most : float
            The largest share of generated rows that are copies, beyond that of held-out rows.
        members : frame, array, list or path, optional
            Training rows; default `prodml_reference`.
        n_rows : int
            How many rows a callable is asked for.
        data : frame, array, list or path, optional
            Held-out rows instead of `prodml_test`.
        level : float, optional
            Of each one-sided bound; at least that of the run.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior.private_copies import reproduced

        inputs, known, tail = self._inputs(data), self._training(members), self._tail(level)
        return self._settle(
            lambda: reproduced(generated, inputs, members=known, at_most=at_most, n_rows=n_rows, **tail)
        )

    def _training(self, members: object) -> Inputs:
        """Return the training rows given to a check, else those of `prodml_reference`."""
        __tracebackhide__ = True
        from pytest_prodml.checks.behavior.batches import inputs_of

        given = self._request.getfixturevalue("prodml_reference") if members is None else members
        if _is_no_table(given):
            return inputs_of(given, name="reference")
        if members is not None and not isinstance(given, (str, Path)):
            return inputs_of(given, name="members")
        return inputs_of(self._context.dataset(given, "reference"))

    def _model_file(self) -> Path | None:
        """Return the configured model file if it is the one that is measured."""
        from pytest_prodml.codec import sha256_hex

        configured, subject = self._settings.path, self._predictor.subject
        if configured is None or subject is None:
            return None
        file = self._context.settings.at(configured)
        if not file.is_file() or sha256_hex(file.read_bytes()) != subject.digest.get("sha256"):
            return None
        return file
