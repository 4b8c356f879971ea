"""Where a number was taken: the machine, its software, and a fingerprint of the two.

Hard keys decide: times, energy and physical memory are compared only between equal fingerprints.
Soft keys (kernel, governor, driver, ...) are recorded and only warned about. torch is not imported
for any of it. The commit that was measured can be asked for here as well.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable
from importlib import metadata
from typing import Any

import psutil

from measure.commit import find_commit
from measure.device import list_gpus
from measure.processor import (
    cpu_governing,
    cpu_model,
    logical_cores,
    physical_cores,
    short_cpu_name,
)
from measure.torch_build import torch_blas, torch_build

__all__ = ["HARD_KEYS", "describe_machine", "find_commit", "fingerprint", "hard_keys"]

HARD_KEYS = (
    "os",
    "arch",
    "cpu_model",
    "physical_cores",
    "device",
    "gpus",
    "torch",
    "torch_build",
    "cuda",
    "python",
    "threads",
    "blas",
)

_PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "numba",
    "llvmlite",
    "triton",
    "mamba-ssm",
    "causal-conv1d",
    "psutil",
    "threadpoolctl",
    "nvidia-ml-py",
    "pytest",
    "pytest-benchmark",
)


def describe_machine(
    *, device: str = "cpu", threads: int | None = None, cpus: Iterable[int] | None = None
) -> dict[str, Any]:
    """Plain JSON about this machine, for cells that run on `device` with `threads` threads, as a
    process describes it that is bound to `cpus`; without them, as this one is.

    Without `threads` it is OMP_NUM_THREADS, else the physical cores allotted (torch's own default).
    GPUs count for the fingerprint of CUDA cells only.
    """
    gpus, gpus_reason = list_gpus()
    machine: dict[str, Any] = {
        "os": platform.system().lower(),
        "arch": platform.machine().lower(),
        "cpu_model": cpu_model(),
        "physical_cores": physical_cores(cpus),
        "logical_cores": logical_cores(cpus),
        "memory_bytes": psutil.virtual_memory().total,
        "device": device,
        "gpus": gpus,
        "gpus_reason": gpus_reason,
        **torch_build(),
        "python": platform.python_version(),
        "threads": threads if threads is not None else _default_threads(cpus),
        "torch_blas": torch_blas(),
        "blas": _loaded_blas(),
        "numba": _version("numba"),
        "versions": {name: v for name in _PACKAGES if (v := _version(name)) is not None},
        "soft": _soft(),
        "load_average": _load_average(),
        "steal_percent": _steal_percent(),
    }
    found = fingerprint(machine)
    return machine | {"fingerprint": found, "fingerprint_name": _readable(machine, found)}


def hard_keys(machine: dict[str, Any]) -> dict[str, Any]:
    """The part of a description that must be equal for times to be compared."""
    on_gpu = str(machine["device"]).startswith("cuda")
    hard = {name: machine[name] for name in HARD_KEYS}
    return hard | {
        "device": str(machine["device"]).partition(":")[0],
        "gpus": sorted([g["name"], g["memory_bytes"]] for g in machine["gpus"]) if on_gpu else [],
        "torch": _minor(machine["torch"]),
        "cuda": (machine["cuda"] or "").partition(".")[0] or None,
        "python": _minor(machine["python"]),
        # Which libraries are loaded depends on what was imported so far; the files do not.
        "blas": machine["torch_blas"],
    }


def fingerprint(machine: dict[str, Any]) -> str:
    """Twelve hexadecimal digits over the hard keys; equal where times may be compared."""
    canonical = json.dumps(hard_keys(machine), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _readable(machine: dict[str, Any], found: str) -> str:
    hard = hard_keys(machine)
    parts = [
        hard["os"],
        hard["arch"],
        short_cpu_name(hard["cpu_model"]),
        f"{hard['physical_cores']}c",
        _short_device(hard),
        f"torch{hard['torch']}" if hard["torch"] else "notorch",
        "py" + hard["python"].replace(".", ""),
        found,
    ]
    return "-".join(parts)


def _short_device(hard: dict[str, Any]) -> str:
    if hard["device"] == "cpu" or not hard["gpus"]:
        return str(hard["device"])
    name = str(hard["gpus"][0][0]).lower().replace("nvidia", "").replace("geforce", "")
    short = "".join(letter for letter in name if letter.isalnum())[:20]
    return short if len(hard["gpus"]) == 1 else f"{len(hard['gpus'])}x{short}"


def _soft() -> dict[str, Any]:
    # Enough to see that two runs came from one host, without publishing its name.
    host = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
    libc = " ".join(platform.libc_ver()).strip() or None
    return {"kernel": platform.release(), "hostname_hash": host, "libc": libc} | cpu_governing()


def _default_threads(cpus: Iterable[int] | None) -> int:
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(asked) if asked.isdigit() and int(asked) > 0 else physical_cores(cpus)


def _loaded_blas() -> list[dict[str, Any]]:
    # Before torch is imported the list would show what numpy brought along, not what torch uses.
    if "torch" not in sys.modules:
        return []
    import threadpoolctl

    return [
        {name: value for name, value in library.items() if name != "filepath"}
        for library in threadpoolctl.threadpool_info()
    ]


def _load_average() -> list[float] | None:
    try:
        return list(os.getloadavg())
    except (AttributeError, OSError):
        return None


def _steal_percent() -> float | None:
    """Since the machine started; contention() gives it for a block."""
    times = psutil.cpu_times()
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    total = sum(times) - guests  # Linux counts guests inside user and nice already
    return 100 * times.steal / total if hasattr(times, "steal") and total else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _minor(version: str | None) -> str | None:
    return None if version is None else ".".join(version.split(".")[:2])
