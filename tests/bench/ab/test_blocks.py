"""A pair of blocks: both sides loaded side by side, measured by turns."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from bench.ab import blocks as module
from bench.ab.blocks import Blocks, by_turns
from bench.ab.command import _options, add_options
from bench.ab.sides import NAMES, Name, Side
from bench.cell import Cell
from bench.journal import new_manifest
from bench.process import Place, Worker, _is_at_work
from bench.worker import Request
from measure.processor import physical_cores
from measure.record import Record

ROOT = Path(__file__).resolve().parents[3]
DATA = "synthetic_u60_i50_n20"
FIRST_CORE = str(min(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else "0"
SERVED = Cell("gru4rec", "recommend", DATA, "all", 8, 1, backend="torch", requests=200)
TRAINED = Cell(
    "gru4rec", "train_epoch", DATA, "all", 8, 16, rounds=2, round_seconds=0.05, backend="torch"
)


def measured(folder: Path, cell: Cell, order: tuple[Name, Name], *given: str) -> dict[Name, Record]:
    """A pair of this checkout beside itself."""
    return blocks(folder, cell, *given)(cell, order)


def blocks(folder: Path, cell: Cell, *given: str) -> Blocks:
    """What measures pairs of this checkout beside itself."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    options = _options(parser.parse_args(["--ab", "HEAD", *given]))
    manifest = new_manifest(
        suite="ci", cells=[cell], argv=[], dataset_line="", data_hashes={}, limits={},
        commit=None, machine={"fingerprint": "x"}, root=folder, order_seed=0,
    )  # fmt: skip
    sides = {name: Side(name, "0" * 40, Place(ROOT)) for name in NAMES}
    return Blocks(folder, sides, options, manifest)


@pytest.mark.skipif(physical_cores() < 2, reason="needs two cores")
def test_both_are_measured_by_turns(tmp_path: Path) -> None:
    records = measured(tmp_path, SERVED, ("head", "base"))
    assert list(records) == ["head", "base"]
    for record in records.values():
        assert record.status == "ok", record.reason
        assert len(record.samples["latency_block_p50"]) == 10
        assert record.resolved["turns"] == 10
        assert record.metrics["latency_p50"].n == 200
        assert "memory_peak" not in record.metrics
        assert "gate" not in record.overhead["time"]
    first, second = (records[name].overhead["time"] for name in ("head", "base"))
    assert first["import_torch"] > 0
    assert second["import_torch"] == 0
    assert records["base"].wall_s < records["head"].wall_s
    assert datetime.fromisoformat(records["base"].started)


class Counted(Worker):
    """Instead of a process: so many rounds, each noted, and so many bytes."""

    def __init__(self, name: str, rounds: int, log: list[str], size: int = 2**28) -> None:
        self.name, self.left, self.log, self.size = name, rounds, log, size

    def held(self) -> int:
        return self.size

    def advance(self) -> bool:
        self.log.append(self.name)
        self.left -= 1
        return self.left >= 0


@pytest.mark.parametrize(
    ("rounds", "order"),
    # Each warms up, A B; then A B, B A, A B; the last time each goes on to its end.
    [((3, 3), "AB AB BA AB"), ((3, 1), "AB AB A A"), ((0, 0), "AB"), ((0, 2), "AB B B")],
)
def test_turns_go_back_and_forth(rounds: tuple[int, int], order: str) -> None:
    log: list[str] = []
    by_turns([Counted(name, count, log) for name, count in zip("AB", rounds, strict=True)])
    assert "".join(log) == order.replace(" ", "")


def test_there_are_no_turns_where_the_second_may_not_have_the_memory_of_the_first() -> None:
    log: list[str] = []
    size = psutil.virtual_memory().total
    by_turns([Counted("A", 3, log, size), Counted("B", 3, log)])
    assert log == ["A"]


def test_of_a_new_model_the_head_is_measured_alone() -> None:
    made = Blocks.__new__(Blocks)
    log: list[tuple[str, bool]] = []

    class Alone:
        def block(self, cell: Cell, *, memory: bool) -> Record:
            log.append((cell.model, memory))
            return Record(cell.cell_id, cell.key, cell.to_dict(), "ok")

    made._new, made._runners = frozenset({"gru4rec"}), {"head": Alone()}  # type: ignore[dict-item]
    records = made(TRAINED, ("base", "head"))
    assert log == [("gru4rec", True)]
    assert (records["base"].status, records["head"].status) == ("unsupported", "ok")
    assert records["base"].reason == "there is no models/gru4rec.py"
    assert records["base"].key == TRAINED.key, "or the ledger would not take it"


@contextmanager
def before_their_first_rounds(
    tmp_path: Path, *, timeout: float = 120.0
) -> Iterator[tuple[Worker, Worker]]:
    """Two workers of this checkout; the first may take so long."""
    request = Request(SERVED, "time", tmp_path / "a", tmp_path / "w.pt", DATA)
    with (
        Worker(request, timeout=timeout) as first,
        Worker(replace(request, out=tmp_path / "b"), timeout=120, beside=True) as second,
    ):
        second.load()
        assert first.advance()
        assert second.advance()
        yield first, second


def test_workers_without_turns_go_on_to_their_end(tmp_path: Path) -> None:
    """As many rounds as by turns, but none of the other beside them."""
    with before_their_first_rounds(tmp_path) as (first, second):
        assert second.advance()
        assert first.held() > 50 * 2**20
        for worker, turns in ((first, 0), (second, 1)):
            found = worker.findings()
            assert found.resolved.get("turns", 0) == turns
            assert len(found.samples["latency_block_p50"]) == 10
            assert worker.held() == 0


def test_a_worker_that_dies_in_its_turn_does_not_hold_up_the_other(tmp_path: Path) -> None:
    with before_their_first_rounds(tmp_path) as (first, second):
        psutil.Process(first._process.pid).kill()
        by_turns([first, second])
        assert first.findings().reason == "worker died of SIGKILL"
        found = second.findings()
    assert found.status == "ok"
    assert len(found.samples["latency_block_p50"]) == 10


def test_a_worker_that_hangs_in_its_turn_is_ended_before_the_others(tmp_path: Path) -> None:
    with before_their_first_rounds(tmp_path, timeout=12.0) as (first, second):
        hung = psutil.Process(first._process.pid)
        hung.suspend()
        assert not first.advance()
        assert not hung.is_running() or hung.status() == psutil.STATUS_ZOMBIE
        by_turns([second])
        lost, found = first.findings(), second.findings()
    assert (lost.status, lost.reason) == ("timeout", "not finished after 12 s")
    assert 3.0 < lost.phases["lost"] < 13.0
    assert found.status == "ok"


def test_the_others_turns_are_no_seconds_of_a_worker_that_has_ended(tmp_path: Path) -> None:
    with before_their_first_rounds(tmp_path) as (first, _):
        while first.advance():
            pass
        time.sleep(3.0)  # as if the other went on
        assert first.findings().phases["exit"] < 2.5


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads can't be looked at here")
def test_a_process_is_at_work_until_its_threads_sleep() -> None:
    spin = "import time; print(flush=True); end = time.monotonic() + 1"
    code = f"{spin}\nwhile time.monotonic() < end: pass\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert _is_at_work(process.pid)
        deadline = time.monotonic() + 20
        while _is_at_work(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _is_at_work(process.pid)
        process.kill()


@pytest.mark.parametrize("given", [(), ("--cpus", FIRST_CORE)])
def test_training_has_its_memory_too_side_by_side_or_not(
    tmp_path: Path, given: tuple[str, ...]
) -> None:
    alone = bool(given) or physical_cores() < 2
    records = measured(tmp_path, TRAINED, NAMES, *given)
    assert len({record.metrics["tensor_peak_bytes"].value for record in records.values()}) == 1
    for record in records.values():
        assert record.metrics["epoch_time"].value
        assert record.resolved["turns"] == len(record.samples["epoch_time"])
        assert record.metrics["memory_peak"].value
    assert (records["head"].overhead["time"]["import_torch"] > 0) == alone


def test_where_memory_is_short_one_core_measures_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LEFT_FREE", 2**60)
    for record in measured(tmp_path, SERVED, NAMES, "--cpus", FIRST_CORE).values():
        assert record.status == "ok", record.reason
        assert record.resolved.get("turns", 0) <= 1
        assert "gate" not in record.overhead["time"]


def test_what_runs_out_of_memory_is_measured_again_alone(tmp_path: Path) -> None:
    measure = blocks(tmp_path, TRAINED, "--memory-limit", "150MB")
    records = measure(TRAINED, NAMES)
    assert {record.status for record in records.values()} == {"oom"}
    assert all(record.overhead["time"]["interpreter"] > 0 for record in records.values())
    lost = [record.overhead["repeats"]["repeats"] for record in records.values()]
    assert max(lost) > 0
    assert all(
        record.wall_s > seconds for record, seconds in zip(records.values(), lost, strict=True)
    )
    assert measure._alone == {TRAINED.cell_id}
    assert not any("memory_peak" in record.metrics for record in records.values())
