"""The CPU backend of `linear_cross_entropy`: pads, packs and cuts the work for the kernel.

Float32 only. The cut depends on the shape alone and sums over parts have a fixed order, so the same
inputs give the same bits with any number of threads.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops.linear_cross_entropy_kernels import block_loss_task
from models.ops.panels import padded, up
from models.ops.simd import LANES
from models.ops.simd_matmul import ROWS, WIDTH
from models.ops.threads import run_tasks

# Each part of the positions has a weight gradient of its own, so parts are few and not too small.
_MAX_PARTS = 16
_MIN_PART = 128
# Logits of one block: the best of 2**17 .. 2**22 bytes at 25,600 x 3,417 x 64.
_BLOCK_BYTES = 2**20


def loss_and_gradients_numba(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    bias: Tensor | None,
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """The mean loss, and its gradients by hidden, weight and bias where wanted."""
    positions, channels = hidden.shape
    labels = weight.shape[0]
    width, classes = up(channels, WIDTH), up(labels, WIDTH)
    rows = up(positions, ROWS)
    x = padded(hidden.detach(), rows, width).contiguous()  # (rows, width)
    w = padded(weight.detach(), classes, width).contiguous()  # (classes, width)
    panels = w.view(-1, WIDTH, width).mT.contiguous()  # (classes / WIDTH, width, WIDTH)
    offset = torch.zeros(labels) if bias is None else bias.detach()
    offset = F.pad(offset, (0, classes - labels), value=-math.inf)  # (classes,)
    target = targets.contiguous()
    parts = max(1, min(_MAX_PARTS, positions // _MIN_PART))
    losses = torch.empty(positions)
    dhidden = torch.empty(rows, width) if wanted[0] else None
    dweight = torch.empty(parts, classes, width) if wanted[1] else None
    dbias = torch.empty(parts, classes) if wanted[2] and bias is not None else None
    block = max(ROWS, min(_BLOCK_BYTES // (4 * classes), 256) // ROWS * ROWS)
    head = [t.data_ptr() for t in (x, panels, w, offset, target, losses)]
    head.append(0 if dhidden is None else dhidden.data_ptr())
    tasks = [
        (*head, *(0 if d is None else d[part].data_ptr() for d in (dweight, dbias)),
         positions, width, classes, block, *_bounds(rows, parts, part))
        for part in range(parts)
    ]  # fmt: skip
    run_tasks(block_loss_task, tasks, block * (classes + LANES) + LANES)
    return (
        losses.mean(),
        None if dhidden is None else dhidden[:positions, :channels].contiguous(),
        None if dweight is None else _summed(dweight)[:labels, :channels].contiguous(),
        None if dbias is None else _summed(dbias)[:labels].contiguous(),
    )


def _summed(parts: Tensor) -> Tensor:
    return parts[0] if len(parts) == 1 else parts.sum(0)


def _bounds(rows: int, parts: int, part: int) -> tuple[int, int]:
    tiles = rows // ROWS
    return tiles * part // parts * ROWS, tiles * (part + 1) // parts * ROWS
