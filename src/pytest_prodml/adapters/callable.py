"""A function from rows to scores -> `Predictor`: the way in for any model without an adapter of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Scores, as_labels, as_scores
from pytest_prodml.records import JsonValue, Subject

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class CallablePredictor:
    """A function that takes a frame and returns one score (or k of them) for each row."""

    function: Callable[[pd.DataFrame], object]
    subject: Subject | None = None

    @property
    def description(self) -> str:
        """The function's name."""
        return str(getattr(self.function, "__name__", type(self.function).__name__))

    def predict_score(self, rows: pd.DataFrame) -> Scores:
        """Return what the function returns."""
        return as_scores(self.function(rows), len(rows), where=self.description)

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[np.int64]:
        """Return 1 from a score of 0.5 on, or the class with the largest score."""
        return as_labels(self.predict_score(rows))

    def prepare(self, rows: pd.DataFrame) -> Callable[[], object]:
        """Return a call of the function; what it converts is part of what is timed."""
        return lambda: self.function(rows)

    def runtime(self) -> Mapping[str, JsonValue]:
        """Return the adapter's name: nothing else is known of a function."""
        return {"adapter": "callable", "model": self.description}
