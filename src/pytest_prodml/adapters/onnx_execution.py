"""Where the nodes of an ONNX graph really run, and calls whose arrays stay on the device.

A session that asks for a provider and does not get it answers all the same, from the processor, with a
warning at most. What ran is told by onnxruntime's profiler: each node with the provider that executed it.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_prodml.adapters.arrays import Array
from pytest_prodml.adapters.onnx import CPU, OnnxPredictor, load_onnx, one_runtime, session_options
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_DEVICES: Mapping[str, str] = {
    "CUDAExecutionProvider": "cuda",
    "TensorrtExecutionProvider": "cuda",
    "NvTensorRTRTXExecutionProvider": "cuda",
    "ROCMExecutionProvider": "cuda",
    "MIGraphXExecutionProvider": "cuda",
    "DmlExecutionProvider": "dml",
    CPU: "cpu",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What one run of a graph executed: nodes and seconds by provider, and the operators of each provider."""

    nodes: Mapping[str, int]
    seconds: Mapping[str, float]
    operators: Mapping[str, Mapping[str, int]]

    def without(self, operators: Sequence[str]) -> Execution:
        """Return the same without some operators: shape arithmetic belongs on the processor."""
        kept = {
            provider: {name: count for name, count in found.items() if name not in operators}
            for provider, found in self.operators.items()
        }
        return Execution(
            nodes={provider: sum(found.values()) for provider, found in kept.items() if found},
            seconds=self.seconds,
            operators={provider: found for provider, found in kept.items() if found},
        )


def in_session(
    predictor: OnnxPredictor, *, threads: int | None = None, provider: str | None = None
) -> OnnxPredictor:
    """Return the same model in a session of its own, with other threads or another provider.

    What is not there falls back to the processor, as it does in production: `executed` tells what ran.

    Parameters
    ----------
    predictor : OnnxPredictor
        Loaded from a file.
    threads : int, optional
        Of one operator; default those of the session that there is.
    provider : str, optional
        For example ``CUDAExecutionProvider``; what it can not run goes to the processor.

    Raises
    ------
    InputError
        If the model was not loaded from a file, or the file has changed since.
    """
    path = _file_of(predictor)
    own = predictor.session.get_session_options()
    loaded = load_onnx(
        path,
        providers=_asked(provider) if provider is not None else predictor.session.get_providers(),
        intra_op_threads=own.intra_op_num_threads if threads is None else threads,
        inter_op_threads=own.inter_op_num_threads,
        columns=predictor.columns,
        allow_fallback=True,
    )
    _check_unchanged(predictor, loaded.subject.digest["sha256"] if loaded.subject else "", path)
    return loaded


def executed(
    predictor: OnnxPredictor, rows: pd.DataFrame, *, provider: str | None = None, threads: int | None = None
) -> Execution:
    """Run the graph once under onnxruntime's profiler and return what ran where.

    Parameters
    ----------
    predictor : OnnxPredictor
        Loaded from a file.
    rows : DataFrame
        The input of the run.
    provider, threads
        As in `in_session`.

    Raises
    ------
    InputError
        If the model was not loaded from a file, the file has changed, or the profile holds no node.
    """
    path = _file_of(predictor)
    data = path.read_bytes()
    _check_unchanged(predictor, sha256_hex(data), path)
    own = predictor.session.get_session_options()
    options = session_options(intra_op_threads=own.intra_op_num_threads if threads is None else threads)
    options.enable_profiling = True
    providers = _asked(provider) if provider is not None else predictor.session.get_providers()
    with tempfile.TemporaryDirectory(prefix="prodml-profile-") as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            session = one_runtime().InferenceSession(data, options, providers=providers)
        fixed = next((item.batch for item in predictor.inputs if item.batch is not None), len(rows))
        feed = predictor.feed(rows.iloc[:fixed])
        # The first run allocates; the profile is of both, and a node that moves would be seen in either.
        for _ in range(2):
            session.run(list(predictor.score_outputs), feed)
        events = json.loads(Path(session.end_profiling()).read_bytes())
    return _execution(events, path.name)


def prepare_on_device(predictor: OnnxPredictor, rows: pd.DataFrame) -> Callable[[], object]:
    """Copy the input to the device now; the returned call runs the session there and waits until it is done.

    Neither input nor output is copied in the call (IO binding), and a kernel that is only queued is not
    taken for a finished one: the outputs are synchronised before it returns.

    Raises
    ------
    InputError
        If an input is text, which no device holds, or the provider's device is not known.
    """
    session = predictor.session
    provider = session.get_providers()[0]
    device = _DEVICES.get(provider)
    if device is None:
        raise InputError(f"on which device {provider} keeps arrays is not known", where=predictor.description)
    values = one_runtime().OrtValue
    binding = session.io_binding()
    for name, array in predictor.feed(rows).items():
        _check_numeric(name, array, predictor.description)
        binding.bind_ortvalue_input(name, values.ortvalue_from_numpy(np.ascontiguousarray(array), device, 0))
    for name in predictor.score_outputs:
        binding.bind_output(name, device)
    binding.synchronize_inputs()

    def call() -> object:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return binding

    return call


def _asked(provider: str) -> list[str]:
    return [provider] if provider == CPU else [provider, CPU]


def _file_of(predictor: OnnxPredictor) -> Path:
    if predictor.path is None:
        raise InputError(
            "was made from a session, not from a file: it can not be loaded again with other settings",
            where=predictor.description,
            hint="return the path of the model file from the fixture prodml_model",
        )
    return predictor.path


def _check_unchanged(predictor: OnnxPredictor, digest: str, path: Path) -> None:
    if predictor.subject is None or predictor.subject.digest.get("sha256") != digest:
        raise InputError("has changed since the model was loaded", where=path.name)


def _check_numeric(name: str, array: Array, where: str) -> None:
    if array.dtype == np.object_:
        raise InputError(
            f"the input {name!r} is text, which can not be bound to a device",
            where=where,
            hint="time it from host to host",
        )


def _execution(events: Sequence[Mapping[str, Any]], where: str) -> Execution:
    nodes: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    operators: dict[str, Counter[str]] = {}
    seen: set[tuple[str, str]] = set()
    for event in events:
        told = event.get("args") or {}
        provider = told.get("provider")
        if event.get("cat") != "Node" or not provider:
            continue
        seconds[provider] += event.get("dur", 0) / 1e6
        key = (provider, str(event.get("name")))
        if key not in seen:
            seen.add(key)
            nodes[provider] += 1
            operators.setdefault(provider, Counter())[str(told.get("op_name", "unknown"))] += 1
    if not nodes:
        raise InputError("the profile of onnxruntime holds no node", where=where)
    return Execution(
        nodes=dict(nodes),
        seconds=dict(seconds),
        operators={name: dict(found) for name, found in operators.items()},
    )
