"""Definitions of hardware targets, as a policy or a project writes them: what is wrong with one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from pytest_prodml.records import HardwareTarget

_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")
_CAPABILITY = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?")
_LONGEST_NAME = 100


def target_problems(targets: Mapping[str, HardwareTarget], path: str) -> list[str]:
    """Return what is wrong with definitions of hardware targets, in a policy or a project's configuration."""
    problems = []
    for name, target in targets.items():
        where = f"{path}.{name}"
        if says_nothing(target):
            problems.append(f"fits every machine: state a fingerprint, or what a machine must have @ {where}")
        if target.fingerprint is not None and not _FINGERPRINT.fullmatch(target.fingerprint):
            problems.append(f"expected sha256:<64 hex digits> @ {where}.fingerprint")
        least, most = target.min_processors, target.max_processors
        if any(number is not None and number < 1 for number in (least, most, target.min_memory_bytes)):
            problems.append(f"expected numbers from 1 on @ {where}")
        if least is not None and most is not None and least > most:
            problems.append(f"min_processors is above max_processors @ {where}")
        if any(not 0 < value < math.inf for value in target.reference.values()):
            problems.append(f"expected seconds above 0 @ {where}.reference")
        price = target.price_per_hour
        if price is not None and not 0 < price < math.inf:
            problems.append(f"expected a price above 0, got {price} @ {where}.price_per_hour")
        if target.min_compute_capability is not None and not _CAPABILITY.fullmatch(
            target.min_compute_capability
        ):
            problems.append(f'expected a version such as "8.0" @ {where}.min_compute_capability')
        if not name.strip() or name != name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
            problems.append(
                f"the name {name[:40]!a} is no plain text of at most {_LONGEST_NAME} letters @ {path}"
            )
    return problems


def says_nothing(target: HardwareTarget) -> bool:
    """Tell whether a target's definition fits every machine."""
    return target.fingerprint is None and not states_a_class(target)


def states_a_class(target: HardwareTarget) -> bool:
    """Tell whether a target's definition states what a machine must have, apart from a fingerprint."""
    return bool(
        target.machine
        or target.processor
        or target.flags
        or target.min_processors
        or target.max_processors
        or target.min_memory_bytes
        or target.accelerator
        or target.min_compute_capability
        or target.reference
    )
