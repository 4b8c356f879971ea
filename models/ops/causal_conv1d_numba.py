"""The CPU backend of `causal_conv1d`: cuts the batch into tasks and joins the kernels to autograd.

Arithmetic is float32; outputs and gradients come back in the inputs' dtypes. Tasks depend on the
shape alone and sums over them have a fixed order: the same bits with any number of threads.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.ops.causal_conv1d_kernels import backward_task, forward_task
from models.ops.simd import LANES
from models.ops.threads import run_tasks

_MAX_CHUNKS = 16


def causal_conv1d_numba(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """silu(filter(x)), (B, L, D), in x's dtype."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, weight, bias)):
        y: Tensor = _Convolution.apply(x, weight, bias)
        return y
    return _run_forward(x, weight, bias)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        return _run_forward(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        inputs: tuple[Tensor, Tensor, Tensor] = ctx.saved_tensors
        gradients = _run_backward(*inputs, dy)
        return tuple(
            g.to(t.dtype) if need else None
            for g, t, need in zip(gradients, inputs, ctx.needs_input_grad, strict=True)
        )


def _dense(tensor: Tensor) -> Tensor:
    return tensor.detach().to(torch.float32).contiguous()


def _in_lanes(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """(K, columns * 16) and (columns * 16,), zeros in the lanes beyond D."""
    room = (0, -weight.shape[0] % LANES)
    return F.pad(_dense(weight.mT), room), F.pad(_dense(bias), room)


def _bounds(x: Tensor, chunks: int, chunk: int) -> tuple[int, int]:
    return x.shape[0] * chunk // chunks, x.shape[0] * (chunk + 1) // chunks


def _run_forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    dense, taps, shift = _dense(x), *_in_lanes(weight, bias)
    y = torch.empty(x.shape)
    chunks = min(x.shape[0], _MAX_CHUNKS)
    head = (*(t.data_ptr() for t in (dense, taps, shift, y)), *x.shape[1:], weight.shape[1])
    rows = [(*head, *_bounds(x, chunks, chunk)) for chunk in range(chunks)]
    run_tasks(forward_task, rows, LANES)
    return y.to(x.dtype)


def _run_backward(
    x: Tensor, weight: Tensor, bias: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    dense, taps, shift = _dense(x), *_in_lanes(weight, bias)
    slope = _dense(dy)
    chunks = min(x.shape[0], _MAX_CHUNKS)
    width = math.ceil(x.shape[2] / LANES) * LANES
    dx = torch.empty(x.shape)  # (B, L, D)
    dweight, dbias = torch.empty(chunks, weight.shape[1], width), torch.empty(chunks, width)
    head = [t.data_ptr() for t in (dense, taps, shift, slope, dx)]
    rows = []
    for chunk in range(chunks):
        sums = (dweight[chunk].data_ptr(), dbias[chunk].data_ptr())
        sizes = (*x.shape[1:], weight.shape[1])
        rows.append((*head, *sums, *sizes, *_bounds(x, chunks, chunk)))
    run_tasks(backward_task, rows, LANES)
    channels = slice(x.shape[2])
    return dx, dweight.sum(0)[:, channels].mT, dbias.sum(0)[channels]
