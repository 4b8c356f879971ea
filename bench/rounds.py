"""The rounds of what is watched, and during which of them the processor kept its pace.

Between rounds the pace of the processor is read (measure/pace.py). A round with a slow reading
before or behind it was measured beside somebody who shares the core. More rounds then follow, until
as many are undisturbed as were wanted, or for a while at the most. What is left out is chosen by
the pace alone, never by a round's own time, and the record says how many were.

    rounds = Rounds(cell, findings, enough=lambda: len(seconds) >= 5)
    for _ in rounds:
        seconds.append(...)
    seconds = rounds.kept(seconds)

On a device, for whole epochs and other long rounds, in which readings at both ends say little, and
where two sides are measured by turns, so that both have the same rounds, there are as many as were
wanted, and all are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from bench.cell import Cell
from bench.findings import Findings
from measure.clock import now
from measure.pace import SLOW, pace

_LONGEST = 1.0  # seconds of a round
_MOST, _MOST_SECONDS = 2, 5.0  # times as many rounds as were wanted, and seconds of further ones
T = TypeVar("T")


class Rounds:
    """Iterate once; `kept` then tells which results count.

    Args:
        enough: whether there are as many rounds as are wanted where nobody disturbs them.
        read: seconds of something that is always the same.
    """

    def __init__(
        self,
        cell: Cell,
        findings: Findings,
        *,
        enough: Callable[[], bool],
        read: Callable[[], float] = pace,
    ) -> None:
        self._findings, self._enough, self._read = findings, enough, read
        short = cell.round_seconds is not None and cell.round_seconds <= _LONGEST
        self._reads = cell.device == "cpu" and short and not findings.by_turns
        self._paces = findings.paces  # before each round, and behind the last
        self._wanted = 0

    def __iter__(self) -> Iterator[None]:
        done = 0
        while not self._enough():
            self._findings.turn()
            self._look()
            yield
            done += 1
        self._wanted, began = done, now()
        self._look()
        while self._lacks() and done < _MOST * self._wanted and now() < began + _MOST_SECONDS:
            yield
            done += 1
            self._look()

    def kept(self, results: Sequence[T]) -> list[T]:
        """Those of undisturbed rounds; all where these are no more than half of what was wanted:
        then the fast readings may be the odd ones.
        """
        quiet = self._quiet()
        if not self._reads or all(quiet) or 2 * sum(quiet) <= self._wanted:
            return list(results)
        self._findings.resolved["rounds_left_out"] = len(quiet) - sum(quiet)
        return [result for result, well in zip(results, quiet, strict=True) if well]

    def _look(self) -> None:
        if self._reads:
            self._paces.append(self._read())

    def _lacks(self) -> bool:
        """Whether undisturbed rounds are wanting."""
        return self._reads and sum(self._quiet()) < self._wanted

    def _quiet(self) -> list[bool]:
        """Of each round so far: whether neither the reading before it nor that behind was slow."""
        limit = SLOW * min(self._paces, default=0.0)
        readings = zip(self._paces, self._paces[1:], strict=False)
        return [max(both) <= limit for both in readings]
