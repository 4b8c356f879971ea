"""An epoch repeats exactly: the same start, the same batches, the same end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import models
from workloads.setting import Setting
from workloads.train_epoch import TrainEpoch


@pytest.mark.parametrize("name", models.names())
def test_every_round_ends_at_the_same_weights(setting: Callable[..., Setting], name: str) -> None:
    workload = TrainEpoch(setting(name))
    workload.prepare()
    ends = []
    for _ in range(2):
        workload.reset()
        workload.run()
        ends.append({k: v.clone() for k, v in workload.model.state_dict().items()})
    for key, value in ends[0].items():
        assert torch.allclose(value, ends[1][key], atol=1e-6), key
    moved = [k for k, v in workload.start.items() if not torch.equal(v, ends[0][k])]
    assert "item_embedding.weight" in moved


def test_a_part_of_an_epoch_is_as_many_steps_as_asked(setting: Callable[..., Setting]) -> None:
    workload = TrainEpoch(setting("sasrec"))
    workload.prepare()
    seen = []
    step = workload.trainer.step
    workload.trainer.step = lambda batch: (seen.append(len(batch.lengths)), step(batch))[1]  # type: ignore[method-assign]
    workload.run(3)
    assert sum(seen) == workload.samples_in(3) == 48
    seen.clear()
    workload.run()
    assert sum(seen) == workload.batches.num_samples == workload.samples_in(10**6)


@pytest.mark.parametrize("name", models.names())
def test_phases_come_in_the_order_in_which_memory_is_taken(
    setting: Callable[..., Setting], name: str
) -> None:
    workload = TrainEpoch(setting(name))
    names = []
    for phase, work in workload.phases():
        work()
        names.append(phase)
    assert names[:5] == ["weights", "batch", "forward", "backward", "optimizer"]
    assert names[5:] == ["forward", "backward", "optimizer"]


@pytest.mark.parametrize("name", models.names())
def test_bfloat16_trains_with_float32_weights(setting: Callable[..., Setting], name: str) -> None:
    workload = TrainEpoch(setting(name, dtype="bfloat16"))
    workload.prepare()
    workload.run(3)
    assert all(p.dtype == torch.float32 for p in workload.model.parameters())
    assert all(bool(torch.isfinite(p).all()) for p in workload.model.parameters())


def test_training_costs_three_forward_passes_and_the_output(
    setting: Callable[..., Setting],
) -> None:
    workload = TrainEpoch(setting("sasrec"))
    workload.prepare()
    rows, targets = workload.batches.num_samples, workload.batches.num_targets
    expected = workload.model.flops(rows, 12) + workload.model.output_flops(targets)
    assert workload.flops() == 3 * expected
