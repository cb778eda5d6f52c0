from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pandera.pandas as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import credit
import raw
import train
from deploy import Scorer
from pytest_prodml.adapters.serving.protocols import PlainJson
from pytest_prodml.adapters.serving.served import ServedModel
from pytest_prodml.adapters.tables import Dataset
from schema import schema


@pytest.fixture(scope="session")
def prodml_schema() -> pa.DataFrameSchema:
    """Give the schema to every gate that asks for one; model and data come from pyproject.toml."""
    return schema()


@pytest.fixture(scope="session")
def scorer() -> Scorer:
    """Return the service's own scorer over the file that is certified."""
    return Scorer(train.MODEL.read_bytes())


@pytest.fixture(scope="session")
def prodml_pipeline(release: credit.Release) -> str:
    """Name what makes this release from the raw table."""
    return f"retrain:release_{release.name}"


@pytest.fixture(scope="session")
def many(prodml_server: ServedModel) -> ServedModel:
    """Ask for a hundred clients at once: work enough to be too much."""
    protocol = PlainJson(path="/score", ready="/ready", encode=raw.records, output="risk")
    return replace(prodml_server, protocol=protocol, rows_per_request=100)


@pytest.fixture(scope="session")
def some_clients(prodml_test: Dataset) -> pd.DataFrame:
    """Return some of the test split: each of them is a request."""
    return prodml_test.frame.head(300)


@pytest.fixture(scope="session")
def scorecard(release: credit.Release) -> Pipeline:
    """Return the scorecard that decides today: a logistic regression on the same clients."""
    rows = train.load(release).train
    numbers = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    chosen = make_column_transformer(("passthrough", list(credit.NUMERIC)))
    return make_pipeline(chosen, numbers).fit(rows[list(credit.FEATURES)], rows[credit.TARGET])


@pytest.fixture(scope="session")
def other_model(release: credit.Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of another release, to be published over this one."""
    other = credit.RELEASES["1" if release.name == "2" else "2"]
    root = tmp_path_factory.mktemp("other")
    splits = train.load(other)
    train.save(train.fit(other, splits), splits, root)
    return root / "model" / "credit.onnx"


@pytest.fixture(scope="session")
def release(scorer: Scorer) -> credit.Release:
    """Return which release the file says it is."""
    return scorer.release
