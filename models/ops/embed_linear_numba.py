"""The CPU backend of `embed_linear`: keeps what is looked up, and cuts rows for the kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from models.ops.embed_linear import lookup_table
from models.ops.embed_linear_kernels import forward_task
from models.ops.embedding_numba import check_ids
from models.ops.panels import kept
from models.ops.parts import parts
from models.ops.simd_math import units
from models.ops.threads import run_tasks


def embed_linear_numba(
    ids: Tensor, positions: Tensor, weights: tuple[Tensor, ...], factor: float, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """As `embed_linear`; weights are table, places, gamma, beta, weight and bias."""
    (outputs, width), rows = weights[4].shape, len(ids)
    found = torch.empty(rows, width), torch.empty(rows, width), torch.empty(rows, outputs)
    addresses = found[0].data_ptr(), found[1].data_ptr(), found[2].data_ptr()
    head, held = look_up(ids, positions, weights, factor, eps, addresses)
    tasks = [(*head, *part) for part in parts(rows, smallest=256, most=16)]
    run_tasks(forward_task, tasks, 0)
    del held  # what addresses were taken of has lived until here
    return found


def look_up(
    ids: Tensor,
    positions: Tensor,
    weights: tuple[Tensor, ...],
    factor: float,
    eps: float,
    results: tuple[int, int, int],
) -> tuple[tuple[int, ...], tuple[Tensor, ...]]:
    """The kernel's arguments but the rows, and the tensors that have to live as long.

    Args:
        results: addresses of embedded, normed and y.

    Raises:
        IndexError: an id or a position lies outside of its table.
    """
    table, places, gamma, beta, weight, _ = (t.detach().contiguous() for t in weights)
    ids, positions = ids.contiguous(), positions.contiguous()
    check_ids(ids, len(table))
    check_ids(positions, len(places))
    by, made = torch.tensor([factor]), kept(lookup_table, *weights)
    held = (ids, table, positions, places, gamma, beta, made, by)
    sizes = (len(table), len(places), weight.shape[1], weight.shape[0], units(eps))
    return (*(t.data_ptr() for t in held), *results, *sizes), held
