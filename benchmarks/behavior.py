"""How many inputs a second a rule is asked about, and how often a rare fault is found. Prints Markdown.

    python benchmarks/behavior.py                      # about four minutes
    python benchmarks/behavior.py --write docs/explanation/behavior.md

The model is a scikit-learn pipeline (scaler, one-hot encoder, logistic regression) of six numbers and three
categories, asked with frames. The rule: another value of the protected attribute moves the score by at most
0.02. Two faults are planted, one in about 0.5 % of the rows and one in about 1 of 20,000.

Beside our search stands plain Hypothesis as a user writes it: rows from the same columns, one row an example,
two calls of the model for each. Speed is measured on the model without a fault (nothing to shrink), detection
over seeds. Everything runs in one process, OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import numpy.typing as npt
import pandas as pd
from hypothesis import HealthCheck, Phase
from page import put
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pytest_prodml.adapters import as_predictor
from pytest_prodml.checks.behavior import invariant_to
from pytest_prodml.checks.behavior.strategies import rows as rows_of
from pytest_prodml.records import Evidence

TOLERANCE = 0.02
NUMBERS = ["income", "age", "tenure", "utilization", "balance", "inquiries"]
CATEGORIES = ["sex", "region", "job"]

Model = Callable[[pd.DataFrame], npt.NDArray[np.float64]]
Fault = Callable[[pd.DataFrame], Any]


def applicants(n_rows: int, seed: int = 0) -> pd.DataFrame:
    """Return rows of six numbers and three categories."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "income": rng.gamma(3.0, 1200.0, n_rows).round(),
            "age": rng.integers(18, 80, n_rows),
            "tenure": rng.integers(0, 120, n_rows),
            "utilization": rng.random(n_rows).round(3),
            "balance": rng.normal(2000.0, 800.0, n_rows).round(2),
            "inquiries": rng.poisson(1.0, n_rows),
            "sex": rng.choice(["f", "m"], n_rows),
            "region": rng.choice(["n", "e", "s", "w"], n_rows, p=[0.4, 0.3, 0.2, 0.1]),
            "job": rng.choice(["a", "b", "c", "d"], n_rows, p=[0.4, 0.3, 0.2, 0.1]),
        }
    )


def common(rows: pd.DataFrame) -> Any:  # noqa: ANN401 - a column of flags
    """Say where the fault in about 0.5 % of the rows is."""
    return (rows["region"] == "w") & (rows["utilization"] > 0.75) & (rows["tenure"] < 24)


def rare(rows: pd.DataFrame) -> Any:  # noqa: ANN401 - a column of flags
    """Say where the fault in about 1 of 20,000 rows is."""
    return common(rows) & (rows["tenure"] < 9) & (rows["job"] == "d") & (rows["inquiries"] >= 2)


def never(rows: pd.DataFrame) -> Any:  # noqa: ANN401 - a column of flags
    """Return no fault."""
    return np.zeros(len(rows), dtype=bool)


def fitted(fault: Fault) -> Model:
    """Return a model that does not look at the sex, but where the fault is."""
    train = applicants(5_000, seed=1)
    odds = (train["utilization"] * 3 - train["income"] / 3000 + train["inquiries"] * 0.3).to_numpy()
    labels = np.random.default_rng(2).random(len(train)) < 1 / (1 + np.exp(-odds))
    steps = ColumnTransformer(
        [
            ("numbers", StandardScaler(), NUMBERS),
            ("categories", OneHotEncoder(handle_unknown="ignore"), ["region", "job"]),
        ]
    )
    pipeline = Pipeline([("columns", steps), ("model", LogisticRegression(max_iter=500))]).fit(train, labels)

    def score(rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        risk = pipeline.predict_proba(rows)[:, 1]
        return np.asarray(np.where(fault(rows) & (rows["sex"] == "m"), np.clip(risk + 0.3, 0, 1), risk))

    return score


def searched(model: Model, table: pd.DataFrame, n_inputs: int, seed: int) -> tuple[float, Evidence]:
    """Return how long our search takes and what it finds."""
    begin = time.perf_counter()
    evidence = invariant_to(
        "sex",
        as_predictor(model),
        table,
        gate_id="behavior.sex",
        tolerance=TOLERANCE,
        never=True,
        inputs="plausible",
        n_inputs=n_inputs,
        seed=seed,
    )
    return time.perf_counter() - begin, evidence


def plain(model: Model, table: pd.DataFrame, n_examples: int, seed: int) -> tuple[float, int, bool]:
    """Return how long Hypothesis takes with a row an example, how many it drew, and whether one fails."""
    drawn = 0
    other = {"f": "m", "m": "f"}

    def ask(row: dict[str, Any]) -> None:
        nonlocal drawn
        drawn += 1
        one = pd.DataFrame([row])
        swapped = one.assign(sex=one["sex"].map(other))
        assert abs(float(model(one)[0]) - float(model(swapped)[0])) <= TOLERANCE  # noqa: S101 - as users do

    settings = hypothesis.settings(
        max_examples=n_examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
    )
    test = hypothesis.seed(seed)(settings(hypothesis.given(rows_of(table))(ask)))
    begin = time.perf_counter()
    try:
        test()
    except AssertionError:
        return time.perf_counter() - begin, drawn, True
    return time.perf_counter() - begin, drawn, False


def speed(table: pd.DataFrame, n_plain: int) -> list[str]:
    """Return rows of the table of speeds."""
    model = fitted(never)
    searched(model, table, 1_000, 0)  # imports
    seconds, drawn, _ = plain(model, table, n_plain, 0)
    one_by_one = drawn / seconds
    lines = [f"| Hypothesis, a row an example | {drawn:,} | {one_by_one:,.0f} | 1 |"]
    for n_inputs in (10_000, 100_000):
        took = min(searched(model, table, n_inputs, seed)[0] for seed in range(3))
        rate = n_inputs / took
        lines.append(f"| our search, whole check | {n_inputs:,} | {rate:,.0f} | {rate / one_by_one:,.0f} |")
    return lines


def detection(table: pd.DataFrame, seeds: int) -> list[str]:
    """Return rows of the table of detection."""
    lines = []
    for name, fault in (("0.5 %", common), ("1 in 20,000", rare)):
        model = fitted(fault)
        share = float(np.mean(fault(applicants(2_000_000, seed=9))))
        runs = [plain(model, table, 100, seed) for seed in range(seeds)]
        lines.append(
            f"| {name} ({share:.3%}) | Hypothesis, 100 examples | {sum(run[2] for run in runs)} of {seeds} | "
            f"{np.median([run[0] for run in runs]):.2f} |"
        )
        for n_inputs in (1_000, 10_000, 100_000):
            found = [searched(model, table, n_inputs, seed) for seed in range(seeds)]
            hits = sum(bool(evidence.measurements[0].value) for _, evidence in found)
            lines.append(
                f"| | our search, {n_inputs:,} inputs | {hits} of {seeds} | "
                f"{np.median([took for took, _ in found]):.2f} |"
            )
    return lines


def smallest(table: pd.DataFrame) -> str:
    """Return what the smallest counterexample looks like, and what it takes to make it."""
    _, evidence = searched(fitted(rare), table, 100_000, 0)
    found: Any = evidence.details.get("minimal_counterexample_found")
    if found is None:
        return "The rare fault was not found with seed 0."
    return (
        "The smallest counterexample of the rare fault differs from an ordinary row in "
        f"{found['differs_from_an_ordinary_row_in']} ({found['rounds']} calls, {found['rows_tried']:,} rows)."
    )


def main() -> None:
    """Print the tables."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--seeds", type=int, default=15)
    parser.add_argument("--plain-examples", type=int, default=1_000)
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    given = parser.parse_args()
    table = applicants(5_000, seed=3)
    text = "\n".join(
        [
            f"hypothesis {hypothesis.__version__}, numpy {np.__version__}, pandas {pd.__version__}.",
            "",
            "| engine | inputs | inputs a second | times |",
            "| --- | ---: | ---: | ---: |",
            *speed(table, given.plain_examples),
            "",
            "| fault in | engine | found | seconds (median) |",
            "| --- | --- | ---: | ---: |",
            *detection(table, given.seeds),
            "",
            smallest(table),
        ]
    )
    print(text)
    if given.write is not None:
        put(given.write, "benchmarks/behavior.py", text)


if __name__ == "__main__":
    main()
