"""Champion and challenger on the same rows: agreement with a bound, and nothing shown by a model against itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

from pytest_prodml.adapters.callable import CallablePredictor
from pytest_prodml.checks.pipeline import agrees_with
from pytest_prodml.errors import InputError
from pytest_prodml.records import Subject

ROWS = pd.DataFrame({"a": np.linspace(0, 1, 1_000)})


def model(shift: float, digest: str | None = None) -> CallablePredictor:
    subject = None if digest is None else Subject(name="m", digest={"sha256": digest})
    return CallablePredictor(function=lambda rows: rows["a"] + shift, subject=subject)


@pytest.mark.parametrize(("shift", "differing"), [(0.0, 0), (0.02, 20), (-0.1, 100)])
def test_the_bound_is_that_of_clopper_and_pearson(shift: float, differing: int) -> None:
    evidence = agrees_with(model(0), model(shift), ROWS, 0.9, gate_id="pipeline.shadow")
    (found,) = evidence.measurements
    assert found.value == 1 - differing / 1_000
    lower = 0.05 ** (1 / 1_000) if not differing else beta.ppf(0.05, 1_000 - differing, differing + 1)
    assert found.lower == pytest.approx(lower, rel=1e-9)
    assert evidence.details["decided otherwise"] == differing
    assert len(evidence.details["examples"]) == min(differing, 10)  # type: ignore[arg-type]


def test_a_threshold_decides_where_it_is_given() -> None:
    evidence = agrees_with(model(0), model(0.02), ROWS, 0.9, gate_id="pipeline.shadow", threshold=2.0)
    assert evidence.measurements[0].value == 1


def test_a_model_against_itself_shows_nothing() -> None:
    with pytest.raises(InputError, match="they always agree"):
        agrees_with(model(0, "a" * 64), model(0.5, "a" * 64), ROWS, 0.9, gate_id="pipeline.shadow")
    evidence = agrees_with(model(0, "a" * 64), model(0.5, "b" * 64), ROWS, 0.9, gate_id="pipeline.shadow")
    assert [subject.digest["sha256"] for subject in evidence.subjects] == ["b" * 64]
    assert "a" * 64 in [material.digest["sha256"] for material in evidence.materials]


@pytest.mark.parametrize(("rows", "at_least"), [(ROWS.head(0), 0.9), (ROWS, 1.5), (ROWS, float("nan"))])
def test_what_makes_no_sense_is_refused(rows: pd.DataFrame, at_least: float) -> None:
    with pytest.raises(InputError):
        agrees_with(model(0), model(1), rows, at_least, gate_id="pipeline.shadow")
