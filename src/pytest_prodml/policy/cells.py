"""Several runs of one gate -> one judgement: the worst, or that of each hardware target which is asked for.

Runs are never pooled: each was judged by its own bounds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from pytest_prodml.policy.criterion import Judgement, inconclusive
from pytest_prodml.policy.hardware import Standing, Tier
from pytest_prodml.policy.load import matches
from pytest_prodml.records import Outcome, Policy

_SEVERITY = {Outcome.FAIL: 0, Outcome.INCONCLUSIVE: 1, Outcome.PASS: 2}
_WORDS = {Outcome.PASS: "passed", Outcome.FAIL: "failed", Outcome.INCONCLUSIVE: "inconclusive"}


def required_targets(policy: Policy, gate_id: str) -> tuple[str, ...]:
    """Return the targets on each of which the policy asks a gate to pass; none where it does not say."""
    named = [
        target
        for pattern, targets in (policy.matrix or {}).items()
        if matches(pattern, gate_id)
        for target in targets
    ]
    return tuple(dict.fromkeys(named))


def worst_of(judged: Sequence[Judgement]) -> Judgement:
    """Return the worst of several runs, and how the others ended."""
    worst = min(judged, key=lambda item: _SEVERITY[item.outcome])
    if len(judged) == 1 or worst.outcome is Outcome.PASS:
        return worst
    counts = Counter(item.outcome for item in judged)
    told = ", ".join(f"{counts[outcome]} {word}" for outcome, word in _WORDS.items() if outcome in counts)
    times = f"{len(judged)} times ({told})" if len(counts) > 1 else f"{len(judged)} times"
    return replace(worst, reason="rerun", message=f"ran {times} and the worst counts: {worst.message}")


def judge_cells(
    targets: Sequence[str], judged: Sequence[Judgement], standings: Sequence[Standing | None]
) -> Judgement:
    """Return the judgement of a gate that has to pass on each of several hardware targets.

    Parameters
    ----------
    targets : sequence of str
        What the policy asks for.
    judged, standings : sequences
        For each run its judgement, and for which target it can count.

    Notes
    -----
    A run on a machine that is none of its declared target proves nothing about any: it counts against the
    gate. A run on a described target that was not asked for decides nothing.
    """
    cells: defaultdict[str, list[Judgement]] = defaultdict(list)
    nowhere: list[Judgement] = []
    for item, standing in zip(judged, standings, strict=True):
        if standing is not None and standing.target is not None and standing.tier is not Tier.FOREIGN:
            cells[standing.target].append(item)
        elif item.outcome is Outcome.PASS:
            why = standing.why if standing is not None else "no target is declared"
            nowhere.append(inconclusive("foreign-host", f"ran on none of the targets: {why}"))
        else:
            nowhere.append(item)
    found = [_in_cell(name, cells[name]) for name in targets if name in cells]
    missing = [name for name in targets if name not in cells]
    if missing:
        plural = "targets" if len(missing) > 1 else "target"
        message = f"the policy asks for the {plural} {', '.join(missing)}, where it did not run"
        found.append(inconclusive("missing-cell", message))
    worst = min([*found, *nowhere], key=lambda item: _SEVERITY[item.outcome])
    if worst.outcome is Outcome.PASS and len(targets) > 1:
        return replace(worst, message=f"on {', '.join(targets)}: {worst.message}")
    return worst


def _in_cell(name: str, judged: Sequence[Judgement]) -> Judgement:
    worst = worst_of(judged)
    return replace(worst, message=f"on {name}: {worst.message}")
