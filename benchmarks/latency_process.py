"""Cold start, peak memory and growth of a model in fresh processes, beside other ways to look at the same.

    python benchmarks/latency_process.py [MODEL.onnx] [STARTS]

Without a file: a small logistic regression, and a network of 768 x 3 neurons. Inputs are random numbers.
Beside it: an empty process, the same program written by hand and timed as a whole, the total of
``python -X importtime``, `pyperf command` where it is installed, and the smallest leak that is seen. Two
minutes on two cores.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from onnx import TensorProto, helper

from onnx_models import by_hand, classifier, exported, save
from pytest_prodml.adapters.onnx import CPU, OnnxPredictor, load_onnx
from pytest_prodml.checks.latency.cold_start import cold_start_at_most
from pytest_prodml.checks.latency.memory import no_memory_growth, peak_memory_at_most
from pytest_prodml.checks.latency.programs import EntryProgram, OnnxProgram, Program, file_digest
from pytest_prodml.checks.latency.spawned import FLAGS, Work, start_many
from pytest_prodml.records import Evidence

_SECONDS = 600.0
_GROWTH = Work(calls=2_000, points=60, calls_of_a_point=339)
_LEAKS = (0, 1, 2, 8, 64, 512)
_SERVICE = """
def load():
    kept, number = [], [0]
    def call():
        number[0] += 1
        if {bytes} and number[0] % max(1, 64 // max({bytes}, 1)) == 0:
            kept.append(bytearray(max({bytes}, 64)))
        return sum(range(20))
    return call
"""


def network(path: Path) -> Path:
    """Write a network of 256 inputs, three layers of 768, and 8 outputs."""
    rng = np.random.default_rng(0)
    sizes = [256, 768, 768, 768, 8]
    nodes, constants, before = [], {}, "X"
    for number, (rows, columns) in enumerate(itertools.pairwise(sizes)):
        constants[f"W{number}"] = rng.normal(0, 0.05, (rows, columns)).astype(np.float32)
        nodes.append(helper.make_node("MatMul", [before, f"W{number}"], [f"Z{number}"]))
        nodes.append(helper.make_node("Sigmoid", [f"Z{number}"], [f"A{number}"]))
        before = f"A{number}"
    nodes[-1].output[0] = "score"
    saved: Path = save(
        by_hand(
            nodes,
            [("X", TensorProto.FLOAT, [None, 256])],
            [("score", TensorProto.FLOAT, [None, 8])],
            constants,
        ),
        path,
    )
    return saved


def program_of(path: Path) -> OnnxProgram:
    predictor = load_onnx(path)
    return OnnxProgram(
        path=path,
        sha256=file_digest(path),
        outputs=predictor.score_outputs,
        batches=[[feed_of(predictor, seed)] for seed in range(8)],
        providers=[CPU],
        intra_op_threads=1,
        inter_op_threads=1,
        onnxruntime=onnxruntime.__version__,
    )


def feed_of(predictor: OnnxPredictor, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    feed = {}
    for item in predictor.inputs:
        if item.dtype is np.object_:
            sys.exit(f"the input {item.name!r} is text, and this benchmark makes numbers")
        shape = (item.batch or 1,) if item.rank == 1 else (item.batch or 1, item.width or 1)
        feed[item.name] = np.asarray(rng.normal(size=shape)).astype(item.dtype)
    return feed


def by_hand_code(program: OnnxProgram, directory: Path) -> str:
    """Return the shortest program that makes one prediction of the model."""
    lines = ["import numpy as np, onnxruntime as rt", "o = rt.SessionOptions(); o.intra_op_num_threads = 1"]
    lines.append(f"s = rt.InferenceSession(open({str(program.path)!r}, 'rb').read(), o, providers=[{CPU!r}])")
    parts = []
    for place, (name, array) in enumerate(program.batches[0][0].items()):
        np.save(directory / f"hand-{place}.npy", array)
        parts.append(f"{name!r}: np.load({str(directory / f'hand-{place}.npy')!r})")
    return "\n".join([*lines, f"s.run({list(program.outputs)!r}, {{{', '.join(parts)}}})"])


def median_seconds(command: list[str], count: int) -> float:
    samples = []
    for _ in range(count + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        samples.append(time.perf_counter() - start)
    return statistics.median(samples[1:])


def import_seconds(code: str) -> float:
    """Return the total that ``-X importtime`` tells of top-level imports."""
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], check=True, capture_output=True, text=True
    ).stderr
    # A name that is not indented is imported by the program itself, or by the start of the interpreter.
    return sum(int(total) for total in re.findall(r"\|\s+(\d+) \| \S", told)) / 1e6


def pyperf_seconds(code: str, directory: Path) -> str:
    if shutil.which("pyperf") is None:
        return "not installed"
    file = directory / "pyperf.json"
    command = ["pyperf", "command", "-q", "-o", str(file), "--", sys.executable, *FLAGS, "-c", code]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    runs = json.loads(file.read_text("utf-8"))["benchmarks"][0]["runs"]
    return shown(statistics.median(value for run in runs for value in run.get("values", ())))


def shown(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1e3:.2f} ms" if seconds < 0.1 else f"{seconds * 1e3:.0f} ms"


def report(title: str, program: OnnxProgram, count: int, directory: Path) -> None:
    begin = time.perf_counter()
    uncounted, *starts = start_many(
        program, count + 1, Work(calls=1_000, call_seconds=1.0), process_seconds=_SECONDS
    )
    seconds = (time.perf_counter() - begin) / (count + 1)
    evidence = cold_start_at_most(0.9, 10.0, starts, uncounted=uncounted, gate_id="latency.cold_start")
    print(f"\n{title}: {program.path.stat().st_size:,} bytes, {count} starts, {seconds:.2f} s each in all")
    for measured in evidence.measurements:
        bounds = f"{shown(measured.lower)} to {shown(measured.upper)}"
        print(f"  {measured.metric:32} {shown(measured.value):>10}   {bounds}")
    print(f"  {'in slow spells':32} {evidence.details['came_in_slow_spells']!s:>10}")
    peaks = peak_memory_at_most(0.9, 1e12, [s.peak_bytes for s in starts], gate_id="latency.memory")
    measured = peaks.measurements[0]
    print(
        f"  {measured.metric:32} {(measured.value or 0) / 1e6:7.1f} MB   to {(measured.upper or 0) / 1e6:.1f}"
    )
    growth = growth_of(program).measurements[0]
    print(f"  {growth.metric:32} {growth.value:8.0f} B   to {growth.upper:.0f} in 1,000 calls")
    code = by_hand_code(program, directory)
    others: dict[str, Callable[[], str]] = {
        "python -c pass": lambda: shown(median_seconds([sys.executable, *FLAGS, "-c", "pass"], count)),
        "by hand, whole process": lambda: shown(median_seconds([sys.executable, *FLAGS, "-c", code], count)),
        "-X importtime, in all": lambda: shown(
            statistics.median(import_seconds("import numpy, onnxruntime") for _ in range(9))
        ),
        "pyperf command, whole process": lambda: pyperf_seconds(code, directory),
    }
    for label, measure in others.items():
        print(f"  {label:32} {measure():>10}")


def growth_of(program: Program) -> Evidence:
    starts = start_many(program, 5, _GROWTH, process_seconds=_SECONDS)
    resident, in_use = (
        [start.resident for start in starts],
        [start.in_use for start in starts if start.in_use],
    )
    return no_memory_growth(1000.0, resident, in_use, gate_id="latency.growth")


def report_leaks(directory: Path) -> None:
    print(
        "\nplanted leaks, 5 processes of 20,001 calls: growth told in 1,000 calls (bound from below, above)"
    )
    for leak in _LEAKS:
        (directory / "leaking.py").write_text(_SERVICE.format(bytes=leak), "utf-8")
        program = EntryProgram(entry="leaking:load", root=directory, paths=[directory])
        measured = growth_of(program).measurements[0]
        bounds = f"{measured.lower:,.0f} to {measured.upper:,.0f}"
        print(f"  {leak:4} bytes a call {measured.value:10,.0f} B   {bounds}")


def main() -> None:
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 46
    print(f"Python {sys.version.split()[0]}, onnxruntime {onnxruntime.__version__}, numpy {np.__version__}")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if len(sys.argv) > 1:
            report(Path(sys.argv[1]).name, program_of(Path(sys.argv[1])), count, directory)
        else:
            small = save(exported(classifier()), directory / "regression.onnx")
            report("logistic regression", program_of(small), count, directory)
            report("network", program_of(network(directory / "network.onnx")), count, directory)
        report_leaks(directory)


if __name__ == "__main__":
    main()
