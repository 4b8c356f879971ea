"""Sizes are checked before memory is taken: a file says, or turns out, to be larger than what is
free, and is refused in one line.
"""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

from data.log import DataError

_CGROUP = Path("/sys/fs/cgroup")


def require_room(needed: int, where: str) -> None:
    """DataError that names the file and both sizes, unless `needed` bytes are free."""
    free = free_bytes()
    if needed > free:
        raise DataError(f"{where}: it takes about {_in_words(needed)}; {_in_words(free)} are free")


def free_bytes() -> int:
    """What this process can still have: of the machine, of its container, of its own limit."""
    free = [psutil.virtual_memory().available, *_of_container(), *_of_process()]
    return max(0, min(free))


def _of_container() -> list[int]:
    try:
        most = (_CGROUP / "memory.max").read_text().strip()
        used = (_CGROUP / "memory.current").read_text()
        return [int(most) - int(used)] if most != "max" else []
    except (OSError, ValueError):
        return []


def _of_process() -> list[int]:
    if not sys.platform.startswith("linux"):
        return []
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return [limit - _data_bytes()] if limit != resource.RLIM_INFINITY else []


def _data_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


def _in_words(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB of memory" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"
