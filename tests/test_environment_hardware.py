"""The machine as durations see it: made up ones, and this one."""

from __future__ import annotations

import getpass
import socket
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from pytest_prodml.codec import dumps
from pytest_prodml.environment import capture
from pytest_prodml.environment.hardware import hardware, quota
from pytest_prodml.policy.hardware import fingerprint

INTEL = "\n\n".join(
    f"""processor\t: {number}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8481C
stepping\t: 8
cpu MHz\t\t: {2700 + number}.000
physical id\t: {number // 4}
core id\t\t: {number % 4 // 2}
flags\t\t: fpu sse4_2 avx2 fma avx512f avx512_vnni amx_tile amx_int8 hypervisor"""
    for number in range(8)
)
ARM = "processor\t: 0\nFeatures\t: fp asimd sve sve2 bf16\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd4f\nCPU revision\t: 1\n"


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def test_an_intel_server(tmp_path: Path) -> None:
    cpufreq = "sys/devices/system/cpu/cpu0/cpufreq/"
    found = hardware(
        machine(
            tmp_path,
            {
                "proc/cpuinfo": INTEL,
                cpufreq + "scaling_governor": "performance\n",
                cpufreq + "cpuinfo_max_freq": "3800000\n",
                "sys/devices/system/node/node0/x": "",
                "sys/devices/system/node/node1/x": "",
                "sys/devices/system/node/possible": "0-1",
            },
        )
    )
    assert (found.vendor, found.family, found.model, found.stepping) == ("GenuineIntel", "6", "143", "8")
    assert found.flags == ("amx_int8", "amx_tile", "avx2", "avx512_vnni", "avx512f", "fma", "sse4_2")
    assert (found.sockets, found.cores, found.threads) == (2, 4, 8)
    assert (found.governor, found.max_frequency_mhz, found.numa_nodes) == ("performance", 3800, 2)
    assert found.is_virtual is True
    assert found.accelerators == ()


def test_an_arm_server_and_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    found = hardware(machine(tmp_path / "arm", {"proc/cpuinfo": ARM}))
    assert (found.vendor, found.model, found.stepping) == ("0x41", "0xd4f", "1")
    assert found.flags == ("asimd", "bf16", "sve", "sve2")
    assert found.is_virtual is False
    for text in ("", "nonsense", "processor", "\n\n\n", "flags : avx2"):
        nothing = hardware(machine(tmp_path / "none", {"proc/cpuinfo": text}))
        assert (nothing.vendor, nothing.model, nothing.flags, nothing.flags_digest) == (None, None, (), None)
        assert nothing.threads


def test_the_frequency_of_the_moment_is_no_part_of_it(tmp_path: Path) -> None:
    first = hardware(machine(tmp_path, {"proc/cpuinfo": INTEL}))
    assert hardware(machine(tmp_path, {"proc/cpuinfo": INTEL.replace("2700.000", "800.000")})) == first


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/a/b\n"}, None),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4.0),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/a\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/a\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "9 0\n"}, None),
        ({"proc/self/cgroup": "nonsense\n"}, None),
    ],
)
def test_the_quota_of_a_container(tmp_path: Path, files: dict[str, str], expected: float | None) -> None:
    assert quota(machine(tmp_path, files)) == expected


class Nvml(types.ModuleType):
    """What nvidia-ml-py answers on a machine with two devices, one of them partitioned."""

    def __init__(self, **broken: Any) -> None:
        super().__init__("pynvml")
        self.shut = 0
        self.__dict__.update(broken)

    def nvmlInit(self) -> None:  # noqa: N802 - the library's name
        pass

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.shut += 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, place: int) -> int:  # noqa: N802
        return place

    def nvmlDeviceGetName(self, _device: int) -> bytes:  # noqa: N802
        return b"NVIDIA H100 80GB HBM3"

    def nvmlDeviceGetMemoryInfo(self, _device: int) -> Any:  # noqa: N802
        return types.SimpleNamespace(total=80 * 2**30)

    def nvmlDeviceGetCudaComputeCapability(self, _device: int) -> tuple[int, int]:  # noqa: N802
        return 9, 0

    def nvmlDeviceGetMigMode(self, device: int) -> tuple[int, int]:  # noqa: N802
        if device == 0:
            raise RuntimeError("not supported")
        return 1, 1

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "570.86.15"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:  # noqa: N802
        return 12080


def test_devices_are_asked_by_their_own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    root = machine(tmp_path, {"proc/driver/nvidia/version": "NVRM version: x"})
    first, second = hardware(root).accelerators
    assert first.name == "NVIDIA H100 80GB HBM3"
    assert (first.memory_bytes, first.compute_capability) == (80 * 2**30, "9.0")
    assert (first.driver, first.cuda) == ("570.86.15", "12.8")
    assert (first.is_partitioned, second.is_partitioned) == (None, True)
    assert library.shut == 1
    # Where the kernel has no such driver, nobody is asked.
    assert hardware(tmp_path / "elsewhere").accelerators == ()
    assert library.shut == 1


def test_a_library_that_fails_is_no_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("NVML Shared Library Not Found")

    root = machine(tmp_path, {"proc/driver/nvidia/version": "NVRM version: x"})
    for name in ("nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetName"):
        monkeypatch.setitem(sys.modules, "pynvml", Nvml(**{name: fail}))
        assert hardware(root).accelerators == ()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert hardware(root).accelerators == ()


def test_this_machine_has_one_fingerprint_and_no_name() -> None:
    first, second = capture(), capture()
    assert first == second
    assert fingerprint(first) == fingerprint(second)
    text = dumps(first)
    for name in (socket.gethostname(), getpass.getuser()):
        assert len(name) <= 4 or name not in text
