"""The longest history and the largest batch that fit in memory, found by trying.

From the cell's own L and batch size one of the two is doubled until a training step no longer fits,
then bisected. Each probe is a fresh process under the limit, which dies alone where it goes beyond.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.cell import Cell
from bench.findings import Findings
from measure.record import Metric

# A bracket is narrow enough when it is a sixteenth of the size that fits.
STEPS = 16
LARGEST = 2**17
AXES = {"max_seq_len": "seq_len", "max_batch_size": "batch_size"}
# How CUDA says that a kernel would need more blocks than a launch may have: attention of older
# PyTorch has one a sequence in a dimension that ends at 65,535.
_NO_SUCH_GRID = "invalid configuration argument"


@dataclass(frozen=True)
class Bracket:
    """The largest size that fits, 0 for none, and the smallest that does not, None if unknown.

    Args:
        reason: why the search ended early; None where the bracket is narrow.
    """

    fits: int
    fails: int | None
    reason: str | None = None


def bracket(start: int, fits: Callable[[int], bool | None], *, largest: int = LARGEST) -> Bracket:
    """Double or halve from `start`, then bisect.

    Args:
        fits: whether a size fits; None where that can't be told, which ends the search.
    """
    good, bad, size = 0, None, start
    while bad is None or bad - good > step(good):
        verdict = fits(size)
        if verdict is None:
            return Bracket(good, bad, f"{size} could not be tried to its end")
        good, bad = (size, bad) if verdict else (good, size)
        if bad is None and good >= largest:
            return Bracket(good, bad, f"nothing above {largest} is tried")
        size = min(2 * good, largest) if bad is None else (good + bad) // 2
    return Bracket(good, bad)


def step(good: int) -> int:
    """How wide a bracket may stay."""
    return max(1, good // STEPS)


def search(cell: Cell, probe: Callable[[Cell], Findings]) -> Findings:
    """Findings with max_seq_len, max_batch_size and the list of probes.

    Args:
        probe: tries the cell's training step in a fresh process.
    """
    probes: list[dict[str, Any]] = []
    tried: dict[Cell, bool | None] = {}
    without_grid: set[Cell] = set()
    seconds: list[float] = []
    phases: dict[str, float] = {}
    metrics: dict[str, Metric] = {}
    last = Findings()
    for name, axis in AXES.items():

        def fits(size: int, axis: str = axis) -> bool | None:
            nonlocal last
            at = _at(cell, axis, size)
            if at not in tried:
                found = probe(at)
                probes.append(_told(at, found))
                seconds.append(sum(found.phases.values()))
                for part, took in found.phases.items():
                    phases[part] = phases.get(part, 0.0) + took
                tried[at] = {"ok": True, "oom": False}.get(found.status)
                if found.status == "error" and _NO_SUCH_GRID in (found.reason or ""):
                    tried[at] = False
                    without_grid.add(at)
                # What could not be tried for another reason than time is the cell's own failure.
                elif found.status == "ok" or found.status not in ("oom", "timeout"):
                    last = found
            return tried[at]

        found = bracket(getattr(cell, axis), fits)
        if found.fails and _at(cell, axis, found.fails) in without_grid:
            reason = f"a kernel's grid, not memory, ends below {found.fails}"
            found = dataclasses.replace(found, reason=reason)
        metrics[name] = _metric(cell, axis, found, sum(_along(cell, at, axis) for at in tried))
        if last.status != "ok":
            break
    last.metrics = metrics if last.status == "ok" else {}
    last.phases = phases
    last.samples = {"probe_time": seconds}
    last.resolved["probes"] = probes
    return last


def _at(cell: Cell, axis: str, size: int) -> Cell:
    return dataclasses.replace(cell, **{axis: size})  # type: ignore[arg-type]


def _metric(cell: Cell, axis: str, found: Bracket, probes: int) -> Metric:
    other = "batch_size" if axis == "seq_len" else "seq_len"
    method = (
        f"three training steps of full histories at {other} {getattr(cell, other)}, a fresh process"
        f" a probe, doubled then bisected to a step of {step(found.fits)}"
    )
    reason = found.reason if found.fits else found.reason or f"not even {axis} 1 fits"
    return Metric(
        found.fits or None,
        "1",
        "higher",
        "capacity",
        method,
        n=probes,
        lo=found.fits or None,
        hi=found.fails,
        reason=reason,
    )


def _along(cell: Cell, at: Cell, axis: str) -> bool:
    """Whether a probe was one of this axis's, the cell itself included."""
    return dataclasses.replace(at, **{axis: getattr(cell, axis)}) == cell


def _told(cell: Cell, found: Findings) -> dict[str, Any]:
    """A probe as the record lists it."""
    oom = found.oom or {}
    peak = found.metrics.get("memory_peak")
    return {
        "seq_len": cell.seq_len,
        "batch_size": cell.batch_size,
        "status": found.status,
        "reason": found.reason,
        "phase": oom.get("phase"),
        "requested_bytes": oom.get("requested_bytes"),
        "memory_peak_bytes": None if peak is None else peak.value,
    }
