"""Parts of the worker's program that need no deepchecks: what it sends is bounded, and it has no network."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pytest_prodml.checks.deepchecks import suites
from pytest_prodml.deepchecks_worker import worker
from pytest_prodml.deepchecks_worker.home import LOCK, STACK, WORKER, locked_versions


def test_it_imports_nothing_of_this_package() -> None:
    tree = ast.parse(WORKER.read_text(encoding="utf-8"))
    names = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not {name for name in names if name.startswith("pytest")}
    top = {node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))}
    first = {
        name.partition(".")[0]
        for node in top
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    assert first <= sys.stdlib_module_names, "limits are set before anything heavy is loaded"


def test_both_sides_know_the_same_checks_that_call_a_model() -> None:
    assert set(worker.NEEDS_MODEL) == suites.NEEDS_MODEL


def test_values_are_bounded_json() -> None:
    value = {
        "share": np.float64(0.25),
        ("a", 1): [np.int64(3), float("nan"), float("inf"), 2**70, True, None],
        "frame": pd.DataFrame({"a": [1, 2]}),
        "when": pd.Timestamp("2026-01-01"),
        "long": "x" * 10_000,
        "many": range(3),
        "set": {1},
    }
    found = worker.small(value)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["share"] == 0.25
    assert found["('a', 1)"] == [3, "nan", "inf", str(2**70), True, None]
    assert found["frame"] == {"a": {"0": 1, "1": 2}}
    assert len(found["long"]) == 200
    assert found["many"] == "range: range(0, 3)"


@pytest.mark.parametrize("value", [{str(n): "y" * 190 for n in range(60)}, [["z" * 190] * 50] * 50])
def test_a_value_that_is_too_large_is_named(value: Any) -> None:
    assert worker.small(value) == {"too_large": type(value).__name__}


def test_a_value_that_is_too_deep_is_named() -> None:
    deep: list[Any] = []
    for _ in range(50):
        deep = [deep]
    assert worker.small(deep) == [[[[[{"too_deep": "list"}]]]]]


def test_texts_are_on_one_line_without_what_can_not_be_seen() -> None:
    assert worker.cut("a\u202eb\n c\t\x00d") == "a b c d"
    assert worker.cut("x" * 500, 10) == "xxxxxxx..."


@pytest.mark.parametrize(
    ("event", "arguments"),
    [
        ("socket.connect", (None, ("192.0.2.1", 443))),
        ("socket.sendto", (None, ("192.0.2.1", 53))),
        ("socket.getaddrinfo", ("example.org", 443, 0, 0, 0)),
        ("socket.gethostbyname", ("example.org",)),
    ],
)
def test_the_network_is_refused(event: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(PermissionError, match="no network"):
        worker.refuse_network(event, arguments)


def test_sockets_that_are_files_stay() -> None:
    worker.refuse_network("socket.connect", (None, "/run/some.sock"))
    worker.refuse_network("open", ("file", "r", 0))


def test_a_table_is_read_by_its_arrow_types(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": pd.array([1, None], dtype="Int64"), "s": ["a", None]}, index=[7, 8])
    frame.to_parquet(tmp_path / "t.parquet")
    found = worker.read(tmp_path / "t.parquet")
    assert found["n"].dtype == "float64"
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:-20])
    with pytest.raises(worker.RefusalError, match=r"the table cut.parquet can not be read"):
        worker.read(tmp_path / "cut.parquet")


def test_every_line_of_the_lock_has_a_hash_and_names_no_place() -> None:
    text = LOCK.read_text(encoding="utf-8")
    assert "://" not in text
    assert "index-url" not in text
    assert "find-links" not in text
    pins = [line for line in text.splitlines() if line[:1].isalnum()]
    assert len(pins) > 100
    assert all("==" in pin and pin.endswith(" \\") for pin in pins)
    assert text.count("--hash=sha256:") >= len(pins)


def test_the_locked_stack_is_the_one_that_was_measured() -> None:
    assert locked_versions() == {
        "deepchecks": "0.19.1",
        "numpy": "1.26.4",
        "pandas": "2.3.3",
        "scikit-learn": "1.3.2",
        "scipy": "1.17.1",
    }
    assert set(STACK) <= set(worker.STACK)
    text = LOCK.read_text(encoding="utf-8")
    for pin in ("plotly==5.24.1 ", "setuptools==80.", "pyarrow==21."):
        assert f"\n{pin}" in text
