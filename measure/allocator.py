"""The host's allocator: settings that keep freed memory, and which ones this process runs under.

With glibc's defaults a large tensor's pages go back to the kernel when it is freed and are faulted
in again at the next use, so that a CPU benchmark times page faults. Workers that measure time start
with the memory kept, and in huge pages where the kernel grants them: which small pages a process
gets differs from start to start, and with them how its data fall into the caches. Workers that
measure memory start with the defaults, since there the peak is the question. Both take effect only
when set before the process starts.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

# GNU C Library manual, "Malloc Tunable Parameters": never serve a request by mmap (its pages go
# back at once), never trim the heap's top, grow it by 256 MiB at a time.
_KEEP = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
# "Memory Allocation Tunables" of the same manual, since glibc 2.35: the heap's memory is offered to
# the kernel for huge pages (madvise); without effect where they are switched off.
_TUNABLES, _HUGE_PAGES = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"
# What timed workers may run under.
ALLOCATORS = ("kept", "system")
_PRELOADED = ("jemalloc", "tcmalloc", "mimalloc")


def keep_memory_environment() -> dict[str, str]:
    """Variables of a worker's environment that make glibc keep freed memory, in huge pages; others
    ignore them. Tunables that are set already stay.
    """
    tunables = [t for t in os.environ.get(_TUNABLES, "").split(":") if t and t != _HUGE_PAGES]
    return _KEEP | {_TUNABLES: ":".join([*tunables, _HUGE_PAGES])}


def describe_allocator() -> str:
    """The allocator of this process and its settings, for example "glibc, memory kept"."""
    environment = _initial_environment()
    preloaded = _preloaded(environment.get("LD_PRELOAD", ""))
    if preloaded is not None:
        return preloaded
    if sys.platform != "linux":
        system = {"darwin": "macOS", "win32": "Windows"}.get(sys.platform, sys.platform)
        return f"unknown on {system}"
    if platform.libc_ver()[0] != "glibc":
        return "unknown, not glibc"
    return f"glibc, {_glibc_settings(environment)}"


def _glibc_settings(environment: dict[str, str]) -> str:
    kept = all(environment.get(name) == value for name, value in _KEEP.items())
    tunables = environment.get(_TUNABLES, "").split(":")
    # Up to 2.38 glibc ends each tunable in place, so that the next ones look like variables.
    tunables += [f"{name}={value}" for name, value in environment.items() if name[:6] == "glibc."]
    base = ["memory kept"] if kept else []
    if _HUGE_PAGES in tunables:
        tunables.remove(_HUGE_PAGES)
        base.append("huge pages")
    others = sorted(
        f"{name}={value}"
        for name, value in environment.items()
        if name.startswith("MALLOC_") and not (kept and name in _KEEP)
    )
    others += [setting for setting in tunables if setting]
    return ", ".join(base + others) or "defaults"


def _initial_environment() -> dict[str, str]:
    # The allocator read its variables when the process started; later changes are not in force.
    try:
        content = Path("/proc/self/environ").read_bytes()
    except OSError:
        return dict(os.environ)
    entries = (entry.partition("=") for entry in os.fsdecode(content).split("\0") if "=" in entry)
    return {name: value for name, _, value in entries}


def _preloaded(preload: str) -> str | None:
    # A library that the loader could not find stays in LD_PRELOAD: the mapping has the last word.
    try:
        mapped = Path("/proc/self/maps").read_text(errors="replace")
    except OSError:
        mapped = preload
    return next((name for name in _PRELOADED if name in preload and name in mapped), None)
