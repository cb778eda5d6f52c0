"""Results of Great Expectations and dbt count as they were found; what was not judged never passes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_prodml.checks.data.imports import dbt_test_results, great_expectations_results
from pytest_prodml.codec import canonical_json, encode, sha256_hex
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome

#: Written by great_expectations 1.24 (tracebacks left out) and dbt 1.11 (macros left out).
GX = Path(__file__).parent / "fixtures" / "imports"
DBT = Path(__file__).parent / "fixtures" / "lineage" / "dbt" / "target"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE


def outcomes(evidence: Evidence) -> dict[tuple[str, str | None], Outcome]:
    canonical_json(encode(evidence))
    return {
        (item.criterion.metric, item.criterion.group): item.judgement.outcome
        for item in judge_criteria("data.imported", evidence, confidence_level=0.95)
    }


def gx(path: Path, **options: Any) -> Evidence:
    asked: dict[str, Any] = {"now": NOW, "data": "orders", "gate_id": "data.imported"}
    return great_expectations_results(path, **asked | options)


def dbt(path: Path, **options: Any) -> Evidence:
    asked: dict[str, Any] = {"now": NOW, "data": "features", "gate_id": "data.imported"}
    return dbt_test_results(path, **asked | options)


def changed(tmp_path: Path, change: Callable[[Any], object]) -> Path:
    document = json.loads((GX / "gx_validation.json").read_text())
    change(document)
    path = tmp_path / "validation.json"
    path.write_text(json.dumps(document))
    return path


def only(*places: int) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        document["results"] = [document["results"][place] for place in places]
        document["statistics"]["evaluated_expectations"] = len(places)

    return change


@pytest.mark.parametrize("name", ["gx_validation.json", "gx_checkpoint.json"])
def test_each_expectation_is_judged(name: str) -> None:
    found = gx(GX / name)
    assert outcomes(found) == {
        ("unmet_expectations", "missing: expect_column_values_to_be_between"): OPEN,
        ("unmet_expectations", "id: expect_column_values_to_not_be_null"): FAIL,
        ("unexpected_rows", "id: expect_column_values_to_not_be_null"): FAIL,
        ("unmet_expectations", "amount: expect_column_values_to_be_between"): FAIL,
        ("unexpected_rows", "amount: expect_column_values_to_be_between"): FAIL,
        ("unmet_expectations", "expect_table_row_count_to_be_between"): PASS,
        ("unmet_expectations", None): FAIL,
    }
    assert found.materials[0].digest == {"sha256": sha256_hex((GX / name).read_bytes())}
    total = next(m for m in found.measurements if m.metric == "unmet_expectations" and m.group is None)
    assert (total.value, total.lower, total.upper) == (2, 2, None)
    # A value of a row stays where it was.
    assert b"500" not in canonical_json(encode(found))


def test_what_was_met_passes(tmp_path: Path) -> None:
    assert set(outcomes(gx(changed(tmp_path, only(3)))).values()) == {PASS}


def test_an_exception_alone_is_open(tmp_path: Path) -> None:
    def claims_success(document: Any) -> None:
        only(0, 3)(document)
        document["results"][0]["success"] = True

    assert set(outcomes(gx(changed(tmp_path, claims_success))).values()) == {OPEN, PASS}


def test_counts_are_believed_before_success(tmp_path: Path) -> None:
    def forged(document: Any) -> None:
        only(1, 3)(document)
        document["results"][0]["success"] = True

    found = outcomes(gx(changed(tmp_path, forged)))
    assert found["unexpected_rows", "id: expect_column_values_to_not_be_null"] is FAIL
    assert found["unmet_expectations", None] is FAIL


def test_mostly_allows_a_share(tmp_path: Path) -> None:
    def lenient(document: Any) -> None:
        only(2)(document)
        document["results"][0]["success"] = True
        document["results"][0]["expectation_config"]["kwargs"]["mostly"] = 0.75

    assert set(outcomes(gx(changed(tmp_path, lenient))).values()) == {PASS}


def test_no_row_shows_nothing(tmp_path: Path) -> None:
    def empty(document: Any) -> None:
        only(1)(document)
        document["results"][0]["success"] = True
        document["results"][0]["result"] |= {"element_count": 0, "unexpected_count": 0}

    assert set(outcomes(gx(changed(tmp_path, empty))).values()) == {OPEN}


def test_the_older_form_is_read_too(tmp_path: Path) -> None:
    def older(document: Any) -> None:
        only(3)(document)
        for item in document["results"]:
            item["expectation_config"]["expectation_type"] = item["expectation_config"].pop("type")
        document["meta"]["expectation_suite_name"] = document.pop("suite_name")
        document["meta"]["validation_time"] = "20261123T064533.183986Z"

    path = changed(tmp_path, older)
    whole = {"run_results": {"a": {"validation_result": json.loads(path.read_text())}}, "success": True}
    path.write_text(json.dumps(whole))
    assert set(outcomes(gx(path, at_most_old="6 h")).values()) == {PASS}


def test_results_grow_old(tmp_path: Path) -> None:
    path = changed(tmp_path, only(3))
    assert outcomes(gx(path, at_most_old="6 h"))["result_age_seconds", None] is PASS
    assert outcomes(gx(path, at_most_old="1 h"))["result_age_seconds", None] is FAIL
    ahead = gx(path, at_most_old="1 h", now=NOW - timedelta(days=1))
    assert outcomes(ahead)["result_age_seconds", None] is OPEN

    def timeless(document: Any) -> None:
        only(3)(document)
        document["meta"] |= {"validation_time": None, "run_id": None}

    path = changed(tmp_path, timeless)
    assert outcomes(gx(path, at_most_old="1 h"))["result_age_seconds", None] is OPEN


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d["results"].pop(), "shows 3 of 4 expectations"),
        (only(), "holds 0 results"),
        (lambda d: d["meta"].pop("active_batch_definition"), "is about no named data"),
        (lambda d: d["meta"]["active_batch_definition"].update(data_asset_name="x"), "is about 'x'"),
        (lambda d: d["results"][1].update(success="yes"), "has to be true or false"),
        (lambda d: d["results"][1]["result"].update(unexpected_count="1"), "has to be a whole number"),
        (lambda d: d["results"][1]["result"].update(unexpected_count=-1), "rows are unexpected"),
        (lambda d: d["results"][2]["expectation_config"]["kwargs"].update(mostly=0), "mostly is '0'"),
        (lambda d: d.update(results={}), "'results' has to be a list"),
        (lambda d: d.update(run_results={}), "ran no validation"),
        (lambda d: d.update(run_results={"a": 1}), "is no object"),
    ],
)
def test_hostile_results_are_refused(tmp_path: Path, change: Callable[[Any], object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        gx(changed(tmp_path, change))


@pytest.mark.parametrize("text", ["", "{", '{"results": [], "results": []}', "[]", "{}", '{"a": NaN}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run_results.json").write_text(text)
    for read in (gx, dbt):
        with pytest.raises(InputError):
            read(tmp_path / "run_results.json")
        with pytest.raises(InputError, match="does not exist"):
            read(tmp_path / "none.json")


def test_tests_of_dbt_are_judged_one_by_one() -> None:
    found = outcomes(dbt(DBT / "run_results.json"))
    assert found == {
        ("unmet_expectations", "not_null_features_amount"): FAIL,
        ("unexpected_rows", "not_null_features_amount"): FAIL,
        ("unmet_expectations", "amount_warns"): OPEN,
        ("unmet_expectations", "unique_features_id"): PASS,
        ("unexpected_rows", "unique_features_id"): PASS,
        ("unmet_expectations", "not_null_features_id"): PASS,
        ("unexpected_rows", "not_null_features_id"): PASS,
        ("unmet_expectations", None): FAIL,
    }


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DBT, tmp_path / "target"))


def edit(path: Path, change: Callable[[Any], object]) -> Path:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def with_status(status: str, failures: object = 0) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for item in document["results"]:
            if item["unique_id"].startswith("test."):
                item |= {"status": status, "failures": failures}

    return change


@pytest.mark.parametrize(
    ("status", "failures", "expected"),
    [
        ("pass", 0, PASS),
        ("pass", 3, FAIL),
        ("pass", None, OPEN),
        ("fail", None, FAIL),
        ("warn", 3, OPEN),
        ("skipped", None, OPEN),
        ("error", None, OPEN),
        ("runtime error", None, OPEN),
        ("no-op", None, OPEN),
        ("success", 0, OPEN),
    ],
)
def test_only_a_pass_of_dbt_passes(
    target: Path, status: str, failures: int | None, expected: Outcome
) -> None:
    path = edit(target / "run_results.json", with_status(status, failures))
    assert outcomes(dbt(path, at_most_old="12 h"))["unmet_expectations", None] is expected
    if (status, failures) == ("pass", 3):
        assert set(outcomes(dbt(path, failing_rows_at_most=3)).values()) == {PASS}


def test_a_test_that_did_not_run_is_open(target: Path) -> None:
    path = edit(target / "run_results.json", with_status("pass"))
    edit(path, lambda document: document["results"].pop())
    found = outcomes(dbt(path))
    assert found["unmet_expectations", None] is OPEN
    assert found["unmet_expectations", "unique_features_id"] is OPEN


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        (lambda d: d["metadata"].update(invocation_id="x"), {}, "another invocation"),
        (lambda d: d["results"].append(d["results"][-1]), {}, "twice"),
        (with_status("maybe"), {}, "there is no status 'maybe'"),
        (with_status("pass", "3"), {}, "has to be a whole number"),
        (lambda d: d.pop("metadata"), {}, "'metadata' has to be an object"),
        (lambda _: None, {"data": "customers"}, "no test of dbt is about 'customers'"),
        (lambda _: None, {"now": NOW.replace(tzinfo=None)}, "now must be a time with a time zone"),
        (lambda _: None, {"at_most_old": "old"}, "at_most_old must be a duration"),
    ],
)
def test_hostile_results_of_dbt_are_refused(
    target: Path, change: Callable[[Any], object], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        dbt(edit(target / "run_results.json", change), **options)
