"""Latency gates about a fresh process: how soon it answers, its memory, and what calls leave behind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from pytest_prodml.errors import InputError
from pytest_prodml.plugin.latency_base import LatencyBound
from pytest_prodml.plugin.latency_model import Setting, TimedModel, void_evidence
from pytest_prodml.plugin.quantities import seconds, size_in_bytes
from pytest_prodml.plugin.subjects import import_paths
from pytest_prodml.records import Evidence, JsonValue

if TYPE_CHECKING:
    import pandas as pd

    from pytest_prodml.adapters.arrays import Array
    from pytest_prodml.adapters.onnx import OnnxPredictor
    from pytest_prodml.checks.latency.programs import Program
    from pytest_prodml.checks.latency.spawned import Start, Work

#: Predictions that differ; each is written to files that every process reads.
_MOST_BATCHES = 16
#: A start makes so many predictions where they are quick, so that its memory can be judged too.
_CALLS = 1_000
_CALL_SECONDS = 1.0
_POINTS = 60
_LEAST_WARM_UP = 200
_PROCESS_SECONDS = 120.0
_GROWTH_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """What is started: a program, as which group, and the model that it has to be (None: an entry)."""

    program: Program
    group: str
    model: TimedModel | None

    @property
    def runtime(self) -> Mapping[str, JsonValue]:
        """What is known of what runs."""
        return {"entry": self.group} if self.model is None else self.model.runtime

    def proven(self, evidence: Evidence) -> Evidence:
        """Add what executed the graph, where a provider was asked for."""
        return evidence if self.model is None else self.model.proven(evidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Started:
    """Starts in order, the uncounted one before them, and what ran beside them."""

    uncounted: Start
    starts: tuple[Start, ...]
    noise: tuple[str, ...]


class ProcessLatency(LatencyBound):
    """What `ml_latency` offers about processes that begin anew."""

    def __init__(self, request: pytest.FixtureRequest, model: object, data: object) -> None:
        __tracebackhide__ = True
        super().__init__(request, model, data)
        self._cells: dict[tuple[Setting, str | None], _Cell] = {}
        self._started: dict[tuple[Setting, str | None], _Started] = {}

    def cold_start_at_most(
        self,
        budget: float | str,
        *,
        p: float = 0.9,
        spawns: int | None = None,
        batch_size: int = 1,
        threads: int | None = None,
        provider: str | None = None,
        entry: str | None = None,
        process_seconds: float = _PROCESS_SECONDS,
        level: float | None = None,
    ) -> Evidence:
        """Show how soon a fresh process answers; see `checks.latency.cold_start_at_most`.

        An ONNX file is loaded as a small service would: Python, numpy and onnxruntime, nothing else. What the
        process has loaded is compared with the digest of the model under test.

        Parameters
        ----------
        budget : float or str
            Seconds, or text such as ``"2 s"``: from starting the process to its first prediction.
        p : float
            The quantile, 0.9: nine of ten starts.
        spawns : int, optional
            How many processes to start. Default: so many that one slow start in a hundred is no harm, 46 at
            95 %; the fewest that can prove nine of ten are 29.
        batch_size, threads, provider
            As in `quantile_at_most`.
        entry : str, optional
            ``"module:function"``: what a service of any other model begins with. The function loads the model
            and returns a callable without arguments that makes one prediction.
        process_seconds : float
            How long one process may take in all.
        level : float, optional
            A level of its own, above that of the run.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.latency.cold_start import cold_start_at_most, starts_for
        from pytest_prodml.checks.latency.spawned import Work

        limit, tail = seconds(budget), self._tail(level)
        setting = Setting(batch_size=batch_size, threads=threads, provider=provider)

        def check() -> Evidence:
            cell = self._cell(setting, entry)
            if cell.model is not None and cell.model.fell_back:
                return void_evidence(f"cold_start_p{100 * p:g}", limit, cell.model, tail["gate_id"])
            count = starts_for(p, tail["confidence_level"]) if spawns is None else spawns
            work = Work(calls=_CALLS, call_seconds=_CALL_SECONDS)
            found = self._starts(cell, setting, entry, count, work, 2, process_seconds)
            evidence = cold_start_at_most(
                p,
                limit,
                found.starts,
                uncounted=found.uncounted,
                noisy=found.noise,
                group=cell.group,
                runtime=cell.runtime,
                **tail,
            )
            measurements = (*evidence.measurements, *self._reference_times(tail["confidence_level"]))
            return cell.proven(replace(evidence, measurements=measurements))

        return self._settle(check)

    def peak_memory_at_most(
        self,
        budget: float | str,
        *,
        p: float = 0.9,
        spawns: int | None = None,
        batch_size: int = 1,
        calls: int = _CALLS,
        threads: int | None = None,
        provider: str | None = None,
        entry: str | None = None,
        process_seconds: float = _PROCESS_SECONDS,
        level: float | None = None,
    ) -> Evidence:
        """Show how much memory a process takes; see `checks.latency.peak_memory_at_most`.

        It shares its processes with `cold_start_at_most` of the same arguments in the same test, if they made
        as many predictions.

        Parameters
        ----------
        budget : float or str
            Bytes, or text such as ``"512 MB"``: the largest resident set.
        calls : int
            Predictions that each process makes, at least 2.
        p, spawns, batch_size, threads, provider, entry, process_seconds, level
            As in `cold_start_at_most`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.latency.cold_start import starts_for
        from pytest_prodml.checks.latency.memory import doubts, peak_memory_at_most
        from pytest_prodml.checks.latency.spawned import Work

        limit, tail = size_in_bytes(budget), self._tail(level)
        setting = Setting(batch_size=batch_size, threads=threads, provider=provider)

        def check() -> Evidence:
            cell = self._cell(setting, entry)
            if cell.model is not None and cell.model.fell_back:
                return _void(f"peak_memory_p{100 * p:g}", limit, cell.model, tail["gate_id"], "B")
            count = starts_for(p, tail["confidence_level"]) if spawns is None else spawns
            found = self._starts(cell, setting, entry, count, Work(calls=calls), calls, process_seconds)
            too_low, too_high = doubts(found.starts)
            evidence = peak_memory_at_most(
                p,
                limit,
                [start.peak_bytes for start in found.starts],
                too_low=too_low,
                too_high=too_high,
                group=cell.group,
                details={
                    "predictions": min(start.calls for start in found.starts),
                    "process": dict(found.starts[0].told),
                    "runtime": dict(cell.runtime),
                },
                **tail,
            )
            return cell.proven(evidence)

        return self._settle(check)

    def no_memory_growth(
        self,
        at_most: float | str = "1 kB",
        *,
        processes: int = 8,
        calls: int = 20_000,
        batch_size: int = 1,
        threads: int | None = None,
        provider: str | None = None,
        entry: str | None = None,
        process_seconds: float = _GROWTH_SECONDS,
        level: float | None = None,
    ) -> Evidence:
        """Show that calls leave no memory behind; see `checks.latency.no_memory_growth`.

        Parameters
        ----------
        at_most : float or str
            What 1,000 calls may leave behind: bytes, or text such as ``"1 kB"``.
        processes : int
            How many are started: each is one sample. At 95 % five can prove it, and with eight one may grow
            more.
        calls : int
            Predictions of each process, after a tenth as many that warm it up.
        batch_size, threads, provider, entry, process_seconds, level
            As in `cold_start_at_most`.
        """
        __tracebackhide__ = True
        from pytest_prodml.checks.latency.memory import check_span, doubts, no_memory_growth
        from pytest_prodml.checks.latency.spawned import Work, start_many

        limit, tail = size_in_bytes(at_most), self._tail(level)
        setting = Setting(batch_size=batch_size, threads=threads, provider=provider)

        def check() -> Evidence:
            check_span(limit, calls)
            cell = self._cell(setting, entry)
            if cell.model is not None and cell.model.fell_back:
                return _void("memory_growth", limit, cell.model, tail["gate_id"], "B/1,000 calls")
            warm_up = max(_LEAST_WARM_UP, calls // 10)
            work = Work(calls=warm_up, points=_POINTS, calls_of_a_point=math.ceil(calls / (_POINTS - 1)))
            starts = start_many(cell.program, processes, work, process_seconds=process_seconds)
            evidence = no_memory_growth(
                limit,
                [start.resident for start in starts],
                [start.in_use for start in starts if start.in_use],
                too_low=doubts(starts)[0],
                group=cell.group,
                details={
                    "warm_up_predictions": warm_up,
                    "process": dict(starts[0].told),
                    "runtime": dict(cell.runtime),
                },
                **tail,
            )
            return cell.proven(evidence)

        return self._settle(check)

    def _starts(
        self,
        cell: _Cell,
        setting: Setting,
        entry: str | None,
        count: int,
        work: Work,
        least_calls: int,
        process_seconds: float,
    ) -> _Started:
        """Start a program, or return the starts that this test has made of it already."""
        __tracebackhide__ = True
        from pytest_prodml.checks.latency.spawned import start_many

        if count < 1:
            raise InputError(f"spawns must be at least 1, got {count!r}", where=self._session.gate_id)
        known = self._started.get((setting, entry))
        if (
            known is not None
            and len(known.starts) >= count
            and min(start.calls for start in known.starts) >= least_calls
        ):
            return known
        # Looked at before: the processes themselves are a load.
        noise = tuple(self._noise())
        uncounted, *starts = start_many(cell.program, count + 1, work, process_seconds=process_seconds)
        found = _Started(uncounted=uncounted, starts=tuple(starts), noise=noise)
        self._started[setting, entry] = found
        return found

    def _cell(self, setting: Setting, entry: str | None) -> _Cell:
        __tracebackhide__ = True
        key = (setting, entry)
        if key not in self._cells:
            self._cells[key] = self._onnx_cell(setting) if entry is None else self._entry_cell(setting, entry)
        return self._cells[key]

    def _entry_cell(self, setting: Setting, entry: str) -> _Cell:
        __tracebackhide__ = True
        from pytest_prodml.checks.latency.programs import EntryProgram

        if setting != Setting():
            raise InputError(
                "batch_size, threads and provider are settings of an ONNX file",
                where=entry,
                hint="the entry makes the prediction, and its callable has its own rows",
            )
        root = self._context.settings.root
        paths = import_paths(self._context.config)
        return _Cell(program=EntryProgram(entry=entry, root=root, paths=paths), group=entry, model=None)

    def _onnx_cell(self, setting: Setting) -> _Cell:
        """Prepare a process that serves the model's own file.

        Raises
        ------
        InputError
            If it was not loaded from an ONNX file, or the file has changed since.
        """
        __tracebackhide__ = True
        from pytest_prodml.adapters.onnx import OnnxPredictor
        from pytest_prodml.checks.latency.programs import OnnxProgram, file_digest

        predictor = self._model.predictor
        subject = predictor.subject
        if not isinstance(predictor, OnnxPredictor) or predictor.path is None or subject is None:
            raise InputError(
                "is no ONNX file that a fresh process could load by itself",
                where=predictor.description,
                hint='say entry="module:function": a function that loads the model as the service does, and '
                "returns a callable without arguments that makes one prediction",
            )
        digest = file_digest(predictor.path)
        if digest != subject.digest.get("sha256"):
            raise InputError("the file has changed since it was loaded", where=predictor.path.name)
        frames = self._model.batches(setting.batch_size, seed=self._session.seed)[:_MOST_BATCHES]
        # Refuses rows that the graph does not take, before anything is started.
        predictor.prepare(frames[0])
        model = self._timed_model(setting)
        program = OnnxProgram(
            path=predictor.path,
            sha256=digest,
            outputs=predictor.score_outputs,
            batches=[_parts(predictor, frame) for frame in frames],
            providers=_names(model.runtime["providers"]),
            intra_op_threads=_number(model.runtime["intra_op_threads"]),
            inter_op_threads=_number(model.runtime["inter_op_threads"]),
            onnxruntime=str(model.runtime["onnxruntime"]),
        )
        return _Cell(program=program, group=model.group, model=model)


def _parts(predictor: OnnxPredictor, rows: pd.DataFrame) -> list[dict[str, Array]]:
    """Return the feeds of one prediction: several, where the graph has a fixed and smaller batch size."""
    feed = predictor.feed(rows)
    size = next((item.batch for item in predictor.inputs if item.batch is not None), len(rows))
    return [
        {name: values[start : start + size] for name, values in feed.items()}
        for start in range(0, len(rows), size)
    ]


def _names(value: JsonValue) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else []


def _number(value: JsonValue) -> int:
    return value if isinstance(value, int) else 0


def _void(metric: str, limit: float, model: TimedModel, gate_id: str, unit: str) -> Evidence:
    """Return that nothing was measured, in the metric's own unit."""
    evidence = void_evidence(metric, limit, model, gate_id)
    first, *others = evidence.measurements
    return replace(evidence, measurements=(replace(first, unit=unit), *others))
