"""A training step on full histories: does it fit in memory? Two steps, for the second runs beside
the optimizer's state.

Every row has exactly L events, drawn at random, so what it takes depends on L, the batch size and
the catalogue alone, and not on how long a log's histories are.
"""

from __future__ import annotations

import torch

from data.batches import Batch
from workloads.train_epoch import TrainEpoch

_MASKED_EVERY = 5  # of cloze: a fifth, as the loader's default


class Capacity(TrainEpoch):
    """`phases()` are those of TrainEpoch, on a batch of its own."""

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
