"""What a backward pass leaves for another one through the same graph."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

import models

BATCH = SimpleNamespace(
    item_seq=torch.tensor([[5, 6, 7, 0], [8, 0, 0, 0], [1, 2, 3, 4]]),
    lengths=torch.tensor([3, 1, 4]),
    targets=torch.tensor([1, 2, 9]),
)


@pytest.mark.parametrize("name", models.names())
def test_a_second_one_adds_the_same_gradients(name: str) -> None:
    torch.manual_seed(0)
    loss = (model := models.get(name)(9, 4).eval()).loss(BATCH)
    loss.backward(retain_graph=True)
    once = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    loss.backward()
    assert once
    for parameter, gradient in once.items():
        twice = model.get_parameter(parameter).grad
        torch.testing.assert_close(twice, 2 * gradient, rtol=1e-6, atol=0.0)
