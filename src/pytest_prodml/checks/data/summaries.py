"""Columns without a distribution (text, images, nested cells) -> numbers that a project's function gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.checks.data.columns import OF_NUMBERS, Sizes
from pytest_prodml.checks.data.distances import Moved, missing_change, of_values
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue

#: A pandas Series of cells that are not missing -> one number, or a row of numbers, for each.
Summary: TypeAlias = Callable[[Any], npt.ArrayLike]

#: Rows of each table that summaries are made of; beyond, a random sample is drawn.
MOST_SUMMARIZED = 20_000
_MOST_NUMBERS = 1_000


def summarized(
    reference: Table,
    current: Table,
    summaries: Mapping[str, Summary],
    measures: Mapping[str, str],
    sizes: Sizes,
    seed: int,
) -> tuple[list[Moved], dict[str, JsonValue]]:
    """Compare what summaries say about columns; also return what the evidence tells about the samples.

    Raises
    ------
    InputError
        If a function raises, or does not give finite numbers, as many for each cell, on both sides.
    """
    found: list[Moved] = []
    told: dict[str, JsonValue] = {}
    for name, function in summaries.items():
        measure = measures.get(name, "kolmogorov_smirnov")
        if measure not in OF_NUMBERS:
            raise InputError(
                f"a summary of {name!r} can not be compared by {measure!r}",
                hint=f"one of {', '.join(sorted(OF_NUMBERS))}",
            )
        numbers, drawn = [], []
        for table in (reference, current):
            cells = table.engine.sample([name], most=MOST_SUMMARIZED, seed=seed)[name]
            drawn.append(len(cells))
            numbers.append(_numbers(function, cells[cells.notna()], name, table))
        first, second = numbers
        if len(first) and len(second) and first.shape[1] != second.shape[1]:
            raise InputError(
                f"the summary gives {first.shape[1]} numbers for a cell of the reference, "
                f"{second.shape[1]} for one of the current table",
                where=name,
            )
        width = max(first.shape[1], second.shape[1])
        for place in range(width):
            sides = [side[:, place] if len(side) else np.zeros(0) for side in numbers]
            found.append(
                Moved(
                    name=f"{name}[{place}]",
                    measure=measure,
                    estimate=of_values(measure, sides[0], sides[1], sizes),
                    missing=missing_change(sizes, name) if place == 0 else None,
                    n_rows=min(len(first), len(second)),
                    of=name,
                )
            )
        told[name] = {
            "function": getattr(function, "__qualname__", type(function).__name__),
            "numbers": width,
            "seed": seed,
            "reference": {"rows": drawn[0], "of": sizes.reference},
            "current": {"rows": drawn[1], "of": sizes.current},
        }
    return found, told


def _numbers(function: Summary, cells: Any, name: str, table: Table) -> npt.NDArray[np.float64]:  # noqa: ANN401
    """Return the numbers of each cell, shape (cells, k)."""
    if len(cells) == 0:
        return np.zeros((0, 1))
    try:
        numbers = np.asarray(function(cells), dtype=np.float64)
    except Exception as error:
        raise InputError(
            f"the summary of {name!r} raised {type(error).__name__}: {str(error)[:200]}",
            where=table.where,
            hint="it gets a pandas Series without missing cells and gives one number or more for each",
        ) from error
    if numbers.ndim == 1:
        numbers = numbers[:, np.newaxis]
    if numbers.ndim != 2 or len(numbers) != len(cells) or numbers.shape[1] == 0:
        raise InputError(
            f"the summary of {name!r} gives an array of shape {numbers.shape} for {len(cells):,} cells",
            where=table.where,
            hint="one number, or a row of numbers, for each cell",
        )
    if numbers.shape[1] > _MOST_NUMBERS:
        raise InputError(
            f"the summary of {name!r} gives {numbers.shape[1]:,} numbers for a cell, at most "
            f"{_MOST_NUMBERS:,} can be compared",
            where=table.where,
            hint="project embeddings on fewer directions first",
        )
    bad = int(np.count_nonzero(~np.isfinite(numbers).all(axis=1)))
    if bad:
        raise InputError(
            f"the summary of {name!r} is not a finite number for {bad:,} of {len(cells):,} cells",
            where=table.where,
        )
    return numbers
