"""The processor that this process may use: model, allotted cores, and how it is governed.

Cores are those that the affinity mask and the container's quota leave, not those of the machine:
timings depend on them. Read from /proc and /sys on Linux, from sysctl on macOS.
"""

from __future__ import annotations

import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil

_CPUS = Path("/sys/devices/system/cpu")
_QUOTA_V2 = Path("/sys/fs/cgroup/cpu.max")
_QUOTA_V1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_PERIOD_V1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def cpu_model() -> str:
    """The model's name, with family and model number where /proc/cpuinfo gives them.

    Hypervisors shorten names ("AMD EPYC" for three generations); the numbers still tell them apart.
    """
    if sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string") or platform.machine()
    facts = _cpuinfo()
    name = facts.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in facts:
        return f"{name} (family {facts['cpu family']} model {facts.get('model', '?')})"
    if "CPU part" in facts:
        return f"{name} (implementer {facts.get('CPU implementer')} part {facts['CPU part']})"
    return name


def short_cpu_name(model: str) -> str:
    """A model name for a directory: "AMD EPYC 9V74 80-Core Processor" becomes "epyc9v74"."""
    name = re.sub(r"\(.*?\)|@.*|\d+-core|\d+(st|nd|rd|th) gen", " ", model.lower())
    dull = {"amd", "intel", "cpu", "processor", "with", "radeon", "graphics"}
    words = [word for word in re.findall(r"[a-z0-9-]+", name) if word not in dull]
    return "".join(words)[:24] or "cpu"


def logical_cores(cpus: Iterable[int] | None = None) -> int:
    """Logical processors in this process's affinity mask, or in one of `cpus`."""
    bound = _bound_to(cpus)
    return (os.cpu_count() or 1) if bound is None else len(bound)


def physical_cores(cpus: Iterable[int] | None = None) -> int:
    """Physical cores allotted: those in the affinity mask, at most the container's quota.

    Args:
        cpus: as a process sees it that is bound to these processors; None for this process.
    """
    bound = _bound_to(cpus)
    cores = None if bound is None else _cores_of(bound)
    cores = cores or psutil.cpu_count(logical=False) or logical_cores(cpus)
    quota = _quota_cores()
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def one_per_core() -> list[int] | None:
    """Of the logical processors allotted, one for each physical core; None if unknown."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    first: dict[str, int] = {}
    for cpu in sorted(_allowed()):
        siblings = _first_line(_CPUS / f"cpu{cpu}/topology/thread_siblings_list")
        first.setdefault(siblings or f"cpu{cpu}", cpu)
    return sorted(first.values())


def cpu_governing() -> dict[str, str | None]:
    """Governor, turbo, hypervisor and microcode; None where the system does not say."""
    facts = _cpuinfo()
    flags = facts.get("flags", "").split()
    vendor = _first_line(Path("/sys/class/dmi/id/sys_vendor"))
    return {
        "governor": _first_line(_CPUS / "cpu0/cpufreq/scaling_governor"),
        "turbo": _turbo(),
        "hypervisor": (vendor or "yes") if "hypervisor" in flags else None,
        "microcode": facts.get("microcode"),
    }


def _bound_to(cpus: Iterable[int] | None) -> set[int] | None:
    """The affinity mask of a process bound to `cpus`; None where the system has no such thing."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return _allowed() if cpus is None else set(cpus)


def _allowed() -> set[int]:
    return set(os.sched_getaffinity(0))


def _cores_of(cpus: set[int]) -> int | None:
    # Siblings of one core carry one list, whatever their numbering.
    siblings = {_first_line(_CPUS / f"cpu{cpu}/topology/thread_siblings_list") for cpu in cpus}
    return None if None in siblings else len(siblings)


def _quota_cores() -> float | None:
    limits = (_first_line(_QUOTA_V2) or "").split()
    if not limits:
        limits = [_first_line(_QUOTA_V1) or "max", _first_line(_PERIOD_V1) or "0"]
    try:
        quota, period = float(limits[0]), float(limits[1])
    except (ValueError, IndexError):
        return None  # "max": no limit
    return quota / period if quota > 0 and period > 0 else None


def _turbo() -> str | None:
    no_turbo = _first_line(_CPUS / "intel_pstate/no_turbo")
    if no_turbo is not None:
        return "off" if no_turbo == "1" else "on"
    boost = _first_line(_CPUS / "cpufreq/boost")
    return None if boost is None else {"1": "on", "0": "off"}.get(boost, boost)


def _cpuinfo() -> dict[str, str]:
    try:
        first = Path("/proc/cpuinfo").read_text(errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _sysctl(name: str) -> str | None:
    try:
        # By its name, since macOS has it in /usr/sbin and others elsewhere.
        command = ["sysctl", "-n", name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5)  # nosec B607
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip().splitlines()[0]
    except (OSError, IndexError):
        return None
