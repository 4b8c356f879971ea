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
# Cell, the order of the sides -> the record of each.
Measure = Callable[[Cell, Sequence[Name]], Mapping[Name, Record]]


class Need(Protocol):
    """A cell wants so many more pairs of a stage."""

    @property
    def cell_id(self) -> str: ...

    @property
    def stage(self) -> str: ...

    @property
    def pairs(self) -> int: ...


# What the numbers mean is decided elsewhere: screened and confirmed pairs so far -> what to measure
# next, the most urgent first.
Needs = Callable[[Pairs, Pairs], Sequence[Need]]


@dataclass
class Campaign:
    """`run()` measures until nothing is wanting or the time is over.

    Args:
        seconds: after which no further pair is begun; the pairs there are stay.
        reserve: cells that are measured only where they are asked for, such as further seeds.
        seed: of the order of cells, the same for both sides.
        say: is told about each stage and pair.
    """

    cells: Sequence[Cell]
    ledger: Ledger
    measure: Measure
    needs: Needs
    seconds: float
    seed: int = 0
    say: Callable[[str], None] = print
    reserve: Sequence[Cell] = ()
    out_of_time: bool = field(default=False, init=False)

    def run(self) -> None:
        self._end = time.monotonic() + self.seconds
        by_id = {cell.cell_id: cell for cell in (*self.reserve, *self.cells)}
        while not self.out_of_time:
            stage, wanting = self._wanting()
            # One pair each in turn, so that a drift of the machine meets all cells alike.
            for cell in self._shuffled([by_id[name] for name in wanting], stage):
                self._pair(cell, stage)
            if not wanting:
                return

    def pairs(self, stage: Stage) -> dict[str, list[Pair]]:
        """Of every cell; of those in reserve what there is."""
        cells = {cell.cell_id: self.ledger.pairs(cell, stage) for cell in self.cells}
        more = {cell.cell_id: self.ledger.pairs(cell, stage) for cell in self.reserve}
        return cells | {name: pairs for name, pairs in more.items() if pairs}

    def _wanting(self) -> tuple[Stage, list[str]]:
        """Cells that want a pair of the most urgent stage."""
        screened, confirmed = self.pairs("screen"), self.pairs("confirm")
        new = [cell.cell_id for cell in self.cells if not screened[cell.cell_id]]
        if new:
            return "screen", new
        needs = self.needs(screened, confirmed)
        stage: Stage = "confirm" if needs and needs[0].stage == "confirm" else "screen"
        return stage, list(dict.fromkeys(need.cell_id for need in needs if need.stage == stage))

    def _pair(self, cell: Cell, stage: Stage) -> None:
        """Measure one more pair, if there is time."""
        if time.monotonic() >= self._end:
            self.out_of_time = True
        if self.out_of_time:
            return
        number = len(self.ledger.pairs(cell, stage))
        order = NAMES if first_is_base(number) else NAMES[::-1]
        began = time.monotonic()
        blocks = self.measure(cell, order)
        self.ledger.write(cell, Pair(stage, number, order[0], blocks["base"], blocks["head"]))
        took = time.monotonic() - began
        left = max(0.0, self._end - time.monotonic())
        self.say(f"{stage} {number + 1}: {cell.cell_id} ({took:.1f} s; {left / 60:.0f} min left)")

    def _shuffled(self, cells: Sequence[Cell], stage: Stage) -> list[Cell]:
        mixed = list(cells)
        number = sum(len(self.ledger.pairs(cell, stage)) for cell in cells)
        random.Random(f"{self.seed}/{stage}/{number}").shuffle(mixed)
        return mixed


def first_is_base(number: int) -> bool:
    """A B B A, B A A B and so on: each side is first equally often, and no drift favours one.

    Pairs 0 to 3 begin with base, head, head, base.
    """
    return number % 4 in (0, 3)
