"""Training rows and other rows -> which are copies of each other, and whether both are of one origin."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.behavior.batches import Batch, Inputs, is_frame, take
from pytest_prodml.checks.overlap.columns import SharedColumn, shared_column
from pytest_prodml.checks.overlap.copies import exact_copies
from pytest_prodml.checks.two_sample import told_apart
from pytest_prodml.errors import InputError, MissingDependencyError
from pytest_prodml.statistics.design import Design
from pytest_prodml.statistics.estimate import Estimate

Mask: TypeAlias = npt.NDArray[np.bool_]

#: Numbers of a single input beyond which arrays are no tables for a classifier.
_MOST_COLUMNS = 1_000


def apart(members: Inputs, held: Inputs) -> tuple[Inputs, int]:
    """Return the held-out rows that are no copies of training rows, and how many are.

    In tables only copies count that chance does not explain (see `overlap.copies.exact_copies`): where rows
    have few levels equal ones are nothing to wonder about. Other inputs have to be equal.
    """
    copies = telling_copies(members.batch, held.batch)
    n_copies = int(np.count_nonzero(copies))
    if n_copies == 0:
        return held, 0
    if n_copies == len(held):
        raise InputError(
            "every held-out row is a copy of a training row",
            where="private",
            hint="give rows that the model was not trained on",
        )
    left = ~copies
    target = None if held.target is None else held.target[left]
    return replace(held, batch=take(held.batch, left), target=target), n_copies


def telling_copies(members: Batch, others: Batch) -> Mask:
    """Return which of the other rows are copies of training rows in a way that chance does not explain."""
    if is_frame(members) and is_frame(others):
        columns = columns_of(members, others)
        return exact_copies(columns, seed=0).telling
    known = {content(item) for item in members}
    return np.array([content(item) in known for item in others], dtype=np.bool_)


def columns_of(members: Any, others: Any) -> list[SharedColumn]:  # noqa: ANN401 - frames
    """Return the columns that both tables have, read the same way.

    Raises
    ------
    InputError
        If there is none.
    """
    names = [name for name in members.columns if name in others.columns]
    if not names:
        raise InputError("the training rows and the others share no column", where="private")
    return [shared_column(str(name), members[name], others[name]) for name in names]


def content(item: object) -> bytes:
    """Return the digest of one input that is no row of a table."""
    if isinstance(item, np.ndarray) and not item.dtype.hasobject:
        read = f"{item.dtype.str}{item.shape}".encode() + np.ascontiguousarray(item).tobytes()
    elif isinstance(item, str):
        read = b"t" + item.encode("utf-8", "surrogatepass")
    else:
        read = b"o" + repr(item).encode("utf-8", "backslashreplace")
    return hashlib.sha256(read).digest()


def origin(members: Inputs, held: Inputs, seed: int) -> Estimate | None:
    """Estimate how well a classifier that does not know the model tells both sets apart.

    None for what is no table of numbers and categories, or without scikit-learn.
    """
    if is_frame(members.batch) and is_frame(held.batch):
        columns = columns_of(members.batch, held.batch)
    else:
        columns = _array_columns(members.batch, held.batch)
    if not columns:
        return None
    try:
        return told_apart(columns, Design(), seed=seed, names=("training", "held-out"))
    except MissingDependencyError:
        return None


def _array_columns(members: Batch, others: Batch) -> list[SharedColumn]:
    parts = (members, others)
    if not all(isinstance(part, np.ndarray) and part.dtype.kind in "iufb" for part in parts):
        return []
    flat = [part.reshape(len(part), -1).astype(np.float64) for part in parts]
    width = flat[0].shape[1]
    if width != flat[1].shape[1] or not 1 <= width <= _MOST_COLUMNS:
        return []
    matrix = np.concatenate(flat)
    return [
        SharedColumn(name=str(place), values=matrix[:, place], is_number=True, n_reference=len(members))
        for place in range(width)
    ]
