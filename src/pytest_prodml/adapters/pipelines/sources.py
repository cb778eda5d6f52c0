"""How a pipeline of each kind is run: a function, commands, Kedro, Dagster, Airflow.

This runs inside the process of the pipeline.
"""

from __future__ import annotations

import importlib
import inspect
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_prodml.adapters.pipelines.stages import WHILE_WRITING, Fault, Stages

#: The name of the only stage of what has no stages of its own.
WHOLE = "run"


def run_function(named: str, stages: Stages, fault: Fault | None) -> None:
    """Call ``module:function`` with `stages`, or with `directory`.

    Raises
    ------
    TypeError
        If it takes neither.
    """
    del fault
    function = imported(named)
    names = list(inspect.signature(function).parameters)
    if "stages" in names:
        function(stages=stages)
    elif "directory" in names:
        with stages(WHOLE) as directory:
            function(directory=directory)
    else:
        raise TypeError(f"{named} takes no parameter `stages` or `directory`: where is it to work?")


def run_commands(commands: Mapping[str, str], stages: Stages, fault: Fault | None) -> None:
    """Run commands one after another, each a stage; ``{directory}`` stands for the run's directory.

    Raises
    ------
    subprocess.CalledProcessError
        If one ends with another status than 0.
    """
    for name, text in commands.items():
        writes = fault is not None and fault.stage == name and fault.how in WHILE_WRITING
        with stages(name) as directory:
            words = [word.replace("{directory}", str(directory)) for word in shlex.split(text)]
            # What is limited in this process is limited in those it starts; ignored signals stay ignored.
            subprocess.run(words, check=True, restore_signals=not writes)  # noqa: S603 - the user's command


def run_kedro(path: str, pipeline: str | None, stages: Stages, fault: Fault | None) -> None:
    """Run a Kedro project; each node is a stage. Its runtime parameter ``directory`` says where."""
    del fault
    # Its plugin that tells the makers of Kedro who runs what: no network that nobody asked for.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from kedro.framework.hooks import hook_impl
    from kedro.framework.project import settings
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    class Recorder:
        """A hook of Kedro: a stage has ended when its last output is saved."""

        def __init__(self) -> None:
            self.began = 0.0
            self.left = 0

        @hook_impl  # type: ignore[untyped-decorator]
        def before_node_run(self, node: Any) -> None:  # noqa: ANN401 - kedro's
            self.began, self.left = time.perf_counter(), len(node.outputs)
            stages.begin(node.short_name)

        @hook_impl  # type: ignore[untyped-decorator]
        def after_node_run(self, node: Any) -> None:  # noqa: ANN401 - kedro's
            if not node.outputs:
                stages.end(node.short_name, time.perf_counter() - self.began)

        @hook_impl  # type: ignore[untyped-decorator]
        def after_dataset_saved(self, node: Any) -> None:  # noqa: ANN401 - kedro's
            self.left -= 1
            if not self.left:
                stages.end(node.short_name, time.perf_counter() - self.began)

    root = Path(path).resolve()
    bootstrap_project(root)
    settings.set("HOOKS", (*settings.HOOKS, Recorder()))
    parameters = {"directory": str(stages.directory)}
    with KedroSession.create(project_path=root, runtime_params=parameters) as session:
        session.run(**({} if pipeline is None else {"pipeline_name": pipeline}))


def run_dagster(named: str, stages: Stages, fault: Fault | None) -> None:
    """Execute a Dagster job in this process, as one stage; its tag ``prodml/directory`` is the directory."""
    del fault
    job: Any = imported(named)
    with stages(WHOLE) as directory:
        job.execute_in_process(tags={"prodml/directory": str(directory)})


def run_airflow(named: str, stages: Stages, fault: Fault | None) -> None:
    """Run an Airflow DAG by ``dag.test()``; the whole of it is one stage."""
    del fault
    dag: Any = imported(named)
    with stages(WHOLE) as directory:
        found = dag.test(run_conf={"directory": str(directory)})
        state = str(getattr(found, "state", "success"))
        if not state.endswith("success"):
            raise RuntimeError(f"the DAG ended as {state}")


def imported(named: str) -> Callable[..., Any]:
    """Import ``module:function``."""
    module, _, name = named.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    called: Callable[..., Any] = found
    return called
