"""One optimisation step, in the parts that memory is attributed to: forward, backward, update.

Adam at 1e-3 without weight decay, as the Mamba4Rec paper and RecBole, for every model alike;
float16 scales its loss. Other official codes differ: SASRec has beta2 = 0.98; BERT4Rec 1e-4 with
warm-up, linear decay, weight decay 0.01 and gradients clipped at 5; GRU4Rec Adagrad.
"""

from __future__ import annotations

import torch
from torch import Tensor

from data.batches import Batch
from models.base import SequentialRecommender
from workloads.adam import Adam
from workloads.setting import Setting

LEARNING_RATE = 1e-3


class Trainer:
    """Trains `model` under the setting's dtype; `step(batch)` is what an epoch repeats."""

    def __init__(self, model: SequentialRecommender, setting: Setting) -> None:
        self.model, self.setting = model.train(), setting
        self.optimizer = Adam(model.parameters(), lr=LEARNING_RATE)
        device = torch.device(setting.device).type
        self.scaler = torch.amp.GradScaler(device, enabled=setting.dtype == "float16")

    def step(self, batch: Batch) -> Tensor:
        """Forward, backward and update; the loss, detached."""
        loss = self.forward(batch)
        self.backward(loss)
        self.update()
        return loss.detach()

    def forward(self, batch: Batch) -> Tensor:
        with self.setting.autocast():
            return self.model.loss(batch.to(self.setting.device))

    def backward(self, loss: Tensor) -> None:
        self.scaler.scale(loss).backward()

    def update(self) -> None:
        if self.scaler.is_enabled():
            self.scaler.step(self.optimizer)  # type: ignore[arg-type]
            self.scaler.update()
        else:
            self.optimizer.step()
        self.optimizer.zero_grad()
