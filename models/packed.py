"""Sequences without padding: the rows of a whole batch one after another.

A fifth to a half of a padded batch is padding (ML-1M: 22% at L = 50, 56% at L = 200). The models
compute on packed rows, so that it costs nothing: every layer but attention and the recurrences
works row by row, and those are told where each sequence begins.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops.gather import gather, gradient_last

# The number of rows is a multiple of this, as the register tiles of the CPU kernels want it.
_MULTIPLE = 4


@dataclass(frozen=True, eq=False)
class Packed:
    """B sequences in T rows.

    Rows from offsets[-1] on belong to no sequence: there are at most three, their id is 0.
    """

    item_seq: Tensor  # (B, L) int64, as it came
    lengths: Tensor  # (B,)
    offsets: Tensor  # (B + 1,) int64, on the CPU: sequence b is rows offsets[b]:offsets[b + 1]
    where: Tensor | None  # (offsets[-1],) places in a flattened (B * L); None: all of them
    ids: Tensor  # (T,) int64
    positions: Tensor  # (T,) int64, 0 at each sequence's start

    @property
    def num_real(self) -> int:
        """Rows that belong to a sequence."""
        return int(self.offsets[-1])

    def pack(self, padded: Tensor) -> Tensor:
        """(B, L) -> (num_real,), the real places."""
        flat = padded.flatten()
        return flat if self.where is None else flat.index_select(0, self.where)

    def unpack(self, rows: Tensor) -> Tensor:
        """(T, D) -> (B, L, D), zeros in the padding."""
        batch, length = self.item_seq.shape
        rows = rows[: self.num_real]
        if self.where is not None:
            empty = rows.new_zeros(batch * length, rows.shape[1])
            rows = empty.index_copy(0, self.where, rows)
        return rows.view(batch, length, -1)

    def last(self) -> Chosen:
        """Each sequence's last row."""
        index = (self.offsets[1:] - 1).to(self.ids.device)
        return Chosen(index, torch.arange(len(self.lengths) + 1), last=True)

    def choose(self, wanted: Tensor) -> Chosen | None:
        """The rows where `wanted` (B, L) is true; None where those are all real ones."""
        mask = self.pack(wanted)  # (num_real,)
        if bool(mask.all()):
            return None
        index = mask.nonzero()[:, 0]
        return Chosen(index, torch.searchsorted(index.cpu(), self.offsets), last=False)


@dataclass(frozen=True, eq=False)
class Chosen:
    """Some rows of packed sequences, in order."""

    index: Tensor  # (M,) int64
    offsets: Tensor  # (B + 1,) int64, on the CPU: where each sequence's chosen rows begin
    last: bool  # whether they are the last one of each sequence

    def of(self, rows: Tensor, backend: str = "torch") -> Tensor:
        """(T, D) -> (M, D); with another backend as `gather`, for what takes a sparse gradient."""
        return gather(rows, self.index, backend=backend)

    def beside(self, rows: Tensor, backend: str) -> tuple[Tensor, Tensor]:
        """(T, D) -> (M, D), and all of the rows for an operation that reads them too."""
        every = gradient_last(rows, backend=backend)
        return self.of(rows, backend), every


def pack(item_seq: Tensor, lengths: Tensor) -> Packed:
    """Packs item_seq (B, L), 0 = padding on the right, with lengths (B,) of at least 1."""
    batch, length = item_seq.shape
    offsets = F.pad(lengths.detach().to("cpu").cumsum(0), (1, 0))  # (B + 1,)
    total = int(offsets[-1])
    columns = torch.arange(length, device=item_seq.device)
    if total == batch * length:
        where, ids, positions = None, item_seq.reshape(-1), columns.repeat(batch)
    else:
        where = (columns < lengths[:, None]).flatten().nonzero()[:, 0]
        ids, positions = item_seq.flatten().index_select(0, where), where % length
    room = -total % _MULTIPLE
    if room:
        ids, positions = F.pad(ids, (0, room)), F.pad(positions, (0, room))
    return Packed(item_seq, lengths, offsets, where, ids, positions)
