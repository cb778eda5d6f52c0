"""The machine and the software -> `Environment`: what has to be known to believe a number, and no more.

Read from the operating system's own files. No process is started, no network asked, no library imported but
the one that speaks to an NVIDIA device, where there is one; no host name, user name, path or serial number
goes in. The same process gives the same record whenever it is asked, whatever has been imported in between.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from pytest_prodml._lazy import loaded
from pytest_prodml.codec import digest_of
from pytest_prodml.environment.hardware import hardware
from pytest_prodml.errors import ConfigurationError
from pytest_prodml.records import Environment

#: Distributions whose version can change what is measured.
PACKAGES = (
    "fairlearn",
    "hypothesis",
    "joblib",
    "lightgbm",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "pandas",
    "pandera",
    "polars",
    "pyarrow",
    "pytest",
    "pytest-benchmark",
    "pytest-prodml",
    "pytest-xdist",
    "scikit-learn",
    "scipy",
    "skl2onnx",
    "threadpoolctl",
    "torch",
    "xgboost",
)

#: Variables that set the number of threads of numeric libraries, or pin them.
THREAD_VARIABLES = (
    "GOMP_CPU_AFFINITY",
    "KMP_AFFINITY",
    "LOKY_MAX_CPU_COUNT",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OMP_PROC_BIND",
    "OMP_WAIT_POLICY",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

#: Set by whoever starts the container: an image can not know its own digest.
CONTAINER_VARIABLE = "PRODML_CONTAINER_DIGEST"

_ROOT = Path("/")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def capture(*, providers: tuple[str, ...] = (), root: Path = _ROOT) -> Environment:
    """Describe this process's machine and software.

    Parameters
    ----------
    providers : tuple of str
        Execution providers that models run on here, if that is known.
    root : Path
        Where ``proc``, ``sys`` and ``run`` are looked for.

    Raises
    ------
    ConfigurationError
        If `PRODML_CONTAINER_DIGEST` is set to something that is no digest.
    """
    accelerator, driver = _accelerator(root)
    return Environment(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=_platform(),
        machine=platform.machine(),
        processor=_processor(root),
        processor_count=_processor_count(),
        memory_bytes=_memory_bytes(),
        accelerator=accelerator,
        driver=driver,
        providers=providers,
        threads=thread_variables(),
        packages=_packages(),
        container_digest=_container_digest(root),
        hardware=hardware(root),
    )


def environment_digest(environment: Environment) -> str:
    """Return the SHA-256 of the record's canonical JSON: the name under which evidence refers to it."""
    return digest_of(environment)


def thread_variables() -> dict[str, str]:
    """Return the thread variables that are set. Values that are no plain text are left out."""
    found = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    return {name: value for name, value in found.items() if value.isascii() and value.isprintable()}


def thread_settings() -> dict[str, str]:
    """Return the thread variables and the sizes of the thread pools in this process.

    Pools are only looked at if something loaded threadpoolctl (scikit-learn does).
    """
    settings = thread_variables()
    control = loaded("threadpoolctl")
    if control is not None:
        for pool in control.threadpool_info():
            name = f"{pool.get('internal_api', 'unknown')} ({pool.get('prefix') or 'no prefix'})"
            settings[name] = str(pool.get("num_threads"))
    return settings


def _platform() -> str:
    # platform.platform() starts a process for a field that is not wanted here.
    parts = [platform.system(), platform.release()]
    parts += [part for part in platform.libc_ver() if part]
    return "-".join(parts)


def _processor(root: Path) -> str:
    fields = _fields(root / "proc/cpuinfo")
    for name in ("model name", "Model", "cpu model", "Processor"):
        if fields.get(name):
            return fields[name]
    arm = [f"{name} {fields[name]}" for name in ("CPU implementer", "CPU part") if name in fields]
    return ", ".join(arm) or "unknown"


def _processor_count() -> int:
    """Count the processors this process may use, which is what matters, not those of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _accelerator(root: Path) -> tuple[str | None, str | None]:
    """Read the NVIDIA kernel module's own files; None where there are none (unknown, not "no GPU")."""
    driver_files = root / "proc/driver/nvidia"
    version = _read(driver_files / "version")
    if version is None:
        return None, None
    found = re.search(r"Kernel Module.*?\s([0-9]+(?:\.[0-9]+)+)", version)
    try:
        devices = sorted((driver_files / "gpus").iterdir())
    except OSError:
        devices = []
    # The model only: these files hold serial numbers too.
    models = [_fields(device / "information").get("Model", "unknown") for device in devices]
    counts = {model: models.count(model) for model in models}
    told = ", ".join(f"{count} x {model}" if count > 1 else model for model, count in counts.items())
    return told or None, f"NVIDIA {found.group(1)}" if found else None


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _container_digest(root: Path) -> str | None:
    given = os.environ.get(CONTAINER_VARIABLE)
    if given:
        if not _DIGEST.fullmatch(given):
            raise ConfigurationError(
                f"expected sha256:<64 hex digits>, got {given[:80]!a}",
                where=CONTAINER_VARIABLE,
                hint="set it to the digest of the image that the tests run in",
            )
        return given
    # Podman tells a container the id of its image.
    image = re.search(r'^imageid="?([0-9a-f]{64})"?$', _read(root / "run/.containerenv") or "", re.MULTILINE)
    return f"sha256:{image.group(1)}" if image else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _fields(path: Path) -> Mapping[str, str]:
    """Return the first value of each ``name : value`` line."""
    found: dict[str, str] = {}
    for line in (_read(path) or "").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found
