"""`safe_artifact` beside picklescan, modelscan and fickling on the same files: what each says, and how fast.

Run: python benchmarks/artifact_scanners.py --python OTHER/bin/python [--write PAGE]

OTHER is an environment with picklescan, modelscan and fickling (they bring many packages, so it is its own).
No file is loaded. The attacks call ``touch`` on a marker, and the marker must not be there at the end.
"""

from __future__ import annotations

import argparse
import bz2
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from page import put
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pytest_prodml.adapters.artifact import scan

OURS = {"safe": "clean", "unsafe": "**found**", "unknown": "not read"}
FICKLING = """
import sys, fickling
try:
    print("clean" if fickling.is_likely_safe(sys.argv[1]) else "unsafe")
except Exception as error:
    print("error:", type(error).__name__)
"""
VERSIONS = """
import json
from importlib.metadata import version
print(json.dumps({name: version(name) for name in ("picklescan", "modelscan", "fickling")}))
"""


class Calls:
    """Pickles as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


def short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


def clean(folder: Path) -> Iterator[tuple[str, Path]]:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 4))
    labels = rows[:, 0] > 0
    models: dict[str, Any] = {
        "logistic regression": LogisticRegression(),
        "random forest": RandomForestClassifier(50, random_state=0),
        "histogram boosting": HistGradientBoostingClassifier(max_iter=20),
        "pipeline with columns": make_pipeline(
            ColumnTransformer([("n", StandardScaler(), [0, 1, 2, 3])]), LogisticRegression()
        ),
    }
    for name, model in models.items():
        model.fit(rows, labels)
        path = folder / f"{name.replace(' ', '_')}.pkl"
        path.write_bytes(pickle.dumps(model))
        yield f"{name}, pickle", path
        for compress in (0, 3):
            path = folder / f"{name.replace(' ', '_')}_{compress}.joblib"
            joblib.dump(model, path, compress=compress)
            yield f"{name}, joblib{', compressed' if compress else ''}", path


def large(folder: Path) -> Iterator[tuple[str, Path]]:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20_000, 10))
    model = RandomForestClassifier(100, random_state=0).fit(rows, rows[:, 0] + rng.normal(size=20_000) > 0)
    for title, compress in (("joblib", 0), ("compressed joblib", 3)):
        joblib.dump(model, folder / "large.joblib", compress=compress)
        yield title, folder / "large.joblib"
    (folder / "large.pkl").write_bytes(pickle.dumps(model))
    yield "pickle", folder / "large.pkl"


def attacks(folder: Path, marker: Path) -> Iterator[tuple[str, Path]]:
    touch, code = f"touch {marker}", f"open({str(marker)!r}, 'w')"
    evil = pickle.dumps(Calls(os.system, touch))
    path_class = b"\x80\x04" + short("pathlib") + short("Path")
    memo = (
        b"\x80\x04(" + short("system") + b"\x94" + short("os") + b"\x940" + b"0" + b"1" + b"h\x01h\x00\x93"
        + b"X" + len(touch).to_bytes(4, "little") + touch.encode() + b"\x85R."
    )  # fmt: skip
    files: dict[str, tuple[str, bytes]] = {
        "`os.system`": ("a.pkl", evil),
        "`runpy.run_path`": ("b.pkl", pickle.dumps(Calls(__import__("runpy").run_path, str(marker)))),
        "`importlib.import_module`": (
            "c.pkl", pickle.dumps(Calls(__import__("importlib").import_module, "marker_module"))
        ),
        "`pathlib.Path.touch`": (
            "d.pkl",
            b"\x80\x04" + short("pathlib") + short("Path.touch") + b"\x93" + path_class[2:] + b"\x93"
            + short(str(marker)[:200]) + b"\x85R\x85R.",
        ),
        "name through the memo": ("e.pkl", memo),
        "`numpy.load` of another file": (
            "f.pkl",
            b"\x80\x04" + short("numpy") + short("load") + b"\x93" + short(str(marker)[:200]) + b"\x85R.",
        ),
        "class itself patched by BUILD": (
            "g.pkl",
            b"\x80\x04" + short("sklearn.dummy") + short("DummyClassifier") + b"\x93N}" + short("predict")
            + short("numpy") + short("exp") + b"\x93s\x86b.",
        ),
        "cut off after the call": ("h.pkl", pickle.dumps(Calls(os.system, touch), 3)[:-1]),
        "second pickle behind a clean one": ("i.pkl", pickle.dumps({"w": 1.0}) + evil),
        "pickle in a byte string": ("j.pkl", pickle.dumps({"inner": pickle.dumps(Calls(eval, code))})),
        "bz2 of `os.system`": ("k.pkl", bz2.compress(evil)),
    }  # fmt: skip
    for name, (file, raw) in files.items():
        (folder / file).write_bytes(raw)
        yield name, folder / file
    path = folder / "l.joblib"
    joblib.dump({"w": np.zeros(9), "then": Calls(os.system, touch)}, path)
    yield "joblib with arrays and `os.system`", path
    path = folder / "m.joblib"
    joblib.dump({"w": np.zeros(9), "then": Calls(os.system, touch)}, path, compress=3)
    yield "compressed joblib with `os.system`", path
    path = folder / "n.joblib"
    joblib.dump(np.array([Calls(os.system, touch), None], dtype=object), path)
    yield "`os.system` in joblib's array of objects", path
    path = folder / "o.npy"
    np.save(path, np.array([Calls(os.system, touch)], dtype=object), allow_pickle=True)
    yield "`os.system` in a `.npy` file", path
    path = folder / "p.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("m/data.pkl", pickle.dumps({"w": 1.0}))
            archive.writestr("m/data.pkl", evil)
    yield "zip with two `data.pkl`", path
    raw = bytearray()
    path = folder / "q.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", evil)
    raw += path.read_bytes()
    for at, offset in ((raw.index(b"PK\x03\x04"), 14), (raw.index(b"PK\x01\x02"), 16)):
        raw[at + offset] ^= 0xFF
    path.write_bytes(bytes(raw))
    yield "zip with a wrong check sum", path


def picklescan(python: Path, path: Path) -> str:
    done = _run(python.parent / "picklescan", "-p", str(path))
    if "Infected files: 0" not in done.stdout and "Infected files:" in done.stdout:
        return "found"
    return f"clean, exit {done.returncode}" if done.returncode else "clean"


def modelscan(python: Path, path: Path) -> str:
    done = _run(python.parent / "modelscan", "-p", str(path))
    if done.returncode == 1:
        return "found"
    return f'"No issues", exit {done.returncode}' if "No issues" in done.stdout and done.returncode else (
        "clean" if not done.returncode else f"exit {done.returncode}"
    )  # fmt: skip


def fickling(python: Path, path: Path) -> str:
    return _run(python, "-c", FICKLING, str(path)).stdout.strip().splitlines()[-1]


def _run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def table(python: Path) -> Iterator[str]:
    versions = json.loads(_run(python, "-c", VERSIONS).stdout)
    head = " | ".join(f"{name} {version}" for name, version in versions.items())
    yield f"| file | {head} | `safe_artifact` |\n|---|---|---|---|---|"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        marker = folder / "marker"
        for kind, files in (("clean", clean(folder)), ("attack", attacks(folder, marker))):
            for title, path in files:
                said = [scanner(python, path) for scanner in (picklescan, modelscan, fickling)]
                yield f"| {kind}: {title} | {' | '.join(said)} | {OURS[scan(path).verdict]} |"
        if marker.exists():
            sys.exit("an attack was run")
        yield "\n| 100 trees on 20,000 rows, as | size | time of `scan` |\n|---|---|---|"
        for title, path in large(folder):
            start = time.perf_counter()
            scan(path)
            took = time.perf_counter() - start
            yield f"| {title} | {path.stat().st_size / 1e6:.2f} MB | {took * 1e3:.0f} ms |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    lines = []
    for line in table(given.python):
        print(line, flush=True)
        lines.append(line)
    if given.write:
        put(given.write, "artifact-scanners", "\n".join(lines))


if __name__ == "__main__":
    main()
