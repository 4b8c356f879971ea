"""How a comparison spends its time: a few pairs of every cell, then fresh pairs where it matters.

The pairs of the screen choose the cells to confirm and are not used again there, so that choosing
the worst of many does not bias what is then found (measuring.md calls this screen and confirm).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.ab.ledger import Ledger, Pair, Stage
from bench.ab.sides import NAMES, Name
from bench.cell import Cell
from measure.record import Record

Pairs = Mapping[str, Sequence[Pair]]
# Cell, side, whether memory is measured too -> its record.
Measure = Callable[[Cell, Name, bool], Record]


class Judge(Protocol):
    """What the numbers mean is decided elsewhere; here is what is asked."""

    def screening(self, cell: Cell) -> int:
        """How many pairs the screen takes of this cell."""

    def wanting(self, screened: Pairs, confirmed: Pairs) -> Mapping[str, int]:
        """Cell id -> how many pairs of confirmation it should have by now; cells that are decided,
        or were never in doubt, are left out.
        """

    def needs_memory(self, cell_id: str, stage: Stage, number: int, screened: Pairs) -> bool:
        """Whether this pair's blocks measure memory too, in a process of their own."""


@dataclass
class Campaign:
    """`run()` measures until nothing is wanting or the time is over.

    Args:
        seconds: after which no further pair is begun; the pairs there are stay.
        seed: of the order of cells, the same for both sides.
        say: is told about each stage and pair.
    """

    cells: Sequence[Cell]
    ledger: Ledger
    measure: Measure
    judge: Judge
    seconds: float
    seed: int = 0
    say: Callable[[str], None] = print
    out_of_time: bool = field(default=False, init=False)

    def run(self) -> None:
        self._end = time.monotonic() + self.seconds
        self._screen()
        self._confirm()

    def pairs(self, stage: Stage) -> dict[str, list[Pair]]:
        return {cell.cell_id: self.ledger.pairs(cell, stage) for cell in self.cells}

    def _screen(self) -> None:
        most = max((self.judge.screening(cell) for cell in self.cells), default=0)
        for number in range(most):
            due = [cell for cell in self.cells if number < self.judge.screening(cell)]
            for cell in self._shuffled(due, "screen", number):
                if not self._pair(cell, "screen", number, {}):
                    return

    def _confirm(self) -> None:
        screened = self.pairs("screen")
        by_id = {cell.cell_id: cell for cell in self.cells}
        while not self.out_of_time:
            confirmed = self.pairs("confirm")
            wanting = self.judge.wanting(screened, confirmed)
            due = [by_id[name] for name, count in wanting.items() if len(confirmed[name]) < count]
            if not due:
                return
            # One pair each in turn, so that a drift of the machine meets all cells alike.
            number = min(len(confirmed[cell.cell_id]) for cell in due)
            behind = [cell for cell in due if len(confirmed[cell.cell_id]) == number]
            for cell in self._shuffled(behind, "confirm", number):
                if not self._pair(cell, "confirm", number, screened):
                    return

    def _pair(self, cell: Cell, stage: Stage, number: int, screened: Pairs) -> bool:
        """Measure a pair unless it is kept from before; False where there is no time left."""
        if self.ledger.read(cell, stage, number) is not None:
            return True
        if time.monotonic() >= self._end:
            self.out_of_time = True
            return False
        memory = self.judge.needs_memory(cell.cell_id, stage, number, screened)
        order = NAMES if first_is_base(number) else NAMES[::-1]
        began = time.monotonic()
        blocks = {name: self.measure(cell, name, memory) for name in order}
        self.ledger.write(cell, Pair(stage, number, order[0], blocks["base"], blocks["head"]))
        took = time.monotonic() - began
        left = max(0.0, self._end - time.monotonic())
        self.say(f"{stage} {number + 1}: {cell.cell_id} ({took:.1f} s; {left / 60:.0f} min left)")
        return True

    def _shuffled(self, cells: Sequence[Cell], stage: Stage, number: int) -> list[Cell]:
        mixed = list(cells)
        random.Random(f"{self.seed}/{stage}/{number}").shuffle(mixed)
        return mixed


def first_is_base(number: int) -> bool:
    """A B B A, B A A B and so on: each side is first equally often, and no drift favours one.

    Pairs 0 to 3 begin with base, head, head, base.
    """
    return number % 4 in (0, 3)
