"""The real logs, where the environment variable SEQREC_DATA names a folder that holds them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import data
from data import load
from data.batches import train_batches

ROOT = Path(data.__file__).parents[1]


@pytest.fixture
def folder() -> Path:
    if "SEQREC_DATA" not in os.environ:
        pytest.skip("SEQREC_DATA does not name a folder with the real logs")
    return Path(os.environ["SEQREC_DATA"])


@pytest.mark.parametrize(
    ("name", "users", "items", "events"),
    [
        ("ml_1m", 6040, 3416, 999_611),
        ("ml_100k", 943, 1349, 99_287),
        ("amazon_beauty", 22_363, 12_101, 198_502),
        ("amazon_video_games", 24_303, 10_672, 231_780),
    ],
)
def test_five_core_gives_the_published_counts(
    folder: Path, name: str, users: int, items: int, events: int
) -> None:
    store = load(name, data_dir=folder)
    assert (store.num_users, store.num_items, store.num_events) == (users, items, events)
    assert store.items.min() == 1
    assert store.items.max() == items
    assert store.source.startswith("file ")


def test_ml_1m_has_as_many_prefixes_as_published(folder: Path) -> None:
    batches = train_batches(
        load("ml_1m", data_dir=folder), objective="last", seq_len=200, batch_size=2048
    )
    assert (batches.num_samples, len(batches)) == (981_491, 480)


def test_ml_1m_without_all_its_times_keeps_the_order_of_the_file(folder: Path) -> None:
    store = load("ml_1m", data_dir=folder)
    assert "in file order" in store.rules
    assert store.item_labels[store.items[:4]].tolist() == [3186, 1270, 1721, 1022]


def test_ml_1m_is_loaded_within_five_seconds_and_half_a_gigabyte(folder: Path) -> None:
    code = """
import json, resource, sys, time
import numpy
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before, began = peak(), time.perf_counter()
from pathlib import Path
from data import load
load("ml_1m", data_dir=Path(sys.argv[1]))
seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "bytes": peak() - before, "pandas": "pandas" in sys.modules}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    cost = json.loads(done.stdout)
    assert cost["seconds"] < 5
    assert cost["bytes"] < 500e6
    assert not cost["pandas"]


def test_a_log_of_the_users_own_is_read_by_path(folder: Path) -> None:
    path = folder / "session-diginetica.parquet"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in SEQREC_DATA")
    store = load(str(path), min_count=1)
    assert (store.num_users, store.num_items, store.num_events) == (202_633, 43_097, 982_961)
