"""Cases about how rows stand in a batch: alone, in another order, beside other rows, twice, or not at all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pytest_prodml.checks.behavior.batches import is_frame, join, take
from pytest_prodml.checks.behavior.execution_trial import (
    Case,
    NotApplicableError,
    Places,
    Trial,
    Variant,
    over_variants,
)

_BATCH_SIZES = (1, 7, 32)
#: Rows that are asked about one by one: each is a call.
_MOST_SINGLE = 32
_TOPIC = "batches"
_TABLE = "table"


def _pieces(trial: Trial, size: int) -> Iterator[Variant]:
    places = trial.first(_MOST_SINGLE if size == 1 else len(trial))
    for start in range(0, len(places), size):
        chosen = places[start : start + size]
        yield _rows(trial, chosen, f"rows in batches of {size}")


def _rows(trial: Trial, places: Places, told: str) -> Variant:
    return Variant(told=told, batch=take(trial.batch, places), places=places)


def _one_row(trial: Trial, _: Case) -> Iterator[Variant]:
    yield from _pieces(trial, 1)


def _batch_size(trial: Trial, _: Case) -> Iterator[Variant]:
    for size in _BATCH_SIZES[1:]:
        if size < len(trial):
            yield from _pieces(trial, size)
    if len(trial.everything) > len(trial):
        # The sample once more, in front of as many other rows as there are (up to nine times as many).
        others = take(trial.everything, np.arange(min(len(trial.everything), 9 * len(trial))))
        places = np.concatenate([np.arange(len(trial)), np.full(len(others), -1)]).astype(np.intp)
        told = f"one batch of {len(places):,} rows"
        yield Variant(told=told, batch=join([trial.batch, others]), places=places)


def _empty(trial: Trial, _: Case) -> Iterator[Variant]:
    yield _rows(trial, np.empty(0, dtype=np.intp), "a batch without rows")


def _order(trial: Trial, case: Case) -> Iterator[Variant]:
    if len(trial) < 2:
        raise NotApplicableError("there is one row")
    places = trial.first(len(trial))
    yield _rows(trial, places[::-1].copy(), "rows in reverse order")
    yield _rows(trial, trial.random(case).permutation(places), "rows in random order")


def _neighbours(trial: Trial, case: Case) -> Iterator[Variant]:
    if len(trial) < 4:
        raise NotApplicableError("there are fewer than four rows")
    random = trial.random(case)
    for part in range(3):
        chosen = np.sort(random.choice(len(trial), size=len(trial) // 2, replace=False))
        yield _rows(trial, chosen.astype(np.intp), f"random half {part + 1} of the rows")
    # Neighbours that are alike: what is taken from the batch (a mean, a rank) is another number then.
    by_score = np.argsort(trial.answer.matrix[:, 0], kind="stable")
    for name, part_of in (
        ("lowest", by_score[: len(trial) // 4]),
        ("highest", by_score[-(len(trial) // 4) :]),
    ):
        yield _rows(trial, np.sort(part_of), f"the quarter of rows with the {name} scores")


def _duplicates(trial: Trial, _: Case) -> Iterator[Variant]:
    places = trial.first(_MOST_SINGLE)
    yield _rows(trial, np.repeat(places, 3), "each row three times")
    yield _rows(trial, np.zeros(20, dtype=np.intp), "one row 20 times")


def _index(trial: Trial, _: Case) -> Iterator[Variant]:
    if not is_frame(trial.batch):
        raise NotApplicableError("the inputs are no table")
    places = trial.first(len(trial))
    labels: dict[str, object] = {
        "numbers from 1,000,000 down": range(1_000_000, 1_000_000 - len(places), -1),
        "texts": [f"row {place}" for place in places],
    }
    for told, index in labels.items():
        yield Variant(told=f"row labels: {told}", batch=trial.batch.set_axis(index, axis=0), places=places)


def _duplicated_index(trial: Trial, _: Case) -> Iterator[Variant]:
    if not is_frame(trial.batch):
        raise NotApplicableError("the inputs are no table")
    places = trial.first(len(trial))
    for told, index in (("the same for all rows", places * 0), ("each for two rows", places // 2)):
        yield Variant(told=f"row labels: {told}", batch=trial.batch.set_axis(index, axis=0), places=places)


CASES = (
    Case(
        name="one_row",
        topic=_TOPIC,
        claim="a row that is asked about alone gets the answer that it gets in a batch",
        run=over_variants(_one_row),
    ),
    Case(
        name="empty_batch",
        topic=_TOPIC,
        claim="a batch without rows gets an empty answer, or a refusal",
        run=over_variants(_empty),
        may_refuse=True,
    ),
    Case(
        name="batch_size",
        topic=_TOPIC,
        claim="rows get the same answers in batches of 7 and 32 and in one large batch",
        run=over_variants(_batch_size),
    ),
    Case(
        name="row_order",
        topic=_TOPIC,
        claim="rows in another order get the same answers",
        run=over_variants(_order),
    ),
    Case(
        name="neighbours",
        topic=_TOPIC,
        claim="a row's answer does not depend on the rows beside it",
        run=over_variants(_neighbours),
    ),
    Case(
        name="duplicate_rows",
        topic=_TOPIC,
        claim="a row that stands in the batch several times gets its answer each time",
        run=over_variants(_duplicates),
    ),
    Case(
        name="row_labels",
        topic=_TABLE,
        claim="the index of a frame makes no difference",
        run=over_variants(_index),
    ),
    Case(
        name="duplicated_index",
        topic=_TABLE,
        claim="an index that names several rows alike makes no difference",
        run=over_variants(_duplicated_index),
    ),
)
