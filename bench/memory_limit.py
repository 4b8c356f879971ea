"""What a worker may hold: a limit below the machine's memory, so that it dies alone.

Where a cgroup (version 2) of the worker's own can be made, the kernel counts what is resident and
ends the worker. Elsewhere RLIMIT_DATA counts what is reserved to be written, and the allocation
that goes beyond it fails inside the worker, which then says more. The limit of a CUDA worker is one
of its device's memory, which PyTorch's allocator keeps there (bench/worker_limits.py).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

DEFAULT_SHARE = 0.9
_NUMBER = itertools.count()
_V1_LIMIT = Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class MemoryLimit:
    """A worker's limit and how it is kept.

    Args:
        method: "cgroup v2 memory.max", "RLIMIT_DATA", "CUDA allocator" or "none".
        reason: why not by a cgroup, or why not at all; None where a cgroup or the device keeps it.
        group: the cgroup's folder, made for this worker.
    """

    bytes: int | None
    method: str
    reason: str | None = None
    group: Path | None = None

    @property
    def by_worker(self) -> int | None:
        """The bytes that the worker has to set as its RLIMIT_DATA."""
        return self.bytes if self.method == "RLIMIT_DATA" else None

    def join(self, pid: int) -> None:
        """Put a process, which has not taken memory yet, under the limit."""
        if self.group is not None:
            with contextlib.suppress(ProcessLookupError):  # it has died already, and says so itself
                (self.group / "cgroup.procs").write_text(str(pid))

    def kills(self) -> int:
        """How many processes the kernel ended for going beyond the limit."""
        if self.group is None:
            return 0
        lines = (self.group / "memory.events").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    def peak(self) -> int | None:
        """The most bytes held at once; None without a cgroup, or with a kernel before 5.19."""
        with contextlib.suppress(OSError, ValueError):
            if self.group is not None:
                return int((self.group / "memory.peak").read_text())
        return None


@contextmanager
def limited(size: int | None, *, host: bool = True) -> Iterator[MemoryLimit]:
    """The limit of one worker, with its cgroup where there can be one, removed afterwards.

    Args:
        size: bytes, None for no limit.
        host: whether they are the host's memory; else the device's, and the host has no limit.
    """
    if size is None:
        yield MemoryLimit(None, "none", "no limit was asked for")
        return
    if not host:
        yield MemoryLimit(size, "CUDA allocator")
        return
    group, reason = _make_group(size)
    if group is None:
        yield _without_group(size, reason)
        return
    try:
        yield MemoryLimit(size, "cgroup v2 memory.max", group=group)
    finally:
        with contextlib.suppress(OSError):  # its last process is gone; else it stays, empty
            group.rmdir()


def default_limit() -> int:
    """Nine tenths of the memory that this machine, this container or a group around it has."""
    own = [psutil.virtual_memory().total]
    for limit, _, _ in _counted_groups():
        with contextlib.suppress(OSError, ValueError):  # "max" is no number
            own.append(int(limit.read_text()))
    return int(DEFAULT_SHARE * min(own))


def available() -> int:
    """Bytes that processes started from here may still take, of the machine, of this container and
    of the groups that it lies in; files that the kernel keeps in memory give way.
    """
    free = [psutil.virtual_memory().available]
    for limit, used, prefix in _counted_groups():
        with contextlib.suppress(OSError, ValueError):  # "max" is no number
            room = int(limit.read_text()) - int(used.read_text())
            lines = map(str.split, (limit.parent / "memory.stat").read_text().splitlines())
            kinds = {f"{prefix}{kind}" for kind in ("active_file", "inactive_file")}
            free.append(room + sum(int(count) for kind, count in lines if kind in kinds))
    return max(0, min(free))


def _counted_groups() -> Iterator[tuple[Path, Path, str]]:
    """Files with limit and use of each group that this process's memory counts to, and what its
    kinds in memory.stat begin with.
    """
    yield _V1_LIMIT, _V1_LIMIT.with_name("memory.usage_in_bytes"), "total_"
    if group := own_group():
        for at in (group, *group.parents):
            yield at / "memory.max", at / "memory.current", ""


def own_group() -> Path | None:
    """This process's folder in the tree of cgroups, version 2; None where there is none."""
    with contextlib.suppress(OSError, StopIteration, IndexError):
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        root = next(line.split()[1] for line in mounts if line.split()[2] == "cgroup2")
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        inside = next(line[3:] for line in lines if line.startswith("0::"))
        return Path(root) / inside.lstrip("/")
    return None


def _without_group(size: int, reason: str) -> MemoryLimit:
    if not sys.platform.startswith("linux"):
        return MemoryLimit(size, "none", "this system limits no process's memory")
    return MemoryLimit(size, "RLIMIT_DATA", reason)


def _make_group(size: int) -> tuple[Path | None, str]:
    """A new cgroup with that limit, or why there is none."""
    parent = own_group()
    if parent is None:
        return None, "no cgroups of version 2 here"
    group = parent / f"seqrec-bench-{os.getpid()}-{next(_NUMBER)}"
    try:
        control = parent / "cgroup.subtree_control"
        if "memory" not in control.read_text().split():
            control.write_text("+memory")
        group.mkdir()
        (group / "memory.max").write_text(str(size))
        if (swap := group / "memory.swap.max").exists():
            swap.write_text("0")
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        return None, f"no cgroup of its own: {error.strerror}"
    return group, ""
