"""What `prodml verify` costs as a whole process, beside bare Python and beside `openssl dgst -sha256`.

Makes a key, a model file of the given size and a signed certificate, then runs the commands in turn::

    python benchmarks/verify.py [MEGABYTES] [RUNS]
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Without byte code every start compiles again, which no deployment does.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
PRODML = [sys.executable, "-c", "from pytest_prodml.cli import main; raise SystemExit(main())"]

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from certificate_factory import Desk  # noqa: E402 - stands beside the tests


def timed(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 9
    with tempfile.TemporaryDirectory() as name:
        desk = Desk(Path(name))
        desk.certify()
        small = [*PRODML, *desk.arguments()]
        large_root = Path(name) / "large"
        large_root.mkdir()
        large_desk = Desk(large_root)
        block = os.urandom(2**20)
        with large_desk.model.open("wb") as file:
            for _ in range(megabytes):
                file.write(block)
        large_desk.certify()
        large = [*PRODML, *large_desk.arguments()]
        commands = {"python -c pass": [sys.executable, "-c", "pass"], "prodml verify, 4 KB model": small}
        commands[f"prodml verify, {megabytes} MB model"] = large
        if shutil.which("openssl"):
            commands[f"openssl dgst -sha256, {megabytes} MB"] = [
                "openssl",
                "dgst",
                "-sha256",
                str(large_desk.model),
            ]
        for command in commands.values():
            timed(command)
        times: dict[str, list[float]] = {label: [] for label in commands}
        for _ in range(runs):
            for label, command in commands.items():
                times[label].append(timed(command))
    print(f"{runs} rounds, Python {sys.version.split()[0]}")
    for label, found in times.items():
        print(f"{label:34} {statistics.median(found) * 1000:8.1f} ms (median), {min(found) * 1000:.1f} (min)")


if __name__ == "__main__":
    main()
