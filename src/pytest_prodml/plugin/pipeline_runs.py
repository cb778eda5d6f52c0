"""The checks of what makes the model: run again, run twice, broken on purpose; and of frozen answers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_prodml.errors import ConfigurationError, InputError
from pytest_prodml.plugin.dimensions import Bound
from pytest_prodml.plugin.pipeline_source import name_of, pipeline_of
from pytest_prodml.plugin.quantities import seconds
from pytest_prodml.plugin.subjects import import_paths
from pytest_prodml.records import Evidence, Measurement

if TYPE_CHECKING:
    import pandas as pd

    from pytest_prodml.adapters.pipelines.runs import Pipeline, PipelineRun
    from pytest_prodml.checks.pipeline.failure import Failure

#: In what fresh processes differ: nothing that is made may depend on it.
_SEEDS = ("1", "4242", "99991")
#: Files that are models, and need nothing said to be loaded.
_KNOWN_MODELS = frozenset({".onnx", ".ubj", ".lgb", ".cbm"})
_NO_CI = frozenset({"", "0", "false"})


class PipelineRuns(Bound):
    """What `ml_pipeline` says of the pipeline that makes the model."""

    def reproducible(
        self,
        train: object = None,
        *,
        model: str | None = None,
        atol: float | None = None,
        ignore: Sequence[str] = (),
        runs: int = 2,
        data: object = None,
    ) -> Evidence:
        """Show that fresh processes with other hash seeds and threads make the same; see the check.

        Parameters
        ----------
        train : pipeline, optional
            Default the fixture `prodml_pipeline`; or a function at the top of a module, its name, a command.
        model : str, optional
            Which output is the model; its answers to `data` are compared by `atol`.
        atol : float, optional
            How far they may lie apart; without it all outputs have to be equal, bit by bit.
        ignore : sequence of str
            Patterns of outputs that may differ: logs, times.
        runs : int
            How many processes, 2 or 3.
        data : table, optional
            Default the fixture `prodml_test`.
        """
        __tracebackhide__ = True
        from pytest_prodml.adapters import load_model
        from pytest_prodml.checks.pipeline.reproducible import reproducible
        from pytest_prodml.environment import THREAD_VARIABLES

        pipeline = self._pipeline(train)
        if runs not in {2, 3}:
            raise InputError(f"expected 2 or 3 runs, got {runs!r}", where=self._session.gate_id)
        if (model is None) != (atol is None):
            raise InputError(
                "model and atol belong together",
                where=self._session.gate_id,
                hint='model="model.onnx", atol=1e-6: the answers of what was made',
            )
        settings = [
            {
                "PYTHONHASHSEED": seed,
                **{name: str(number % 2 + 1) for name in THREAD_VARIABLES if name.endswith("_NUM_THREADS")},
            }
            for number, seed in enumerate(_SEEDS[:runs])
        ]

        def check() -> Evidence:
            made = [
                pipeline.run(self._directory(f"run-{number}"), variables=variables)
                for number, variables in enumerate(settings)
            ]
            answers = []
            if model is not None and all(run.problem is None for run in made):
                rows = self._frame(data)
                answers = [load_model(run.directory / model).predict_score(rows) for run in made]
            return reproducible(
                made, atol=atol, answers=answers, ignore=ignore, settings=settings, **self._session.tail
            )

        return self._session.settle(check)

    def idempotent(self, run: object = None, *, ignore: Sequence[str] = ()) -> Evidence:
        """Show that a second run over what the first has left changes nothing; see the check of that name.

        Parameters
        ----------
        run : pipeline, optional
            As `train` of `reproducible`.
        ignore : sequence of str
            Patterns of outputs that may differ: logs, times.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.pipeline.reproducible import check_run, idempotent

        pipeline = self._pipeline(run)

        def check() -> Evidence:
            directory = self._directory("run")
            first = pipeline.run(directory)
            check_run(first, "the first run")
            return idempotent(first, pipeline.run(directory), ignore=ignore, **self._session.tail)

        return self._session.settle(check)

    def survives_failure(
        self,
        run: object = None,
        stage: str | Sequence[str] | None = None,
        *,
        published: str,
        how: Sequence[str] | None = None,
        change: Callable[[Path], object] | None = None,
        serves: Callable[[Path], object] | None = None,
    ) -> Evidence:
        """Show that a run which fails publishes nothing, and that the next one completes; see the check.

        The pipeline runs once, which publishes the previous artefact. Then, for each stage and each fault, it
        runs again over a copy of that and fails; what is published is compared; and it runs once more.

        Parameters
        ----------
        run : pipeline, optional
            As `train` of `reproducible`.
        stage : str or sequence of str, optional
            Where it fails; default in each stage.
        published : str
            The file or directory that is published, by its path in the directory of the run.
        how : sequence of str, optional
            Of ``raise_before``, ``raise_after``, ``kill``, ``kill_while_writing``, ``disk_full``; default
            all. The last two need a stage that writes a file.
        change : callable, optional
            Changes the inputs in the directory of a run, so that the new artefact differs from the previous.
        serves : callable, optional
            Takes the path of what is published, and returns false or raises if it does not answer as it
            should. Default for a model file: that it can be loaded.
        """
        __tracebackhide__ = True
        from pytest_prodml.adapters.pipelines.stages import FAULTS
        from pytest_prodml.checks.pipeline.failure import survives_failure
        from pytest_prodml.checks.pipeline.reproducible import check_run

        pipeline = self._pipeline(run)
        faults = tuple(FAULTS) if how is None else tuple(how)
        unknown = [name for name in faults if name not in FAULTS]
        if unknown:
            raise InputError(
                f"there is no fault {unknown[0]!r}",
                where=self._session.gate_id,
                hint=f"known: {', '.join(FAULTS)}",
            )

        def check() -> Evidence:
            previous = pipeline.run(self._directory("previous"))
            check_run(previous, "the run that publishes the previous artefact")
            undisturbed = pipeline.run(self._copy(previous, "undisturbed", change))
            check_run(undisturbed, "the undisturbed run")
            trial = _Trial(self, pipeline, previous, undisturbed, published, change, serves)
            wanted = [stage] if isinstance(stage, str) else stage
            stages = {each.name: each.seconds for each in undisturbed.stages}
            missing = [name for name in wanted or () if name not in stages]
            if missing:
                raise InputError(
                    f"the pipeline has no stage {missing[0]!r}",
                    where=self._session.gate_id,
                    hint=f"its stages are {', '.join(stages) or '(none)'}",
                )
            chosen = {name: length for name, length in stages.items() if wanted is None or name in wanted}
            failures = [failure for name in chosen for fault in faults for failure in trial.fail(name, fault)]
            return survives_failure(failures, chosen, published=published, **self._session.tail)

        return self._session.settle(check)

    def golden(
        self,
        records: str | Path,
        predict: object = None,
        *,
        atol: float = 0.0,
        data: object = None,
        rows: int = 100,
    ) -> Evidence:
        """Show that frozen inputs still get the answers that were frozen with them; see the check.

        ``pytest --prodml-update-golden`` freezes `rows` rows of `data` with the answers of that run, and is
        refused where the variable CI is set. A gate that froze its records in this run is inconclusive.

        Parameters
        ----------
        records : str or Path
            The file, made to be committed. Relative to the project's root.
        predict : model or function, optional
            Default the fixture `prodml_model`; what `prodml_server` returns is started and asked.
        atol : float
            How far two answers of one record may lie apart.
        data : table, optional
            What is frozen; default the fixture `prodml_test`.
        rows : int
            How many rows are frozen, chosen by the seed of the gate.
        """
        __tracebackhide__ = True
        import contextlib

        from pytest_prodml.checks.pipeline.golden import golden, read_golden, write_golden

        path = self._context.settings.at(str(records))
        updates = bool(self._context.config.getoption("--prodml-update-golden", default=False))
        if updates and os.environ.get("CI", "").lower() not in _NO_CI:
            raise ConfigurationError(
                "golden records are not frozen anew in CI: what changed would freeze itself",
                where="--prodml-update-golden",
                hint="do it where a person looks at the change, and commit the file",
            )
        given = self._request.getfixturevalue("prodml_model") if predict is None else predict
        subject = self._context.predictor(given).subject if not _is_served(given) else None

        def check() -> Evidence:
            with contextlib.ExitStack() as running:
                model = self._form(given, running)
                if updates:
                    frame = self._frame(data)
                    chosen = frame.sample(min(rows, len(frame)), random_state=self._session.seed % 2**32)
                    write_golden(path, chosen, model.predict_score(chosen))
                    return _frozen(self._session.gate_id, len(chosen), self._session.confidence_level)
                frozen = read_golden(path)
                return golden(model.predict_score(frozen.rows), frozen, atol=atol, **self._session.tail)

        return self._session.settle(check, subjects=[subject])

    def round_trip(
        self,
        save: Callable[[Any, Path], object] | None = None,
        load: Callable[[Path], object] | str | None = None,
        *,
        model: object = None,
        name: str = "model",
        atol: float = 0.0,
        data: object = None,
        timeout: float | str = 120.0,
    ) -> Evidence:
        """Show that a model which was saved, and loaded by a fresh process, answers as before; see the check.

        Parameters
        ----------
        save : callable, optional
            Takes the model and a path, and saves it there. Without it, what is loaded is the file of the
            model under test.
        load : callable or str, optional
            Takes the path and returns the model. At the top of a module, or ``"module:function"``; default
            the adapter for the file's ending.
        model : object, optional
            Default the fixture `prodml_model`.
        name : str
            How the saved file is called; loaders go by its ending.
        atol : float
            How far two answers may lie apart; 0: bit by bit.
        data : table, optional
            Default the fixture `prodml_test`.
        timeout : float or str
            How long the fresh process may take.
        """
        __tracebackhide__ = True
        from pytest_prodml.adapters.pipelines.loading import answers_of_a_fresh_process
        from pytest_prodml.adapters.predictor import finite_scores
        from pytest_prodml.checks.pipeline.round_trip import round_trip

        given = self._request.getfixturevalue("prodml_model") if model is None else model
        predictor = self._context.predictor(given)
        loader = name_of(load) if callable(load) else load

        def check() -> Evidence:
            rows = self._frame(data)
            if save is None:
                own = getattr(predictor, "path", None) or self._context.settings.model.path
                if own is None:
                    raise InputError(
                        "nothing was saved: the model is no file",
                        where=self._session.gate_id,
                        hint="give save=",
                    )
                path = self._context.settings.at(str(own))
            else:
                path = self._directory("saved") / name
                path.parent.mkdir(parents=True, exist_ok=True)
                save(given, path)
            after = answers_of_a_fresh_process(
                path,
                rows,
                load=loader,
                root=self._context.settings.root,
                paths=import_paths(self._context.config),
                seconds=seconds(timeout),
                positive_label=self._context.settings.model.positive_label,
            )
            return round_trip(
                finite_scores(predictor, rows),
                after,
                atol=atol,
                details={"saved": path.name, "loaded by": loader or "the adapter of its ending"},
                **self._session.tail,
            )

        return self._session.settle(check, subjects=[predictor.subject])

    def _pipeline(self, given: object) -> Pipeline:
        __tracebackhide__ = True
        source = self._request.getfixturevalue("prodml_pipeline") if given is None else given
        return pipeline_of(source, self._context.config)

    def _frame(self, data: object) -> pd.DataFrame:
        return self._dataset(data).frame

    def _directory(self, name: str) -> Path:
        """Return a directory of this test that is not there yet."""
        base: Path = self._request.getfixturevalue("tmp_path")
        for number in range(10_000):
            path = base / f"prodml-{name}-{number}"
            if not path.exists():
                return path
        raise InputError("too many runs in one test", where=self._session.gate_id)

    def _copy(self, run: PipelineRun, name: str, change: Callable[[Path], object] | None) -> Path:
        path = self._directory(name)
        shutil.copytree(run.directory, path, symlinks=True)
        if change is not None:
            change(path)
        return path

    def _form(self, model: object, running: Any) -> Any:  # noqa: ANN401 - see PipelineGate
        """Return a model as the checks know models; one that is served is started first."""
        if _is_served(model):
            served: Any = model
            return running.enter_context(served.running()).predictor()
        return self._context.predictor(model)


class _Trial:
    """One pipeline that is broken again and again, each time over a copy of the same."""

    def __init__(
        self,
        runs: PipelineRuns,
        pipeline: Pipeline,
        previous: PipelineRun,
        undisturbed: PipelineRun,
        published: str,
        change: Callable[[Path], object] | None,
        serves: Callable[[Path], object] | None,
    ) -> None:
        self._runs = runs
        self._pipeline = pipeline
        self._previous = previous
        self._undisturbed = undisturbed
        self._published = published
        self._change = change
        self._serves = serves
        if not _state(previous, published) or not _state(undisturbed, published):
            raise InputError(
                f"an undisturbed run publishes no {published!r}",
                where="survives_failure",
                hint=f"it leaves {', '.join(list(previous.outputs)[:5]) or 'no file'}",
            )

    def fail(self, stage: str, how: str) -> list[Failure]:
        """Break one stage; nothing is returned where it writes nothing in whose middle it could break."""
        from pytest_prodml.adapters.pipelines.stages import WHILE_WRITING, Fault
        from pytest_prodml.checks.pipeline.failure import Failure

        size = max(
            (
                size
                for each in self._undisturbed.stages
                if each.name == stage
                for _, size in each.written.values()
            ),
            default=0,
        )
        if how in WHILE_WRITING and size == 0:
            return []
        fault = Fault(stage=stage, how=how, at_bytes=size // 2)
        directory = self._runs._copy(self._previous, "failing", self._change)  # noqa: SLF001 - of this module
        broken = self._pipeline.run(directory, fault=fault)
        state = _state(broken, self._published)
        new, previous = _state(self._undisturbed, self._published), _state(self._previous, self._published)
        found = (
            "new" if state == new else "previous" if state == previous else "broken" if state else "missing"
        )
        if new == previous and state == new:
            found = "previous" if broken.problem is not None else "new"
        serves = self._answers(directory / self._published) if state else None
        again = self._pipeline.run(directory)
        left = sorted(set(again.outputs) - set(self._undisturbed.outputs))
        failure = Failure(
            stage=stage,
            how=how,
            is_reached=broken.is_reached,
            is_stopped=broken.problem is not None,
            published=found,
            serves=serves,
            rerun=again.problem,
            is_same=_state(again, self._published) == new,
            leftovers=tuple(left),
        )
        shutil.rmtree(directory, ignore_errors=True)
        return [failure]

    def _answers(self, path: Path) -> bool | None:
        """Say whether what is published answers; None where nobody can say."""
        from pytest_prodml.adapters import load_model

        try:
            if self._serves is not None:
                return self._serves(path) is not False
            if path.suffix.lower() not in _KNOWN_MODELS:
                return None
            load_model(path)
        except Exception:  # noqa: BLE001 - whatever a library says of half a file
            return False
        return True


def _state(run: PipelineRun, published: str) -> dict[str, tuple[str, int]]:
    """Return the digests of what is published: of a file, or of all files in a directory."""
    inside = f"{published.rstrip('/')}/"
    return {path: told for path, told in run.outputs.items() if path == published or path.startswith(inside)}


def _is_served(model: object) -> bool:
    from pytest_prodml.adapters.serving.served import ServedModel

    return isinstance(model, ServedModel)


def _frozen(gate_id: str, rows: int, level: float) -> Evidence:
    """Return that records were frozen, which shows nothing."""
    from pytest_prodml.checks.counts import at_most

    return Evidence(
        gate_id=gate_id,
        measurements=(
            Measurement(
                metric="changed_answers",
                value=0,
                lower=0,
                upper=None,
                confidence_level=level,
                method="none: they were frozen in this run",
                n_samples=rows,
                unit="records",
                higher_is_better=False,
                note="frozen anew in this run: look at the change, commit it, and run again",
            ),
        ),
        criteria=(at_most("changed_answers", 0),),
    )
