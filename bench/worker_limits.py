"""What a worker may take: memory of the host and of its device, and which processors."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from measure.device import device_index


def limit_memory(limit: int | None) -> None:
    """An allocation beyond the limit fails here, in the worker, before the machine is in need."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    if limit is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    # The kernel, if it has to choose, ends the worker and not the session that journals.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def lift_limit() -> None:
    """The cell has ended; what is left to do is to say how, and that takes some memory too."""
    if sys.platform.startswith("linux"):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def limit_device(device: str, limit: int | None) -> None:
    """PyTorch's allocator refuses what goes beyond the limit on a CUDA device."""
    if limit is not None and device.startswith("cuda"):
        import torch

        index = device_index(device)  # a plain "cuda" is refused where the share is set
        whole = torch.cuda.get_device_properties(index).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / whole), index)


def bind_to_cpus(cpus: tuple[int, ...] | None) -> None:
    """Before torch is imported, for its threads inherit it."""
    if cpus is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
