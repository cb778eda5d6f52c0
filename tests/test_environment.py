"""What is recorded of a machine: enough to believe a number, nothing that tells whose machine it is."""

from __future__ import annotations

import getpass
import json
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_prodml import environment
from pytest_prodml.codec import dumps, loads
from pytest_prodml.environment import capture, environment_digest, thread_settings
from pytest_prodml.errors import ConfigurationError
from pytest_prodml.records import Environment

# As the kernel module and its open variant write it.
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version: 12\n"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (root@host)\n"
DEVICE = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 77\nGPU UUID: \t GPU-0a1b2c3d\nBus Location: \t 0000:18:00.0\n"


def machine(root: Path, **files: str) -> Path:
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return root


def test_this_machine_is_described_without_starting_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_options: Any) -> Any:
        raise AssertionError("a process was started")

    for name in ("Popen", "run", "check_output"):
        monkeypatch.setattr(subprocess, name, refuse)
    monkeypatch.setattr(os, "system", refuse)
    found = capture()
    assert found.python == f"{platform.python_implementation()} {platform.python_version()}"
    assert found.processor
    assert 1 <= found.processor_count <= (os.cpu_count() or 1)
    assert found.memory_bytes is None or found.memory_bytes > 2**20
    assert found.packages["pytest"] == pytest.__version__
    assert set(found.packages) <= set(environment.PACKAGES)
    assert loads(Environment, dumps(found)) == found


def test_it_does_not_tell_whose_machine_it_is() -> None:
    text = dumps(capture())
    for name in (socket.gethostname(), getpass.getuser(), str(Path.home()), str(Path.cwd())):
        # A container's user and host name may be as short as a word that stands elsewhere.
        if len(name) > 4:
            assert name not in text


def test_the_same_process_gives_the_same_digest_whatever_was_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = (
        "from pytest_prodml.environment import capture, environment_digest as digest\n"
        "before = digest(capture())\n"
        "import numpy, sklearn, onnxruntime\n"
        "print(before == digest(capture()), len(before))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "64"]
    first = environment_digest(capture())
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert environment_digest(capture()) != first


def test_capture_imports_no_library() -> None:
    code = (
        "import sys\nfrom pytest_prodml.environment import capture, thread_settings\ncapture(); thread_settings()\n"
        "print(sorted({'numpy', 'onnxruntime', 'sklearn', 'threadpoolctl', 'pandas'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_thread_settings_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MKL_NUM_THREADS", "\x1b[31m")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert capture().threads == {"OMP_NUM_THREADS": "1"} | {
        name: os.environ[name]
        for name in environment.THREAD_VARIABLES
        if name in os.environ and not name.startswith(("OMP_NUM", "MKL_NUM"))
    }
    assert thread_settings()["OMP_NUM_THREADS"] == "1"


def test_thread_pools_are_recorded_when_threadpoolctl_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    import threadpoolctl

    pools = [
        {"internal_api": "openblas", "prefix": "libopenblas", "filepath": "/home/me/lib.so", "num_threads": 7}
    ]
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: pools)
    assert thread_settings()["openblas (libopenblas)"] == "7"
    assert "/home/me" not in json.dumps(thread_settings())
    monkeypatch.delitem(sys.modules, "threadpoolctl")
    assert "openblas (libopenblas)" not in thread_settings()


@pytest.mark.parametrize(("version", "driver"), [(CLOSED, "NVIDIA 535.104.05"), (OPEN, "NVIDIA 570.86.15")])
def test_an_accelerator_is_read_from_the_driver_s_own_files(
    tmp_path: Path, version: str, driver: str
) -> None:
    root = machine(
        tmp_path,
        proc__driver__nvidia__version=version,
        **{f"proc__driver__nvidia__gpus__0000:{bus}:00.0__information": DEVICE for bus in ("18", "2a")},
    )
    found = capture(root=root)
    assert found.accelerator == "2 x NVIDIA H100 80GB HBM3"
    assert found.driver == driver
    assert "GPU-0a1b2c3d" not in dumps(found)


def test_without_a_driver_nothing_is_claimed(tmp_path: Path) -> None:
    found = capture(root=tmp_path)
    assert found.accelerator is None
    assert found.driver is None
    assert found.processor == "unknown"
    listed = machine(tmp_path, proc__driver__nvidia__version="something else")
    assert capture(root=listed).driver is None


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (
            "processor\t: 0\nmodel name\t: AMD EPYC 9654\nprocessor\t: 1\nmodel name\t: other\n",
            "AMD EPYC 9654",
        ),
        (
            "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n",
            "CPU implementer 0x41, CPU part 0xd0c",
        ),
    ],
)
def test_the_processor_is_read(tmp_path: Path, cpuinfo: str, expected: str) -> None:
    assert capture(root=machine(tmp_path, proc__cpuinfo=cpuinfo)).processor == expected


def test_a_container_is_named_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(environment.CONTAINER_VARIABLE, raising=False)
    assert capture(root=tmp_path).container_digest is None
    root = machine(
        tmp_path, **{"run__.containerenv": f'engine="podman-5"\nimageid="{"a" * 64}"\nrootless=1\n'}
    )
    assert capture(root=root).container_digest == "sha256:" + "a" * 64
    monkeypatch.setenv(environment.CONTAINER_VARIABLE, "sha256:" + "b" * 64)
    assert capture(root=root).container_digest == "sha256:" + "b" * 64
    monkeypatch.setenv(environment.CONTAINER_VARIABLE, "latest")
    with pytest.raises(ConfigurationError, match="PRODML_CONTAINER_DIGEST: expected sha256"):
        capture(root=root)


def test_providers_are_what_the_caller_knows() -> None:
    assert capture().providers == ()
    assert capture(providers=("CPUExecutionProvider",)).providers == ("CPUExecutionProvider",)
