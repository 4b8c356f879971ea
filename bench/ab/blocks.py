"""One block of a comparison: one cell, one side, in fresh processes of that side's code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.ab.sides import NAMES, Name, Side
from bench.cell import Cell
from bench.journal import Journal, Manifest
from bench.options import Options
from bench.runner import Runner
from measure.record import Record


class Blocks:
    """Call it with a cell and a side's name: the block's record.

    Memory is measured where a peak is the question, in training; elsewhere its pass, in a process
    of its own, would double the time of a pair for a number that the weights decide. Shares of time
    by part judge nothing and are left out. Nothing is pruned or repeated here: a pair is two blocks
    of the same work.
    """

    def __init__(
        self, folder: Path, sides: Mapping[Name, Side], options: Options, manifest: Manifest
    ) -> None:
        self._runners = {
            name: Runner(
                Journal(_room(folder / name / "blocks"), manifest),
                options.data_dir,
                options.columns,
                options.timeout,
                options.memory_limit,
                prune=False,
                cpus=options.cpus,
                place=sides[name].place,
                allocator=options.allocator,
                parts=False,
            )
            for name in NAMES
        }

    def __call__(self, cell: Cell, side: Name) -> Record:
        return self._runners[side].block(cell, memory=cell.workload == "train_epoch")


def _room(folder: Path) -> Path:
    for name in ("cells", "weights"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return folder
