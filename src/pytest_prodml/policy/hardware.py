"""A machine and what a target's name means -> whether evidence from there counts for it: pure, replayable.

Three tiers. *exact*: the machine has the fingerprint that stands in the target. *class*: it keeps every
condition that the target states. *foreign*: any other. A duration, a size or a price is a claim about one
kind of machine, so an absolute limit is judged on an exact or a class machine only; a ratio holds anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pytest_prodml.codec import digest_of
from pytest_prodml.policy.load import matches
from pytest_prodml.policy.targets import says_nothing, states_a_class
from pytest_prodml.records import (
    Accelerator,
    Environment,
    Evidence,
    Fragment,
    GateRun,
    HardwareTarget,
    Policy,
    RunSummary,
)

#: A measurement of this name tells how long a reference workload (its group) takes on the machine.
REFERENCE_METRIC = "reference_seconds"
REFERENCE_TOLERANCE = 0.10
_VERSION_PART = re.compile(r"[0-9]+")


class Tier(StrEnum):
    """How near a machine is to the one that a claim is about."""

    EXACT = "exact"
    CLASS = "class"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Of one run's evidence: the target it was declared for, how near its machine is, and why not nearer."""

    target: str | None
    tier: Tier
    why: str = ""


def fingerprint(environment: Environment) -> str | None:
    """Return the identity of a kind of machine, ``sha256:...``; None where nothing looked at the hardware.

    Two machines share it when processor (vendor, name, family, model, stepping, instructions), usable
    processors, quota, accelerators (name, driver and CUDA by their major version) and the versions of the
    libraries that run models are the same. Kernel, Python, memory and names do not count.
    """
    found = environment.hardware
    if found is None:
        return None
    devices: list[list[str | int | bool | None]] = [
        [item.name, _major(item.driver), _major(item.cuda), item.is_partitioned]
        for item in found.accelerators
    ]
    if not devices:
        devices = [[environment.accelerator, _major(environment.driver)]]
    identity: dict[str, object] = {
        "machine": environment.machine,
        "processor": [environment.processor, found.vendor, found.family, found.model, found.stepping],
        "flags": found.flags_digest,
        "processors": environment.processor_count,
        "quota": found.quota,
        "accelerators": devices,
        "runtimes": dict(sorted(found.runtimes.items())),
    }
    return f"sha256:{digest_of(identity)}"


def tier_of(
    target: HardwareTarget, environment: Environment, evidence: Evidence | None = None
) -> tuple[Tier, str]:
    """Return how near a machine is to a target, and what differs.

    Parameters
    ----------
    target : HardwareTarget
        What the name means.
    environment : Environment
        What was found.
    evidence : Evidence, optional
        With the times of the reference workloads that the target names. None: they are not asked for, as
        only latency gates measure them.
    """
    own = fingerprint(environment)
    if target.fingerprint is not None and own == target.fingerprint:
        return Tier.EXACT, ""
    differences = list(_differences(target, environment))
    if evidence is not None:
        differences += _reference_differences(target, evidence)
    if not differences and states_a_class(target):
        return Tier.CLASS, ""
    if not differences:
        differences = ["its fingerprint is another, and no class of machines is described"]
    return Tier.FOREIGN, "; ".join(differences)


def standing_of(
    run: GateRun, summary: RunSummary, policy: Policy, environments: Mapping[str, Environment]
) -> Standing | None:
    """Return for which target a run's evidence can count; None where no target is claimed or asked for.

    Parameters
    ----------
    run : GateRun
        One run of one gate.
    summary : RunSummary
        Of the session, or of the merged ones: they say which target each run declared.
    policy : Policy
        Its definitions of targets go before the project's.
    environments : mapping
        From a digest to the machine.
    """
    evidence = run.evidence
    digest = evidence.environment_digest if evidence is not None else None
    environment = environments.get(digest) if digest is not None else None
    return standing_on(declared_target(run, summary), environment, evidence, summary.targets, policy)


def standing_on(
    name: str | None,
    environment: Environment | None,
    evidence: Evidence | None,
    targets: Mapping[str, HardwareTarget] | None,
    policy: Policy | None,
) -> Standing | None:
    """Return for which target evidence from a machine can count; see `standing_of`."""
    asks = policy is not None and bool(policy.required_targets or policy.matrix)
    if name is None:
        return Standing(target=None, tier=Tier.FOREIGN, why="no target is declared") if asks else None
    target = defined_target(name, targets, policy)
    if target is None:
        return Standing(target=name, tier=Tier.FOREIGN, why="nothing describes it") if asks else None
    if environment is None:
        return Standing(target=name, tier=Tier.FOREIGN, why="the machine was not recorded")
    tier, why = tier_of(target, environment, evidence)
    return Standing(target=name, tier=tier, why=why)


def defined_target(
    name: str, targets: Mapping[str, HardwareTarget] | None, policy: Policy | None
) -> HardwareTarget | None:
    """Return what a name means: as the policy says, else as the project does.

    A definition that fits every machine is none.
    """
    owned = policy.targets if policy is not None else None
    found = (owned or {}).get(name) or (targets or {}).get(name)
    return None if found is None or says_nothing(found) else found


def declared_target(run: GateRun, summary: RunSummary) -> str | None:
    """Return the target that the session of a run declared."""
    if not summary.fragments:
        return summary.target
    names = {fragment.target for fragment in _fragments_of(run, summary)}
    return names.pop() if len(names) == 1 else None


def is_of_no_fragment(run: GateRun, summary: RunSummary) -> bool:
    """Tell whether of which merged session a run is can not be told, where there are several."""
    if not summary.fragments:
        return False
    return len({fragment.target for fragment in _fragments_of(run, summary)}) != 1


def _fragments_of(run: GateRun, summary: RunSummary) -> list[Fragment]:
    """Return the fragments that a run may be of, by the name that its worker begins with."""
    fitting = [
        fragment
        for fragment in summary.fragments or ()
        if run.worker == fragment.name or run.worker.startswith(f"{fragment.name}:")
    ]
    longest = max((len(fragment.name) for fragment in fitting), default=0)
    return [fragment for fragment in fitting if len(fragment.name) == longest]


def _differences(target: HardwareTarget, environment: Environment) -> Iterator[str]:
    if target.machine is not None and environment.machine != target.machine:
        yield f"it is {environment.machine}, not {target.machine}"
    if target.processor is not None and not matches(target.processor, environment.processor):
        yield f"its processor is {environment.processor}, not {target.processor}"
    flags = environment.hardware.flags if environment.hardware is not None else ()
    missing = [name for name in target.flags if name not in flags]
    if missing:
        yield f"its processor lacks {', '.join(missing)}"
    count = _usable(environment)
    if target.min_processors is not None and count < target.min_processors:
        yield f"it has {count:g} processors, at least {target.min_processors} are asked for"
    if target.max_processors is not None and count > target.max_processors:
        yield f"it has {count:g} processors, at most {target.max_processors} are asked for"
    memory = environment.memory_bytes
    if target.min_memory_bytes is not None and (memory is None or memory < target.min_memory_bytes):
        told = "unknown" if memory is None else f"{memory:,} bytes"
        yield f"its memory is {told}, at least {target.min_memory_bytes:,} are asked for"
    yield from _accelerator_differences(target, environment)


def _usable(environment: Environment) -> float:
    quota = environment.hardware.quota if environment.hardware is not None else None
    return environment.processor_count if quota is None else min(quota, environment.processor_count)


def _accelerator_differences(target: HardwareTarget, environment: Environment) -> Iterator[str]:
    if target.accelerator is None and target.min_compute_capability is None:
        return
    devices = environment.hardware.accelerators if environment.hardware is not None else ()
    if not devices and environment.accelerator is not None:
        devices = (Accelerator(name=environment.accelerator),)
    fitting = [
        item for item in devices if target.accelerator is None or matches(target.accelerator, item.name)
    ]
    asked = target.accelerator or "an accelerator"
    if not fitting:
        found = ", ".join(item.name for item in devices) or "none"
        yield f"its accelerator is {found}, not {asked}"
        return
    least = target.min_compute_capability
    if least is not None and not any(_reaches(item.compute_capability, least) for item in fitting):
        found = ", ".join(item.compute_capability or "unknown" for item in fitting)
        yield f"its compute capability is {found}, at least {least} is asked for"


def _reference_differences(target: HardwareTarget, evidence: Evidence) -> Iterator[str]:
    measured = {item.group: item.value for item in evidence.measurements if item.metric == REFERENCE_METRIC}
    for name, expected in sorted(target.reference.items()):
        found = measured.get(name)
        if found is None:
            yield f"the reference workload {name} was not timed"
        elif not abs(found - expected) <= REFERENCE_TOLERANCE * expected:
            yield f"the reference workload {name} takes {found:.4g} s, not {expected:.4g} s"


def _reaches(found: str | None, least: str) -> bool:
    return found is not None and _numbers(found) >= _numbers(least)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in _VERSION_PART.findall(version)]


def _major(version: str | None) -> int | None:
    numbers = _numbers(version) if version else []
    return numbers[0] if numbers else None
