"""Two models on the same rows -> Evidence that they decide alike, for a shadow or canary run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pytest_prodml.adapters.predictor import Predictor, decide, finite_scores, subjects_of
from pytest_prodml.adapters.tables import as_frame, materials_of
from pytest_prodml.checks.counts import check_share, plain
from pytest_prodml.checks.evidence import evidence, measurement
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue
from pytest_prodml.statistics.intervals import proportion

_MOST_EXAMPLES = 10


def agrees_with(
    champion: Predictor,
    challenger: Predictor,
    data: Any,  # noqa: ANN401 - a Dataset or a frame
    at_least: float,
    *,
    gate_id: str,
    threshold: float | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a challenger decides as the champion does, for nearly all rows of the kind.

    Measures ``decision_agreement``: the share of rows that both decide alike, with one-sided Clopper-Pearson
    bounds for other rows of the kind. Rows are taken as independent.

    Parameters
    ----------
    champion : Predictor
        The model that serves. A material of the evidence.
    challenger : Predictor
        The model that shall. The subject.
    data : Dataset or frame
        Rows that both are asked for: recent traffic, in a shadow run.
    at_least : float
        The share of them that has to be decided alike.
    threshold : float, optional
        The score from which the decision is positive; None takes the models' own labels.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If the two are one model, there are no rows, a score is not finite, or the shares make no sense.
    """
    del seed
    check_share(at_least, "at_least")
    if champion.subject is not None and champion.subject == challenger.subject:
        raise InputError(
            "champion and challenger are one model: they always agree",
            where=champion.description,
            hint="give the model that serves today as the champion",
        )
    frame = as_frame(data)
    if len(frame) == 0:
        raise InputError("there are no rows to decide", where=gate_id)
    first, second = finite_scores(champion, frame), finite_scores(challenger, frame)
    same = np.asarray(decide(champion, frame, threshold) == decide(challenger, frame, threshold))
    criterion = Criterion(metric="decision_agreement", comparison=Comparison.AT_LEAST, limit=at_least)
    found = measurement(
        "decision_agreement",
        proportion(int(same.sum()), len(frame)),
        criteria=(criterion,),
        n_samples=len(frame),
        confidence_level=confidence_level,
        higher_is_better=True,
    )
    details: dict[str, JsonValue] = {
        "champion": champion.description,
        "challenger": challenger.description,
        "decided otherwise": int((~same).sum()),
        "examples": [
            {
                "row": plain(frame.index[row]),
                "champion": _shown(first[row]),
                "challenger": _shown(second[row]),
            }
            for row in np.flatnonzero(~same)[:_MOST_EXAMPLES]
        ],
    }
    if first.shape == second.shape:
        details["mean_abs_difference"] = float(np.mean(np.abs(first - second)))
    told = evidence(gate_id, (found,), (criterion,), details=details)
    return replace(
        told, subjects=subjects_of(challenger), materials=(*materials_of(data), *subjects_of(champion))
    )


def _shown(score: Any) -> JsonValue:  # noqa: ANN401 - a number or several
    return [plain(value) for value in np.atleast_1d(score)]
