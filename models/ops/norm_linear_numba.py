"""The CPU backend of `norm_linear`: cuts rows for the kernel and joins it to autograd.

Float32 only. Kept for the backward pass are the sum and the weights. Parts depend on the shape
alone and are summed in a fixed order: the same bits with any number of threads.
"""

from __future__ import annotations

from array import array
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.ops.donation import place_for_gradient
from models.ops.gather import dense
from models.ops.norm_linear_kernels import backward_task, forward_task, scratch_floats
from models.ops.panels import kept, panels_in, panels_out
from models.ops.parts import row_parts, summed_parts
from models.ops.simd_math import units
from models.ops.threads import run_tasks

Noise = tuple[int, int]  # seed and threshold


def norm_linear_numba(
    x: Tensor, gamma: Tensor, beta: Tensor, weight: Tensor, bias: Tensor, eps: float,
    noise: Noise, in_place: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """As `norm_linear`, for widths and rows in whole tiles."""
    in_place = in_place and x.is_contiguous()
    weights = gamma, beta, weight, bias
    if torch.is_grad_enabled():
        total, y = _NormLinear.apply(x, *weights, eps, noise, in_place)
        return total, y
    return _forward(x, weights, eps, noise, in_place, training=False)


def _forward(
    x: Tensor, weights: tuple[Tensor, ...], eps: float, noise: Noise, in_place: bool, *,
    training: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    (rows, width), outputs = x.shape, len(weights[2])
    total, y = x if in_place else torch.empty(x.shape), torch.empty(rows, outputs)
    x, (gamma, beta, _, bias) = x.detach().contiguous(), (w.detach().contiguous() for w in weights)
    panels = kept(panels_out, weights[2], training=training)
    tensors = (x, gamma, beta, total, panels, bias, y)
    numbers = (width, outputs, units(eps), *noise)
    head = array("q", (*(t.data_ptr() for t in tensors), *numbers))
    at = head.buffer_info()[0]
    run_tasks(forward_task, [(at, *part) for part in row_parts(rows)], scratch_floats(width))
    return total, y


class _NormLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        *weights, eps, noise, in_place = rest
        total, y = _forward(x, tuple(weights), eps, noise, in_place, training=True)
        if in_place:
            ctx.mark_dirty(x)
        ctx.save_for_backward(total, *weights)
        ctx.eps, ctx.noise, ctx.in_place = eps, noise, in_place
        ctx.set_materialize_grads(False)
        return total, y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dtotal: Tensor | None, dy: Tensor | None) -> tuple[Any, ...]:
        total, gamma, beta, weight, bias = ctx.saved_tensors
        (rows, width), outputs = total.shape, len(weight)
        dy = torch.zeros(rows, outputs) if dy is None else dense(dy).contiguous()
        dtotal = None if dtotal is None else dense(dtotal).contiguous()
        dx = place_for_gradient(total, donated=ctx.in_place)
        tensors = (None, gamma.contiguous(), beta.contiguous(), total, panels_in(weight))
        numbers = (width, outputs, units(ctx.eps), *ctx.noise)
        addresses = (0 if t is None else t.data_ptr() for t in tensors)
        gradients = (0 if dtotal is None else dtotal.data_ptr(), dy.data_ptr(), dx.data_ptr())
        head = array("q", (*addresses, 0, 0, *numbers, *gradients))
        parts, shapes = summed_parts(rows), (weight.shape, bias.shape, gamma.shape, beta.shape)
        sizes = [shape.numel() for shape in shapes]
        sums = torch.empty(len(parts), sum(sizes))
        at = head.buffer_info()[0]
        tasks = [(at, sums[i].data_ptr(), *part) for i, part in enumerate(parts)]
        run_tasks(backward_task, tasks, scratch_floats(width))
        summed = sums.sum(0).split(sizes)
        dweight, dbias, dgamma, dbeta = (s.view(to) for s, to in zip(summed, shapes, strict=True))
        return dx, dgamma, dbeta, dweight, dbias, None, None, None
