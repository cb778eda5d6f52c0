"""A model of CatBoost, from its own binary format or in memory -> `Predictor`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.adapters.model_columns import select
from pytest_prodml.adapters.model_files import first_line, loaded_by, read_model_file, require_safe
from pytest_prodml.adapters.predictor import Scores, class_scores, positive_column
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue, Subject

if TYPE_CHECKING:
    import pandas as pd

_HINT = "write it with save_model('model.cbm')"
_EXPONENTS = frozenset({"Poisson", "Tweedie"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CatboostPredictor:
    """A model of CatBoost. The score is the probability; of a regression or a ranking the value.

    Categorical columns go to CatBoost as they are: it takes texts and integers, and refuses what is missing
    in them.
    """

    model: Any
    loss: str
    classes: list[Any] | None
    names: tuple[str, ...] | None
    n_columns: int
    threads: int = 1
    name: str = "in memory"
    positive_label: object = None
    subject: Subject | None = field(default=None)

    @property
    def description(self) -> str:
        """The kind of model, and its file."""
        return f"CatBoost model {self.name}"

    @property
    def device(self) -> str:
        """The processor: predictions are asked of nothing else."""
        return "cpu"

    def predict_score(self, rows: pd.DataFrame) -> Scores:
        """Return the probability of the positive class, (n, k) probabilities, or the values."""
        return self._scores(self._input(rows), len(rows))

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[Any]:
        """Return the model's own labels; of a regression the values."""
        if self.classes is None:
            return self.predict_score(rows)
        given = self._input(rows)
        if not len(rows):
            return np.asarray(self.classes)[:0]
        return self._raw(given, "Class").reshape(len(rows))

    def prepare(self, rows: pd.DataFrame) -> Callable[[], object]:
        """Convert the columns now."""
        given, n_rows = self._input(rows), len(rows)
        return lambda: self._scores(given, n_rows)

    def runtime(self) -> Mapping[str, JsonValue]:
        """Return version, device, threads, loss and the trees in use."""
        return {
            "adapter": "catboost",
            "catboost": str(require("catboost", extra="catboost").__version__),
            "device": self.device,
            "threads": self.threads,
            "loss": self.loss,
            "trees": int(self.model.tree_count_),
        }

    def close(self) -> None:
        """Nothing is held open."""

    def _input(self, rows: pd.DataFrame) -> Any:  # noqa: ANN401 - CatBoost has few types
        catboost = require("catboost", extra="catboost")
        frame = select(rows, self.names, n_columns=self.n_columns, where=self.description)
        if not len(rows):
            return None
        for position in self.model.get_cat_feature_indices():
            missing = int(frame.iloc[:, position].isna().sum())
            if missing:
                raise InputError(
                    f"the categorical column {str(frame.columns[position])!r} has {missing:,} missing "
                    "values, which CatBoost refuses",
                    where=self.description,
                    hint="write them as a text of their own, as in training",
                )
        try:
            return catboost.Pool(
                frame,
                cat_features=self.model.get_cat_feature_indices(),
                text_features=self.model.get_text_feature_indices(),
                thread_count=self.threads,
            )
        except (TypeError, ValueError, catboost.CatBoostError) as error:
            raise InputError(f"refused the rows: {first_line(error)}", where=self.description) from None

    def _scores(self, given: Any, n_rows: int) -> Scores:  # noqa: ANN401
        kind = "Exponent" if self.loss in _EXPONENTS else "RawFormulaVal"
        if self.classes is not None:
            kind = "Probability"
        raw = np.empty(0) if given is None else self._raw(given, kind)
        return class_scores(
            raw, n_rows, classes=self.classes, positive_label=self.positive_label, where=self.description
        )

    def _raw(self, given: Any, kind: str) -> npt.NDArray[Any]:  # noqa: ANN401
        catboost = require("catboost", extra="catboost")
        try:
            raw = catboost.CatBoost.predict(
                self.model, given, prediction_type=kind, thread_count=self.threads
            )
        except catboost.CatBoostError as error:
            raise InputError(f"refused the rows: {first_line(error)}", where=self.description) from None
        return np.asarray(raw)


def load_catboost(path: Path, *, positive_label: object = None, threads: int = 1) -> CatboostPredictor:
    """Load a model that CatBoost wrote in its own format.

    Parameters
    ----------
    path : Path
        The model file.
    positive_label : object, optional
        Which of two classes the score is about; default the second.
    threads : int
        Threads of a prediction.

    Raises
    ------
    InputError
        If it is another kind of file, or CatBoost can not load it.
    MissingDependencyError
        If CatBoost is not installed.
    """
    # No scan reads this format: trees in a flat buffer that CatBoost's own parser verifies, and no code.
    file = read_model_file(path, allow=("format:catboost",))
    if file.scan.format != "catboost":
        raise InputError("is no model of CatBoost", where=file.where, hint=_HINT)
    require_safe(file, hint=_HINT)
    catboost = require("catboost", extra="catboost")
    model = catboost.CatBoost()
    loaded_by("CatBoost", file, lambda: model.load_model(blob=file.data))
    return from_model(
        model, name=path.name, subject=file.subject, positive_label=positive_label, threads=threads
    )


def from_model(
    model: Any,  # noqa: ANN401 - CatBoost has few types
    *,
    name: str = "in memory",
    subject: Subject | None = None,
    positive_label: object = None,
    threads: int = 1,
) -> CatboostPredictor:
    """Adapt a fitted model; without `subject` its evidence is not bound to a file.

    Raises
    ------
    InputError
        If it is not fitted, or does not know the positive label.
    """
    where = f"CatBoost model {name}"
    if not model.is_fitted():
        raise InputError("is not fitted", where=where)
    found = np.asarray(model.classes_).tolist()
    classes = found or None
    if positive_label is not None and classes is not None:
        positive_column(classes, positive_label, where=where)
    names = [str(given) for given in model.feature_names_]
    has_names = names != [str(position) for position in range(len(names))]
    return CatboostPredictor(
        model=model,
        loss=str(model.get_all_params().get("loss_function", "unknown")).partition(":")[0],
        classes=classes,
        names=tuple(names) if has_names else None,
        n_columns=len(names),
        threads=threads,
        name=name,
        positive_label=positive_label,
        subject=subject,
    )
