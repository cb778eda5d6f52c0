"""A model on a table -> the answers that a check of performance is computed from, and parts of the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.subjects import ModelOnData

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from pytest_prodml.checks.metrics import Metric, Needs, Sample

    #: Which rows: values by column, a function of the table, or true and false for each row.
    Where: TypeAlias = Mapping[str, object] | Callable[[pd.DataFrame], object] | np.ndarray


def needs_of(metric: str | Metric) -> Needs:
    """Return what the model must deliver for a metric."""
    from pytest_prodml.checks.metrics.limit import resolved

    return resolved(metric)[1].needs


def answers(model: ModelOnData, needs: Needs, threshold: float | None = None) -> Sample:
    """Return the model's decisions, scores or numbers, and no more: a prediction may be expensive.

    Labels are what the configured threshold decides, or the model itself; `threshold` asks about another
    one. Weights, entities and queries come from the configured columns.
    """
    __tracebackhide__ = True
    from pytest_prodml.checks.metrics import Needs, Sample

    found: dict[str, Any] = {}
    if needs is Needs.LABELS and threshold is None:
        found = {"y_pred": model.decisions}
    elif needs is Needs.NUMBERS:
        found = {"y_pred": model.scores}
    else:
        found = {"y_score": model.scores, "threshold": threshold, "labels": model.classes}
    return Sample(
        y_true=model.labels,
        positive_label=model.settings.positive,
        sample_weight=model.column("sample_weight"),
        groups=model.column("entity"),
        query=model.column("query"),
        **found,
    )


def part_of(model: ModelOnData, where: Where) -> tuple[np.ndarray, str]:
    """Return which rows `where` selects, and what this part is called in the evidence.

    Raises
    ------
    InputError
        If it names no column, or is a function without a name.
    """
    __tracebackhide__ = True
    import numpy as np

    from pytest_prodml.adapters.tables import column
    from pytest_prodml.checks.membership import group_name

    if callable(where):
        name = getattr(where, "__name__", "")
        if not name.isidentifier():
            raise InputError(
                "a function that selects rows needs a name for the evidence",
                where="where",
                hint='def over_sixty(rows): return rows["age"] > 60',
            )
        return np.asarray(where(model.dataset.frame)), name
    if not isinstance(where, Mapping):
        return np.asarray(where), "where"
    if not where:
        raise InputError("names no column, so it selects nothing", where="where")
    mask = np.ones(len(model.dataset), dtype=bool)
    told = []
    for name, wanted in where.items():
        values = column(model.dataset, name)
        accepted = list(wanted) if isinstance(wanted, (list, tuple, set, frozenset)) else [wanted]
        mask &= values.isin(accepted).to_numpy()
        told.append(f"{name}={'|'.join(sorted(map(group_name, accepted)))}")
    return mask, " & ".join(told)
