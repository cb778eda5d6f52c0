"""What a model answered about people, as it was given -> the forms that fairness is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.fairness.rates import Flags
from pytest_prodml.checks.labels import (
    Label,
    Scores,
    classes_of,
    codes_into,
    label_column,
    named,
    same_length,
    score_column,
)
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.design import Design, design_of
from pytest_prodml.statistics.sufficient import as_column


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Answers of a model on rows that are about people.

    Attributes
    ----------
    y_true : array-like, shape (n,), optional
        The truth; not needed for selection_rate, mean_prediction and exposure.
    y_pred : array-like, shape (n,), optional
        Decisions (labels), or predicted numbers. Never probabilities: nothing is rounded to a label here.
    y_score : array-like of float, shape (n,), optional
        The score of the positive class.
    threshold : float, optional
        The threshold that the decisions were made with; for the evidence.
    favorable_label : label
        The decision that people want: what counts as selected and as positive in rates.
    positive_label : label, optional
        The class that the scores, and metrics such as f1, speak about; default `favorable_label`.
    labels : sequence of labels, optional
        All labels, where `y_true` may hold only some of them.
    sample_weight : array-like of float, shape (n,), optional
        How many people of the population a row stands for, up to a factor.
    clusters : array-like, shape (n,), optional
        Which rows are about one person (or household): they are not independent.
    query : array-like, shape (n,), optional
        Which rows are ranked against each other; for exposure.
    """

    y_true: npt.ArrayLike | None = None
    y_pred: npt.ArrayLike | None = None
    y_score: npt.ArrayLike | None = None
    threshold: float | None = None
    favorable_label: Label = 1
    positive_label: Label | None = None
    labels: Sequence[Label] | None = None
    sample_weight: npt.ArrayLike | None = None
    clusters: npt.ArrayLike | None = None
    query: npt.ArrayLike | None = None

    @cached_property
    def n_rows(self) -> int:
        """The number of rows; all columns must have as many."""
        given: dict[str, int] = {}
        for name in ("y_true", "y_pred", "y_score"):
            values = getattr(self, name)
            if values is None:
                continue
            shape = as_column(values, name=name).shape
            if not shape:
                raise InputError(f"{name} must be one value for each row, got {type(values).__name__}")
            given[name] = shape[0]
        if not given:
            raise InputError("no answers to compare: pass y_pred or y_score")
        same_length(**given)
        return next(iter(given.values()))

    @cached_property
    def design(self) -> Design:
        """How the rows were drawn."""
        return design_of(self.n_rows, sample_weight=self.sample_weight, groups=self.clusters)

    @cached_property
    def decisions(self) -> tuple[Flags, Flags, Flags]:
        """Whether each row's truth and decision is favorable, and whether the decision is right.

        Without a truth the decision takes its place.
        """
        if self.y_pred is None:
            raise InputError("decisions are compared: pass y_pred")
        predicted = label_column(self.y_pred, name="y_pred")
        if any(isinstance(label, float) and 0 < label < 1 for label in predicted.categories):
            raise InputError(
                f"y_pred holds {named(predicted.categories)}: these look like scores, and are no decisions",
                hint="decide by a threshold first, and say which (threshold=...), or compare mean_prediction",
            )
        truth = predicted if self.y_true is None else label_column(self.y_true, name="y_true")
        same_length(y_true=truth.codes.size, y_pred=predicted.codes.size)
        if not truth.codes.size:
            nothing = np.zeros(0, dtype=np.bool_)
            return nothing, nothing, nothing
        classes = classes_of(truth, positive=self.favorable_label, labels=self.labels, name="favorable_label")
        if self.y_true is None and self.labels is None and len(classes) > 2:
            raise InputError(
                f"y_pred holds {named(classes)}, more than two labels",
                hint="name all labels with labels=[...]; of scores compare mean_prediction, or decide by a "
                "threshold first",
            )
        true_codes, codes = codes_into(truth, classes, name="y_true"), codes_into(predicted, classes)
        chosen = classes.index(self.favorable_label)
        return true_codes == chosen, codes == chosen, true_codes == codes

    @cached_property
    def numbers(self) -> Scores:
        """Each row's score, or its predicted number where there is no score."""
        if self.y_score is not None:
            return score_column(self.y_score, name="y_score")
        if self.y_pred is None:
            raise InputError("scores or predicted numbers are compared: pass y_score or y_pred")
        return score_column(self.y_pred, name="y_pred")

    @cached_property
    def sample(self) -> Sample:
        """What metrics of performance are computed from.

        Raises
        ------
        InputError
            Without a truth.
        """
        if self.y_true is None:
            raise InputError("the answers are compared with the truth: pass y_true")
        return Sample(
            y_true=self.y_true,
            y_pred=self.y_pred,
            y_score=self.y_score,
            positive_label=self.favorable_label if self.positive_label is None else self.positive_label,
            threshold=self.threshold if self.y_pred is None else None,
            labels=self.labels,
            sample_weight=self.sample_weight,
            groups=self.clusters,
            query=self.query,
        )
