"""The position-wise feed-forward network of all transformers here and of Mamba4Rec.

    y = dropout(act(x weight1^T + bias1)) weight2^T + bias2

On a CPU in one kernel, which never writes the inner values (four times as wide as x) to memory.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops.backend import resolve_dense
from models.ops.dropout import noise_for

ACTIVATIONS = ("relu", "gelu")


def feed_forward(
    x: Tensor,
    weight1: Tensor,
    bias1: Tensor,
    weight2: Tensor,
    bias2: Tensor,
    *,
    activation: str,
    dropout: float = 0.0,
    backend: str = "auto",
) -> Tensor:
    """x (T, D), weight1 (E, D), bias1 (E,), weight2 (D, E), bias2 (D,) -> (T, D).

    Args:
        activation: relu, or gelu with the exact normal distribution.
        dropout: probability with which an inner value is dropped; 0 outside of training.
        backend: see `resolve_dense` in models/ops/backend.py.
    """
    check_activation(activation)
    if resolve_dense(backend, x) == "torch":
        inner = F.linear(x, weight1, bias1)
        inner = F.gelu(inner) if activation == "gelu" else torch.relu(inner)
        return F.linear(F.dropout(inner, dropout), weight2, bias2)
    # Imported here so that a process which never needs it does not load LLVM.
    from models.ops.feed_forward_numba import feed_forward_numba

    weights = (weight1, bias1, weight2, bias2)
    return feed_forward_numba(x, weights, activation == "gelu", noise_for(dropout))


def check_activation(activation: str) -> None:
    """ValueError with what is allowed, for one that is not."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation={activation!r}: allowed are {', '.join(ACTIVATIONS)}")
