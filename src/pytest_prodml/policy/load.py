"""policy.toml -> `Policy`: strict, with every problem told at once."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytest_prodml.codec import decode, digest_of, parse_toml, snake_case
from pytest_prodml.errors import ConfigurationError, MalformedError
from pytest_prodml.policy.targets import target_problems
from pytest_prodml.records import (
    Burden,
    Comparison,
    Dimension,
    HardwareTarget,
    Limit,
    NameWaivers,
    OrdinaryTests,
    Policy,
)

_VALIDITY = re.compile(r"([1-9][0-9]{0,3})d")
_MAX_POLICY_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Require:
    dimensions: tuple[Dimension, ...] = ()
    gates: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    matrix: Mapping[str, tuple[str, ...]] | None = None
    signed_fragments: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _LimitEntry:
    gate: str
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waivers:
    gates: tuple[str, ...] = ()
    max: int = 0
    max_days: int = 90
    by_name: NameWaivers | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Provenance:
    allow_dirty: bool | None = None
    automation: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _PolicyFile:
    name: str
    version: str
    confidence_level: float = 0.95
    validity: str = "90d"
    min_signatures: int = 1
    ordinary_tests: OrdinaryTests = OrdinaryTests.MUST_PASS
    allow_unbound_models: bool = False
    burden: Burden | None = None
    alarm_gates: tuple[str, ...] | None = None
    min_group: int | None = None
    require: _Require = field(default_factory=_Require)
    limit: tuple[_LimitEntry, ...] = ()
    waivers: _Waivers = field(default_factory=_Waivers)
    provenance: _Provenance = field(default_factory=_Provenance)
    targets: Mapping[str, HardwareTarget] | None = None


def load_policy(path: Path) -> Policy:
    """Read a policy file.

    Parameters
    ----------
    path : Path
        A TOML file; its keys are described in ``docs/reference/policy.md``.

    Raises
    ------
    ConfigurationError
        If the file can not be read, is not TOML, or is not a policy. Unknown keys are errors. A policy
        that requires nothing is an error too: it would certify anything.
    """
    try:
        # A pipe would be waited for without end: it is opened without waiting, and refused.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigurationError(
                    "is no regular file", where=str(path), hint="name an existing policy.toml"
                )
            data = file.read(_MAX_POLICY_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            f"the policy can not be read: {error.strerror}",
            where=str(path),
            hint="name an existing policy.toml; a run without a policy decides nothing",
        ) from None
    if len(data) > _MAX_POLICY_BYTES:
        raise ConfigurationError(f"a policy has at most {_MAX_POLICY_BYTES:,} bytes", where=str(path))
    return parse_policy(data, where=str(path))


def parse_policy(data: bytes, *, where: str) -> Policy:
    """Turn the text of a policy file into a `Policy`; see `load_policy`."""
    try:
        parsed = decode(_PolicyFile, parse_toml(data, where=where), where=where, naming=snake_case)
    except MalformedError as error:
        raise ConfigurationError("\n  ".join(["is not a policy", *error.problems]), where=where) from None
    problems = list(_problems(parsed))
    if problems:
        raise ConfigurationError("\n  ".join(["is not a usable policy", *problems]), where=where)
    validity = _VALIDITY.fullmatch(parsed.validity)
    return Policy(
        name=parsed.name,
        version=parsed.version,
        required_dimensions=parsed.require.dimensions,
        required_gates=parsed.require.gates,
        limits=tuple(_limit(entry) for entry in parsed.limit),
        confidence_level=parsed.confidence_level,
        validity_days=int(validity[1]) if validity else 0,
        min_signatures=parsed.min_signatures,
        waivable_gates=parsed.waivers.gates,
        max_waivers=parsed.waivers.max,
        max_waiver_days=parsed.waivers.max_days,
        name_waivers=parsed.waivers.by_name,
        ordinary_tests=parsed.ordinary_tests,
        allow_unbound_models=parsed.allow_unbound_models,
        required_targets=parsed.require.targets,
        burden=parsed.burden,
        alarm_gates=parsed.alarm_gates,
        allow_dirty=parsed.provenance.allow_dirty,
        required_automation=parsed.provenance.automation,
        min_group=parsed.min_group,
        targets=parsed.targets,
        matrix=parsed.require.matrix,
        signed_fragments=parsed.require.signed_fragments,
    )


def _problems(parsed: _PolicyFile) -> list[str]:
    problems = []
    if not parsed.name.strip() or not parsed.version.strip():
        problems.append("name and version must not be empty @ $")
    if not parsed.require.dimensions and not parsed.require.gates and not parsed.require.matrix:
        problems.append("requires nothing: name dimensions or gates @ $.require")
    if not 0.5 < parsed.confidence_level < 1:
        problems.append(f"expected 0.5 < level < 1, got {parsed.confidence_level} @ $.confidence_level")
    if not _VALIDITY.fullmatch(parsed.validity):
        problems.append(f'expected days such as "90d", got {parsed.validity!r} @ $.validity')
    if parsed.min_signatures < 1:
        problems.append(f"expected at least 1, got {parsed.min_signatures} @ $.min_signatures")
    if parsed.min_group is not None and parsed.min_group < 1:
        problems.append(f"expected at least 1, got {parsed.min_group} @ $.min_group")
    if parsed.waivers.max < 0 or not 1 <= parsed.waivers.max_days <= 9999:
        problems.append("max must not be negative and max_days lies between 1 and 9999 @ $.waivers")
    by_name = parsed.waivers.by_name
    if by_name is not None and not (
        1 <= by_name.max <= parsed.waivers.max and 1 <= by_name.max_days <= parsed.waivers.max_days
    ):
        problems.append("max and max_days lie between 1 and those of [waivers] @ $.waivers.by_name")
    problems += _pattern_problems(parsed)
    problems += target_problems(parsed.targets or {}, "$.targets")
    problems += [
        f"names no target, or one twice @ $.require.matrix.{pattern}"
        for pattern, names in (parsed.require.matrix or {}).items()
        if not names or len(set(names)) < len(names)
    ]
    if parsed.provenance.automation is not None and not parsed.provenance.automation:
        problems.append("an empty list could be met by nothing @ $.provenance.automation")
    for index, entry in enumerate(parsed.limit):
        given = [limit for limit in (entry.at_least, entry.at_most) if limit is not None]
        if len(given) != 1:
            problems.append(f"expected at_least or at_most, and one of them @ $.limit[{index}]")
        elif not math.isfinite(given[0]):
            problems.append(f"expected a finite number, got {given[0]} @ $.limit[{index}]")
    return problems


def _pattern_problems(parsed: _PolicyFile) -> list[str]:
    patterns = [(name, f"$.require.gates[{i}]") for i, name in enumerate(parsed.require.gates)]
    patterns += [(entry.gate, f"$.limit[{i}].gate") for i, entry in enumerate(parsed.limit)]
    patterns += [(name, f"$.waivers.gates[{i}]") for i, name in enumerate(parsed.waivers.gates)]
    patterns += [(name, f"$.require.matrix.{name}") for name in parsed.require.matrix or {}]
    patterns += [(name, f"$.alarm_gates[{i}]") for i, name in enumerate(parsed.alarm_gates or ())]
    known = ", ".join(Dimension)
    return [
        f"{name!r} does not begin with a dimension and a dot ({known}) @ {path}"
        for name, path in patterns
        if dimension_of(name) is None
    ]


def _limit(entry: _LimitEntry) -> Limit:
    at_least = entry.at_least is not None
    limit = entry.at_least if at_least else entry.at_most
    return Limit(
        gate=entry.gate,
        metric=entry.metric,
        comparison=Comparison.AT_LEAST if at_least else Comparison.AT_MOST,
        limit=float(limit if limit is not None else math.nan),
        group=entry.group,
    )


def policy_digest(policy: Policy) -> str:
    """Return the SHA-256 of the policy's canonical JSON: comments and layout of the file do not matter."""
    return digest_of(policy)


def matches(pattern: str, gate_id: str) -> bool:
    """Tell whether `gate_id` fits `pattern`, in which only ``*`` is special (brackets belong to ids)."""
    head, *rest = pattern.split("*")
    if not rest:
        return pattern == gate_id
    *middle, tail = rest
    if len(gate_id) < len(head) + len(tail) or not gate_id.startswith(head) or not gate_id.endswith(tail):
        return False
    position, end = len(head), len(gate_id) - len(tail)
    for part in middle:
        found = gate_id.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def dimension_of(gate_id: str) -> Dimension | None:
    """Return the dimension that an id or pattern begins with; None if it names none."""
    name, dot, rest = gate_id.partition(".")
    return Dimension(name) if dot and rest and name in list(Dimension) else None
