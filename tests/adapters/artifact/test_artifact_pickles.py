"""Pickles: every attack is found without being run, and what scikit-learn writes is clean."""

from __future__ import annotations

import importlib
import io
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from adapters.artifact.payloads import Calls, by_stack, framed, short, system, through_memo, touching
from pytest_prodml.adapters.artifact import Limits, scan
from pytest_prodml.errors import InputError

joblib: Any = importlib.import_module("joblib")
NAMES = sorted(touching(Path("marker")))


@pytest.mark.parametrize("name", NAMES)
def test_an_attack_is_unsafe_and_is_not_run(name: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    found = scan(touching(marker)[name])
    assert found.verdict == "unsafe", found
    assert found.findings
    assert not marker.exists()
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "name", ["os.system, protocol 0", "os.system, protocol 4", "through the memo", "INST", "OBJ", "eval",
             "exec of Python 2's name", "a name with dots", "truncated after the call", "a mark popped"]
)  # fmt: skip
def test_the_attacks_are_real(name: str, tmp_path: Path) -> None:
    """Loaded, they write the file: otherwise the tests above would show nothing."""
    marker = tmp_path / "marker"
    code = "import pickle, sys\ntry: pickle.loads(sys.stdin.buffer.read())\nexcept Exception: pass"
    subprocess.run([sys.executable, "-c", code], input=touching(marker)[name], check=True)
    assert marker.exists()


def test_a_finding_tells_name_and_byte() -> None:
    found = scan(b"\x80\x04" + b"N0" + by_stack("os", "system", "id")[2:])
    assert [item.what for item in found.findings] == ["import", "call"]
    assert found.findings[0].detail == "byte 25 imports os.system, which is not on the list of allowed names"
    assert found.findings[1].detail.startswith("byte 31: os.system('id') is called")
    assert found.globals == ("os.system",)


def test_names_through_the_memo_are_read_as_the_loader_reads_them() -> None:
    assert scan(through_memo("os", "system", "id")).globals == ("os.system",)
    harmless = b"\x80\x04" + short("os") + b"\x940" + short("collections") + short("OrderedDict") + b"\x93)R."
    assert scan(harmless).verdict == "safe"


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (pickle.dumps([1, 2, "three"], 3)[:-1], "ends at byte"),
        (b"\x80\x04" + short("builtins") + short("bytearray") + b"\x93)R" + short("x") + b"\x93.", "no text"),
        (pickle.dumps(list(range(300)))[:40], "ends at byte"),
        (b"\x80\x04\x95\x40\x00\x00\x00\x00\x00\x00\x00N.", "beyond the end of the pickle"),
        (pickle.dumps({"a": 1}) + b"\xff\xff", "bytes behind the pickle"),
        (pickle.dumps({"a": 1}) + b"\x00" * 64, "bytes behind the pickle"),
        (b"\x80\x09N.", "protocol 9"),
        (b"\x80\x04\x82\x01.", "extension registry"),
        (b"\x80\x04K\x01Q.", "outside of the file"),
        (b"\x80\x05\x97.", "buffer outside"),
        (b"\x80\x04h\x07.", "recalls 7"),
        (b"\x80\x04\x94.", "empty stack"),
        (b"\x80\x04e.", "mark"),
        (b"\x80\x04X\x04\x00\x00\x00\xff\xff\xff\xff.", "is not utf-8"),
        (framed(b"N.") + b"N.", None),
        (
            b"\x80\x04\x95\x40\x00\x00\x00\x00\x00\x00\x00N." + b"N" * 62 + b".",
            "beyond the end of the pickle",
        ),
    ],
)
def test_what_is_not_read_to_its_end_is_not_safe(raw: bytes, told: str | None) -> None:
    found = scan(raw)
    if told is None:
        assert found.verdict == "safe"
        return
    assert found.verdict == "unknown"
    assert told in found.parts_unread[0].why


def test_opcodes_of_every_protocol_are_followed() -> None:
    value: dict[str, Any] = {
        "text": "ä\n", "bytes": b"\x00\xff", "array": bytearray(b"x"), "numbers": (1, -1, 2**40, 2**70, 1.5, 1e400),
        "none": None, "flags": [True, False], "set": {1, 2}, "frozen": frozenset({3}), "deep": ((), (1,), (1, 2, 3, 4)),
        "complex": 1 + 2j, "slice": slice(1, 2),
    }  # fmt: skip
    value["self"] = [value["numbers"], value["numbers"]]
    for protocol in range(6):
        found = scan(pickle.dumps(value, protocol))
        assert found.verdict == "safe", (protocol, found)
    python_only = io.BytesIO()
    pickle._Pickler(python_only, 4).dump(value)
    assert scan(python_only.getvalue()).verdict == "safe"


def _data() -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.normal(size=120), "b": rng.normal(size=120), "c": rng.choice(list("xyz"), 120)}
    )
    return frame, (frame["a"] > 0).to_numpy().astype(int)


def _models() -> dict[str, Any]:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, SplineTransformer, StandardScaler

    frame, labels = _data()
    numbers = frame[["a", "b"]]
    columns = ColumnTransformer(
        [
            (
                "n",
                make_pipeline(FunctionTransformer(np.abs), StandardScaler(), SplineTransformer()),
                ["a", "b"],
            ),
            ("c", OneHotEncoder(handle_unknown="ignore"), ["c"]),
        ]
    )
    texts = ["good one", "bad one", "fine", "poor"] * 10
    return {
        "logistic": LogisticRegression().fit(numbers, labels),
        "forest": RandomForestClassifier(3, random_state=0).fit(numbers, labels),
        "boosting": HistGradientBoostingClassifier(max_iter=3).fit(numbers, labels),
        "pipeline": make_pipeline(columns, LogisticRegression()).fit(frame, labels),
        "frame output": StandardScaler().set_output(transform="pandas").fit(numbers),
        "voting": VotingClassifier([("l", LogisticRegression()), ("k", KNeighborsClassifier())]).fit(
            numbers, labels
        ),
        "calibrated": CalibratedClassifierCV(LogisticRegression(), cv=2).fit(numbers, labels),
        "search": GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=2, scoring="roc_auc").fit(
            numbers, labels
        ),
        "texts": make_pipeline(TfidfVectorizer(), MultinomialNB()).fit(texts, [1, 0, 1, 0] * 10),
    }


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _models()


def test_clean_models_are_safe_in_every_way_to_store_them(models: dict[str, Any], tmp_path: Path) -> None:
    for name, model in models.items():
        for protocol in (2, 4, 5):
            found = scan(pickle.dumps(model, protocol))
            assert found.verdict == "safe", (name, protocol, found.findings[:3], found.parts_unread[:3])
        for compress in (0, 3, ("gzip", 3), ("bz2", 3), ("xz", 1), ("lzma", 1)):
            path = tmp_path / "model.joblib"
            joblib.dump(model, path, compress=compress)
            found = scan(path)
            assert found.verdict == "safe", (name, compress, found.findings[:3], found.parts_unread[:3])
            assert "joblib.numpy_pickle.NumpyArrayWrapper" in found.globals or name == "texts"


def test_joblib_arrays_are_skipped_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    arrays = {
        "empty": np.zeros((0, 3)), "scalar": np.array(1.5), "fortran": np.asfortranarray(rng.normal(size=(7, 3))),
        "flags": rng.random(9) < 0.5, "texts": np.array(["a", "bcd"]), "bytes": np.array([b"x", b"yz"]),
        "dates": np.array(["2026-01-01"], "M8[D]"), "half": rng.normal(size=5).astype(np.float16),
        "records": np.zeros(4, [("a", "i4"), ("b", "f8", (2,))]), "objects": np.array(["a", None, {"b": 1}], object),
        "matrix of objects": np.array([[1, "x"], [None, 2.5]], object), "complex": rng.normal(size=3) + 1j,
        "big endian": np.arange(5, dtype=">i4"), "looks like opcodes": np.frombuffer(b"cos\nsystem\n(tR." * 8, np.uint8),
    }  # fmt: skip
    path = tmp_path / "arrays.joblib"
    for name, array in arrays.items():
        for compress in (0, 3):
            joblib.dump([array, "behind"], path, compress=compress)
            found = scan(path)
            assert found.verdict == "safe", (name, compress, found)
    joblib.dump(arrays, path)
    assert scan(path).verdict == "safe"


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 1), ("lzma", 1)])
def test_an_attack_in_joblib_is_found(tmp_path: Path, compress: Any) -> None:
    marker = tmp_path / "marker"
    path = tmp_path / "model.joblib"
    for payload in (
        {"weights": np.zeros(10), "then": Calls(os.system, f"touch {marker}")},
        {"weights": np.array([Calls(os.system, f"touch {marker}"), None], dtype=object)},
    ):
        joblib.dump(payload, path, compress=compress)
        found = scan(path)
        assert found.verdict == "unsafe"
        assert "posix.system" in found.globals or "os.system" in found.globals
    assert not marker.exists()


def test_an_array_of_joblib_that_hides_opcodes_is_found_by_both_readings(tmp_path: Path) -> None:
    """Without the padding of joblib 1.2 the raw bytes stand where pickle.load reads its next opcode."""
    body = np.frombuffer(b"0" + system("id")[:-1] + b"0" * 20 + b".", np.uint8)
    path = tmp_path / "model.joblib"
    joblib.dump([body], path)
    raw = path.read_bytes()
    assert scan(raw).verdict == "safe"
    start = raw.index(body.tobytes())
    padding = start - 1
    while raw[padding] == 0xFF:
        padding -= 1
    key = raw.index(b"numpy_array_alignment_bytes")
    old = raw[: key - 2] + short("xumpy_array_alignment_bytes") + raw[key + 27 : padding] + raw[start:]
    found = scan(old)
    assert found.verdict == "unsafe", found
    assert "os.system" in found.globals


def test_a_type_that_lies_about_its_objects_is_not_skipped(tmp_path: Path) -> None:
    path = tmp_path / "model.joblib"
    joblib.dump([np.arange(4.0)], path)
    raw = path.read_bytes()
    plain = b"K\x00t\x94b"
    assert raw.count(plain) == 1
    found = scan(raw.replace(plain, b"K\x01t\x94b"))
    assert found.verdict == "unknown"
    assert "flags of a type" in found.parts_unread[0].why


def test_the_old_wrapper_of_joblib_that_opens_other_files_is_unsafe() -> None:
    raw = b"\x80\x04" + short("joblib.numpy_pickle_compat") + short("NDArrayWrapper") + b"\x93)\x81}b."
    assert scan(raw).verdict == "unsafe"


def test_pandas_and_scipy_objects_are_clean() -> None:
    from scipy import sparse

    frame, _ = _data()
    frame["when"] = pd.date_range("2026-01-01", periods=len(frame))
    frame["kind"] = frame["c"].astype("category")
    values: list[Any] = [
        frame, frame["a"], frame.index, frame["kind"], pd.interval_range(0, 3), pd.period_range("2026", periods=2, freq="D"),
        pd.Series([1, None], dtype="Int64"), pd.Series([1.5], dtype="Float64"), pd.Series(["a"], dtype="string"),
        pd.MultiIndex.from_tuples([(1, 2)]), pd.Timestamp("2026"), pd.Timedelta("1D"), pd.NA, pd.NaT,
        pd.date_range("2026-01-01", periods=2, tz="UTC"), sparse.eye(3, format="csr"), sparse.csr_array(np.eye(2)),
        np.random.default_rng(0), np.random.RandomState(0), np.ma.array([1, 2], mask=[False, True]),
    ]  # fmt: skip
    for value in values:
        found = scan(pickle.dumps(value))
        assert found.verdict == "safe", (type(value), found)


def test_a_class_of_the_project_is_allowed_by_name_only() -> None:
    raw = b"\x80\x04" + short("my_package.steps") + short("Clip") + b"\x93)\x81}" + short("low") + b"K\x01sb."
    assert scan(raw).verdict == "unsafe"
    found = scan(raw, allow=["my_package.steps.Clip"])
    assert found.verdict == "safe"
    assert found.allowed == ("my_package.steps.Clip",)
    assert scan(raw, allow=["my_package.steps.Other"]).verdict == "unsafe"
    nested = b"\x80\x04" + short("my_package") + short("Outer.Inner") + b"\x93)\x81."
    assert scan(nested, allow=["my_package:Outer.Inner"]).verdict == "safe"
    assert scan(nested, allow=["my_package.Outer.Inner"]).verdict == "unsafe"


@pytest.mark.parametrize("allow", ["numpy", ["numpy"], ["numpy.*"], [3], [""], b"x"])
def test_what_is_allowed_is_a_list_of_full_names(allow: Any) -> None:
    with pytest.raises(InputError, match="allow"):
        scan(b"N.", allow=allow)


def test_limits_leave_parts_unread() -> None:
    many = pickle.dumps(list(range(5_000)))
    assert "opcodes" in scan(many, limits=Limits(opcodes=1_000)).parts_unread[0].why
    deep: Any = b"N."
    for _ in range(9):
        deep = pickle.dumps({"x": deep + b" " * 4})
    assert scan(deep).verdict == "unknown"
    assert scan(many, limits=Limits(size=10)).verdict == "unknown"


def test_deep_nesting_ends_in_an_answer() -> None:
    raw = b"\x80\x04" + b")" + b"\x85" * 200_000 + b"."
    assert scan(raw).verdict == "safe"
    called = b"\x80\x04" + short("builtins") + short("complex") + b"\x93)" + b"\x85" * 50_000 + b"R."
    assert scan(called).verdict == "unsafe"


def test_nothing_that_is_named_is_imported(tmp_path: Path) -> None:
    (tmp_path / "planted_module.py").write_text("raise SystemExit('imported')", "utf-8")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pytest_prodml.adapters.artifact import scan\n"
        "found = scan(sys.stdin.buffer.read(), allow=['planted_module.run'])\n"
        "assert 'planted_module' not in sys.modules and 'sklearn' not in sys.modules, 'imported'\n"
        "print(found.verdict)"
    )
    raw = by_stack("planted_module", "run", "x")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], input=raw, capture_output=True, check=True
    )
    assert done.stdout.strip() == b"safe"
