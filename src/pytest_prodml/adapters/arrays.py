"""One column of a table -> the array of the type that a model's input declares, or a reason why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]


def convert(values: pd.Series, dtype: type[np.generic], *, where: str) -> Array:
    """Convert one column to the type of an input, or refuse what that type can not hold.

    Rounding to float32 is what the model does by declaring it and is accepted; NaN stays NaN.

    Raises
    ------
    InputError
        If the column is text where numbers are expected or the other way round, text is missing, an integer
        input would get fractions or missing values, or a number is out of the type's range.
    """
    import pandas as pd

    label = f"the column {str(values.name)!r}"
    if dtype is np.object_:
        missing = int(values.isna().sum())
        found: Array = values.astype(object).to_numpy()
        if missing:
            raise InputError(
                f"{label} has {missing:,} missing values, and text in ONNX has none", where=where
            )
        if not all(isinstance(value, str) for value in found):
            raise InputError(f"{label} is {values.dtype}, and the input takes text", where=where)
        return found
    if not pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_complex_dtype(values.dtype):
        raise InputError(f"{label} is {values.dtype}, and the input takes numbers", where=where)
    if np.issubdtype(dtype, np.floating):
        wide = values.to_numpy(dtype=np.float64, na_value=np.nan)
        with np.errstate(over="ignore"):
            narrow = wide.astype(dtype)
        _refuse(
            np.isinf(narrow) & np.isfinite(wide), f"{label} is out of the range of {dtype.__name__}", where
        )
        return narrow  # type: ignore[no-any-return]
    _refuse(values.isna().to_numpy(), f"{label} is missing, and {dtype.__name__} has no missing value", where)
    exact = values.to_numpy(dtype=np.float64) if values.dtype.kind == "f" else values.to_numpy()
    with np.errstate(invalid="ignore"):
        whole = exact.astype(dtype)
    _refuse(whole.astype(object) != exact.astype(object), f"{label} does not fit {dtype.__name__}", where)
    return whole  # type: ignore[no-any-return]


def _refuse(mask: Array, what: str, where: str) -> None:
    count = int(np.count_nonzero(mask))
    if count:
        raise InputError(f"{what} in {count:,} of {len(mask):,} rows", where=where)
