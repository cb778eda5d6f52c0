"""How options become values: times, dates, named models, passphrases, bounded files."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime, time
from pathlib import Path

from pytest_prodml.certificate.digest import open_regular
from pytest_prodml.certificate.signers.local import (
    PASSPHRASE_VARIABLE,
    Passphrase,
    passphrase_from_descriptor,
    passphrase_from_environment,
)
from pytest_prodml.codec import ENVELOPE_LIMITS


def add_passphrase(parser: argparse.ArgumentParser) -> None:
    """Add ``--passphrase-fd``. A passphrase is never an argument: arguments are public on most systems."""
    parser.add_argument(
        "--passphrase-fd",
        type=int,
        metavar="N",
        help=f"read the key's passphrase from file descriptor N (default: variable {PASSPHRASE_VARIABLE})",
    )


def passphrase(parsed: argparse.Namespace) -> Passphrase | None:
    """Return the passphrase from the descriptor or the environment; None if there is none."""
    if parsed.passphrase_fd is not None:
        return passphrase_from_descriptor(parsed.passphrase_fd)
    return passphrase_from_environment()


def add_roots(parser: argparse.ArgumentParser) -> None:
    """Add ``--root`` and ``--root-threshold``: what vouches for a signed trust root."""
    parser.add_argument(
        "--root", action="append", default=[], type=Path, metavar="PUB", dest="roots",
        help="root key that vouches for a signed trust root (repeat for several)",
    )  # fmt: skip
    parser.add_argument(
        "--root-threshold", type=int, metavar="N", help="how many of them must have signed (default: all)"
    )


def add_state(parser: argparse.ArgumentParser) -> None:
    """Add ``--state``."""
    parser.add_argument(
        "--state", type=Path, metavar="FILE",
        help="remember what was accepted, and refuse what is older: certificates, trust root, list",
    )  # fmt: skip


def number(text: str) -> int:
    """Read a whole number from 0 on, below 2**53."""
    if not text.isascii() or not text.isdecimal() or len(text) > 16 or int(text) >= 2**53:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def write(path: Path, data: bytes) -> None:
    """Write a file atomically.

    Raises
    ------
    ConfigurationError
        If it can not be written.
    """
    from pytest_prodml.certificate.build import write_atomically
    from pytest_prodml.errors import ConfigurationError

    make_parent(path)
    try:
        write_atomically(path, data)
    except OSError as error:
        raise ConfigurationError(f"can not be written: {error.strerror}", where=str(path)) from None


def make_parent(path: Path) -> None:
    """Make the directory of a file that is about to be written.

    Raises
    ------
    ConfigurationError
        If it can not be made.
    """
    from pytest_prodml.errors import ConfigurationError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"can not be written: {error.strerror}", where=str(path)) from None


def named_path(text: str) -> tuple[str | None, Path]:
    """Split ``[NAME=]PATH``. A path that holds ``=`` itself is written with a slash before it (``./a=b``)."""
    name, equals, path = text.partition("=")
    if not equals or "/" in name or os.sep in name:
        return None, _path(text)
    if not name or not path:
        raise argparse.ArgumentTypeError(f"expected PATH or NAME=PATH, got {text!r}")
    return name, _path(path)


def moment(text: str) -> datetime:
    """Read an RFC 3339 time with its offset."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        value = None
    if value is None or value.tzinfo is None or "T" not in text:
        raise argparse.ArgumentTypeError(f"expected a time such as 2026-11-22T09:30:00Z, got {text!r}")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise argparse.ArgumentTypeError(f"{text!r} is outside the calendar") from None


def end_of_day(text: str) -> datetime:
    """Read a date (its last second in UTC) or an RFC 3339 time."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a date has no zone
    except ValueError:
        return moment(text)
    return datetime.combine(day, time(23, 59, 59), UTC)


def read_document(path: Path) -> bytes:
    """Read a certificate file, at most one byte more than the largest that is accepted.

    Raises
    ------
    InputError
        If it can not be read.
    """
    with open_regular(path) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(ENVELOPE_LIMITS.size_bytes + 1)


def _path(text: str) -> Path:
    if "\0" in text:
        raise argparse.ArgumentTypeError("a path holds no NUL")
    return Path(text)
