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
from models.ops.rows import clear_rest
from models.ops.simd import LANES
from models.ops.threads import run_tasks

_MAX_CHUNKS = 16


def causal_conv1d_numba(x: Tensor, weight: Tensor, bias: Tensor, rows: Tensor) -> Tensor:
    """silu(filter(x)), (T, D), in x's dtype; rows (B, 2) int64: first row and length of each
    sequence. Rows of no sequence give 0.
    """
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, weight, bias)):
        y: Tensor = _Convolution.apply(x, weight, bias, rows)
        return y
    return _run_forward(x, weight, bias, rows)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, bias, rows)
        return _run_forward(x, weight, bias, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, rows = ctx.saved_tensors
        gradients = _run_backward(x, weight, bias, rows, dy)
        cast = [
            g.to(t.dtype) if need else None
            for g, t, need in zip(
                gradients, (x, weight, bias), ctx.needs_input_grad[:3], strict=True
            )
        ]
        return (*cast, None)


def _dense(tensor: Tensor) -> Tensor:
    return tensor.detach().to(torch.float32).contiguous()


def _rowwise(tensor: Tensor) -> Tensor:
    """float32 with contiguous rows, which may lie apart."""
    tensor = tensor.detach().to(torch.float32)
    return tensor if tensor.stride(1) == 1 else tensor.contiguous()


def _in_lanes(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """(K, columns * 16) and (columns * 16,), zeros in the lanes beyond D."""
    room = (0, -weight.shape[0] % LANES)
    return F.pad(_dense(weight.mT), room), F.pad(_dense(bias), room)


def _chunks(rows: Tensor) -> list[tuple[int, int]]:
    batch = rows.shape[0]
    count = min(batch, _MAX_CHUNKS)
    return [(batch * i // count, batch * (i + 1) // count) for i in range(count)]


def _run_forward(x: Tensor, weight: Tensor, bias: Tensor, rows: Tensor) -> Tensor:
    rowwise, taps, shift = _rowwise(x), *_in_lanes(weight, bias)
    y = torch.empty(x.shape)
    clear_rest(rows, y)
    head = (
        *(t.data_ptr() for t in (rowwise, taps, shift, rows, y)),
        rowwise.stride(0), x.shape[1], weight.shape[1],
    )  # fmt: skip
    run_tasks(forward_task, [(*head, *chunk) for chunk in _chunks(rows)], LANES)
    return y.to(x.dtype)


def _run_backward(
    x: Tensor, weight: Tensor, bias: Tensor, rows: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    rowwise, taps, shift = _rowwise(x), *_in_lanes(weight, bias)
    slope, dx = _dense(dy), torch.empty(x.shape)  # (T, D)
    clear_rest(rows, dx)
    chunks = _chunks(rows)
    width = math.ceil(x.shape[1] / LANES) * LANES
    dweight = torch.empty(len(chunks), weight.shape[1], width)
    dbias = torch.empty(len(chunks), width)
    head = [t.data_ptr() for t in (rowwise, taps, shift, rows, slope, dx)]
    sizes = (rowwise.stride(0), x.shape[1], weight.shape[1])
    tasks = [
        (*head, dweight[i].data_ptr(), dbias[i].data_ptr(), *sizes, *chunk)
        for i, chunk in enumerate(chunks)
    ]
    run_tasks(backward_task, tasks, LANES)
    channels = slice(x.shape[1])
    return dx, dweight.sum(0)[:, channels].mT, dbias.sum(0)[channels]
