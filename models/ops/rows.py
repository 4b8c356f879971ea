"""From packed sequences, one after another, to padded ones and back, for kernels that know only
(B, L, ...); and the rows that belong to no sequence.

Row t of sequence b is row offsets[b] + t of a packed tensor; rows from offsets[-1] on belong to no
sequence.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.ops.per_batch import PerBatch


def pad_rows(packed: Tensor, offsets: Tensor) -> Tensor:
    """(T, D) -> (B, L, D) with zeros on the right, L the longest sequence; offsets (B + 1,)."""
    where, batch, length = _where(offsets, packed.device)
    padded = packed.new_zeros(batch * length, packed.shape[1])
    filled = padded.index_copy(0, where, packed[: len(where)])
    return filled.view(batch, length, -1)


def unpad_rows(padded: Tensor, offsets: Tensor, rows: int) -> Tensor:
    """(B, L, D) -> (rows, D), zeros in rows of no sequence."""
    where, _, _ = _where(offsets, padded.device)
    packed = padded.flatten(0, 1).index_select(0, where)
    room = packed.new_zeros(rows - len(where), packed.shape[1])
    return torch.cat((packed, room)) if len(room) else packed


def clear_rest(rows: Tensor, *results: Tensor) -> None:
    """Write zeros to the rows of results (T, D) that no sequence has.

    Args:
        rows: (B, 2 or more) int64, each sequence's first row and its length; no two share a row.
    """
    starts, lengths = rows[:, 0], rows[:, 1]
    stops = starts + lengths
    end = int(stops.max()) if len(rows) else 0
    if int(lengths.sum()) == end:
        for result in results:
            result[end:] = 0
        return
    step = torch.ones_like(starts)
    change = torch.zeros(results[0].shape[0] + 1, dtype=torch.int64)
    change.index_add_(0, starts, step).index_add_(0, stops, -step)
    free = change[:-1].cumsum(0)[:, None] == 0
    for result in results:
        result.masked_fill_(free, 0)


@PerBatch
def _where(offsets: Tensor, device: torch.device) -> tuple[Tensor, int, int]:
    """Places (T,) of the rows in a flattened (B * L), then B and L."""
    lengths = offsets.diff()
    batch, length = len(lengths), int(lengths.max())
    real = torch.arange(length) < lengths[:, None]  # (B, L)
    return real.flatten().nonzero()[:, 0].to(device), batch, length
