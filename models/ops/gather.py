"""Some rows of a tensor, with a gradient that holds those rows alone.

PyTorch's `index_select` writes zeros for all other rows and adds them to what else reaches the
tensor. Of a batch's T rows a model that predicts last items chooses one a history, so on a CPU the
gradient is sparse here. `post_mixer` reads no other rows where nothing else reaches its sum, as in
SASRec; elsewhere autograd adds the rows in place to the whole gradient that comes after them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.ops.backend import resolve_dense


def gather(rows: Tensor, index: Tensor, *, backend: str = "auto") -> Tensor:
    """rows (T, D), index (M,) int64 ascending, each once -> (M, D).

    Args:
        backend: see `resolve_dense` in models/ops/backend.py. With `numba` the gradient is sparse:
            `rows` must come from `post_mixer` or `add_norm`, or be read whole by others too, since
            few operations take a sparse gradient.
    """
    if not _sparse(rows, backend):
        return rows.index_select(0, index)
    chosen: Tensor = _Gather.apply(rows, index)
    return chosen


def gradient_last(rows: Tensor, *, backend: str = "auto") -> Tensor:
    """The same rows, for what reads them whole beside `gather`: taken before it, and their gradient
    comes after the sparse one. PyTorch adds in place in that order alone (as of 2.13), and copies
    the whole gradient in the other.
    """
    if not _sparse(rows, backend):
        return rows
    same: Tensor = _Same.apply(rows)
    return same


def dense(gradient: Tensor) -> Tensor:
    """A gradient with all of its rows."""
    return gradient.to_dense() if gradient.is_sparse else gradient


def _sparse(rows: Tensor, backend: str) -> bool:
    wanted = torch.is_grad_enabled() and rows.requires_grad
    return wanted and resolve_dense(backend, rows) == "numba"


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.shape = rows.shape
        return rows.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # `create_graph`: PyTorch then adds no sparse to a whole one
            return gradient.new_zeros(ctx.shape).index_copy(0, index, gradient), None
        found = torch.sparse_coo_tensor(
            index[None], gradient, ctx.shape, check_invariants=False, is_coalesced=True
        )
        return found, None


class _Same(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        return rows.view_as(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient
