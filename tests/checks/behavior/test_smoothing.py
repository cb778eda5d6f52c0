"""Randomized smoothing: radii against the exact ones of linear models, and whose claim it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from behavior_inputs import by_income, clients, measured, outcome
from pytest_prodml.adapters import as_predictor
from pytest_prodml.checks.behavior import certified_radius
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, Outcome

WEIGHTS = np.asarray([1.0, -2.0, 0.5, 0.0])


def linear(batch: np.ndarray) -> Any:
    return 1 / (1 + np.exp(-batch @ WEIGHTS))


def rows(n: int = 300, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 4)) * 2


def ask(data: Any, model: Any = linear, **more: Any) -> Evidence:
    options: dict[str, Any] = {"sigma": 0.5, "radius": 0.3, "at_least": 0.5, "threshold": 0.5, **more}
    return certified_radius(as_predictor(model), data, gate_id="g", **options)


@pytest.mark.parametrize("radius", [0.1, 0.5, 1.0])
def test_a_linear_model_is_certified_for_nearly_its_exact_radius_and_never_for_more(radius: float) -> None:
    """For a linear model the smoothed radius is the distance to the boundary, as far as the copies reach."""
    data = rows()
    exact = np.abs(data @ WEIGHTS) / np.linalg.norm(WEIGHTS)
    evidence = ask(data, radius=radius, rows=300, n_draws=2000)
    found = measured(evidence, "certified_accuracy")
    share = (exact >= radius).mean()
    assert found.value is not None
    # A few are taken off for the error of the radii; a few lie too near to be proven.
    assert share - 0.12 < found.value <= share
    assert outcome(evidence) is (Outcome.PASS if share > 0.65 else outcome(evidence))


def test_labels_count_and_a_wrong_vote_is_never_certified() -> None:
    data = rows(200)
    right = (data @ WEIGHTS > 0).astype(int)
    good = measured(ask((data, right)), "certified_accuracy").value
    wrong = measured(ask((data, 1 - right)), "certified_accuracy").value
    assert good is not None
    assert good > 0.6
    assert wrong == 0


def test_the_claim_is_about_a_twin_unless_the_service_votes() -> None:
    twin = measured(ask(rows(50)), "certified_accuracy")
    assert "a smoothed twin of the model, not of the model" in str(twin.note)
    served = measured(ask(rows(50), deployed_is_smoothed=True), "certified_accuracy")
    assert "the service's vote" in str(served.note)


def test_tables_get_noise_in_columns_with_fractions() -> None:
    seen = []

    def remember(batch: Any) -> Any:
        seen.append(batch)
        return by_income(batch)

    evidence = ask(clients(100), remember, n_draws=300, rows=50)
    assert evidence.details["features_with_noise"] == 1
    noisy = seen[0]
    assert set(noisy["age"]) <= set(clients(100)["age"])
    assert noisy["income"].nunique() > 1000
    first, again = (ask(clients(60), by_income, n_draws=200, seed=9) for _ in range(2))
    assert first.details == again.details


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"sigma": 0}, "sigma must be a number above 0"),
        ({"radius": -1}, "radius must be a number above 0"),
        ({"radius": 5}, "no input can be certified for 5"),
        ({"alpha": 0.7}, "alpha must lie between 0 and 0.5"),
        ({"at_least": 2}, "at_least must be a share"),
        ({"n_draws": 0}, "n_draws must be a whole number"),
        ({"features": ["x"]}, "features are named in tables only"),
    ],
)
def test_what_certifies_nothing_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ask(rows(20), **more)


def test_a_table_of_whole_numbers_has_nothing_to_make_noisy() -> None:
    with pytest.raises(InputError, match="no column has fractions"):
        ask(clients(30)[["age", "late"]], lambda batch: np.zeros(len(batch)))
