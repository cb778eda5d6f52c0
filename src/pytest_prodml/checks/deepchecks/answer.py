"""The worker's answer -> records, or one sentence: it is believed only where it answers what was asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pytest_prodml.checks.deepchecks.exchange import FORMAT, Request
from pytest_prodml.checks.deepchecks.suites import expected_names
from pytest_prodml.codec import Limits, decode, parse_json, snake_case
from pytest_prodml.errors import InputError, MalformedError
from pytest_prodml.records import JsonValue

_LIMITS = Limits(size_bytes=4 * 2**20, depth=16, string_characters=4096)
_MOST_CHECKS = 500
_MOST_CONDITIONS = 100
_WHERE = "the answer of the deepchecks worker"


class CheckState(StrEnum):
    """How a check went: `refused` says that it does not apply to these tables, `error` that it broke."""

    RAN = "ran"
    REFUSED = "refused"
    ERROR = "error"
    NOT_RUN = "not_run"


class Category(StrEnum):
    """What a condition found."""

    PASS = "pass"
    FAIL = "fail"
    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition of a check."""

    text: str
    category: Category
    details: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckAnswer:
    """One check on its tables. `check` is the class, `n_samples` the rows of each table it looked at."""

    name: str
    check: str
    state: CheckState
    reason: str
    conditions: tuple[Condition, ...]
    value: JsonValue
    n_samples: Mapping[str, int]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A check of the suite that the worker never runs."""

    check: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """All that the worker says."""

    format: int
    id: str
    python: str
    versions: Mapping[str, str]
    suite: str
    rows: Mapping[str, int]
    planned: tuple[str, ...]
    checks: tuple[CheckAnswer, ...]
    left_out: tuple[LeftOut, ...]
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no answer."""

    format: int
    id: str
    python: str
    versions: Mapping[str, str]
    failure: str


def read_answer(directory: Path, request: Request, *, identity: str) -> Answer:
    """Read the answer to a request.

    Raises
    ------
    InputError
        If it is too large, no strict JSON, of another form, says that the worker failed, or answers another
        question than the one that was asked: checks too many, too few or twice.
    """
    path = directory / "answer.json"
    try:
        with path.open("rb") as file:
            data = file.read(_LIMITS.size_bytes + 1)
        content = parse_json(data, where=_WHERE, limits=_LIMITS)
        if isinstance(content, dict) and "failure" in content:
            failure = decode(Failure, content, where=_WHERE, naming=snake_case)
            raise InputError(f"the worker gave up: {failure.failure}", where="deepchecks")
        answer = decode(Answer, content, where=_WHERE, naming=snake_case)
    except OSError as error:
        raise InputError(f"can not be read: {error.strerror}", where=_WHERE) from None
    except MalformedError as error:
        problems = "; ".join(error.problems[:5])
        raise InputError(f"{error.what}{': ' if problems else ''}{problems}", where=_WHERE) from None
    problem = next(iter(_problems(answer, request, identity)), None)
    if problem is not None:
        raise InputError(problem, where=_WHERE, hint="nothing of it counts")
    return answer


def _problems(answer: Answer, request: Request, identity: str) -> Iterable[str]:
    if answer.format != FORMAT or answer.id != identity or answer.suite != request.suite.name:
        yield "answers another request"
    if not answer.complete:
        yield "is not complete"
    names = [item.name for item in answer.checks]
    if len(names) > _MOST_CHECKS:
        yield f"tells of {len(names)} checks, more than {_MOST_CHECKS}"
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        yield f"tells of {repeated[0]!r} more than once"
    if Counter(names) != Counter(answer.planned):
        yield _difference(answer.planned, names)
    yield from _unasked(answer, request, names)
    sizes = {"train": len(request.train), "test": 0 if request.test is None else len(request.test)}
    if dict(answer.rows) != sizes:
        yield f"is about tables of {dict(answer.rows)} rows, sent were {sizes}"
    for item in answer.checks:
        yield from _problems_of(item, sizes)


def _unasked(answer: Answer, request: Request, names: Sequence[str]) -> Iterable[str]:
    wanted = expected_names(request)
    if wanted is not None:
        if Counter(names) != Counter(wanted):
            yield _difference(wanted, names)
    elif request.checks is not None:
        for item in answer.checks:
            if item.check not in request.checks:
                yield f"tells of {item.name!r}, which nobody asked for"
        for check in set(request.checks).difference(item.check for item in answer.checks):
            yield f"says nothing of {check!r}"


def _difference(wanted: Iterable[str], names: Iterable[str]) -> str:
    missing = sorted((Counter(wanted) - Counter(names)).elements())
    if missing:
        return f"says nothing of {missing[0]!r}"
    extra = sorted((Counter(names) - Counter(wanted)).elements())
    return f"tells of {extra[0]!r}, which nobody asked for"


def _problems_of(item: CheckAnswer, sizes: Mapping[str, int]) -> Iterable[str]:
    if len(item.conditions) > _MOST_CONDITIONS:
        yield f"tells of {len(item.conditions)} conditions of {item.name!r}, more than {_MOST_CONDITIONS}"
    if item.state is not CheckState.RAN:
        if item.conditions:
            yield f"tells of conditions of {item.name!r}, which did not run"
        return
    if not item.n_samples:
        yield f"does not say on how many rows {item.name!r} ran"
    for side, count in item.n_samples.items():
        if not 0 < count <= sizes.get(side, 0):
            held = sizes.get(side, 0)
            yield f"says that {item.name!r} ran on {count:,} rows of {side!r}, which has {held:,}"
