"""A model and its inputs -> whether it keeps the contract of a model in service, case by case.

The cases stand in the modules beside this one; here they are chosen, run in order and put into evidence.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pytest_prodml.adapters.predictor import Predictor, subjects_of
from pytest_prodml.checks.behavior.batches import Batch, Inputs, inputs_of, take
from pytest_prodml.checks.behavior.execution_answers import Refusal, Rules, ask, copied
from pytest_prodml.checks.behavior.execution_repeats import REPEATED, STATE
from pytest_prodml.checks.behavior.execution_request import (
    CASE_NAMES,
    CASES,
    WHERE,
    check_columns,
    check_numbers,
    check_process,
    chosen_cases,
    demanded_columns,
    known_cases,
)
from pytest_prodml.checks.behavior.execution_trial import (
    Case,
    Finding,
    NotApplicableError,
    NotTriedError,
    Status,
    Trial,
)
from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.errors import InputError, ProdmlError
from pytest_prodml.records import Criterion, Evidence, JsonValue, Measurement

_METRIC = "failed_cases"
#: Cases whose outcome does not rest on the answers being repeatable.
_STAND_ALONE = frozenset(
    {"repeated_calls", "state", "valid_answers", "labels_follow_scores", "class_order", "input_unchanged"}
    | {"empty_batch", "memory"}
)
_MOST_TOLD = 3
_JUDGED = frozenset({Status.PASSED, Status.REFUSED, Status.FAILED})


def robust_execution(
    predictor: Predictor,
    data: Any,  # noqa: ANN401 - whatever a model takes
    *,
    gate_id: str,
    only: Sequence[str] | None = None,
    skip: Sequence[str] = (),
    must_answer: Sequence[str] | Mapping[str, Sequence[str]] = (),
    may_refuse: Sequence[str] = (),
    nan_refuses: bool = False,
    fallbacks: Mapping[str, object] | None = None,
    tolerance: float = 1e-6,
    float32_tolerance: float = 1e-4,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    sum_to_one: bool | None = None,
    positive_label: object = None,
    process: str | None = None,
    path: Path | str | None = None,
    process_seconds: float = 120.0,
    memory_per_call: int = 1024,
    rows: int = 200,
    redact: bool = False,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a model answers as a model in service has to, whatever it is asked and how often.

    Every case asks about the same sample of rows in another way: alone, in another order, as another type,
    with hostile values beside them, from eight threads, from a fresh process. Where the question is the same,
    so must be the answer; where it is hostile, the model gives a valid answer or refuses with an error, and
    never NaN, a score out of bounds, or another number of answers. Measures ``failed_cases``, one group for
    each topic ("answers", "batches", "table", "types", "hostile values", "calls").

    Parameters
    ----------
    predictor : Predictor
        The model.
    data : Dataset, frame, array, list, or a pair of one of them with labels
        Rows that the model is made for. Cases that need a table, an array or texts are not applicable to
        others and say so.
    only, skip : sequence of str
        Cases (see `CASE_NAMES`) to run, or to leave out. Those left out stand in the evidence.
    must_answer : sequence of str, or mapping
        Cases whose inputs the model must answer instead of refusing them; or case -> the columns in which.
        Missing values are demanded in every column of `data` that has some.
    may_refuse : sequence of str
        Cases that are valid inputs and may be refused all the same, such as ``one_row``.
    nan_refuses : bool
        A NaN score for a hostile row counts as a refusal. Not for the rows beside it.
    fallbacks : mapping, optional
        Column of text -> the category as which an unseen one is meant to be answered.
    tolerance : float
        How far scores may lie apart that have to be the same: sums are rounded differently in batches of
        another size. Times the largest score of the sample where `bounds` is None.
    float32_tolerance : float
        Likewise for a table of float32; both tables hold the very same numbers.
    bounds : (float, float), optional
        Where scores lie; None for scores that are no probabilities.
    sum_to_one : bool, optional
        Whether the scores of more than two classes sum to one; default where `bounds` are 0 and 1.
    positive_label : object, optional
        The label that the score of a two-class model is about; default what the model says.
    process : str, optional
        How a fresh process gets the model: "module:function", or "pickle" to carry the one in memory over.
    path : Path or str, optional
        The model file that a fresh process loads; must be the one that is measured.
    process_seconds : float
        How long the fresh process may take.
    memory_per_call : int
        Bytes that each call of 32 rows may leave behind.
    rows : int
        How many rows the sample has; drawn with `seed`.
    redact : bool
        Leave rows, and what the model's errors say, out of the evidence.
    gate_id, confidence_level, seed
        Common to all checks.

    Raises
    ------
    InputError
        If an option makes no sense, no case is left, or the model refuses the sample as it is.

    Notes
    -----
    A case that could not be tried leaves its topic undecided. Without `process` and `path` that is
    ``process``: skip it, or say how. The cases were tried on one sample; a pass is no proof for other rows.
    """
    chosen = chosen_cases(only, skip)
    demanded = demanded_columns(must_answer)
    known_cases(may_refuse, "may_refuse")
    numbers = {"tolerance": tolerance, "float32_tolerance": float32_tolerance}
    check_numbers(numbers, bounds, rows, memory_per_call, process_seconds)
    check_process(process)
    inputs = inputs_of(data)
    check_columns(inputs.batch, chosen, demanded, fallbacks or {})
    with warnings.catch_warnings():
        # What a model warns of is no part of the contract, and an error under pytest's strictest settings.
        warnings.simplefilter("ignore")
        warnings.showwarning = _say_nothing
        batch = _sample(inputs, rows, seed)
        answer = ask(predictor, batch)
        if isinstance(answer, Refusal):
            raise InputError(
                f"the model does not answer the rows as they are: {answer}",
                where=predictor.description,
                hint="give the inputs that the model is made for",
            )
        finite = np.abs(answer.scores[np.isfinite(answer.scores)])
        is_probability = bounds is not None and tuple(bounds) == (0.0, 1.0)
        rules = Rules(
            tolerance=tolerance,
            scale=1.0 if bounds is not None else max(float(finite.max(initial=0.0)), 1e-300),
            bounds=None if bounds is None else (float(bounds[0]), float(bounds[1])),
            sum_to_one=is_probability if sum_to_one is None else sum_to_one,
        )
        trial = Trial(
            predictor=predictor,
            batch=batch,
            everything=inputs.batch,
            target=inputs.target,
            answer=answer,
            rules=rules,
            seed=seed,
            confidence_level=confidence_level,
            must_answer=demanded,
            may_refuse=frozenset(may_refuse),
            nan_refuses=nan_refuses,
            float32_tolerance=float32_tolerance,
            fallbacks={} if fallbacks is None else dict(fallbacks),
            positive_label=positive_label,
            path=None if path is None else Path(path),
            process=process,
            process_seconds=process_seconds,
            memory_per_call=memory_per_call,
        )
        findings = _run_all(trial, chosen)
    if not any(finding.status in _JUDGED | {Status.NOT_TRIED} for finding in findings.values()):
        raise InputError(
            "none of the cases applies to these inputs, so nothing was shown",
            where=WHERE,
            hint=f"asked for: {', '.join(case.name for case in chosen)}",
        )
    measurements = _measurements(findings, redact=redact)
    skipped: list[JsonValue] = [name for name in CASE_NAMES if name in set(skip)]
    return Evidence(
        gate_id=gate_id,
        measurements=tuple(measurements),
        criteria=tuple(_criterion(item) for item in measurements),
        subjects=subjects_of(predictor),
        materials=inputs.materials,
        seed=seed,
        details={
            "cases": [_told(case, findings[case.name], redact=redact) for case in chosen],
            "skipped": skipped,
            "not_asked_for": [name for name in CASE_NAMES if only is not None and name not in set(only)],
            "rows": len(batch),
            "tolerance": tolerance,
            "scale": rules.scale,
        },
    )


def _say_nothing(*_: object, **__: object) -> None:
    """Show no warning: threads of a model may put the filters back."""


def _sample(inputs: Inputs, rows: int, seed: int) -> Batch:
    """Return the sample: rows in their order, at random places."""
    chosen = np.random.default_rng(seed).permutation(len(inputs))[:rows]
    try:
        return copied(take(inputs.batch, np.sort(chosen)))
    except Exception as error:  # noqa: BLE001 - any object's own
        raise InputError(
            f"the inputs can not be copied: {type(error).__name__}",
            where="data",
            hint="give a frame, an array, or a list of texts, arrays or other plain values",
        ) from None


def _run_all(trial: Trial, chosen: Sequence[Case]) -> dict[str, Finding]:
    findings: dict[str, Finding] = {}
    unstable = ""
    for case in chosen:
        if unstable and case.name not in _STAND_ALONE:
            told = f"not judged, because {unstable} failed: other answers would mean nothing"
            findings[case.name] = Finding(status=Status.NOT_TRIED, told=told)
            continue
        found = findings[case.name] = _run_one(trial, case)
        if case.name in {REPEATED.name, STATE.name} and found.status is Status.FAILED and not unstable:
            unstable = case.name
    return findings


def _run_one(trial: Trial, case: Case) -> Finding:
    run: Callable[[Trial, Case], Finding] = case.run
    try:
        return run(trial, case)
    except NotApplicableError as error:
        # Where an answer was demanded nothing may be left untried without a word.
        asked = case.name in trial.must_answer
        status = Status.NOT_TRIED if asked else Status.NOT_APPLICABLE
        return Finding(status=status, told=f"must be answered, and {error}" if asked else str(error))
    except NotTriedError as error:
        return Finding(status=Status.NOT_TRIED, told=str(error))
    except ProdmlError:
        raise
    except Exception as error:  # noqa: BLE001 - what the model raises was caught where it was asked
        # A column of a kind that pandas can not change so: nothing is known, which is no pass.
        return Finding(
            status=Status.NOT_TRIED, told=f"these inputs can not be changed so: {type(error).__name__}"
        )


def _measurements(findings: Mapping[str, Finding], *, redact: bool) -> list[Measurement]:
    found = []
    for topic in dict.fromkeys(case.topic for case in CASES):
        own = {
            case.name: findings[case.name] for case in CASES if case.topic == topic and case.name in findings
        }
        judged = [name for name, finding in own.items() if finding.status in _JUDGED]
        wrong = {name: finding for name, finding in own.items() if finding.status is Status.FAILED}
        untried = {name: finding for name, finding in own.items() if finding.status is Status.NOT_TRIED}
        if not judged and not untried:
            continue
        # What the model's errors say may tell what rows hold.
        parts = [f"failed: {_reasons(wrong, redact=redact)}"] if wrong else []
        parts += [f"not tried: {_reasons(untried, redact=False)}"] if untried else []
        refused = [name for name in judged if own[name].status is Status.REFUSED]
        parts += [f"refused: {', '.join(refused)}"] if refused else []
        found.append(
            Measurement(
                metric=_METRIC,
                value=len(wrong),
                lower=len(wrong),
                # What was not tried may have failed.
                upper=None if untried else len(wrong),
                confidence_level=1.0,
                method="exact count over the cases",
                n_samples=len(judged) + len(untried),
                unit="cases",
                higher_is_better=False,
                group=topic,
                note="; ".join(parts) or None,
            )
        )
    return found


def _reasons(findings: Mapping[str, Finding], *, redact: bool) -> str:
    if redact:
        return ", ".join(findings)
    told = [f"{name} ({finding.told})" for name, finding in list(findings.items())[:_MOST_TOLD]]
    return ", ".join([*told, *list(findings)[_MOST_TOLD:]])


def _criterion(measured: Measurement) -> Criterion:
    return limited(_METRIC, 0, group=measured.group)


def _told(case: Case, finding: Finding, *, redact: bool) -> dict[str, JsonValue]:
    shown = replace(finding, told="", example=None) if redact else finding
    row: dict[str, JsonValue] = {
        "case": case.name,
        "topic": case.topic,
        "what": case.claim,
        "outcome": finding.status.value,
        "tried": finding.tried,
        "refused": finding.refused,
    }
    if finding.largest is not None:
        row["largest_difference"] = finding.largest
    if shown.told:
        row["told"] = shown.told
    if shown.example is not None:
        row["example"] = shown.example
    return row


__all__ = ["CASE_NAMES", "robust_execution"]
