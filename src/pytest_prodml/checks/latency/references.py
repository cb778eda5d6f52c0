"""Reference workloads, version ``ref-v1``: what a budget is stated in that has to travel between machines.

A budget in milliseconds holds on one machine. "At most 3 times as long as a product of two matrices" holds
wherever both are slowed down by the same thing. So the workload is chosen by what limits the model:
arithmetic (``matmul``), memory and branches (``lookups``, for trees), or the cost of a call (``dispatch``,
for small graphs). A change of a workload changes its digest, and voids the budgets that were stated in it.
"""

from __future__ import annotations

import base64
import functools
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pytest_prodml._lazy import require
from pytest_prodml.codec import digest_of, sha256_hex
from pytest_prodml.errors import InputError

VERSION = "ref-v1"

_SEED = 20_261_122
_MATMUL_SIZE = 128
_LOOKUPS_SIZE = 1 << 16
_LOOKUPS_STEPS = 16
_DEVICE_MATMUL_SIZE = 512
#: y = x + x for four numbers, and y = x @ x for any matrix: ONNX files of opset 13.
_DISPATCH_GRAPH = (
    "CAgSDXB5dGVzdC1wcm9kbWw6RAoOCgF4CgF4EgF5IgNBZGQSCGRpc3BhdGNoWhMKAXgSDgoMCAESCAoCCAEKAggEYhMKAXkSDgoMCAES"
    "CAoCCAEKAggEQgQKABAN"
)
_MATMUL_GRAPH = (
    "CAgSDXB5dGVzdC1wcm9kbWw6PQoRCgF4CgF4EgF5IgZNYXRNdWwSBm1hdG11bFoPCgF4EgoKCAgBEgQKAAoAYg8KAXkSCgoICAESBAoACgBC"
    "BAoAEA0="
)
_WARM_CALLS = 20
_TIMED_CALLS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A workload by name, the digest of all that it does, and the call to time."""

    name: str
    digest: str
    call: Callable[[], object]

    @property
    def title(self) -> str:
        """The name with its version, as measurements are grouped by it."""
        return f"{VERSION} {self.name}"


def reference(name: str = "matmul", *, provider: str | None = None) -> Reference:
    """Return a reference workload, ready to be called.

    Parameters
    ----------
    name : str
        ``matmul``: a product of two 128 x 128 matrices of float32 (numpy's BLAS). ``lookups``: 16 rounds of
        65,536 dependent reads from a table in random order (numpy). ``dispatch``: a graph of one addition of
        four numbers (onnxruntime). ``device_matmul``: a product of two 512 x 512 matrices in onnxruntime, on
        the execution provider `provider`.
    provider : str, optional
        For ``dispatch`` and ``device_matmul``; default the processor.

    Raises
    ------
    InputError
        If there is no workload of that name.
    MissingDependencyError
        If onnxruntime is needed and not installed.
    """
    if name not in _MAKERS:
        raise InputError(
            f"there is no reference workload {name!r}", hint=f"one of {', '.join(sorted(_MAKERS))}"
        )
    make, content = _MAKERS[name]
    digest = digest_of({"version": VERSION, "name": name, "content": content, "provider": provider or ""})
    return Reference(name=name, digest=digest, call=make(provider))


def reference_times() -> Mapping[str, float]:
    """Return the median seconds of the workloads that can be run here without a device.

    For the table `reference` of a hardware target: a machine whose times differ by more than 10 % is none of
    that class, whatever its processor calls itself.
    """
    names = ["matmul", "lookups"]
    try:
        require("onnxruntime", extra="cpu")
    except ImportError:
        pass
    else:
        names.append("dispatch")
    return {name: median_seconds(reference(name).call) for name in names}


def median_seconds(call: Callable[[], object], *, calls: int = _TIMED_CALLS) -> float:
    """Return the median duration of warm calls."""
    return statistics.median(time_reference(call, calls=calls))


def time_reference(call: Callable[[], object], *, calls: int, warm_calls: int = _WARM_CALLS) -> list[float]:
    """Return the duration of each of `calls` calls in seconds, after some that are thrown away."""
    for _ in range(warm_calls):
        call()
    clock = time.perf_counter
    found = [0.0] * calls
    for place in range(calls):
        start = clock()
        call()
        found[place] = clock() - start
    return found


def _matmul(provider: str | None) -> Callable[[], object]:
    del provider
    draw = np.random.default_rng(_SEED)
    left = draw.standard_normal((_MATMUL_SIZE, _MATMUL_SIZE)).astype(np.float32)
    right = draw.standard_normal((_MATMUL_SIZE, _MATMUL_SIZE)).astype(np.float32)
    out = np.empty_like(left)
    return functools.partial(np.matmul, left, right, out)


def _lookups(provider: str | None) -> Callable[[], object]:
    del provider
    table = np.random.default_rng(_SEED).permutation(_LOOKUPS_SIZE)
    start = np.arange(_LOOKUPS_SIZE)

    def follow() -> object:
        place = start
        for _ in range(_LOOKUPS_STEPS):
            place = table[place]
        return place

    return follow


def _dispatch(provider: str | None) -> Callable[[], object]:
    return _graph_call(_DISPATCH_GRAPH, np.ones((1, 4), dtype=np.float32), provider)


def _device_matmul(provider: str | None) -> Callable[[], object]:
    draw = np.random.default_rng(_SEED)
    size = (_DEVICE_MATMUL_SIZE, _DEVICE_MATMUL_SIZE)
    return _graph_call(_MATMUL_GRAPH, draw.standard_normal(size).astype(np.float32), provider)


def _graph_call(graph: str, values: object, provider: str | None) -> Callable[[], object]:
    from pytest_prodml.adapters.onnx import CPU, one_runtime, session_options

    asked = provider or CPU
    session = one_runtime().InferenceSession(
        base64.b64decode(graph), session_options(intra_op_threads=1), providers=[asked]
    )
    if session.get_providers()[0] != asked:
        raise InputError(
            f"the reference was to run on {asked} and runs on {session.get_providers()[0]}", where=VERSION
        )
    return functools.partial(session.run, None, {"x": values})


#: By name: how the call is made, and all that its work depends on.
_MAKERS: Mapping[str, tuple[Callable[[str | None], Callable[[], object]], str]] = {
    "matmul": (_matmul, f"numpy float32 {_MATMUL_SIZE} x {_MATMUL_SIZE}, seed {_SEED}"),
    "lookups": (_lookups, f"numpy {_LOOKUPS_STEPS} rounds of {_LOOKUPS_SIZE}, seed {_SEED}"),
    "dispatch": (_dispatch, sha256_hex(base64.b64decode(_DISPATCH_GRAPH))),
    "device_matmul": (
        _device_matmul,
        f"{sha256_hex(base64.b64decode(_MATMUL_GRAPH))}, {_DEVICE_MATMUL_SIZE}, seed {_SEED}",
    ),
}
