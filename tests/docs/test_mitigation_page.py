"""The page on mitigation, done as it is written: the numbers that it prints, and the certificate."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "mitigation.md").read_text(encoding="utf-8")
FILE = re.compile(r'^```(?:python|toml) title="(.*?)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)


def run(directory: Path, script: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=directory,
        env={"PATH": path, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d{3}", text)]


def test_the_page(tmp_path: Path) -> None:
    for name, text in FILE.findall(PAGE):
        (tmp_path / name).write_text(text, encoding="utf-8")
    data = ROOT / "example_project" / "data" / "credit_default.csv.gz"
    (tmp_path / "data").mkdir()
    shutil.copy(data, tmp_path / "data")
    trained = run(tmp_path, "python mitigate.py")
    assert trained.returncode == 0, trained.stderr
    [shown] = re.findall(r"^\$ python mitigate.py\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
    for told, found in zip(numbers(shown), numbers(trained.stdout), strict=True):
        assert abs(told - found) < 0.02, (
            trained.stdout
        )  # other versions of scikit-learn fit a little otherwise
    [commands] = re.findall(r"^```bash\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
    certified = run(tmp_path, commands)
    assert certified.returncode == 0, certified.stdout + certified.stderr
    assert "ACCEPTED: credit-mitigated" in certified.stdout
