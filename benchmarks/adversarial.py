"""How near the attack of `adversarial` comes, beside ART's HopSkipJump with as many queries. Prints Markdown.

    pip install adversarial-robustness-toolbox==1.20.1 packaging
    python benchmarks/adversarial.py --write docs/explanation/behavior.md

Breast cancer data of scikit-learn, 30 standardized features, a logistic regression and a forest of 100 trees.
Both
attacks start from real rows and may ask about the same number of points for each row; both are judged by the
nearest point that they asked about and that was decided otherwise. For the logistic regression the exact
distance is known. Distances are medians over rows, l2 and linf; one process, OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from page import put
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from pytest_prodml.checks.behavior.attack import attack, attack_with_art
from pytest_prodml.checks.behavior.attack_search import Attacked
from pytest_prodml.checks.behavior.attack_space import space_of
from pytest_prodml.checks.behavior.batches import Inputs


def run(
    engine: Any,  # noqa: ANN401 - either of two functions
    model: Any,  # noqa: ANN401 - a classifier of scikit-learn
    table: npt.NDArray[np.float64],
    n_rows: int,
    norm: str,
    queries: int,
) -> tuple[float, Attacked]:
    """Return how long an attack takes and what it finds."""
    space = space_of(
        Inputs(batch=table),
        features=None,
        immutable=(),
        increase_only=(),
        decrease_only=(),
        cost=None,
        schema=None,
        bounds=None,
    )
    decided = model.predict(table)
    begin = time.perf_counter()
    found = engine(
        lambda batch, places: model.predict(batch) != decided[places],
        space,
        table[:n_rows],
        pool=space.points(table),
        others=lambda place: np.flatnonzero(decided != decided[place]),
        norm=norm,
        max_queries=queries,
        rng=np.random.default_rng(0),
    )
    return time.perf_counter() - begin, found


def line(name: str, norm: str, engine: str, exact: str, seconds: float, found: Attacked) -> str:
    """Return a row of the table."""
    return (
        f"| {name} | {norm} | {engine} | {np.mean(found.asked):,.0f} | {np.median(found.distance):.3f} | "
        f"{exact} | {seconds:.3f} |"
    )


def main() -> None:
    """Print the table."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--rows", type=int, default=30)
    parser.add_argument("--without-art", action="store_true")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    given = parser.parse_args()
    # ART tells at every start which optional libraries it lacks.
    warnings.simplefilter("ignore")
    features, labels = load_breast_cancer(return_X_y=True)
    table = StandardScaler().fit_transform(features)
    models = {
        "logistic": LogisticRegression(max_iter=1000).fit(table, labels),
        "forest": RandomForestClassifier(100, random_state=0, n_jobs=1).fit(table, labels),
    }
    lines = [
        "| model | norm | engine | questions a row | median distance | exact | seconds a row |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, model in models.items():
        for norm in ("l2", "linf"):
            exact = ""
            if name == "logistic":
                weights = np.linalg.norm(model.coef_) if norm == "l2" else np.abs(model.coef_).sum()
                exact = f"{np.median(np.abs(model.decision_function(table[: given.rows])) / weights):.3f}"
            for queries in (300, 1_000, 3_000):
                asked = queries
                if not given.without_art:
                    # What ART really asks about decides how much ours may ask.
                    took, found = run(attack_with_art, model, table, given.rows, norm, queries)
                    asked = int(np.mean(found.asked))
                    lines.append(line(name, norm, "ART HopSkipJump", exact, took / given.rows, found))
                took, found = run(attack, model, table, given.rows, norm, asked)
                lines.append(line(name, norm, "ours", exact, took / given.rows, found))
                print(*lines[-2:], sep="\n", flush=True)
    if given.write is not None:
        put(given.write, "benchmarks/adversarial.py", "\n".join(lines))


if __name__ == "__main__":
    main()
