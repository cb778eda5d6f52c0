"""A column of groups -> names and codes: which rows belong together, and what their group is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.errors import InputError
from pytest_prodml.statistics.sufficient import Codes, encode

#: What rows without a membership (None, NaN) are called: they are rows too.
MISSING = "(missing)"
#: More groups than this are a sign of an identifier or a number that should be put into bands.
MOST_GROUPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """The group of each row: `codes` into `names`, none of them missing."""

    attribute: str
    names: tuple[str, ...]
    codes: Codes

    def label(self, group: int) -> str:
        """Return how a group is called in evidence, such as ``sex=female``."""
        return f"{self.attribute}={self.names[group]}"


def membership(values: npt.ArrayLike, attribute: str) -> Membership:
    """Reduce a column of group labels to codes. Rows without a value form the group "(missing)".

    Raises
    ------
    InputError
        If there are more than 100 groups, or two that are written alike.
    """
    coded = encode(values, name=attribute)
    names = [group_name(value) for value in coded.categories]
    codes = coded.codes
    if (codes < 0).any():
        codes = np.where(codes < 0, len(names), codes)
        names.append(MISSING)
    if len(names) > MOST_GROUPS:
        raise InputError(
            f"{attribute} has {len(names):,} different values, at most {MOST_GROUPS} groups can be compared",
            hint="put the values into bands first",
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(
            f"two groups of {attribute} are both written {twice!r}", hint="make their labels one type"
        )
    return Membership(attribute=attribute, names=tuple(names), codes=codes)


def group_name(value: Any) -> str:  # noqa: ANN401 - groups are labeled with what a project uses
    """Write the label of a group; a column of whole numbers turns into floats when a value is missing."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
