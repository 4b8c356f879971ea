"""Options as the command line would make them, without a command line."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.cell import Cell
from bench.journal import Journal, new_manifest
from bench.options import Options
from measure.record import Metric, Record

ROOT = Path(__file__).resolve().parent.parent.parent


class FakeConfig:
    """Enough of pytest's config for Options: the values of the command line."""

    rootpath = ROOT

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def getoption(self, name: str) -> Any:
        return self.values.get(name)


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """A shell lets its background jobs ignore Ctrl-C, and what they start inherits that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def options(tmp_path: Path) -> Callable[..., Options]:
    """options(suite="smoke", seq_len="8") is what `--suite smoke --seq-len 8` makes."""

    def make(**given: Any) -> Options:
        values = {"--" + name.replace("_", "-"): value for name, value in given.items()}
        return Options(FakeConfig({"--results-dir": str(tmp_path / "results")} | values))  # type: ignore[arg-type]

    return make


@pytest.fixture
def journal_of(tmp_path: Path) -> Callable[[Cell], Journal]:
    """journal_of(cell) is the open journal of a run of that cell, its order's seed 3."""

    def make(cell: Cell) -> Journal:
        manifest = new_manifest(
            suite="smoke",
            cells=[cell],
            argv=[],
            dataset_line="",
            data_hashes={},
            limits={},
            commit=None,
            machine={"fingerprint": "x"},
            root=tmp_path,
            order_seed=3,
        )
        return Journal.open(tmp_path / "results", manifest, fresh=False)

    return make


@pytest.fixture
def record_of() -> Callable[..., Record]:
    """record_of(cell, status="oom", reason="...") is a record of that cell; by default it is ok."""

    def make(cell: Cell, **fields: Any) -> Record:
        latency = Metric(0.0021, "s", "lower", "time", "made up")
        given = {"status": "ok", "metrics": {"latency_p50": latency}, "wall_s": 3.2} | fields
        return Record(cell_id=cell.cell_id, key=cell.key, config=cell.to_dict(), **given)

    return make
