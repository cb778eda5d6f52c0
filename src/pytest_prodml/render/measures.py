"""The measurements of one evidence -> a table and a chart for each metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_prodml.policy.judge import JudgedCriterion
from pytest_prodml.records import Comparison, Evidence, Measurement, Outcome
from pytest_prodml.render import words
from pytest_prodml.render.charts import Interval, forest
from pytest_prodml.render.inert import inert, one_line
from pytest_prodml.render.model import Chart, Column, Fact, MetricView, Status, Table
from pytest_prodml.render.numbers import Scale, percent, plain, scale_of

_MOST_ROWS = 200
#: Beyond this many rows the worst come first: the first ones are what a chart shows.
_MOST_IN_ORDER = 20
_ALL_ROWS = "all"


def scale_for(metric: str, evidence: Evidence, judged: Sequence[JudgedCriterion]) -> Scale:
    """Choose how the numbers of one metric of one evidence are written."""
    found = [m for m in evidence.measurements if m.metric == metric]
    criteria = [item.criterion for item in judged if item.criterion.metric == metric]
    units = {m.unit for m in found}
    return scale_of(
        inert(units.pop(), limit=30) if len(units) == 1 else "1",
        [number for m in found for number in (m.value, m.lower, m.upper)],
        [words.edge_of(criterion) for criterion in criteria],
    )


def metric_views(
    evidence: Evidence, judged: Sequence[JudgedCriterion], *, suffix: str = ""
) -> tuple[MetricView, ...]:
    """Build one view a metric, in the order in which the metrics were recorded."""
    metrics = dict.fromkeys(measurement.metric for measurement in evidence.measurements)
    return tuple(_metric_view(metric, evidence, judged, suffix) for metric in metrics)


def _metric_view(
    metric: str, evidence: Evidence, judged: Sequence[JudgedCriterion], suffix: str
) -> MetricView:
    found = [m for m in evidence.measurements if m.metric == metric]
    scale = scale_for(metric, evidence, judged)
    by_group: dict[str | None, list[JudgedCriterion]] = {}
    for item in judged:
        if item.criterion.metric == metric:
            by_group.setdefault(item.criterion.group, []).append(item)
    if len(found) > _MOST_IN_ORDER:
        found.sort(key=lambda m: list(Status).index(_status(by_group.get(m.group, ()))))
    name = inert(words.metric_words(metric), limit=200) + suffix
    unit = f" ({scale.unit})" if scale.unit else ""
    shared, columns = _split_columns(found)
    exact = all(m.lower == m.value == m.upper for m in found)
    bounds: list[tuple[str, _Written]] = [
        ("Lower", lambda m: scale.number(m.lower, unbounded="unbounded")),
        ("Upper", lambda m: scale.number(m.upper, unbounded="unbounded")),
    ]
    if exact:
        bounds = []
    table = Table(
        caption=f"{name}{unit}",
        columns=(
            Column(label="Group"),
            Column(label="Value", numeric=True),
            *(Column(label=label, numeric=True) for label, _ in bounds),
            Column(label="n", numeric=True),
            *((Column(label="Limit", numeric=True), Column(label="Result")) if by_group else ()),
            *(Column(label=label) for label, _ in columns),
        ),
        rows=tuple(
            (
                _group(m),
                scale.number(m.value, unbounded="not estimable"),
                *(written(m) for _, written in bounds),
                plain(m.n_samples),
                *(_judged(by_group.get(m.group, ()), scale) if by_group else ()),
                *(written(m) for _, written in columns),
            )
            for m in found[:_MOST_ROWS]
        ),
        note=f"The first {plain(_MOST_ROWS)} of {plain(len(found))} rows." if len(found) > _MOST_ROWS else "",
    )
    facts = [Fact(label="Metric", value=inert(metric, limit=200), code=True), *shared, *_notes(found)]
    return MetricView(
        label=f"{name}{unit}",
        facts=tuple(facts),
        table=table,
        chart=_forest(name, found, by_group, scale),
    )


_Written = Callable[[Measurement], str]


def _split_columns(found: Sequence[Measurement]) -> tuple[list[Fact], list[tuple[str, _Written]]]:
    """Tell facts that all measurements share from columns in which they differ."""
    candidates: list[tuple[str, _Written]] = [
        ("Method", lambda m: inert(m.method, limit=300)),
        ("Bounds", lambda m: _level(m.confidence_level)),
        ("Better is", lambda m: {True: "higher", False: "lower", None: ""}[m.higher_is_better]),
        ("Seed", lambda m: "" if m.seed is None else str(m.seed)),
        ("p-value", lambda m: "" if m.p_value is None else f"{m.p_value:.3g}"),
        ("n needed to decide", lambda m: "" if m.n_required is None else plain(m.n_required)),
    ]
    shared, columns = [], []
    for label, written in candidates:
        texts = {written(m) for m in found}
        if len(texts) > 1:
            columns.append((label, written))
        elif texts != {""}:
            shared.append(Fact(label=label, value=texts.pop()))
    return shared, columns


def _notes(found: Sequence[Measurement]) -> list[Fact]:
    """Return the notes: one for all, or one a group. They are sentences, too long for a column."""
    notes = {inert(m.note or "", limit=600) for m in found}
    if len(notes) == 1:
        return [Fact(label="Note", value=note) for note in notes if note]
    told = [(_group(m), inert(m.note, limit=600)) for m in found[:_MOST_ROWS] if m.note]
    return [Fact(label=f"Note on {one_line(group, 60)}", value=note) for group, note in told]


def _level(level: float) -> str:
    return "exact count, no inference" if level >= 1 else f"one-sided, each at {percent(level)} confidence"


def _group(measurement: Measurement) -> str:
    return _ALL_ROWS if measurement.group is None else inert(measurement.group, limit=200)


def _limit(item: JudgedCriterion, scale: Scale) -> str:
    return words.need_words(item.criterion.comparison, scale.limit(words.edge_of(item.criterion)))


def _judged(judged: Sequence[JudgedCriterion], scale: Scale) -> tuple[str, str]:
    if not judged:
        return "", ""
    return ", ".join(_limit(item, scale) for item in judged), words.STATUS_WORDS[_status(judged)]


_RANK = (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS)


def _status(judged: Sequence[JudgedCriterion]) -> Status:
    outcomes = [item.judgement.outcome for item in judged]
    return words.outcome_status(min(outcomes, key=_RANK.index)) if outcomes else Status.ABSENT


def _forest(
    name: str,
    found: Sequence[Measurement],
    by_group: dict[str | None, list[JudgedCriterion]],
    scale: Scale,
) -> Chart | None:
    intervals = [
        Interval(
            label=_group(m),
            shown=_shown(m, scale),
            value=m.value,
            lower=m.lower,
            upper=m.upper,
            edges=tuple(
                (
                    words.edge_of(item.criterion),
                    item.criterion.comparison is Comparison.AT_LEAST,
                    _limit(item, scale),
                )
                for item in by_group.get(m.group, ())
            ),
            status=_status(by_group.get(m.group, ())),
        )
        for m in found
    ]
    told = "; ".join(
        f"{interval.label}: {interval.shown}"
        + "".join(f", needs {text}" for _, _, text in interval.edges)
        + (f", {words.STATUS_WORDS[interval.status].lower()}" if interval.edges else "")
        for interval in intervals[:6]
    )
    levels = {m.confidence_level for m in found}
    level = f" Bounds are {_level(levels.pop())}." if len(levels) == 1 else ""
    return forest(
        intervals,
        scale=scale,
        axis=scale.with_unit(one_line(name, 40))
        if not scale.unit
        else f"{one_line(name, 40)} ({scale.unit})",
        title=f"{name} with bounds and limit",
        description=f"{told}.{level}",
    )


def _shown(measurement: Measurement, scale: Scale) -> str:
    if measurement.value is None:
        return "not estimable"
    value = scale.number(measurement.value)
    if measurement.lower == measurement.value == measurement.upper:
        return value
    low = scale.number(measurement.lower, unbounded="-∞")
    high = scale.number(measurement.upper, unbounded="∞")
    return f"{value} [{low}, {high}]"
