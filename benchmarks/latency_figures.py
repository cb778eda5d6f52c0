"""The figures and the table of docs/explanation/latency.md, drawn from the evidence of a run on this machine.

A network of 2 x 256 in ONNX is judged by three gates, and the same network with a fault (2 % of calls take
5 ms longer) by two; the run's own record is read, and its distributions are drawn as the certificate does::

    python benchmarks/latency_figures.py [docs/explanation]
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from pytest_prodml.codec import decode
from pytest_prodml.records import Evidence
from pytest_prodml.render.charts import ecdf
from pytest_prodml.render.model import Chart

FILES = {
    "prodml.toml": """
policy = "policy.toml"
model.path = "model.onnx"
data = { test = "test.csv", target = "y" }
""",
    "policy.toml": 'name = "figures"\nversion = "1"\n[require]\ngates = ["latency.*"]\n',
    "test_latency.py": """
import random, time
import pytest

def test_within_5_ms(ml_latency):
    ml_latency.quantile_at_most(0.99, "5 ms")

def test_beyond_5_us(ml_latency):
    ml_latency.quantile_at_most(0.99, "5 us")

def test_few_calls(ml_latency):
    ml_latency.quantile_at_most(0.99, "5 ms", calls=500)

class TestWithAFault:
    @pytest.fixture
    def prodml_model(self, prodml_model):
        from pytest_prodml.adapters import bind

        draw = random.Random(4)

        def model(rows):
            if draw.random() < 0.02:
                until = time.perf_counter() + 0.005
                while time.perf_counter() < until:
                    pass
            return prodml_model.predict_score(rows)

        return bind(model, "model.onnx")

    def test_p99_with_a_fault(self, ml_latency):
        ml_latency.quantile_at_most(0.99, "4 ms")

    def test_p50_with_a_fault(self, ml_latency):
        ml_latency.quantile_at_most(0.5, "4 ms")
""",
}


def model() -> tuple[bytes, str]:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(0)
    sizes = [8, 256, 256, 1]
    weights = [draw.normal(size=pair).astype(np.float32) / 16 for pair in itertools.pairwise(sizes)]
    nodes, before = [], "X"
    for place in range(len(weights)):
        nodes.append(helper.make_node("MatMul", [before, f"W{place}"], [f"Z{place}"]))
        last = place == len(weights) - 1
        nodes.append(
            helper.make_node("Sigmoid" if last else "Relu", [f"Z{place}"], ["score" if last else f"A{place}"])
        )
        before = f"A{place}"
    graph = helper.make_graph(
        nodes,
        "figures",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 8])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(value, f"W{place}") for place, value in enumerate(weights)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    rows = draw.normal(size=(500, 8)).round(4)
    lines = [
        ",".join([*(f"c{place}" for place in range(8)), "y"]),
        *(",".join(map(str, [*row, 0])) for row in rows),
    ]
    return made.SerializeToString(), "\n".join(lines) + "\n"


def svg(chart: Chart) -> str:
    """Write a chart as a file: light, as a page without our style sheet shows it."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {chart.width} {chart.height}" role="img">',
        f"<title>{escape(chart.title)}</title><desc>{escape(chart.description)}</desc>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for item in chart.marks:
        attributes = " ".join(f"{name}={quoteattr(value)}" for name, value in item.attributes)
        parts.append(f"<{item.tag} {attributes}>{escape(item.text or '')}</{item.tag}>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, table = model()
        (folder / "model.onnx").write_bytes(data)
        (folder / "test.csv").write_text(table, encoding="utf-8")
        for file, text in FILES.items():
            (folder / file).write_text(text, encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--prodml",
            "--prodml-no-sign",
            "-p",
            "no:cacheprovider",
        ]
        done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
        [log] = (folder / "prodml-report" / "evidence").glob("*.jsonl")
        found: dict[str, Evidence] = {}
        for line in log.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            run = entry.get("run") or entry.get("gateRun") or entry
            if isinstance(run, dict) and run.get("evidence"):
                found[run["gateId"]] = decode(Evidence, run["evidence"])
    if not found:
        sys.exit(done.stdout + done.stderr)
    print(
        "| gate | claim | calls (looks taken of planned) | quantile, with bounds | verdict |\n"
        + "|---" * 5
        + "|"
    )
    for gate_id, evidence in found.items():
        measured, criterion = evidence.measurements[0], evidence.criteria[0]
        if measured.upper is not None and measured.upper <= criterion.limit:
            verdict = "pass"
        elif measured.lower is not None and measured.lower > criterion.limit:
            verdict = "fail"
        else:
            verdict = f"inconclusive: {measured.note}"
        bounds = [
            ("-" if value is None else f"{value * 1e3:.3f}") for value in (measured.lower, measured.upper)
        ]
        looks = evidence.details["looks"]
        planned = looks["planned"] if isinstance(looks, dict) else 1
        print(
            f"| {gate_id} | {measured.metric} at most {criterion.limit * 1e3:g} ms | {measured.n_samples:,} "
            f"({evidence.details['looks_taken']} of {planned}) | {(measured.value or 0) * 1e3:.3f} ms "
            f"[{bounds[0]}, {bounds[1]}] | {verdict} |"
        )
        chart = ecdf(evidence.details["ecdf"])
        if out is not None and chart is not None and gate_id in FIGURES:
            (out / FIGURES[gate_id]).write_text(svg(chart), encoding="utf-8")


FIGURES = {
    "latency.within_5_ms": "latency-within.svg",
    "latency.p99_with_a_fault": "latency-with-a-fault.svg",
}


if __name__ == "__main__":
    main()
