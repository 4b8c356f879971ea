"""What every side of a comparison is asked, and how it is timed: the same lines for ours and peers.

A side's file says how its library reads, trains, ranks and recommends; this class does the counting
and timing around it. It runs in the peers' environments too, so it imports no more than torch,
numpy and psutil.
"""

from __future__ import annotations

import gc
import itertools
import os
import statistics
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.peers.serve import STARTED
from measure.highwater import choose_high_water
from measure.memory import trim

# A number for an epoch that no other multiset of samples is likely to share: the sum over samples
# of the weighted ids of history and target, in wrapping 64-bit arithmetic.
_WEIGHT = np.int64(1_000_003)
_TARGET = np.int64(7_919_000_003)
_MADE_UP, _MADE_UP_BATCH = "synthetic_u4_i50_x{events}", 8


@dataclass(frozen=True)
class Task:
    """What is worked on: a model on a data set at one length.

    Args:
        dataset, data_dir: what our side loads. exchange: folder with the same data for peers.
        settings: our model's settings, which the peer takes over.
        options: of this peer alone, such as the path of a checkout.
    """

    model: str
    dataset: str
    data_dir: str | None
    exchange: str
    seq_len: int
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


Samples = tuple[NDArray[np.int64], NDArray[np.int64]]  # histories (B, L), targets (B,), our ids


class Contestant(ABC):
    """One side; verbs first, then what a side's file gives."""

    verbs: ClassVar[tuple[str, ...]] = (
        "first_batch", "prepare", "use", "count", "learn", "train", "rank", "recommend", "peak",
    )  # fmt: skip
    torch_seconds: float = 0.0
    task: Task
    batch_size: int

    def first_batch(self, task: dict[str, Any], batch_size: int) -> dict[str, Any]:
        """Seconds from the process's start to the first training batch, without `import torch`."""
        self.task, self.batch_size = Task(**task), batch_size
        self.import_libraries()
        self.load()
        next(self.batches())
        seconds = time.monotonic() - float(os.environ[STARTED])
        return {
            "seconds": seconds - self.torch_seconds,
            "torch_seconds": self.torch_seconds,
            "store": self.store(),
        }

    def prepare(self, task: dict[str, Any], batch_size: int) -> dict[str, Any]:
        """Load data and model; what was resident before, after a step on made-up histories, is the
        baseline.
        """
        self.task = Task(**task)
        versions = self.import_libraries()
        self.warm_up()
        trim()
        self.mark, _ = choose_high_water()
        self.baseline = self.mark.resident()
        self.load()
        self.use(batch_size)
        return {"versions": versions, "parameters": self.num_parameters(), "notes": self.notes()}

    def use(self, batch_size: int) -> dict[str, Any]:
        """Start training anew, from the same weights, with batches of this size."""
        self.batch_size = batch_size
        self.make()
        self.stream = self.batches()
        return {}

    def count(self) -> dict[str, Any]:
        """One epoch of batches, without training: its samples, its events and its checksum."""
        samples = events = 0
        checksum = np.int64(0)
        with np.errstate(over="ignore"):
            for batch in self.epoch():
                histories, targets = self.samples(batch)
                places = np.arange(1, histories.shape[1] + 1) * _WEIGHT
                checksum += ((histories * places).sum(1) * targets * _TARGET).sum()
                samples += len(targets)
                events += int((histories > 0).sum())
        return {"samples": samples, "events": events, "checksum": f"{int(checksum) % 2**64:016x}"}

    def learn(self, steps: int) -> dict[str, Any]:
        """The losses of so many steps on one batch, over and over, from new weights.

        One batch, because fresh ones of a size that a slow peer can afford differ by more from
        each other than their loss falls in these few steps.
        """
        return {"losses": self.steps(itertools.repeat(next(self.stream), steps))}

    def train(self, seconds: float) -> dict[str, Any]:
        """Train for about so long, batches built on the way; at least one step."""
        taken: list[int] = []
        began, cpu = time.perf_counter(), time.process_time()

        def until() -> Iterator[Any]:
            while not taken or time.perf_counter() - began < seconds:
                batch = next(self.stream)
                taken.append(self.rows(batch))
                yield batch

        losses = self.steps(until())
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        return {
            "samples": sum(taken),
            "steps": len(taken),
            "seconds": took,
            "cpu_seconds": cpu,
            "rate": sum(taken) / took,
            "loss": statistics.fmean(losses),
        }

    def rank(self, batch_size: int, seconds: float) -> dict[str, Any]:
        """Whole passes over all test users for about so long; users a second."""
        users, began = 0, time.perf_counter()
        while not users or time.perf_counter() - began < seconds:
            count, metrics = self.rank_all(batch_size)
            users += count
        took = time.perf_counter() - began
        return {"users": users, "seconds": took, "rate": users / took, "metrics": metrics}

    def recommend(self, requests: int, seconds: float) -> dict[str, Any]:
        """The median time for one user's ten best, from ids in memory to ids in memory."""
        for index in range(5):
            self.request(index)
        took: list[float] = []
        gc.disable()
        end = time.perf_counter() + seconds
        for index in range(requests):
            began = time.perf_counter()
            best = self.request(index)
            took.append(time.perf_counter() - began)
            if took and time.perf_counter() > end:
                break
        gc.enable()
        assert len(best) == 10, "ten were asked for"
        return {"p50": statistics.median(took), "requests": len(took)}

    def peak(self, steps: int) -> dict[str, Any]:
        """The highest resident memory while training so many steps, over the baseline."""
        trim()
        self.mark.start()
        self.steps(next(self.stream) for _ in range(steps))
        peak = self.mark.stop()
        return {
            "baseline_bytes": self.baseline,
            "peak_bytes": peak,
            "over_baseline_bytes": peak - self.baseline,
            "method": self.mark.method,
        }

    def batches(self) -> Iterator[Any]:
        """Epoch after epoch, without end."""
        while True:
            yield from self.epoch()

    def warm_up(self) -> None:
        """One step on made-up histories, of which nothing is kept but code: a library compiles and
        loads some at its first step (PyTorch alone about 90 MiB), and that is no side's data.
        """
        import data
        from bench.peers.exchange import write_exchange

        before, task = dict(vars(self)), self.task
        log = data.load(_MADE_UP.format(events=task.seq_len + 10), progress=False)
        with tempfile.TemporaryDirectory() as made:
            write_exchange(log, Path(made))
            self.task = replace(task, dataset=log.name, data_dir=None, exchange=made)
            self.load()
            self.use(_MADE_UP_BATCH)
            self.steps(itertools.islice(self.stream, 1))
        vars(self).clear()
        vars(self).update(before)
        gc.collect()

    def store(self) -> str:
        """Where the histories came from: "read" from the log, or "cached" by an earlier run."""
        return "read"

    def notes(self) -> list[str]:
        """What a reader of the row has to know about this side."""
        return []

    @abstractmethod
    def import_libraries(self) -> dict[str, str]:
        """Import them all; their versions by name."""

    @abstractmethod
    def load(self) -> None:
        """Read the data that the task names."""

    @abstractmethod
    def make(self) -> None:
        """Model and optimizer, from the task's seed."""

    @abstractmethod
    def epoch(self) -> Iterator[Any]:
        """The batches of the next epoch, `self.batch_size` samples each."""

    @abstractmethod
    def rows(self, batch: Any) -> int:
        """Samples in a batch."""

    @abstractmethod
    def samples(self, batch: Any) -> Samples:
        """What is in a batch, in our ids."""

    @abstractmethod
    def steps(self, batches: Iterator[Any]) -> list[float]:
        """Train on each batch; the losses."""

    @abstractmethod
    def rank_all(self, batch_size: int) -> tuple[int, dict[str, float]]:
        """Rank all items for all test users: their number, and HR, NDCG and MRR at 10."""

    @abstractmethod
    def request(self, index: int) -> list[int]:
        """The ten best items for request `index`."""

    @abstractmethod
    def num_parameters(self) -> int:
        """Trained numbers in the model."""
