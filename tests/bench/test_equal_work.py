"""Batches of equal work from real logs, whose histories are rarely as long as L."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.equal_work import EqualWork, left_out
from bench.matrix import Block, Choices, cells_of
from bench.options import Options
from bench.session import Session
from data.batches import Objective, train_batches
from data.interactions import Interactions

EVENTS = 1000
BLOCKS = (
    Block("train_epoch", (4, 16, 64, 256), ("x",), tokens=EVENTS),
    Block("recommend", (4, 256), ("x",), batch_sizes=(1,), requests=10),
)


@pytest.fixture
def work() -> EqualWork:
    """Histories of 3, 12 and 60 events; 58 of the longest are to train on."""
    lengths = np.r_[np.full(40, 3), np.full(200, 12), 60]
    items = np.random.default_rng(0).integers(1, 21, lengths.sum()).astype(np.int32)
    offsets = np.r_[0, np.cumsum(lengths)]
    labels = np.arange(21)
    return EqualWork(Interactions("some log", items, offsets, 20, "made up", "", labels))


@pytest.mark.parametrize("objective", ["all", "last"])
@pytest.mark.parametrize("seq_len", [4, 16, 64])
def test_a_batch_holds_as_many_events_at_every_length(
    work: EqualWork, seq_len: int, objective: Objective
) -> None:
    size = work.batch_size(EVENTS, objective, seq_len)
    epoch = train_batches(work.log, objective=objective, seq_len=seq_len, batch_size=size)
    mean = epoch.num_events / epoch.num_samples
    assert abs(size * mean - EVENTS) <= mean


def test_lengths_beyond_the_longest_history_are_left_out_of_epochs_only(work: EqualWork) -> None:
    assert work.longest == 58
    logs = {"x": work}
    planned, cells = cells_of(BLOCKS, Choices()), cells_of(BLOCKS, Choices(), logs)
    epochs = {c.seq_len for c in cells if c.workload == "train_epoch"}
    assert epochs == {4, 16, 64}
    assert {c.seq_len for c in cells if c.workload == "recommend"} == {4, 256}
    assert left_out(planned, cells, logs) == [
        "epochs at L=256 are left out: the longest history of some log has 58 events to train on"
    ]
    assert left_out(cells, cells, logs) == []


def test_the_only_length_asked_for_is_kept_and_a_batch_asked_for_too(work: EqualWork) -> None:
    chosen = Choices(seq_lens=(256,), batch_sizes=(7,), workloads=("train_epoch",))
    assert {(c.seq_len, c.batch_size) for c in cells_of(BLOCKS, chosen, {"x": work})} == {(256, 7)}


def test_all_models_of_a_length_have_one_batch_size(work: EqualWork) -> None:
    chosen = Choices(workloads=("train_epoch",))
    sizes: dict[int, set[int]] = {}
    for cell in cells_of(BLOCKS, chosen, {"x": work}):
        sizes.setdefault(cell.seq_len, set()).add(cell.batch_size)
    assert all(len(of_length) == 1 for of_length in sizes.values())
    assert min(sizes[64]) > EVENTS // 64


def test_a_run_says_which_lengths_it_leaves_out(options: Callable[..., Options]) -> None:
    lengths = "50,100,200,512"
    data = "synthetic_u60_i50_n20"  # up to 56 events to train on
    session = Session.prepare(options(suite="scaling", dataset=data, seq_len=lengths))
    assert {c.seq_len for c in session.cells if c.workload == "train_epoch"} == {50, 100}
    assert {c.seq_len for c in session.cells} == {50, 100, 200, 512}
    (line,) = session.left_out
    assert line.startswith("epochs at L=200, 512 are left out: the longest history of ")
    assert line.endswith(" has 56 events to train on")
