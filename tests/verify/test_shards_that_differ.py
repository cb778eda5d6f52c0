"""Runs that agree only in part: what is kept of each, what is left open, and what is missing all the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import Desk, policy
from fragment_factory import Shards
from pytest_prodml.records import ContinuousIntegration, Provenance
from pytest_prodml.verify.fragment import LoggedRun, MergeRefusedError, read_run_log
from pytest_prodml.verify.merging import MergedRun, merge_runs

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
GITHUB = ContinuousIntegration(provider="github-actions", project="org/credit", run="7", job="a")


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    return Shards(Desk(tmp_path), started_at=NOW - timedelta(minutes=5))


def read(shards: Shards, *paths: Path) -> list[LoggedRun]:
    keys = [shards.desk.key().public_key]
    return [read_run_log(path.read_bytes(), where=path.name, keys=keys) for path in paths]


def merged(shards: Shards, *paths: Path) -> MergedRun:
    logged = read(shards, *paths)
    return merge_runs(logged, run_id="merged", policy=policy(), subject=shards.desk.subject(), now=NOW)


def two(shards: Shards, first: dict[str, Any], second: dict[str, Any]) -> MergedRun:
    return merged(shards, shards.write("1/2", **first), shards.write("2/2", **second))


def test_a_shard_is_missed_beside_runs_without_a_name(shards: Shards) -> None:
    paths = [shards.write(None), shards.write("1/2")]
    for order in (paths, paths[::-1]):
        with pytest.raises(MergeRefusedError) as refused:
            merged(shards, *order)
        assert [(reason.code, reason.message) for reason in refused.value.reasons] == [
            ("fragment-missing", "the shard 2/2 was not given")
        ]


def test_what_runs_do_not_agree_on_is_left_open(shards: Shards) -> None:
    def said(target: str, repository: str) -> dict[str, Any]:
        provenance = Provenance(revision="a" * 40, is_dirty=False, repository=repository)
        return {"head": {"target": target}, "summary": {"provenance": provenance}}

    for other, target, repository in (("x", None, None), ("gpu", "gpu", "gpu")):
        summary = two(shards, said("gpu", "gpu"), said(other, other)).summary
        assert summary.target == target
        assert summary.provenance is not None
        assert summary.provenance.repository == repository


def test_one_run_keeps_where_it_ran(shards: Shards) -> None:
    provenance = Provenance(revision="a" * 40, is_dirty=False, automation=GITHUB)
    path = shards.write(None, summary={"provenance": provenance})
    found = merged(shards, path).summary.provenance
    assert found is not None
    assert found.automation == GITHUB


@pytest.mark.parametrize(
    ("first", "second", "counted"),
    [
        ((20, 3), (5, 4), {"not_run": 13, "passed": 7}),
        ((5, 3), (20, 4), {"not_run": 13, "passed": 7}),
        ((8, 3), (5, 4), {"not_run": 1, "passed": 7}),
        ((7, 3), (5, 4), {"passed": 7}),
        ((7, 7), (7, 0), {"failed": 0, "passed": 7}),
    ],
)
def test_tests_that_nobody_ran_are_counted_by_the_longest_list(
    shards: Shards, first: tuple[int, int], second: tuple[int, int], counted: dict[str, int]
) -> None:
    def told(listed: int, passed: int) -> dict[str, Any]:
        counts = {"passed": passed} if passed else {"failed": 0}
        return {"ordinary": listed, "summary": {"ordinary_tests": counts}}

    assert two(shards, told(*first), told(*second)).summary.ordinary_tests == counted
