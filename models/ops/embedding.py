"""Item embeddings, with positions where a model has them, and dropout: the first layer of all.

    out = dropout(factor table[id] + places[position])

On a CPU in one kernel; its gradient sums straight into the tables, without an intermediate of the
batch's size.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from models.ops.backend import resolve_dense
from models.ops.dropout import noise_for

_LANES = 16


def embed(
    ids: Tensor,
    table: Tensor,
    *,
    positions: Tensor | None = None,
    places: Tensor | None = None,
    factor: float = 1.0,
    dropout: float = 0.0,
    backend: str = "auto",
) -> Tensor:
    """ids and positions (T,) int64, table (V, D), places (P, D) -> (T, D).

    Row 0 of the table is padding: it has no gradient.

    Args:
        factor: on the items alone.
        dropout: on the sum; 0 outside of training.
        backend: see `resolve_dense` in models/ops/backend.py.

    Raises:
        IndexError: an id or a position lies outside of its table.
    """
    if resolve_dense(backend, table) == "torch" or table.shape[1] % _LANES:
        out = F.embedding(ids, table, padding_idx=0)
        out = out if factor == 1.0 else out * factor
        if places is not None and positions is not None:
            out = out + F.embedding(positions, places)
        return F.dropout(out, dropout)
    # Imported here so that a process which never needs it does not load LLVM.
    from models.ops.embedding_numba import embed_numba

    return embed_numba(ids, table, positions, places, factor, noise_for(dropout))
