"""Training to early stopping: how accurate a model gets, and how long that takes.

After each epoch the validation items are ranked in full; the weights of the best NDCG@10 are kept,
training stops after `patience` epochs without a better one, and the test items are ranked once, by
the best weights, saved and loaded again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from data.batches import train_batches
from models import weights
from models.base import SequentialRecommender
from workloads.checks import Rank, check_kernels, check_padding, check_ranks, check_training
from workloads.rank_all import RankAll
from workloads.reference import Incorrect
from workloads.setting import Setting
from workloads.trainer import Trainer

# One user's rank may move by a tie in the last bit; a wrong weight moves far more.
_SAME_SCORE = 1e-4


@dataclass
class Course:
    """How training went, a value per epoch: loss, validation score, training seconds."""

    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The number of epochs after which the score was best, from 1."""
        return max(range(len(self.scores)), key=self.scores.__getitem__) + 1


class Fit:
    """`run()` trains and gives the course; `test_ranks()` the ranks of the test items by the best
    weights.

    Args:
        rank: scores (B, V), targets (B,) -> ranks (B,); what the model's ranks are checked against.
        score: ranks (U,) -> the figure that early stopping watches, higher is better.
        max_epochs, patience: in epochs.
        path: where the best weights are saved.
    """

    def __init__(
        self,
        setting: Setting,
        rank: Rank,
        score: Callable[[Tensor], float],
        *,
        max_epochs: int,
        patience: int,
        path: Path,
    ) -> None:
        self.setting, self.score, self.path = setting, score, path
        self.max_epochs, self.patience = max_epochs, patience
        self.valid = RankAll(setting, rank, part="valid")
        self.test = RankAll(setting, rank, part="test")

    def prepare(self) -> None:
        self.model: SequentialRecommender = self.setting.make_model()
        check_kernels(self.model, self.setting)
        check_training(self.model, self.setting)
        check_padding(self.model, self.setting)
        check_ranks(self.model, self.setting, self.valid.rank, self.valid.batches)
        # Dropout's masks follow from the seed, not from what the checks drew.
        torch.manual_seed(self.setting.seed)
        self.trainer = Trainer(self.model, self.setting)

    def run(self) -> Course:
        course = Course()
        for epoch in range(self.max_epochs):
            start = time.perf_counter()
            course.losses.append(self._train(epoch))
            course.seconds.append(time.perf_counter() - start)
            course.scores.append(self.score(self.valid.ranks_of(self.model)))
            if course.best_epoch == epoch + 1:
                weights.save(self.model, self.path)
            if epoch + 1 - course.best_epoch >= self.patience:
                break
        return course

    def test_ranks(self, course: Course) -> Tensor:
        """Ranks (U,) of the test items by the saved weights; Incorrect if these score otherwise."""
        best = weights.load(self.path, backend=self.model.backend).to(self.setting.device)
        before, after = max(course.scores), self.score(self.valid.ranks_of(best))
        if abs(before - after) > _SAME_SCORE:
            raise Incorrect(f"saved weights score {after:.6f} once loaded, {before:.6f} before")
        self.model = best
        return self.test.ranks_of(best)

    def _train(self, epoch: int) -> float:
        batches = train_batches(
            self.setting.interactions,
            objective=self.setting.objective,
            seq_len=self.setting.seq_len,
            batch_size=self.setting.batch_size,
            seed=self.setting.seed,
            epoch=epoch,
        )
        losses = [self.trainer.step(batch) for batch in batches]
        return float(torch.stack(losses).mean())


WORKLOAD = Fit
