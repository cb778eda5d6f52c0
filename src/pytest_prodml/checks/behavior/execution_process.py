"""The case about a fresh process: the model loaded anew, another hash seed, another number of threads.

A crash, a time-out or another answer there fails. Where nothing says how to load the model, it is not tried.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from pytest_prodml.adapters import ADAPTERS
from pytest_prodml.checks.behavior.execution_answers import Answer
from pytest_prodml.checks.behavior.execution_repeats import inner_of, is_onnx
from pytest_prodml.checks.behavior.execution_trial import (
    Case,
    Finding,
    NotTriedError,
    Status,
    Trial,
    failed,
    one,
)
from pytest_prodml.codec import sha256_hex
from pytest_prodml.environment import THREAD_VARIABLES
from pytest_prodml.errors import InputError

#: What `process` can be besides the name of a function.
PICKLE = "pickle"
_WORKER = Path(__file__).with_name("execution_worker.py")
_MOST_TEXT = 300
_GRACE_SECONDS = 10.0
_HOW = (
    'say process="module:function" (a function that returns the model), path= (a model file), '
    'process="pickle" (carry the model in memory over), or skip=["process"]'
)


def _process(trial: Trial, _: Case) -> Finding:
    with tempfile.TemporaryDirectory(prefix="prodml-process-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        _write(trial, directory)
        problem = _run(directory, trial.process_seconds)
        if problem is not None:
            return failed(problem)
        return _compare(trial, directory)


def _write(trial: Trial, directory: Path) -> None:
    spec: dict[str, Any] = {
        "paths": [str(Path(entry).resolve()) if entry else str(Path.cwd()) for entry in sys.path],
        "factory": None,
        "path": None,
        "options": {},
        "positive_label": _plain_label(trial.positive_label),
    }
    if trial.process == PICKLE:
        try:
            (directory / "model.pickle").write_bytes(pickle.dumps(inner_of(trial.predictor)))
        except Exception as error:  # noqa: BLE001 - any object's own
            raise NotTriedError(
                f"the model in memory can not be pickled ({type(error).__name__}) and carried over"
            ) from None
    elif trial.process is not None:
        spec["factory"] = trial.process
    else:
        spec["path"], spec["options"] = _file_of(trial)
    try:
        (directory / "batch.pickle").write_bytes(pickle.dumps(trial.batch))
    except Exception as error:  # noqa: BLE001 - any object's own
        raise NotTriedError(
            f"the inputs can not be handed to another process: {type(error).__name__}"
        ) from None
    (directory / "spec.json").write_text(json.dumps(spec), encoding="utf-8")


def _plain_label(label: object) -> bool | int | float | str | None:
    if isinstance(label, np.generic):
        label = label.item()
    return label if isinstance(label, (bool, int, float, str)) else None


def _file_of(trial: Trial) -> tuple[str, dict[str, Any]]:
    """Return the file to load the model from, and how, if it is the one that is measured.

    Raises
    ------
    NotTriedError
        If none is known, or none that is loaded without running what it holds.
    InputError
        If it is another file than the model's.
    """
    if trial.path is None:
        raise NotTriedError(f"nothing says how another process gets the model: {_HOW}")
    subject = trial.predictor.subject
    try:
        digest = sha256_hex(trial.path.read_bytes())
    except OSError as error:
        raise InputError(f"can not be read: {error.strerror}", where=str(trial.path)) from None
    if subject is not None and subject.digest.get("sha256") != digest:
        raise InputError(
            f"is another file than the model that is measured ({subject.name})", where=str(trial.path)
        )
    endings, _ = ADAPTERS["onnx"]
    if trial.path.suffix.lower() not in endings:
        raise NotTriedError(f"no adapter loads {trial.path.name} without running what it holds: {_HOW}")
    inner: Any = inner_of(trial.predictor)
    if not is_onnx(inner):
        # A function around the file's model: the file alone is another model.
        raise NotTriedError(f"what is measured is more than {trial.path.name} alone: {_HOW}")
    threads = inner.session.get_session_options().intra_op_num_threads
    options = {
        "columns": inner.columns,
        "providers": list(inner.session.get_providers()),
        "intra_op_threads": 2 if threads == 1 else 1,
    }
    return str(trial.path.resolve()), options


def _variables() -> dict[str, str]:
    """Return this environment with another hash seed and another number of threads."""
    own = dict(os.environ)
    threads = "2" if os.environ.get("OMP_NUM_THREADS") == "1" else "1"
    own.update({name: threads for name in THREAD_VARIABLES if name.endswith("_NUM_THREADS")})
    known = os.environ.get("PYTHONHASHSEED", "random")
    seeds = [seed for seed in ("1", "4242", "99991") if seed != known]
    own["PYTHONHASHSEED"] = random.choice(seeds)  # noqa: S311 - any other one will do
    # The worker sets its own path; another one must not stand in for the standard library.
    own.pop("PYTHONPATH", None)
    return own


def _run(directory: Path, seconds: float) -> str | None:
    """Run the worker; return what went wrong, None if it told something."""
    with (directory / "stderr").open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603 - this interpreter and our own program
            [sys.executable, "-P", "-W", "ignore", str(_WORKER), str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=_variables(),
            start_new_session=True,
        )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"a fresh process did not answer within {seconds:g} s"
        finally:
            if process.returncode is None:
                _kill(process)
    if status != 0 or not (directory / "answer.json").is_file():
        how = f"was killed by {_signal(-status)}" if status < 0 else f"ended with status {status}"
        return f"a fresh process {how}{_last_words(directory)}"
    return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        # Its pid is its group's id until it has been waited for.
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_GRACE_SECONDS)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_words(directory: Path) -> str:
    text = (directory / "stderr").read_bytes()[-4 * _MOST_TEXT :].decode("utf-8", "replace")
    shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())[-_MOST_TEXT:]
    return f": {shown}" if shown else ""


def _compare(trial: Trial, directory: Path) -> Finding:
    found = json.loads((directory / "answer.json").read_text(encoding="utf-8"))
    if found["stage"] == "load":
        return failed(f"a fresh process can not load the model: {found['told']}")
    if found["stage"] == "ask":
        return failed(f"in a fresh process: {found['told']}")
    subject = trial.predictor.subject
    if subject is not None and found["digest"] is not None and found["digest"] != dict(subject.digest):
        return failed("the fresh process loads another model than the one that is measured")
    answer = Answer(
        scores=np.load(directory / "scores.npy", allow_pickle=False),
        labels=np.load(directory / "labels.npy", allow_pickle=False),
    )
    differs, gap = trial.rules.differing(trial.answer, answer)
    if differs.any():
        row = int(np.flatnonzero(differs)[0])
        by = f", scores by up to {gap:.3g}" if np.isfinite(gap) and gap > 0 else ""
        told = f"in a fresh process {np.count_nonzero(differs)} of {len(differs)} rows get another answer{by}"
        return failed(told, largest=gap, example=one(trial.batch, row))
    return Finding(status=Status.PASSED, tried=1, largest=gap)


CASES = (
    Case(
        name="process",
        topic="calls",
        claim="loaded by a fresh process with another hash seed and other threads it answers the same",
        run=_process,
    ),
)
