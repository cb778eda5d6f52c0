"""What the clock adds to a call: ours beside pytest-benchmark, pyperf and MLPerf LoadGen, in one run.

The call spins on the processor for about 5, 20 and 150 microseconds. All but pyperf time it in turn, in one
process, several times; pyperf starts processes of its own. Each row is the median of the medians, and what it
adds to the bare loop (two readings of the clock around the call, and nothing else)::

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
import json, os, pathlib, statistics, sys, time
import pytest
from pytest_prodml.checks.latency.conditions import Conditions
from pytest_prodml.plugin.bench import clock_overhead, time_calls

TURNS = {turns}
CALLS = {calls}
OUT = pathlib.Path({out!r})

def make(turns):
    def work():
        total = 0
        for number in range(turns):
            total += number
        return total
    return work

def store(name, turns, samples):
    with OUT.open("a") as file:
        file.write(json.dumps([name, turns, statistics.median(samples)]) + "\\n")

@pytest.mark.parametrize("turns", TURNS)
@pytest.mark.parametrize("again", range({repetitions}))
class TestInTurn:
    def test_bare(self, turns, again):
        work, clock, samples = make(turns), time.perf_counter_ns, []
        for _ in range(CALLS + 500):
            start = clock(); work(); end = clock()
            samples.append((end - start) / 1e9)
        store("bare loop", turns, samples[500:])

    def test_prodml(self, request, turns, again):
        timed = time_calls(request, [make(turns)], sizes=(CALLS,), base=Conditions())
        store("pytest-prodml", turns, timed.samples)

    def test_pytest_benchmark(self, benchmark, turns, again):
        benchmark.pedantic(make(turns), rounds=CALLS, iterations=1, warmup_rounds=500)
        store("pytest-benchmark (pedantic)", turns, benchmark.stats.stats.data)

    def test_pytest_benchmark_calibrated(self, benchmark, turns, again):
        benchmark(make(turns))
        store("pytest-benchmark (calibrated)", turns, benchmark.stats.stats.data)

    def test_loadgen(self, turns, again):
        loadgen = pytest.importorskip("mlperf_loadgen")
        work, samples, last = make(turns), [], [None]
        clock = time.perf_counter_ns

        def issue(queries):
            for query in queries:
                work()
                loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(query.id, 0, 0)])

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
        store("MLPerf LoadGen (SingleStream)", turns, [int(line.split(":")[1]) / 1e9])

def test_clock():
    store("(ours, a call of nothing)", 0, [clock_overhead()])
"""


def calibrated(seconds: float) -> int:
    turns = 10
    while True:
        start = time.perf_counter()
        for _ in range(200):
            total = 0
            for number in range(turns):
                total += number
        each = (time.perf_counter() - start) / 200
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
        found: dict[tuple[str, int], list[float]] = {}
        for line in out.read_text(encoding="utf-8").splitlines():
            label, count, value = json.loads(line)
            found.setdefault((label, count), []).append(value)
        for count in turns:
            value = pyperf_median(count, folder)
            if value is not None:
                found["pyperf timeit (mean of many)", count] = [value]
    labels = list(dict.fromkeys(label for label, _ in found if not label.startswith("(")))
    bare = {count: statistics.median(found["bare loop", count]) for count in turns}
    print("| | " + " | ".join(f"{bare[count] * 1e6:.1f} us call" for count in turns) + " |")
    print("|---" * (len(turns) + 1) + "|")
    for label in labels:
        cells = []
        for count in turns:
            value = statistics.median(found[label, count]) if (label, count) in found else None
            cells.append("-" if value is None else f"{value * 1e6:.2f} us ({value / bare[count] - 1:+.1%})")
        print(f"| {label} | " + " | ".join(cells) + " |")
    [nothing] = found["(ours, a call of nothing)", 0]
    print(f"\na call of nothing, as ours is timed: {nothing * 1e9:.0f} ns")


if __name__ == "__main__":
    main()
