"""Seconds and peak memory of one contract over a Parquet file, engine by engine, each in its own process.

Usage: python benchmarks/data_scan.py [ROWS ...]     (default 1000000)
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WAYS = ("polars", "duckdb", "pandera polars", "pandera ibis")
FLOATS = [f"f{place}" for place in range(10)]
INTEGERS = [f"i{place}" for place in range(5)]
TEXTS = [f"t{place}" for place in range(5)]


def write(path: Path, rows: int) -> None:
    import numpy as np
    import polars as pl

    random = np.random.default_rng(7)
    words = np.array([f"word {place}" for place in range(100)])
    columns: dict[str, Any] = {name: random.random(rows) for name in FLOATS}
    columns |= {name: random.integers(0, 1000, rows) for name in INTEGERS}
    columns |= {name: words[random.integers(0, 100, rows)] for name in TEXTS}
    pl.DataFrame(columns).write_parquet(path)


def fused(path: Path, engine: str) -> int:
    from pytest_prodml.adapters.engines.expressions import (
        And,
        Compare,
        CountWhere,
        Missing,
        Not,
        Relation,
    )
    from pytest_prodml.adapters.engines.opening import open_table

    table = open_table(path, name="rows", engine=engine)
    asked = {f"missing {name}": CountWhere(Missing(name)) for name in FLOATS + INTEGERS + TEXTS}
    asked |= {
        f"range {name}": CountWhere(
            And(
                (
                    Not(Missing(name)),
                    Not(And((Compare(name, Relation.AT_LEAST, 0), Compare(name, Relation.AT_MOST, most)))),
                )
            )
        )
        for names, most in ((FLOATS, 1), (INTEGERS, 999))
        for name in names
    }
    counts = table.engine.aggregate(asked)
    return sum(counts.values()) + table.engine.scans - 1


def pandera(path: Path, way: str) -> int:
    if way == "pandera polars":
        import pandera.polars as pa
        import polars as pl
        from pandera.config import ValidationDepth, config_context

        rows: Any = pl.scan_parquet(path)
        types: tuple[Any, ...] = (float, int, str)
    else:
        import ibis
        import ibis.expr.datatypes as dt
        import pandera.ibis as pa
        from pandera.config import ValidationDepth, config_context

        rows = ibis.duckdb.connect().read_parquet(path)
        types = (dt.float64, dt.int64, dt.string)
    columns = {name: pa.Column(types[0], pa.Check.in_range(0, 1)) for name in FLOATS}
    columns |= {name: pa.Column(types[1], pa.Check.in_range(0, 999)) for name in INTEGERS}
    columns |= {name: pa.Column(types[2]) for name in TEXTS}
    with config_context(validation_depth=ValidationDepth.SCHEMA_AND_DATA):
        pa.DataFrameSchema(columns).validate(rows, lazy=True)
    return 0


def measure(way: str, path: Path) -> None:
    start = time.perf_counter()
    violations = pandera(path, way) if way.startswith("pandera") else fused(path, way)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": round(seconds, 2), "peak_mb": round(peak), "violations": violations}))


def main(sizes: list[int]) -> None:
    for rows in sizes:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "rows.parquet"
            subprocess.run([sys.executable, __file__, "--write", str(path), str(rows)], check=True)
            for way in WAYS:
                done = subprocess.run(
                    [sys.executable, "-W", "ignore", __file__, "--measure", way, str(path)],
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                told = done.stdout.strip().splitlines() or done.stderr.strip().splitlines()[-1:]
                print(f"{rows:>12,} rows  {way:<16} {told[-1]}", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--write", path, rows]:
            write(Path(path), int(rows))
        case ["--measure", way, path]:
            measure(way, Path(path))
        case sizes:
            main([int(size) for size in sizes] or [1_000_000])
