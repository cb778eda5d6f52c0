"""Rows that are not independent, or do not count alike: what `no_leakage` and `stable` make of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from pytest_prodml.adapters.tables import Dataset, load_dataset
from pytest_prodml.checks.overlap.columns import shared_columns
from pytest_prodml.checks.overlap.copies import beyond_chance, exact_copies
from pytest_prodml.checks.performance.leakage import no_leakage
from pytest_prodml.checks.performance.stability import stable
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, Measurement
from pytest_prodml.statistics.design import Design


def dataset(frame: pd.DataFrame, name: str) -> Dataset:
    target = frame["bought"].to_numpy()
    return load_dataset(
        (frame.drop(columns="bought").reset_index(drop=True), target), name=name, target="bought"
    )


def visits(clients: int, seed: int, *, each: int = 8, first: int = 0) -> pd.DataFrame:
    """Return several rows of each client, who always decides alike; `home` is the client's alone."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(clients), each)
    frame = pd.DataFrame({"client": who + first, "home": rng.normal(size=clients)[who]})
    frame["spent"] = rng.gamma(2.0, size=len(frame))
    frame["weight"] = rng.choice([0.2, 1.0, 5.0], len(frame))
    return frame.assign(bought=rng.integers(0, 2, clients)[who])


def measured(evidence: Evidence, name: str) -> Measurement:
    [found] = [item for item in evidence.measurements if item.metric == name]
    return found


def ask(tables: tuple[Dataset, Dataset], kind: str, **options: Any) -> Measurement:
    return measured(no_leakage(*tables, only=[kind], gate_id="performance.no_leakage", **options), kind)


TABLES = dataset(visits(40, 0), "reference"), dataset(visits(40, 1, first=40), "test")


def test_what_only_names_the_entity_predicts_nothing() -> None:
    ignored = {"ignore": ["weight"]}
    rows = ask(TABLES, "single_feature", **ignored)
    entities = ask(TABLES, "single_feature", entity="client", **ignored)
    assert rows.value is not None
    assert rows.value > 0.95
    assert entities.value is not None
    assert entities.value < 0.8
    assert (entities.upper or 0) - (entities.lower or 0) > 1.5 * ((rows.upper or 0) - (rows.lower or 0))


def test_the_classifier_does_not_recognize_entities() -> None:
    ignored = {"ignore": ["weight"]}
    rows = ask(TABLES, "adversarial_auc", **ignored)
    entities = ask(TABLES, "adversarial_auc", entity="client", **ignored)
    assert rows.value is not None
    assert rows.value > 0.9
    assert entities.value is not None
    assert entities.value < 0.7


def test_an_entity_for_each_row_changes_nothing() -> None:
    tables = dataset(visits(300, 2, each=1), "reference"), dataset(visits(200, 3, each=1, first=300), "test")
    for kind in ("single_feature", "adversarial_auc"):
        alone = ask(tables, kind, ignore=["weight", "client"])
        named = ask(tables, kind, ignore=["weight"], entity="client")
        assert (alone.value, alone.lower, alone.upper) == (named.value, named.lower, named.upper)


def test_a_table_of_one_entity_can_not_be_told_apart() -> None:
    tables = dataset(visits(40, 4), "reference"), dataset(visits(1, 5, each=60, first=40), "test")
    found = ask(tables, "adversarial_auc", entity="client", ignore=["weight"])
    assert found.value is None
    assert "too few entities" in (found.note or "")


def test_copies_that_come_by_entity_are_fewer_than_rows() -> None:
    frame = visits(40, 6)
    copied = visits(40, 7, first=40)
    copied.iloc[:64] = frame.iloc[:64]
    tables = dataset(frame, "reference"), dataset(copied, "test")
    found = exact_copies(shared_columns(*tables), seed=0)
    clusters = np.repeat(np.arange(40), 8)
    simple = beyond_chance(found, Design(), Design()).at(0.95)
    clustered = beyond_chance(found, Design(clusters=clusters), Design(clusters=clusters)).at(0.95)
    assert simple[1] is not None
    assert clustered[1] is not None
    assert clustered[1] > simple[1] + 0.03


def test_weights_are_those_of_a_population() -> None:
    rng = np.random.default_rng(8)
    frame = pd.DataFrame({"a": rng.normal(size=800), "weight": np.where(np.arange(800) < 400, 0.01, 1.0)})
    # The column decides in the rows that stand for nearly nobody.
    frame["bought"] = np.where(np.arange(800) < 400, frame["a"] > 0, rng.random(800) < 0.5).astype(int)
    frame = frame.sample(frac=1, random_state=0)
    tables = dataset(frame[:600], "reference"), dataset(frame[600:], "test")
    plain = ask(tables, "single_feature", ignore=["weight"])
    weighted = ask(tables, "single_feature", sample_weight="weight")
    assert plain.value is not None
    assert weighted.value is not None
    assert plain.value > 0.7
    assert weighted.value < 0.62
    shifted = frame.assign(a=frame["a"] + np.where(frame["weight"] < 1, 3.0, 0.0))
    tables = dataset(frame[:600], "reference"), dataset(shifted[600:], "test")
    told, same = (
        ask(tables, "adversarial_auc", **options)
        for options in ({"ignore": ["weight"]}, {"sample_weight": "weight"})
    )
    assert told.value is not None
    assert same.value is not None
    assert told.value > 0.65
    assert same.value < 0.6


def test_facts_about_the_rows_at_hand_do_not_depend_on_the_design() -> None:
    frame = visits(40, 9)
    copied = pd.concat([visits(40, 10, first=40), frame[:30]])
    tables = dataset(frame, "reference"), dataset(copied, "test")
    kinds = ["duplicate_rows", "near_duplicate_rows", "target_names"]
    plain = no_leakage(*tables, only=kinds, gate_id="performance.x", ignore=["client", "weight"])
    designed = no_leakage(
        *tables, only=kinds, gate_id="performance.x", entity="client", sample_weight="weight"
    )
    assert [item.value for item in plain.measurements] == [item.value for item in designed.measurements]
    assert all(item.confidence_level == 1.0 for item in plain.measurements)


def test_a_weight_that_is_none_is_refused() -> None:
    broken = visits(40, 11)
    broken.loc[3, "weight"] = -1.0
    with pytest.raises(InputError, match="negative"):
        ask((dataset(broken, "reference"), TABLES[1]), "single_feature", sample_weight="weight")
    with pytest.raises(InputError, match="no column 'wieght'"):
        ask(TABLES, "adversarial_auc", sample_weight="wieght")


class OfHome:
    """A model of a client's home: all rows of a client get one answer."""

    classes_ = np.array([0, 1])

    def __init__(self, cut: float) -> None:
        self.cut = cut

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[np.int64]:
        answers: npt.NDArray[np.int64] = (rows["home"].to_numpy() > self.cut).astype(np.int64)
        return answers


def cut_of(_features: pd.DataFrame, _target: npt.NDArray[Any], *, seed: int) -> OfHome:
    return OfHome(np.random.default_rng(seed).normal(scale=0.1))


def test_changed_decisions_count_entities_and_weights() -> None:
    def changed(**options: Any) -> Measurement:
        evidence = stable(
            cut_of, "accuracy", *TABLES, changed_at_most=0.2, gate_id="performance.s", **options
        )
        return measured(evidence, "changed_decisions")

    rows, entities, weighted = changed(), changed(entity="client"), changed(sample_weight="weight")
    assert rows.value == entities.value
    assert (entities.upper or 0) > (rows.upper or 1) + 0.02
    assert weighted.value != rows.value
    assert "retrainings" in (entities.note or "")


def test_folds_keep_the_rows_of_an_entity_together() -> None:
    seen: list[set[int]] = []

    def train(features: pd.DataFrame, _target: npt.NDArray[Any], *, seed: int) -> OfHome:  # noqa: ARG001
        seen.append(set(features["client"]))
        return OfHome(0.0)

    stable(
        train, "accuracy", TABLES[0], folds=5, entity="client", spread_at_most=0.5, gate_id="performance.s"
    )
    assert [len(clients) for clients in seen] == [32] * 5
    assert set.intersection(*seen) == set()
    few = dataset(visits(2, 12, each=30), "reference")
    with pytest.raises(InputError, match="too few for 5 folds"):
        stable(train, "accuracy", few, folds=5, entity="client", spread_at_most=0.5, gate_id="performance.s")
