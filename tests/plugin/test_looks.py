"""A test set is looked at a planned number of times: the ledger, and the level that a look leaves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_prodml.errors import ConfigurationError
from pytest_prodml.plugin.looks import Look, LookSettings, look_problems, read_ledger, take_look
from pytest_prodml.records import Subject
from pytest_prodml.statistics.spending import level_of_look

PLAN = LookSettings(planned=3)
WHEN = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)


def subject(name: str) -> Subject:
    return Subject(name=name, digest={"sha256": name.encode().hex().rjust(64, "0")})


def look(path: Path, model: str, *, test: str = "test.csv", plan: LookSettings = PLAN) -> Look:
    return take_look(
        plan,
        path,
        test=subject(test),
        model=subject(model),
        confidence_level=0.95,
        run_id=f"run of {model}",
        started_at=WHEN,
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "looks.jsonl"


def test_each_model_spends_its_share(ledger: Path) -> None:
    looks = [look(ledger, model) for model in ("a.onnx", "b.onnx", "c.onnx")]
    assert [taken.number for taken in looks] == [1, 2, 3]
    assert [taken.confidence_level for taken in looks] == [
        level_of_look(k, 3, 0.95, "pocock") for k in (1, 2, 3)
    ]
    assert sum(1 - taken.confidence_level for taken in looks) == pytest.approx(0.05)
    assert "look 2 of 3 at this test set: bounds at 0.98" in looks[1].note()
    first, *_ = read_ledger(ledger)
    assert (first.model_name, first.test_name, first.planned, first.spending) == (
        "a.onnx",
        "test.csv",
        3,
        "pocock",
    )
    assert first.run_id == "run of a.onnx"
    assert first.started_at == WHEN


def test_beyond_the_plan_is_an_error_and_leaves_no_trace(ledger: Path) -> None:
    for model in ("a", "b", "c"):
        look(ledger, model)
    before = ledger.read_bytes()
    with pytest.raises(ConfigurationError, match="by all 3 planned models: its error rate is spent"):
        look(ledger, "d")
    assert ledger.read_bytes() == before
    assert look(ledger, "b").number == 2


def test_the_same_model_again_spends_nothing(ledger: Path) -> None:
    first = look(ledger, "a")
    look(ledger, "b")
    again = look(ledger, "a")
    assert (first.is_new, again.is_new) == (True, False)
    assert again.confidence_level == first.confidence_level
    assert len(read_ledger(ledger)) == 2
    assert "the same model again" in again.note()


def test_another_test_set_starts_a_new_count(ledger: Path) -> None:
    look(ledger, "a")
    look(ledger, "b")
    assert look(ledger, "b", test="fresh.csv").number == 1
    assert look(ledger, "c").number == 3


@pytest.mark.parametrize("torn", ['{"version":1,"testDigest":"00', '{"version"'])
def test_a_line_cut_off_by_a_crash(ledger: Path, torn: str) -> None:
    look(ledger, "a")
    with ledger.open("a", encoding="utf-8") as file:
        file.write(torn)
    assert look(ledger, "b").number == 2
    assert look(ledger, "c").number == 3
    assert [entry.model_name for entry in read_ledger(ledger)] == ["a", "b", "c"]
    assert torn in ledger.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    "line", ["look 2", "{}", '{"version":1}', "[]", '"a"', '{"version":1,"version":1}', "\ufffd"]
)
def test_what_is_no_entry_stops_the_run(ledger: Path, line: str) -> None:
    look(ledger, "a")
    with ledger.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(ConfigurationError, match=r"looks.jsonl:2: is no entry of a ledger"):
        look(ledger, "b")


def test_a_later_format_stops_the_run(ledger: Path) -> None:
    look(ledger, "a")
    ledger.write_text(
        ledger.read_text(encoding="utf-8").replace('"version":1', '"version":2'), encoding="utf-8"
    )
    with pytest.raises(ConfigurationError, match="format 2"):
        look(ledger, "b")


def test_runs_at_the_same_time_get_different_looks(ledger: Path) -> None:
    plan = LookSettings(planned=16, spending="equal")
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda i: look(ledger, f"model {i}", plan=plan), range(16)))
    assert sorted(taken.number for taken in found) == list(range(1, 17))
    assert len(read_ledger(ledger)) == 16


def test_a_ledger_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="ledger can not be"):
        look(tmp_path / "file" / "looks.jsonl", "a")
    (tmp_path / "directory").mkdir()
    with pytest.raises(ConfigurationError, match="ledger can not be"):
        look(tmp_path / "directory", "a")


def test_no_ledger_is_an_empty_one(tmp_path: Path) -> None:
    assert read_ledger(tmp_path / "none.jsonl") == ()


def test_settings_that_can_not_be() -> None:
    assert look_problems(None) == []
    assert look_problems(LookSettings(planned=1, spending="obrien_fleming")) == []
    problems = look_problems(LookSettings(planned=0, spending="bonferroni", ledger=" "))
    assert len(problems) == 3
    assert all("@ $.looks." in problem for problem in problems)


def test_the_names_are_those_of_the_spending_functions() -> None:
    from pytest_prodml.statistics.spending import SPENDING

    assert [name for name in SPENDING if look_problems(LookSettings(planned=2, spending=name))] == []
