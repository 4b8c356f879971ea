"""The CPU backend of `score_top_k`: cuts the catalogue or the rows into tasks for the kernels.

Few rows are cut by items, each part with lists of its own that are merged in order; many rows by
rows. The cut depends on the shape alone, so any number of threads gives the same bits.
"""

from __future__ import annotations

import ctypes
from array import array

import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops.panels import kept, padded, panels_out, up
from models.ops.simd import LANES
from models.ops.simd_matmul import ROWS, WIDTH
from models.ops.threads import run_tasks
from models.ops.top_k_kernels import few_task, many_task

# Rows from which on packing the weights pays.
_MANY = 32
# Of few rows: numbers of weights in a part.
_PART, _MAX_PARTS = 2**20, 16
# Of many rows: rows and items whose scores lie in the cache; numbers of weights packed at a time.
_ROWS, _ITEMS, _PANELS = 32, 256, 2**22

_run_few = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(few_task)


def score_top_k_numba(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, k: int, seen: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Ids and scores (B, k) of float32 tensors on the CPU."""
    hidden, weight = hidden.contiguous(), weight.contiguous()
    bias = None if bias is None else bias.contiguous()
    seen = None if seen is None else seen.contiguous()
    if hidden.shape[0] < _MANY:
        return _few(hidden, weight, bias, k, seen)
    return _many(hidden, weight, bias, k, seen)


def _few(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, k: int, seen: Tensor | None
) -> tuple[Tensor, Tensor]:
    (rows, width), items = hidden.shape, weight.shape[0]
    operands = (hidden.data_ptr(), weight.data_ptr(), _address(bias), _address(seen))
    shape = (rows, width, 0 if seen is None else seen.shape[1], k)
    parts = max(1, min(_MAX_PARTS, items * width // _PART))
    if parts == 1:
        # Straight into the kernel: sharing work out would take as long as the work.
        ids, best = torch.empty(rows, k, dtype=torch.int64), torch.empty(rows, k)
        row = array("q", (*operands, ids.data_ptr(), best.data_ptr(), *shape, 0, items))
        _run_few(row.buffer_info()[0], 0)
        return ids, best
    ids, best = torch.empty(parts, rows, k, dtype=torch.int64), torch.empty(parts, rows, k)
    tasks = [
        (*operands, ids[part].data_ptr(), best[part].data_ptr(), *shape,
         items * part // parts, items * (part + 1) // parts)
        for part in range(parts)
    ]  # fmt: skip
    run_tasks(few_task, tasks, 1)
    # Parts are in the order of their ids, and a stable sort leaves equal scores in theirs.
    best, order = best.transpose(0, 1).flatten(1).sort(dim=1, descending=True, stable=True)
    return ids.transpose(0, 1).flatten(1).gather(1, order[:, :k]), best[:, :k]


def _many(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, k: int, seen: Tensor | None
) -> tuple[Tensor, Tensor]:
    (rows, width), items = hidden.shape, weight.shape[0]
    ids = torch.zeros((rows, k), dtype=torch.int64)
    best = torch.full((rows, k), -torch.inf)
    hidden = padded(hidden.detach(), up(rows, ROWS), width)
    lists = (_address(seen), ids.data_ptr(), best.data_ptr())
    shape = (width, up(width, WIDTH), 0 if seen is None else seen.shape[1], k, _ITEMS)
    span = up(max(1, _PANELS // width), WIDTH)
    for first in range(0, items, span):
        stop = min(first + span, items)
        # Kept where it is the whole catalogue, since the next batch brings the same.
        whole = stop - first == items
        panels = kept(panels_out, weight) if whole else panels_out(weight[first:stop])
        shift = (
            None if bias is None else F.pad(bias.detach()[first:stop], (0, (first - stop) % WIDTH))
        )
        tasks = [
            (hidden.data_ptr(), panels.data_ptr(), _address(shift), *lists, *shape, first, stop,
             row, min(row + _ROWS, hidden.shape[0]), rows)
            for row in range(0, hidden.shape[0], _ROWS)
        ]  # fmt: skip
        run_tasks(many_task, tasks, _ROWS * (_ITEMS + LANES))
    return ids, best


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()
