"""Whether both sides did the same work and took it in the same way: the kernels behind a cell, the
instrument behind a number, the allocator behind a time, the load behind a latency.

A benchmark never falls back silently. Where `auto` chose another kernel for the head, its time is
still what users get, and is judged; but the report says which kernels were timed, and a slower one
than before, or one that was not asked for, is a failure of its own, whatever the times say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from measure.record import Metric
from report.labels import one_line
from report.margins import KINDS, Policy
from report.status import compare
from report.verdict import Comparison, PairedMetric, Verdict

# What a worker resolves before it times anything, and keeps in the record.
RESOLVED = ("backend", "layers", "loss", "attention", "serving")
# Slower ones first; what is not here is neither faster nor slower.
_SPEED = {"reference": 0, "torch": 1, "numba": 2, "cuda": 2}


@dataclass(frozen=True)
class OtherKernel:
    """One thing that was resolved differently: what each side ran, in any of its blocks.

    Args:
        named: whether the cell asks for one kernel by name, which leaves nothing to choose.
    """

    name: str
    base: frozenset[str]
    head: frozenset[str]
    named: bool

    def __str__(self) -> str:
        """Such as "backend numba -> reference"."""
        return f"{self.name} {_said(self.base)} -> {_said(self.head)}"

    @property
    def fell(self) -> bool:
        """Whether the head ran a slower kernel than any that the base ran."""
        base, head = _slowest(self.base), _slowest(self.head)
        return base is not None and head is not None and head < base


def asks_by_name(config: Mapping[str, Any]) -> bool:
    """Whether a cell asks for one kernel by name."""
    return bool(config.get("backend", "auto") != "auto")


def other_kernels(
    bases: Sequence[Mapping[str, Any]], heads: Sequence[Mapping[str, Any]], *, named: bool
) -> list[OtherKernel]:
    """What the blocks of both sides resolved differently; what a side does not say is left out."""
    found = []
    for name in RESOLVED:
        base, head = (_resolved(side, name) for side in (bases, heads))
        if base and head and len(base | head) > 1:
            found.append(OtherKernel(name, base, head, named))
    return found


def judge_kernel(cell_id: str, other: OtherKernel) -> Comparison:
    """FAILED where the head fell back or ran what was not asked for; else a fact to be seen."""
    if other.named:
        verdict, why = Verdict.FAILED, "a kernel that is named may not be replaced"
    elif other.fell:
        verdict, why = Verdict.FAILED, "auto fell back to a slower kernel"
    else:
        verdict, why = Verdict.NOT_COMPARABLE, "times are judged, but they are of other kernels"
    metric = PairedMetric(cell_id, other.name, "", "none", "correctness")
    return compare(metric, Policy(0.0, 0.0, "hard"), verdict, f"{other}: {why}", "status")


def other_method(bases: Sequence[Metric], heads: Sequence[Metric]) -> str:
    """How the sides took a number whose instrument matters (energy, memory of the process), where
    that differs: joules of two sources are never compared. "" where they are alike.
    """
    base, head = ({_taken(m) for m in side if m.value is not None} for side in (bases, heads))
    of_instrument = any(m.kind in ("energy", "memory_physical") for m in (*bases, *heads))
    if not (of_instrument and base and head) or len(base | head) == 1:
        return ""
    said = (one_line(" or ".join(sorted(side)), 100) for side in (base, head))
    return f"other methods: {' and '.join(said)}"


def other_allocator(base: Mapping[str, Any], head: Mapping[str, Any]) -> str:
    """The allocators that times were taken under, where both are known and differ, or ""."""
    both = [side.get("allocator") for side in (base, head)]
    if not all(both) or both[0] == both[1]:
        return ""
    return f"other allocators: {' and '.join(one_line(str(name), 80) for name in both)}"


def other_load(name: str, bases: Sequence[float | None], heads: Sequence[float | None]) -> str:
    """The loads that latencies were taken under, where the arrival rates of both sides (requests a
    second, None where there was no load) differ by more than a time may, or "".

    Without --rate each side's load follows its own speed, so that a faster server looks slower.
    """
    base, head = ([rate for rate in side if rate] for side in (bases, heads))
    if not (name.startswith("latency_") and base and head):
        return ""
    rates = median(base), median(head)
    if max(rates) <= min(rates) * (1 + KINDS["time"].margin):
        return ""
    said = " and ".join(f"{rate:,.4g}" for rate in rates)
    return f"other loads: {said} requests a second; --rate gives both sides one"


def _taken(metric: Metric) -> str:
    return " of ".join(filter(None, (metric.method, metric.source)))


def _resolved(side: Sequence[Mapping[str, Any]], name: str) -> frozenset[str]:
    found = (resolved.get(name) for resolved in side)
    return frozenset(one_line(str(kernel), 40) for kernel in found if kernel)


def _slowest(kernels: frozenset[str]) -> int | None:
    return min((_SPEED[kernel] for kernel in kernels if kernel in _SPEED), default=None)


def _said(kernels: frozenset[str]) -> str:
    return " or ".join(sorted(kernels))
