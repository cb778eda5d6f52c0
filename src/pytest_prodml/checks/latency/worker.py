"""The program of a fresh process: a request in, how long each stage took and how much memory it takes out.

Started by `spawned` by its path. It imports nothing of this package, and before the first prediction nothing
but what the interpreter has loaded already: what is measured is what a service pays. So the request comes as
`marshal`, which is built in, where JSON would cost 10 ms; the answer, after all is measured, is JSON.
"""

from __future__ import annotations

import time

BEGAN = time.perf_counter_ns()

import marshal  # noqa: E402 - after the first reading of the clock
import os  # noqa: E402
import sys  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: What the parent waits for with its own clock.
ANSWERED = b"answered\n"
_TIMED_CALLS = 100


class Service:
    """What was loaded: one call a prediction (taken in turn), and what it says about itself at the end."""

    def __init__(self) -> None:
        self.stamps: list[tuple[str, int]] = [("begin", BEGAN)]
        self.calls: list[Callable[[], object]] = []
        self.more: Callable[[], list[Callable[[], object]]] = list
        self.told: Callable[[], dict[str, Any]] = dict

    def stamp(self, stage: str) -> None:
        """Take the time at which a stage ended."""
        self.stamps.append((stage, time.perf_counter_ns()))

    def stages(self) -> dict[str, float]:
        """Return the seconds of each stage."""
        pairs = zip(self.stamps, self.stamps[1:])  # noqa: B905 - of unequal length; no import for it
        return {stage: (end - start) / 1e9 for (_, start), (stage, end) in pairs}


def main() -> None:
    """Load, predict, and tell."""
    # What the project prints goes to stderr, so that it is not taken for the answer.
    channel = os.dup(1)
    os.dup2(2, 1)
    request = marshal.loads(sys.stdin.buffer.read())  # noqa: S302 - from the process that started this one
    service = Service()
    inherited = _peak()[0]
    service.stamp("request")
    if request["entry"] is not None:
        _load_entry(service, request)
    else:
        _load_onnx(service, request)
    service.calls[0]()
    service.stamp("first_prediction")
    os.write(channel, ANSWERED)
    answer = _go_on(service, request)
    answer["peak_bytes"], answer["peak_is_own"] = _peak()
    answer["inherited_peak_bytes"] = inherited
    answer["swapped_bytes"] = _status("VmSwap") or 0
    answer["stages"] = service.stages()
    answer |= service.told()
    import json

    text = json.dumps(answer).encode() + b"\n"
    while text:
        text = text[os.write(channel, text) :]


def _load_onnx(service: Service, request: dict[str, Any]) -> None:
    """Import numpy and onnxruntime, and make a session of the bytes of the file as `adapters.onnx` does."""
    import numpy as np
    import onnxruntime

    service.stamp("imports")
    with open(request["path"], "rb") as file:  # noqa: PTH123 - pathlib would have to be imported
        data = file.read()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request["intra_op_threads"]
    options.inter_op_num_threads = request["inter_op_threads"]
    options.log_severity_level = 4
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime.InferenceSession(data, options, providers=request["providers"])
    service.stamp("load")

    def call(batch: list[dict[str, str]]) -> Callable[[], object]:
        feeds = [{name: _array(np, file) for name, file in part.items()} for part in batch]
        outputs = request["outputs"]
        if len(feeds) == 1:
            return lambda: session.run(outputs, feeds[0])
        return lambda: [session.run(outputs, feed) for feed in feeds]

    def told() -> dict[str, Any]:
        import hashlib

        return {
            "sha256": hashlib.sha256(data).hexdigest(),
            "onnxruntime": onnxruntime.__version__,
            "providers": session.get_providers(),
            "executed_nodes": _executed(session),
        }

    first, *others = request["batches"]
    service.calls.append(call(first))
    service.stamp("input")
    service.more = lambda: [call(batch) for batch in others]
    service.told = told


def _array(numpy: Any, file: str) -> object:  # noqa: ANN401 - the module
    array = numpy.load(file, allow_pickle=False)
    # onnxruntime takes texts as objects.
    return array.astype(object) if array.dtype.kind == "U" else array


def _executed(session: Any) -> dict[str, int] | None:  # noqa: ANN401 - onnxruntime has no types
    ask = getattr(session, "get_provider_graph_assignment_info", None)
    if ask is None:
        return None
    counts: dict[str, int] = {}
    for part in ask():
        counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
    return counts


def _load_entry(service: Service, request: dict[str, Any]) -> None:
    """Import the project's module, and call its function for a callable that makes one prediction."""
    sys.path[:0] = request["paths"]
    name, _, function = request["entry"].partition(":")
    __import__(name)
    module = sys.modules[name]
    service.stamp("imports")
    made: Any = module
    for part in function.split("."):
        made = getattr(made, part)
    call = made()
    if not callable(call):
        # No traceback: this is for the reader.
        sys.exit(f"{request['entry']} returned {type(call).__name__}, which can not be called")
    service.stamp("load")

    def told() -> dict[str, Any]:
        import hashlib

        file = getattr(module, "__file__", None)
        if file is None:
            return {"sha256": None}
        with open(file, "rb") as source:  # noqa: PTH123 - as above
            return {"sha256": hashlib.sha256(source.read()).hexdigest()}

    service.calls.append(call)
    service.told = told


def _go_on(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Predict more, and return what these predictions took."""
    start = time.perf_counter_ns()
    service.calls[0]()
    second = time.perf_counter_ns() - start
    calls = service.calls + service.more()
    made, limit = 2, request["calls"]
    end = time.perf_counter_ns() + int(1e9 * request["call_seconds"]) if request["call_seconds"] else None
    timed: list[int] = []
    while made < limit and (end is None or time.perf_counter_ns() < end):
        call = calls[made % len(calls)]
        if len(timed) < _TIMED_CALLS:
            start = time.perf_counter_ns()
            call()
            timed.append(time.perf_counter_ns() - start)
        else:
            call()
        made += 1
    steady = sorted(timed[len(timed) // 2 :])
    return {
        "second": second / 1e9,
        "steady": steady[len(steady) // 2] / 1e9 if steady else None,
        "calls": made,
        **_memory_points(calls, request["points"], request["calls_of_a_point"]),
    }


def _memory_points(calls: list[Callable[[], object]], points: int, each: int) -> dict[str, Any]:
    """Return the resident bytes, and those in use where the C library tells, after every so many calls."""
    if not points:
        return {"resident": [], "in_use": []}
    import array
    import ctypes
    import gc

    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        trim = None
    in_use = _in_use_reader(ctypes)
    # Made before and of machine numbers, so that the record itself does not grow.
    resident, used = array.array("q", [0]) * points, array.array("q", [0]) * points
    made = 0
    for place in range(points):
        gc.collect()
        if trim is not None:
            # A heap full of freed pages would hide what is kept from now on.
            trim(0)
        resident[place] = _resident()
        if in_use is not None:
            used[place] = in_use()
        if place < points - 1:
            for number in range(each):
                calls[(made + number) % len(calls)]()
            made += each
    return {
        "resident": [(each * place, size) for place, size in enumerate(resident)],
        "in_use": [(each * place, size) for place, size in enumerate(used)] if in_use is not None else [],
    }


def _in_use_reader(ctypes: Any) -> Callable[[], int] | None:  # noqa: ANN401 - the module
    """Return what tells the bytes that `malloc` has given out, to the byte; None where nothing does.

    The process was started so that Python takes all its memory from `malloc`, and from one arena: that of
    which glibc tells. Another `malloc` may be loaded in its place, so it is tried.
    """
    # In the order of the C structure; the sum of two is what is in use.
    # In the order of the C structure.
    names = ["arena", "ordblks", "smblks", "hblks", "hblkhd"]
    names += ["usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"]

    class Info(ctypes.Structure):  # type: ignore[misc]
        _fields_ = tuple((name, ctypes.c_size_t) for name in names)

    try:
        ask = ctypes.CDLL(None).mallinfo2
    except (OSError, AttributeError, TypeError):
        return None
    ask.restype = Info

    def read() -> int:
        found = ask()
        return int(found.uordblks + found.hblkhd)

    before = read()
    kept = [bytearray(10_000) for _ in range(10)]
    is_told = read() - before >= 10_000 * len(kept)
    return read if is_told else None


def _resident() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - as above
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import psutil  # type: ignore[import-untyped,import-not-found,unused-ignore]

        return int(psutil.Process().memory_info().rss)


def _peak() -> tuple[int, bool]:
    """Return the largest resident set in bytes, and whether it is this program's own.

    `getrusage` tells that of the process, which was its parent's until this program was started in it: a
    parent with 300 MB makes it 300 MB. Linux tells that of the program alone as well.
    """
    own = _status("VmHWM")
    if own is not None:
        return own, True
    try:
        import resource
    except ImportError:
        import psutil  # type: ignore[import-untyped,import-not-found,unused-ignore]

        return int(psutil.Process().memory_info().peak_wset), True
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak, False


def _status(name: str) -> int | None:
    """Return a line of ``/proc/self/status`` in bytes; None where there is none."""
    try:
        with open("/proc/self/status", "rb") as file:  # noqa: PTH123 - as above
            for line in file:
                if line.startswith(name.encode() + b":"):
                    return 1024 * int(line.split()[1])
    except OSError:
        pass
    return None


if __name__ == "__main__":
    main()
