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


def dropout_numba(x: Tensor, noise: tuple[int, int], in_place: bool = False) -> Tensor:
    """x of any shape; seed and threshold."""
    in_place = in_place and x.is_contiguous() and x.numel() % LANES == 0
    y: Tensor = _Dropout.apply(x, noise, in_place)
    return y


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, noise: tuple[int, int], in_place: bool) -> Tensor:
        ctx.noise = noise
        if in_place:
            ctx.mark_dirty(x)
            _mask(x, x, noise)
            return x
        return _masked(x.detach(), noise)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        return _masked(dy, ctx.noise), None, None


def _masked(x: Tensor, noise: tuple[int, int]) -> Tensor:
    size = up(x.numel(), LANES)
    flat = F.pad(x.contiguous().view(-1), (0, size - x.numel()))
    y = torch.empty(size)
    _mask(flat, y, noise)
    return y[: x.numel()].view(x.shape)


def _mask(x: Tensor, y: Tensor, noise: tuple[int, int]) -> None:
    """Write x, whole lanes, with some elements dropped to y, which may be x itself."""
    size, head = x.numel(), (x.data_ptr(), y.data_ptr(), *noise)
    starts = range(0, size, _PART)
    run_tasks(forward_task, [(*head, at, min(at + _PART, size)) for at in starts], 0)
