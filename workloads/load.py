"""From a file on disk to the first training batch: the wait before anything is learnt."""

from __future__ import annotations

from collections.abc import Callable

from data.batches import Objective, train_batches
from data.interactions import Interactions


class Load:
    """`load()` reads the dataset, `first_batch()` builds one batch from it."""

    def __init__(
        self,
        read: Callable[[], Interactions],
        *,
        objective: Objective,
        seq_len: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self.read, self.objective = read, objective
        self.seq_len, self.batch_size, self.seed = seq_len, batch_size, seed

    def load(self) -> Interactions:
        self.interactions = self.read()
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
