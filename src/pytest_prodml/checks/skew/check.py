"""The features a model learned from and those it is served -> Evidence that they are the same, key by key."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.checks.skew.comparison import compare
from pytest_prodml.checks.skew.evidence import Limits, parity_evidence
from pytest_prodml.checks.skew.plan import Plan
from pytest_prodml.checks.skew.rules import How, Rule
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence


def no_training_serving_skew(
    offline: Table,
    online: Table,
    *,
    key: Sequence[str] | str,
    time: str | None = None,
    rules: Mapping[str, Rule | How] | None = None,
    columns: Collection[str] | None = None,
    ignore: Collection[str] = (),
    rtol: float = 1e-9,
    widening: bool = False,
    at_most: float | Mapping[str, float] = 0.01,
    missing_keys_at_most: float | Mapping[str, float] = 0.01,
    score: str | None = None,
    threshold: float | None = None,
    flips_at_most: float = 0.01,
    redact: bool = False,
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that the features of training and of serving are the same for the same entities.

    Rows are compared by key (and event time), never by position. A feature passes when the upper bound of the
    share of entities that differ in it lies within `at_most`.

    Parameters
    ----------
    offline, online : Table
        The features as they were computed for training, and as they were served.
    key : str or sequence of str
        The columns that name an entity. Together with `time` they name a row on each side.
    time : str, optional
        The event time; an entity then differs if any of its rows does, and bounds count entities, because
        rows of one entity are not independent.
    rules : mapping of str to rule, optional
        When two cells of a feature are the same: `Exact`, `Absolute`, `Relative`, `Ulp`, `Rounded`, `SetOf`
        or `Text` of `checks.skew`, or a `Rule` that also joins states of missing cells, names sentinels or
        allows types to widen. A name ending in ``*`` stands for all features that begin so. Default:
        ``Relative(rtol)`` for floats, ``Exact()`` for everything else.
    columns, ignore : collection of str
        Compare these only; leave these out. Keys, labels and the score are no features unless named.
    rtol : float
        The relative tolerance of floats that have no rule.
    widening : bool
        Whether features without a rule may have a type online that holds every value of the offline one, or
        the other way round. The values still have to be the same.
    at_most : float or mapping of str to float
        The tolerated share of entities that differ, of every feature or by name. No number of rows proves 0.
    missing_keys_at_most : float or mapping of str to float
        The tolerated share of entities that are absent on the other side; by ``{"online": 0.01}`` only of
        those that are offline and not online (the log of serving may be a sample).
    score, threshold : str, float, optional
        The column with the score of each side's model, and from which score on the decision is positive.
    flips_at_most : float
        The tolerated share of entities whose decision changes.
    redact : bool
        Leave values out of the evidence, which is signed and travels; keys stay.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Returns
    -------
    Evidence
        ``mismatch_share`` for each feature with Clopper-Pearson bounds, its ``worst_difference`` where cells
        have one (times: in seconds), ``absent_key_share`` for each side, the exact counts
        ``missing_features`` and ``retyped_features``, and with `score` the ``decision_flip_share``. The notes
        name what would explain most of the differing rows.

    Raises
    ------
    InputError
        If a table is empty, a column is missing, a key is missing or names several rows of a side, no key is
        on both sides, times have a zone on one side only, or a rule does not fit its feature.

    Notes
    -----
    The bounds assume that the entities at hand are independent draws of those that are served.
    """
    if not 0 <= rtol < 1:
        raise InputError(f"rtol must be a number from 0 on and below 1, got {rtol!r}")
    if (score is None) is not (threshold is None):
        raise InputError("decisions need both a score and a threshold")
    if threshold is not None and not math.isfinite(threshold):
        raise InputError(f"the threshold must be a finite number, got {threshold!r}")
    limits = Limits(
        at_most=at_most,
        missing_keys_at_most=missing_keys_at_most,
        flips_at_most=flips_at_most,
        confidence_level=confidence_level,
    )
    limits.check()
    plan = Plan(
        key=(key,) if isinstance(key, str) else tuple(key),
        time=time,
        rules=rules or {},
        columns=columns,
        ignore=ignore,
        rtol=rtol,
        widening=widening,
        score=score,
        threshold=threshold,
    )
    return parity_evidence(
        compare(offline, online, plan),
        limits,
        gate_id=gate_id,
        offline=offline,
        online=online,
        seed=seed,
        redact=redact,
    )
