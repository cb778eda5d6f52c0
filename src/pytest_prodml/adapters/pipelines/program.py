"""Run one pipeline once. Runs as a program of its own: a fault may end it at any moment.

Standard input holds the request (JSON); what happens is told line by line in the file it names.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_prodml.adapters.pipelines import sources
from pytest_prodml.adapters.pipelines.stages import Fault, Stages

REACHED = "reached"


def _runner(request: dict[str, Any]) -> Callable[[Stages, Fault | None], None]:
    kind, source = request["kind"], request["source"]
    if kind == "commands":
        return lambda stages, fault: sources.run_commands(source, stages, fault)
    if kind == "kedro":
        path, _, pipeline = source.partition(":")
        return lambda stages, fault: sources.run_kedro(path, pipeline or None, stages, fault)
    run = {
        "function": sources.run_function,
        "dagster": sources.run_dagster,
        "airflow": sources.run_airflow,
    }[kind]
    return lambda stages, fault: run(source, stages, fault)


def main() -> int:
    """Run the pipeline and tell its stages."""
    request = json.loads(sys.stdin.read())
    sys.path[:0] = request["paths"]
    # Open before any fault: a file that is written then may not grow, or not at all.
    told = Path(request["told"]).open("ab", buffering=0)  # noqa: SIM115 - until this process ends

    def reached() -> None:
        told.write(f"{REACHED}\n".encode())

    fault = None if request["fault"] is None else Fault(**request["fault"])
    stages = Stages(Path(request["directory"]), fault, reached)
    _runner(request)(stages, fault)
    done = [{"name": stage.name, "seconds": stage.seconds, "written": stage.written} for stage in stages.done]
    told.write(json.dumps({"stages": done}).encode() + b"\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
