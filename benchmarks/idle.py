"""What an idle pytest-prodml costs: `pytest` on one trivial test, with the plugin and without.

Both commands run in turn, so that a machine whose speed drifts is fair to both. Prints medians and the median
of the pairwise ratios; needs nothing but this package and pytest::

    python benchmarks/idle.py [RUNS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def timed(command: list[str], directory: Path) -> float:
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    # Without byte code every start compiles again, which no project does.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    start = time.perf_counter()
    subprocess.run(command, cwd=directory, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    plain = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    with_plugin = [*plain, "-p", "pytest_prodml.plugin"]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "test_one.py").write_text("def test_one(): pass\n", encoding="utf-8")
        # Once each, so that byte code exists and files are cached.
        timed(plain, directory), timed(with_plugin, directory)
        pairs = [(timed(plain, directory), timed(with_plugin, directory)) for _ in range(runs)]
    without = statistics.median(first for first, _ in pairs)
    added = statistics.median(second - first for first, second in pairs)
    ratio = statistics.median(second / first for first, second in pairs)
    print(f"{runs} pairs, Python {sys.version.split()[0]}")
    print(f"pytest alone          {without * 1000:7.1f} ms (median)")
    print(f"pytest-prodml, idle   {added * 1000:+7.1f} ms (median of the differences), ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
