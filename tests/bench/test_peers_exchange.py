"""Both sides read one log: the files for peers hold our users, items and order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import data
from bench.peers.exchange import read_exchange, write_exchange
from data.interactions import Interactions

LOG = Interactions(
    name="tiny",
    items=np.array([3, 1, 2, 2, 1, 3, 3], dtype=np.int32),
    offsets=np.array([0, 4, 7]),
    num_items=3,
    source="made up",
    rules="none",
    item_labels=np.arange(4),
)


def test_an_atomic_file_has_the_place_in_the_history_as_its_time(tmp_path: Path) -> None:
    write_exchange(LOG, tmp_path)
    head, *lines = (tmp_path / "peers" / "peers.inter").read_text().splitlines()
    assert head == "user_id:token\titem_id:token\ttimestamp:float"
    rows = [tuple(map(int, line.split("\t"))) for line in lines]
    assert rows == [(0, 3, 0), (0, 1, 1), (0, 2, 2), (0, 2, 3), (1, 1, 0), (1, 3, 1), (1, 3, 2)]


def test_our_own_reader_finds_the_same_sequences_in_it(tmp_path: Path) -> None:
    log = data.load("synthetic_u30_i20_n12", progress=False)
    write_exchange(log, tmp_path)
    read = data.load(str(tmp_path / "peers" / "peers.inter"), min_count=0, progress=False)
    assert np.array_equal(np.diff(read.offsets), np.diff(log.offsets))
    assert np.array_equal(read.item_labels[read.items].astype(int), log.items)


def test_the_store_comes_back_as_it_was(tmp_path: Path) -> None:
    write_exchange(LOG, tmp_path)
    assert read_exchange(tmp_path).sequence_hash == LOG.sequence_hash
    assert read_exchange(tmp_path).num_items == 3
