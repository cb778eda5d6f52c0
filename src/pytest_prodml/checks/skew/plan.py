"""Two tables and what a project declares -> the columns that are compared, each with its rule."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.adapters.engines.expressions import Column, Kind
from pytest_prodml.checks.labels import nearest
from pytest_prodml.checks.skew.rules import Feature, How, Rule, check_fits, rule_for, type_difference
from pytest_prodml.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is compared by which rules.

    `key` names an entity and, with `time`, a row; `columns` restricts the features, `ignore` leaves some
    out; `rtol` and `widening` are of features without a rule; `score` and `threshold` name the decisions.
    """

    key: tuple[str, ...]
    time: str | None = None
    rules: Mapping[str, Rule | How]
    columns: Collection[str] | None = None
    ignore: Collection[str] = ()
    rtol: float
    widening: bool = False
    score: str | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The columns of both tables by what they are for."""

    keys: tuple[str, ...]
    shared: tuple[str, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    score: str | None

    @classmethod
    def of(cls, offline: Table, online: Table, plan: Plan) -> Chosen:
        """Choose the columns; features, where the plan does not say, are all but keys, labels and the score.

        Raises
        ------
        InputError
            If a column that the plan names is not there, or none is left to compare.
        """
        ours, theirs = offline.engine.columns(), online.engine.columns()
        keys = (*plan.key, *([] if plan.time is None else [plan.time]))
        if not plan.key or len(set(keys)) < len(keys):
            raise InputError(f"name each column of the key once, got {', '.join(keys) or 'none'}")
        for name in (*keys, *([] if plan.score is None else [plan.score])):
            for table, known in ((offline, ours), (online, theirs)):
                if name not in known:
                    raise InputError(
                        f"there is no column {name!r}", where=table.where, hint=nearest(name, list(known))
                    )
        named = (
            *(plan.columns or ()),
            *plan.ignore,
            *(name for name in plan.rules if not name.endswith("*")),
        )
        for name in named:
            if name not in ours and name not in theirs:
                raise InputError(
                    f"there is no column {name!r}", where=offline.where, hint=nearest(name, list(ours))
                )
        for pattern in plan.rules:
            if pattern.endswith("*") and not any(name.startswith(pattern[:-1]) for name in (*ours, *theirs)):
                raise InputError(f"no column begins like the rule {pattern!r}", where=offline.where)
        left_out = {*keys, *plan.ignore, plan.score, offline.target_name, online.target_name} - {
            *(plan.columns or ()),
            *plan.rules,
        } | {*keys}
        wanted = [
            name
            for name in (*ours, *(name for name in theirs if name not in ours))
            if name not in left_out and (plan.columns is None or name in plan.columns)
        ]
        shared = tuple(name for name in wanted if name in ours and name in theirs)
        missing = tuple(name for name in wanted if name not in theirs)
        if not shared and not missing:
            raise InputError("no column is left to compare", where=offline.where)
        return cls(
            keys=keys,
            shared=shared,
            missing=missing,
            added=tuple(name for name in wanted if name not in ours),
            score=plan.score,
        )

    def read(self) -> list[str]:
        """Return the columns that are read of both tables."""
        return list(dict.fromkeys((*self.keys, *self.shared, *([] if self.score is None else [self.score]))))


def features_of(
    names: Sequence[str], first: Mapping[str, Column], second: Mapping[str, Column], plan: Plan
) -> tuple[tuple[Feature, ...], dict[str, str]]:
    """Return the features with their rules, and those whose types differ more than their rules allow.

    Raises
    ------
    InputError
        If a rule does not fit its feature, or times with and without a zone meet.
    """
    features, retyped = [], {}
    for name in names:
        kinds = frozenset((first[name].kind, second[name].kind)) - {Kind.EMPTY}
        rule = rule_for(name, kinds, plan.rules, rtol=plan.rtol, widening=plan.widening)
        feature = Feature(name=name, rule=rule, first=first[name], second=second[name])
        wrong = type_difference(feature)
        if wrong is not None:
            retyped[name] = wrong
            continue
        check_fits(feature)
        features.append(feature)
    return tuple(features), retyped
