"""Publish a model file: put it beside the one that serves, then point at it, each in one step or not at all.

python publish.py live model/credit.onnx
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
POINTER = "current"


def current(live: Path) -> Path:
    """Return the file that serves."""
    return live / (live / POINTER).read_text().strip()


def put(live: Path, model: Path) -> Path:
    """Copy a model beside the one that serves, under the name of its digest."""
    live.mkdir(parents=True, exist_ok=True)
    path = live / f"{hashlib.sha256(model.read_bytes()).hexdigest()}.onnx"
    _at_once(path, model.read_bytes())
    return path


def point(live: Path, model: Path) -> None:
    """Let a model serve that lies there."""
    _at_once(live / POINTER, f"{model.name}\n".encode())


def _at_once(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever reads half of it."""
    other = path.with_name(f".{path.name}.new")
    with other.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    other.replace(path)


def pipeline(stages: Any) -> None:  # noqa: ANN401 - pytest_prodml's Stages
    """Publish the model of this project into the directory of a run: what the gates break on purpose."""
    with stages("take") as directory:
        shutil.copy(ROOT / "model" / "credit.onnx", directory / "candidate.onnx")
    with stages("put") as directory:
        path = put(directory / "live", directory / "candidate.onnx")
    with stages("point") as directory:
        point(directory / "live", path)


if __name__ == "__main__":
    point(Path(sys.argv[1]), put(Path(sys.argv[1]), Path(sys.argv[2])))
