"""``pytest --prodml-hardware``: this machine as a table for a policy or a project's configuration."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping

import pytest

from pytest_prodml.environment import capture
from pytest_prodml.errors import ProdmlError
from pytest_prodml.plugin import options
from pytest_prodml.policy.hardware import fingerprint
from pytest_prodml.records import Environment

_GIBIBYTE = 2**30
_DEFAULT_NAME = "this-machine"


def show(config: pytest.Config) -> int:
    """Print the table and return the exit status."""
    name = str(options.given(config).get("target", _DEFAULT_NAME))
    for line in _lines(capture(), name, _reference_times()):
        sys.stdout.write(f"{line}\n")
    return int(pytest.ExitCode.OK)


def _lines(environment: Environment, name: str, reference: Mapping[str, float]) -> Iterator[str]:
    yield "# Into policy.toml as it stands, or into pyproject.toml as [tool.prodml.targets.NAME]."
    yield "# The fingerprint means machines like this one exactly; without it, the class described below."
    yield f"[targets.{name if _is_bare(name) else json.dumps(name)}]"
    values: list[tuple[str, object]] = [("fingerprint", fingerprint(environment))]
    values += [("machine", environment.machine), ("processor", environment.processor)]
    hardware = environment.hardware
    if hardware is not None:
        values.append(("flags", list(hardware.flags)))
    values.append(("min_processors", max(1, int(_usable(environment)))))
    memory = environment.memory_bytes
    if memory is not None and memory >= _GIBIBYTE:
        values.append(("min_memory_bytes", memory // _GIBIBYTE * _GIBIBYTE))
    devices = hardware.accelerators if hardware is not None else ()
    accelerator = devices[0].name if devices else environment.accelerator
    if accelerator is not None:
        values.append(("accelerator", accelerator))
    for key, value in values:
        if value is not None:
            yield f"{key} = {json.dumps(value)}"
    if reference:
        told = ", ".join(f"{key} = {value:.4g}" for key, value in reference.items())
        yield "# Median seconds of the reference workloads, kept within 10 %. Measure on a quiet machine."
        yield f"reference = {{ {told} }}"


def _usable(environment: Environment) -> float:
    quota = environment.hardware.quota if environment.hardware is not None else None
    return environment.processor_count if quota is None else min(quota, environment.processor_count)


def _is_bare(name: str) -> bool:
    return name.isascii() and name.replace("-", "").replace("_", "").isalnum()


def _reference_times() -> Mapping[str, float]:
    try:
        from pytest_prodml.checks.latency.references import reference_times

        return reference_times()
    except (ImportError, ProdmlError):
        # Without numpy there is nothing to time; the rest of the table holds all the same.
        return {}
