"""Metrics of how scores rank the rows.

Names are those of scikit-learn's scorers. With a `query` column rows are ranked within each query: ``ndcg``,
``mean_reciprocal_rank``, and with a number of places ``ndcg@10``, ``precision@10``, ``recall@10``. Without
it, ``precision@100`` and ``recall@100`` are about the 100 rows with the highest scores of all, ``recall@5%``
about the top twentieth.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from pytest_prodml.checks.labels import Scores, same_length, score_column
from pytest_prodml.checks.metrics.registry import Measured, Metric, Needs
from pytest_prodml.checks.metrics.sample import Sample, Truth
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue
from pytest_prodml.statistics import intervals, ranking, retrieval
from pytest_prodml.statistics.design import Design
from pytest_prodml.statistics.estimate import Estimate, not_estimable
from pytest_prodml.statistics.losses import capped_mean
from pytest_prodml.statistics.multiclass_ranking import multiclass_roc_auc
from pytest_prodml.statistics.sufficient import ScoreTable, as_numbers, encode

#: Of each side of the bands that are drawn beside curves.
BAND_LEVEL = 0.95
_BAND = "each point by itself at its threshold, each side at 95 %"


def _two_classes(
    name: str, estimate: Callable[[Truth, Scores, Design], tuple[Estimate, ScoreTable]]
) -> Metric:
    def measure(sample: Sample, seed: int) -> Measured:  # noqa: ARG001 - exact methods draw nothing
        scores, is_positive = sample.scores(name), sample.is_positive(name)
        positives = int(np.count_nonzero(is_positive))
        details: dict[str, JsonValue] = {"positive_rows": positives, "negative_rows": scores.size - positives}
        found, table = estimate(is_positive, scores, sample.design)
        details.update(_curve(name, table, independent=sample.design.is_simple))
        return Measured(estimate=found, details=details)

    return Metric(needs=Needs.SCORES, measure=measure)


def _curve(name: str, table: ScoreTable, *, independent: bool) -> dict[str, JsonValue]:
    """Return the curve whose area the metric is, with a band where rows are independent."""
    series: dict[str, list[float]]
    if name == "roc_auc":
        x, y = ranking.roc_curve(table)
        series = {"x": x, "y": y} if x else {}
        if x and independent:
            series["lower"], series["upper"] = ranking.roc_band(table, BAND_LEVEL)
    else:
        series = ranking.precision_recall_curve(table, confidence_level=BAND_LEVEL if independent else None)
    if not series:
        return {}
    key = "roc" if name == "roc_auc" else "pr"
    drawn: dict[str, JsonValue] = {key: {axis: list(values) for axis, values in series.items()}}
    return drawn | ({f"{key}_band": _BAND} if independent else {})


def _several_classes(name: str, average: Literal["ovr", "ovo"], *, weighted: bool) -> Metric:
    def measure(sample: Sample, seed: int) -> Measured:  # noqa: ARG001 - exact methods draw nothing
        scores, codes = sample.class_scores(name), sample.class_codes
        same_length(y_true=codes.size, y_score=len(scores))
        estimate = multiclass_roc_auc(
            scores, codes, sample.classes, sample.design, average=average, weighted=weighted
        )
        sizes = np.bincount(codes, minlength=len(sample.classes)).tolist()
        rows: list[JsonValue] = [
            {"class": str(label), "rows": size} for label, size in zip(sample.classes, sizes, strict=True)
        ]
        return Measured(estimate=estimate, details={"classes": rows[:50]})

    return Metric(needs=Needs.SCORES, measure=measure)


def _of_queries(name: str, of: Callable[[retrieval.Rankings], Scores]) -> Metric:
    """Return a metric that is a mean over queries of a number between 0 and 1."""

    def measure(sample: Sample, seed: int) -> Measured:  # noqa: ARG001 - exact methods draw nothing
        ranked, design = _rankings(name, sample)
        if ranked.queries == 0:
            return Measured(estimate=not_estimable("Gaffke", "there are no rows"))
        values = of(ranked)
        judged = np.isfinite(values)
        details: dict[str, JsonValue] = {
            "queries": ranked.queries,
            "queries_without_a_relevant_item": int(
                ranked.queries - np.unique(ranked.query[ranked.relevance > 0]).size
            ),
        }
        if not judged.any():
            told = "no query has a relevant item"
            return Measured(estimate=not_estimable("Gaffke", told), details=details)
        if not _can_be_wrong(ranked):
            told = "the items of every query are equally relevant, so that any order of them is right"
            return Measured(estimate=not_estimable("Gaffke", told), details=details)
        return Measured(
            estimate=capped_mean(np.clip(values[judged], 0.0, 1.0), 1.0, design.subset(judged)),
            details=details,
        )

    return Metric(needs=Needs.SCORES, measure=measure)


def _can_be_wrong(ranked: retrieval.Rankings) -> bool:
    relevance, query = ranked.relevance, ranked.query
    return bool(((relevance[1:] != relevance[:-1]) & (query[1:] == query[:-1])).any())


def _rankings(name: str, sample: Sample) -> tuple[retrieval.Rankings, Design]:
    """Return the rankings of the queries and the design of these: of a table, each row is a query."""
    if sample.y_score is None:
        raise InputError(f"{name} is computed from scores: pass y_score")
    if np.ndim(sample.y_true) == 2:
        relevance = as_numbers(sample.y_true, name="y_true")
        scores = as_numbers(sample.y_score, name="y_score")
        if relevance.shape != scores.shape:
            raise InputError(f"y_true has the shape {relevance.shape}, y_score {scores.shape}")
        query = np.repeat(np.arange(len(relevance)), relevance.shape[1])
        gains, ranks = (
            score_column(values.ravel(), name=told)
            for told, values in (("y_true", relevance), ("y_score", scores))
        )
        return retrieval.rankings(gains, ranks, query), sample.design
    if sample.query is None:
        raise InputError(
            f"{name} ranks the rows of each query",
            hint="pass query=, the column that says which rows compete",
        )
    coded = encode(sample.query, name="query")
    if (coded.codes < 0).any():
        raise InputError(f"query is missing in {int(np.count_nonzero(coded.codes < 0)):,} rows")
    relevance, scores = score_column(sample.y_true, name="y_true"), sample.scores(name)
    same_length(y_true=relevance.size, y_score=scores.size, query=coded.codes.size)
    design = retrieval.query_design(sample.design, coded.codes, len(coded.categories))
    return retrieval.rankings(relevance, scores, coded.codes), design


def _of_top(name: str, kind: str, number: str, percent: bool) -> Metric:
    """Return the precision or recall of the rows with the highest scores.

    For the precision see `retrieval.precision_of_top`. The bounds of the recall, whose threshold varies with
    the positives, are those of a proportion: too wide rather than too narrow.
    """
    of_query = retrieval.precision_at if kind == "precision" else retrieval.recall_at

    def measure(sample: Sample, seed: int) -> Measured:
        if sample.query is not None or np.ndim(sample.y_true) == 2:
            if percent:
                raise InputError(f"{name} can not be taken within queries", hint=f"use {kind}@10, say")
            return _of_queries(name, lambda ranked: of_query(ranked, int(number))).measure(sample, seed)
        scores, is_positive = sample.scores(name), sample.is_positive(name)
        if not sample.design.is_simple:
            raise InputError(
                f"{name} needs rows that are independent and count alike",
                hint=f"{kind} at a threshold takes weights and groups",
            )
        n, positives = scores.size, int(np.count_nonzero(is_positive))
        k = math.ceil(n * float(number) / 100) if percent else int(number)
        details: dict[str, JsonValue] = {"positive_rows": positives, "rows_at_the_top": k}
        if n == 0:
            return Measured(estimate=not_estimable("Clopper-Pearson", "there are no rows"))
        if not 1 <= k < n:
            raise InputError(f"{name} asks for {k:,} of {n:,} rows", hint="name fewer rows than there are")
        if positives in {0, n}:
            told = f"all {n:,} rows are {'positive' if positives else 'negative'}"
            return Measured(estimate=not_estimable("Clopper-Pearson", told), details=details)
        if kind == "precision":
            return Measured(estimate=retrieval.precision_of_top(is_positive, scores, k), details=details)
        hits = retrieval.found_at(is_positive, scores, k)
        return Measured(estimate=intervals.proportion(hits, positives), details=details)

    return Metric(needs=Needs.SCORES, measure=measure)


def at_k_named(name: str) -> Metric | None:
    """Return the metric called `name`: ndcg@10, precision@100, recall@100, precision@5%, recall@5%."""
    found = re.fullmatch(r"(ndcg|precision|recall)@([1-9]\d{0,8}|0?\.\d{1,6}|[1-9]\d?\.\d{1,6})(%?)", name)
    if found is None or ("." in found[2] and not found[3]):
        return None
    kind, number, percent = found[1], found[2], bool(found[3])
    if kind == "ndcg":
        return None if percent else _of_queries(name, lambda ranked: retrieval.ndcg(ranked, int(number)))
    if percent and not 0 < float(number) < 100:
        return None
    return _of_top(name, kind, number, percent)


METRICS: Mapping[str, Metric] = {
    "average_precision": _two_classes("average_precision", ranking.average_precision_of_rows),
    "mean_reciprocal_rank": _of_queries("mean_reciprocal_rank", retrieval.reciprocal_rank),
    "ndcg": _of_queries("ndcg", retrieval.ndcg),
    "roc_auc": _two_classes("roc_auc", ranking.roc_auc_of_rows),
    "roc_auc_ovo": _several_classes("roc_auc_ovo", "ovo", weighted=False),
    "roc_auc_ovo_weighted": _several_classes("roc_auc_ovo_weighted", "ovo", weighted=True),
    "roc_auc_ovr": _several_classes("roc_auc_ovr", "ovr", weighted=False),
    "roc_auc_ovr_weighted": _several_classes("roc_auc_ovr_weighted", "ovr", weighted=True),
}
