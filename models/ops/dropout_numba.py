"""The CPU backend of `dropout`: whole lanes are cut into parts by their number alone."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.ops.dropout_kernels import forward_task
from models.ops.panels import up
from models.ops.simd import LANES
from models.ops.threads import run_tasks

_PART = 2**16


def dropout_numba(x: Tensor, noise: tuple[int, int]) -> Tensor:
    """x of any shape; seed and threshold."""
    y: Tensor = _Dropout.apply(x, noise)
    return y


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, noise: tuple[int, int]) -> Tensor:
        ctx.noise = noise
        return _masked(x.detach(), noise)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        return _masked(dy, ctx.noise), None


def _masked(x: Tensor, noise: tuple[int, int]) -> Tensor:
    size = up(x.numel(), LANES)
    flat = F.pad(x.contiguous().view(-1), (0, size - x.numel()))
    y = torch.empty(size)
    starts = range(0, size, _PART)
    head = (flat.data_ptr(), y.data_ptr(), *noise)
    run_tasks(forward_task, [(*head, at, min(at + _PART, size)) for at in starts], 0)
    return y[: x.numel()].view(x.shape)
