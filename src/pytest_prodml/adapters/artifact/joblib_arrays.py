"""An array that joblib keeps outside of its pickle -> the bytes of the stream it takes, or a nested pickle.

Follows joblib from 1.2 on (`NumpyArrayWrapper.read_array`): one byte with the length of the padding, the
padding, then the raw elements; arrays of objects are a pickle of their own. Older files have no padding:
their first raw byte stands where the next opcode would, so they are also read as a plain pickle (`pickles`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_prodml.adapters.artifact.elements import DoubtError, elements_of
from pytest_prodml.adapters.artifact.values import Global, Made, constant_dict, integers

_WRAPPERS = frozenset({"joblib.numpy_pickle", "sklearn.externals.joblib.numpy_pickle"})
_SUBCLASSES = frozenset(
    {"numpy.ndarray", "numpy.memmap", "numpy.matrix", "numpy.matrixlib.defmatrix.matrix", "numpy.recarray"}
)
#: No opcode of pickle is this low, so a loader that does not know of the padding stops right there.
FIRST_OPCODE = 0x28


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """What follows the wrapper: raw bytes (after padding, where `padded`), or a pickle."""

    n_bytes: int
    padded: bool
    pickled: bool


def is_wrapper(value: object) -> bool:
    """Say whether a made object stands for an array behind it in the stream."""
    return (
        isinstance(value, Made)
        and value.owner is not None
        and value.owner.module in _WRAPPERS
        and value.owner.name == "NumpyArrayWrapper"
    )


def raw_of(wrapper: Made) -> Raw:
    """Return what follows a wrapper, from its state.

    Raises
    ------
    DoubtError
        If the state is none that joblib writes.
    """
    state = constant_dict(wrapper.state)
    if state is None:
        raise DoubtError("the state of joblib's wrapper is computed")
    subclass, shape, order = state.get("subclass"), integers(state.get("shape")), state.get("order")
    if not (isinstance(subclass, Global) and subclass.path in _SUBCLASSES):
        raise DoubtError("joblib's wrapper stands for a class that is no array")
    if (
        shape is None
        or isinstance(state.get("shape"), int)
        or min(shape, default=0) < 0
        or order not in {"C", "F"}
    ):
        raise DoubtError("joblib's wrapper has no plain shape and order")
    elements = elements_of(state.get("dtype"))
    if elements.objects:
        return Raw(n_bytes=0, padded=False, pickled=True)
    count = math.prod(shape)
    if elements.size < 1 or count >= 2**62 // elements.size:
        raise DoubtError("joblib's wrapper stands for an array of no possible size")
    alignment = state.get("numpy_array_alignment_bytes")
    if alignment is not None and (type(alignment) is not int or not 0 < alignment < FIRST_OPCODE):
        raise DoubtError("joblib's wrapper has an alignment that joblib never writes")
    return Raw(n_bytes=count * elements.size, padded=alignment is not None, pickled=False)
