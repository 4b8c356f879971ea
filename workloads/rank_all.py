"""Full ranking of all held-out items: every user of a split, all items, no sampled negatives, seen
kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor

from data.batches import eval_batches
from models.base import SequentialRecommender
from workloads.checks import Rank, check_kernels, check_ranks
from workloads.cost import Cost, forward_cost
from workloads.setting import Setting


class RankAll:
    """`run()` ranks the whole split.

    Args:
        rank: what a rank is: scores (B, V), targets (B,) -> ranks (B,). The models' own ranks,
            which need no scores (B, V), are checked against it where all scores are equal.
    """

    def __init__(
        self, setting: Setting, rank: Rank, *, part: Literal["valid", "test"] = "test"
    ) -> None:
        self.setting, self.rank = setting, rank
        self.batches = eval_batches(
            setting.interactions,
            part=part,
            seq_len=setting.seq_len,
            batch_size=setting.batch_size,
        )

    def prepare(self) -> None:
        self._weights()
        check_kernels(self.model, self.setting)
        check_ranks(self.model, self.setting, self.rank, self.batches)

    def run(self) -> Tensor:
        return self.ranks_of(self.model)

    @torch.inference_mode()
    def ranks_of(self, model: SequentialRecommender) -> Tensor:
        """Ranks (U,) of the held-out items of all users, float64, on the CPU."""
        training = model.training
        model.eval()
        ranks = []
        for batch in self.batches:
            batch = batch.to(self.setting.device)
            with self.setting.autocast():
                found = model.rank(batch.item_seq, batch.lengths, batch.targets)
            ranks.append(found.cpu())
        model.train(training)
        return torch.cat(ranks)

    def cost(self) -> Cost:
        """Of one run, without padding; the ranks need no more than the scores do."""
        lengths = self.batches.lengths()
        calls, element = len(self.batches), self.setting.element_bytes
        return forward_cost(self.model, lengths, calls=calls, element=element)

    def phases(self) -> Iterator[tuple[str, Callable[[], None]]]:
        yield "weights", self._weights
        yield "forward", self._rank

    def _weights(self) -> None:
        self.model = self.setting.make_model().eval()

    def _rank(self) -> None:
        self.run()


WORKLOAD = RankAll
