"""Whatever a data fixture returns becomes one kind of table, or an error that says what to do."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pytest_prodml.adapters.tables import Dataset, as_frame, column, load_dataset
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError, MissingDependencyError

CSV = "id,age,default\n1,30,0\n2,41,1\n3,25,0\n"


def frame(**changes: Any) -> pd.DataFrame:
    return pd.DataFrame({"id": [1, 2, 3], "age": [30, 41, 25], "default": [0, 1, 0], **changes})


def load(source: Any, **changes: Any) -> Dataset:
    return load_dataset(source, **{"name": "test", "target": "default", **changes})


@pytest.mark.parametrize(
    ("ending", "encoded"), [(".csv", CSV.encode()), (".csv.gz", gzip.compress(CSV.encode(), mtime=0))]
)
def test_a_csv_file_is_read_and_identified_by_its_bytes(tmp_path: Path, ending: str, encoded: bytes) -> None:
    path = tmp_path / f"rows{ending}"
    path.write_bytes(encoded)
    table = load(f"rows{ending}", base=tmp_path)
    assert list(table.frame.columns) == ["id", "age"]
    assert table.target is not None
    assert table.target.tolist() == [0, 1, 0]
    assert len(table) == 3
    assert table.material is not None
    assert table.material.name == f"rows{ending}"
    assert table.material.digest == {"sha256": hashlib.sha256(encoded).hexdigest()}
    assert table.material.annotations["bytes"] == len(encoded)
    canonical_json(encode(table.material))


def test_an_absolute_path_does_not_depend_on_the_base(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(CSV, encoding="utf-8")
    assert len(load(path, base=Path("elsewhere"))) == 3


def test_a_frame_is_identified_by_a_stated_method_and_every_change_shows() -> None:
    first, same = load(frame()), load(frame())
    assert first.material == same.material
    assert first.material is not None
    assert "pandas row hashes" in str(first.material.annotations["method"])
    for other in (
        frame(age=[30, 41, 26]),
        frame(default=[0, 1, 1]),
        frame()[["age", "id", "default"]],
        frame().iloc[[1, 0, 2]],
        frame().rename(columns={"age": "years"}),
        frame(age=[30.0, 41.0, 25.0]),
    ):
        changed = load(other)
        assert changed.material is not None
        assert changed.material.digest != first.material.digest


def test_a_pair_is_joined_and_its_table_can_be_put_together_again() -> None:
    table = load((frame().drop(columns="default"), frame()["default"]))
    assert table.target is not None
    assert table.target.tolist() == [0, 1, 0]
    pd.testing.assert_frame_equal(table.table(), frame())
    unnamed = load((np.ones((2, 3)), [[1], [0]]), target=None)
    assert unnamed.frame.shape == (2, 3)
    assert unnamed.target is not None
    assert unnamed.target.tolist() == [1, 0]


def test_a_dataset_passes_through_and_no_target_is_no_target() -> None:
    table = load(frame(), target=None)
    assert table.target is None
    assert load(table) is table
    assert list(table.table().columns) == ["id", "age", "default"]


def test_production_data_without_labels_can_be_accepted() -> None:
    table = load(frame().drop(columns="default"), needs_target=False)
    assert table.target is None
    assert table.target_name is None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (pd.DataFrame(), "no rows"),
        (frame().head(0), "no rows"),
        (
            frame().rename(columns={"default": "defaulted"}),
            "no label column 'default'.*\n.*did you mean 'defaulted'",
        ),
        (frame().rename(columns={"age": "id"}), "the column name 'id' stands more than once"),
        ((frame(), frame()["default"]), "holds the label column 'default' too"),
        ((frame()[["age"]], [1, 0]), "3 rows and y is of shape"),
        ((frame()[["age"]], np.zeros((3, 2))), "y is of shape"),
        ((frame()[["age"]], frame()["default"].iloc[::-1]), "different indexes"),
        ((1, 2, 3), "expected an .X, y. pair, got 3"),
        (np.zeros(3), "got an array of shape"),
        ({"a": [1]}, "expected a table, got dict"),
        (frame(age=[[1], [2], [3]]), "have no hash|has no hash"),
    ],
)
def test_what_is_no_table_is_refused_with_a_reason(source: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        load(source)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.csv", None, "does not exist"),
        ("rows.xlsx", b"PK", "the ending .xlsx is of no format"),
        ("empty.csv", b"", "is empty"),
        ("only_header.csv", b"id,default\n", "no rows"),
        ("twice.csv", b"id,id,default\n1,2,0\n", "'id' stands more than once in the header"),
        ("wide.csv", b"id,default\n9,1,0\n", "more fields than the header"),
        ("binary.csv", b"\xff\xfe\x00\x01", "is not a readable CSV file"),
        ("ragged.csv", b"id,default\n1,0\n1,2,3,4\n", "is not a readable CSV file"),
        ("cut.csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-9], "is not a whole gzip file"),
        ("plain.csv.gz", CSV.encode(), "is not a whole gzip file"),
    ],
)
def test_a_file_that_can_not_be_trusted_is_refused(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as refused:
        load(name, base=tmp_path)
    assert name in str(refused.value)


def test_a_directory_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").mkdir()
    with pytest.raises(InputError, match="not a regular file"):
        load("rows.csv", base=tmp_path)


def test_a_quoted_header_over_two_lines_is_read_as_pandas_reads_it(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('"a\nb",default\n1,0\n', encoding="utf-8")
    assert list(load("rows.csv", base=tmp_path).frame.columns) == ["a\nb"]


def test_parquet_needs_arrow_and_says_so(tmp_path: Path) -> None:
    if importlib.util.find_spec("pyarrow") is not None:
        frame().to_parquet(tmp_path / "rows.parquet")
        assert load("rows.parquet", base=tmp_path).frame["age"].tolist() == [30, 41, 25]
        (tmp_path / "rows.parquet").write_bytes(b"PAR1")
        with pytest.raises(InputError, match="is not a readable parquet file"):
            load("rows.parquet", base=tmp_path)
    else:
        (tmp_path / "rows.parquet").write_bytes(b"PAR1")
        with pytest.raises(MissingDependencyError, match="(?s)pyarrow.*pip install pyarrow"):
            load("rows.parquet", base=tmp_path)


def test_polars_and_arrow_frames_are_converted_and_lazy_ones_collected() -> None:
    polars = pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    plain = polars.DataFrame(frame().to_dict(orient="list"))
    for source in (plain, plain.lazy(), pyarrow.table(frame().to_dict(orient="list"))):
        table = load(source)
        assert table.frame["age"].tolist() == [30, 41, 25]
        assert table.target is not None
        assert table.target.tolist() == [0, 1, 0]
    with pytest.raises(InputError, match="no rows"):
        load(plain.lazy().filter(polars.col("age") > 99))


def test_a_missing_column_is_named_with_those_that_are_there() -> None:
    table = load(frame())
    assert column(table, "age").tolist() == [30, 41, 25]
    with pytest.raises(
        InputError, match="(?s)test data: there is no column 'agee'.*did you mean 'age'.*columns: id, age"
    ):
        column(table, "agee")
    wide = pd.DataFrame({f"c{index}": [1] for index in range(20)})
    with pytest.raises(InputError, match="and 8 more"):
        column(wide, "zzz")


def test_as_frame_takes_datasets_frames_and_arrays() -> None:
    assert list(as_frame(load(frame())).columns) == ["id", "age"]
    assert as_frame(np.zeros((2, 2))).shape == (2, 2)
    with pytest.raises(InputError, match="no rows"):
        as_frame(frame().head(0))
    with pytest.raises(InputError, match="no columns"):
        as_frame(pd.DataFrame(index=range(3)))
