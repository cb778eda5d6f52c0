"""Tables and a model's answers -> Evidence of the conditions of deepchecks, run in a process of its own.

Nothing of deepchecks is imported here: see `pytest_prodml.deepchecks_worker`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from pytest_prodml.checks.deepchecks.answer import Answer, read_answer
from pytest_prodml.checks.deepchecks.evidence import OnWarn, as_evidence
from pytest_prodml.checks.deepchecks.exchange import (
    Columns,
    Predictions,
    Request,
    Suite,
    Task,
    of_scores,
    write_request,
)
from pytest_prodml.checks.deepchecks.process import (
    DEFAULT_MEMORY_BYTES,
    DEFAULT_TIMEOUT_SECONDS,
    Limits,
    exchange_directory,
    run_worker,
)
from pytest_prodml.checks.deepchecks.suites import SUITES, check_names
from pytest_prodml.deepchecks_worker.home import locked_versions, other_versions
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence

__all__ = [
    "DEFAULT_MEMORY_BYTES",
    "DEFAULT_TIMEOUT_SECONDS",
    "SUITES",
    "Columns",
    "Limits",
    "OnWarn",
    "Predictions",
    "Request",
    "Suite",
    "Task",
    "deepchecks_suite",
    "of_scores",
]


def deepchecks_suite(
    request: Request,
    *,
    python: Path,
    gate_id: str,
    limits: Limits | None = None,
    on_warn: OnWarn = "fail",
    redact: bool = False,
    any_versions: bool = False,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that the conditions of a suite of deepchecks hold.

    Each condition is one measurement of ``deepchecks_violations``: deepchecks compares a point value with a
    limit, so it says nothing about other rows than those it looked at, and has no bound. What it does not
    judge never passes, whatever deepchecks' own suite says: a check that raised an error or did not run
    leaves the gate inconclusive; so does one that does not apply or has no condition, if it was asked for by
    name or stands in a suite of one's own.

    Parameters
    ----------
    request : Request
        The suite, the tables, their columns and what the model said of them.
    python : Path
        The interpreter of the environment that deepchecks is installed in.
    gate_id : str
        The gate that this is evidence of.
    limits : Limits, optional
        Seconds and bytes that the worker may take.
    on_warn : {"fail", "pass"}
        What a condition means that only warns.
    redact : bool
        Leave values and details out of the evidence: they quote cells.
    any_versions : bool
        Accept other versions of deepchecks, numpy, pandas, scikit-learn and scipy than the locked ones. With
        some deepchecks fails clean data without a word.
    confidence_level, seed
        Common to all checks; the seed is that of the worker's random numbers, conditions need no level.

    Raises
    ------
    InputError
        If the request can not be sent, the worker dies, takes too long or too much memory, answers something
        else than what was asked, or holds other versions.
    MissingDependencyError
        If pyarrow is not installed here.
    """
    del confidence_level
    limits = Limits() if limits is None else limits
    _check(request, limits, on_warn)
    sent = replace(
        request,
        seed=seed,
        memory_bytes=limits.memory_bytes,
        versions=None if any_versions else locked_versions(),
    )
    try:
        answer = _ask(sent, python, limits)
    except InputError as error:
        if redact:
            # What follows the colon comes from a library or the worker, and may quote a cell.
            raise InputError(error.what.partition(": ")[0], where=error.where, hint=error.hint) from None
        raise
    others = other_versions(answer.versions)
    if others and not any_versions:
        raise InputError(
            f"the worker holds other versions than the locked ones: {', '.join(others)}",
            where=str(python),
            hint="run `prodml deepchecks install`, or set any_versions = true under [tool.prodml.deepchecks]",
        )
    return as_evidence(answer, sent, gate_id=gate_id, on_warn=on_warn, redact=redact)


def _ask(request: Request, python: Path, limits: Limits) -> Answer:
    with exchange_directory() as directory:
        identity = write_request(request, directory)
        run_worker(python, directory, limits)
        return read_answer(directory, request, identity=identity)


def _check(request: Request, limits: Limits, on_warn: str) -> None:
    where = "deepchecks"
    if on_warn not in {"fail", "pass"}:
        raise InputError(f'on_warn is "fail" or "pass", got {on_warn!r}', where=where)
    if not 0 < limits.timeout_seconds < math.inf:
        raise InputError(f"timeout_seconds must be positive, got {limits.timeout_seconds!r}", where=where)
    if limits.memory_bytes is not None and limits.memory_bytes <= 0:
        raise InputError(f"memory_bytes must be positive, got {limits.memory_bytes!r}", where=where)
    check_names(request.suite.name, request.checks)
    own, two = request.suite.source is not None, request.test is not None
    if not own and request.suite.name not in SUITES:
        raise InputError(
            f"there is no suite {request.suite.name!r}", where=where, hint=f"one of {', '.join(SUITES)}"
        )
    if not own and two == (request.suite.name == "data_integrity"):
        raise InputError(f"needs {'one table' if two else 'two tables'}", where=request.suite.name)
    if (
        request.suite.name == "model_evaluation"
        and not own
        and set(request.predictions or {}) != {"train", "test"}
    ):
        raise InputError("needs what the model says of both tables", where=request.suite.name)
    if request.test is not None and request.test.name == request.train.name:
        raise InputError(f"both tables are called {request.test.name!r}", where=where)
    for table in (request.train, request.test):
        names = () if table is None else request.columns.categorical or ()
        for name in names:
            if table is not None and name not in table.frame.columns:
                raise InputError(f"there is no column {name!r}", where=f"{table.name} data")
