"""Runs that fail on purpose, and what they leave -> Evidence that no half of anything is published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_prodml.adapters.pipelines.stages import FAULTS
from pytest_prodml.checks.counts import at_most, exact
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue
from pytest_prodml.statistics.estimate import checked_level

_MOST_SHOWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One run with a fault, and the run after it.

    Parameters
    ----------
    stage, how : str
        Where the fault was put, and which (see `stages.FAULTS`).
    is_reached : bool
        Whether it happened.
    is_stopped : bool
        Whether the run ended with an error. A fault that a pipeline swallows is one that nobody hears of.
    published : str
        ``"previous"``, ``"new"`` (complete), ``"missing"`` or ``"broken"``.
    serves : bool or None
        Whether what is published then still answers as it should; None where nobody asked.
    rerun : str or None
        What went wrong when it was run again; None: it ended well.
    is_same : bool
        Whether what is published after that is what an undisturbed run publishes.
    leftovers : tuple of str
        Files that only the failure has left, after the rerun too.
    """

    stage: str
    how: str
    is_reached: bool
    is_stopped: bool
    published: str
    serves: bool | None
    rerun: str | None
    is_same: bool
    leftovers: tuple[str, ...] = ()


def survives_failure(
    failures: Sequence[Failure],
    stages: Mapping[str, float],
    *,
    gate_id: str,
    published: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a run which fails publishes nothing, and that the next one completes.

    Measures, exactly over these faults: ``half_published`` (neither the previous nor the complete new
    artefact, byte by byte), ``not_serving`` (what is published does not answer), ``silent_failures`` (the run
    ended as if nothing had happened, and did not publish the new one), ``failed_reruns`` and
    ``different_reruns``.

    Parameters
    ----------
    failures : sequence of Failure
        One for each fault.
    stages : mapping of str to float
        All stages of an undisturbed run, with their seconds.
    published : str
        What is published, by its path in the run's directory.
    gate_id, confidence_level, seed
        Common to all checks; nothing here is random.

    Raises
    ------
    InputError
        If nothing was tried.

    Notes
    -----
    A fault that never happened shows nothing: then, and where a stage was not tried, the gate is
    inconclusive.
    """
    del seed
    checked_level(confidence_level)
    if not failures:
        raise InputError("no fault was tried", where=gate_id)
    unreached = [failure for failure in failures if not failure.is_reached]
    untried = sorted(set(stages) - {failure.stage for failure in failures if failure.is_reached})
    found = {
        "half_published": [each for each in failures if each.published in {"missing", "broken"}],
        "not_serving": [each for each in failures if each.serves is False],
        "silent_failures": [
            each for each in failures if each.is_reached and not each.is_stopped and each.published != "new"
        ],
        "failed_reruns": [each for each in failures if each.rerun is not None],
        "different_reruns": [each for each in failures if each.rerun is None and not each.is_same],
    }
    measurements = []
    for name, cases in found.items():
        note = "; ".join(f"{each.stage}: {FAULTS[each.how]}" for each in cases[:2]) or None
        measured = exact(name, len(cases), len(failures), unit="faults", note=note)
        if name == "half_published" and not cases and (unreached or untried):
            told = ", ".join(f"{each.stage} ({each.how})" for each in unreached[:3]) or ", ".join(untried[:3])
            measured = replace(
                measured, upper=None, confidence_level=confidence_level, note=f"never happened: {told}"
            )
        measurements.append(measured)
    shown: list[JsonValue] = [
        {
            "stage": each.stage,
            "fault": each.how,
            "published": each.published,
            "serves": each.serves,
            "rerun": "completed" if each.rerun is None else each.rerun,
            "same as undisturbed": each.is_same,
            "left over": list(each.leftovers[:5]),
        }
        for each in failures[:_MOST_SHOWN]
    ]
    return Evidence(
        gate_id=gate_id,
        measurements=tuple(measurements),
        criteria=tuple(at_most(name, 0) for name in found),
        details={
            "published": published,
            "stages": {name: round(seconds, 6) for name, seconds in stages.items()},
            "faults": {each.how: FAULTS[each.how] for each in failures},
            "tried": shown,
        },
    )
