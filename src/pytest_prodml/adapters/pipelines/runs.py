"""A pipeline by its name -> one run in a fresh process: its stages, what it left, how it ended."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pytest_prodml.adapters.pipelines.program import REACHED
from pytest_prodml.adapters.pipelines.stages import Fault, Stage, digests
from pytest_prodml.adapters.processes import end_of, end_with_group, inherited_variables
from pytest_prodml.errors import InputError

_KINDS = ("kedro", "dagster", "airflow", "command")
_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineRun:
    """What one run did.

    `outputs` holds the SHA-256 and the size of each file in its directory afterwards; `problem` is None where
    it ended well; `is_reached` says whether the fault that was asked for has happened.
    """

    directory: Path
    seconds: float
    stages: tuple[Stage, ...] = ()
    outputs: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    problem: str | None = None
    is_reached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """What makes the model, by a name that another process can find.

    Parameters
    ----------
    source : str or mapping of str to str
        ``"module:function"``: a function that takes `stages` (see `Stages`) or `directory`; a command with
        ``{directory}``, or several by the name of their stage; ``"kedro: path"`` or ``"kedro: path:name"``;
        ``"dagster: module:job"``; ``"airflow: module:dag"``; ``"command: sh build.sh {directory}"``.
    root : Path
        Where it runs.
    paths : sequence of Path
        Where its modules are, beside what is installed.
    timeout_seconds : float
        How long one run may take.
    """

    source: str | Mapping[str, str]
    root: Path = Path()
    paths: Sequence[Path] = ()
    timeout_seconds: float = _SECONDS

    def __post_init__(self) -> None:
        kind, source = self._kind()
        if kind == "commands" and not source:
            raise InputError("a pipeline of commands has at least one", where="pipeline")
        if kind == "function" and not _is_named(str(source)):
            raise InputError(
                f"the pipeline {source!r} names no function",
                where="pipeline",
                hint='write "module:function", "command: ...", "kedro: path", "dagster: module:job" or '
                '"airflow: module:dag"',
            )

    @property
    def name(self) -> str:
        """The source, for messages and records."""
        return self.source if isinstance(self.source, str) else "; ".join(self.source.values())

    def _kind(self) -> tuple[str, str | dict[str, str]]:
        if not isinstance(self.source, str):
            return "commands", dict(self.source)
        kind, colon, rest = self.source.partition(":")
        if colon and kind.strip() in _KINDS:
            if kind.strip() == "command":
                return "commands", {"run": rest.strip()}
            return kind.strip(), rest.strip()
        return "function", self.source

    def run(
        self,
        directory: Path,
        *,
        fault: Fault | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> PipelineRun:
        """Run it in a fresh process.

        Parameters
        ----------
        directory : Path
            Where it works and leaves its outputs; made if it is not there.
        fault : Fault, optional
            What goes wrong in it.
        variables : mapping, optional
            Environment variables of this run.

        Raises
        ------
        InputError
            If the process can not be started.
        """
        directory.mkdir(parents=True, exist_ok=True)
        kind, source = self._kind()
        with tempfile.TemporaryDirectory(prefix="prodml-pipeline-", ignore_cleanup_errors=True) as name:
            told, stderr = Path(name) / "told", Path(name) / "stderr"
            told.touch()
            request = {
                "kind": kind,
                "source": source,
                "paths": [str(path.resolve()) for path in self.paths],
                "directory": str(directory.resolve()),
                "fault": None if fault is None else asdict(fault),
                "told": str(told),
            }
            start = time.perf_counter()
            status = self._process(request, stderr, {**inherited_variables(), **(variables or {})})
            seconds = time.perf_counter() - start
            lines = told.read_text(encoding="utf-8").splitlines()
            answer = _answer(lines)
            problem = None
            if status is None:
                problem = f"took more than {self.timeout_seconds:g} s"
            elif status != 0 or answer is None:
                problem = end_of(status, stderr)
        return PipelineRun(
            directory=directory,
            seconds=seconds,
            stages=() if answer is None else answer,
            outputs=digests(directory),
            problem=problem,
            is_reached=REACHED in lines,
        )

    def _process(self, request: Mapping[str, Any], stderr: Path, variables: Mapping[str, str]) -> int | None:
        """Return the status with which it ended; None if it took too long."""
        with stderr.open("wb") as told:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pytest_prodml.adapters.pipelines.program"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=told,
                cwd=self.root,
                env=dict(variables),
                start_new_session=True,
            )
        has_ended = False
        try:
            # A request fits into the pipe, and a process that ended at once does not read it.
            with contextlib.suppress(OSError), process.stdin:  # type: ignore[union-attr]
                process.stdin.write(json.dumps(request).encode())  # type: ignore[union-attr]
        finally:
            has_ended = end_with_group(process, may_end_by_itself=True, seconds=self.timeout_seconds)
        return process.returncode if has_ended else None


def _is_named(source: str) -> bool:
    module, colon, name = source.partition(":")
    return bool(colon) and all(part.isidentifier() for part in [*module.split("."), *name.split(".")])


def _answer(lines: Sequence[str]) -> tuple[Stage, ...] | None:
    """Return the stages, if the run came to its end and told them."""
    if not lines or not lines[-1].startswith("{"):
        return None
    return tuple(
        Stage(
            name=stage["name"],
            seconds=stage["seconds"],
            written={path: (digest, size) for path, (digest, size) in stage["written"].items()},
        )
        for stage in json.loads(lines[-1])["stages"]
    )
