"""The host side of deepchecks: whatever the worker does, nothing passes that was not shown."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from fake_deepchecks import fake_interpreter
from pytest_prodml.adapters.tables import Dataset, load_dataset
from pytest_prodml.checks.deepchecks import (
    Columns,
    Limits,
    Predictions,
    Request,
    Suite,
    deepchecks_suite,
    of_scores,
)
from pytest_prodml.checks.deepchecks.exchange import write_request
from pytest_prodml.checks.deepchecks.suites import SUITES
from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import InputError, ProdmlError
from pytest_prodml.policy.criterion import Judgement
from pytest_prodml.policy.judge import judge
from pytest_prodml.records import Dimension, Evidence, Gate, GateRun, Measurement, Outcome, RunState

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the fake worker is started by its first line"
)


def table(name: str, rows: int = 40) -> Dataset:
    frame = pd.DataFrame({"age": np.arange(rows), "sex": ["f", "m"] * (rows // 2), "y": [0, 1] * (rows // 2)})
    return load_dataset(frame, name=name, target="y")


def asked(
    suite: str = "data_integrity", *, checks: tuple[str, ...] | None = None, two: bool | None = None
) -> Request:
    pair = suite != "data_integrity" if two is None else two
    return Request(
        suite=Suite(name=suite),
        train=table("reference", 60) if pair else table("test"),
        test=table("test") if pair else None,
        columns=Columns(label="y"),
        checks=checks,
    )


def run(
    tmp_path: Path,
    body: str = "",
    request: Request | None = None,
    *,
    seconds: float = 60,
    on_warn: Literal["fail", "pass"] = "fail",
    redact: bool = False,
    any_versions: bool = False,
) -> Evidence:
    request = asked() if request is None else request
    evidence = deepchecks_suite(
        request,
        python=fake_interpreter(
            tmp_path / "python",
            body,
            train=len(request.train),
            test=0 if request.test is None else len(request.test),
        ),
        gate_id="data.integrity",
        limits=Limits(timeout_seconds=seconds),
        on_warn=on_warn,
        redact=redact,
        any_versions=any_versions,
    )
    canonical_json(encode(evidence))
    return evidence


def judged(evidence: Evidence) -> Judgement:
    gate = Gate(id="data.integrity", dimension=Dimension.DATA, description="")
    gate_run = GateRun(gate_id=gate.id, location="", state=RunState.PASSED, evidence=evidence)
    return judge(gate, gate_run, confidence_level=0.95)


def measured(evidence: Evidence, group: str | None, metric: str = "deepchecks_violations") -> Measurement:
    [found] = [m for m in evidence.measurements if m.metric == metric and m.group == group]
    return found


def test_a_suite_in_which_every_condition_holds_passes(tmp_path: Path) -> None:
    evidence = run(tmp_path)
    assert judged(evidence).outcome is Outcome.PASS
    assert len(evidence.criteria) == len(SUITES["data_integrity"]) + 1
    found = measured(evidence, "DataDuplicates (test): Holds")
    assert (found.value, found.n_samples, found.note) == (0, 40, "Found 3.7 of them")
    assert found.method == "deepchecks 0.19.1 condition (point value, no bound)"
    worker = evidence.materials[-1]
    assert worker.annotations["scikit-learn"] == "1.3.2"
    assert worker.annotations["locked"] is True


def test_a_condition_that_fails_fails(tmp_path: Path) -> None:
    evidence = run(tmp_path, 'checks[5]["conditions"][0]["category"] = "fail"')
    verdict = judged(evidence)
    assert verdict.outcome is Outcome.FAIL
    assert "DataDuplicates (test): Holds" in verdict.message
    assert "Found 3.7 of them" in verdict.message
    assert measured(evidence, None).value == 1


@pytest.mark.parametrize(("on_warn", "outcome"), [("fail", Outcome.FAIL), ("pass", Outcome.PASS)])
def test_a_warning_counts_as_the_project_says(
    tmp_path: Path, on_warn: Literal["fail", "pass"], outcome: Outcome
) -> None:
    evidence = run(tmp_path, 'checks[5]["conditions"][0]["category"] = "warn"', on_warn=on_warn)
    assert judged(evidence).outcome is outcome
    assert "a warning" in (measured(evidence, "DataDuplicates (test): Holds").note or "")


NOT_EVALUATED = {
    "its condition raised an error": 'checks[5]["conditions"][0]["category"] = "error"',
    "it raised an error, all others hold": 'checks[5].update(state="error", reason="KeyError: 1", conditions=[])',
    "it did not run": 'checks[5].update(state="not_run", reason="no", conditions=[], n_samples={})',
}


@pytest.mark.parametrize("body", NOT_EVALUATED.values(), ids=NOT_EVALUATED)
def test_a_check_that_was_not_evaluated_is_no_pass(tmp_path: Path, body: str) -> None:
    evidence = run(tmp_path, body)
    verdict = judged(evidence)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "DataDuplicates (test)" in verdict.message
    assert measured(evidence, None).value is None


def test_a_check_that_broke_hides_no_failure(tmp_path: Path) -> None:
    body = 'checks[5].update(state="error", conditions=[]); checks[6]["conditions"][0]["category"] = "fail"'
    assert judged(run(tmp_path, body)).outcome is Outcome.FAIL


SILENT = {
    "it does not apply": 'checks[0].update(state="refused", reason="no date", conditions=[], n_samples={})',
    "it has no condition": "checks[0].update(conditions=[])",
}


@pytest.mark.parametrize("body", SILENT.values(), ids=SILENT)
def test_what_shows_nothing_is_counted_and_blocks_where_it_was_asked_for(tmp_path: Path, body: str) -> None:
    evidence = run(tmp_path, body)
    assert judged(evidence).outcome is Outcome.PASS
    left = measured(evidence, None, "deepchecks_not_evaluated")
    assert (left.value, left.note) == (1, "IsSingleValue (test)")
    named = run(tmp_path, body, asked(checks=("IsSingleValue", "DataDuplicates")))
    assert judged(named).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("body", SILENT.values(), ids=SILENT)
def test_a_suite_that_shows_nothing_at_all_is_no_pass(tmp_path: Path, body: str) -> None:
    body = body.replace("checks[0]", "item").replace("; ", "\n    ")
    evidence = run(tmp_path, f"for item in checks:\n    {body}")
    verdict = judged(evidence)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "no check judged anything" in verdict.message


def test_a_sample_says_of_how_many_rows(tmp_path: Path) -> None:
    evidence = run(tmp_path, 'checks[5]["n_samples"] = {"train": 10}')
    found = measured(evidence, "DataDuplicates (test): Holds")
    assert found.n_samples == 10
    assert found.note == "Found 3.7 of them; looked at 10 of the 40 rows of the test data"
    rows = evidence.details["deepchecks_checks"]
    assert isinstance(rows, list)
    assert {"check": "DataDuplicates (test)", "rows": 10, "coverage": 0.25}.items() <= rows[5].items()  # type: ignore[union-attr]


def test_redacted_evidence_quotes_no_cell(tmp_path: Path) -> None:
    assert "3.7" in str(run(tmp_path))
    assert "0.5" in str(run(tmp_path).details)
    redacted = run(tmp_path, redact=True)
    assert "3.7" not in str(redacted)
    assert "0.5" not in str(redacted.details)


def test_redacted_errors_quote_no_cell(tmp_path: Path) -> None:
    body = 'checks[5].update(state="error", reason="ValueError: not Jane Roe", conditions=[])'
    evidence = run(tmp_path, body, redact=True)
    assert "ValueError" in judged(evidence).message
    assert "Jane" not in str(evidence)
    with pytest.raises(InputError) as raised:
        run(tmp_path, "raise ValueError('Jane Roe')", redact=True)
    assert "ended with status 1" in str(raised.value)
    assert "Jane" not in str(raised.value)


#: What the answer is about to be, and what the reader is told. Each would pass if it were believed.
BROKEN = {
    "garbage": ("text = 'no json'", "strict JSON"),
    "nothing": ("text = ''", "strict JSON"),
    "truncated": ("text = json.dumps(answer)[:-40]", "strict JSON"),
    "a key twice": ("text = json.dumps(answer)[:-1] + ', \"complete\": true}'", "stands twice"),
    "NaN": ('checks[0]["seconds"] = float("nan")', "NaN is not a JSON number"),
    "too large": ("text = ' ' * (5 << 20)", "more than"),
    "too deep": ("text = '[' * 100000", "nested deeper"),
    "another form": ('answer["passed"] = True', "unknown field 'passed'"),
    "no checks": ('del answer["checks"]', "missing field 'checks'"),
    "an unknown state": ('checks[0]["state"] = "fine"', "one of ran, refused, error, not_run"),
    "an unknown category": (
        'checks[0]["conditions"][0]["category"] = "ok"',
        "one of pass, fail, warn, error",
    ),
    "a number as text": ('answer["rows"] = {"train": "40", "test": 0}', "expected an integer"),
    "another request": ('answer["id"] = "0" * 32', "answers another request"),
    "another suite": ('answer["suite"] = "model_evaluation"', "answers another request"),
    "another format": ('answer["format"] = 2', "answers another request"),
    "not to the end": ('answer["complete"] = False', "is not complete"),
    "a check missing": ('del checks[3]; del answer["planned"][3]', "says nothing of 'MixedDataTypes (test)'"),
    "a check missing from its plan": ("del checks[3]", "says nothing of 'MixedDataTypes (test)'"),
    "a check too many": (
        'checks.append(check("Friendly")); answer["planned"].append("Friendly")',
        "'Friendly', which nobody asked for",
    ),
    "a check twice": (
        'checks.append(dict(checks[3])); answer["planned"].append(checks[3]["name"])',
        "more than once",
    ),
    "conditions of what did not run": ('checks[0].update(state="error")', "which did not run"),
    "rows nobody sent": ('answer["rows"]["train"] = 4000', "sent were"),
    "more rows than there are": ('checks[0]["n_samples"] = {"train": 41}', "which has 40"),
    "a table nobody sent": ('checks[0]["n_samples"] = {"test": 1}', "which has 0"),
    "no rows": ('checks[0]["n_samples"] = {}', "on how many rows"),
    "zero rows": ('checks[0]["n_samples"] = {"train": 0}', "which has 40"),
    "other versions": ('answer["versions"]["pandas"] = "3.0.6"', "pandas 3.0.6 (locked: 2.3.3)"),
    "no versions": ('answer["versions"] = {}', "deepchecks is missing"),
    "it gave up": (
        'answer = {k: answer[k] for k in ("format", "id", "python", "versions")} | {"failure": "no rows"}; status = 3',
        "the worker gave up: no rows",
    ),
    "a whole answer and a failed exit": ("status = 1", "ended with status 1"),
    "a whole answer and a crash": (
        "write(json.dumps(answer)); os.kill(os.getpid(), signal.SIGSEGV)",
        "was killed by SIGSEGV",
    ),
    "killed for its memory": ("os.kill(os.getpid(), signal.SIGKILL)", "memory limit is 8 GiB"),
    "no answer": ("sys.exit(0)", "left no answer"),
    "an exception": ("raise ValueError('of the worker')", "ValueError: of the worker"),
    "a directory as the answer": ('(directory / "answer.json").mkdir(); sys.exit(0)', "left no answer"),
}


@pytest.mark.parametrize(("body", "told"), BROKEN.values(), ids=BROKEN)
def test_an_answer_that_can_not_be_believed_is_an_error(tmp_path: Path, body: str, told: str) -> None:
    with pytest.raises(ProdmlError) as raised:
        run(tmp_path, body)
    assert told in str(raised.value)


def test_other_versions_count_where_the_project_says_so(tmp_path: Path) -> None:
    evidence = run(tmp_path, 'answer["versions"]["pandas"] = "3.0.6"', any_versions=True)
    assert evidence.materials[-1].annotations["locked"] is False
    assert judged(evidence).outcome is Outcome.PASS


def test_a_worker_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    note = tmp_path / "child"
    body = f"""
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
        pathlib.Path({str(note)!r}).write_text(str(child.pid))
        (directory / "progress").write_text("3 of 12: MixedNulls (test)")
        time.sleep(120)
    """
    with pytest.raises(InputError, match="time limit of 3 s at check 3 of 12: MixedNulls") as raised:
        run(tmp_path, body, seconds=3)
    assert "nothing was evaluated" in str(raised.value)
    deadline = time.monotonic() + 30
    while is_alive(int(note.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(int(note.read_text()))


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_worker_sees_nothing_of_this_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRODML_KEY_PASSPHRASE", "secret")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    note = tmp_path / "variables"
    run(tmp_path, f"pathlib.Path({str(note)!r}).write_text(json.dumps([dict(os.environ), os.getcwd()]))")
    seen, directory = json.loads(note.read_text())
    assert not {name for name in seen if name.startswith("PRODML") or name in {"PYTHONPATH", "USER"}}
    assert seen["DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY"] == "true"
    assert seen["HOME"] == directory
    assert not Path(directory).exists(), "tables do not stay on disk"


def test_an_interpreter_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can not be started"):
        deepchecks_suite(asked(), python=tmp_path / "missing", gate_id="data.integrity")


@pytest.mark.parametrize(
    ("any_versions", "told"),
    [(False, "deepchecks is missing"), (True, "ModuleNotFoundError: No module named 'deepchecks'")],
)
def test_the_program_itself_says_what_it_lacks(*, any_versions: bool, told: str) -> None:
    here = Path(sys.executable)
    with pytest.raises(InputError, match="the worker gave up") as raised:
        deepchecks_suite(asked(), python=here, gate_id="data.integrity", any_versions=any_versions)
    assert told in str(raised.value)


@pytest.mark.skipif(
    sys.platform != "linux", reason="other systems do not keep to a limit of the address space"
)
def test_the_program_itself_keeps_to_its_memory_limit() -> None:
    limits = Limits(memory_bytes=96 * 2**20)
    with pytest.raises(InputError) as raised:
        deepchecks_suite(
            asked(), python=Path(sys.executable), gate_id="data.integrity", limits=limits, any_versions=True
        )
    assert "No module named 'deepchecks'" not in str(raised.value), "it did not even get there"


def own(body: str = "", checks: tuple[str, ...] | None = None) -> tuple[Request, str]:
    source = Suite(name="ours", source=b"suite = ...", file_name="ours.py")
    request = replace(asked(two=True, checks=checks), suite=source)
    make = """
        checks.append(check("FeatureDrift"))
        checks += [check("DataDuplicates (test)", "DataDuplicates"), check("DataDuplicates (test) #2", "DataDuplicates")]
    """
    return request, f"{textwrap.dedent(make)}\n{body}\nanswer['planned'] = [item['name'] for item in checks]"


def test_a_suite_of_ones_own(tmp_path: Path) -> None:
    request, body = own()
    evidence = run(tmp_path, body, request)
    assert judged(evidence).outcome is Outcome.PASS
    assert len(evidence.criteria) == 4
    assert [(item.name, item.annotations["role"]) for item in evidence.materials[-2:]] == [
        ("deepchecks-worker", "software"),
        ("ours.py", "deepchecks suite"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        'checks[0].update(state="refused", reason="no date", conditions=[], n_samples={})',
        "checks[0].update(conditions=[])",
        "checks.clear()",
    ],
)
def test_a_suite_of_ones_own_has_to_show_something_by_every_check(tmp_path: Path, body: str) -> None:
    request, make = own(body)
    assert judged(run(tmp_path, make, request)).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("checks", "told"),
    [
        (("FeatureDrift",), "which nobody asked for"),
        (("FeatureDrift", "DataDuplicates", "LabelDrift"), "'LabelDrift'"),
    ],
)
def test_a_suite_of_ones_own_answers_for_the_checks_that_were_named(
    tmp_path: Path, checks: tuple[str, ...], told: str
) -> None:
    request, body = own(checks=checks)
    with pytest.raises(InputError, match=told):
        run(tmp_path, body, request)


def test_conditions_that_read_alike_are_judged_alone(tmp_path: Path) -> None:
    request, body = own(
        'checks[0]["conditions"].append(dict(checks[0]["conditions"][0], category="fail", text="Holds\\u200b"))'
    )
    evidence = run(tmp_path, body, request)
    assert [m.value for m in evidence.measurements[:2]] == [0, 1]
    assert [m.group for m in evidence.measurements[:2]] == ["FeatureDrift: Holds", "FeatureDrift: Holds (2)"]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no such suite": ({"suite": Suite(name="integrity")}, "there is no suite 'integrity'"),
    "no such check": ({"checks": ("Duplicates",)}, "holds no check 'Duplicates'"),
    "a check that calls the model": ({"checks": ("UnusedFeatures",)}, "models never cross"),
    "no check": ({"checks": ()}, "at least one check"),
    "a check twice": ({"checks": ("MixedNulls", "MixedNulls")}, "each once"),
    "one table too many": ({"test": table("other")}, "needs one table"),
    "one table too few": ({"suite": Suite(name="train_test_validation")}, "needs two tables"),
    "no predictions": (
        {"suite": Suite(name="model_evaluation"), "test": table("other")},
        "needs what the model says of both tables",
    ),
    "tables of one name": (
        {"suite": Suite(name="train_test_validation"), "test": table("test")},
        "both tables are called 'test'",
    ),
    "no such column": ({"columns": Columns(categorical=("gender",))}, "there is no column 'gender'"),
}


@pytest.mark.parametrize(("change", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_request_is_refused_before_anything_starts(change: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        deepchecks_suite(replace(asked(), **change), python=Path("/none"), gate_id="data.integrity")


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_limit_is_a_positive_number(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(InputError, match="timeout_seconds must be positive"):
        run(tmp_path, seconds=seconds)


def frame_of(cells: list[Any]) -> Request:
    frame = pd.DataFrame({"cells": pd.Series(cells, dtype=object), "y": range(len(cells))})
    return replace(asked(), train=load_dataset(frame, name="test", target="y"))


def test_cells_of_several_types_cross_as_they_are(tmp_path: Path) -> None:
    cells = ["1", 1, 1.5, True, None, float("nan")]
    write_request(frame_of(cells), tmp_path)
    request = json.loads((tmp_path / "request.json").read_bytes())
    assert request["tables"]["train"]["mixed"] == ["cells"]
    sent = parquet.read_table(tmp_path / "train.parquet")
    back = [json.loads(cell) for cell in sent["cells"].to_pylist()]
    assert back[:5] == cells[:5]
    assert [type(cell) for cell in back] == [str, int, float, bool, type(None), float]


def test_cells_that_can_not_cross_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the column 'cells' can not be sent as Parquet: .*complex"):
        write_request(frame_of([1, 2j]), tmp_path)


def test_whole_numbers_that_do_not_fit_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the column 'cells' can not be sent as Parquet"):
        write_request(frame_of([2**70, 1]), tmp_path)


def test_nothing_is_pickled_and_roles_are_no_inputs(tmp_path: Path) -> None:
    request = asked("model_evaluation")
    said = Predictions(labels=np.array([0, 1] * 20), probabilities=np.full((40, 2), 0.5))
    before = Predictions(labels=np.array([0, 1] * 30), probabilities=np.full((60, 2), 0.5))
    request = replace(
        request,
        predictions={"train": before, "test": said},
        columns=Columns(label="y", index="age"),
        classes=(0, 1),
        task="binary",
    )
    write_request(request, tmp_path)
    files = {path.name for path in tmp_path.iterdir()}
    parquets = {f"{side}{part}.parquet" for side in ("train", "test") for part in ("", "-predictions")}
    assert files == {"request.json", *parquets}
    assert json.loads((tmp_path / "request.json").read_bytes())["features"] == ["sex"]
    wrong = Predictions(labels=np.array([0, 1]))
    with pytest.raises(InputError, match=r"40 rows have predictions of shape \(2,\)"):
        write_request(replace(request, predictions={"train": before, "test": wrong}), tmp_path)


def test_scores_become_probabilities_in_the_order_of_the_classes() -> None:
    scores = np.array([0.25, 1.0])
    found = of_scores(scores, ["bad", "good"], "bad")
    assert found is not None
    assert found.tolist() == [[0.25, 0.75], [1.0, 0.0]]
    second = of_scores(scores, [0, 1], 1)
    assert second is not None
    assert second.tolist() == [[0.75, 0.25], [0.0, 1.0]]
    assert of_scores(np.array([-0.5, 2.0]), [0, 1], 1) is None
    assert of_scores(np.array([0.5, np.nan]), [0, 1], 1) is None
    assert of_scores(np.full((2, 3), 0.5), [0, 1, 2], 1) is None


def test_the_exchange_is_private(tmp_path: Path) -> None:
    note = tmp_path / "mode"
    run(tmp_path, f"pathlib.Path({str(note)!r}).write_text(oct(directory.stat().st_mode & 0o777))")
    assert note.read_text() == "0o700"
    assert os.getcwd() != str(tmp_path)  # noqa: PTH109 - the worker's directory is not this process's
