"""GRU4Rec: a gated recurrent unit over item embeddings (Hidasi et al., ICLR 2016, arXiv 1511.06939;
improved losses in arXiv 1706.03847).

Official code: github.com/hidasib/GRU4Rec_PyTorch_Official.

What differs here, and why:
- This is the form in which the field compares it (Tan et al., arXiv 1606.08117; RecBole's GRU4Rec):
  histories of users instead of session-parallel batches, item embeddings in and tied item weights
  out, full softmax cross-entropy instead of ranking losses with sampled negatives.
- One layer of width 128 (`gru_size`) between embeddings of 64, as RecBole's default.
- The recurrence has both of PyTorch's bias vectors; RecBole's has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.base import SequentialRecommender, equal_length
from models.ops.addresses import serves
from models.ops.embedding import embed
from models.ops.gru import gru, gru_items, gru_step
from models.ops.linear import linear
from models.packed import Chosen, Packed, pack


@dataclass(frozen=True)
class GRU4RecConfig:
    hidden_size: int = 64
    gru_size: int = 128
    num_layers: int = 1
    dropout: float = 0.3


class GRU4Rec(SequentialRecommender):
    """Embedding, GRU, and a linear layer back to the embedding's width."""

    name: ClassVar[str] = "gru4rec"
    label: ClassVar[str] = "GRU4Rec"
    Config = GRU4RecConfig
    has_program: ClassVar[bool] = True
    state_user_dim: ClassVar[int] = 1
    reference: ClassVar[str] = "arXiv 1511.06939; github.com/hidasib/GRU4Rec_PyTorch_Official"
    config: GRU4RecConfig

    def __init__(
        self,
        num_items: int,
        max_len: int,
        config: GRU4RecConfig | None = None,
        *,
        backend: str = "auto",
    ) -> None:
        super().__init__(num_items, max_len, config, backend=backend)
        cfg = self.config
        # Holds the parameters under PyTorch's names; computed by models/ops/gru.py.
        self.gru = nn.GRU(cfg.hidden_size, cfg.gru_size, cfg.num_layers)
        self.dense = nn.Linear(cfg.gru_size, cfg.hidden_size)
        nn.init.xavier_normal_(self.item_embedding.weight)
        for weights in self.gru.parameters():
            if weights.dim() == 2:
                nn.init.xavier_uniform_(weights)

    def encode_rows(self, sequences: Packed, chosen: Chosen | None = None) -> Tensor:
        last_only = chosen is not None and chosen.last
        hidden = self.item_embedding.weight[:0]
        for index, layer in enumerate(self._layers):
            wanted = last_only and index == len(self._layers) - 1
            if index == 0:
                hidden = self._first(sequences, layer, last_only=wanted)
            else:
                hidden = gru(
                    hidden, sequences.offsets, *layer, last_only=wanted, backend=self.layer_backend
                )  # fmt: skip
        if chosen is not None and not last_only:
            hidden = chosen.of(hidden)
        return linear(hidden, self.dense.weight, self.dense.bias, backend=self.layer_backend)

    def _first(self, sequences: Packed, layer: list[nn.Parameter], *, last_only: bool) -> Tensor:
        """The first layer on the embedded events, (T, E), or (B, E) with the last rows only."""
        offsets, backend = sequences.offsets, self.layer_backend
        if self.training:
            x = self._embed(sequences.ids)
            return gru(x, offsets, *layer, last_only=last_only, backend=backend)
        return gru_items(
            sequences.ids, self.item_embedding.weight, offsets, *layer, last_only=last_only,
            backend=backend,
        )  # fmt: skip

    def program_widths(self) -> tuple[int, ...]:
        return self.config.hidden_size, self.config.gru_size

    def init_state(self, batch_size: int) -> Tensor:
        cfg = self.config
        return self.item_embedding.weight.new_zeros(cfg.num_layers, batch_size, cfg.gru_size)

    def step(self, item: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        served = self._served(item, state) if serves(self) else None
        if served is not None:
            return served
        hidden = self._embed(item) if self.training else self.item_embedding(item)  # (B, D)
        after = []
        for layer, before in zip(self._layers, state, strict=True):
            hidden = gru_step(hidden, before, *layer, backend=self.layer_backend)  # (B, E)
            after.append(hidden)
        return self.dense(hidden), after[0][None] if len(after) == 1 else torch.stack(after)

    @cached_property
    def _served(self) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor] | None]:
        """`step` in one kernel, where that is for this device and dtype."""
        # Imported here so that a process which never serves does not load LLVM.
        from models.ops.gru_step_numba import GRUStep

        cfg = self.config
        shape = (len(self.item_embedding.weight), cfg.num_layers, cfg.hidden_size, cfg.gru_size)
        return GRUStep(self, shape)

    def prefill(self, item_seq: Tensor, lengths: Tensor) -> Tensor:
        sequences = pack(item_seq[:, : equal_length(lengths)], lengths)
        hidden, ends = self._embed(sequences.ids), sequences.last()
        state = []
        for layer in self._layers[:-1]:
            hidden = gru(hidden, sequences.offsets, *layer, backend=self.layer_backend)
            state.append(ends.of(hidden))
        final = gru(
            hidden, sequences.offsets, *self._layers[-1], last_only=True,
            backend=self.layer_backend,
        )  # fmt: skip
        return torch.stack([*state, final])  # (num_layers, B, E)

    def state_tensors(self, state: Tensor) -> list[Tensor]:
        return [state]

    def state_from_tensors(self, tensors: list[Tensor]) -> Tensor:
        return tensors[0]

    def state_bytes(self, seq_len: int) -> int:
        return self.config.num_layers * self.config.gru_size * 4

    def flops(self, batch_size: int, seq_len: int) -> int:
        cfg = self.config
        widths = [cfg.hidden_size] + [cfg.gru_size] * (cfg.num_layers - 1)
        gates = sum(6 * cfg.gru_size * (width + cfg.gru_size) for width in widths)
        return batch_size * seq_len * (gates + 2 * cfg.gru_size * cfg.hidden_size)

    def needed_flops(self, seq_len: int, outputs: int) -> int:
        dense = 2 * self.config.gru_size * self.config.hidden_size
        return self.flops(1, seq_len) - (seq_len - outputs) * dense

    @property
    def _layers(self) -> list[list[nn.Parameter]]:
        """Each layer's weights, input first, then its biases."""
        return self.gru.all_weights

    def _embed(self, ids: Tensor) -> Tensor:
        drop = self.config.dropout if self.training else 0.0
        return embed(
            ids, self.item_embedding.weight, dropout=drop, backend=self.layer_backend
        )  # (T, D)


MODEL = GRU4Rec
