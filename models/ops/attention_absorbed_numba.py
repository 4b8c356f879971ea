"""The CPU backend of `attention_absorbed`: queries taken to the rows, mixes taken back from them,
and between both a kernel that reads each row once for all heads. Float32 only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.ops.attention_numba import FEW, Operands, run_backward, run_forward
from models.ops.donation import place_for_gradient


def attention_absorbed_numba(
    query: Tensor,
    rows: Tensor,
    weight: Tensor,
    bias: Tensor,
    query_offsets: Tensor,
    offsets: Tensor,
    num_heads: int,
    donated: bool,
) -> Tensor | None:
    """As `attention_absorbed`, for float32 on a CPU; None unless each sequence has rows and each
    query a sequence of its own: with more of them keys and values pay.
    """
    queries, keys = np.diff(query_offsets.numpy()), np.diff(offsets.numpy())
    if len(query) != queries.sum() or queries.max(initial=0) > FEW or keys.min(initial=1) < 1:
        return None
    keying, valuing = weight.view(2, num_heads, -1, rows.shape[1])  # (H, head, D) each
    per_head = query.view(len(query), num_heads, -1).transpose(0, 1)  # (H, M, head)
    asked = torch.bmm(per_head, keying).transpose(0, 1).flatten(1)  # (M, H D)
    if torch.is_grad_enabled() and (asked.requires_grad or rows.requires_grad):
        scale = query.shape[1] // num_heads
        mixed = _AttentionAbsorbed.apply(
            asked, rows, query_offsets, offsets, num_heads, scale, donated
        )
    else:
        tensors = _of_shared(asked, rows, num_heads, query.shape[1] // num_heads)
        mixed, _ = run_forward(tensors, query_offsets, offsets, num_heads, False, keep=False)
    heads = mixed.view(len(query), num_heads, -1).transpose(0, 1)  # (H, M, D)
    return torch.bmm(heads, valuing.mT).transpose(0, 1).flatten(1) + bias[query.shape[1] :]


class _AttentionAbsorbed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, asked: Tensor, rows: Tensor, before: Tensor, offsets: Tensor, heads: int,
        scale: int, donated: bool,
    ) -> Tensor:  # fmt: skip
        tensors = _of_shared(asked, rows, heads, scale)
        out, kept = run_forward(tensors, before, offsets, heads, False, keep=True)
        ctx.save_for_backward(asked, rows, before, offsets, out, kept)
        ctx.shape, ctx.donated = (heads, scale), donated and not rows.is_leaf
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        asked, rows, before, offsets, out, kept = ctx.saved_tensors
        heads, scale = ctx.shape
        dasked, tensors = torch.empty(asked.shape), _of_shared(asked, rows, heads, scale)
        # With one query at most a sequence's rows are read before its gradients are written.
        drows = place_for_gradient(rows, donated=ctx.donated and rows.is_contiguous())
        gradients = _of_shared(dasked, drows, heads, scale)
        run_backward(tensors, before, offsets, heads, False, out, kept, dout, gradients)
        return dasked, drows, None, None, None, None, None


def _of_shared(query: Tensor, rows: Tensor, heads: int, scale: int) -> Operands:
    """Of query (M, H D) and rows (T, D), keys and values of every head."""
    query, rows = query.detach().contiguous(), rows.detach().contiguous()
    width, at = query.shape[1], rows.data_ptr()
    return Operands(query.data_ptr(), width, at, at, rows.shape[1], width, (query, rows), scale)
