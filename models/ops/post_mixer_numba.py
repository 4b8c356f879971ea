"""The CPU backend of `post_mixer`: lays weights out and cuts rows for the kernel. Float32 only."""

from __future__ import annotations

from array import array

import torch
from torch import Tensor

from models.ops.panels import kept, padded, panels_out, up
from models.ops.parts import row_parts
from models.ops.post_mixer import Weights
from models.ops.post_mixer_kernels import forward_task, scratch_floats
from models.ops.simd_math import units
from models.ops.simd_matmul import ROWS
from models.ops.threads import run_tasks


def post_mixer_numba(
    mixed: Tensor, residual: Tensor, weights: Weights, eps: tuple[float, float], smooth: bool,
    post_norm: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """As `post_mixer`, without gradients, for widths in whole tiles."""
    (width, wide), rows = weights.outer.shape, len(mixed)
    whole = up(rows, ROWS)
    mixed = padded(mixed, whole, mixed.shape[1]).contiguous()
    residual = padded(residual, whole, width).contiguous()
    normed = torch.empty(whole, width)
    total = normed if post_norm else torch.empty(whole, width)
    addresses = mixed.data_ptr(), residual.data_ptr(), total.data_ptr(), normed.data_ptr()
    head, held = head_of(weights, addresses, mixed.shape[1], eps, smooth, post_norm)
    at = head.buffer_info()[0]
    tasks = [(at, *part) for part in row_parts(whole)]
    run_tasks(forward_task, tasks, scratch_floats(width, wide))
    del held  # what addresses were taken of has lived until here
    return total[:rows], normed[:rows]


def head_of(
    weights: Weights,
    addresses: tuple[int, int, int, int],
    keys: int,
    eps: tuple[float, float],
    smooth: bool,
    post_norm: bool,
    *,
    training: bool = False,
) -> tuple[array[int], list[Tensor]]:
    """What all tasks of a call share, and the tensors that have to live as long.

    Args:
        addresses: of mixed (T, keys), residual, sum and normed (T, D).
    """
    width, wide = weights.outer.shape
    layers = (weights.output, weights.inner, weights.outer)
    output, inner, outer = (kept(panels_out, weight, training=training) for weight in layers)
    vectors = [w.detach().contiguous() for w in weights if w.dim() == 1]
    output_bias, gamma, beta, inner_bias, outer_bias, last_gamma, last_beta = vectors
    held = [
        output, output_bias, gamma, beta, inner, inner_bias, outer, outer_bias, last_gamma,
        last_beta,
    ]  # fmt: skip
    mixed, residual, total, normed = addresses
    head = array(
        "q",
        (mixed, residual, *(t.data_ptr() for t in held), total, normed, keys, width, wide, smooth,
         post_norm, *(units(each) for each in eps)),
    )  # fmt: skip
    return head, held
