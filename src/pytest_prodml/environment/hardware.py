"""The machine itself -> `Hardware`: what a duration depends on, from the operating system's own files.

Nothing here changes while a process runs: no temperature, no frequency of the moment. No serial number, no
name. What can not be read is unknown, which is a value.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from pytest_prodml.records import Accelerator, Hardware

#: Instructions that numeric libraries choose their code by.
_NOTABLE = frozenset(
    {
        "amx_bf16", "amx_int8", "amx_tile", "asimd", "asimddp", "asimdhp", "avx", "avx2", "avx512_bf16",
        "avx512_fp16", "avx512_vnni", "avx512bw", "avx512dq", "avx512f", "avx512vl", "avx_vnni", "bf16",
        "f16c", "fma", "i8mm", "neon", "sse4_2", "sve", "sve2",
    }
)  # fmt: skip
#: Distributions that decide how fast a model runs.
RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "tensorrt", "torch")
_MOST_PROCESSORS = 4096


def hardware(root: Path) -> Hardware:
    """Describe the machine below `root`, which holds ``proc`` and ``sys``."""
    entries = list(_processors(root))
    first = entries[0] if entries else _elsewhere()
    flags = sorted(set((first.get("flags") or first.get("Features") or "").split()))
    physical = {(item.get("physical id", "0"), item["core id"]) for item in entries if "core id" in item}
    sockets = {item["physical id"] for item in entries if "physical id" in item}
    return Hardware(
        vendor=_known(first.get("vendor_id") or first.get("CPU implementer")),
        family=_known(first.get("cpu family") or first.get("CPU architecture")),
        model=_known(first.get("model") or first.get("CPU part")),
        stepping=_known(first.get("stepping") or first.get("CPU revision")),
        flags=tuple(name for name in flags if name in _NOTABLE),
        flags_digest=hashlib.sha256(" ".join(flags).encode()).hexdigest() if flags else None,
        sockets=len(sockets) or None,
        cores=len(physical) or _cores_elsewhere(entries),
        threads=len(entries) or os.cpu_count(),
        quota=quota(root),
        governor=_line(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        max_frequency_mhz=_megahertz(root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"),
        is_virtual="hypervisor" in flags if flags else None,
        numa_nodes=_numa_nodes(root),
        accelerators=_accelerators(root),
        runtimes=_runtimes(),
    )


def quota(root: Path) -> float | None:
    """Return how many processors the control group's quota allows, and None where it sets none."""
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        _, names, own = [*line.split(":", 2), "", ""][:3]
        if not names:
            folders = [root / "sys/fs/cgroup" / own.lstrip("/"), root / "sys/fs/cgroup"]
            found = [_quota_of(*(_line(folder / "cpu.max") or "").partition(" ")[::2]) for folder in folders]
        elif "cpu" in names.split(","):
            folders = [root / "sys/fs/cgroup/cpu" / own.lstrip("/"), root / "sys/fs/cgroup/cpu"]
            found = [
                _quota_of(_line(folder / "cpu.cfs_quota_us") or "", _line(folder / "cpu.cfs_period_us") or "")
                for folder in folders
            ]
        else:
            continue
        known = [number for number in found if number is not None]
        if known:
            return min(known)
    return None


def _quota_of(limit: str, period: str) -> float | None:
    if limit.isdigit() and period.isdigit() and int(period) > 0:
        return int(limit) / int(period)
    return None


def _processors(root: Path) -> Iterator[dict[str, str]]:
    """Yield the fields of each processor of ``/proc/cpuinfo``."""
    count = 0
    for block in (_text(root / "proc/cpuinfo") or "").split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines())
        entry = {name.strip(): value.strip() for name, colon, value in pairs if colon}
        if "processor" in entry and count < _MOST_PROCESSORS:
            count += 1
            yield entry


def _elsewhere() -> dict[str, str]:
    """Ask py-cpuinfo where the operating system has no such file; it takes a fifth of a second."""
    if Path("/proc/cpuinfo").exists():
        return {}
    try:
        told: Mapping[str, Any] = import_module("cpuinfo").get_cpu_info()
    except Exception:  # noqa: BLE001 - an optional package on a system that we do not know
        return {}
    names = {"vendor_id": "vendor_id_raw", "cpu family": "family", "model": "model", "stepping": "stepping"}
    found = {name: str(told[key]) for name, key in names.items() if told.get(key) is not None}
    found["flags"] = " ".join(map(str, told.get("flags") or ()))
    return found


def _cores_elsewhere(entries: list[dict[str, str]]) -> int | None:
    if entries:
        return None
    try:
        count = import_module("psutil").cpu_count(logical=False)
    except Exception:  # noqa: BLE001 - an optional package
        return None
    return count if isinstance(count, int) else None


def _numa_nodes(root: Path) -> int | None:
    with suppress(OSError):
        folder = root / "sys/devices/system/node"
        return sum(re.fullmatch(r"node[0-9]+", item.name) is not None for item in folder.iterdir()) or None
    return None


def _accelerators(root: Path) -> tuple[Accelerator, ...]:
    """Ask NVIDIA's management library, where there is a device and the library's Python package."""
    if not (root / "proc/driver/nvidia/version").exists():
        return ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            library = import_module("pynvml")
            library.nvmlInit()
    except Exception:  # noqa: BLE001 - not installed, or no library below it: what is not told is unknown
        return ()
    try:
        return tuple(_accelerator(library, place) for place in range(int(library.nvmlDeviceGetCount())))
    except Exception:  # noqa: BLE001 - the library's errors derive from Exception directly
        return ()
    finally:
        with suppress(Exception):
            library.nvmlShutdown()


def _accelerator(library: Any, place: int) -> Accelerator:  # noqa: ANN401 - pynvml has no types
    device = library.nvmlDeviceGetHandleByIndex(place)

    def ask(name: str, *arguments: object) -> Any:  # noqa: ANN401
        try:
            return getattr(library, name)(*arguments)
        except Exception:  # noqa: BLE001 - not every device answers everything
            return None

    memory = ask("nvmlDeviceGetMemoryInfo", device)
    capability = ask("nvmlDeviceGetCudaComputeCapability", device)
    mode = ask("nvmlDeviceGetMigMode", device)
    cuda = ask("nvmlSystemGetCudaDriverVersion_v2")
    return Accelerator(
        name=_decoded(library.nvmlDeviceGetName(device)),
        memory_bytes=int(memory.total) if memory is not None else None,
        compute_capability=".".join(map(str, capability)) if capability else None,
        driver=_decoded(ask("nvmlSystemGetDriverVersion")) or None,
        cuda=f"{int(cuda) // 1000}.{int(cuda) % 1000 // 10}" if cuda else None,
        is_partitioned=bool(mode[0]) if mode else None,
    )


def _decoded(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
    return "".join(letter for letter in text if letter.isprintable())[:100]


def _runtimes() -> dict[str, str]:
    found = {}
    for name in RUNTIMES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _known(text: str | None) -> str | None:
    return text if text and text.isprintable() else None


def _megahertz(path: Path) -> int | None:
    text = _line(path) or ""
    return int(text) // 1000 if text.isdigit() else None


def _line(path: Path) -> str | None:
    text = (_text(path) or "").strip()
    return text if text and text.isprintable() else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
