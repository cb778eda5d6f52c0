"""Which data, code and parents made the model: kept links pass, broken ones fail, unchecked ones stay open."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pytest_prodml.adapters.engines.opening import open_table
from pytest_prodml.checks.data.lineage import (
    lineage,
    read_delta,
    read_iceberg,
    read_runs,
    write_lineage,
)
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError
from pytest_prodml.policy.judge import judge_criteria
from pytest_prodml.records import Evidence, Outcome

#: Written by DVC 3.67, delta-rs 1.6, pyiceberg 0.12, openlineage-python 1.54 and dbt 1.11 (without macros).
WRITTEN = Path(__file__).parent / "fixtures" / "lineage"
REVISION = "5d41402abc4b2a76b9719d911017c592aabbccdd"
NOW = datetime(2026, 3, 2, tzinfo=UTC)
MODEL = b"model of rows"


def check(manifests: Any, **options: Any) -> Evidence:
    found = lineage(manifests, **{"gate_id": "data.lineage", "model": None} | options)
    canonical_json(encode(found))
    return found


def outcome(evidence: Evidence) -> Outcome:
    return min(
        (item.judgement.outcome for item in judge_criteria("data.lineage", evidence, confidence_level=0.95)),
        key=(Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS).index,
    )


def told(evidence: Evidence, state: str) -> str:
    links: Any = evidence.details["links"]
    return "; ".join(link["told"] for link in links if link["state"] == state)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with data, a parent, a model, and the manifest of how it was made."""
    (tmp_path / "data").mkdir()
    pl.DataFrame({"x": [1, 2, 3]}).write_parquet(tmp_path / "data" / "train.parquet")
    (tmp_path / "parent.bin").write_bytes(b"parent")
    (tmp_path / "model.bin").write_bytes(MODEL)
    write(tmp_path)
    return tmp_path


def write(project: Path, **options: Any) -> None:
    asked: dict[str, Any] = {
        "model": project / "model.bin",
        "data": [project / "data" / "train.parquet"],
        "code_revision": REVISION,
        "created_at": NOW,
        "parameters": {"C": 0.1, "seed": 7},
        "parents": [project / "parent.bin"],
    }
    write_lineage(project / "lineage.json", **asked | options)


def test_a_whole_chain_is_kept(project: Path) -> None:
    found = check(
        project / "lineage.json",
        model=project / "model.bin",
        data={"train.parquet": open_table(project / "data" / "train.parquet", name="reference")},
        code_revision=REVISION,
        parameters={"C": 0.1},
    )
    assert outcome(found) is Outcome.PASS
    assert told(found, "unchecked") == ""
    assert {item.name for item in found.materials} == {
        "lineage.json", "model.bin", "train.parquet", "parent.bin",
    }  # fmt: skip
    assert found.subjects[0].digest == {"sha256": hashlib.sha256(MODEL).hexdigest()}
    assert found.details["code_revisions"] == [REVISION]
    assert found.details["parameters"] == {"C": 0.1, "seed": 7}


def other_data(project: Path) -> dict[str, Any]:
    pl.DataFrame({"x": [1, 2, 4]}).write_parquet(project / "data" / "train.parquet")
    return {}


def other_model(project: Path) -> dict[str, Any]:
    (project / "model.bin").write_bytes(b"model of other rows")
    return {}


def other_parent(project: Path) -> dict[str, Any]:
    (project / "parent.bin").write_bytes(b"stepparent")
    return {}


def other_code(_: Path) -> dict[str, Any]:
    return {"code_revision": "0" * 40}


def other_parameters(_: Path) -> dict[str, Any]:
    return {"parameters": {"C": 0.2}}


def uncommitted_code(project: Path) -> dict[str, Any]:
    write(project, is_dirty=True)
    return {}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (other_data, "of data train.parquet; what is here has"),
        (other_model, "of model model.bin; what is here has"),
        (other_parent, "of parent parent.bin; what is here has"),
        (other_code, "the model was made by the code 5d41402abc4b; expected 000000000000"),
        (other_parameters, "states C = 0.1; expected 0.2"),
        (uncommitted_code, "files that differ from their commit"),
    ],
)
def test_a_broken_link_fails_and_is_named(
    project: Path, change: Callable[[Path], dict[str, Any]], sentence: str
) -> None:
    options = change(project)
    found = check(project / "lineage.json", model=project / "model.bin", **options)
    assert outcome(found) is Outcome.FAIL
    assert sentence in told(found, "broken")
    total = found.measurements[-1]
    assert (total.group, total.value, total.lower) == (None, 1, 1)


@pytest.mark.parametrize(
    ("gone", "options", "sentence"),
    [
        ("parent.bin", {}, "parent parent.bin, which lineage.json names, is not here"),
        ("data/train.parquet", {}, "data train.parquet, which lineage.json names, is not here"),
        (None, {"parameters": {"depth": 3}}, "states no parameter 'depth'"),
        (None, {"data": {"other": "parent.bin"}}, "names the data 'other'"),
    ],
)
def test_what_can_not_be_checked_stays_open(
    project: Path, gone: str | None, options: dict[str, Any], sentence: str
) -> None:
    if gone is not None:
        (project / gone).unlink()
    found = check("lineage.json", base=project, model="model.bin", **options)
    assert outcome(found) is Outcome.INCONCLUSIVE
    assert sentence in told(found, "unchecked")
    total = found.measurements[-1]
    assert (total.group, total.value, total.upper) == (None, 0, None)


def test_manifests_that_contradict_each_other_fail(project: Path) -> None:
    sums = project / "SHA256SUMS"
    sums.write_text(f"{'0' * 64}  model.bin\n{hashlib.sha256(b'parent').hexdigest()}  parent.bin\n")
    found = check([project / "lineage.json", sums], model=project / "model.bin")
    assert outcome(found) is Outcome.FAIL
    assert "SHA256SUMS states the sha256 000000000000... of model model.bin" in told(found, "broken")


def test_trust_is_asked_for_by_name_and_told(project: Path) -> None:
    (project / "parent.bin").unlink()
    options: dict[str, Any] = {"base": project, "model": "model.bin"}
    found = check("lineage.json", on_trust=["parent parent.bin"], **options)
    assert outcome(found) is Outcome.PASS
    assert "taken on trust: parent parent.bin" in told(found, "trusted")
    with pytest.raises(InputError, match="there is no link 'parent'"):
        check("lineage.json", on_trust=["parent"], **options)
    other_data(project)
    trusted = ["parent parent.bin", "data train.parquet"]
    assert outcome(check("lineage.json", on_trust=trusted, **options)) is Outcome.FAIL


def test_a_manifest_of_another_model_answers_nothing(project: Path) -> None:
    (project / "other.bin").write_bytes(b"other")
    sums = project / "SHA256SUMS"
    sums.write_text(f"{hashlib.sha256(b'parent').hexdigest()}  parent.bin\n")
    found = check(sums, model=project / "other.bin")
    assert outcome(found) is Outcome.INCONCLUSIVE
    assert "no manifest states what made other.bin" in told(found, "unchecked")
    both = check([project / "lineage.json", sums], model=project / "model.bin")
    assert outcome(both) is Outcome.PASS
    sums.write_text(f"{hashlib.sha256(b'other').hexdigest()}  apart.bin\n")
    apart = check([project / "lineage.json", sums], model=project / "model.bin")
    assert outcome(apart) is Outcome.INCONCLUSIVE
    assert "nothing in SHA256SUMS is connected" in told(apart, "unchecked")


def test_lists_of_sha256sum(project: Path) -> None:
    def lines() -> str:
        names = ("model.bin", "data/train.parquet")
        return "".join(f"{hashlib.sha256((project / n).read_bytes()).hexdigest()}  {n}\n" for n in names)

    (project / "SHA256SUMS").write_text(lines())
    options: dict[str, Any] = {"model": project / "model.bin", "on_trust": ["code revision"]}
    assert outcome(check(project / "SHA256SUMS", **options)) is Outcome.PASS
    other_data(project)
    assert outcome(check(project / "SHA256SUMS", **options)) is Outcome.FAIL


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WRITTEN, tmp_path / "written"))


def test_stages_of_dvc(written: Path) -> None:
    pytest.importorskip("yaml")
    project = written / "dvc"
    options: dict[str, Any] = {"model": project / "model.bin"}
    found = check(project / "dvc.lock", parameters={"train.C": 0.1, "train.names": ["a", "b"]}, **options)
    assert outcome(found) is Outcome.PASS
    assert told(found, "kept").count("has the md5 that dvc.lock states") == 4
    (project / "data" / "parts" / "b.csv").write_text("x\n3\n")
    assert "md5 878b4400cc5e... of data data/parts" in told(check(project / "dvc.lock", **options), "broken")
    (project / "data" / "train.csv").unlink()
    assert "data/train.csv" in told(check(project / "dvc.lock", **options), "unchecked")


def test_a_stage_that_used_what_an_older_stage_made_is_broken(written: Path) -> None:
    pytest.importorskip("yaml")
    lock = written / "dvc" / "dvc.lock"
    stale = (
        "  split:\n    cmd: split\n    outs:\n    - path: data/train.csv\n      hash: md5\n      md5: "
        + "a" * 32
    )
    lock.write_text(lock.read_text() + stale + "\n")
    found = check(lock, model=written / "dvc" / "model.bin")
    assert outcome(found) is Outcome.FAIL
    assert "train used another data data/train.csv than split made" in told(found, "broken")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("schema: '1.0'\nstages: {a: {}}\n", "is of the schema '1.0'"),
        ("schema: '2.0'\nstages:\n  a: {cmd: x}\n  a: {cmd: y}\n", "'a' stands twice"),
        ("schema: '2.0'\nstages: &s\n  a: {deps: *s}\n", "alias"),
        ("schema: '2.0'\nstages: !!python/object/apply:os.system ['true']\n", "has to be an object"),
        ("schema: '2.0'\nstages:\n  a: !!python/name:os.system ''\n", "uses the tag"),
        ("schema: '2.0'\nstages: {a: {outs: [{path: x, md5: 12}]}}\n", "md5"),
        ("schema: '2.0'\nstages: {a: {outs: [{path: x, size: big}]}}\n", "'size' has to be a whole number"),
        ("schema: '2.0'\nstages: {}\n", "records no stage"),
        ("a: [1, 2\n", "is no YAML"),
        ("[" * 3000, "nested deeper"),
        ("- 1\n", "is no mapping"),
    ],
)
def test_hostile_dvc_files_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    pytest.importorskip("yaml")
    (tmp_path / "dvc.lock").write_text(text)
    with pytest.raises(InputError, match=sentence):
        check(tmp_path / "dvc.lock")


def test_versions_of_delta(written: Path) -> None:
    table = written / "delta"
    run = read_delta(table)
    assert (run.made[0].version, run.broken) == ("2", ())
    assert read_delta(table, 0).made[0].version == "0"
    trusted = {"on_trust": ["code revision"]}
    assert outcome(check(table, **trusted)) is Outcome.PASS
    (part,) = (table / name for name in delta_files(table))
    part.write_bytes(part.read_bytes() + b"x")
    found = check(table, **trusted)
    assert outcome(found) is Outcome.FAIL
    assert "has 485 bytes, the log says 484" in told(found, "broken")
    part.unlink()
    assert "is not there" in told(check(table, **trusted), "broken")


def delta_files(table: Path) -> list[str]:
    log = (table / "_delta_log" / "00000000000000000002.json").read_text().splitlines()
    return [action["add"]["path"] for line in log if "add" in (action := json.loads(line))]


def test_a_model_of_an_older_table_version_is_found(written: Path) -> None:
    table, model = written / "delta", written / "model.bin"
    model.write_bytes(MODEL)
    write_lineage(written / "lineage.json", model=model, data=[table], code_revision=REVISION, created_at=NOW)
    found = check(written / "lineage.json", model=model)
    assert outcome(found) is Outcome.PASS
    log = table / "_delta_log"
    added = {"add": {"path": "more.parquet", "size": 3}}
    (log / f"{3:020}.json").write_text(json.dumps(added) + "\n")
    (table / "more.parquet").write_bytes(b"abc")
    assert outcome(check(written / "lineage.json", model=model)) is Outcome.FAIL
    (table / "more.parquet").unlink()
    gone = check(written / "lineage.json", model=model, data={"delta": table})
    assert outcome(gone) is Outcome.FAIL


@pytest.mark.parametrize(
    ("number", "text", "sentence"),
    [
        (2, '{"add": {"path": "x"}}\n', "'size' has to be a whole number"),
        (2, '{"add": {"path": "x", "size": 1}, "remove": {"path": "y"}}\n', "not exactly one action"),
        (2, '{"add": {"path": "x", "path": "y", "size": 1}}\n', "stands twice"),
        (2, '{"add": {"path": "x", "size": 1', "not strict JSON"),
        (2, '{"add": {"path": "x", "size": 1, "deletionVector": {}}}\n', "deletion vectors"),
        (2, "", "is empty"),
        (9, '{"commitInfo": {}}\n', "lacks commit 3"),
    ],
)
def test_hostile_delta_logs_are_refused(written: Path, number: int, text: str, sentence: str) -> None:
    (written / "delta" / "_delta_log" / f"{number:020}.json").write_text(text)
    with pytest.raises(InputError, match=sentence):
        check(written / "delta")


def test_snapshots_of_iceberg(written: Path) -> None:
    table = written / "iceberg" / "t"
    run = read_iceberg(table)
    listed = next(table.glob(f"metadata/snap-{run.made[0].version}-*.avro"))
    assert run.made[0].digests == {"sha256": hashlib.sha256(listed.read_bytes()).hexdigest()}
    assert outcome(check(table, on_trust=["code revision"])) is Outcome.PASS
    listed.unlink()
    found = check(table, on_trust=["code revision"])
    assert outcome(found) is Outcome.FAIL
    assert "its list of manifests is not there" in told(found, "broken")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"format-version":2', '"format-version":9', "format version 9"),
        ('"current-snapshot-id":', '"current-snapshot-id":-1,"was":', "has no snapshot"),
        ('"current-snapshot-id":', '"current-snapshot-id":1,"was":', "the current snapshot 1 0 times"),
        ('"manifest-list":', '"manifest-lists":', "'manifest-list' has to be text"),
        ('"snapshots":', '"location":"x","snapshots":', "stands twice"),
    ],
)
def test_hostile_iceberg_metadata_are_refused(written: Path, old: str, new: str, sentence: str) -> None:
    (path,) = (written / "iceberg" / "t" / "metadata").glob("00002-*")
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=sentence):
        check(path)


def test_events_of_openlineage(written: Path) -> None:
    events, model = written / "openlineage.jsonl", written / "model.bin"
    model.write_bytes(MODEL)
    found = check(events, model=model, code_revision=REVISION)
    assert outcome(found) is Outcome.PASS
    assert "data delta is version 2, as openlineage.jsonl states" in told(found, "kept")
    both = check([events, written / "delta"], model=model)
    assert outcome(both) is Outcome.PASS
    (part,) = (written / "delta" / name for name in delta_files(written / "delta"))
    part.rename(written / "elsewhere.parquet")
    assert "is not there" in told(check(events, model=model), "broken")
    assert "is not there" in told(check([events, written / "delta"], model=model), "broken")
    (written / "elsewhere.parquet").rename(part)
    text = events.read_text()
    events.write_text(text.replace('"datasetVersion": "2"', '"datasetVersion": "1"'))
    assert "states version 1 of data delta; what is here is version 2" in told(
        check(events, model=model), "broken"
    )
    events.write_text(text.replace('"COMPLETE"', '"FAIL"'))
    assert "ended with FAIL" in told(check(events, model=model), "broken")
    events.write_text(text.replace('"COMPLETE"', '"RUNNING"'))
    assert outcome(check(events, model=model)) is Outcome.INCONCLUSIVE
    events.write_text(text.replace('"COMPLETE"', '"DONE"'))
    with pytest.raises(InputError, match="no event type 'DONE'"):
        check(events, model=model)


def test_artifacts_of_dbt(written: Path) -> None:
    target = written / "dbt" / "target"
    found = check(target / "manifest.json")
    assert told(found, "broken") == ""
    assert "code models/features.sql has the dbt-sha256" in told(found, "kept")
    # dbt states no digest of the tables themselves.
    assert told(found, "unchecked").count("is not here to be compared") == 2
    assert outcome(found) is Outcome.INCONCLUSIVE
    (written / "dbt" / "models" / "features.sql").write_text("select 1 as id")
    assert "of code models/features.sql; what is here has" in told(check(target / "manifest.json"), "broken")
    results = target / "run_results.json"
    text = results.read_text()
    results.write_text(text.replace('"status": "success"', '"status": "error"'))
    assert "dbt ended model.shop.features with status 'error'" in told(
        check(target / "manifest.json"), "broken"
    )
    results.write_text(text.replace('"status": "success"', '"status": "skipped"'))
    assert "dbt says of model.shop.features: skipped" in told(check(target / "manifest.json"), "unchecked")
    results.write_text(text.replace("f66d2d7c", "00000000"))
    with pytest.raises(InputError, match="another invocation"):
        check(target / "manifest.json")
    results.unlink()
    with pytest.raises(InputError, match="does not exist"):
        check(target / "manifest.json")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("{", "not strict JSON"),
        ('{"format": "prodml-lineage/v1", "format": "x"}', "stands twice"),
        ("{" + '"a":{' * 3000, "nested deeper|not strict JSON"),
        ('{"format": "prodml-lineage/v2"}', "is no manifest of prodml-lineage/v1"),
        ('{"some": "thing"}', "of no format that lineage is read from"),
        ("not a digest  model.bin\n", "line 1 is not of the form"),
        ("0" * 64 + "  a\n" + "1" * 64 + "  a\n", "'a' stands twice"),
        ('{"eventType": "COMPLETE"}', "names no run"),
        ('{"eventType": "COMPLETE", "run": {"runId": 7}}', "'runId' has to be text"),
        ('{"metadata": {"dbt_schema_version": "x"}}', "does not exist"),
    ],
)
def test_hostile_manifests_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "lineage.json"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence):
        check(path)


def test_our_manifest_is_read_to_the_letter(project: Path) -> None:
    path = project / "lineage.json"
    stated = json.loads(path.read_text())
    for change, sentence in (
        ({"extra": 1}, "unknown field 'extra'"),
        ({"data": []}, "names no data"),
        ({"format": "prodml-lineage/v2"}, "is of the format"),
        ({"model": stated["model"] | {"digest": {"md5": "0" * 32}}}, "is no sha256"),
        ({"codeRevision": 7}, "expected text"),
    ):
        path.write_text(json.dumps(stated | change))
        with pytest.raises(InputError, match=sentence):
            read_runs(path)


def test_what_is_written_has_to_be_there(project: Path) -> None:
    for options, sentence in (
        ({"data": []}, "name at least one table"),
        ({"data": [project / "none.csv"]}, "does not exist"),
        ({"code_revision": "main"}, "no revision of code"),
        ({"created_at": NOW.replace(tzinfo=None)}, "needs a time zone"),
        ({"parameters": {"C": float("nan")}}, "must be plain JSON"),
    ):
        before = (project / "lineage.json").read_bytes()
        with pytest.raises(InputError, match=sentence):
            write(project, **options)
        assert (project / "lineage.json").read_bytes() == before


def test_what_is_asked_for_has_to_be_here(project: Path) -> None:
    for manifests, options, sentence in (
        ("none.json", {}, "the manifest does not exist"),
        ([], {}, "from 1 to 100 manifests"),
        ("data", {}, "neither a Delta nor an Iceberg"),
        ("lineage.json", {"model": "none.bin"}, "does not exist"),
        ("lineage.json", {"data": {"train.parquet": "none.parquet"}}, "does not exist"),
        ("lineage.json", {"code_revision": ""}, "no revision of code"),
    ):
        with pytest.raises(InputError, match=sentence):
            check(manifests, base=project, **options)
