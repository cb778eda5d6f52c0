"""Whatever a model takes many of at once: a frame, an array, or a list of texts, images or series.

Checks of behavior only ask how many there are, take some of them, and put them together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import loaded
from pytest_prodml.adapters.tables import Dataset, as_frame
from pytest_prodml.checks.counts import plain
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue, Subject

if TYPE_CHECKING:
    import pandas as pd

#: A pandas frame, an array of shape (n, ...), or a list of n items of any kind.
Batch: TypeAlias = Any

_MOST_TOLD = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inputs:
    """What goes into a model, with the true answers where they are known.

    `material` identifies what was read; None for a list of objects that have no digest.
    """

    batch: Batch
    target: npt.NDArray[Any] | None = None
    material: Subject | None = None

    def __len__(self) -> int:
        return len(self.batch)

    @property
    def is_frame(self) -> bool:
        """Whether the inputs are rows of a table."""
        return is_frame(self.batch)

    @property
    def frame(self) -> pd.DataFrame:
        """The inputs as rows of a table.

        Raises
        ------
        InputError
            If they are no table.
        """
        if not self.is_frame:
            raise InputError(
                f"this check changes columns, and the inputs are {kind(self.batch)}",
                where="data",
                hint="give a frame, or a check that takes a function of whole inputs",
            )
        rows: pd.DataFrame = self.batch
        return rows

    @property
    def materials(self) -> tuple[Subject, ...]:
        """What was read, as `Evidence` takes it."""
        return () if self.material is None else (self.material,)


def inputs_of(data: Any, *, name: str = "test") -> Inputs:  # noqa: ANN401 - whatever a model takes
    """Return the inputs in a `Dataset`, frame, array, list, or a pair of one of them with labels.

    A pair is a tuple; a list is always a list of inputs.

    Raises
    ------
    InputError
        If there are none, or the labels of a pair do not fit them.
    """
    if isinstance(data, Inputs):
        return data
    if isinstance(data, Dataset):
        return Inputs(batch=as_frame(data), target=data.target, material=data.material)
    target: npt.NDArray[Any] | None = None
    if isinstance(data, tuple):
        if len(data) != 2:
            raise InputError(f"expected an (X, y) pair, got {len(data)} items", where=f"{name} data")
        data, target = data[0], np.asarray(data[1])
    batch: Batch
    if isinstance(data, (np.ndarray, list)):
        batch = data
    elif isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        batch = list(data)
    else:
        batch = as_frame(data, where=f"{name} data")
    if isinstance(batch, np.ndarray) and batch.ndim == 0:
        raise InputError("expected many inputs, got a single number", where=f"{name} data")
    if len(batch) == 0:
        raise InputError("there are no inputs, so nothing about them can be shown", where=f"{name} data")
    if target is not None and (target.ndim != 1 or len(target) != len(batch)):
        raise InputError(
            f"there are {len(batch):,} inputs and labels of shape {target.shape}", where=f"{name} data"
        )
    return Inputs(batch=batch, target=target, material=material_of(batch, name))


def is_frame(batch: Batch) -> bool:
    """Say whether a batch is a pandas frame; imports nothing."""
    pandas = loaded("pandas")
    return pandas is not None and isinstance(batch, pandas.DataFrame)


def kind(batch: Batch) -> str:
    """Say in a few words what a batch is."""
    if is_frame(batch):
        return "rows of a table"
    if isinstance(batch, np.ndarray):
        return f"an array of shape {batch.shape}"
    return f"a list of {type(batch[0]).__name__}" if len(batch) else "an empty list"


def take(batch: Batch, positions: npt.ArrayLike) -> Batch:
    """Return some inputs in the order asked for; a boolean mask selects those that are True.

    A frame keeps its index labels and an array its type; nothing is copied that a later change could reach.
    """
    chosen = np.asarray(positions)
    if chosen.dtype == np.bool_:
        chosen = np.flatnonzero(chosen)
    if is_frame(batch):
        return batch.iloc[chosen.astype(np.intp)]
    if isinstance(batch, np.ndarray):
        return batch[chosen.astype(np.intp)]
    return [batch[int(place)] for place in chosen]


def join(batches: Sequence[Batch]) -> Batch:
    """Put batches of one kind together; frames get a new index.

    Raises
    ------
    InputError
        If there is none.
    """
    if not batches:
        raise InputError("there is nothing to put together", where="behavior")
    if len(batches) == 1:
        return batches[0]
    if is_frame(batches[0]):
        import pandas as pd

        return pd.concat(list(batches), ignore_index=True)
    if isinstance(batches[0], np.ndarray):
        return np.concatenate(list(batches))
    return [item for batch in batches for item in batch]


def told(item: Any) -> JsonValue:  # noqa: ANN401 - one input of any kind
    """Return one input (a one-row frame, an array, a text ...) as a few plain values for the evidence."""
    if is_frame(item):
        return {str(name): plain(item[name].iloc[0]) for name in item.columns}
    if isinstance(item, np.ndarray) and item.ndim:
        return _array(item)
    if isinstance(item, (list, tuple)):
        return [plain(value) for value in item[:_MOST_TOLD]]
    return plain(item)


def _array(item: npt.NDArray[Any]) -> str:
    """Tell an array by its most frequent element and those that differ from it."""
    values, counts = np.unique(item.ravel(), return_counts=True)
    usual = values[int(np.argmax(counts))]
    others = np.argwhere(item != usual)
    size = "x".join(map(str, item.shape))
    if len(others) == item.size or len(others) > _MOST_TOLD:
        first = ", ".join(_short(value) for value in item.ravel()[:_MOST_TOLD])
        return f"{size} array: {first}{' ...' if item.size > _MOST_TOLD else ''}"
    told = ", ".join(f"[{','.join(map(str, place))}] = {_short(item[tuple(place)])}" for place in others)
    return f"{size} array of {_short(usual)}" + (f", but {told}" if told else "")


def _short(value: Any) -> str:  # noqa: ANN401 - an element of an array
    return f"{value:.4g}" if isinstance(value, (float, np.floating)) else str(value)


def material_of(batch: Batch, name: str) -> Subject | None:
    """Identify inputs by their content; None where an item has no bytes of its own."""
    if is_frame(batch):
        from pytest_prodml.adapters.tables import frame_subject

        return frame_subject(batch, name)
    digest = hashlib.sha256()
    if isinstance(batch, np.ndarray):
        if batch.dtype.hasobject:
            return None
        digest.update(f"{batch.dtype.str}{batch.shape}".encode())
        digest.update(np.ascontiguousarray(batch).tobytes())
        method = "sha256 of type, shape and bytes"
    else:
        for item in batch:
            content = _bytes_of(item)
            if content is None:
                return None
            digest.update(len(content).to_bytes(8, "big"))
            digest.update(content)
        method = "sha256 of length and bytes of each item"
    return Subject(
        name=name,
        digest={"sha256": digest.hexdigest()},
        annotations={"role": name, "rows": len(batch), "method": method},
    )


def _bytes_of(item: object) -> bytes | None:
    if isinstance(item, str):
        return b"t" + item.encode("utf-8", "surrogatepass")
    if isinstance(item, bytes):
        return b"b" + item
    if isinstance(item, np.ndarray) and not item.dtype.hasobject:
        return b"a" + f"{item.dtype.str}{item.shape}".encode() + np.ascontiguousarray(item).tobytes()
    return None
