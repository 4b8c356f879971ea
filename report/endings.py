"""How the blocks of a cell ended: whether it runs on both sides, on one, or failed by chance.

Each side is counted by itself. What a model or a check refuses, it refuses always; time-outs,
crashes and memory may be chance, and count where they happened twice, and to a tenth of the blocks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from measure.record import Record
from report.margins import Policy
from report.status import compare
from report.verdict import Comparison, PairedMetric, Verdict

Ended = tuple[str, str | None]  # status and reason
UNDECIDED = "a block failed, which may be chance"
ENOUGH = 4  # pairs, after which a block that failed once is left to chance
_OFTEN = 0.1  # of many blocks so many fail by more than chance
_CERTAIN = ("unsupported", "incorrect")
# What bench/runner.py writes where only the memory pass of a cell failed.
_MEMORY_PASS = re.compile(r"memory pass: (\w+): ")


class Blocks(Protocol):
    """Two blocks measured in turn."""

    @property
    def base(self) -> Record: ...

    @property
    def head(self) -> Record: ...


PairsOf = Mapping[str, Sequence[Blocks]]  # cell id -> its pairs in the order measured


def failing(pairs: Sequence[Blocks]) -> tuple[Ended, Ended] | str | None:
    """How both sides ended where a cell does not run, whatever the order of its pairs; UNDECIDED
    where a block failed and others did not; None where all ran.
    """
    bases, heads = ([_ended(getattr(pair, side)) for pair in pairs] for side in ("base", "head"))
    if all(ran(pair) for pair in pairs):
        return None
    # Beside a side that refuses the cell, there will be no second block.
    once = _refuses(bases) or _refuses(heads)
    ends = _end(bases, once=once), _end(heads, once=once)
    return UNDECIDED if ends[0][0] == ends[1][0] == "ok" else ends


def ran(pair: Blocks) -> bool:
    """Whether both sides of the pair gave what they were asked for."""
    return _ended(pair.base)[0] == _ended(pair.head)[0] == "ok"


def failed_once(cell_id: str, pairs: Sequence[Blocks]) -> Comparison:
    """INCONCLUSIVE: a block of one side or of each failed, which may be chance."""
    odd = [pair for pair in pairs if not ran(pair)]
    ends = [(name, _ended(getattr(pair, name))) for pair in odd for name in ("base", "head")]
    said = "; ".join(f"{name}: {end[0]} ({end[1]})" for name, end in sorted(ends) if end[0] != "ok")
    made = PairedMetric(cell_id, "status", "", "none", "capacity")
    reason = f"{len(odd)} of {len(pairs)} pairs did not run, which may be chance: {said}"
    return compare(made, Policy(0.0, 0.0, "hard"), Verdict.INCONCLUSIVE, reason, "status")


def _refuses(ends: Sequence[Ended]) -> bool:
    return any(status in _CERTAIN for status, _ in ends)


def _end(ends: Sequence[Ended], *, once: bool) -> Ended:
    """How a side ends: as it refuses, else as it failed most often, where that was often enough."""
    odd = [end for end in ends if end[0] != "ok"]
    refused = [end for end in odd if end[0] in _CERTAIN]
    if not refused and len(odd) < (1 if once else max(2.0, len(ends) * _OFTEN)):
        return "ok", None
    times = Counter(status for status, _ in odd)
    return max(refused or odd, key=lambda end: (times[end[0]], end[0]))


def _ended(record: Record) -> Ended:
    """Its status; that of its memory pass where the timed one ended well and this did not."""
    if record.status == "ok":
        for metric in record.metrics.values():
            failed = _MEMORY_PASS.match(metric.reason or "")
            if failed:
                return failed[1], metric.reason
    return record.status, record.reason
