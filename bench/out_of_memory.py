"""Out of memory as a data point: where, in which phase, how much was asked, under which limit.

The worker explains an exception of its own (`explain`); the parent explains a worker that was
killed (`explain_death`), of which less is known: what is not known is None, with a reason.
"""

from __future__ import annotations

import contextlib
import errno
import re
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

# How allocators say it: PyTorch's on a CPU (three ways), CUDA's, cuBLAS's, C++'s, LLVM's.
_SIGNS = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "Cannot allocate memory",
    "ALLOC_FAILED",
    "bad_alloc",
)
# And the linker, of a library: with more behind it, it is about something else.
_UNMAPPED = ("failed to map segment from shared object", "cannot map zero-fill pages")
_ASKED = re.compile(r"allocate (\d+(?:\.\d+)?) (bytes|[KMGT]i?B)", re.IGNORECASE)
_FOLDERS = re.compile(r"(?<!\S)/\S+/")
_SIZES = {"bytes": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
# Functions of workloads/trainer.py whose frame says which part of a step it was.
_PARTS = {"forward": "forward", "backward": "backward", "update": "optimizer"}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of a worker says that memory was refused."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if isinstance(error, OSError | ImportError):
        cause = error.__cause__ or error.__context__
        return str(error).endswith(_UNMAPPED) or (cause is not None and is_out_of_memory(cause))
    return isinstance(error, RuntimeError) and says_out_of_memory(str(error))


def says_out_of_memory(text: str) -> bool:
    """Whether an error's text, or a dead worker's last words, speak of memory."""
    return any(sign in text for sign in _SIGNS)


def explain(
    error: BaseException, *, stage: str | None, limit: int | None, device: str = "cpu"
) -> dict[str, Any]:
    """What a worker knows of the allocation that failed in it.

    Args:
        stage: the part of its work that the worker was in, such as "warm_up" or "measured".
        limit: its limit in bytes.
        device: its cell's, "cpu", "cuda" or "cuda:<index>".
    """
    text = str(error)
    where = "cuda" if "CUDA" in text or "OutOfMemoryError" in type(error).__name__ else "host"
    asked = requested_bytes(text)
    said = _FOLDERS.sub("", text)[:80]
    return {
        "where": where,
        "phase": _part(error.__traceback__) or stage,
        "stage": stage,
        "requested_bytes": asked,
        "requested_reason": None if asked is not None else f"not in the message: {said}",
        "peak_before_bytes": _cuda_peak(device) if where == "cuda" else _status("VmHWM"),
        "reserved_bytes": None if where == "cuda" else _status("VmData"),
        "limit_bytes": limit,
        "signal": None,
    }


def in_a_line(oom: dict[str, Any]) -> str:
    """ "out of memory in forward: 64 MiB refused, limit 2000 MB"."""
    asked, limit = oom["requested_bytes"], oom["limit_bytes"]
    facts = [f"{asked / 2**20:,.0f} MiB refused"] if asked is not None else []
    facts += [f"limit {limit / 10**6:,.0f} MB"] if limit is not None else []
    where = f" in {oom['phase']}" if oom["phase"] else ""
    return f"out of memory{where}" + (": " + ", ".join(facts) if facts else "")


def explain_death(
    *, stage: str | None, limit: int | None, peak: int | None, signal: int, last_words: str = ""
) -> dict[str, Any]:
    """What the parent knows of a worker that a signal ended for memory."""
    asked = requested_bytes(last_words)
    return {
        "where": "host",
        "phase": stage,
        "stage": stage,
        "requested_bytes": asked,
        "requested_reason": None if asked is not None else f"ended by signal {signal}, no message",
        "peak_before_bytes": peak,
        "reserved_bytes": None,
        "limit_bytes": limit,
        "signal": signal,
    }


def requested_bytes(text: str) -> int | None:
    """How much was asked for, by the allocator's message: exact on a CPU, rounded by CUDA's."""
    found = _ASKED.search(text)
    if found is None:
        return None
    unit = found[2].lower()
    return round(float(found[1]) * _SIZES[unit if unit in _SIZES else f"{unit[0]}ib"])


def _part(trace: TracebackType | None) -> str | None:
    """Which part of a training step raised."""
    part = None
    while trace is not None:
        code = trace.tb_frame.f_code
        if Path(code.co_filename).name == "trainer.py":
            part = _PARTS.get(code.co_name, part)
        trace = trace.tb_next
    return part


def _status(field: str) -> int | None:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(field + ":")).split()[1]) * 1024
    return None


def _cuda_peak(device: str) -> int | None:
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda"):
        return None
    return int(torch.cuda.max_memory_allocated(device))
