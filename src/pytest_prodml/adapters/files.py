"""A table in a file -> a pandas frame and the digest of the bytes it was parsed from.

Files are read once: the bytes that are hashed are the bytes that are parsed.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml._lazy import require
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import InputError, MissingDependencyError
from pytest_prodml.records import Subject

if TYPE_CHECKING:
    import pandas as pd

_CSV_TYPES = {".csv": "text/csv", ".csv.gz": "application/gzip"}
_PARQUET_TYPES = {".parquet": "application/vnd.apache.parquet", ".pq": "application/vnd.apache.parquet"}


def read_file(path: Path, role: str) -> tuple[pd.DataFrame, Subject]:
    """Read a ``.csv``, ``.csv.gz`` or ``.parquet`` file once, and say what was read.

    Raises
    ------
    InputError
        If the file is missing, of no known format, or not readable.
    """
    suffix = ".csv.gz" if path.name.lower().endswith(".csv.gz") else path.suffix.lower()
    media_type = (_CSV_TYPES | _PARQUET_TYPES).get(suffix)
    if media_type is None:
        raise InputError(
            f"the ending {suffix or '(none)'} is of no format that can be read",
            where=str(path),
            hint="use .csv, .csv.gz or .parquet, or return a frame from the fixture",
        )
    if not path.exists():
        raise InputError(
            "the file does not exist", where=str(path), hint="build the data, or correct its path"
        )
    if not path.is_file():
        raise InputError("is not a regular file", where=str(path))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"can not be read: {error.strerror}", where=str(path)) from None
    frame = _read_parquet(data, path) if suffix in _PARQUET_TYPES else _read_csv(data, path, suffix)
    subject = Subject(
        name=path.name,
        digest={"sha256": sha256_hex(data)},
        media_type=media_type,
        annotations={"role": role, "bytes": len(data)},
    )
    return frame, subject


def _read_csv(data: bytes, path: Path, suffix: str) -> pd.DataFrame:
    pandas = require("pandas", extra="data")
    if suffix == ".csv.gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"is not a whole gzip file: {error}", where=str(path)) from None
    if not data.strip():
        raise InputError("the file is empty", where=str(path))
    try:
        header = next(csv.reader(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")))
        frame = pandas.read_csv(io.BytesIO(data), low_memory=False)
    except (ValueError, csv.Error) as error:
        raise InputError(f"is not a readable CSV file: {error}", where=str(path)) from None
    # pandas would rename a repeated column, and take a surplus first field for an index, without a word.
    repeated = [name for name in header if header.count(name) > 1]
    if repeated:
        raise InputError(
            f"the column name {repeated[0]!r} stands more than once in the header",
            where=str(path),
            hint="a check could read either; rename one",
        )
    if not isinstance(frame.index, pandas.RangeIndex):
        raise InputError("rows hold more fields than the header names", where=str(path))
    return frame


def _read_parquet(data: bytes, path: Path) -> pd.DataFrame:
    pandas = require("pandas", extra="data")
    require_arrow("parquet files are")
    try:
        frame = pandas.read_parquet(io.BytesIO(data), engine="pyarrow")
    except (OSError, ValueError) as error:
        told = str(error).partition("\n")[0]
        raise InputError(f"is not a readable parquet file: {told}", where=str(path)) from None
    return frame


def require_arrow(what: str) -> None:
    """Import pyarrow, or say what it is needed for: `what` "are" or "is" read through it."""
    try:
        require("pyarrow", extra="data")
    except MissingDependencyError:
        raise MissingDependencyError(
            f"{what} read through the package 'pyarrow', which is not installed", hint="pip install pyarrow"
        ) from None
