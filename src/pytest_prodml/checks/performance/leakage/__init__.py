"""Training and test rows -> evidence that nothing leaked from the answer, or from one split to the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType

from pytest_prodml.adapters.tables import Dataset
from pytest_prodml.checks.evidence import checked_burden, evidence, measurement
from pytest_prodml.checks.labels import nearest
from pytest_prodml.checks.metrics.registry import Metric
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.checks.performance.leakage.control import Train
from pytest_prodml.checks.performance.leakage.kinds import KINDS
from pytest_prodml.checks.performance.leakage.request import Finding, Request
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue
from pytest_prodml.statistics.estimate import checked_level

__all__ = ["DEFAULT_LIMITS", "no_leakage"]

#: What each measurement has to stay at or below; None is measured, where it can be, but not judged.
DEFAULT_LIMITS: Mapping[str, float | None] = MappingProxyType(
    {
        # A single honest column seldom ranks better than the best whole models do.
        "single_feature": 0.98,
        "target_names": 0.0,
        # One copied row in a hundred moves a share by one point at most.
        "duplicate_rows": 0.01,
        "near_duplicate_rows": 0.01,
        # In tables of few levels equal rows are honest, and only their excess can be judged.
        "duplicates_beyond_chance": 0.1,
        "near_duplicates_beyond_chance": 0.1,
        "entity_overlap": 0.0,
        "time_overlap": 0.0,
        "later_dates": 0.0,
        # Splits by time differ a little; beyond this the score of one says little about the other.
        "adversarial_auc": 0.7,
        # An honest model may fit its training rows perfectly: only the project can say what is too much.
        "score_gap": None,
        "skill_after_shuffling": 0.2,
    }
)


def no_leakage(
    reference: Dataset,
    test: Dataset,
    *,
    limits: Mapping[str, float | None] | None = None,
    only: Collection[str] | None = None,
    entity: str | None = None,
    time: str | None = None,
    sample_weight: str | None = None,
    ignore: Collection[str] = (),
    allowed_names: Collection[str] = (),
    train: Train | None = None,
    repeats: int = 5,
    metric: str | Metric | None = None,
    reference_sample: Sample | None = None,
    test_sample: Sample | None = None,
    burden: str = "compliance",
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Measure every way in which an evaluation can know the answer beforehand.

    Parameters
    ----------
    reference, test : Dataset
        The rows the model was trained on, and those that it is judged on.
    limits : mapping of str to float or None, optional
        Other limits than `DEFAULT_LIMITS`, by the name of the measurement. None switches a limit off: the
        kind is then not run (`score_gap` is measured where it can be), and the details say so.
    only : collection of str, optional
        Run these kinds and no other.
    entity : str, optional
        The column that says whose row it is (client, patient, device): no test row may be of an entity that
        training rows are of too. Bounds then count entities as independent, not rows, and folds keep the rows
        of an entity together.
    time : str, optional
        The column with the time of the decision: every test row has to come after all training rows, and no
        other column of dates may hold one after its row's time.
    sample_weight : str, optional
        The column with the weights of the rows, for what is claimed about a population (see Notes).
    ignore : collection of str
        Columns that are no input of the model. They are not looked at, by any kind.
    allowed_names : collection of str
        Columns that carry the target's name and are honest.
    train : callable, optional
        ``train(X, y)`` gives a fitted model; for `skill_after_shuffling`.
    repeats : int
        Shuffles, each of which needs a training for every class (two for numbers).
    metric, reference_sample, test_sample : str or Metric, Sample, Sample, optional
        For `score_gap`: by how much the metric is better on the training rows than on the test rows.
    burden, gate_id, confidence_level, seed
        As for `at_least`.

    Returns
    -------
    Evidence
        One measurement a kind. ``details["not_run"]`` names the kinds that were not run, and why.

    Raises
    ------
    InputError
        For an unknown kind, a missing column, a missing target or time, or when nothing is left to judge.

    Notes
    -----
    Exact, without bounds, weights or entities, because it is a fact about the rows at hand: `target_names`,
    `duplicate_rows`, `near_duplicate_rows`, `entity_overlap`, `time_overlap`, `later_dates`. A passed limit
    says nothing about other rows.

    Claims about the population that the rows were drawn from, with one-sided bounds that know entities and
    weights: `single_feature` (training rows) and `adversarial_auc` (both tables). About how rows were copied,
    with entities but without weights: `duplicates_beyond_chance`, `near_duplicates_beyond_chance`.
    `score_gap` takes weights and groups from the samples, and holds the tables to be independent: where they
    share entities, `entity_overlap` fails. `skill_after_shuffling` is about further shuffles with these
    (weighted) test rows.
    """
    checked_level(confidence_level)
    asked_burden = checked_burden(burden)
    wanted = _limits(limits or {}, only)
    for name in ignore:
        if name not in reference.frame.columns and name not in test.frame.columns:
            raise InputError(
                f"there is no column {name!r} to ignore",
                where="ignore",
                hint=nearest(str(name), [str(column) for column in reference.frame.columns]),
            )
    request = Request(
        reference=reference,
        test=test,
        entity=entity,
        time=time,
        sample_weight=sample_weight,
        ignore=frozenset(ignore),
        allowed_names=frozenset(allowed_names),
        train=train,
        repeats=repeats,
        metric=metric,
        samples=None if reference_sample is None or test_sample is None else (reference_sample, test_sample),
        seed=seed,
    )
    asked_for = set(limits or {}) | set(only or ())
    not_run: dict[str, JsonValue] = {}
    found: dict[str, Finding] = {}
    for kind, measure in KINDS.items():
        if kind not in wanted or (wanted[kind] is None and kind != "score_gap"):
            not_run[kind] = "switched off"
            continue
        finding = measure(request)
        if isinstance(finding, str):
            if kind in asked_for:
                raise InputError(f"{kind} can not be measured: {finding}", where="no_leakage")
            not_run[kind] = finding
        else:
            found[kind] = finding
    measurements, criteria = [], []
    details: dict[str, JsonValue] = {"not_run": not_run}
    if "score_gap" in found and wanted["score_gap"] is None:
        not_run["score_gap"] = "measured, not judged: no limit is given"
    for kind, item in found.items():
        limit = wanted[kind]
        judged = (
            []
            if limit is None
            else [Criterion(metric=kind, comparison=Comparison.AT_MOST, limit=limit, burden=asked_burden)]
        )
        criteria += judged
        details.update(item.details)
        measured = measurement(
            kind,
            item.estimate,
            criteria=judged,
            n_samples=item.n_samples,
            confidence_level=confidence_level,
            higher_is_better=False,
            unit=item.unit,
        )
        measurements.append(replace(measured, confidence_level=1.0) if item.exact else measured)
    if not criteria:
        raise InputError("nothing is left to judge", where="no_leakage", hint=f"kinds: {', '.join(KINDS)}")
    return evidence(gate_id, measurements, criteria, seed=seed, details=details)


def _limits(given: Mapping[str, float | None], only: Collection[str] | None) -> dict[str, float | None]:
    """Return the limit of each kind that is wanted."""
    for name in (*given, *(only or ())):
        if name not in DEFAULT_LIMITS:
            raise InputError(
                f"there is no kind of leakage {name!r}", hint=nearest(name, list(DEFAULT_LIMITS))
            )
    for name, limit in given.items():
        if limit is not None and not 0 <= limit <= 1 and name not in {"target_names", "score_gap"}:
            raise InputError(f"the limit must lie between 0 and 1, got {limit!r}", where=name)
        if limit is not None and not 0 <= limit < float("inf"):
            raise InputError(f"the limit must be a number from 0 on, got {limit!r}", where=name)
    wanted = {**DEFAULT_LIMITS, **given}
    return {name: limit for name, limit in wanted.items() if only is None or name in only}
