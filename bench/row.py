"""What a cell is called in a table of its run: model, workload, L, batch, and what else sets it
apart from the others there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from bench.cell import Cell
from data.log import in_one_line


@dataclass(frozen=True)
class Row:
    """The texts of a row; `way` is empty where all cells of the run are alike in the rest."""

    model: str
    workload: str
    seq_len: str
    batch: str
    way: str

    def __str__(self) -> str:
        """Such as "gru4rec recommend L16 B1"."""
        parts = (self.model, self.workload, f"L{self.seq_len}", f"B{self.batch}", self.way)
        return " ".join(part for part in parts if part)


def rows_of(cells: Iterable[Cell]) -> dict[str, Row]:
    """Cell id -> its row, among these cells."""
    cells = list(cells)
    told = {name: {write(cell) for cell in cells} for name, write in _SETTINGS.items()}
    apart = [write for name, write in _SETTINGS.items() if len(told[name] - {""}) > 1]
    return {cell.cell_id: _row(cell, apart) for cell in cells}


def _row(cell: Cell, apart: Iterable[Callable[[Cell], str]]) -> Row:
    scenario = "" if cell.scenario == "single_stream" else f" {cell.scenario}"
    way = ", ".join(text for write in apart if (text := write(cell)))
    return Row(cell.model, cell.workload + scenario, str(cell.seq_len), str(cell.batch_size), way)


def _objective(cell: Cell) -> str:
    return cell.objective if cell.workload in ("train_epoch", "fit", "capacity") else ""


def _rate(cell: Cell) -> str:
    return "" if cell.rate is None else f"{cell.rate:g}/s"


def _target(cell: Cell) -> str:
    return "" if cell.latency_target is None else f"p99 {cell.latency_target * 1e3:g} ms"


_SETTINGS: Mapping[str, Callable[[Cell], str]] = {
    "dataset": lambda cell: in_one_line(PurePath(cell.dataset).name),
    "objective": _objective,
    "rate": _rate,
    "latency_target": _target,
    "device": lambda cell: cell.device,
    "threads": lambda cell: f"{cell.threads} threads",
    "backend": lambda cell: cell.backend,
    "dtype": lambda cell: cell.dtype,
    "compile": lambda cell: f"compile {cell.compile}",
    "seed": lambda cell: f"seed {cell.seed}",
}
