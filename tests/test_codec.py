"""Strict parsing, canonical bytes, and records to JSON and back."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_prodml import codec
from pytest_prodml.errors import ConfigurationError, MalformedError
from pytest_prodml.records import (
    Burden,
    Comparison,
    Criterion,
    Evidence,
    Gate,
    GateRun,
    Measurement,
    RunState,
    Subject,
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)
finite = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
measurements = st.builds(
    Measurement,
    metric=text,
    value=finite | st.none(),
    lower=finite | st.none(),
    upper=finite | st.none(),
    confidence_level=finite,
    method=text,
    n_samples=st.integers(0, 2**40),
    group=text | st.none(),
    seed=st.integers(0, 2**32) | st.none(),
)
criteria = st.builds(
    Criterion,
    metric=text,
    comparison=st.sampled_from(Comparison),
    limit=finite,
    burden=st.sampled_from(Burden),
)
times = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0)
)
evidences = st.builds(
    Evidence,
    gate_id=text,
    measurements=st.lists(measurements, max_size=3).map(tuple),
    criteria=st.lists(criteria, max_size=3).map(tuple),
    subjects=st.lists(st.builds(Subject, name=text, digest=st.dictionaries(text, text)), max_size=2).map(
        tuple
    ),
    started_at=times | st.none(),
    details=st.dictionaries(text, json_values, max_size=3),
)
runs = st.builds(
    GateRun,
    gate_id=text,
    location=text,
    state=st.sampled_from(RunState),
    evidence=evidences | st.none(),
    reason=text,
)


@given(runs)
def test_records_survive_the_way_to_json_text_and_back(run: GateRun) -> None:
    assert codec.loads(GateRun, codec.dumps(run)) == run


@given(runs)
def test_canonical_bytes_are_a_fixed_point(run: GateRun) -> None:
    once = codec.canonical_json(codec.encode(run))
    assert codec.canonical_json(codec.parse_json(once)) == once


@given(json_values)
def test_canonical_bytes_mean_what_the_standard_library_reads(value: Any) -> None:
    assert json.loads(codec.canonical_json(value), parse_int=float) == value


def test_doubles_beyond_the_integers_keep_their_canonical_spelling() -> None:
    assert codec.canonical_json(3.385044036277529e16) == b"33850440362775290"
    assert codec.parse_json(b"33850440362775290") == 3.385044036277529e16
    with pytest.raises(MalformedError, match="beyond"):
        codec.parse_json(b"33850440362775291")


@given(json_values)
def test_strict_parsing_agrees_with_the_standard_library_on_good_documents(value: Any) -> None:
    data = json.dumps(value).encode()
    assert codec.parse_json(data) == json.loads(data)


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_malformed(data: bytes) -> None:
    try:
        codec.parse_json(data)
    except MalformedError:
        return
    json.loads(data)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{"a": 1, "a": 2}', "stands twice"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "stands twice"),
        (b"NaN", "NaN"),
        (b"-Infinity", "Infinity"),
        (b"1e999", "outside the double range"),
        (b"9007199254740993", "beyond 2^53"),
        (b"1" * 5000, "beyond 2^53"),
        (b"\xef\xbb\xbf{}", "byte-order mark"),
        ("{}".encode("utf-16"), "not UTF-8"),
        (b"\xc0\xaf", "not UTF-8"),
        (b'"\\ud800"', "lone surrogate"),
        (b'{"\\udfff": 1}', "lone surrogate"),
        (b"{} {}", "Extra data"),
        (b"", "not strict JSON"),
        (b"[" * 100_000, "nested deeper"),
        (b"[" * 40 + b"]" * 40, "nested deeper"),
        (b'"' + b"x" * 70_000 + b'"', "a string of 70,000"),
    ],
)
def test_documents_on_which_parsers_disagree_are_refused(data: bytes, told: str) -> None:
    with pytest.raises(MalformedError, match="payload") as caught:
        codec.parse_json(data, where="payload")
    assert told in str(caught.value)


def test_size_is_looked_at_before_parsing() -> None:
    limits = codec.Limits(size_bytes=10)
    with pytest.raises(MalformedError, match="more than 10"):
        codec.parse_json(b"[1,2,3,4,5,6]", limits=limits)


def test_depth_at_the_limit_is_accepted() -> None:
    assert codec.parse_json(b"[" * 32 + b"]" * 32) is not None


def test_every_problem_is_told_with_its_path() -> None:
    value: Any = {
        "gateID": "x",
        "measurements": [
            {"metric": 3, "value": True, "confidenceLevel": 0.95, "method": "m", "nSamples": 1.0}
        ],
        "criteria": {},
        "startedAt": "2026-11-22T10:00:00+01:00",
    }
    with pytest.raises(MalformedError) as caught:
        codec.decode(Evidence, value, where="evidence.json")
    told = "\n".join(caught.value.problems)
    assert "did you mean 'gateId'" in told
    assert "missing field 'gateId' @ $" in told
    assert "expected text, got 3 @ $.measurements[0].metric" in told
    assert "expected a number, got True @ $.measurements[0].value" in told
    assert "expected an integer, got 1.0 @ $.measurements[0].nSamples" in told
    assert "expected a list, got {} @ $.criteria" in told
    assert "expected a UTC time" in told
    assert "evidence.json" in str(caught.value)


def test_an_unknown_enumeration_value_names_the_known_ones() -> None:
    with pytest.raises(MalformedError, match="data, performance, fairness"):
        codec.decode(Gate, {"id": "a", "dimension": "ethics", "description": ""})


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), 2**60, {1: 2}])
def test_what_json_can_not_carry_is_an_error_with_its_path(value: Any) -> None:
    evidence = Evidence(gate_id="a", measurements=(), criteria=(), details={"series": [1, value]})
    with pytest.raises(MalformedError, match=r"@ \$\.details\.series\[1\]"):
        codec.encode(evidence)


def test_numpy_floats_become_plain_numbers_and_numpy_integers_are_refused() -> None:
    import numpy as np

    evidence = Evidence(gate_id="a", measurements=(), criteria=(), details={"x": np.float64(0.5)})
    encoded: Any = codec.encode(evidence)
    assert type(encoded["details"]["x"]) is float
    with pytest.raises(MalformedError, match="numpy"):
        codec.encode(Evidence(gate_id="a", measurements=(), criteria=(), details={"x": np.arange(2)}))  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "told",
    [
        "2026-11-22T10:00:00",
        "2026-11-22T10:00:00.5Z",
        "2026-11-22 10:00:00Z",
        "2026-11-22T10:00:60Z",
        "2026-2-30T10:00:00Z",
        "2026-1-2T1:0:0Z",
        "2026-11-22T10:00:00z",
        "",
    ],
)
def test_a_time_has_one_spelling(told: str) -> None:
    assert codec.parse_time(told) is None


@given(times)
def test_times_round_trip(moment: datetime) -> None:
    assert codec.parse_time(codec.format_time(moment)) == moment


def test_times_are_written_in_utc() -> None:
    moment = datetime(2026, 11, 22, 10, 0, 0, 999, tzinfo=timezone(timedelta(hours=1)))
    assert codec.format_time(moment) == "2026-11-22T09:00:00Z"


def test_toml_errors_name_the_file() -> None:
    with pytest.raises(ConfigurationError, match=r"policy\.toml"):
        codec.parse_toml(b"a = [", where="policy.toml")


@dataclass(frozen=True)
class _Table:
    max_days: int
    names: tuple[str, ...] = ()
    nested: dict[str, float] = field(default_factory=dict)


def test_toml_tables_decode_with_snake_case_names() -> None:
    value = codec.parse_toml(b"max_days = 3\nnames = ['a']\nnested = {x = 1}", where="t")
    assert codec.decode(_Table, value, naming=codec.snake_case) == _Table(3, ("a",), {"x": 1.0})
    with pytest.raises(MalformedError, match="did you mean 'max_days'"):
        codec.decode(_Table, {"maxdays": 3}, naming=codec.snake_case)


def test_the_digest_of_a_record_is_the_sha256_of_its_canonical_bytes() -> None:
    subject = Subject(name="m", digest={"sha256": "0" * 64})
    expected = b'{"annotations":{},"digest":{"sha256":"' + b"0" * 64 + b'"},"name":"m"}'
    assert codec.canonical_json(codec.encode(subject)) == expected
    assert codec.digest_of(subject) == codec.sha256_hex(expected)
