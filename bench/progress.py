"""A progress bar on a terminal: which cell, how long so far, how much is left. Silent elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.cell import Cell
from bench.estimate import in_words, seconds_of


class CellProgress:
    """`with progress.cell(cell): ...` shows the bar while the cell is measured, and then clears it.

    It writes to a copy of standard error made before pytest redirects it.
    """

    def __init__(self, cells: Sequence[Cell], past: Mapping[str, float]) -> None:
        self.past = past
        self.left = {cell.key: seconds_of(cell, past) for cell in cells}
        self.total = len(self.left)
        self.console = Console(file=os.fdopen(os.dup(2), "w", encoding="utf-8"))

    @property
    def seconds_left(self) -> float:
        """Expected for the cells that are not measured yet, the running one as a whole."""
        return sum(self.left.values())

    @contextmanager
    def cell(self, cell: Cell) -> Iterator[None]:
        try:
            if self.console.is_terminal:
                with self._bar(cell):
                    yield
            else:
                yield
        finally:
            self.left.pop(cell.key, None)

    @contextmanager
    def _bar(self, cell: Cell) -> Iterator[None]:
        columns = (
            BarColumn(bar_width=12),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            # Last, since a narrow terminal cuts what stands at the end.
            TextColumn("{task.description}", markup=False),
        )
        left = f"about {in_words(self.seconds_left)} left"
        # One refresh a second: the bar must not take time from what is measured.
        with Progress(
            *columns, console=self.console, transient=True, refresh_per_second=1
        ) as progress:
            done = self.total - len(self.left)
            progress.add_task(cell.cell_id, total=self.total, completed=done, left=left)
            yield
