"""`step` follows the weights wherever they go: kernels keep addresses of them between events."""

from __future__ import annotations

import copy
import gc

import pytest
import torch

import models
from models.base import SequentialRecommender

NUM_ITEMS, LENGTH = 50, 12
WITH_STEP = [name for name in models.names() if models.get(name).has_step]


def made(name: str) -> SequentialRecommender:
    torch.manual_seed(0)
    model_class = models.get(name)
    return model_class(NUM_ITEMS, 20, model_class.Config()).eval()


@torch.inference_mode()
def hidden_both_ways(model: SequentialRecommender) -> torch.Tensor:
    """The last hidden state; asserts that step by step it is that of the full pass."""
    item_seq = torch.randint(
        1, NUM_ITEMS + 1, (1, LENGTH), generator=torch.Generator().manual_seed(1)
    )
    state = model.init_state(1)
    for place in range(LENGTH):
        stepped, state = model.step(item_seq[:, place], state)
    full = model.last_hidden(item_seq, torch.tensor([LENGTH]))
    torch.testing.assert_close(stepped, full, rtol=1e-4, atol=1e-5)
    return full


@pytest.mark.parametrize("name", WITH_STEP)
def test_a_copy_steps_with_weights_of_its_own(name: str) -> None:
    model = made(name)
    before = hidden_both_ways(model)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for weight in twin.parameters():
            weight.mul_(1.5)
    changed = hidden_both_ways(twin)
    assert not torch.allclose(changed, before)
    assert torch.equal(hidden_both_ways(model), before)
    del model
    gc.collect()
    assert torch.equal(hidden_both_ways(twin), changed), "it looked at weights that are gone"


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("name", WITH_STEP)
def test_loaded_weights_are_stepped_with(name: str, assign: bool) -> None:
    model = made(name)
    before = hidden_both_ways(model)
    halved = {key: value * 0.5 for key, value in model.state_dict().items()}
    model.load_state_dict(halved, assign=assign)
    assert not torch.allclose(hidden_both_ways(model), before)
