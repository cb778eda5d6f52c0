"""Pipelines of a small project, healthy and with planted faults. Each takes `stages` or `directory`."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any

ROWS = 2_000


def _read(directory: Path) -> list[float]:
    raw = directory / "raw.json"
    if not raw.exists():
        raw.write_text(json.dumps([0.5 * row for row in range(ROWS)]))
    rows: list[float] = json.loads(raw.read_text())
    return rows


def change(directory: Path) -> None:
    """New rows arrive."""
    (directory / "raw.json").write_text(json.dumps([0.25 * row for row in range(ROWS)]))


def _clean(directory: Path) -> None:
    (directory / "clean.json").write_text(json.dumps([row + 1 for row in _read(directory)]))


def _train(directory: Path) -> bytes:
    rows = json.loads((directory / "clean.json").read_text())
    return json.dumps({"weights": rows}).encode()


def atomic(stages: Any) -> None:
    """Write beside, then rename."""
    with stages("clean") as directory:
        _clean(directory)
    with stages("publish") as directory:
        other = directory / "model.new"
        other.write_bytes(_train(directory))
        other.replace(directory / "model.json")


def in_place(stages: Any) -> None:
    """Write over what serves, piece by piece."""
    with stages("clean") as directory:
        _clean(directory)
    with stages("publish") as directory:
        data = _train(directory)
        with (directory / "model.json").open("wb") as file:
            for start in range(0, len(data), 1_000):
                file.write(data[start : start + 1_000])
                file.flush()


def removes_first(stages: Any) -> None:
    """Take the old one away before the new one is there."""
    with stages("clean") as directory:
        _clean(directory)
        (directory / "model.json").unlink(missing_ok=True)
    with stages("publish") as directory:
        other = directory / "model.new"
        other.write_bytes(_train(directory))
        other.replace(directory / "model.json")


def swallows(stages: Any) -> None:
    """Go on as if nothing had happened."""
    try:
        atomic(stages)
    except Exception:  # noqa: BLE001 - the planted fault
        return


def remembers(stages: Any) -> None:
    """Refuse to start where an earlier run has not tidied up."""
    lock = stages.directory / "lock"
    if lock.exists():
        raise SystemExit("another run is going on")
    lock.write_text("")
    atomic(stages)
    lock.unlink()


def appends(directory: Path) -> None:
    """Add its rows to those that are there."""
    with (directory / "rows.csv").open("a") as file:
        file.write("1,2\n")


def overwrites(directory: Path) -> None:
    (directory / "rows.csv").write_text("1,2\n")


def logs(directory: Path) -> None:
    overwrites(directory)
    (directory / "run.log").write_text(str(time.time_ns()))


def unseeded(directory: Path) -> None:
    (directory / "model.json").write_text(json.dumps({"weights": [random.random()]}))  # noqa: S311


def hash_ordered(directory: Path) -> None:
    """Write a set in the order of its hashes."""
    (directory / "columns.json").write_text(json.dumps(list({f"column {number}" for number in range(20)})))


def threads(directory: Path) -> None:
    """Depend on the number of threads, as sums of floats do."""
    (directory / "model.json").write_text(json.dumps({"weights": [float(os.environ["OMP_NUM_THREADS"])]}))


def seeded(directory: Path) -> None:
    generator = random.Random(7)  # noqa: S311 - the same numbers are wanted
    (directory / "model.json").write_text(json.dumps({"weights": [generator.random()]}))


def nothing(directory: Path) -> None:
    assert directory


def fails(directory: Path) -> None:
    raise ValueError(f"no rows in {directory.name[:1]}")


def takes_nothing() -> None:
    pass
