"""The CPU backend of `linear`: pads, packs and cuts the work for the kernel. Float32 only.

Parts depend on the shape alone and are summed in a fixed order: the same bits with any number of
threads.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.ops.donation import place_for_gradient
from models.ops.linear import FEW_ROWS
from models.ops.linear_kernels import backward_task, forward_task
from models.ops.panels import kept, lanes, padded, panels_in, panels_out, trimmed, up
from models.ops.parts import row_parts, summed_parts
from models.ops.simd_matmul import ROWS, WIDTH
from models.ops.threads import run_tasks


def linear_numba(x: Tensor, weight: Tensor, bias: Tensor | None, donated: bool) -> Tensor:
    """x (T, K), weight (N, K), bias (N,) or None -> (T, N)."""
    if x.shape[0] < FEW_ROWS:
        return F.linear(x, weight, bias)
    inputs = (x, weight, bias)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs):
        y: Tensor = _Linear.apply(*inputs, donated)
        return y
    return _forward(_dense(x), weight, bias)[: x.shape[0], : weight.shape[0]]


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, donated: bool) -> Tensor:
        dense = _dense(x)
        ctx.save_for_backward(dense, weight)
        ctx.shape, ctx.has_bias, ctx.donated = x.shape, bias is not None, donated and not x.is_leaf
        return _forward(dense, weight, bias, training=True)[: x.shape[0], : weight.shape[0]]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wanted = (*ctx.needs_input_grad[:2], ctx.has_bias and ctx.needs_input_grad[2])
        dx, dweight, dbias = _backward(x, weight, dy, wanted, donated=ctx.donated)
        dx = None if dx is None else trimmed(dx, *ctx.shape)
        return dx, dweight, dbias, None


def _dense(x: Tensor) -> Tensor:
    """x with whole tiles; rows may stay a distance apart."""
    x = padded(x.detach(), up(x.shape[0], ROWS), up(x.shape[1], WIDTH))
    return x if x.stride(1) == 1 else x.contiguous()


def _forward(x: Tensor, weight: Tensor, bias: Tensor | None, *, training: bool = False) -> Tensor:
    outputs = up(weight.shape[0], WIDTH)
    packed = kept(panels_out, weight, training=training)
    offset = None if bias is None else lanes(bias)
    y = torch.empty(x.shape[0], outputs)
    addresses = (
        x.data_ptr(), packed.data_ptr(), 0 if offset is None else offset.data_ptr(), y.data_ptr()
    )  # fmt: skip
    shape = (x.stride(0), x.shape[1], outputs)
    tasks = [(*addresses, *shape, *part) for part in row_parts(x.shape[0])]
    run_tasks(forward_task, tasks, 0)
    return y


def _backward(
    x: Tensor, weight: Tensor, dy: Tensor, wanted: tuple[bool, bool, bool], *, donated: bool
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    rows, inputs, outputs = x.shape[0], x.shape[1], up(weight.shape[0], WIDTH)
    dy = padded(dy, rows, outputs).contiguous()
    parts = summed_parts(rows)
    packed = panels_in(weight) if wanted[0] else None
    dx = place_for_gradient(x, donated=donated and x.is_contiguous()) if wanted[0] else None
    dweight = torch.zeros(len(parts), outputs, inputs) if wanted[1] else None
    dbias = torch.zeros(len(parts), outputs) if wanted[2] else None
    tasks = [
        (x.data_ptr(), 0 if packed is None else packed.data_ptr(), dy.data_ptr(),
         0 if dx is None else dx.data_ptr(),
         *(0 if d is None else d[i].data_ptr() for d in (dweight, dbias)),
         x.stride(0), inputs, outputs, *part)
        for i, part in enumerate(parts)
    ]  # fmt: skip
    run_tasks(backward_task, tasks, 0)
    labels, columns = weight.shape
    return (
        dx,
        None if dweight is None else dweight.sum(0)[:labels, :columns],
        None if dbias is None else dbias.sum(0)[:labels],
    )
