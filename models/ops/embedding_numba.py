"""The CPU backend of `embed`: cuts rows, and for the gradients rows of the tables, into parts.

Each row of a table is summed by one part in the order of the batch: the same bits with any number
of threads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.ops.embedding_kernels import backward_task, forward_task
from models.ops.parts import parts
from models.ops.threads import run_tasks

# Every part of a table reads all ids, so these are few.
_TABLE_PARTS = 4


def embed_numba(
    ids: Tensor, table: Tensor, positions: Tensor | None, places: Tensor | None, factor: float,
    noise: tuple[int, int],
) -> Tensor:  # fmt: skip
    """ids and positions (T,), table (V, D), places (P, D); seed and threshold -> (T, D)."""
    ids = ids.contiguous()
    check_ids(ids, table.shape[0])
    if places is None:
        positions = None
    else:
        assert positions is not None, "places come with positions"
        positions = positions.contiguous()
        check_ids(positions, places.shape[0])
    if not torch.is_grad_enabled():
        return _forward(table, places, ids, positions, factor, noise)
    out: Tensor = _Embed.apply(table, places, ids, positions, factor, noise)
    return out


def _forward(
    table: Tensor, places: Tensor | None, ids: Tensor, positions: Tensor | None,
    factor: float, noise: tuple[int, int],
) -> Tensor:  # fmt: skip
    rows, width = ids.shape[0], table.shape[1]
    weights = [None if t is None else t.detach().contiguous() for t in (table, places)]
    by, out = torch.tensor([factor]), torch.empty(rows, width)
    operands = (ids, weights[0], positions, weights[1], by, out)
    head = [0 if t is None else t.data_ptr() for t in operands]
    tasks = [(*head, width, *noise, *part) for part in parts(rows, smallest=512, most=16)]
    run_tasks(forward_task, tasks, 0)
    return out


class _Embed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, table: Tensor, places: Tensor | None, ids: Tensor, positions: Tensor | None,
        factor: float, noise: tuple[int, int],
    ) -> Tensor:  # fmt: skip
        out = _forward(table, places, ids, positions, factor, noise)
        ctx.save_for_backward(ids, positions)
        ctx.sizes = (table.shape[0], None if places is None else places.shape[0])
        ctx.factor, ctx.noise = factor, noise
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        ids, positions = ctx.saved_tensors
        dout = dout.contiguous()
        dtable = _summed(dout, ids, ctx.sizes[0], ctx.factor, 1, ctx.noise)
        dplaces = None
        if positions is not None:
            dplaces = _summed(dout, positions, ctx.sizes[1], 1.0, 0, ctx.noise)
        return dtable, dplaces, None, None, None, None


def _summed(
    dout: Tensor, ids: Tensor, size: int, factor: float, first_id: int, noise: tuple[int, int]
) -> Tensor:
    rows, width = dout.shape
    dtable, by = torch.empty(size, width), torch.tensor([factor])
    head = (ids.data_ptr(), dout.data_ptr(), by.data_ptr(), dtable.data_ptr(), first_id)
    tasks = [
        (*head, width, *noise, rows, size * i // _TABLE_PARTS, size * (i + 1) // _TABLE_PARTS)
        for i in range(_TABLE_PARTS)
    ]
    run_tasks(backward_task, tasks, 0)
    return dtable


def check_ids(ids: Tensor, size: int) -> None:
    """Raises ValueError for ids that are not int64 on the CPU, and IndexError for one outside of a
    table of so many rows.
    """
    if ids.dtype != torch.int64 or not ids.is_cpu:
        raise ValueError(f"ids must be int64 on cpu, not {ids.dtype} on {ids.device}")
    if ids.numel() and not (0 <= int(ids.min()) and int(ids.max()) < size):
        raise IndexError(f"ids must lie in 0..{size - 1}, got {int(ids.min())}..{int(ids.max())}")
