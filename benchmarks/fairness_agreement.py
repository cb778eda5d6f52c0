"""The same answers through pytest-prodml, fairlearn, aequitas and AIF360: where they agree, and where not.

    pip install ".[fairness]" aequitas==1.1.0 aif360==0.6.1     # Python 3.11, an environment of its own
    python benchmarks/fairness_agreement.py --write docs/reference/fairness.md

Prints Markdown without ``--write``. The first tables have 20,000 rows of two and of five groups, the last
what groups are like in practice: one row without a positive one, a group alone, nobody selected,
memberships missing. An error is printed as such.
"""

from __future__ import annotations

import argparse
import logging
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from page import put

from pytest_prodml.checks.fairness import Answers, difference_at_most, ratio_at_least

Column = npt.NDArray[Any]
SEED = 20261123


def rows(seed: int, n: int, groups: list[str]) -> tuple[Column, Column, Column]:
    """Return truth, decisions and groups that differ in rates and in base rates."""
    rng = np.random.default_rng(seed)
    place = rng.integers(0, len(groups), n)
    truth = (rng.random(n) < 0.3 + 0.05 * place).astype(int)
    decision = (rng.random(n) < np.where(truth == 1, 0.7 - 0.03 * place, 0.2 + 0.02 * place)).astype(int)
    return truth, decision, np.array(groups, dtype=object)[place]


def ours(metric: str, kind: str, truth: Column, decision: Column, group: Column) -> str:
    check = difference_at_most if kind == "difference" else ratio_at_least
    found = check(
        metric, 0.5, Answers(y_true=truth, y_pred=decision), {"group": group}, gate_id="fairness.agreement"
    )
    [headline] = [m for m in found.measurements if m.metric == f"{metric}_{kind}"]
    return "not estimable" if headline.value is None else f"{headline.value:.6f}"


def fairlearns(metric: str, kind: str, truth: Column, decision: Column, group: Column) -> str:
    import fairlearn.metrics
    import sklearn.metrics

    if metric == "equalized_odds":
        joint = getattr(fairlearn.metrics, f"equalized_odds_{kind}")
        return f"{joint(truth, decision, sensitive_features=group):.6f}"
    function = {
        "selection_rate": fairlearn.metrics.selection_rate,
        "true_positive_rate": fairlearn.metrics.true_positive_rate,
        "false_positive_rate": fairlearn.metrics.false_positive_rate,
        "precision": sklearn.metrics.precision_score,
    }[metric]
    frame = fairlearn.metrics.MetricFrame(
        metrics=function, y_true=truth, y_pred=decision, sensitive_features=group
    )
    return f"{frame.difference() if kind == 'difference' else frame.ratio():.6f}"


def aequitass(metric: str, kind: str, truth: Column, decision: Column, group: Column) -> str:
    """Return its disparity, a ratio to a reference group, as min / max; a difference from its group rates."""
    from aequitas.group import Group

    names = {
        "selection_rate": "pprev",
        "true_positive_rate": "tpr",
        "false_positive_rate": "fpr",
        "precision": "precision",
    }
    if metric not in names:
        return "-"
    frame = pd.DataFrame({"score": decision, "label_value": truth, "group": group})
    table, _ = Group().get_crosstabs(frame, attr_cols=["group"])
    values = table[names[metric]].to_numpy(dtype=float)
    if np.isnan(values).any():
        return f"NaN for {int(np.isnan(values).sum())} of {values.size} groups"
    found = values.max() - values.min() if kind == "difference" else values.min() / values.max()
    return f"{found:.6f} ({values.size} groups)"


def aifs(metric: str, kind: str, truth: Column, decision: Column, group: Column) -> str:
    """Return its signed figure: unprivileged minus (or by) privileged, here the two first groups by name."""
    from aif360.datasets import BinaryLabelDataset
    from aif360.metrics import ClassificationMetric

    known = sorted({str(name) for name in group if name is not None})[:2]
    codes = pd.Series(group).map({name: float(place) for place, name in enumerate(known)})
    used = codes.notna().to_numpy()
    columns = {"label": truth[used], "group": codes[used]}
    made = BinaryLabelDataset(
        df=pd.DataFrame(columns), label_names=["label"], protected_attribute_names=["group"]
    )
    answered = made.copy()
    answered.labels = decision[used].reshape(-1, 1).astype(float)
    metrics = ClassificationMetric(
        made, answered, unprivileged_groups=[{"group": 1.0}], privileged_groups=[{"group": 0.0}]
    )
    calls: dict[tuple[str, str], Callable[[], float]] = {
        ("selection_rate", "difference"): metrics.statistical_parity_difference,
        ("selection_rate", "ratio"): metrics.disparate_impact,
        ("true_positive_rate", "difference"): metrics.equal_opportunity_difference,
        ("false_positive_rate", "difference"): metrics.false_positive_rate_difference,
        ("equalized_odds", "difference"): metrics.equalized_odds_difference,
    }
    call = calls.get((metric, kind))
    if call is None:
        return "-"
    found = float(call())
    return "NaN" if math.isnan(found) else f"{found:+.6f}"


TOOLS: dict[str, Callable[..., str]] = {
    "pytest-prodml": ours,
    "fairlearn": fairlearns,
    "aequitas": aequitass,
    "AIF360": aifs,
}


def said(tool: str, *arguments: Any) -> str:  # noqa: ANN401 - what the tools take
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return TOOLS[tool](*arguments)
    except Exception as error:  # noqa: BLE001 - what a tool makes of bad input is the finding
        return f"{type(error).__name__}: {str(error).partition('.')[0][:60]}"


def table(title: str, lines: list[tuple[str, tuple[Any, ...]]]) -> str:
    head = f"### {title}\n\n| | {' | '.join(TOOLS)} |\n| --- |{' --- |' * len(TOOLS)}\n"
    return head + "".join(
        f"| {told} | {' | '.join(said(tool, *arguments) for tool in TOOLS)} |\n" for told, arguments in lines
    )


def tables() -> str:
    logging.disable(logging.WARNING)
    five, two = rows(SEED, 20_000, list("abcde")), rows(SEED + 1, 20_000, ["a", "b"])
    every = [
        ("selection_rate", "difference"),
        ("selection_rate", "ratio"),
        ("true_positive_rate", "difference"),
        ("false_positive_rate", "difference"),
        ("precision", "difference"),
        ("equalized_odds", "difference"),
    ]
    perfect, none = np.tile([0, 1], 50), np.zeros(100, dtype=int)
    halves = np.repeat(np.array(["a", "b"], dtype=object), 50)
    alone = np.repeat(np.array(["a"], dtype=object), 100)
    missing = np.array([*["a"] * 40, *["b"] * 40, *[None] * 20], dtype=object)
    one_more = (np.r_[perfect, 0], np.r_[perfect, 0], np.r_[halves, np.array(["c"], dtype=object)])
    unlucky = np.r_[perfect[:50], none[50:]]
    tpr, selected = ("true_positive_rate", "difference"), ("selection_rate", "difference")
    edges: list[tuple[str, tuple[Any, ...]]] = [
        ("two perfect groups, and one row without the label: TPR", (*tpr, *one_more)),
        ("the same: equalized odds", ("equalized_odds", "difference", *one_more)),
        ("one group only", (*selected, perfect, perfect, alone)),
        ("nobody is selected", ("selection_rate", "ratio", perfect, none, halves)),
        ("one group is never selected", ("selection_rate", "ratio", perfect, unlucky, halves)),
        ("20 of 100 without membership", (*selected, perfect, perfect, missing)),
    ]
    return "\n".join(
        [
            table("Two groups", [(f"`{metric}` {kind}", (metric, kind, *two)) for metric, kind in every]),
            table("Five groups", [(f"`{metric}` {kind}", (metric, kind, *five)) for metric, kind in every]),
            table("What groups are like", edges),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="replace the tables in this Markdown file")
    options = parser.parse_args()
    text = tables()
    if options.write is None:
        print(text)
        return
    put(options.write, "benchmarks/fairness_agreement.py", text)


if __name__ == "__main__":
    main()
