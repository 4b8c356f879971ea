"""The CPU backend of `embed_linear`: keeps what is looked up, and cuts rows for the kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from models.ops.embed_linear import looked_up
from models.ops.embed_linear_kernels import forward_task
from models.ops.embedding_numba import check_ids
from models.ops.panels import kept
from models.ops.simd_math import units
from models.ops.threads import run_tasks

_MAX_PARTS, _MIN_PART = 16, 256


def embed_linear_numba(
    ids: Tensor, positions: Tensor, weights: tuple[Tensor, ...], factor: float, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """As `embed_linear`; weights are table, places, gamma, beta, weight and bias."""
    table, places, gamma, beta, weight, _ = (t.detach().contiguous() for t in weights)
    ids, positions = ids.contiguous(), positions.contiguous()
    check_ids(ids, len(table))
    check_ids(positions, len(places))
    made = kept(looked_up, *weights)
    (outputs, width), rows = weight.shape, len(ids)
    by, embedded, normed = (
        torch.tensor([factor]),
        torch.empty(rows, width),
        torch.empty(rows, width),
    )
    y = torch.empty(rows, outputs)
    operands = (ids, table, positions, places, gamma, beta, made, by, embedded, normed, y)
    head = [t.data_ptr() for t in operands]
    count = max(1, min(_MAX_PARTS, rows // _MIN_PART))
    tasks = [
        (*head, len(table), len(places), width, outputs, units(eps), rows * i // count,
         rows * (i + 1) // count)
        for i in range(count)
    ]  # fmt: skip
    run_tasks(forward_task, tasks, 0)
    return embedded, normed, y
