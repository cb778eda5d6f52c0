"""Columns about people -> the groups that are compared: features, their intersections, bands, several values.

No group is ever dropped. Rows without a value form the group "(missing)". A cell may hold several values: its
row then belongs to each of their groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.checks.labels import nearest, same_length
from pytest_prodml.checks.membership import MISSING, MOST_GROUPS, group_name, membership
from pytest_prodml.checks.metrics.levels import Bins, levels_of
from pytest_prodml.errors import InputError
from pytest_prodml.statistics.sufficient import Codes, as_column

Rows: TypeAlias = npt.NDArray[np.bool_]
#: A column, or several of them whose combinations are the groups.
By: TypeAlias = str | Sequence[str | Sequence[str]]

_SEVERAL = (list, tuple, set, frozenset, np.ndarray)
_JOIN = " & "


@dataclass(frozen=True, kw_only=True, eq=False)
class Grouping:
    """The groups of one comparison.

    Attributes
    ----------
    attribute : str
        What evidence calls the comparison: a column, or columns joined by "&".
    labels : tuple of str
        What evidence calls each group, such as ``sex=female & age=[30, 45)``.
    codes : array of int or None
        The group of each row; None where rows may belong to several groups.
    masks : tuple of arrays of bool
        The rows of each group, where there are no codes.
    edges : mapping of str to tuple of float
        Of columns that were put into bands.
    """

    attribute: str
    labels: tuple[str, ...]
    n_rows: int
    codes: Codes | None = None
    masks: tuple[Rows, ...] = ()
    edges: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def overlap(self) -> bool:
        """Whether rows may belong to several groups."""
        return self.codes is None

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """The rows of each group."""
        if self.codes is None:
            return np.array([np.count_nonzero(mask) for mask in self.masks], dtype=np.int64)
        inside = self.codes[self.codes >= 0]
        return np.bincount(inside, minlength=len(self.labels)).astype(np.int64)

    def rows(self, group: int) -> Rows:
        """Return which rows belong to a group."""
        return self.masks[group] if self.codes is None else np.asarray(self.codes == group)

    def name(self, group: int) -> str:
        """Return how a group is called where its attribute is known."""
        return self.labels[group].removeprefix(f"{self.attribute}=")

    def without(self, groups: Sequence[int]) -> Grouping:
        """Return the grouping of the other groups; rows of none of them have the code -1."""
        kept = [group for group in range(len(self.labels)) if group not in set(groups)]
        codes = None
        if self.codes is not None:
            renumber = np.full(len(self.labels), -1, dtype=np.intp)
            renumber[kept] = np.arange(len(kept))
            codes = renumber[self.codes] if self.codes.size else self.codes
        return Grouping(
            attribute=self.attribute,
            labels=tuple(self.labels[group] for group in kept),
            n_rows=self.n_rows,
            codes=codes,
            masks=tuple(self.masks[group] for group in kept) if self.codes is None else (),
            edges=self.edges,
        )


def groupings(
    columns: Mapping[str, npt.ArrayLike],
    n_rows: int,
    *,
    by: By | None = None,
    bins: Mapping[str, Bins] | None = None,
    separators: Mapping[str, str] | None = None,
) -> tuple[Grouping, ...]:
    """Reduce columns to the groups that are compared.

    Parameters
    ----------
    columns : mapping of str to array-like, shape (n_rows,)
        By name. A cell that is a list, tuple or set makes its row a member of several groups.
    n_rows : int
        Rows that every column must have.
    by : str or sequence of (str or sequence of str), optional
        What is compared: a name, or several names for the groups that their combinations make. Default
        every column by itself. Combinations without any row are no groups.
    bins : mapping of str to int or sequence of float, optional
        For columns of numbers: how many quantile bins (2 to 8), or the edges between bands; an edge belongs
        to the band above it.
    separators : mapping of str to str, optional
        For columns of text that hold several values in a cell, what stands between them: ``";"``.

    Raises
    ------
    InputError
        For no column or an unknown one, columns of another length, more than 100 groups, numbers with
        fractions without bins, and labels that are written alike.
    """
    if not isinstance(columns, Mapping):
        raise InputError(
            f"groups must be columns by name, got {type(columns).__name__}",
            hint='groups={"sex": column_of_the_table}',
        )
    if not columns:
        raise InputError("no attribute to compare groups by", hint='name them: by=["sex", "age_band"]')
    for option, given in (("bins", bins), ("separators", separators)):
        unknown = next((name for name in given or {} if name not in columns), None)
        if unknown is not None:
            raise InputError(
                f"{option} names the column {unknown!r}, which is not compared",
                hint=nearest(str(unknown), list(columns)),
            )
    features = {
        str(name): _feature(values, str(name), n_rows, (bins or {}).get(name), (separators or {}).get(name))
        for name, values in columns.items()
    }
    asked = list(features) if by is None else [by] if isinstance(by, str) else list(by)
    if not asked:
        raise InputError("no attribute to compare groups by", hint='name them: by=["sex", "age_band"]')
    return tuple(_joint([_known(name, features) for name in _names(item)]) for item in asked)


def _names(item: str | Sequence[str]) -> list[str]:
    if not isinstance(item, (str, Sequence)):
        raise InputError(f"by names columns, and combinations of them as tuples, got {item!r}")
    names = [item] if isinstance(item, str) else list(item)
    if not names or len(set(names)) < len(names):
        raise InputError(f"a combination names each of its columns once, got {item!r}")
    return names


def _known(name: str, features: Mapping[str, Grouping]) -> Grouping:
    if name not in features:
        raise InputError(f"there is no column {name!r}", hint=nearest(name, list(features)))
    return features[name]


def _feature(
    values: npt.ArrayLike, name: str, n_rows: int, bins: Bins | None, separator: str | None
) -> Grouping:
    several = _several(values, name, separator)
    if several is not None:
        if bins is not None:
            raise InputError("has bins, and cells with several values", where=name)
        same_length(y_pred=n_rows, **{name: len(several)})
        return _overlapping(several, name, n_rows)
    if bins is not None:
        [levels] = levels_of({name: values}, n_rows, bins={name: bins}, cut=False)
        used = np.flatnonzero(np.bincount(levels.codes, minlength=len(levels.names)))
        renumber = np.zeros(len(levels.names), dtype=np.intp)
        renumber[used] = np.arange(used.size)
        return Grouping(
            attribute=name,
            labels=tuple(f"{name}={levels.names[place]}" for place in used),
            n_rows=n_rows,
            codes=renumber[levels.codes] if n_rows else levels.codes,
            edges={name: levels.edges},
        )
    _refuse_fractions(values, name)
    column = membership(values, name)
    same_length(y_pred=n_rows, **{name: column.codes.size})
    labels = tuple(column.label(group) for group in range(len(column.names)))
    return Grouping(attribute=name, labels=labels, n_rows=n_rows, codes=column.codes)


def _refuse_fractions(values: npt.ArrayLike, name: str) -> None:
    """Refuse numbers with fractions: each would be a group of its own."""
    array = as_column(values, name=name)
    if array.dtype.kind != "f":
        return
    numbers = np.ma.filled(array, np.nan) if np.ma.isMaskedArray(array) else array
    finite = numbers[np.isfinite(numbers)]
    if (finite != np.floor(finite)).any():
        raise InputError(
            "holds numbers with fractions, which are no groups",
            where=name,
            hint=f'put them into bands: bins={{"{name}": [25, 40, 60]}}',
        )


def _several(values: npt.ArrayLike, name: str, separator: str | None) -> list[frozenset[str]] | None:
    """Return the values of each cell, where cells may hold several; None where each holds one."""
    column: Any = values
    if separator is None and getattr(getattr(column, "dtype", None), "kind", "O") != "O":
        return None  # a column of numbers or plain text holds no lists
    cells = list(column.tolist() if hasattr(column, "tolist") else column)
    if separator is not None:
        if not separator:
            raise InputError("a separator is at least one character", where=name)
        return [_parts(cell, name, separator) for cell in cells]
    if not any(issubclass(kind, _SEVERAL) for kind in set(map(type, cells))):
        return None
    return [_members(cell, name) if isinstance(cell, _SEVERAL) else _members([cell], name) for cell in cells]


def _parts(cell: object, name: str, separator: str) -> frozenset[str]:
    if _is_missing(cell):
        return frozenset({MISSING})
    if not isinstance(cell, str):
        raise InputError(f"has a separator and holds {type(cell).__name__}, not text", where=name)
    return frozenset(part.strip() for part in cell.split(separator) if part.strip()) or frozenset({MISSING})


def _members(cells: Any, name: str) -> frozenset[str]:  # noqa: ANN401 - whatever a project's cells hold
    found = set()
    for value in cells:
        if isinstance(value, _SEVERAL):
            raise InputError("holds lists of lists", where=name)
        found.add(MISSING if _is_missing(value) else group_name(value))
    return frozenset(found) or frozenset({MISSING})


def _is_missing(value: object) -> bool:
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, float) and value != value  # noqa: PLR0124 - NaN


def _overlapping(cells: Sequence[frozenset[str]], name: str, n_rows: int) -> Grouping:
    names = sorted(set().union(*cells), key=lambda value: (value == MISSING, value)) if cells else []
    if len(names) > MOST_GROUPS:
        raise InputError(
            f"{name} has {len(names):,} different values, at most {MOST_GROUPS} groups can be compared"
        )
    place = {value: group for group, value in enumerate(names)}
    member = np.zeros((n_rows, len(names)), dtype=np.bool_)
    for row, cell in enumerate(cells):
        for value in cell:
            member[row, place[value]] = True
    labels = tuple(f"{name}={value}" for value in names)
    if n_rows and (member.sum(axis=1) == 1).all():
        return Grouping(attribute=name, labels=labels, n_rows=n_rows, codes=np.argmax(member, axis=1))
    masks = tuple(member[:, group].copy() for group in range(len(names)))
    return Grouping(attribute=name, labels=labels, n_rows=n_rows, masks=masks)


def _joint(features: Sequence[Grouping]) -> Grouping:
    """Return the combinations of several features' groups that have rows."""
    joint = features[0]
    for feature in features[1:]:
        joint = _pair(joint, feature)
    return joint


def _pair(first: Grouping, second: Grouping) -> Grouping:
    labels = [f"{a}{_JOIN}{b}" for a in first.labels for b in second.labels]
    attribute = f"{first.attribute}{_JOIN}{second.attribute}"
    edges = {**first.edges, **second.edges}
    n_rows = first.n_rows
    if first.codes is not None and second.codes is not None:
        fused = first.codes * len(second.labels) + second.codes
        used = np.flatnonzero(np.bincount(fused, minlength=len(labels)))
        _check_number(used.size, attribute)
        renumber = np.zeros(max(len(labels), 1), dtype=np.intp)
        renumber[used] = np.arange(used.size)
        return Grouping(
            attribute=attribute,
            labels=tuple(labels[place] for place in used),
            n_rows=n_rows,
            codes=renumber[fused],
            edges=edges,
        )
    _check_number(len(first.labels), attribute)
    every = [
        first.rows(a) & second.rows(b) for a in range(len(first.labels)) for b in range(len(second.labels))
    ]
    kept = [place for place, mask in enumerate(every) if mask.any()]
    _check_number(len(kept), attribute)
    return Grouping(
        attribute=attribute,
        labels=tuple(labels[place] for place in kept),
        n_rows=n_rows,
        masks=tuple(every[place] for place in kept),
        edges=edges,
    )


def _check_number(groups: int, attribute: str) -> None:
    if groups > MOST_GROUPS:
        raise InputError(
            f"{attribute} makes {groups:,} groups, at most {MOST_GROUPS} can be compared",
            hint="take fewer columns, or wider bands",
        )
