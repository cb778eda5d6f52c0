"""What a comparison of two tables found -> measurements with bounds, criteria, the first differing rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.counts import check_share, exact, share
from pytest_prodml.checks.labels import nearest
from pytest_prodml.checks.skew.comparison import MOST_SHOWN, Compared, Parity
from pytest_prodml.checks.skew.rules import Rule
from pytest_prodml.errors import InputError
from pytest_prodml.records import Criterion, Evidence, JsonValue, Measurement
from pytest_prodml.statistics.estimate import checked_level

MISMATCHES = "mismatch_share"
WORST = "worst_difference"
ABSENT = "absent_key_share"
MISSING = "missing_features"
RETYPED = "retyped_features"
FLIPS = "decision_flip_share"
_SCORE_DIFFERENCE = "score_difference"
_SIDES = ("online", "offline")
_MOST_CAUSES = 4
_MOST_NOTED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is tolerated: shares of entities, of all features or by name (``*`` at the end for many).

    `missing_keys_at_most` may be given for the side that keys are absent from, ``online`` or ``offline``; a
    side that is left out then is measured and not judged.
    """

    at_most: float | Mapping[str, float]
    missing_keys_at_most: float | Mapping[str, float]
    flips_at_most: float
    confidence_level: float

    def check(self) -> None:
        """Refuse limits that are no shares.

        Raises
        ------
        InputError
            If one does not lie in [0, 1], or a side does not exist.
        """
        checked_level(self.confidence_level)
        for name, given in (("at_most", self.at_most), ("missing_keys_at_most", self.missing_keys_at_most)):
            for limit in given.values() if isinstance(given, Mapping) else (given,):
                check_share(limit, name)
        if isinstance(self.missing_keys_at_most, Mapping):
            for side in self.missing_keys_at_most:
                if side not in _SIDES:
                    raise InputError(f"keys can not be absent from {side!r}", hint="offline or online")
        check_share(self.flips_at_most, "flips_at_most")

    def check_names(self, names: Collection[str]) -> None:
        """Refuse a limit that is for no feature: a name that was mistyped would leave its feature to another.

        Raises
        ------
        InputError
            If there is one.
        """
        for key in self.at_most if isinstance(self.at_most, Mapping) else ():
            fits = any(name.startswith(key[:-1]) for name in names) if key[-1:] == "*" else key in names
            if not fits:
                raise InputError(f"there is no feature {key!r} to limit", hint=nearest(key, list(names)))

    def of_feature(self, name: str) -> float:
        """Return the tolerated share of a feature.

        Raises
        ------
        InputError
            If limits are named and none is for it.
        """
        if not isinstance(self.at_most, Mapping):
            return self.at_most
        fitting = [
            key for key in self.at_most if key == name or (key[-1:] == "*" and name.startswith(key[:-1]))
        ]
        if not fitting:
            raise InputError(
                f"there is no limit for the feature {name!r}",
                hint="the key '*' stands for every other feature",
            )
        return self.at_most[max(fitting, key=lambda key: (key == name, len(key)))]

    def of_side(self, side: str) -> float | None:
        """Return the tolerated share of keys that are absent from a side."""
        given = self.missing_keys_at_most
        return given.get(side) if isinstance(given, Mapping) else given


def parity_evidence(
    found: Parity,
    limits: Limits,
    *,
    gate_id: str,
    offline: Table,
    online: Table,
    seed: int = 0,
    redact: bool = False,
) -> Evidence:
    """Return the evidence of a comparison of two tables.

    Parameters
    ----------
    found : Parity
        What `compare` found.
    limits : Limits
        What is tolerated.
    offline, online : Table
        Where the rows came from; their materials are those of the evidence.
    redact : bool
        Leave values out; keys stay.
    """
    level = limits.confidence_level
    limits.check_names({*(item.feature.name for item in found.features), *found.retyped, *found.missing})
    measurements: list[Measurement] = []
    criteria: list[Criterion] = []
    for item in found.features:
        limit = limits.of_feature(item.feature.name)
        measurements.append(
            share(
                MISMATCHES,
                item.n_differing,
                item.n_entities,
                confidence_level=level,
                limit=limit,
                group=item.feature.name,
                note=_note(item),
            )
        )
        criteria.append(limited(MISMATCHES, limit, group=item.feature.name))
        if item.worst and not redact:
            measurements.append(_worst(item))
    for side in _SIDES:
        count, n_entities, _ = found.absent[side]
        limit_of_side = limits.of_side(side)
        measurements.append(
            share(ABSENT, count, n_entities, confidence_level=level, limit=limit_of_side, group=side)
        )
        if limit_of_side is not None:
            criteria.append(limited(ABSENT, limit_of_side, group=side))
    n_common = max((item.n_entities for item in found.features), default=found.absent["online"][1])
    for metric, names in ((MISSING, found.missing), (RETYPED, tuple(found.retyped))):
        told = ", ".join(names[:_MOST_NOTED])
        rest = len(names) - _MOST_NOTED
        note = f"{told} and {rest} more" if rest > 0 else told
        measurements.append(exact(metric, len(names), n_common, unit="columns", note=note or None))
        criteria.append(limited(metric, 0))
    if found.decisions is not None:
        decisions = found.decisions
        measurements.append(
            share(
                FLIPS,
                decisions.n_flips,
                decisions.n_entities,
                confidence_level=level,
                limit=limits.flips_at_most,
                note=f"99 % of the scores differ by at most {decisions.quantile:.3g}",
            )
        )
        measurements.append(
            exact(_SCORE_DIFFERENCE, decisions.worst, decisions.n_entities, method="maximum over the rows")
        )
        criteria.append(limited(FLIPS, limits.flips_at_most))
    return Evidence(
        gate_id=gate_id,
        measurements=tuple(measurements),
        criteria=tuple(criteria),
        materials=tuple(table.material for table in (offline, online) if table.material is not None),
        seed=seed,
        details=_details(found, offline, online, redact=redact),
    )


def _note(item: Compared) -> str | None:
    told = [f"{cause.text}: {cause.rows:,} of {item.n_explained:,} rows" for cause in item.causes[:2]]
    return "; ".join(told) or None


def _worst(item: Compared) -> Measurement:
    return exact(
        WORST,
        item.worst or 0.0,
        item.n_entities,
        group=item.feature.name,
        unit="s" if item.feature.is_time else "1",
        method="maximum over the rows",
    )


def rule_text(rule: Rule) -> str:
    """Return a rule as it is told to a reader."""
    how = rule.how
    parts = [f"{name}={getattr(how, name)!r}" for name in getattr(how, "__slots__", ())]
    told = [f"{type(how).__name__}({', '.join(parts)})"]
    if rule.same_missing:
        told.append("same: " + ", ".join(sorted(map(str, rule.same_missing))))
    if rule.sentinels:
        told.append("sentinels: " + ", ".join(str(value)[:20] for value in rule.sentinels[:5]))
    if rule.widening:
        told.append("widening")
    return "; ".join(told)


def _details(found: Parity, offline: Table, online: Table, *, redact: bool) -> dict[str, JsonValue]:
    ranked = sorted(found.features, key=lambda item: -item.n_differing)
    features: list[JsonValue] = [
        {
            "feature": item.feature.name,
            "rule": rule_text(item.feature.rule),
            "mismatches": item.n_differing,
            "entities": item.n_entities,
            "causes": [
                {"cause": cause.text, "rows": cause.rows, "of": item.n_explained}
                for cause in item.causes[:_MOST_CAUSES]
            ],
        }
        for item in ranked[:MOST_SHOWN]
    ]
    details: dict[str, JsonValue] = {
        "engine": {"offline": offline.facts(), "online": online.facts()},
        "features": features,
    }
    rows: list[JsonValue] = [
        {name: value for name, value in row.items() if not (redact and name in _SIDES)}
        for item in ranked
        for row in item.examples
    ]
    if rows:
        details["mismatching_rows"] = rows[:MOST_SHOWN]
    keys: list[JsonValue] = [{"absent from": side, **key} for side in _SIDES for key in found.absent[side][2]]
    if keys:
        details["absent_keys"] = keys
    if found.retyped:
        details["retyped_features"] = dict(list(found.retyped.items())[:MOST_SHOWN])
    if found.added:
        details["new_columns"] = list(found.added[:MOST_SHOWN])
    return details
