"""Histories as a recommender is asked with them: exactly L events each, cut from the real log.

Latency over history length means something only when a request is as long as its label says, so a
request is L consecutive events of the store, across users where no single one is that long; the
items' popularity and order are the log's own.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor, from_numpy

from data.interactions import DataError, Interactions


class Requests:
    """A seeded pool of requests: `histories(i)` (B, L), `events(i)` (B,) the next events."""

    def __init__(
        self,
        interactions: Interactions,
        *,
        seq_len: int,
        batch_size: int,
        seed: int,
        pool: int = 512,
    ) -> None:
        room = interactions.num_events - seq_len
        if room < 1:
            raise DataError(
                f"{interactions.name}: {interactions.num_events} events are too few for requests of"
                f" length {seq_len}; choose a shorter --seq-len or a larger dataset"
            )
        self.items = interactions.items
        self.seq_len, self.batch_size, self.pool = seq_len, batch_size, pool
        rng = np.random.default_rng([seed, seq_len])
        self.starts = rng.integers(0, room, size=(pool, batch_size))
        # Made here: cutting them out takes a tenth of what a step with its recommendations does.
        self._events = from_numpy(self.items[self.starts + seq_len].astype(np.int64))  # (pool, B)

    def histories(self, index: int) -> Tensor:
        """Request `index`, (B, L) int64 without padding."""
        rows = self.starts[index % self.pool][:, None] + np.arange(self.seq_len)
        return from_numpy(self.items[rows].astype(np.int64))

    def events(self, index: int) -> Tensor:
        """The event that follows each history of request `index`, (B,) int64."""
        return self._events[index % self.pool]
