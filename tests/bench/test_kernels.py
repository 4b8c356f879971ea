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
from models.ops.compilation import NOTE
from models.ops.pieces import pieces_digest

ROOT = Path(__file__).resolve().parents[2]
OPS = Path("models", "ops")
CELL = Cell("gru4rec", "recommend", "synthetic", "all", 8, 1)
CELLS = [CELL, dataclasses.replace(CELL, model="sasrec")]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A checkout with two small kernels and nothing compiled."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    for folder in ("bench", "data", "measure", "models", "workloads"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__py*"))
    for file in (tmp_path / "models/ops").glob("*_kernels.py"):
        if file.stem not in ("dropout_kernels", "linear_kernels"):
            file.unlink()
    return Place(tmp_path)


def compile_them(house: Place) -> set[str]:
    """The files whose kernels are kept afterwards."""
    assert compile_missing(house, Console(file=io.StringIO()), timeout=100) > 0
    return {path.name.split(".")[0] for path in (house.root / OPS / "__pycache__").glob("*.nbi")}


def test_what_is_missing_is_compiled_once_and_kept(house: Place) -> None:
    assert are_missing(CELLS, house)
    assert compile_them(house) == {"dropout_kernels", "linear_kernels"}
    assert not are_missing(CELLS, house)
    (house.root / OPS / "__pycache__" / NOTE).rename(house.root / "note")
    assert are_missing(CELLS, house)
    (house.root / "note").rename(house.root / OPS / "__pycache__" / NOTE)
    assert not are_missing(CELLS, house)
    kernel = house.root / OPS / "linear_kernels.py"
    kernel.write_text(kernel.read_text() + "\n")
    pieces_digest.cache_clear()
    assert are_missing(CELLS, house)


def test_kernels_that_were_removed_are_missing(house: Place) -> None:
    compile_them(house)
    for kept in (house.root / OPS / "__pycache__").glob("linear_kernels*.nbi"):
        kept.unlink()
    assert are_missing(CELLS, house)


def test_a_kernel_that_fails_leaves_the_others_and_is_missing_still(house: Place) -> None:
    (house.root / OPS / "broken_kernels.py").write_text("raise RuntimeError('broken')\n")
    assert compile_them(house) == {"dropout_kernels", "linear_kernels"}
    assert are_missing(CELLS, house)


def test_compiling_that_hangs_is_ended(house: Place) -> None:
    (house.root / OPS / "hung_kernels.py").write_text("import time\ntime.sleep(300)\n")
    assert compile_missing(house, Console(file=io.StringIO()), timeout=4) < 30


@pytest.mark.parametrize(
    "change",
    [{"device": "cuda"}, {"backend": "reference"}, {"model": "none"}, {"model": "gru4rec"}],
)
def test_cells_that_run_on_none_or_on_one_models_ask_for_none(
    house: Place, change: dict[str, str]
) -> None:
    assert not are_missing([CELL, dataclasses.replace(CELLS[1], **change)], house)


def test_every_file_of_kernels_is_compiled_and_those_that_take_long_come_first() -> None:
    names = compilation.kernel_files()
    assert set(names) == {p.stem for p in (ROOT / OPS).glob("*_kernels.py")}
    assert names[: len(compilation._LONG)] == compilation._LONG
