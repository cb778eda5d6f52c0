"""How often a test set was looked at: a ledger in, the level of this run's bounds out.

A test set that judges one model after the other is used up: of ten models that lie on the floor, one passes
a gate of 95 % with a chance of up to 40 %. `[tool.prodml.looks]` states how many models may try, and every
run that certifies is judged at the level that its look may spend. Without that table nothing changes.

The ledger is a file of JSON lines to which the deciding process appends one, before the first test, when a
model looks for the first time. A run that dies has looked. The same model may be tried again: it spends
nothing new. The number of a look is its place in the file, so runs at the same time get different ones.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_prodml.codec import dumps, loads
from pytest_prodml.errors import ConfigurationError, MalformedError

if TYPE_CHECKING:
    from pytest_prodml.records import Subject

LEDGER = "prodml-looks.jsonl"
_VERSION = 1
_SPENDING = ("equal", "pocock", "obrien_fleming")


@dataclass(frozen=True, slots=True, kw_only=True)
class LookSettings:
    """`[tool.prodml.looks]`: how many models may be judged on one test set, and where that is counted.

    `spending` shares the error rate among the looks: "equal", "pocock" (a little more for the early ones) or
    "obrien_fleming" (nearly all for the last ones). Changing `planned` or `spending` after the first look
    changes what is left, which the ledger shows: every line holds both.
    """

    planned: int
    spending: str = "pocock"
    ledger: str = LEDGER


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One line: this model looked at this test set, when `planned` looks were planned."""

    version: int = _VERSION
    test_digest: str
    test_name: str
    model_digest: str
    model_name: str
    planned: int
    spending: str
    run_id: str
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Which look this run is, and the one-sided level at which it is judged."""

    number: int
    planned: int
    spending: str
    confidence_level: float
    is_new: bool

    def note(self) -> str:
        """Say it in a sentence."""
        again = "" if self.is_new else " (the same model again)"
        return (
            f"look {self.number} of {self.planned} at this test set{again}: "
            f"bounds at {self.confidence_level:.6g} ({self.spending} spending)"
        )


def look_problems(looks: LookSettings | None) -> list[str]:
    """Return what is wrong with the settings, in the form of `settings`."""
    if looks is None:
        return []
    problems = []
    if looks.planned < 1:
        problems.append(f"expected at least 1 planned look, got {looks.planned} @ $.looks.planned")
    if looks.spending not in _SPENDING:
        problems.append(f"expected one of {', '.join(_SPENDING)}, got {looks.spending!r} @ $.looks.spending")
    if not looks.ledger.strip():
        problems.append("expected a file, got an empty text @ $.looks.ledger")
    return problems


def take_look(
    looks: LookSettings,
    path: Path,
    *,
    test: Subject,
    model: Subject,
    confidence_level: float,
    run_id: str,
    started_at: datetime,
) -> Look:
    """Count this run's look, and return what it may spend.

    To be called once a run, by the process that decides, when everything else is in order and before the
    first test.

    Parameters
    ----------
    looks : LookSettings
        The plan.
    path : Path
        The ledger; it is made by the first look.
    test, model : Subject
        The test set and the model, by digest.
    confidence_level : float
        Of all looks together: the level that the run would have without a plan.
    run_id, started_at : str, datetime
        Of this run.

    Raises
    ------
    ConfigurationError
        If all planned looks are spent, or the ledger can not be read or written.
    """
    from pytest_prodml.statistics.spending import level_of_look

    entry = LedgerEntry(
        test_digest=test.digest["sha256"],
        test_name=test.name,
        model_digest=model.digest["sha256"],
        model_name=model.name,
        planned=looks.planned,
        spending=looks.spending,
        run_id=run_id,
        started_at=started_at,
    )
    models = _models(path, entry.test_digest)
    is_new = entry.model_digest not in models
    if is_new:
        # Refused before it is written, so that a refused run leaves no look behind.
        _check_left(len(models) + 1, looks, path, test)
        _append(path, entry)
        models = _models(path, entry.test_digest)
    number = models.index(entry.model_digest) + 1
    _check_left(number, looks, path, test)
    return Look(
        number=number,
        planned=looks.planned,
        spending=looks.spending,
        confidence_level=level_of_look(number, looks.planned, confidence_level, looks.spending),
        is_new=is_new,
    )


def read_ledger(path: Path) -> tuple[LedgerEntry, ...]:
    """Return the entries in the order in which they were written; none where there is no ledger yet.

    A line that was cut off by a crash is passed over: the run that wrote it never began its tests.

    Raises
    ------
    ConfigurationError
        If the file can not be read or another line is no entry.
    """
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigurationError(f"the ledger can not be read: {error.strerror}", where=str(path)) from None
    entries = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or _is_torn(line):
            continue
        try:
            entry = loads(LedgerEntry, line, where=f"{path}:{number}")
        except MalformedError as error:
            raise ConfigurationError(
                f"is no entry of a ledger of looks: {error}",
                where=f"{path}:{number}",
                hint="nobody but pytest --prodml writes this file; restore it from version control",
            ) from None
        if entry.version != _VERSION:
            raise ConfigurationError(
                f"was written by another version of pytest-prodml (format {entry.version})",
                where=f"{path}:{number}",
            )
        entries.append(entry)
    return tuple(entries)


def _is_torn(line: str) -> bool:
    return line.startswith("{") and not line.rstrip().endswith("}")


def _models(path: Path, test_digest: str) -> list[str]:
    """Return the models that looked at a test set, each once, in the order of their first look."""
    found = (entry.model_digest for entry in read_ledger(path) if entry.test_digest == test_digest)
    return list(dict.fromkeys(found))


def _check_left(number: int, looks: LookSettings, path: Path, test: Subject) -> None:
    if number > looks.planned:
        raise ConfigurationError(
            f"{test.name} has been looked at by all {looks.planned} planned models: its error rate is spent",
            where=str(path),
            hint="judge further models on fresh test data; more planned looks now would not undo those made",
        )


def _append(path: Path, entry: LedgerEntry) -> None:
    """Append one line as a whole, and have it on the disk before the tests start."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        try:
            line = (dumps(entry) + "\n").encode("utf-8")
            # A line that a crash cut off must not swallow the next one.
            os.write(descriptor, line if _ends_whole(descriptor) else b"\n" + line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigurationError(
            f"the ledger can not be written: {error.strerror}",
            where=str(path),
            hint="a look that is not counted must not happen",
        ) from None


def _ends_whole(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    if size == 0:
        return True
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1) == b"\n"
