"""The CPU backend of `linear_cross_entropy` for very large catalogues: tasks own classes.

Beside inputs and gradients it needs memory for the positions only, a small multiple of `hidden`.
The cut depends on the shape alone: the same bits with any number of threads.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops.linear_cross_entropy_large_kernels import (
    CLASSES,
    PITCH,
    gradients_task,
    totals_task,
)
from models.ops.panels import padded, panels_out, up
from models.ops.simd_matmul import ROWS, WIDTH
from models.ops.threads import run_tasks

# Each range of classes has its own sum of the gradient of hidden.
_RANGES = 8


def large_loss_and_gradients(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    bias: Tensor | None,
    wanted: tuple[bool, bool, bool],
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """The mean loss, and its gradients by hidden, weight and bias where wanted."""
    (positions, channels), labels = hidden.shape, weight.shape[0]
    rows, width, classes = up(positions, WIDTH), up(channels, WIDTH), up(labels, ROWS)
    x = padded(hidden.detach(), rows, width).contiguous()  # (rows, width)
    panels = panels_out(x)  # (rows / WIDTH, width, WIDTH)
    w = padded(weight.detach(), classes, width).contiguous()  # (classes, width)
    offset = torch.zeros(labels) if bias is None else bias.detach()
    offset = F.pad(offset, (0, classes - labels), value=-math.inf)  # (classes,)
    ranges = _ranges(classes)
    tops, sums = torch.empty(len(ranges), rows), torch.empty(len(ranges), rows)
    head = (panels.data_ptr(), w.data_ptr(), offset.data_ptr())
    tasks = [
        (*head, tops[i].data_ptr(), sums[i].data_ptr(), rows, width, *part)
        for i, part in enumerate(ranges)
    ]
    scratch = CLASSES * PITCH
    run_tasks(totals_task, tasks, scratch)
    norms = torch.logsumexp(tops + sums.log(), dim=0)  # (rows,)
    at_target = (hidden.detach() * weight.detach()[targets]).sum(1)
    loss = (norms[:positions] - at_target - offset[targets]).mean()
    if not any(wanted):
        return loss, None, None, None
    norms[positions:] = math.inf
    share = torch.tensor([1.0 / positions])
    target = F.pad(targets, (0, rows - positions))  # (rows,): padding is nowhere a target
    target[positions:] = -1
    dhidden = torch.empty(len(ranges), rows, width) if wanted[0] else None
    dweight = torch.empty(classes, width) if wanted[1] else None
    dbias = torch.empty(classes) if wanted[2] and bias is not None else None
    operands = (panels, x, w, offset, target, norms, share)
    before = [t.data_ptr() for t in operands]
    tails = tuple(0 if t is None else t.data_ptr() for t in (dweight, dbias))
    gradient_tasks = [
        (*before, 0 if dhidden is None else dhidden[i].data_ptr(), *tails, rows, width, *part)
        for i, part in enumerate(ranges)
    ]
    run_tasks(gradients_task, gradient_tasks, scratch)
    return (
        loss,
        None if dhidden is None else dhidden.sum(0)[:positions, :channels].contiguous(),
        None if dweight is None else dweight[:labels, :channels],
        None if dbias is None else dbias[:labels],
    )


def _ranges(classes: int) -> list[tuple[int, int]]:
    """Whole blocks of classes, shared out evenly."""
    blocks = -(-classes // CLASSES)
    count = min(_RANGES, blocks)
    return [
        (blocks * i // count * CLASSES, min(classes, blocks * (i + 1) // count * CLASSES))
        for i in range(count)
    ]
