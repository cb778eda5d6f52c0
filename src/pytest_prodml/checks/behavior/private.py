"""A model, its training rows and held-out rows -> how well its answers tell who was in the training data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.predictor import Predictor, subjects_of
from pytest_prodml.checks.behavior.batches import Inputs, inputs_of
from pytest_prodml.checks.behavior.private_attacks import (
    Array,
    classes_of,
    scores_of,
    signals_of_classes,
    signals_of_numbers,
)
from pytest_prodml.checks.behavior.private_rows import apart, origin
from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.counts import check_share
from pytest_prodml.checks.evidence import measurement
from pytest_prodml.errors import InputError
from pytest_prodml.records import Criterion, Evidence, JsonValue, Measurement, Subject
from pytest_prodml.statistics.estimate import Estimate, not_estimable
from pytest_prodml.statistics.independent import difference
from pytest_prodml.statistics.intervals import proportion
from pytest_prodml.statistics.ranking import roc_auc
from pytest_prodml.statistics.sufficient import score_table

Mask: TypeAlias = npt.NDArray[np.bool_]
Task: TypeAlias = Literal["auto", "classification", "regression"]

ADVANTAGE = "membership_advantage"
_AUC = "membership_roc_auc"
_TPR = "membership_tpr"
_ORIGIN = "origin_roc_auc"
_WHERE = "private"
#: Rows of each set, below which half of it neither fits an attack nor judges it.
_LEAST_ROWS = 50
#: False positive rates at which the true positive rate is told (Carlini et al. 2022).
_LOW_RATES = (0.001, 0.01)
#: Above it the two sets are told apart by what they are, not by what the model remembers.
_UNLIKE = 0.55
_CURVE = 50


def private(
    predictor: Predictor,
    data: Any,  # noqa: ANN401 - whatever a model takes
    *,
    members: Any,  # noqa: ANN401 - whatever a model takes
    gate_id: str,
    at_most: float,
    tpr_at_most: Mapping[float, float] | None = None,
    origin_at_most: float | None = None,
    task: Task = "auto",
    classes: Sequence[Any] | None = None,
    compare_origin: bool = True,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that the model's answers do not tell who was in the training data.

    An attacker who sees the model's answer to a row says whether it was a training row: where the loss is
    low, the model is sure, or the entropy small. The attack and its threshold are chosen on a random half of
    both sets; the other half judges them. Measures ``membership_advantage``, the share of training rows that
    are called so less the share of held-out rows that are (Yeom et al. 2018): 0 if nothing leaks, 1 if
    everything does. The gate is on its upper bound. Also ``membership_roc_auc`` (0.5 if nothing leaks),
    ``membership_tpr``, groups ``fpr=0.001`` and ``fpr=0.01``: the share of training rows that are found
    while one in 1,000, or 100, held-out rows is accused (Carlini et al. 2022); and ``origin_roc_auc``.

    Parameters
    ----------
    predictor : Predictor
        The model.
    data : Dataset, frame, array, list, or a pair of one of them with labels
        Held-out rows **of the same origin** as `members`: a random part of what the training rows were drawn
        from. If they are later, of other clients or cleaned otherwise, what tells the sets apart is that.
    members : as `data`
        Training rows, all or a random part.
    at_most : float
        The largest advantage, from 0 to 1.
    tpr_at_most : mapping of float to float, optional
        Rate of false positives (0.001 or 0.01) -> the largest share of training rows that may be found at it.
    origin_at_most : float, optional
        The largest ROC AUC with which a classifier that does not know the model may tell both sets apart;
        None only tells.
    task : {"auto", "classification", "regression"}
        "auto" takes labels with fractions for numbers.
    classes : sequence, optional
        The labels in the order of the scores; default as the model says, or sorted.
    compare_origin : bool
        Whether to compare the origin of both sets; needs scikit-learn and tables.
    gate_id, confidence_level, seed
        Common to all checks; `seed` halves the sets.

    Raises
    ------
    InputError
        With fewer than 50 rows of a set, labels in one set only, rows that the model refuses, or more than
        half of the held-out rows among the training rows.

    Notes
    -----
    Held-out rows that are copies of training rows are left out and counted: they would hide what leaks.
    Threshold attacks are the weakest that there are: a pass says that these do not work, not that none does.
    Bounds are exact ones of both shares, combined (MOVER). Without labels only how sure the model is can be
    attacked, which finds less.
    """
    check_share(at_most)
    _check_limits(tpr_at_most, origin_at_most, task)
    known, held = inputs_of(members, name="members"), inputs_of(data)
    held, n_copies = apart(known, held)
    _check_sizes(known, held, n_copies)
    signals = _signals(predictor, known, held, task, classes)
    rng = np.random.default_rng(seed)
    sides = [_halves(len(part), rng) for part in (known, held)]
    attack = max(signals, key=lambda name: _best(*_parts(signals[name], sides, 0))[0])
    fitted, threshold = _best(*_parts(signals[attack], sides, 0))
    of_members, of_others = _parts(signals[attack], sides, 1)
    advantage = difference(
        proportion(float(np.count_nonzero(of_members >= threshold)), of_members.size, of="training rows"),
        proportion(float(np.count_nonzero(of_others >= threshold)), of_others.size, of="held-out rows"),
    )
    is_member = np.arange(of_members.size + of_others.size) < of_members.size
    area = roc_auc(score_table(is_member, np.concatenate([of_members, of_others])))
    n_judged = int(is_member.size)
    criteria = [limited(ADVANTAGE, at_most)]
    told = _Told(n_samples=n_judged, confidence_level=confidence_level)
    measurements = [
        told(ADVANTAGE, advantage, criteria[:1], note=f"by {attack}"),
        told(_AUC, area, (), note=f"by {attack}"),
    ]
    for rate in _LOW_RATES:
        limits = [] if tpr_at_most is None or rate not in tpr_at_most else [tpr_at_most[rate]]
        group = f"fpr={rate:g}"
        own = [limited(_TPR, limit, group=group) for limit in limits]
        measurements.append(told(_TPR, _at_low_rate(signals[attack], sides, rate, rng), own, group=group))
        criteria += own
    warning = ""
    if compare_origin:
        own = [] if origin_at_most is None else [limited(_ORIGIN, origin_at_most)]
        found = origin(known, held, seed)
        if found is not None:
            lower, _ = found.at(confidence_level)
            if lower is not None and lower > _UNLIKE:
                warning = (
                    "the two sets differ by what they hold, not only by whether the model saw them: what is "
                    "measured may be that"
                )
                measurements[0] = replace(measurements[0], note=f"{measurements[0].note}; {warning}")
            measurements.append(told(_ORIGIN, found, own, n_samples=len(known) + len(held)))
        criteria += own
    details: dict[str, JsonValue] = {
        "attack": attack,
        "attacks_tried": list(signals),
        "advantage_where_it_was_chosen": fitted,
        "training_rows": len(known),
        "held_out_rows": len(held),
        "held_out_copies_left_out": n_copies,
        "curve": _curve(of_members, of_others),
    }
    if warning:
        details["warning"] = warning
    return Evidence(
        gate_id=gate_id,
        measurements=tuple(measurements),
        criteria=tuple(criteria),
        subjects=subjects_of(predictor),
        materials=_materials(known, held),
        seed=seed,
        details=details,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What the measurements of one check have in common."""

    n_samples: int
    confidence_level: float

    def __call__(
        self,
        metric: str,
        estimate: Estimate,
        criteria: Sequence[Criterion],
        *,
        group: str | None = None,
        note: str | None = None,
        n_samples: int | None = None,
    ) -> Measurement:
        return measurement(
            metric,
            estimate,
            criteria=criteria,
            n_samples=self.n_samples if n_samples is None else n_samples,
            confidence_level=self.confidence_level,
            higher_is_better=False,
            group=group,
            note=note,
        )


def _check_limits(tpr_at_most: Mapping[float, float] | None, origin_at_most: float | None, task: str) -> None:
    for rate, limit in (tpr_at_most or {}).items():
        if rate not in _LOW_RATES:
            raise InputError(f"tpr_at_most has no rate {rate!r}", where=_WHERE, hint="0.001 or 0.01")
        check_share(limit, f"tpr_at_most[{rate:g}]")
    if origin_at_most is not None:
        check_share(origin_at_most, "origin_at_most")
    if task not in {"auto", "classification", "regression"}:
        raise InputError(f"there is no task {task!r}", where=_WHERE, hint="classification or regression")


def _check_sizes(known: Inputs, held: Inputs, n_copies: int) -> None:
    if n_copies > len(held):
        raise InputError(
            f"{n_copies:,} of {n_copies + len(held):,} held-out rows are copies of training rows",
            where=_WHERE,
            hint="give rows that the model was not trained on",
        )
    for part, what in ((known, "training"), (held, "held-out")):
        if len(part) < _LEAST_ROWS:
            raise InputError(
                f"there are {len(part):,} {what} rows, at least {_LEAST_ROWS} are needed", where=_WHERE
            )
    if (known.target is None) != (held.target is None):
        without = "training" if known.target is None else "held-out"
        raise InputError(
            f"the {without} rows have no labels and the others do", where=_WHERE, hint="give (X, y) pairs"
        )


def _signals(
    predictor: Predictor, known: Inputs, held: Inputs, task: Task, classes: Sequence[Any] | None
) -> dict[str, Array]:
    """Return the signals of the training rows and, after them, of the held-out ones."""
    parts = (scores_of(predictor, known, "training rows"), scores_of(predictor, held, "held-out rows"))
    if parts[0].shape[1:] != parts[1].shape[1:]:
        raise InputError("the model answers both sets in another shape", where=predictor.description)
    scores = np.concatenate(parts)
    target = None
    if known.target is not None and held.target is not None:
        target = np.concatenate([known.target, held.target])
    if task == "regression" or (task == "auto" and target is not None and _has_fractions(target)):
        return signals_of_numbers(scores, target)
    return signals_of_classes(scores, target, classes_of(predictor, scores, [target], classes))


def _has_fractions(target: npt.NDArray[Any]) -> bool:
    return target.dtype.kind == "f" and bool(np.any(target % 1 != 0))


def _halves(size: int, rng: np.random.Generator) -> Mask:
    """Return which rows choose the attack; the others judge it."""
    return np.asarray(rng.permutation(size) < size // 2)


def _parts(signal: Array, sides: Sequence[Mask], half: int) -> tuple[Array, Array]:
    """Return the signal of the training rows and of the held-out rows of one half."""
    chosen = [side if half == 0 else ~side for side in sides]
    return signal[: sides[0].size][chosen[0]], signal[sides[0].size :][chosen[1]]


def _best(of_members: Array, of_others: Array) -> tuple[float, float]:
    """Return the largest advantage of any threshold, and the threshold from which on a row is accused."""
    values = np.unique(np.concatenate([of_members, of_others]))
    true_rates = 1 - np.searchsorted(np.sort(of_members), values, side="left") / of_members.size
    false_rates = 1 - np.searchsorted(np.sort(of_others), values, side="left") / of_others.size
    place = int(np.argmax(true_rates - false_rates))
    return float(true_rates[place] - false_rates[place]), float(values[place])


def _at_low_rate(signal: Array, sides: Sequence[Mask], rate: float, rng: np.random.Generator) -> Estimate:
    """Estimate the share of training rows above the held-out rows' quantile, found on the other half.

    Of the rows at the quantile itself as many are accused, at random, as the rate allows: they may be many,
    and an attacker who accuses none of them would find nothing where half of the training rows stand there.
    """
    _, calibration = _parts(signal, sides, 0)
    of_members, of_others = _parts(signal, sides, 1)
    allowed = calibration.size * rate
    if allowed < 1:
        note = f"half of the held-out rows are {calibration.size:,}, too few for a rate of {rate:g}"
        return not_estimable("Clopper-Pearson", note)
    threshold = np.sort(calibration)[::-1][int(allowed) - 1]
    above, at = np.count_nonzero(calibration > threshold), np.count_nonzero(calibration == threshold)
    chance = min(max((allowed - above) / at, 0.0), 1.0)

    def accused(part: Array) -> float:
        ties = (part == threshold) & (rng.random(part.size) < chance)
        return float(np.count_nonzero((part > threshold) | ties))

    found = proportion(accused(of_members), of_members.size, of="training rows")
    return replace(
        found, note=f"while {accused(of_others) / of_others.size:.3%} of held-out rows are accused"
    )


def _curve(of_members: Array, of_others: Array) -> JsonValue:
    """Return the ROC curve of the attack at no more than 50 points."""
    values = np.unique(np.concatenate([of_members, of_others]))
    if values.size > _CURVE:
        values = values[np.linspace(0, values.size - 1, _CURVE).astype(np.intp)]
    rates: Callable[[Array, float], float] = lambda part, value: float(np.mean(part >= value))  # noqa: E731
    return [
        {"fpr": rates(of_others, float(value)), "tpr": rates(of_members, float(value))}
        for value in values[::-1]
    ]


def _materials(*parts: Inputs) -> tuple[Subject, ...]:
    found = (part.material for part in parts)
    return tuple(material for material in found if material is not None)
