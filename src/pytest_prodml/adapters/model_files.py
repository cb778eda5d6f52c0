"""A model file -> its bytes, judged before any library sees them, and the subject that they are.

The bytes that are hashed are the bytes that are judged and loaded: the file is read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pytest_prodml.adapters.artifact import Scan, Unread, scan
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import InputError, ProdmlError
from pytest_prodml.records import Subject

_T = TypeVar("_T")
_MOST_TOLD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """The bytes of a model file, and what a scan says about them."""

    path: Path
    data: bytes
    scan: Scan

    @property
    def where(self) -> str:
        """The path, for messages."""
        return str(self.path)

    @property
    def subject(self) -> Subject:
        """The artefact by name and digest."""
        return Subject(
            name=self.path.name,
            digest={"sha256": sha256_hex(self.data)},
            annotations={"size": len(self.data)},
        )


def read_model_file(path: Path, *, allow: Iterable[str] = ()) -> ModelFile:
    """Read a file once, and judge its bytes.

    Parameters
    ----------
    path : Path
        The model file.
    allow : iterable of str
        What the scan is to allow on top of its own list.

    Raises
    ------
    InputError
        If it can not be read, or `allow` is no list of names.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"can not be read: {error.strerror}", where=str(path)) from None
    return ModelFile(path=path, data=data, scan=scan(data, allow=allow))


def require_safe(file: ModelFile, *, hint: str, unread: Sequence[Unread] | None = None) -> None:
    """Refuse a file that a scan does not call safe.

    Parameters
    ----------
    file : ModelFile
        The file.
    hint : str
        What the reader can do.
    unread : sequence of Unread, optional
        The parts that count as unread; default all that the scan left.

    Raises
    ------
    InputError
        If something was found, or a part was not read; it says what.
    """
    found = [f"{_inside(item.where)}{item.detail}" for item in file.scan.findings]
    left = file.scan.parts_unread if unread is None else unread
    more = file.scan.n_unread - len(file.scan.parts_unread)
    if found:
        raise InputError(f"is not loaded, because a scan found {_listed(found)}", where=file.where, hint=hint)
    if left or more or not file.scan.parts_read:
        told = [f"{_inside(item.where)}{item.why}" for item in left]
        raise InputError(
            f"is not loaded, because a scan could not read {_listed(told) or 'it'}",
            where=file.where,
            hint=hint,
        )


def loaded_by(library: str, file: ModelFile, load: Callable[[], _T]) -> _T:
    """Return what `load` makes of a file, or say what the library says.

    Raises
    ------
    InputError
        If the library can not load it.
    """
    try:
        return load()
    except ProdmlError:
        raise
    except Exception as error:  # noqa: BLE001 - every library has errors of its own
        raise InputError(f"can not be loaded by {library}: {first_line(error)}", where=file.where) from None


def first_line(error: Exception) -> str:
    """Return the first line of what a library says, without where in its own sources it said so."""
    text = str(error).strip().partition("\n")[0]
    return text[:300] or type(error).__name__


def _inside(where: str) -> str:
    inner = where.removeprefix("<bytes>").removeprefix("!")
    return f"{inner}: " if inner else ""


def _listed(items: Sequence[str]) -> str:
    told = "; ".join(items[:_MOST_TOLD])
    return f"{told}; and {len(items) - _MOST_TOLD} more" if len(items) > _MOST_TOLD else told
