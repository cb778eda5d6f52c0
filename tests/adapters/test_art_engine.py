"""HopSkipJump of ART as an engine of `adversarial`. Needs ART."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from behavior_inputs import measured
from pytest_prodml.adapters import as_predictor
from pytest_prodml.checks.behavior import adversarial
from pytest_prodml.errors import InputError

pytest.importorskip("art", reason="the extra adversarial is not installed")


def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"a": rng.normal(size=200), "b": rng.normal(size=200), "n": rng.integers(0, 9, 200)})


def score(table: pd.DataFrame) -> Any:
    return 1 / (1 + np.exp(-(table["a"] - table["b"]).to_numpy()))


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_both_engines_find_about_as_much_and_keep_the_types(norm: str) -> None:
    asked: list[pd.DataFrame] = []

    def remembered(table: pd.DataFrame) -> Any:
        asked.append(table)
        return score(table)

    found = {}
    for engine in ("prodml", "art"):
        evidence = adversarial(
            as_predictor(remembered), rows(), gate_id="g", budget=0.5, at_most=0.5, norm=norm, threshold=0.5,
            rows=25, max_queries=600, engine=engine, immutable=["n"],
        )  # fmt: skip
        found[engine] = measured(evidence, "attack_success_rate").value
        assert evidence.details["engine"] == engine
        assert float(str(evidence.details["queries_each"])) <= 600
    assert found["art"] is not None
    assert found["prodml"] is not None
    assert abs(found["art"] - found["prodml"]) <= 0.12
    assert {str(table["n"].dtype) for table in asked} == {"int64"}


def test_the_state_of_numpys_generator_is_put_back() -> None:
    np.random.seed(3)  # noqa: NPY002
    before = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    adversarial(
        as_predictor(score), rows(), gate_id="g", budget=0.5, at_most=0.5, threshold=0.5, rows=3,
        max_queries=100, engine="art",
    )  # fmt: skip
    assert np.random.random() == before  # noqa: NPY002


def test_what_it_can_not_search_is_told() -> None:
    table = rows().assign(c="x")
    table.loc[0, "c"] = "y"
    wrong: list[dict[str, Any]] = [{"norm": "l1", "features": ["a"]}, {"features": ["a", "c"]}]
    for more in wrong:
        with pytest.raises(InputError, match="knows the norms l2 and linf, and numbers only"):
            adversarial(
                as_predictor(score),
                table,
                gate_id="g",
                budget=0.5,
                at_most=0.5,
                threshold=0.5,
                engine="art",
                **more,
            )


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_gradients_of_a_torch_module_are_followed_and_the_deployed_model_has_the_last_word(norm: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(6, 2))
    weights = (module[0].weight[1] - module[0].weight[0]).detach().numpy().astype(float)
    shift = float((module[0].bias[1] - module[0].bias[0]).detach())
    table = np.random.default_rng(0).normal(size=(200, 6)).astype("float32")

    def served(rows: np.ndarray) -> Any:
        with torch.no_grad():
            return torch.softmax(module(torch.as_tensor(rows, dtype=torch.float32)), dim=1).numpy()[:, 1]

    def ask(model: Any) -> float:
        evidence = adversarial(
            as_predictor(model), table, gate_id="g", budget=0.3, at_most=0.5, norm=norm, rows=100,
            engine="art", white_box=module,
        )  # fmt: skip
        found = measured(evidence, "attack_success_rate")
        assert found.value is not None
        assert found.n_samples == 100
        return found.value

    dual = np.linalg.norm(weights) if norm == "l2" else np.abs(weights).sum()
    exact = (np.abs(table @ weights + shift) / dual <= 0.3).mean()
    assert ask(served) == pytest.approx(exact, abs=0.12)
    # A deployed model that is no longer this module is not turned by its gradients.
    assert ask(lambda rows: (np.asarray(rows)[:, 0] > 2) * 1.0) < 0.1


@pytest.mark.parametrize(("engine", "message"), [("prodml", "followed by ART"), ("art", "that are an array")])
def test_gradients_need_an_array_and_this_engine(engine: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        adversarial(
            as_predictor(score), rows(), gate_id="g", budget=0.5, at_most=0.5, threshold=0.5,
            white_box=object(), engine=engine,
        )  # fmt: skip
