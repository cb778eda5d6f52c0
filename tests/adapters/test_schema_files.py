"""A schema file says what it says: nothing in it is left out, run or guessed, and a draft is no gate."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pytest

from pytest_prodml.adapters.schema_files import read_schema
from pytest_prodml.checks.data import conforms_to, draft_schema
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import InputError, MissingDependencyError

yaml = pytest.importorskip("yaml")

SCHEMA = pa.DataFrameSchema(
    {
        "age": pa.Column("int64", [pa.Check.in_range(18, 100), pa.Check.ne(50)]),
        "sex": pa.Column("str", pa.Check.isin(["f", "m"]), nullable=True),
        "since": pa.Column("datetime64[ns]", pa.Check.ge(pd.Timestamp(2020, 1, 1))),
    },
    strict=True,
)
ROWS = pd.DataFrame(
    {
        "age": [3, 30, 50],
        "sex": ["f", "x", None],
        "since": pd.to_datetime(["2021-01-01", "2019-01-01", "2020-01-01"]).astype("datetime64[us]"),
    }
)
EXPECTED = {
    "age: in_range(18, 100)": 1,
    "age: not_equal_to(50)": 1,
    "sex: isin(['f', 'm'])": 1,
    None: 4,
}


def written(directory: Path, text: str, name: str = "schema.yaml") -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def counts(evidence: Any) -> dict[str | None, float | None]:
    return {measured.group: measured.value for measured in evidence.measurements}


@pytest.mark.parametrize("name", ["schema.yaml", "schema.yml", "schema.json"])
def test_what_pandera_writes_is_read_and_counted_on_every_engine(name: str, tmp_path: Path) -> None:
    text = SCHEMA.to_json() if name.endswith("json") else SCHEMA.to_yaml()
    path = written(tmp_path, str(text), name)
    ROWS.to_parquet(tmp_path / "rows.parquet")
    for source in (ROWS, tmp_path / "rows.parquet"):
        evidence = conforms_to(path, source, gate_id="g")
        found = counts(evidence)
        assert found.pop("since: greater_than_or_equal_to(2020-01-01 00:00:00)") == 1
        assert found == EXPECTED
        assert evidence.materials[-1].digest == {"sha256": sha256_hex(path.read_bytes())}
        assert evidence.materials[-1].annotations["role"] == "schema"


def test_types_of_a_file_are_kinds(tmp_path: Path) -> None:
    # A schema in Python asks a pandas frame for the very type; a file is for tables that lie anywhere.
    schema = pa.DataFrameSchema({"since": pa.Column("datetime64[ns, UTC]")})
    rows = pd.DataFrame({"since": pd.date_range("2020", periods=3, tz="Europe/Berlin")})
    assert counts(conforms_to(schema, rows, gate_id="g"))[None] == 3
    assert counts(conforms_to(written(tmp_path, str(schema.to_yaml())), rows, gate_id="g")) == {None: 0}


COLUMN = "columns:\n  a:\n    dtype: int64\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no mapping"),
        ("- a", "no mapping"),
        ("columns:\n", "names no column"),
        ("columns: {}\n", "names no column"),
        ("column:\n  a: {dtype: int64}\n", "(?s)key 'column' is not known.*did you mean 'columns'"),
        (COLUMN + "    in_rnage: {min_value: 0, max_value: 1}\n", "did you mean 'in_range'"),
        (COLUMN + "    nullable: 'false'\n", "nullable is 'false', not true or false"),
        (COLUMN + "    nullable: 0\n", "nullable is 0, not true or false"),
        (COLUMN + "strict: filter\n", "strict is 'filter'"),
        (COLUMN + "    ge: 1\n    ge: 0\n", "'ge' stands twice"),
        (COLUMN + "    dtype: [int64]\n", "'dtype' stands twice"),
        ("columns:\n  a: {dtype: 5}\n", "dtype is 5, not a text"),
        ("columns:\n  a: {dtype: int65}\n", "column 'a'.*no schema that pandera understands"),
        ("columns:\n  a: {in_range: {min_value: 3}}\n", "column 'a'.*no schema that pandera understands"),
        ("columns:\n  a: {in_range: {min_value: 3, max_value: 1}}\n", "no schema that pandera understands"),
        ("columns:\n  no: {dtype: int64}\n", '(?s)key no is no text.*put it in quotes: "no"'),
        ("columns:\n  1: {dtype: int64}\n", "key 1 is no text"),
        ("columns:\n  a: &x {dtype: int64}\n  b: *x\n", "uses an alias"),
        ("columns:\n  a:\n    <<: {nullable: true}\n", "is no text"),
        (COLUMN + "    checks:\n    - options: {check_name: mine}\n", "check 'mine' is not known"),
        (COLUMN + "    checks:\n    - options: {check_name: __init__}\n", "is not known"),
        (COLUMN + "    checks:\n    - {value: 1, options: {check_name: ge, _check_fn: 1}}\n", "_check_fn"),
        (COLUMN + "    ge: {min_value: 1, ignore_na: 1}\n", "ignore_na is 1"),
        (COLUMN + "    ge: 1\n    checks: []\n", "names 'ge' beside 'checks'"),
        (COLUMN + "checks:\n  mine: 1\n", "checks of the whole table"),
        (COLUMN + "unique: [b]\n", "'unique' names something that is no column"),
        (COLUMN + "api: polars\n", "api is 'polars'"),
        (COLUMN + "metadata: {reviewed: maybe}\n", "reviewed is 'maybe'"),
        (COLUMN + "metadata: [1]\n", "'metadata' is no mapping"),
        ("columns: {a: [}\n", "is no YAML"),
        ("a: !!python/object/apply:os.system ['touch HACKED']\n", "is no YAML of plain data"),
        ("columns: " + "[" * 5_000 + "]" * 5_000, "is nested too deeply|is no YAML"),
    ],
)
def test_a_file_that_says_something_else_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        conforms_to(written(tmp_path, text), pd.DataFrame({"a": [1]}), gate_id="g")
    assert not Path("HACKED").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"columns": {"a": {}}, "columns": {}}', "'columns' stands twice"),
        ('{"columns": {"a": {"ge": NaN}}}', "holds NaN"),
        ('{"columns"', "is no JSON"),
        ("[" * 100_000, "is nested too deeply|is no JSON"),
    ],
)
def test_json_is_as_strict(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_schema(written(tmp_path, text, "schema.json"))


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_schema(tmp_path / "schema.yaml")
    with pytest.raises(InputError, match=r"ending \.toml is of no schema file"):
        read_schema(written(tmp_path, "", "schema.toml"))
    (tmp_path / "latin.yaml").write_bytes(b"columns: {\xe9: {}}")
    with pytest.raises(InputError, match="is not UTF-8"):
        read_schema(tmp_path / "latin.yaml")


def test_without_pyyaml_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, COLUMN)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingDependencyError, match="pyyaml"):
        read_schema(path)
    document = json.dumps({"columns": {"a": {"dtype": "int64"}}})
    assert list(read_schema(written(tmp_path, document, "schema.json"))[0].columns) == ["a"]


# Drafts

HOSTILE = 'we"ird\x7f\n\U0001f600: {'
REFERENCE = pd.DataFrame(
    {
        "id": range(400),
        "tiny": [place * 1e-12 for place in range(400)],
        "debt": [-5.0, 5e20] * 200,
        "maybe": pd.array([1, None] * 200, dtype="Int8"),
        "answer": ["yes", "no"] * 200,
        "kind": pd.Categorical(["u", "v"] * 200),
        "when": pd.date_range("2020", periods=400, tz="Europe/Berlin"),
        "endless": [1.0, float("inf")] * 200,
        "name": [f"n{place}" for place in range(400)],
        HOSTILE: [True, False] * 200,
        "y": [0, 1] * 200,
    }
)


def test_a_draft_is_no_gate_until_somebody_reviewed_it(tmp_path: Path) -> None:
    text = draft_schema(REFERENCE)
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=r"(?s)draft that nobody has reviewed.*reviewed: true"):
        conforms_to(path, REFERENCE, gate_id="g")
    written(tmp_path, text.replace("reviewed: false", "reviewed: true"))
    REFERENCE.to_parquet(tmp_path / "rows.parquet")
    for source in (REFERENCE, tmp_path / "rows.parquet"):
        evidence = conforms_to(path, source, gate_id="g")
        assert counts(evidence) == {None: 0}
        facts: Any = evidence.details["engine"]
        assert facts["scans"] == 1
        assert "evaluated_by_pandera" not in facts


def test_a_draft_says_what_was_there() -> None:
    found = yaml.safe_load(draft_schema(REFERENCE))
    columns = found["columns"]
    assert list(columns) == list(REFERENCE.columns)
    assert columns["id"] == {
        "dtype": "int64",
        "nullable": False,
        "in_range": {"min_value": 0, "max_value": 439},
    }
    assert columns["tiny"]["in_range"]["max_value"] == pytest.approx(399e-12 * 1.1)
    assert columns["debt"]["in_range"]["min_value"] == pytest.approx(-5e19)
    assert (columns["maybe"]["dtype"], columns["maybe"]["nullable"]) == ("int8", True)
    assert (columns["answer"]["dtype"], columns["answer"]["isin"]) == ("str", ["no", "yes"])
    assert columns["kind"]["isin"] == ["u", "v"]
    assert "in_range" not in columns["endless"]
    assert "isin" not in columns["name"]
    assert (found["strict"], found["metadata"]) == (True, {"reviewed": False})


def test_a_draft_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="no rows"):
        draft_schema(REFERENCE.head(0))
    with pytest.raises(InputError, match="expected"):
        draft_schema(5)


def test_a_changed_table_does_not_fit_the_draft_of_the_old_one(tmp_path: Path) -> None:
    path = written(tmp_path, draft_schema(REFERENCE).replace("reviewed: false", "reviewed: true"))
    moved = REFERENCE.assign(id=REFERENCE["id"] + 100, answer="perhaps", more=1)
    assert counts(conforms_to(path, moved, gate_id="g")) == {
        "id: in_range(0, 439)": 60,
        "answer: isin(['no', 'yes'])": 400,
        "more: column_in_schema": 400,
        None: 860,
    }
