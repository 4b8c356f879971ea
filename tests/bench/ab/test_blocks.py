"""A pair of blocks: both sides loaded side by side, measured one right after the other."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

import pytest

from bench.ab.blocks import Blocks
from bench.ab.command import _options, add_options
from bench.ab.sides import NAMES, Name, Side
from bench.cell import Cell
from bench.journal import new_manifest
from bench.process import Place
from measure.processor import physical_cores
from measure.record import Record

ROOT = Path(__file__).resolve().parents[3]
DATA = "synthetic_u60_i50_n20"
SERVED = Cell("gru4rec", "recommend", DATA, "all", 8, 1, backend="torch", requests=200)
TRAINED = Cell(
    "gru4rec", "train_epoch", DATA, "all", 8, 16, rounds=2, round_seconds=0.05, backend="torch"
)


def measured(folder: Path, cell: Cell, order: tuple[Name, Name], *given: str) -> dict[Name, Record]:
    """A pair of this checkout beside itself."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    options = _options(parser.parse_args(["--ab", "HEAD", *given]))
    manifest = new_manifest(
        suite="ci", cells=[cell], argv=[], dataset_line="", data_hashes={}, limits={},
        commit=None, machine={"fingerprint": "x"}, root=folder, order_seed=0,
    )  # fmt: skip
    sides = {name: Side(name, "0" * 40, Place(ROOT)) for name in NAMES}
    return Blocks(folder, sides, options, manifest)(cell, order)


@pytest.mark.skipif(physical_cores() < 2, reason="needs two cores")
def test_the_second_is_measured_right_after_the_first(tmp_path: Path) -> None:
    records = measured(tmp_path, SERVED, ("head", "base"))
    assert list(records) == ["head", "base"]
    for record in records.values():
        assert record.status == "ok", record.reason
        assert len(record.samples["latency_block_p50"]) == 10
        assert "memory_peak" not in record.metrics
    first, second = (records[name].overhead["time"] for name in ("head", "base"))
    assert first["import_torch"] > 0
    assert second["import_torch"] == 0
    assert records["base"].wall_s < records["head"].wall_s
    assert datetime.fromisoformat(records["base"].started)


@pytest.mark.parametrize("given", [(), ("--cpus", "0")])
def test_training_has_its_memory_too_side_by_side_or_not(
    tmp_path: Path, given: tuple[str, ...]
) -> None:
    records = measured(tmp_path, TRAINED, NAMES, *given)
    assert len({record.metrics["tensor_peak_bytes"].value for record in records.values()}) == 1
    for record in records.values():
        assert record.metrics["epoch_time"].value
        assert record.metrics["memory_peak"].value
    alone = bool(given) or physical_cores() < 2
    assert (records["head"].overhead["time"]["import_torch"] > 0) == alone


def test_what_runs_out_of_memory_has_no_memory_pass(tmp_path: Path) -> None:
    records = measured(tmp_path, TRAINED, NAMES, "--memory-limit", "150MB")
    assert {record.status for record in records.values()} == {"oom"}
    assert not any("memory_peak" in record.metrics for record in records.values())
