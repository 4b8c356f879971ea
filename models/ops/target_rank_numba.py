"""The CPU backend of `rank_of_target`: packs the catalogue and cuts the rows for the kernel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops.panels import kept, padded, panels_out, up
from models.ops.simd import LANES
from models.ops.simd_matmul import ROWS, WIDTH
from models.ops.target_rank_kernels import count_task
from models.ops.threads import run_tasks

# Rows and items whose scores lie in the cache; numbers of weights packed at a time.
_ROWS, _ITEMS, _PANELS = 32, 256, 2**22


def counts_numba(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """How many scores are larger than the target's, equal to it, and NaN: (B,) int64 each."""
    (rows, width), items = hidden.shape, weight.shape[0]
    hidden = padded(hidden.detach().contiguous(), up(rows, ROWS), width)
    weight, targets = weight.detach().contiguous(), targets.contiguous()
    shift = None if bias is None else F.pad(bias.detach(), (0, -items % WIDTH))
    counts = torch.zeros(rows, 3, dtype=torch.int64)
    head = (hidden.data_ptr(), weight.data_ptr(), 0 if shift is None else shift.data_ptr())
    shape = (width, up(width, WIDTH), _ITEMS)
    span = up(max(1, _PANELS // width), WIDTH)
    for first in range(0, items, span):
        stop = min(first + span, items)
        # Kept where it is the whole catalogue, since the next batch brings the same.
        whole = stop - first == items
        panels = kept(panels_out, weight) if whole else panels_out(weight[first:stop])
        tasks = [
            (*head, panels.data_ptr(), targets.data_ptr(), counts.data_ptr(), *shape,
             first, stop, row, min(row + _ROWS, hidden.shape[0]), rows)
            for row in range(0, hidden.shape[0], _ROWS)
        ]  # fmt: skip
        run_tasks(count_task, tasks, _ROWS * (_ITEMS + 2 * LANES))
    larger, equal, broken = counts.unbind(1)
    return larger, equal, broken
