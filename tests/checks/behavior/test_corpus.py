"""The file of counterexamples: what it keeps of each kind of input, and what it does with broken files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from behavior_inputs import clients
from pytest_prodml.checks.behavior.corpus import MOST_KEPT, keep, read_known
from pytest_prodml.errors import InputError


def typed() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "whole": [3], "float": [0.1 + 0.2], "missing": [np.nan], "endless": [np.inf], "text": ["ä 'x'"],
            "flag": [True], "kind": pd.Categorical(["b"], categories=["a", "b"]),
            "maybe": pd.array([None], dtype="Int64"), "time": pd.to_datetime(["2020-02-03 04:05:06.789"]),
            "zone": pd.to_datetime(["2020-02-03 04:05:06+01:00"]).tz_convert("Europe/Berlin"),
            "span": pd.to_timedelta(["1 days 02:03:04"]), 7: np.asarray([1.5], dtype="float32"),
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "like"),
    [
        (typed(), typed()),
        (["a text\nwith lines"], ["another"]),
        (np.arange(12, dtype="float32").reshape(1, 3, 4), np.zeros((5, 3, 4), dtype="float32")),
        ([np.arange(3)], [np.zeros(9)]),
    ],
)
def test_an_input_comes_back_as_it_was(tmp_path: Path, one: Any, like: Any) -> None:
    path = tmp_path / "a" / "known.json"
    assert keep(path, "rule", [one]) == 1
    assert keep(path, "rule", [one]) == 0
    known = read_known(path, "rule", like, gate_id="behavior.g")
    (back,) = known.inputs
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(back, one)
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(back, one)
        assert back.dtype == one.dtype
    else:
        np.testing.assert_array_equal(back[0], one[0])
    assert known.material is not None
    assert read_known(path, "another rule", like, gate_id="behavior.g").inputs == ()


def test_the_oldest_leave_first_and_objects_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    for number in range(MOST_KEPT + 5):
        keep(path, "rule", [[f"text {number}"]])
    known = read_known(path, "rule", ["x"], gate_id="g")
    assert [item[0] for item in known.inputs] == [f"text {number}" for number in range(5, MOST_KEPT + 5)]
    assert keep(path, "rule", [[object()], [{"a": 1}]]) == 0
    assert keep(None, "rule", [["x"]]) == 0
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "like",
    [
        clients(3).drop(columns="age"),
        clients(3).assign(more=1),
        clients(3).assign(sex=pd.Categorical(["x", "y", "x"])),
        np.zeros((2, 5)),
        ["text"],
    ],
)
def test_an_entry_that_does_not_fit_todays_inputs_is_counted(tmp_path: Path, like: Any) -> None:
    path = tmp_path / "known.json"
    keep(path, "rule", [clients(1)])
    known = read_known(path, "rule", like, gate_id="g")
    assert (known.inputs, known.n_unfit) == ((), 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no file of counterexamples"),
        (b"\xff\xfe", "is no file of counterexamples"),
        (b"[" * 100_000, "is no file of counterexamples"),
        (b"[]", "is no file of counterexamples of version 1"),
        (b'{"version": 2, "entries": []}', "is no file of counterexamples of version 1"),
        (b'{"version": 1, "entries": [3]}', "an entry without rule and input"),
    ],
)
def test_a_broken_file_is_an_error_and_never_read_as_empty(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "known.json"
    path.write_bytes(content)
    for ask in (lambda: read_known(path, "rule", ["x"], gate_id="g"), lambda: keep(path, "rule", [["x"]])):
        with pytest.raises(InputError, match=message):
            ask()
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "entry",
    [None, 3, {}, {"cells": {}}, {"text": 3}, {"type": "O", "shape": [1], "data": ""}, {"type": "<f8", "shape": [9], "data": "AA"},
     {"type": "<f8", "shape": [-1], "data": "!!"}],
)  # fmt: skip
def test_a_strange_entry_fits_nothing(tmp_path: Path, entry: Any) -> None:
    path = tmp_path / "known.json"
    path.write_text(json.dumps({"version": 1, "entries": [{"rule": "rule", "input": entry}]}))
    for like in (clients(2), ["x"], np.zeros((2, 3)), [np.zeros(3)]):
        assert read_known(path, "rule", like, gate_id="g").n_unfit == 1


def test_a_place_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can not be (written|read)"):
        keep(tmp_path / "file" / "known.json", "rule", [["x"]])
