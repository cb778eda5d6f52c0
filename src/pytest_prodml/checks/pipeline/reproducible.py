"""Runs of a pipeline -> Evidence that another run makes the same: from nothing, and over what is there."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.pipelines.runs import PipelineRun
from pytest_prodml.checks.counts import at_most, check_count, exact
from pytest_prodml.errors import InputError
from pytest_prodml.records import Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level

_MOST_SHOWN = 20

Outputs = Mapping[str, tuple[str, int]]


def reproducible(
    runs: Sequence[PipelineRun],
    *,
    gate_id: str,
    atol: float | None = None,
    answers: Sequence[npt.ArrayLike] = (),
    ignore: Sequence[str] = (),
    settings: Sequence[Mapping[str, str]] = (),
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that fresh processes make the same from the same.

    Measures, exactly over these runs, ``differing_files``: outputs that are not the same bytes in all of
    them; and where `answers` are given ``max_abs_difference`` of them.

    Parameters
    ----------
    runs : sequence of PipelineRun
        At least two, each from nothing, in a process of its own.
    atol : float, optional
        How far two answers of the made models may lie apart. Without it files have to be equal bit by bit.
    answers : sequence of array, optional
        What the model that each run made says to the same rows. Needed with `atol`.
    ignore : sequence of str
        Patterns of files that may differ (logs, times), told in the record.
    settings : sequence of mapping
        In what the runs differed, for the record: hash seeds and threads.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If there are fewer than two runs, one failed or made nothing, or answers do not fit.
    """
    del seed
    checked_level(confidence_level)
    if len(runs) < 2:
        raise InputError("one run shows nothing about another", where=gate_id)
    for run in runs:
        check_run(run, "a run of the pipeline")
    kept = [_kept(run.outputs, ignore) for run in runs]
    if not kept[0]:
        raise InputError(
            "the pipeline left no file in its directory: there is nothing to compare",
            where=gate_id,
            hint="let it write to the directory that it is given; ignore names what may differ",
        )
    differing = _differing(kept)
    measurements = [
        exact("differing_files", len(differing), max(map(len, kept)), unit="files", note=_named(differing))
    ]
    criteria: list[Criterion] = [] if atol is not None else [at_most("differing_files", 0)]
    if atol is not None:
        check_count(atol, "atol")
        if len(answers) != len(runs):
            raise InputError(
                "atol is about answers, and none are given",
                where=gate_id,
                hint='say which output is the model: model="model.onnx"',
            )
        measurements.append(_apart(answers))
        criteria.append(at_most("max_abs_difference", atol))
    return Evidence(
        gate_id=gate_id,
        measurements=tuple(measurements),
        criteria=tuple(criteria),
        details={
            "runs": len(runs),
            "settings": [dict(each) for each in settings],
            "files": len(kept[0]),
            "differing": list(differing[:_MOST_SHOWN]),
            "ignored": list(ignore),
            "stages": told_stages(runs[0]),
        },
    )


def idempotent(
    first: PipelineRun,
    second: PipelineRun,
    *,
    gate_id: str,
    ignore: Sequence[str] = (),
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a second run over what the first has left changes nothing.

    Measures, exactly, ``changed_files``: outputs that the second run changed, added or removed.

    Parameters
    ----------
    first, second : PipelineRun
        In one directory, one after the other.
    ignore : sequence of str
        Patterns of files that may differ (logs, times), told in the record.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If a run failed, or they were in two directories, or nothing was made.
    """
    del seed
    checked_level(confidence_level)
    check_run(first, "the first run")
    if first.directory != second.directory:
        raise InputError("the two runs worked in two directories", where=gate_id)
    before, after = _kept(first.outputs, ignore), _kept(second.outputs, ignore)
    if not before:
        raise InputError("the pipeline left no file in its directory", where=gate_id)
    changed = _differing([before, after])
    n_failed = int(second.problem is not None)
    return Evidence(
        gate_id=gate_id,
        measurements=(
            exact("changed_files", len(changed), len(before), unit="files", note=_named(changed)),
            exact("failed_runs", n_failed, 2, unit="runs", note=second.problem),
        ),
        criteria=(at_most("changed_files", 0), at_most("failed_runs", 0)),
        details={
            "changed": [_change(path, before, after) for path in changed[:_MOST_SHOWN]],
            "ignored": list(ignore),
            "stages": told_stages(first),
        },
    )


def check_run(run: PipelineRun, what: str) -> None:
    """Refuse a run that did not end well.

    Raises
    ------
    InputError
        With what it said last.
    """
    if run.problem is not None:
        raise InputError(f"{what} {run.problem}", where="pipeline")


def told_stages(run: PipelineRun) -> list[JsonValue]:
    """Return the stages of a run with what each has written, for the record."""
    return [
        {
            "name": stage.name,
            "seconds": round(stage.seconds, 6),
            "written": {path: told[0] for path, told in list(stage.written.items())[:_MOST_SHOWN]},
        }
        for stage in run.stages[:_MOST_SHOWN]
    ]


def _kept(outputs: Outputs, ignore: Sequence[str]) -> dict[str, tuple[str, int]]:
    return {
        path: told
        for path, told in outputs.items()
        if not any(fnmatch.fnmatchcase(path, pattern) for pattern in ignore)
    }


def _differing(outputs: Sequence[Outputs]) -> list[str]:
    names = sorted({name for each in outputs for name in each})
    return [name for name in names if len({each.get(name) for each in outputs}) > 1]


def _named(paths: Sequence[str]) -> str | None:
    return ", ".join(paths[:3]) + (", ..." if len(paths) > 3 else "") if paths else None


def _change(path: str, before: Outputs, after: Outputs) -> dict[str, JsonValue]:
    return {
        "file": path,
        "bytes before": before[path][1] if path in before else None,
        "bytes after": after[path][1] if path in after else None,
    }


def _apart(answers: Sequence[npt.ArrayLike]) -> Measurement:
    arrays = [np.asarray(each, dtype=np.float64) for each in answers]
    if any(each.shape != arrays[0].shape for each in arrays) or arrays[0].size == 0:
        raise InputError("the models that were made answer in different shapes", where="reproducible")
    if not all(np.isfinite(each).all() for each in arrays):
        raise InputError("an answer of a model that was made is not finite", where="reproducible")
    largest = max(float(np.max(np.abs(each - arrays[0]))) for each in arrays)
    return exact("max_abs_difference", largest, len(arrays[0]), method="maximum over the rows")
