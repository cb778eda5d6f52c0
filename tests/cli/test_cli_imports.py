"""A deployment needs neither pytest nor anything scientific: what the command loads is listed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from certificate_factory import Desk, ready_with_waiver

FORBIDDEN = {
    "numpy",
    "pandas",
    "scipy",
    "sklearn",
    "pytest",
    "_pytest",
    "jinja2",
    "onnxruntime",
    "hypothesis",
    "fairlearn",
    "pandera",
}
LIST_MODULES = """
import sys
from pytest_prodml.cli import main
code = main(sys.argv[1:])
print(sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""


def modules(script: str, *arguments: str) -> set[str]:
    """Run a script that prints its modules to standard error and return them."""
    finished = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    return set(finished.stderr.strip().strip("[]").replace("'", "").split(", "))


def test_verify_loads_nothing_heavy(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.certify(ready_with_waiver(desk))
    loaded = modules(LIST_MODULES, *desk.arguments("--waiver-key", desk.public("risk")))
    assert "cryptography" in loaded, "it really verified"
    assert loaded & FORBIDDEN == set()
    assert not loaded & {"socket", "ssl", "http", "urllib3", "requests"}, "nothing that could dial out"


def test_importing_the_command_line_loads_almost_nothing() -> None:
    script = "import sys, pytest_prodml.cli; print(sorted(sys.modules), file=sys.stderr)"
    loaded = modules(script)
    assert "pytest_prodml.cli" in loaded
    ours = {name for name in loaded if name.startswith("pytest_prodml")}
    assert ours == {"pytest_prodml", "pytest_prodml.cli"}
    assert not {name.partition(".")[0] for name in loaded} & (FORBIDDEN | {"cryptography", "argparse"})
