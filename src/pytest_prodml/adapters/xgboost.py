"""A model of XGBoost, from its own JSON or UBJSON or in memory -> `Predictor`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.adapters.model_columns import as_matrix, select, with_categories
from pytest_prodml.adapters.model_files import first_line, loaded_by, read_model_file, require_safe
from pytest_prodml.adapters.predictor import Scores, class_scores, positive_column
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue, Subject

if TYPE_CHECKING:
    import pandas as pd

_HINT = "write it with save_model('model.ubj') of the Booster or the estimator"


@dataclass(frozen=True, slots=True, kw_only=True)
class XgboostPredictor:
    """A Booster. The score is the probability, of the objective; of a regression or a ranking the value.

    Trees up to the best iteration of early stopping are used, as by XGBoost's estimators and unlike
    `Booster.predict`. Categories are coded as they were in training.
    """

    booster: Any
    objective: str
    classes: list[int] | None
    categories: Mapping[str, Sequence[Any]]
    names: tuple[str, ...] | None
    n_columns: int
    is_linear: bool = False
    iterations: tuple[int, int] = (0, 0)
    threads: int = 0
    name: str = "in memory"
    device: str = "cpu"
    positive_label: object = None
    subject: Subject | None = field(default=None)

    @property
    def description(self) -> str:
        """The kind of model, and its file."""
        return f"XGBoost model {self.name}"

    def predict_score(self, rows: pd.DataFrame) -> Scores:
        """Return the probability of the positive class, (n, k) probabilities, or the values."""
        return self._scores(self._input(rows), self.positive_label)

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[Any]:
        """Return the labels as XGBoost's estimators decide; of a regression the values."""
        scores = self._scores(self._input(rows), None)
        if self.classes is None:
            return scores
        return (scores > 0.5).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)

    def prepare(self, rows: pd.DataFrame) -> Callable[[], object]:
        """Convert the columns now. The call does not use XGBoost's cache of predictions."""
        given = self._input(rows)
        return lambda: self._scores(given, self.positive_label)

    def runtime(self) -> Mapping[str, JsonValue]:
        """Return version, device, threads (0 is all), objective and the trees in use."""
        return {
            "adapter": "xgboost",
            "xgboost": str(require("xgboost", extra="xgboost").__version__),
            "device": self.device,
            "threads": self.threads,
            "objective": self.objective,
            "iterations": "all" if self.iterations == (0, 0) else list(self.iterations),
        }

    def close(self) -> None:
        """Nothing is held open."""

    def _input(self, rows: pd.DataFrame) -> Any:  # noqa: ANN401 - a frame or a matrix
        frame = select(rows, self.names, n_columns=self.n_columns, where=self.description)
        if not self.categories:
            return as_matrix(frame, np.float32, where=self.description)
        return with_categories(frame, self.categories, where=self.description, refuse_unknown=True)

    def _scores(self, given: Any, positive_label: object) -> Scores:  # noqa: ANN401
        is_margin = self.objective in {"multi:softmax", "binary:logitraw"}
        raw = self._raw(given, "margin" if is_margin else "value") if len(given) else np.empty(0)
        if is_margin and raw.ndim == 1:
            raw = 1 / (1 + np.exp(-raw.astype(np.float64)))
        elif is_margin:
            raw = np.exp(raw - raw.max(axis=1, keepdims=True))
            raw /= raw.sum(axis=1, keepdims=True)
        return class_scores(
            raw, len(given), classes=self.classes, positive_label=positive_label, where=self.description
        )

    def _raw(self, given: Any, kind: str) -> npt.NDArray[Any]:  # noqa: ANN401
        xgboost = require("xgboost", extra="xgboost")
        try:
            if self.is_linear:
                # Only trees are asked in place.
                matrix = xgboost.DMatrix(given)
                raw = self.booster.predict(matrix, output_margin=kind == "margin", validate_features=False)
            else:
                raw = self.booster.inplace_predict(
                    given, iteration_range=self.iterations, predict_type=kind, validate_features=False
                )
        except (ValueError, xgboost.core.XGBoostError) as error:
            raise InputError(f"refused the rows: {first_line(error)}", where=self.description) from None
        return np.asarray(raw)


def load_xgboost(
    path: Path,
    *,
    positive_label: object = None,
    categories: Mapping[str, Sequence[Any]] | None = None,
    threads: int = 1,
) -> XgboostPredictor:
    """Load a model that XGBoost wrote as JSON or UBJSON.

    Parameters
    ----------
    path : Path
        The model file.
    positive_label : object, optional
        Which of two classes the score is about; default the second.
    categories : mapping, optional
        Column -> categories in the order of training, for models of XGBoost before 3.1, which keep none.
    threads : int
        Threads of a prediction.

    Raises
    ------
    InputError
        If it is another kind of file, or XGBoost can not load it.
    MissingDependencyError
        If XGBoost is not installed.
    """
    file = read_model_file(path)
    require_safe(file, hint=_HINT)
    if file.scan.format == "json":
        document = json.loads(file.data)
        is_model = isinstance(document, dict) and {"learner", "version"} <= set(document)
    else:
        is_model = file.scan.format == "ubjson" and b"learner" in file.data[:64]
    if not is_model:
        raise InputError("is no model of XGBoost", where=file.where, hint=_HINT)
    xgboost = require("xgboost", extra="xgboost")
    booster = xgboost.Booster()
    loaded_by("XGBoost", file, lambda: booster.load_model(bytearray(file.data)))
    booster.set_param({"nthread": threads})
    return from_booster(
        booster, name=path.name, subject=file.subject, positive_label=positive_label, categories=categories
    )


def from_booster(
    booster: Any,  # noqa: ANN401 - XGBoost has no types
    *,
    name: str = "in memory",
    subject: Subject | None = None,
    positive_label: object = None,
    categories: Mapping[str, Sequence[Any]] | None = None,
) -> XgboostPredictor:
    """Adapt a Booster; without `subject` its evidence is not bound to a file.

    Raises
    ------
    InputError
        If it has several targets, or categorical columns and nobody says which categories they have.
    """
    where = f"XGBoost model {name}"
    learner = json.loads(booster.save_config())["learner"]
    objective, shape = str(learner["objective"]["name"]), learner["learner_model_param"]
    if int(shape.get("num_target", 1)) > 1:
        raise InputError(f"has {shape['num_target']} targets", where=where, hint="certify one at a time")
    classes = None
    if objective.startswith("multi:"):
        classes = list(range(int(shape["num_class"])))
    elif objective.startswith("binary:"):
        classes = [0, 1]
    if positive_label is not None and classes is not None:
        positive_column(classes, positive_label, where=where)
    names = booster.feature_names
    best = booster.attr("best_iteration")
    return XgboostPredictor(
        booster=booster,
        objective=objective,
        classes=classes,
        categories=_categories(booster, categories, where),
        names=None if names is None else tuple(names),
        n_columns=int(booster.num_features()),
        is_linear=learner["learner_train_param"].get("booster") == "gblinear",
        iterations=(0, 0) if best is None else (0, int(best) + 1),
        threads=int(learner["generic_param"].get("nthread", 0)),
        name=name,
        device=str(learner["generic_param"].get("device", "cpu")),
        positive_label=positive_label,
        subject=subject,
    )


def _categories(
    booster: Any,  # noqa: ANN401
    given: Mapping[str, Sequence[Any]] | None,
    where: str,
) -> dict[str, Sequence[Any]]:
    kinds = booster.feature_types or []
    wanted = [name for name, kind in zip(booster.feature_names or [], kinds, strict=True) if kind == "c"]
    found: dict[str, Sequence[Any]] = {}
    if wanted and hasattr(booster, "get_categories"):
        require("pyarrow", extra="tables")
        stored = booster.get_categories(export_to_arrow=True).to_arrow()
        found = {name: values.to_pylist() for name, values in stored if values is not None}
    found.update({name: list(values) for name, values in (given or {}).items() if name not in found})
    missing = [name for name in wanted if name not in found]
    if missing or len(wanted) != kinds.count("c"):
        raise InputError(
            f"the categorical column {missing[0]!r} has no categories in the model, so what a code means is "
            "not known"
            if missing
            else "has categorical columns without names",
            where=where,
            hint="save it with XGBoost 3.1 or later, or say them: load_model(path, categories={...})",
        )
    return {name: found[name] for name in wanted}
