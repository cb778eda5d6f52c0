"""What the clock adds to a call: ours beside pytest-benchmark, pyperf and MLPerf LoadGen, in one run.

The call spins on the processor for about 5, 20 and 150 microseconds. Each method times it in turn with a bare
loop (two readings of the clock around the call, and nothing else), call by call, so that a machine whose
speed wanders is fair to both; what is printed is the median of the method by that of the bare calls between.
pyperf times in processes of its own, without bare calls between: its ratio wanders with the machine::

    pip install "pytest-prodml[latency]" pyperf mlcommons-loadgen
    python benchmarks/latency_overhead.py [REPETITIONS]

pyperf and LoadGen are left out where they are not installed. LoadGen calls back into Python for each query.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

#: Turns of the loop that a call makes, for about 5, 20 and 150 microseconds.
CALLS = 4000

TESTS = """
import itertools, json, pathlib, statistics, time
import pytest
from pytest_prodml.checks.latency.conditions import Conditions
from pytest_prodml.plugin import bench

TURNS = {turns}
CYCLE = itertools.cycle
CALLS = {calls}
OUT = pathlib.Path({out!r})

def make(turns):
    def work():
        total = 0
        for number in range(turns):
            total += number
        return total
    return work

def store(name, turns, samples, bare):
    with OUT.open("a") as file:
        file.write(json.dumps([name, turns, statistics.median(samples), statistics.median(bare)]) + "\\n")

def timed_bare(work, bare, clock=time.perf_counter):
    start = clock()
    work()
    bare.append(clock() - start)

@pytest.mark.parametrize("turns", TURNS)
@pytest.mark.parametrize("again", range({repetitions}))
class TestInTurn:
    def test_prodml(self, request, turns, again):
        work, bare = make(turns), []

        class Between:
            def __init__(self, calls):
                self.turn = CYCLE(calls)
            def __iter__(self):
                return self
            def __next__(self):
                timed_bare(work, bare)
                return next(self.turn)

        with pytest.MonkeyPatch.context() as patch:
            # Between two timed calls the next one is chosen: the place for a bare one.
            patch.setattr(bench.itertools, "cycle", Between)
            timed = bench.time_calls(request, [work], sizes=(CALLS,), base=Conditions())
        store("pytest-prodml", turns, timed.samples, bare[-CALLS:])

    def test_pytest_benchmark(self, benchmark, turns, again):
        work, bare = make(turns), []
        benchmark.pedantic(work, setup=lambda: timed_bare(work, bare), rounds=CALLS, iterations=1)
        store("pytest-benchmark (pedantic)", turns, benchmark.stats.stats.data, bare)

    def test_loadgen(self, turns, again):
        loadgen = pytest.importorskip("mlperf_loadgen")
        work, bare = make(turns), []

        def issue(queries):
            for query in queries:
                work()
                loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(query.id, 0, 0)])
                timed_bare(work, bare)

        sut = loadgen.ConstructSUT(issue, lambda: None)
        library = loadgen.ConstructQSL(64, 64, lambda _: None, lambda _: None)
        settings = loadgen.TestSettings()
        settings.scenario = loadgen.TestScenario.SingleStream
        settings.mode = loadgen.TestMode.PerformanceOnly
        settings.min_query_count = CALLS
        settings.max_query_count = CALLS
        settings.min_duration_ms = 0
        output = loadgen.LogOutputSettings()
        output.outdir = str(OUT.parent)
        output.copy_summary_to_stdout = False
        logs = loadgen.LogSettings()
        logs.log_output = output
        loadgen.StartTestWithLogSettings(sut, library, settings, logs)
        loadgen.DestroyQSL(library)
        loadgen.DestroySUT(sut)
        summary = (OUT.parent / "mlperf_log_summary.txt").read_text()
        [line] = [line for line in summary.splitlines() if line.startswith("50.00 percentile latency")]
        store("MLPerf LoadGen (SingleStream)", turns, [int(line.split(":")[1]) / 1e9], bare)

def test_clock():
    store("(ours, a call of nothing)", 0, [bench.clock_overhead()], [1.0])
"""


def spin(turns: int) -> float:
    start = time.perf_counter()
    for _ in range(20):
        total = 0
        for number in range(turns):
            total += number
    return (time.perf_counter() - start) / 20


def calibrated(seconds: float) -> int:
    turns = 10
    while True:
        each = min(spin(turns) for _ in range(50))
        if each >= seconds:
            return max(1, round(turns * seconds / each))
        turns *= 2


def pyperf_median(turns: int, folder: Path) -> float | None:
    out = folder / f"pyperf-{turns}.json"
    lines = (
        "def work():",
        "    total = 0",
        f"    for number in range({turns}):",
        "        total += number",
        "    return total",
    )
    command = [
        sys.executable,
        "-m",
        "pyperf",
        "timeit",
        "--fast",
        "-o",
        str(out),
        "-s",
        "\n".join(lines),
        "work()",
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        return None
    found: Any = json.loads(out.read_text(encoding="utf-8"))
    return statistics.median(
        value for run in found["benchmarks"][0]["runs"] for value in run.get("values", ())
    )


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    targets = (5e-6, 20e-6, 150e-6)
    turns = [calibrated(seconds) for seconds in targets]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out = folder / "out.jsonl"
        text = TESTS.format(turns=turns, calls=CALLS, out=str(out), repetitions=repetitions)
        (folder / "test_overhead.py").write_text(text, encoding="utf-8")
        environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "benchmark", "-p", "pytest_prodml.plugin"]
        command += ["-p", "no:cacheprovider", "--benchmark-columns=median", "test_overhead.py"]
        done = subprocess.run(
            command, cwd=folder, env=environment, check=False, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        found: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for line in out.read_text(encoding="utf-8").splitlines():
            label, count, value, bare = json.loads(line)
            found.setdefault((label, count), []).append((value, bare))
        alone = {count: pyperf_median(count, folder) for count in turns}
    bare = {
        count: statistics.median(b for (_, c), pairs in found.items() if c == count for _, b in pairs)
        for count in turns
    }
    print("| | " + " | ".join(f"{bare[count] * 1e6:.1f} us call" for count in turns) + " |")
    print("|---" * (len(turns) + 1) + "|")
    for label in dict.fromkeys(label for label, count in found if count):
        cells = []
        for count in turns:
            ratio = statistics.median(value / beside for value, beside in found[label, count])
            cells.append(f"{ratio - 1:+.1%}")
        print(f"| {label} | " + " | ".join(cells) + " |")
    if all(value is not None for value in alone.values()):
        told = (f"({alone[count] / bare[count] - 1:+.1%})" for count in turns)
        print("| pyperf timeit (means, in other processes) | " + " | ".join(told) + " |")
    [(nothing, _)] = found["(ours, a call of nothing)", 0]
    print(f"\na call of nothing, as ours is timed: {nothing * 1e9:.0f} ns")


if __name__ == "__main__":
    main()
