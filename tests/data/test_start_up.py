"""How long a process waits from `import torch` to its first batch, from a log and from the cache.

    SEQREC_DATA=~/logs pytest -m slow tests/data/test_start_up.py -s

Each figure is the median of fresh processes. The first kind has an empty cache, so it parses the
log and writes its store; the second kind opens that.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import data

ROOT = Path(data.__file__).parents[1]
PROCESSES = 5
MEGABYTE = 10**6
CODE = """
import json, sys, time, torch

def resident(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))

before, start = resident("VmRSS"), time.perf_counter()
from pathlib import Path
import data
from data.batches import train_batches
log = data.load(sys.argv[1], data_dir=Path(sys.argv[2]), cache_dir=Path(sys.argv[3]))
batch = next(iter(train_batches(log, objective="last", seq_len=50, batch_size=128)))
seconds = time.perf_counter() - start
parsers = sorted({"pandas", "pyarrow"} & set(sys.modules))
print(json.dumps([seconds, resident("VmHWM") - before, log.store, parsers, len(batch.users)]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc")
@pytest.mark.parametrize(
    ("name", "from_log", "from_cache"), [("ml_100k", 1.0, 0.3), ("ml_1m", 2.0, 0.3)]
)
def test_the_first_batch_is_there_soon(
    data_dir: Path, tmp_path: Path, name: str, from_log: float, from_cache: float
) -> None:
    caches = [tmp_path / str(number) for number in range(PROCESSES)]
    for store, allowed in (("read", from_log), ("cached", from_cache)):
        costs = [_start(name, data_dir, cache) for cache in caches]
        seconds = [cost[0] for cost in costs]
        peak = max(cost[1] for cost in costs)
        print(
            f"\n{name}, {store}: first batch {statistics.median(seconds):.3f} s after torch "
            f"({min(seconds):.3f} to {max(seconds):.3f}), {peak / MEGABYTE:.0f} MB above it"
        )
        assert {cost[2] for cost in costs} == {store}
        assert {cost[4] for cost in costs} == {128}
        assert statistics.median(seconds) < allowed
        assert peak < 300 * MEGABYTE
        assert all("pandas" not in cost[3] for cost in costs)
        assert store == "read" or not any(cost[3] for cost in costs)


def _start(name: str, data_dir: Path, cache: Path) -> tuple[float, int, str, list[str], int]:
    command = [sys.executable, "-c", CODE, name, str(data_dir), str(cache)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, peak, store, parsers, rows = json.loads(done.stdout)
    return seconds, peak, store, parsers, rows
