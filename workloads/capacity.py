"""Training steps on full histories: do they fit in memory? Three, for later ones run beside the
optimizer's state and in a heap that earlier ones have left with gaps; nothing is tidied in between.

Every row has exactly L events, drawn at random, so what it takes depends on L, the batch size and
the catalogue alone, and not on how long a log's histories are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from data.batches import Batch
from workloads.train_epoch import TrainEpoch

_STEPS = 3
_MASKED_EVERY = 5  # of cloze: a fifth, as the loader's default


class Capacity(TrainEpoch):
    """`phases()` are the weights, a batch of full histories, and steps on it."""

    def phases(self) -> Iterator[tuple[str, Callable[[], None]]]:
        yield "weights", self._weights
        yield "batch", self._batch
        yield "steps", self._steps

    def _steps(self) -> None:
        for _ in range(_STEPS):
            self.trainer.step(self.batch)

    def _batch(self) -> None:
        self.batch = self._full().to(self.setting.device)

    def _full(self) -> Batch:
        setting, items = self.setting, self.setting.interactions.num_items
        shape = (setting.batch_size, setting.seq_len)
        generator = torch.Generator().manual_seed(setting.seed)
        item_seq = torch.randint(1, items + 1, shape, generator=generator)  # (B, L)
        lengths = torch.full(shape[:1], setting.seq_len)  # (B,)
        if setting.objective == "last":
            targets = item_seq[:, -1].clone()  # (B,)
        elif setting.objective == "all":
            targets = item_seq.roll(-1, 1)  # (B, L)
        else:
            masked = torch.arange(setting.seq_len).expand(shape) % _MASKED_EVERY == 0
            targets = item_seq * masked
            item_seq = item_seq.masked_fill(masked, items + 1)
        return Batch(item_seq, lengths, targets, torch.arange(shape[0]))


WORKLOAD = Capacity
