from __future__ import annotations

import pandera.pandas as pa
import pytest

import credit
import train
from deploy import Scorer
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
def release(scorer: Scorer) -> credit.Release:
    """Return which release the file says it is."""
    return scorer.release
