"""Kernels are compiled once, by all cores, before a run's first cell."""

from __future__ import annotations

import dataclasses
import io
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from bench.cell import Cell
from bench.kernels import are_missing, compile_missing
from bench.process import Place
from models.ops import compilation

ROOT = Path(__file__).resolve().parents[2]
CELL = Cell("gru4rec", "recommend", "synthetic", "all", 8, 1)


@pytest.fixture
def house(tmp_path: Path) -> Place:
    """A checkout with two small kernels and nothing compiled."""
    for folder in ("bench", "data", "measure", "models", "workloads"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__py*"))
    for file in (tmp_path / "models/ops").glob("*_kernels.py"):
        if file.stem not in ("dropout_kernels", "linear_kernels"):
            file.unlink()
    return Place(tmp_path)


def test_what_is_missing_is_compiled_once_and_kept(house: Place) -> None:
    assert are_missing([CELL], house)
    assert compile_missing(house, Console(file=io.StringIO())) > 0
    kept = {
        path.name.split(".")[0] for path in (house.root / "models/ops/__pycache__").glob("*.nbi")
    }
    assert kept == {"dropout_kernels", "linear_kernels"}
    assert not are_missing([CELL], house)
    kernel = house.root / "models/ops/linear_kernels.py"
    kernel.write_text(kernel.read_text() + "\n")
    compilation.pieces_digest.cache_clear()
    assert are_missing([CELL], house)


def test_a_kernel_that_fails_leaves_the_others_and_is_missing_still(house: Place) -> None:
    (house.root / "models/ops/broken_kernels.py").write_text("raise RuntimeError('broken')\n")
    compile_missing(house, Console(file=io.StringIO()))
    assert are_missing([CELL], house)


@pytest.mark.parametrize(
    "cell",
    [
        dataclasses.replace(CELL, model="none", workload="load"),
        dataclasses.replace(CELL, device="cuda"),
        dataclasses.replace(CELL, backend="reference"),
    ],
)
def test_cells_that_run_on_none_ask_for_none(house: Place, cell: Cell) -> None:
    assert not are_missing([cell], house)


def test_every_file_of_kernels_is_compiled_and_those_that_take_long_come_first() -> None:
    names = compilation.kernel_files()
    assert set(names) == {p.stem for p in (ROOT / "models/ops").glob("*_kernels.py")}
    assert names[: len(compilation._LONG)] == compilation._LONG
