"""A fitted object with scikit-learn's methods -> `Predictor`.

Duck-typed: scikit-learn itself is never imported here, and nothing is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import loaded
from pytest_prodml.adapters.predictor import AnswerError, Scores, as_labels, as_scores
from pytest_prodml.adapters.tables import no_column
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue, Subject

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class SklearnPredictor:
    """An estimator or pipeline in memory.

    Scores are those of ``predict_proba``, else of ``decision_function`` (not bounded by 0 and 1), else of
    ``predict`` (a regressor). Columns are picked by the names the model was fitted with.
    """

    model: Any
    positive_label: object = None
    subject: Subject | None = None
    device: str = "cpu"

    @property
    def description(self) -> str:
        """The class of the estimator; of a pipeline the class of its last step."""
        steps = getattr(self.model, "steps", None)
        last = steps[-1][1] if isinstance(steps, list) and steps else self.model
        return type(last).__name__

    @property
    def classes(self) -> list[Any] | None:
        """The classes in the order of the columns of scores; None for a regressor."""
        found = getattr(self.model, "classes_", None)
        return None if found is None else np.asarray(found).tolist()

    def predict_score(self, rows: pd.DataFrame) -> Scores:
        """Return the score of the positive class, or of each class if there are more than two."""
        selected = self._select(rows)
        raw = np.asarray(self._score_function()(selected))
        if raw.ndim == 2 and raw.shape[1] == 2:
            raw = raw[:, self._positive_column()]
        return as_scores(raw, len(rows), where=self.description)

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[Any]:
        """Return the model's own labels."""
        function = getattr(self.model, "predict", None)
        if function is None:
            labels = as_labels(as_scores(self.model.predict_proba(self._select(rows)), len(rows), where=""))
            classes = getattr(self.model, "classes_", None)
            return labels if classes is None else np.asarray(classes)[labels]
        found = np.asarray(function(self._select(rows)))
        if found.shape[:1] != (len(rows),):
            raise AnswerError(
                f"returned labels of shape {found.shape} for {len(rows)} rows", where=self.description
            )
        return found

    def prepare(self, rows: pd.DataFrame) -> Callable[[], object]:
        """Select the columns now, so that the returned call is the model alone."""
        selected, function = self._select(rows), self._score_function()
        return lambda: function(selected)

    def runtime(self) -> Mapping[str, JsonValue]:
        """Return the adapter, the estimator and its library's version, as far as that is loaded."""
        top = type(self.model).__module__.partition(".")[0]
        library = loaded(top)
        found: dict[str, JsonValue] = {"adapter": "sklearn", "model": self.description, "library": top}
        version = getattr(library, "__version__", None)
        if isinstance(version, str):
            found["library_version"] = version
        n_jobs = getattr(self.model, "n_jobs", None)
        if isinstance(n_jobs, int):
            found["n_jobs"] = n_jobs
        return found

    def _score_function(self) -> Callable[[object], object]:
        for name in ("predict_proba", "decision_function", "predict"):
            function: Callable[[object], object] | None = getattr(self.model, name, None)
            if function is not None:
                return function
        raise InputError("has no method that predicts", where=self.description)

    def _positive_column(self) -> int:
        if self.positive_label is None:
            return 1
        classes = np.asarray(getattr(self.model, "classes_", [0, 1])).tolist()
        if self.positive_label not in classes:
            raise InputError(
                f"does not know the class {self.positive_label!r}",
                where=self.description,
                hint=f"its classes are {', '.join(map(repr, classes))}",
            )
        return int(classes.index(self.positive_label))

    def _select(self, rows: pd.DataFrame) -> object:
        names = getattr(self.model, "feature_names_in_", None)
        if names is not None:
            for name in names:
                if name not in rows.columns:
                    raise no_column(name, rows.columns, where=f"input of {self.description}")
            return rows[list(names)]
        expected = getattr(self.model, "n_features_in_", None)
        if expected is None:
            return rows
        if len(rows.columns) != expected:
            raise InputError(
                f"was fitted on {expected} columns without names and the table has {len(rows.columns)}",
                where=self.description,
                hint="fit it on a frame, so that columns can be told by name",
            )
        return rows.to_numpy()
