"""The cases that take seconds: a fresh process, memory that stays behind, a model stored and loaded."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pytest_prodml.adapters import as_predictor, bind
from pytest_prodml.checks.behavior.execution import robust_execution
from pytest_prodml.checks.behavior.execution_memory import growth, resident
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence

ROWS = np.random.default_rng(0).random((60, 3))


def mean(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asarray(np.clip(rows.astype(float).mean(axis=1), 0, 1))


def check(model: Any, only: str, **options: Any) -> dict[str, Any]:
    evidence: Evidence = robust_execution(as_predictor(model), ROWS, gate_id="g", only=[only], **options)
    rows: Any = evidence.details["cases"]
    [row] = rows
    return dict(row)


FACTORIES = """
import os, random, signal, sys, time
import numpy as np

def mean(rows):
    return np.clip(rows.astype(float).mean(axis=1), 0, 1)

def same():
    return mean

def by_hash():
    return lambda rows: mean(rows) * (0.5 + hash("feature") % 997 / 2000)

def by_set():
    weights = np.arange(1, 9) / 36
    names = {f"name {number}" for number in range(8)}
    order = [sorted(names).index(name) for name in names]
    return lambda rows: mean(rows) * float(weights[order] @ np.arange(8)) / 8

def by_threads():
    return lambda rows: mean(rows) * (0.9 if os.environ["OMP_NUM_THREADS"] == "1" else 0.8)

def dies():
    def model(rows):
        os.kill(os.getpid(), signal.SIGSEGV)
    return model

def leaves():
    os._exit(7)

def hangs():
    time.sleep(60)

def breaks():
    raise RuntimeError("no weights")

class Maker:
    @staticmethod
    def make():
        return mean
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "prodml_factories.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    import importlib

    sys.modules.pop("prodml_factories", None)
    yield importlib.import_module("prodml_factories")
    sys.modules.pop("prodml_factories", None)


@pytest.mark.parametrize("name", ["same", "Maker.make"])
def test_a_fresh_process_gives_the_same_answers(factories: Any, name: str) -> None:
    row = check(factories.mean, "process", process=f"prodml_factories:{name}")
    assert (row["outcome"], row["largest_difference"]) == ("passed", 0.0)


FAULTS = {
    "by_hash": "60 of 60 rows get another answer",
    "by_set": "rows get another answer, scores by up to",
    "by_threads": "60 of 60 rows get another answer",
    "dies": "was killed by SIGSEGV",
    "leaves": "ended with status 7",
    "hangs": "did not answer within 2 s",
    "breaks": "can not load the model: RuntimeError: no weights",
    "absent": "can not load the model: AttributeError",
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_goes_wrong_in_a_fresh_process_is_a_failure_with_its_reason(
    factories: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    safe = {"by_hash", "by_set", "by_threads"}
    model = getattr(factories, name)() if name in safe else factories.mean
    seconds = 2.0 if name == "hangs" else 60.0
    row = check(model, "process", process=f"prodml_factories:{name}", process_seconds=seconds)
    assert row["outcome"] == "failed", row
    assert FAULTS[name] in row["told"]


def test_the_model_in_memory_is_carried_over_when_asked_to(factories: Any) -> None:
    assert check(factories.mean, "process", process="pickle")["outcome"] == "passed"
    row = check(lambda rows: mean(rows) * 1.0, "process", process="pickle")
    assert row["outcome"] == "not tried"
    assert "can not be pickled" in row["told"]


def test_a_file_that_would_run_code_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"anything")
    row = check(bind(mean, path), "process", path=path)
    assert row["outcome"] == "not tried"
    assert "without running what it holds" in row["told"]
    (tmp_path / "other.pkl").write_bytes(b"else")
    with pytest.raises(InputError, match="another file than the model"):
        check(bind(mean, path), "process", path=tmp_path / "other.pkl")
    with pytest.raises(InputError, match="can not be read"):
        check(mean, "process", path=tmp_path / "absent.onnx")


# Memory


class Keeps:
    """Keeps a copy of its last inputs, all of them or a few."""

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.kept: OrderedDict[int, Any] = OrderedDict()

    def __call__(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        self.kept[len(self.kept) + id(rows)] = rows.copy()
        while self.most is not None and len(self.kept) > self.most:
            self.kept.popitem(last=False)
        return mean(rows)


def test_52_memory_that_grows_with_every_call_is_caught_and_a_cache_is_not() -> None:
    row = check(Keeps(None), "memory")
    assert row["outcome"] == "failed"
    assert "Python objects stay behind" in row["told"]
    assert check(Keeps(20), "memory")["outcome"] == "passed"
    healthy = check(mean, "memory")
    assert healthy["outcome"] == "passed"
    assert healthy["tried"] >= 45
    assert "resident memory" in healthy["told"] or not sys.platform.startswith("linux")


@pytest.mark.skipif(resident() is None, reason="the system does not tell the resident memory")
def test_memory_of_a_native_library_is_seen_too() -> None:
    allocate = ctypes.CDLL(None).malloc
    allocate.restype, allocate.argtypes = ctypes.c_void_p, [ctypes.c_size_t]

    def leaks(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        ctypes.memset(allocate(20_000), 1, 20_000)
        return mean(rows)

    # What a long process has freed, in the middle of its heap: a leak must not hide there.
    release = ctypes.CDLL(None).free
    release.argtypes = [ctypes.c_void_p]
    blocks = [allocate(20_000) for _ in range(10_000)]
    for block in blocks:
        ctypes.memset(block, 1, 20_000)
    for block in blocks[:-1]:
        release(block)
    row = check(leaks, "memory")
    release(blocks[-1])
    assert row["outcome"] == "failed"
    assert "of the process stay behind" in row["told"]


def test_growth_is_what_grows_all_the_time() -> None:
    points = np.arange(16.0)
    assert growth(list(100 + 3 * points)) == pytest.approx(3)
    assert growth([5.0] * 16) == 0
    # A step, a cache that fills, and noise are no growth.
    assert growth(list(np.where(points > 7, 1000.0, 0.0))) == 0
    assert growth(list(np.minimum(points, 6) * 50)) == 0
    noise = np.random.default_rng(0).normal(size=(2000, 16)).cumsum(axis=1)
    assert np.mean([growth(list(row)) > 1 for row in noise]) < 0.01


# Stored and loaded


class Callables:
    def __init__(self, content: Any) -> None:
        self.content = content

    def __call__(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return mean(rows)


class Forgets(Callables):
    def __getstate__(self) -> dict[str, Any]:
        return {"content": 0.5}

    def __call__(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(mean(rows) * self.content)


def test_a_model_that_is_another_after_a_round_trip_is_caught() -> None:
    assert check(Callables(1), "round_trip")["outcome"] == "passed"
    row = check(Forgets(1.0), "round_trip")
    assert row["outcome"] == "failed"
    assert "60 of 60 rows" in row["told"]
    locked = check(Callables(threading.Lock()), "round_trip")
    assert "can not be stored and loaded: TypeError" in locked["told"]


def test_a_function_is_code_and_needs_no_storing() -> None:
    with pytest.raises(InputError, match="none of the cases applies"):
        check(mean, "round_trip")
