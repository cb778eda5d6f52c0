"""A batch of texts -> the same batch, each text or each word of it changed by a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.tables import column
from pytest_prodml.checks.behavior.batches import Batch, is_frame
from pytest_prodml.checks.behavior.corruptions.letters import letters_of, word_spans
from pytest_prodml.errors import InputError

Rng: TypeAlias = np.random.Generator
#: Three numbers from 0 to 1 for each unit of a text: whether it is hit, how, and where.
Draws: TypeAlias = npt.NDArray[np.float64]


def each_word(
    batch: Batch,
    severity: float,
    rng: Rng,
    change: Callable[[str, float, float], str],
    columns: Sequence[Any] | None,
) -> Batch:
    """Change every word of every text that is hit: ``change(word, how, where)``, two numbers from 0 to 1."""

    def changed(text: str, draw: Callable[[int], Draws]) -> str:
        letters = letters_of(text)
        spans = word_spans(letters)
        swaps = []
        for (start, end), (hit, how, where) in zip(spans, draw(len(spans)).tolist(), strict=True):
            if hit < severity:
                swaps.append((start, end, change("".join(letters[start:end]), how, where)))
        return joined(letters, swaps)

    return each_text(batch, rng, changed, columns)


def joined(letters: list[str], swaps: Sequence[tuple[int, int, str]]) -> str:
    """Return letters as text, with spans (start, end, new) replaced; they are in order and apart."""
    made, end = [], 0
    for start, stop, new in swaps:
        made += [*letters[end:start], new]
        end = stop
    return "".join([*made, *letters[end:]])


def replaced(text: str, swaps: Sequence[tuple[int, int, str]]) -> str:
    """Return a text with spans of characters replaced."""
    return joined(list(text), swaps)


def each_text(
    batch: Batch,
    rng: Rng,
    change: Callable[[str, Callable[[int], Draws]], str],
    columns: Sequence[Any] | None,
) -> Batch:
    """Change every text of a batch, and return a batch of the same form."""

    def draw(units: int) -> Draws:
        return rng.random((units, 3))

    def one(item: Any) -> Any:  # noqa: ANN401 - a text, or a missing cell
        return change(item, draw) if isinstance(item, str) else item

    if is_frame(batch):
        return _columns_changed(batch, one, columns)
    if columns is not None:
        raise InputError("columns are those of a frame, and the inputs are a list of texts", where="columns")
    made = [one(item) for item in batch]
    if isinstance(batch, np.ndarray):
        # Texts of an array may need more room than the longest had.
        return np.array(made, dtype=object if batch.dtype.kind == "O" else batch.dtype.kind)
    return made


def _columns_changed(frame: Any, one: Callable[[Any], Any], columns: Sequence[Any] | None) -> Batch:  # noqa: ANN401
    import pandas as pd

    if columns is None or isinstance(columns, str) or len(columns) == 0:
        raise InputError(
            "a table can hold texts, categories and names: say which columns are texts",
            where="columns",
            hint='columns=["review"]',
        )
    made = frame.copy()
    for name in dict.fromkeys(columns):
        own = column(frame, name)
        if isinstance(own.dtype, pd.CategoricalDtype) or not any(isinstance(cell, str) for cell in own):
            raise InputError(f"is {own.dtype}, which holds no texts", where=str(name))
        made[name] = pd.Series([one(cell) for cell in own], index=own.index, dtype=own.dtype, name=own.name)
    return made
