"""The CPU backend of `post_mixer` in training: cuts rows for the kernel and joins it to autograd.

Float32 only. Kept for the backward pass are the inputs, the last sum, and the layouts of the
weights. Parts depend on the shape alone and are summed in a fixed order: the same bits with any
number of threads.
"""

from __future__ import annotations

from array import array
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.ops.donation import place_for_gradient
from models.ops.gather import dense
from models.ops.panels import padded, panels_in, trimmed, up
from models.ops.parts import row_parts, summed_parts
from models.ops.post_mixer import Weights
from models.ops.post_mixer_numba import head_of
from models.ops.post_mixer_training_kernels import backward_task, forward_task, scratch_floats
from models.ops.simd_matmul import ROWS
from models.ops.threads import run_tasks

Noise = tuple[int, int]  # seed and threshold


def post_mixer_training_numba(
    mixed: Tensor, residual: Tensor, weights: Weights, eps: tuple[float, float], smooth: bool,
    post_norm: bool, noises: tuple[Noise, Noise, Noise], donated: bool, inside: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """As `post_mixer`, for widths in whole tiles.

    Args:
        noises: of dropout behind the output layer, on inner values and behind the network.
        donated: whether the residual's gradient may take the place of the last sum.
        inside: whether that of mixed may take the place of that of normed.
    """
    total, normed = _PostMixer.apply(
        mixed, residual, *weights, eps, smooth, post_norm, noises, donated, inside
    )
    return normed if post_norm else total, normed


class _PostMixer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mixed: Tensor, residual: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        *tensors, eps, smooth, post_norm, noises, donated, inside = rest
        weights, rows = Weights(*tensors), len(mixed)
        mixed, residual = _whole(mixed), _whole(residual)
        total, normed = torch.empty(residual.shape), torch.empty(residual.shape)
        addresses = mixed.data_ptr(), residual.data_ptr(), total.data_ptr(), normed.data_ptr()
        head, held = head_of(
            weights, addresses, mixed.shape[1], eps, smooth, post_norm, training=True
        )
        head.extend(number for noise in noises for number in noise)
        at = head.buffer_info()[0]
        tasks = [(at, *part) for part in row_parts(len(mixed))]
        run_tasks(forward_task, tasks, scratch_floats(*weights.outer.shape))
        ctx.save_for_backward(mixed, residual, total, *weights, *held)
        ctx.head, ctx.rows, ctx.donated, ctx.inside = head, rows, donated, inside
        ctx.set_materialize_grads(False)
        results = total[:rows], normed[:rows]
        if post_norm:
            ctx.mark_non_differentiable(results[0])
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dtotal: Tensor | None, dnormed: Tensor | None) -> tuple[Any, ...]:
        mixed, residual, total, *tensors = ctx.saved_tensors
        weights, held = Weights(*tensors[: len(Weights._fields)]), tensors[len(Weights._fields) :]
        some, dtotal = _rows_of(dtotal)
        dnormed = torch.zeros(total.shape) if dnormed is None else _whole(dense(dnormed))
        fits = ctx.inside and dnormed.shape == mixed.shape
        dmixed = place_for_gradient(dnormed, donated=True) if fits else torch.empty(mixed.shape)
        dresidual = place_for_gradient(total, donated=ctx.donated)
        head = ctx.head[:]
        # As saved; the values of the last norm are not made again, and nothing reads their address.
        head[0], head[1], head[12] = mixed.data_ptr(), residual.data_ptr(), total.data_ptr()
        head[2:12] = array("q", (t.data_ptr() for t in held))
        panels = [panels_in(w) for w in (weights.output, weights.inner, weights.outer)]
        head.extend(t.data_ptr() for t in panels)
        head.append(0 if dtotal is None else dtotal.data_ptr())
        head.extend(t.data_ptr() for t in (dnormed, dresidual, dmixed))
        head.extend((0, 0) if some is None else (len(some), some.data_ptr()))
        parts = summed_parts(len(mixed))
        sizes = [weight.numel() for weight in weights]
        sums = torch.empty(len(parts), sum(sizes))
        at = head.buffer_info()[0]
        tasks = [(at, sums[i].data_ptr(), *part) for i, part in enumerate(parts)]
        run_tasks(backward_task, tasks, scratch_floats(*weights.outer.shape))
        gradients = sums.sum(0).split(sizes)
        shaped = [each.view(w.shape) for each, w in zip(gradients, weights, strict=True)]
        both = (trimmed(d, ctx.rows, d.shape[1]) for d in (dmixed, dresidual))
        return *both, *shaped, *[None] * 6


def _rows_of(dtotal: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Which rows of the sum a gradient reaches, ascending, or None for all; and their gradients."""
    if dtotal is None or not dtotal.is_sparse:
        return None, None if dtotal is None else _whole(dtotal)
    dtotal = dtotal.coalesce()  # itself, where one `gather` gave it
    if dtotal._nnz() == 0:
        return None, None
    return dtotal.indices()[0].contiguous(), dtotal.values().contiguous()


def _whole(rows: Tensor) -> Tensor:
    """Contiguous, with zeros behind it to whole tiles."""
    return padded(rows.detach(), up(len(rows), ROWS), rows.shape[1]).contiguous()
