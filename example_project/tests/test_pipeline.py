"""Whether what is served is what was trained."""

from __future__ import annotations

import math
import tomllib

import pandas as pd
import pytest

import credit
import train
from deploy import RefusedRecordError, Scorer
from pytest_prodml.adapters import Predictor
from pytest_prodml.adapters.tables import Dataset
from pytest_prodml.plugin.pipeline import PipelineGate


def test_parity(ml_pipeline: PipelineGate, release: credit.Release) -> None:
    """Retrained from the raw table, scikit-learn gives the scores of the ONNX file, and no other decision."""
    ml_pipeline.parity(train.fit(release, train.load(release)), atol=1e-5)


def test_served(
    ml_pipeline: PipelineGate, scorer: Scorer, prodml_model: Predictor, prodml_test: Dataset
) -> None:
    """A raw record that takes the service's way gets the score, and the decision, that the gates measured."""
    sample = prodml_test.frame.head(1000)
    raw = pd.read_csv(train.RAW).set_index(credit.KEY).loc[sample[credit.KEY]]
    served = [scorer.score(record) for record in raw.to_dict(orient="records")]
    risk = prodml_model.predict_score(sample)
    ml_pipeline.agrees(risk, [answer["risk"] for answer in served], atol=1e-6)
    # The gates decide by the threshold in pyproject.toml, the service by the one in the model's metadata.
    settings = tomllib.loads((train.ROOT / "pyproject.toml").read_text())["tool"]["prodml"]["model"]
    ml_pipeline.agrees(risk < settings["threshold"], [answer["approved"] for answer in served])


@pytest.mark.ml_pipeline
@pytest.mark.parametrize(
    "broken",
    [{"sex": None}, {"education": "doctor"}, {"bill_sep": math.inf}, {"age": "38"}],
    ids=["missing", "unknown_code", "infinite", "text"],
)
def test_refuses(scorer: Scorer, broken: dict[str, object]) -> None:
    """The service refuses a record that the model alone would score without a word."""
    record = pd.read_csv(train.RAW, nrows=1).to_dict(orient="records")[0]
    scorer.score(record)
    with pytest.raises(RefusedRecordError):
        scorer.score(record | broken)
