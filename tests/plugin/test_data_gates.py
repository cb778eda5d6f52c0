"""The gates about tables in a project: each passes on honest tables and fails on the same ones with a fault."""

from __future__ import annotations

import importlib
import json

import pytest

from plugin.project import Project
from pytest_prodml.records import Outcome

# As in conftest.py: what is compiled can be imported only once, and these tests run in this process.
for name in ("scipy.special", "pyarrow.parquet", "pandas.core.arrays.arrow.extension_types", "polars"):
    importlib.import_module(name)

CONFTEST = """
import datetime as dt
import numpy as np
import pandas as pd
import pytest

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)

def rows(seed, first, days=30):
    random = np.random.default_rng(seed)
    n = 3000
    frame = pd.DataFrame({
        "client": np.arange(first, first + n),
        "amount": random.lognormal(8, 1, n).round(4),
        "city": random.choice(["Oslo", "Bergen"], n),
        "at": pd.date_range(NOW - dt.timedelta(days=days), periods=n, freq="14min"),
    })
    frame["repaid"] = random.integers(0, 2, n)
    return frame

def written(frame, name):
    frame.to_parquet(name)
    return name

@pytest.fixture(scope="session")
def prodml_model():
    return "model.bin"

@pytest.fixture(scope="session")
def prodml_reference():
    return written(rows(1, 0, 90), "reference.parquet")

@pytest.fixture(scope="session")
def prodml_test():
    frame = rows(2, 10_000)
    FAULT
    return written(frame, "test.parquet")

@pytest.fixture(scope="session")
def prodml_current(prodml_test):
    return prodml_test
"""

SKEW = "ml_data.no_training_serving_skew('test', served(), time='at', columns=['amount', 'city'])"
#: The call, and what is done to the table so that it must fail.
CALLS = {
    "ml_data.no_duplicates(ignore=['client', 'at'])": "frame = pd.concat([frame, frame.head(9)])",
    "ml_data.no_drift(current='test')": "frame['amount'] *= 3",
    "ml_data.quality(only=['unit_error_columns', 'category_variants'])": "frame['amount'] *= 100",
    "ml_data.fresh(at_most='60 h', data='test', now=NOW)": "frame['at'] -= pd.Timedelta(days=9)",
    "ml_data.splits()": "frame.loc[:99, 'client'] = 5",
    SKEW: "frame.loc[:99, 'amount'] *= 100",
    SKEW.replace("ml_data", "ml_pipeline"): "frame.loc[:99, 'amount'] *= 100",
}


@pytest.mark.parametrize("faulty", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_honest_tables_pass_and_faulty_ones_fail(project: Project, call: str, faulty: bool) -> None:
    project.write("conftest.py", CONFTEST.replace("FAULT", CALLS[call] if faulty else "pass"))
    fixture = call.partition(".")[0]
    dimension = fixture.removeprefix("ml_")
    project.write("policy.toml", f'name = "p"\nversion = "1"\n[require]\ndimensions = ["{dimension}"]\n')
    project.configure("", model='[data]\ntarget = "repaid"\nentity = "client"\ntimestamp = "at"\n')
    project.write(
        "test_gate.py",
        "from conftest import NOW, rows\n\n"
        "def served():\n    return rows(2, 10_000)\n\n"
        f"def test_it({fixture}):\n    {call}\n",
    )
    told = project.run().stdout.str()
    [run] = project.runs(f"{dimension}.it")
    assert run.evidence is not None, told
    assert project.verdict(f"{dimension}.it").outcome is (Outcome.FAIL if faulty else Outcome.PASS), told
    assert any("test.parquet" in material.name for material in run.evidence.materials), told


@pytest.mark.parametrize("broken", [False, True])
def test_what_other_tools_found_is_evidence(project: Project, broken: bool) -> None:
    import hashlib

    project.write("policy.toml", 'name = "p"\nversion = "1"\n[require]\ndimensions = ["data"]\n')
    project.configure("")
    project.write("conftest.py", CONFTEST.replace("FAULT", "pass"))
    project.write("rows.csv", "a\n1\n")
    digest = hashlib.sha256(b"a\n2\n" if broken else (project.root / "rows.csv").read_bytes()).hexdigest()
    manifest = f"{digest}  rows.csv\n"
    model = hashlib.sha256((project.root / "model.bin").read_bytes()).hexdigest()
    project.write("SHA256SUMS", f"{model}  model.bin\n{manifest}")
    project.write(
        "test_gate.py",
        "def test_it(ml_data):\n    ml_data.lineage('SHA256SUMS', on_trust=['code revision'])\n",
    )
    told = project.run().stdout.str()
    [run] = project.runs("data.it")
    assert run.evidence is not None, told
    metrics = {item.metric for item in run.evidence.measurements}
    assert metrics == {"broken_lineage_links"}
    outcome = project.verdict("data.it").outcome
    assert outcome is (Outcome.FAIL if broken else Outcome.PASS), told
    assert json.dumps(run.evidence.details)


def test_a_table_that_is_none_is_told(project: Project) -> None:
    project.write("policy.toml", 'name = "p"\nversion = "1"\n[require]\ndimensions = ["data"]\n')
    project.configure("")
    project.write("test_gate.py", "def test_it(ml_data):\n    ml_data.no_duplicates(data='yesterday')\n")
    told = project.run().stdout.str()
    assert "there is no table 'yesterday'" in told
    assert project.verdict("data.it").outcome is not Outcome.PASS
