"""A row names what a cell is, and only what sets it apart from the others of its run."""

from __future__ import annotations

from dataclasses import replace

from bench.cell import Cell
from bench.row import rows_of

CELL = Cell("sasrec", "recommend", "ml_1m", "all", 50, 1)


def test_what_all_cells_share_is_left_out() -> None:
    other = replace(CELL, seq_len=200)
    rows = rows_of([CELL, other])
    assert str(rows[CELL.cell_id]) == "sasrec recommend L50 B1"
    assert str(rows[other.cell_id]) == "sasrec recommend L200 B1"


def test_what_differs_between_cells_is_named() -> None:
    cells = [CELL, replace(CELL, seed=1), replace(CELL, dtype="bfloat16")]
    ways = [rows_of(cells)[cell.cell_id].way for cell in cells]
    assert ways == ["float32, seed 0", "float32, seed 1", "bfloat16, seed 0"]


def test_a_scenario_stands_beside_its_workload() -> None:
    cells = [replace(CELL, scenario="server", latency_target=target) for target in (0.01, 0.02)]
    rows = [rows_of(cells)[cell.cell_id] for cell in cells]
    assert [row.workload for row in rows] == ["recommend server"] * 2
    assert [row.way for row in rows] == ["p99 10 ms", "p99 20 ms"]


def test_an_objective_is_named_only_where_something_is_trained() -> None:
    trained = [replace(CELL, workload="train_epoch", objective=name) for name in ("all", "last")]
    rows = rows_of([CELL, *trained])
    assert rows[CELL.cell_id].way == ""
    assert [rows[cell.cell_id].way for cell in trained] == ["all", "last"]


def test_a_file_is_shown_without_its_folders_and_its_odd_characters() -> None:
    cells = [CELL, replace(CELL, dataset="/home/someone/a\x1b[31m\nb.csv")]
    assert rows_of(cells)[cells[1].cell_id].way == r"a\x1b[31m\nb.csv"
