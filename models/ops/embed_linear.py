"""A linear layer of normed embeddings, y = LayerNorm(factor table[id] + places[position]) W^T + b,
by looking it up: what a first layer is given when nothing is trained.

A norm takes away a mean and divides by a deviation, so the layer's product with an embedding can be
made once for each item and each position instead of once for each row of a batch:

    y = (factor (table G^T)[id] + (places G^T)[position] - mean G 1) / deviation + (W beta + b)

with G = W gamma. Dropout stands in between when a model is trained, so this is for inference only.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops.add_norm import add_norm
from models.ops.backend import resolve_dense
from models.ops.embedding import embed
from models.ops.linear import linear

_LANES = 16
# Numbers of a table that is kept: 64 MiB, 87,000 items at a hidden size of 64.
_MOST = 2**24


def embed_linear(
    ids: Tensor,
    table: Tensor,
    positions: Tensor,
    places: Tensor,
    gamma: Tensor,
    beta: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    factor: float = 1.0,
    eps: float,
    backend: str = "auto",
) -> tuple[Tensor, Tensor, Tensor]:
    """Embedded (T, D), the same normed (T, D), and y (T, N).

    Args:
        ids, positions: (T,) int64; table (V, D), places (P, D), gamma and beta (D,).
        weight, bias: (N, D) and (N,).
        factor: on the items alone.
        backend: see `resolve_dense` in models/ops/backend.py.

    Raises:
        IndexError: an id or a position lies outside of its table.
    """
    weights = (table, places, gamma, beta, weight, bias)
    if resolve_dense(backend, table) == "numba" and can_look_up(weights):
        # Imported here so that a process which never needs it does not load LLVM.
        from models.ops.embed_linear_numba import embed_linear_numba

        return embed_linear_numba(ids, positions, weights, factor, eps)
    embedded = embed(
        ids, table, positions=positions, places=places, factor=factor, backend=backend
    )  # fmt: skip
    _, normed = add_norm(embedded, None, gamma, beta, eps=eps, backend=backend)
    return embedded, normed, linear(normed, weight, bias, backend=backend)


def can_look_up(weights: tuple[Tensor, ...]) -> bool:
    """Whether the layer can be looked up: nothing is trained, and its table is not too large."""
    table, places, *_, weight, _ = weights
    outputs, width = weight.shape
    inference = torch.is_grad_enabled() or any(t.is_inference() for t in weights)
    size = (len(table) + len(places)) * outputs
    return not inference and size <= _MOST and width % _LANES == outputs % _LANES == 0


def lookup_table(*weights: Tensor) -> Tensor:
    """What is made once, (V + P + 2, N): of each item, of each position, of a mean, and alone."""
    table, places, gamma, beta, weight, bias = (t.detach() for t in weights)
    scaled = weight * gamma  # (N, D)
    rows = [F.linear(table, scaled), F.linear(places, scaled)]
    return torch.cat([*rows, scaled.sum(1)[None], (weight @ beta + bias)[None]])
