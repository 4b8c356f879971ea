"""Training for one epoch: what is repeated most, and what the field quotes.

Building batches is part of the epoch, since users pay for it. Every round starts from the same
weights, a fresh optimizer and the same order of batches.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch

from data.batches import Batches, train_batches
from workloads.checks import check_kernels, check_padding, check_training
from workloads.cost import Cost, training_cost
from workloads.setting import Setting
from workloads.trainer import Trainer


class TrainEpoch:
    """`reset()`, then `run(steps)`: so many optimisation steps of epoch 0, by default all."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.batches: Batches = train_batches(
            setting.interactions,
            objective=setting.objective,
            seq_len=setting.seq_len,
            batch_size=setting.batch_size,
            seed=setting.seed,
        )

    def prepare(self) -> None:
        """Make the model and check it: what is wrong raises before anything is timed."""
        self.build()
        check_kernels(self.model, self.setting)
        check_training(self.model, self.setting)
        check_padding(self.model, self.setting)
        self.reset()

    def build(self) -> None:
        """Make the model, and keep where it starts from."""
        self.model = self.setting.make_model()
        self.start = {name: value.clone() for name, value in self.model.state_dict().items()}

    def reset(self) -> None:
        torch.manual_seed(self.setting.seed)  # dropout
        self.model.load_state_dict(self.start)
        self.trainer = Trainer(self.model, self.setting)

    def run(self, steps: int | None = None) -> None:
        for batch in itertools.islice(self.batches, steps):
            self.trainer.step(batch)

    def samples_in(self, steps: int) -> int:
        """Rows in the first `steps` batches; the last batch of an epoch may be short."""
        return min(steps * self.setting.batch_size, self.batches.num_samples)

    def flops(self) -> int:
        """Of one epoch: forward and twice as much backward, on padded batches, output layer at
        targets.
        """
        forward = self.model.flops(self.batches.num_samples, self.setting.seq_len)
        return 3 * (forward + self.model.output_flops(self.batches.num_targets))

    def cost(self) -> Cost:
        """Of one epoch, without its padding."""
        batches = self.batches
        return training_cost(
            self.model,
            batches.lengths(),
            targets=batches.num_targets,
            steps=len(batches),
            element=self.setting.element_bytes,
        )

    def phases(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """The parts of a first and a second step, in order, for attributing memory."""
        yield "weights", self._weights
        yield "batch", self._batch
        for _ in range(2):  # the second step runs beside the optimizer's state
            yield "forward", self._forward
            yield "backward", self._backward
            yield "optimizer", self._update

    def _weights(self) -> None:
        self.model = self.setting.make_model()
        self.trainer = Trainer(self.model, self.setting)

    def _batch(self) -> None:
        self.batch = next(iter(self.batches)).to(self.setting.device)

    def _forward(self) -> None:
        self.loss = self.trainer.forward(self.batch)

    def _backward(self) -> None:
        self.trainer.backward(self.loss)
        del self.loss

    def _update(self) -> None:
        self.trainer.update()


WORKLOAD = TrainEpoch
