"""A model of LightGBM, from its own text or in memory -> `Predictor`."""

from __future__ import annotations

import re
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

_HINT = "write it with save_model('model.txt') of the Booster"
_MULTICLASS = frozenset({"multiclass", "softmax", "multiclassova", "multiclass_ova", "ova", "ovr"})
_NO_NAMES = re.compile(r"Column_\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class LightgbmPredictor:
    """A Booster. The score is the probability of the objective; of a regression or a ranking the value.

    Trees up to the best iteration are used, as LightGBM does. A value that is no category of training counts
    as missing, as LightGBM has it.
    """

    booster: Any
    objective: str
    classes: list[int] | None
    categories: Mapping[str, Sequence[Any]]
    names: tuple[str, ...] | None
    n_columns: int
    threads: int = 1
    name: str = "in memory"
    positive_label: object = None
    subject: Subject | None = field(default=None)

    @property
    def description(self) -> str:
        """The kind of model, and its file."""
        return f"LightGBM model {self.name}"

    @property
    def device(self) -> str:
        """The processor: LightGBM predicts nowhere else."""
        return "cpu"

    def predict_score(self, rows: pd.DataFrame) -> Scores:
        """Return the probability of the positive class, (n, k) probabilities, or the values."""
        return self._scores(self._input(rows), self.positive_label)

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[Any]:
        """Return the labels as LightGBM's estimators decide; of a regression the values."""
        scores = self._scores(self._input(rows), None)
        if self.classes is None:
            return scores
        return (scores > 0.5).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)

    def prepare(self, rows: pd.DataFrame) -> Callable[[], object]:
        """Convert the columns now."""
        given = self._input(rows)
        return lambda: self._scores(given, self.positive_label)

    def runtime(self) -> Mapping[str, JsonValue]:
        """Return version, device, threads, objective and the trees in use."""
        return {
            "adapter": "lightgbm",
            "lightgbm": str(require("lightgbm", extra="lightgbm").__version__),
            "device": self.device,
            "threads": self.threads,
            "objective": self.objective,
            "iterations": int(self.booster.best_iteration)
            if self.booster.best_iteration > 0
            else int(self.booster.current_iteration()),
        }

    def close(self) -> None:
        """Nothing is held open."""

    def _input(self, rows: pd.DataFrame) -> npt.NDArray[Any]:
        frame = select(
            _renamed(rows, self.names), self.names, n_columns=self.n_columns, where=self.description
        )
        if self.categories:
            coded = with_categories(frame, self.categories, where=self.description, refuse_unknown=False)
            # What LightGBM itself does with a frame: the code of the category, NaN for what has none.
            for name in self.categories:
                codes = coded[name].cat.codes.to_numpy().astype(np.float64)
                codes[codes < 0] = np.nan
                coded[name] = codes
            frame = coded
        return as_matrix(frame, np.float64, where=self.description)

    def _scores(self, given: npt.NDArray[Any], positive_label: object) -> Scores:
        lightgbm = require("lightgbm", extra="lightgbm")
        try:
            # LightGBM refuses a table without rows.
            raw = self.booster.predict(given, num_threads=self.threads) if len(given) else np.empty(0)
        except (ValueError, lightgbm.basic.LightGBMError) as error:
            raise InputError(f"refused the rows: {first_line(error)}", where=self.description) from None
        return class_scores(
            raw, len(given), classes=self.classes, positive_label=positive_label, where=self.description
        )


def load_lightgbm(path: Path, *, positive_label: object = None, threads: int = 1) -> LightgbmPredictor:
    """Load a model that LightGBM wrote as text.

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
        If it is another kind of file, or LightGBM can not load it.
    MissingDependencyError
        If LightGBM is not installed.
    """
    file = read_model_file(path)
    if not file.data.startswith((b"tree\n", b"tree\r\n")):
        raise InputError("is no model of LightGBM", where=file.where, hint=_HINT)
    require_safe(file, hint=_HINT)
    lightgbm = require("lightgbm", extra="lightgbm")
    booster = loaded_by("LightGBM", file, lambda: lightgbm.Booster(model_str=file.data.decode("utf-8")))
    return from_booster(
        booster, name=path.name, subject=file.subject, positive_label=positive_label, threads=threads
    )


def from_booster(
    booster: Any,  # noqa: ANN401 - LightGBM has few types
    *,
    name: str = "in memory",
    subject: Subject | None = None,
    positive_label: object = None,
    threads: int = 1,
) -> LightgbmPredictor:
    """Adapt a Booster; without `subject` its evidence is not bound to a file.

    Raises
    ------
    InputError
        If it has an objective of the caller's own, or which columns are categorical can not be told.
    """
    where = f"LightGBM model {name}"
    text = booster.model_to_string(num_iteration=1)
    told = re.search(r"^objective=(\S+)(.*)$", text, flags=re.MULTILINE)
    if told is None or told[1] == "custom":
        raise InputError(
            "has an objective of your own, so what its numbers mean is not known",
            where=where,
            hint="return a function from a frame to scores",
        )
    objective, classes = told[1], None
    if objective in _MULTICLASS:
        classes = list(range(int(booster.num_model_per_iteration())))
    elif objective == "binary":
        classes = [0, 1]
    if positive_label is not None and classes is not None:
        positive_column(classes, positive_label, where=where)
    names = booster.feature_name()
    has_names = not all(_NO_NAMES.fullmatch(given) for given in names)
    return LightgbmPredictor(
        booster=booster,
        objective=objective,
        classes=classes,
        categories=_categories(booster, text, names, where),
        names=tuple(names) if has_names else None,
        n_columns=len(names),
        threads=threads,
        name=name,
        positive_label=positive_label,
        subject=subject,
    )


def _categories(booster: Any, text: str, names: Sequence[str], where: str) -> dict[str, Sequence[Any]]:  # noqa: ANN401
    """Return the categories of the columns that pandas coded in training, which LightGBM keeps in order."""
    stored = booster.pandas_categorical or []
    if not stored:
        return {}
    told = re.search(r"^\[categorical_feature: ([\d,]*)\]$", text, flags=re.MULTILINE)
    columns = [int(number) for number in told[1].split(",") if number] if told is not None else []
    if len(columns) != len(stored):
        raise InputError(
            f"keeps the categories of {len(stored)} columns and declares {len(columns)} as categorical: "
            "which belong together can not be told",
            where=where,
            hint="train it with unordered categories of pandas and without the option categorical_feature",
        )
    return {names[column]: values for column, values in zip(columns, stored, strict=True)}


def _renamed(rows: pd.DataFrame, names: Sequence[str] | None) -> pd.DataFrame:
    """Name columns as LightGBM does, which keeps no blanks in names."""
    if names is None:
        return rows
    wanted = {name for name in names if name not in rows.columns}
    blanks = {old: re.sub(r"\s+", "_", str(old)) for old in rows.columns if isinstance(old, str)}
    found = {old: new for old, new in blanks.items() if new != old and new in wanted}
    return rows.rename(columns=found) if len(set(found.values())) == len(found) else rows
