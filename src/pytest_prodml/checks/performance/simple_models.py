"""Models that anybody could have trained in a minute: what a model worth its cost has to beat.

They are fitted on the reference (training) rows while the test runs, so nothing has to be stored.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.adapters import as_predictor
from pytest_prodml.adapters.predictor import Predictor
from pytest_prodml.checks.labels import label_column, nearest, same_length, score_column
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

#: The kinds, and what each of them answers.
SIMPLE_MODELS: Mapping[str, str] = {
    "majority": "always the most frequent class",
    "prior": "for every row the shares of the classes",
    "logistic": "logistic regression on all columns",
    "mean": "always the mean",
    "median": "always the median",
}
_REGRESSORS = frozenset({"mean", "median"})
_MOST_ITERATIONS = 1000
#: Levels of a text column beyond which the rare ones share one column.
_MOST_LEVELS = 50
_MISSING = "(missing)"


def simple_baseline(
    kind: str,
    features: pd.DataFrame,
    target: npt.ArrayLike,
    *,
    positive_label: object = None,
    seed: int = 0,
) -> Predictor:
    """Fit a simple model.

    Parameters
    ----------
    kind : {"majority", "prior", "logistic", "mean", "median"}
        The first three are classifiers, the others predict numbers. A constant score ranks nothing, so the
        ROC AUC of "majority" and "prior" is one half.
    features : pandas.DataFrame
        The reference rows. Only "logistic" looks at them: numbers and dates are standardized, missing ones
        replaced by the median and marked; everything else is one-hot encoded as text, at most 50 levels a
        column, and a level that it has not seen counts as a rare one.
    target : array-like, shape (n,)
        Labels, or numbers for "mean" and "median".
    positive_label : object, optional
        The class that the score is about; default the second.
    seed : int
        Of the solver.

    Raises
    ------
    InputError
        For an unknown kind, missing labels, or one class only.
    MissingDependencyError
        If "logistic" is asked for without scikit-learn.
    """
    if kind not in SIMPLE_MODELS:
        raise InputError(f"there is no simple model {kind!r}", hint=nearest(kind, list(SIMPLE_MODELS)))
    if kind in _REGRESSORS:
        numbers = score_column(target, name="the reference target")
        same_length(features=len(features), target=numbers.size)
        if not numbers.size:
            raise InputError("there are no reference rows", where=f"simple model {kind!r}")
        return as_predictor(
            ConstantNumber(number=float(np.mean(numbers) if kind == "mean" else np.median(numbers)))
        )
    coded = label_column(target, name="the reference target")
    same_length(features=len(features), target=coded.codes.size)
    classes = np.asarray(coded.categories)
    if classes.size < 2:
        raise InputError("the reference target holds fewer than two classes", where=f"simple model {kind!r}")
    if kind == "logistic":
        model: object = _logistic(features, classes[coded.codes], seed)
    else:
        shares = np.bincount(coded.codes, minlength=classes.size) / coded.codes.size
        certain = np.eye(classes.size)[int(np.argmax(shares))]
        model = ConstantShares(classes_=classes, shares=certain if kind == "majority" else shares)
    return as_predictor(model, positive_label=positive_label)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConstantNumber:
    """Predicts the same number for every row."""

    number: float

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Return the number for each row."""
        return np.full(len(rows), self.number)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConstantShares:
    """Predicts the same probabilities for every row, and the class with the largest (the first of equals)."""

    classes_: npt.NDArray[Any]
    shares: npt.NDArray[np.float64]

    def predict_proba(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Return the probabilities, (n, classes)."""
        return np.tile(self.shares, (len(rows), 1))

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[Any]:
        """Return the class for each row."""
        return np.full(len(rows), self.classes_[int(np.argmax(self.shares))])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogisticBaseline:
    """A fitted logistic regression that knows how to read the columns of a mixed table."""

    pipeline: Any
    numeric: frozenset[str]
    feature_names_in_: npt.NDArray[Any]

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """The classes in the order of the columns of probabilities."""
        return np.asarray(self.pipeline.classes_)

    def predict_proba(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Return the probabilities, (n, classes)."""
        return np.asarray(self.pipeline.predict_proba(_readable(rows, self.numeric)))

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[Any]:
        """Return the most probable class of each row."""
        return np.asarray(self.pipeline.predict(_readable(rows, self.numeric)))


def _logistic(features: pd.DataFrame, labels: npt.NDArray[Any], seed: int) -> LogisticBaseline:
    part = {
        name: require(f"sklearn.{name}", extra="pipeline")
        for name in ("compose", "exceptions", "impute", "linear_model", "pipeline", "preprocessing")
    }
    numeric = frozenset(name for name in features.columns if _is_numeric(features[name]))
    numbers = [name for name in features.columns if name in numeric]
    texts = [name for name in features.columns if name not in numeric]
    impute = part["impute"].SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    encode = part["preprocessing"].OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=_MOST_LEVELS, sparse_output=False
    )
    scale = part["preprocessing"].StandardScaler()
    columns = part["compose"].ColumnTransformer(
        [
            ("numbers", part["pipeline"].make_pipeline(impute, scale), numbers),
            ("texts", encode, texts),
        ]
    )
    regression = part["linear_model"].LogisticRegression(max_iter=_MOST_ITERATIONS, random_state=seed)
    pipeline = part["pipeline"].make_pipeline(columns, regression)
    with warnings.catch_warnings():
        # An unfinished fit is a weaker baseline, not a wrong one.
        warnings.simplefilter("ignore", part["exceptions"].ConvergenceWarning)
        pipeline.fit(_readable(features, numeric), labels)
    return LogisticBaseline(
        pipeline=pipeline, numeric=numeric, feature_names_in_=np.asarray(features.columns, dtype=object)
    )


def _is_numeric(column: pd.Series) -> bool:
    types = require("pandas.api.types", extra="pipeline")
    return bool(
        types.is_bool_dtype(column)
        or types.is_numeric_dtype(column)
        or types.is_datetime64_any_dtype(column)
        or types.is_timedelta64_dtype(column)
    )


def _readable(rows: pd.DataFrame, numeric: frozenset[str]) -> pd.DataFrame:
    """Return numbers as floats (NaN where missing or infinite) and everything else as text."""
    pandas = require("pandas", extra="pipeline")
    read = {
        name: _as_floats(rows[name]) if name in numeric else _as_text(rows[name]) for name in rows.columns
    }
    return pandas.DataFrame(read, index=rows.index)


def _as_floats(column: pd.Series) -> npt.NDArray[np.float64]:
    types, pandas = require("pandas.api.types", extra="pipeline"), require("pandas", extra="pipeline")
    if types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column):
        start = pandas.Timestamp(0, tz=getattr(column.dt, "tz", None))
        spans = column if types.is_timedelta64_dtype(column) else column - start
        floats = spans.dt.total_seconds().to_numpy(dtype=np.float64)
    else:
        floats = pandas.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(floats), floats, np.nan)


def _as_text(column: pd.Series) -> npt.NDArray[Any]:
    missing = column.isna().to_numpy(dtype=bool)
    text = np.array([str(value) for value in column.tolist()], dtype=object)
    text[missing] = _MISSING
    return text
