"""From a file on disk to the first training batch: the wait before anything is learnt.

There are two ways: `load()` parses, filters and orders the log, as on its first use; `open()` maps
the store that was kept of it, as on every later one.
"""

from __future__ import annotations

from collections.abc import Callable

from data.batches import Objective, train_batches
from data.interactions import Interactions


class Load:
    """`load()` or `open()` gives the store, `first_batch()` builds one batch from it.

    Args:
        read: reads the log itself. open_kept: opens the cache's store, or does what it can.
    """

    def __init__(
        self,
        read: Callable[[], Interactions],
        open_kept: Callable[[], Interactions],
        *,
        objective: Objective,
        seq_len: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self.read, self.open_kept = read, open_kept
        self.objective: Objective = objective
        self.seq_len, self.batch_size, self.seed = seq_len, batch_size, seed

    def load(self) -> Interactions:
        self.interactions = self.read()
        return self.interactions

    def open(self) -> Interactions:
        self.interactions = self.open_kept()
        return self.interactions

    def first_batch(self) -> None:
        batches = train_batches(
            self.interactions,
            objective=self.objective,
            seq_len=self.seq_len,
            batch_size=self.batch_size,
            seed=self.seed,
        )
        next(iter(batches))


WORKLOAD = Load
