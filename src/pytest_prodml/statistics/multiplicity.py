"""Families of tests: p-values in, adjusted p-values out, in the order given.

For alarms ("some slice is below its floor") only. A claim that everything holds needs no correction: it is an
intersection-union test (Berger 1982).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from pytest_prodml.errors import InputError


def holm(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Adjust p-values by Holm's step-down procedure (Holm 1979): controls the chance of any false alarm.

    Valid under any dependence. Reject those whose adjusted value is at most alpha.
    """
    values = _checked(p_values)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(values.size, 0, -1)
    return _restored(np.maximum.accumulate(scaled), order)


def benjamini_hochberg(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Adjust p-values by Benjamini and Hochberg (1995): controls the expected share of false alarms.

    For independent or positively dependent tests. Reject those whose adjusted value is at most the share.
    """
    return _step_up(_checked(p_values), 1.0)


def benjamini_yekutieli(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Adjust p-values by Benjamini and Yekutieli (2001): controls the expected share of false alarms.

    Valid under any dependence, at the price of the factor 1 + 1/2 + ... + 1/m: for hundreds of slices that
    overlap in ways that nobody planned, where Holm would leave no power.
    """
    values = _checked(p_values)
    return _step_up(values, float((1 / np.arange(1, values.size + 1)).sum()))


#: By name, for checks that let the project choose.
PROCEDURES: Mapping[str, Callable[[npt.ArrayLike], npt.NDArray[np.float64]]] = {
    "holm": holm,
    "benjamini_hochberg": benjamini_hochberg,
    "benjamini_yekutieli": benjamini_yekutieli,
}


def adjusted_p_values(p_values: npt.ArrayLike, procedure: str = "holm") -> npt.NDArray[np.float64]:
    """Adjust p-values by the procedure of that name.

    Raises
    ------
    InputError
        If `procedure` is none of `PROCEDURES`.
    """
    found = PROCEDURES.get(procedure)
    if found is None:
        raise InputError(
            f"there is no procedure {procedure!r} for families of tests", hint=", ".join(PROCEDURES)
        )
    return found(p_values)


def _step_up(values: npt.NDArray[np.float64], factor: float) -> npt.NDArray[np.float64]:
    order = np.argsort(values, kind="stable")
    scaled = values[order] * (factor * values.size) / np.arange(1, values.size + 1)
    return _restored(np.minimum.accumulate(scaled[::-1])[::-1], order)


def _checked(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise InputError("p-values must be a list of numbers between 0 and 1")
    return values


def _restored(scaled: npt.NDArray[np.float64], order: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    adjusted = np.empty_like(scaled)
    adjusted[order] = np.minimum(scaled, 1.0)
    return adjusted
