"""Attention for all transformers here: PyTorch's fused kernels behind one function, and the plain
reference.

Causal attention never materialises a mask: padding is on the right, so a real position can't see
it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    causal: bool = False,
    key_lengths: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Scaled dot-product attention, (B, H, L, head) each -> (B, H, L, head).

    Args:
        key_lengths: (B,) real lengths; keys at or beyond them are not seen. Not needed when causal.
        dropout: on the attention weights. On a CPU only the unfused kernel has it.
    """
    mask = None if key_lengths is None else key_mask(key_lengths, key.shape[2])
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal
    )


def attention_reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    causal: bool = False,
    key_lengths: Tensor | None = None,
) -> Tensor:
    """The same in plain PyTorch, with the whole (L, L) matrix; for tests."""
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])  # (B, H, L, L)
    if causal:
        future = torch.ones_like(scores, dtype=torch.bool).triu(diagonal=1)
        scores = scores.masked_fill(future, -math.inf)
    if key_lengths is not None:
        scores = scores.masked_fill(~key_mask(key_lengths, key.shape[2]), -math.inf)
    return scores.softmax(dim=-1) @ value


def key_mask(key_lengths: Tensor, length: int) -> Tensor:
    """True where a key is real: (B,) -> (B, 1, 1, L)."""
    positions = torch.arange(length, device=key_lengths.device)
    return (positions < key_lengths[:, None])[:, None, None, :]
