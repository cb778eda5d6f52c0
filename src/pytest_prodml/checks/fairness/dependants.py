"""What follows from an attribute -> rows in which it moves with it, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.tables import column
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    #: How one column follows from the attribute: the swapped rows and the value that was put in -> its cells.
    Follows: TypeAlias = Callable[[pd.DataFrame, Any], npt.ArrayLike]
    #: How several columns follow: the columns it may change, and rows, value -> rows.
    Rewrites: TypeAlias = tuple[Sequence[str], Callable[[pd.DataFrame, Any], pd.DataFrame]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependants:
    """The columns that move with the attribute, and how."""

    attribute: str
    names: tuple[str, ...]
    cells: Mapping[str, Follows] = field(default_factory=dict)
    rewrite: Callable[[pd.DataFrame, Any], pd.DataFrame] | None = None

    @classmethod
    def of(
        cls, declared: Mapping[str, Follows] | Rewrites | None, frame: pd.DataFrame, attribute: str
    ) -> Dependants:
        """Check what a user declares."""
        cells: Mapping[str, Follows] = {}
        rewrite: Any = None
        if isinstance(declared, Mapping):
            names, cells, functions = tuple(declared), declared, list(declared.values())
        elif isinstance(declared, tuple) and len(declared) == 2 and not isinstance(declared[0], str):
            names, rewrite = tuple(declared[0]), declared[1]
            functions = [rewrite]
        elif declared is None:
            return cls(attribute=attribute, names=())
        else:
            raise InputError(
                f"dependants is {type(declared).__name__}: it must say which columns it changes",
                where=attribute,
                hint='dependants={"title": function}, or dependants=(["title", "pronoun"], function)',
            )
        for name in names:
            column(frame, name)
            if name == attribute:
                raise InputError("the attribute is not its own dependant", where=attribute)
        if not all(callable(function) for function in functions):
            raise InputError("a dependant needs a function of (rows, value)", where=attribute)
        return cls(attribute=attribute, names=names, cells=cells, rewrite=rewrite)

    def moved(self, swapped: pd.DataFrame, value: object) -> pd.DataFrame:
        """Return the swapped rows with what follows from the value."""
        import pandas as pd

        if self.rewrite is not None:
            # A copy: a function that writes into its argument must not change what it is compared with.
            made = self._called(self.rewrite, swapped, value, "its function")
            if not isinstance(made, pd.DataFrame) or not made.index.equals(swapped.index):
                raise InputError(
                    "the function of dependants must return the same rows in the same order",
                    where=self.attribute,
                )
            if list(made.columns) != list(swapped.columns):
                raise InputError(
                    "the function of dependants must return the same columns", where=self.attribute
                )
            for name in swapped.columns:
                if name not in self.names and not made[name].equals(swapped[name]):
                    raise InputError(
                        f"the function of dependants changes {str(name)!r}, which is not declared",
                        where=self.attribute,
                        hint=f"declared: {', '.join(map(str, self.names)) or 'none'}",
                    )
            found = {name: made[name] for name in self.names}
        else:
            found = {}
            for name, function in self.cells.items():
                raw = self._called(function, swapped, value, repr(name))
                found[name] = pd.Series(self._cells(raw, len(swapped), name), index=swapped.index, name=name)
        return swapped.assign(**{name: self._typed(cells, swapped[name]) for name, cells in found.items()})

    def _called(self, function: Callable[..., Any], rows: pd.DataFrame, value: object, what: str) -> Any:  # noqa: ANN401
        try:
            return function(rows.copy(), value)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"the dependant {what} fails for {value!r}: {type(error).__name__}: {error}",
                where=self.attribute,
            ) from error

    def _cells(self, raw: Any, n: int, name: str) -> Any:  # noqa: ANN401 - what a user's function returns
        if isinstance(raw, (str, bytes)) or np.ndim(raw) == 0:
            return [raw] * n
        if np.shape(raw) != (n,):
            raise InputError(
                f"the dependant {name!r} has cells of shape {np.shape(raw)} for {n:,} rows",
                where=self.attribute,
            )
        return raw.to_numpy() if hasattr(raw, "to_numpy") else raw

    def _typed(self, cells: pd.Series, like: pd.Series) -> pd.Series:
        try:
            made = cells.astype(like.dtype)
        except (TypeError, ValueError):
            made = None
        if made is None or not (made.isna() == cells.isna()).all():
            raise InputError(
                f"what follows in {str(like.name)!r} does not fit the column's type {like.dtype}",
                where=self.attribute,
            )
        return made
