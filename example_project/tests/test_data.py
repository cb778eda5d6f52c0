"""Whether the data are what the model was built for."""

from __future__ import annotations

from typing import Literal

import pandas as pd
import pytest

import credit
from pytest_prodml.adapters.tables import Dataset, materials_of
from pytest_prodml.checks.counts import at_most, exact
from pytest_prodml.plugin.data import DataGate
from pytest_prodml.plugin.verdicts import GateSession
from pytest_prodml.records import Evidence


@pytest.mark.parametrize("table", ["reference", "test"])
def test_schema(ml_data: DataGate, table: Literal["reference", "test"]) -> None:
    """Codes are those of the code book and amounts are possible."""
    ml_data.conforms_to(data=table)


def test_same_population(ml_data: DataGate) -> None:
    """The test clients are drawn as those of the training were: no column lies a tenth away."""
    ml_data.no_drift(reference="reference", current="test")


@pytest.mark.ml_data(gate="data.repeated_rows", severity="warn")
def test_repeated_rows(prodml: GateSession, prodml_reference: Dataset, prodml_test: Dataset) -> None:
    """No test client is the twin of another client: twins in the training data flatter the model."""
    rows = pd.concat([prodml_reference.table(), prodml_test.table()])[[*credit.FEATURES, credit.TARGET]]
    count = int(rows.duplicated(keep=False).tail(len(prodml_test)).sum())
    prodml.record(
        Evidence(
            gate_id=prodml.gate_id,
            measurements=(exact("repeated_rows", count, len(prodml_test), unit="rows"),),
            criteria=(at_most("repeated_rows", 0),),
            materials=materials_of(prodml_reference, prodml_test),
        )
    )
