"""How the blocks of a cell ended: whether it runs on both sides, on one, or failed by chance.

Each side is counted by itself. What a model or a check refuses, it refuses always; time-outs,
crashes and memory may be chance, and count where they happened twice, and to a tenth of the blocks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from measure.record import Record
from report.margins import Policy
from report.status import BROKEN, compare
from report.verdict import Comparison, PairedMetric, Verdict

Ended = tuple[str, str | None]  # status and reason
Name = Literal["base", "head"]
OK: Ended = ("ok", None)
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
    if all(ran(pair) for pair in pairs):
        return None
    bases, heads = _ends_of(pairs, "base"), _ends_of(pairs, "head")
    ends = _end(bases), _end(heads)
    by_chance = any(
        end == OK and any(map(_may_be_chance, side))
        for end, side in zip(ends, (bases, heads), strict=True)
    )
    if ends == (OK, OK) or (by_chance and len(pairs) < ENOUGH):
        return UNDECIDED
    return ends


def is_repaired(pairs: Sequence[Blocks]) -> bool:
    """Whether the base broke in all of two or more blocks, and the head in none."""
    broken = all(end[0] in BROKEN for end in _ends_of(pairs, "base"))
    runs = all(end[0] == "ok" for end in _ends_of(pairs, "head"))
    return len(pairs) > 1 and broken and runs


def ran(pair: Blocks) -> bool:
    """Whether both sides of the pair gave what they were asked for."""
    return _ended(pair.base)[0] == _ended(pair.head)[0] == "ok"


def failed_once(cell_id: str, pairs: Sequence[Blocks]) -> Comparison:
    """INCONCLUSIVE: a block of one side or of each failed, which may be chance."""
    sides: tuple[Name, Name] = ("base", "head")
    ends = [(name, end) for name in sides for end in _ends_of(pairs, name) if _may_be_chance(end)]
    said = "; ".join(f"{name}: {status} ({reason})" for name, (status, reason) in ends)
    made = PairedMetric(cell_id, "status", "", "none", "capacity")
    reason = f"{len(ends)} of {2 * len(pairs)} blocks did not run, which may be chance: {said}"
    return compare(made, Policy(0.0, 0.0, "hard"), Verdict.INCONCLUSIVE, reason, "status")


def _may_be_chance(end: Ended) -> bool:
    return end[0] not in ("ok", *_CERTAIN)


def _end(ends: Sequence[Ended]) -> Ended:
    """How a side ends: as it refuses, else as it failed most often, where that was often enough."""
    odd = [end for end in ends if end[0] != "ok"]
    refused = [end for end in odd if end[0] in _CERTAIN]
    if not refused and len(odd) < max(2.0, len(ends) * _OFTEN):
        return OK
    times = Counter(status for status, _ in odd)
    return max(refused or odd, key=lambda end: (times[end[0]], end[0]))


def _ends_of(pairs: Sequence[Blocks], side: Name) -> list[Ended]:
    return [_ended(getattr(pair, side)) for pair in pairs]


def _ended(record: Record) -> Ended:
    """Its status; that of its memory pass where the timed one ended well and this did not."""
    if record.status == "ok":
        for metric in record.metrics.values():
            failed = _MEMORY_PASS.match(metric.reason or "")
            if failed:
                return failed[1], metric.reason
    return record.status, record.reason
