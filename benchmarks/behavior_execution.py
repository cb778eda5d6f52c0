"""False alarms and detection of `robust_execution` and `private`: healthy and faulty models, many seeds.

    python benchmarks/behavior_execution.py [runs]

Prints markdown. Healthy models run every case, those of processes, threads and memory too.
"""

# ruff: noqa: ANN401, D102 - models of any kind, and classes that stand for a function
from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import threadpoolctl
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pytest_prodml.adapters import as_predictor, load_model
from pytest_prodml.checks.behavior.execution import robust_execution
from pytest_prodml.checks.behavior.private import private

WORDS = np.array(
    ["good", "bad", "fine", "awful", "food", "room", "price", "service", "slow", "quick", "dirty"]
)


def clients(n_rows: int, seed: int) -> tuple[pd.DataFrame, Any]:
    random = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "age": random.integers(18, 80, n_rows),
            "income": random.gamma(2.0, 1000.0, n_rows),
            "debt": random.normal(size=n_rows),
            "job": random.choice(["clerk", "driver", "nurse", "cook"], n_rows),
        }
    )
    rows.loc[random.random(n_rows) < 0.1, "debt"] = np.nan
    odds = (rows["age"] - 50) / 15 + (rows["income"] - 2000) / 1500 + (rows["job"] == "nurse")
    return rows, (odds + random.logistic(size=n_rows) > 0).to_numpy(dtype=int)


def preparation() -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    texts = OneHotEncoder(handle_unknown="ignore")
    return ColumnTransformer([("n", numbers, ["age", "income", "debt"]), ("t", texts, ["job"])])


def texts(n_rows: int, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, 6)) for _ in range(n_rows)]


def sentiment(batch: list[str]) -> Any:
    good = np.array([len({"good", "fine", "clean", "quick"} & set(text.lower().split())) for text in batch])
    bad = np.array([len({"bad", "awful", "dirty", "slow"} & set(text.lower().split())) for text in batch])
    return 1 / (1 + np.exp(-(good - bad).astype(float)))


def healthy(seed: int, folder: Path) -> dict[str, Callable[[], Any]]:
    """Return healthy models, each as a call of the check with all its cases."""
    rows, labels = clients(500, seed)
    truth = clients(500, seed + 1000)
    numbers = rows[["age", "income"]].astype(np.float32)
    forest = RandomForestClassifier(10, max_depth=4, random_state=seed).fit(numbers.to_numpy(), labels)
    file = folder / f"forest{seed}.onnx"
    file.write_bytes(to_onnx(forest, numbers.to_numpy()[:1], options={"zipmap": False}).SerializeToString())
    boosted = HistGradientBoostingClassifier(max_iter=30, random_state=seed)
    small = truth[0][["age", "income"]], truth[1]
    return {
        "logistic pipeline": lambda: execute(
            make_pipeline(preparation(), LogisticRegression()).fit(rows, labels), truth, seed
        ),
        "forest pipeline, two threads": lambda: execute(
            make_pipeline(preparation(), RandomForestClassifier(20, n_jobs=2, random_state=seed)).fit(
                rows, labels
            ),
            truth,
            seed,
        ),
        "boosted trees": lambda: execute(
            boosted.fit(rows[["age", "income", "debt"]], labels),
            (truth[0][["age", "income", "debt"]], truth[1]),
            seed,
        ),
        "ONNX forest": lambda: execute(
            load_model(file, columns=["age", "income"]), small, seed, process=None, path=file
        ),
        "function of texts": lambda: execute(
            sentiment, texts(300, seed), seed, process="behavior_execution:text_model"
        ),
    }


def text_model() -> Any:
    return sentiment


def execute(model: Any, data: Any, seed: int, **options: Any) -> list[str]:
    how = {"process": "pickle", **options}
    evidence = robust_execution(as_predictor(model), data, gate_id="g", seed=seed, **how)
    cases: Any = evidence.details["cases"]
    return [f"{row['case']}: {row['told']}" for row in cases if row["outcome"] in {"failed", "not tried"}]


class Buffer:
    """Keeps its input in itself while it computes: threads must not share it."""

    def __init__(self, model: Any) -> None:
        self.model, self.rows = model, None

    def __call__(self, rows: pd.DataFrame) -> Any:
        self.rows = rows
        prepared = self.model[0].transform(self.rows)
        return self.model[1].predict_proba(prepared[: len(self.rows)])[:, 1]


class Leak:
    """Keeps 32 numbers of every call."""

    def __init__(self, model: Any) -> None:
        self.model, self.kept = model, []

    def __call__(self, rows: pd.DataFrame) -> Any:
        self.kept.append(np.array(rows["age"], dtype=float).copy() + 0.5)
        return self.model.predict_proba(rows)[:, 1]


def main(runs: int) -> None:
    alarms: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    found: Counter[str] = Counter()
    told: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        for seed in range(runs):
            for model, call in healthy(seed, Path(name)).items():
                start = time.perf_counter()
                wrong = call()
                seconds[model] += time.perf_counter() - start
                alarms[model] += bool(wrong)
                told += [f"{model}, seed {seed}: {item}" for item in wrong]
            rows, labels = clients(500, seed)
            fitted = make_pipeline(preparation(), LogisticRegression()).fit(rows, labels)
            for fault, (made, case) in {
                "shared buffer": (Buffer(fitted), "threads"),
                "32 numbers kept a call": (Leak(fitted), "memory"),
            }.items():
                evidence = robust_execution(
                    as_predictor(made), rows, gate_id="g", seed=seed, only=[case], memory_per_call=512
                )
                cases: Any = evidence.details["cases"]
                found[fault] += cases[0]["outcome"] == "failed"
    print("| healthy model | runs with an alarm | seconds a run |\n|---|---|---|")
    for model, total in seconds.items():
        print(f"| {model} | {alarms[model]} of {runs} | {total / runs:.1f} |")
    print("\n| planted fault | found |\n|---|---|")
    for fault, count in found.items():
        print(f"| {fault} | {count} of {runs} |")
    for item in told:
        print(f"\n{item}")
    privacy(runs * 10)


def privacy(runs: int) -> None:
    caught = passed = missed = alarms = 0
    for seed in range(runs):
        train, test = plain(800, seed), plain(800, seed + 10_000)
        forest = RandomForestClassifier(20, bootstrap=False, random_state=seed).fit(*train)
        lower = attack(forest, test, train, seed)[0]
        caught += lower > 0.1
        large, other = plain(3000, seed), plain(3000, seed + 10_000)
        passed += attack(LogisticRegression().fit(*large), other, large, seed)[1] <= 0.1
        # Never trained on anything: the true advantage is 0.
        bounds = attack(lambda rows: 1 / (1 + np.exp(-rows[:, 0])), test, train, seed)
        missed, alarms = missed + (bounds[1] < 0), alarms + (bounds[0] > 0)
    print("\n| membership inference, 5 % a side | share |\n|---|---|")
    print(f"| forest that learned by heart, 800 rows: advantage above 0.1 proven | {caught / runs:.1%} |")
    print(f"| logistic regression, 3,000 rows: advantage below 0.1 proven | {passed / runs:.1%} |")
    print(f"| no leakage: upper bound below the truth | {missed / runs:.1%} |")
    print(f"| no leakage: lower bound above the truth | {alarms / runs:.1%} |")


def plain(n_rows: int, seed: int) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(n_rows, 5))
    return rows, (rows[:, 0] - rows[:, 1] + random.logistic(size=n_rows) > 0).astype(int)


def attack(model: Any, data: Any, members: Any, seed: int) -> tuple[float, float]:
    function = model if callable(model) else lambda rows: model.predict_proba(rows)[:, 1]
    evidence = private(
        as_predictor(function),
        data,
        members=members,
        gate_id="g",
        at_most=0.1,
        compare_origin=False,
        seed=seed,
    )
    found = evidence.measurements[0]
    return float(found.lower or 0.0), float(1.0 if found.upper is None else found.upper)


if __name__ == "__main__":
    with threadpoolctl.threadpool_limits(1):
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
