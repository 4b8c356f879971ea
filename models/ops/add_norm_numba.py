"""The CPU backend of `add_norm`: cuts rows into parts and joins the kernel to autograd.

Parts depend on the shape alone and are summed in a fixed order: the same bits with any number of
threads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.ops.add_norm_kernels import backward_task, forward_task
from models.ops.donation import place_for_gradient
from models.ops.gather import dense
from models.ops.panels import lanes, up
from models.ops.parts import summed_parts
from models.ops.simd import LANES
from models.ops.simd_math import units
from models.ops.threads import run_tasks


def add_norm_numba(
    x: Tensor, residual: Tensor | None, gamma: Tensor, beta: Tensor, eps: float,
    noise: tuple[int, int], in_place: bool, donated: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """x and residual (T, D), gamma and beta (D,); seed and threshold -> sum, normed."""
    in_place = in_place and x.is_contiguous()
    if torch.is_grad_enabled():
        total, normed = _AddNorm.apply(x, residual, gamma, beta, eps, noise, in_place, donated)
        return total, normed
    return _forward(x, residual, gamma, beta, eps, noise, in_place)


def _forward(
    x: Tensor, residual: Tensor | None, gamma: Tensor, beta: Tensor, eps: float,
    noise: tuple[int, int], in_place: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    total, normed = x if in_place else torch.empty(x.shape), torch.empty(x.shape)
    x = x.detach().contiguous()
    residual = None if residual is None else residual.detach().contiguous()
    scale, shift = lanes(gamma, LANES), lanes(beta, LANES)
    operands = (x, residual, scale, shift, total, normed)
    head = [0 if t is None else t.data_ptr() for t in operands]
    tasks = [(*head, x.shape[1], units(eps), *noise, *part) for part in summed_parts(x.shape[0], 1)]
    run_tasks(forward_task, tasks, 2 * LANES)
    return total, normed


class _AddNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, residual: Tensor | None, gamma: Tensor, beta: Tensor, eps: float,
        noise: tuple[int, int], in_place: bool, donated: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        total, normed = _forward(x, residual, gamma, beta, eps, noise, in_place)
        if in_place:
            ctx.mark_dirty(x)
        ctx.save_for_backward(total, gamma)
        ctx.eps, ctx.noise, ctx.residual, ctx.donated = eps, noise, residual is not None, donated
        ctx.set_materialize_grads(False)
        return total, normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dsum: Tensor | None, dnormed: Tensor | None) -> tuple[Any, ...]:
        total, gamma = ctx.saved_tensors
        (rows, width), wide = total.shape, up(total.shape[1], LANES)
        dnormed = torch.zeros(total.shape) if dnormed is None else dense(dnormed).contiguous()
        dsum = None if dsum is None else dense(dsum).contiguous()
        dresidual, dx = place_for_gradient(total, donated=ctx.donated), None
        if ctx.noise[1]:  # else they are equal; without a residual nobody asks for its gradient
            dx = torch.empty(total.shape) if ctx.residual else dresidual
        parts = summed_parts(rows, 1)
        dgamma, dbeta = torch.zeros(2, len(parts), wide)
        scale = lanes(gamma, LANES)
        operands = (total, scale, dnormed, dsum, dresidual, dx)
        head = [0 if t is None else t.data_ptr() for t in operands]
        tasks = [
            (*head, dgamma[i].data_ptr(), dbeta[i].data_ptr(), width, units(ctx.eps),
             *ctx.noise, *part)
            for i, part in enumerate(parts)
        ]  # fmt: skip
        run_tasks(backward_task, tasks, 2 * LANES + 2 * wide)
        return (
            dresidual if dx is None else dx, dresidual if ctx.residual else None,
            dgamma.sum(0)[:width], dbeta.sum(0)[:width], *[None] * 4,
        )  # fmt: skip
