"""What an execution provider really ran -> Evidence, which fails where a session fell back without a word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_prodml.checks.counts import check_share
from pytest_prodml.errors import InputError
from pytest_prodml.records import Comparison, Criterion, Evidence, JsonValue, Measurement

METRIC = "executed_node_share"
_METHOD = "onnxruntime profiler, one run"


def runs_on(
    provider: str,
    nodes: Mapping[str, int],
    seconds: Mapping[str, float],
    *,
    gate_id: str,
    at_least: float = 1.0,
    allowed_elsewhere: Sequence[str] = (),
    group: str | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that the nodes of a graph were executed by a provider.

    Parameters
    ----------
    provider : str
        The one that was asked for, for example ``CUDAExecutionProvider``.
    nodes : mapping of str to int
        How many nodes each provider executed, without operators that may run elsewhere.
    seconds : mapping of str to float
        The time in each provider's nodes, all operators counted.
    at_least : float
        The share of the nodes.
    allowed_elsewhere : sequence of str
        The operators that were left out of `nodes`, for the record.
    group, gate_id, confidence_level, seed
        Common to all checks; nothing here is random, and what ran is a fact.

    Raises
    ------
    InputError
        If there is no node, or `at_least` is no share.
    """
    del seed, confidence_level
    check_share(at_least, "at_least")
    return Evidence(
        gate_id=gate_id,
        measurements=node_share(provider, nodes, seconds, group=group),
        criteria=(node_criterion(at_least, group=group),),
        details={
            "execution": execution_details(provider, nodes, seconds),
            "allowed_elsewhere": list(allowed_elsewhere),
        },
    )


def node_share(
    provider: str, nodes: Mapping[str, int], seconds: Mapping[str, float], *, group: str | None = None
) -> tuple[Measurement, ...]:
    """Measure the share of the nodes that a provider executed, and that of the time, which has no limit."""
    total = sum(nodes.values())
    if total < 1:
        raise InputError("no node was executed", where=provider)
    value = nodes.get(provider, 0) / total
    others = ", ".join(f"{name} {count:,}" for name, count in sorted(nodes.items()) if name != provider)
    spent = sum(seconds.values())
    return (
        Measurement(
            metric=METRIC,
            value=value,
            lower=value,
            upper=value,
            confidence_level=1.0,
            method=_METHOD,
            n_samples=total,
            higher_is_better=True,
            group=group,
            note=f"{provider} was asked for; nodes were executed by {others}" if others else None,
        ),
        Measurement(
            metric="executed_time_share",
            value=seconds.get(provider, 0.0) / spent if spent > 0 else 0.0,
            lower=None,
            upper=None,
            confidence_level=0.95,
            method=_METHOD,
            n_samples=total,
            higher_is_better=True,
            group=group,
        ),
    )


def node_criterion(at_least: float = 1.0, *, group: str | None = None) -> Criterion:
    """Return the criterion that a provider executed a share of the nodes."""
    return Criterion(metric=METRIC, comparison=Comparison.AT_LEAST, limit=at_least, group=group)


def execution_details(
    provider: str, nodes: Mapping[str, int], seconds: Mapping[str, float]
) -> dict[str, JsonValue]:
    """Return what ran where, for the record."""
    counts: dict[str, JsonValue] = {name: nodes[name] for name in sorted(nodes)}
    times: dict[str, JsonValue] = {name: seconds[name] for name in sorted(seconds)}
    return {"asked_for": provider, "nodes": counts, "seconds": times}
