"""The CPU backend of `feed_forward`: pads, packs and cuts the work for the kernel. Float32 only.

Kept for the backward pass is the input alone. Parts depend on the shape only and are summed in a
fixed order: the same bits with any number of threads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.ops.feed_forward_kernels import BLOCK, backward_task, forward_task
from models.ops.panels import kept, lanes, padded, panels_in, panels_out, trimmed, up
from models.ops.parts import row_parts, summed_parts
from models.ops.simd_matmul import ROWS, WIDTH
from models.ops.threads import run_tasks


def feed_forward_numba(
    x: Tensor, weights: tuple[Tensor, Tensor, Tensor, Tensor], smooth: bool, noise: tuple[int, int]
) -> Tensor:
    """x (T, D); weight1 (E, D), bias1 (E,), weight2 (D, E), bias2 (D,); seed and threshold."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *weights)):
        y: Tensor = _FeedForward.apply(x, *weights, smooth, noise)
        return y
    return _forward(_dense(x), weights, smooth, noise)[: x.shape[0], : x.shape[1]]


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *rest: Any) -> Tensor:
        *weights, smooth, noise = rest
        dense = _dense(x)
        ctx.save_for_backward(dense, *weights)
        ctx.smooth, ctx.noise, ctx.rows = smooth, noise, x.shape[0]
        return _forward(dense, tuple(weights), smooth, noise, training=True)[
            : x.shape[0], : x.shape[1]
        ]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, *weights = ctx.saved_tensors
        dx, *gradients = _backward(x, tuple(weights), dy, ctx.smooth, ctx.noise)
        return trimmed(dx, ctx.rows, dx.shape[1]), *gradients, None, None


def _dense(x: Tensor) -> Tensor:
    return padded(x.detach(), up(x.shape[0], ROWS), up(x.shape[1], WIDTH)).contiguous()


def _forward(
    x: Tensor,
    weights: tuple[Tensor, ...],
    smooth: bool,
    noise: tuple[int, int],
    *,
    training: bool = False,
) -> Tensor:
    weight1, bias1, weight2, bias2 = weights
    rows, width = x.shape
    wide = up(weight1.shape[0], WIDTH)
    y = torch.empty(rows, width)
    operands = (
        x, kept(panels_out, weight1, training=training), lanes(bias1),
        kept(panels_out, weight2, training=training), lanes(bias2), y,
    )  # fmt: skip
    head = (*(t.data_ptr() for t in operands), width, wide, smooth, *noise)
    tasks = [(*head, *part) for part in row_parts(rows)]
    run_tasks(forward_task, tasks, BLOCK * wide)
    return y


def _backward(
    x: Tensor, weights: tuple[Tensor, ...], dy: Tensor, smooth: bool, noise: tuple[int, int]
) -> list[Tensor]:
    weight1, bias1, weight2, _ = weights
    rows, width = x.shape
    wide = up(weight1.shape[0], WIDTH)
    dy = padded(dy, rows, width).contiguous()
    dx = torch.empty(rows, width)
    parts = summed_parts(rows)
    shapes = ((wide, width), (wide,), (width, wide), (width,))
    sums = [torch.zeros(len(parts), *shape) for shape in shapes]
    operands = (
        x,
        panels_out(weight1),
        lanes(bias1),
        panels_in(weight1),
        panels_in(weight2),
        dy,
        dx,
    )
    head = tuple(t.data_ptr() for t in operands)
    tasks = [
        (*head, *(s[i].data_ptr() for s in sums), width, wide, smooth, *noise, *part)
        for i, part in enumerate(parts)
    ]
    run_tasks(backward_task, tasks, 3 * BLOCK * wide)
    one, two, three, four = (s.sum(0) for s in sums)
    inner, outer = weight1.shape
    return [
        dx[:, :outer], one[:inner, :outer], two[:inner], three[:outer, :inner], four[:outer]
    ]  # fmt: skip
