"""A made-up layer of gated recurrent units, rows for it, and factors for its gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

RAGGED = (1, 2, 3, 5, 17, 63, 200)


def offsets_of(lengths: tuple[int, ...]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0)


def made_layer(
    inputs: int = 24, states: int = 40, dtype: torch.dtype = torch.float64
) -> tuple[nn.GRU, list[Tensor]]:
    torch.manual_seed(0)
    layer = nn.GRU(inputs, states, dtype=dtype)
    return layer, [p.detach().float() for p in layer.parameters()]


def made_rows(count: int, inputs: int = 24) -> Tensor:
    return torch.randn(count, inputs, generator=torch.Generator().manual_seed(1))


def factors_of(y: Tensor) -> Tensor:
    return torch.randn(y.shape, generator=torch.Generator().manual_seed(2)).to(y.dtype)
