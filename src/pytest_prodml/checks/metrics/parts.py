"""Columns of groups -> the rows of each group, with the name that evidence gives it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.labels import same_length
from pytest_prodml.checks.membership import membership


def parts(
    n_rows: int, by: Mapping[str, npt.ArrayLike] | None
) -> Iterator[tuple[str | None, npt.NDArray[np.bool_]]]:
    """Yield all rows, with None, and then those of each group of each column, such as ``sex=female``.

    Raises
    ------
    InputError
        For a column of another length, or more than 100 groups.
    """
    yield None, np.ones(n_rows, dtype=np.bool_)
    for attribute, values in (by or {}).items():
        column = membership(values, str(attribute))
        same_length(**{"y_true": n_rows, str(attribute): column.codes.size})
        for group in range(len(column.names)):
            yield column.label(group), column.codes == group
