"""Pipelines that run in fresh processes: stages, digests, faults, and each source that can be named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_prodml.adapters.pipelines.runs import Pipeline
from pytest_prodml.adapters.pipelines.stages import Fault, digests
from pytest_prodml.checks.pipeline.failure import Failure, survives_failure
from pytest_prodml.checks.pipeline.golden import golden, read_golden, write_golden
from pytest_prodml.checks.pipeline.reproducible import idempotent, reproducible
from pytest_prodml.checks.pipeline.round_trip import round_trip
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, Measurement

HERE = Path(__file__).parent
KEDRO = {
    "pyproject.toml": '[tool.kedro]\npackage_name = "store"\nproject_name = "store"\n'
    'kedro_init_version = "1.0.0"\nsource_dir = "src"\n',
    "src/store/__init__.py": "",
    "src/store/settings.py": "",
    "conf/base/catalog.yml": "",
    "conf/local/catalog.yml": "",
    "src/store/pipeline_registry.py": """
import json
from pathlib import Path

from kedro.pipeline import Pipeline, node


def clean(directory):
    rows = [1, 2, 3]
    (Path(directory) / "clean.json").write_text(json.dumps(rows))
    return rows


def train(directory, rows):
    (Path(directory) / "model.json").write_text(json.dumps({"weights": rows}))


def register_pipelines():
    steps = [
        node(clean, "params:directory", "rows", name="clean"),
        node(train, ["params:directory", "rows"], None, name="train"),
    ]
    return {"__default__": Pipeline(steps), "half": Pipeline(steps[:1])}
""",
}


def shop(name: str, **options: float) -> Pipeline:
    return Pipeline(source=f"shop:{name}", root=HERE, paths=[HERE], **options)


def measured(evidence: Evidence, metric: str) -> Measurement:
    return next(each for each in evidence.measurements if each.metric == metric)


def test_each_stage_tells_what_it_wrote(tmp_path: Path) -> None:
    run = shop("atomic").run(tmp_path / "run")
    assert run.problem is None
    assert [stage.name for stage in run.stages] == ["clean", "publish"]
    assert list(run.stages[0].written) == ["clean.json", "raw.json"]
    assert list(run.stages[1].written) == ["model.json"]
    assert dict(run.outputs) == digests(tmp_path / "run")
    assert run.seconds >= sum(stage.seconds for stage in run.stages)


def test_a_function_that_takes_a_directory_is_one_stage(tmp_path: Path) -> None:
    run = shop("seeded").run(tmp_path / "run")
    assert [stage.name for stage in run.stages] == ["run"]


@pytest.mark.parametrize(
    ("name", "told"),
    [("fails", "no rows in r"), ("takes_nothing", "takes no parameter"), ("no_such", "no_such")],
)
def test_a_run_that_fails_is_told_by_its_last_words(tmp_path: Path, name: str, told: str) -> None:
    run = shop(name).run(tmp_path / "run")
    assert run.problem is not None
    assert told in run.problem


def test_a_run_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    pipeline = Pipeline(
        source={"wait": f"{sys.executable} -c 'import time; time.sleep(60)'"}, timeout_seconds=1.5
    )
    run = pipeline.run(tmp_path / "run")
    assert run.problem == "took more than 1.5 s"


def test_commands_are_stages(tmp_path: Path) -> None:
    write = f"{sys.executable} -c \"import sys, pathlib; pathlib.Path(sys.argv[1], '{{}}').write_text('x' * 1000)\""
    commands = {name: f"{write.format(name)} {{directory}}" for name in ("first", "second")}
    run = Pipeline(source=commands).run(tmp_path / "run")
    assert run.problem is None
    assert [(stage.name, list(stage.written)) for stage in run.stages] == [
        ("first", ["first"]),
        ("second", ["second"]),
    ]
    for how in ("disk_full", "kill_while_writing", "raise_before", "raise_after", "kill"):
        broken = Pipeline(source=commands).run(
            tmp_path / how, fault=Fault(stage="second", how=how, at_bytes=500)
        )
        assert broken.is_reached
        assert broken.problem is not None
        size = broken.outputs["second"][1] if "second" in broken.outputs else None
        assert size == {"raise_before": None, "raise_after": 1000, "kill": 1000}.get(how, 500)


def test_one_command_needs_no_name(tmp_path: Path) -> None:
    run = Pipeline(source="command: touch {directory}/made").run(tmp_path / "run")
    assert [stage.name for stage in run.stages] == ["run"]
    assert list(run.outputs) == ["made"]


def test_a_kedro_project_runs_node_by_node(tmp_path: Path) -> None:
    pytest.importorskip("kedro", reason="an optional orchestrator")
    for name, text in KEDRO.items():
        file = tmp_path / "store" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    pipeline = Pipeline(source=f"kedro: {tmp_path / 'store'}")
    run = pipeline.run(tmp_path / "run")
    assert run.problem is None
    assert [(stage.name, list(stage.written)) for stage in run.stages] == [
        ("clean", ["clean.json"]),
        ("train", ["model.json"]),
    ]
    half = Pipeline(source=f"kedro: {tmp_path / 'store'}:half").run(tmp_path / "half")
    assert [stage.name for stage in half.stages] == ["clean"]
    broken = pipeline.run(tmp_path / "broken", fault=Fault(stage="train", how="raise_before"))
    assert broken.is_reached
    assert broken.problem is not None
    assert list(broken.outputs) == ["clean.json"]


@pytest.mark.parametrize("source", ["shop", "shop:", "shop:a-b", "", {}])
def test_a_source_that_names_nothing_is_refused(source: str | dict[str, str]) -> None:
    with pytest.raises(InputError):
        Pipeline(source=source)


def again(name: str, tmp_path: Path, **options: object) -> Evidence:
    runs = [
        shop(name).run(
            tmp_path / str(number), variables={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": str(number + 1)}
        )
        for number, seed in enumerate(("1", "4242"))
    ]
    return reproducible(runs, gate_id="pipeline.again", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "differing"), [("seeded", 0), ("unseeded", 1), ("hash_ordered", 1), ("threads", 1), ("logs", 1)]
)
def test_what_depends_on_chance_hashes_or_threads_is_not_reproducible(
    name: str, differing: int, tmp_path: Path
) -> None:
    assert measured(again(name, tmp_path), "differing_files").value == differing


def test_what_may_differ_is_named(tmp_path: Path) -> None:
    evidence = again("logs", tmp_path, ignore=["*.log"])
    assert measured(evidence, "differing_files").value == 0
    assert evidence.details["ignored"] == ["*.log"]


def test_answers_may_lie_apart_by_a_tolerance(tmp_path: Path) -> None:
    evidence = again("threads", tmp_path, atol=0.5, answers=[[0.1, 0.2], [0.1, 0.3]])
    assert measured(evidence, "max_abs_difference").value == pytest.approx(0.1)
    assert [criterion.metric for criterion in evidence.criteria] == ["max_abs_difference"]
    with pytest.raises(InputError, match="none are given"):
        again("seeded", tmp_path / "other", atol=0.5)
    with pytest.raises(InputError, match="not finite"):
        again("seeded", tmp_path / "third", atol=0.5, answers=[[0.1], [float("nan")]])


@pytest.mark.parametrize(("name", "told"), [("nothing", "left no file"), ("fails", "no rows")])
def test_runs_that_made_nothing_show_nothing(name: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        again(name, tmp_path)


@pytest.mark.parametrize(("name", "changed"), [("overwrites", 0), ("appends", 1), ("unseeded", 1)])
def test_a_second_run_changes_nothing(name: str, changed: int, tmp_path: Path) -> None:
    first = shop(name).run(tmp_path / "run")
    second = shop(name).run(tmp_path / "run")
    evidence = idempotent(first, second, gate_id="pipeline.twice")
    assert measured(evidence, "changed_files").value == changed


def test_faults_that_never_happened_show_nothing() -> None:
    never = Failure(
        stage="publish", how="kill", is_reached=False, is_stopped=False, published="previous", serves=None,
        rerun=None, is_same=True,
    )  # fmt: skip
    evidence = survives_failure([never], {"publish": 0.1}, gate_id="pipeline.fails", published="model.json")
    half = measured(evidence, "half_published")
    assert half.upper is None
    assert "never happened: publish (kill)" in str(half.note)
    with pytest.raises(InputError, match="no fault was tried"):
        survives_failure([], {}, gate_id="pipeline.fails", published="model.json")


def test_golden_records_are_what_was_written(tmp_path: Path) -> None:
    import pandas as pd

    rows = pd.DataFrame({"a": [1.5, None], "b": ["x", "y"], "c": [1, 2]})
    path = tmp_path / "golden" / "records.jsonl"
    write_golden(path, rows, [0.25, 1 / 3])
    frozen = read_golden(path)
    assert frozen.expected.tolist() == [0.25, 1 / 3]
    assert frozen.rows["b"].tolist() == ["x", "y"]
    evidence = golden([0.25, 1 / 3], frozen, gate_id="pipeline.golden")
    assert measured(evidence, "changed_answers").value == 0
    assert evidence.materials == (frozen.material,)
    assert measured(golden([0.25, 0.34], frozen, gate_id="pipeline.golden"), "changed_answers").value == 1
    nothing = golden([0.25, float("nan")], frozen, gate_id="pipeline.golden", atol=1.0)
    assert measured(nothing, "changed_answers").value == 1
    with pytest.raises(InputError, match="shape"):
        golden([0.25], frozen, gate_id="pipeline.golden")


def test_golden_records_that_were_edited_are_refused(tmp_path: Path) -> None:
    import pandas as pd

    path = tmp_path / "records.jsonl"
    write_golden(path, pd.DataFrame({"a": [1.0, 2.0]}), [0.25, 0.5])
    text = path.read_text()
    for edited in (text.replace("0.25", "0.26"), text.rsplit("\n", 2)[0] + "\n", text + "{}\n", "", "{}\n"):
        path.write_text(edited)
        with pytest.raises(InputError, match=r"digest differs|holds no golden records"):
            read_golden(path)
    with pytest.raises(InputError, match="freeze records once"):
        read_golden(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="not finite"):
        write_golden(path, pd.DataFrame({"a": [1.0]}), [float("inf")])


def test_a_round_trip_is_bit_by_bit() -> None:
    assert measured(round_trip([0.1, 0.2], [0.1, 0.2], gate_id="pipeline.trip"), "changed_answers").value == 0
    moved = round_trip([0.1, 0.2], [0.1, 0.2 + 1e-16], gate_id="pipeline.trip")
    assert measured(moved, "changed_answers").value == (0 if 0.2 + 1e-16 == 0.2 else 1)
    assert measured(round_trip([0.1], [0.1000001], gate_id="pipeline.trip"), "changed_answers").value == 1
    assert measured(round_trip([0.1], [0.1000001], gate_id="g.t", atol=1e-6), "changed_answers").value == 0
    for after in ([0.1], [0.1, float("nan")]):
        with pytest.raises(InputError):
            round_trip([0.1, 0.2], after, gate_id="pipeline.trip")
