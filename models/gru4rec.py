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

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from models.base import SequentialRecommender, equal_length, gather_last


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
        self.dropout = nn.Dropout(cfg.dropout)
        self.gru = nn.GRU(cfg.hidden_size, cfg.gru_size, cfg.num_layers, batch_first=True)
        self.dense = nn.Linear(cfg.gru_size, cfg.hidden_size)
        nn.init.xavier_normal_(self.item_embedding.weight)
        for weights in self.gru.parameters():
            if weights.dim() == 2:
                nn.init.xavier_uniform_(weights)

    def encode(self, item_seq: Tensor, lengths: Tensor) -> Tensor:
        embedded = self.dropout(self.item_embedding(item_seq))  # (B, L, D)
        output, _ = self.gru(embedded)  # (B, L, E)
        hidden: Tensor = self.dense(output)
        return hidden

    def last_hidden(self, item_seq: Tensor, lengths: Tensor) -> Tensor:
        embedded = self.dropout(self.item_embedding(item_seq))
        output, _ = self.gru(embedded)
        rows = gather_last(output, lengths)  # (B, E): dense at one position only
        hidden: Tensor = self.dense(rows)
        return hidden

    def init_state(self, batch_size: int) -> Tensor:
        cfg = self.config
        return self.item_embedding.weight.new_zeros(cfg.num_layers, batch_size, cfg.gru_size)

    def step(self, item: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        embedded = self.dropout(self.item_embedding(item[:, None]))  # (B, 1, D)
        output, state = self.gru(embedded, state)
        return self.dense(output[:, 0]), state

    def prefill(self, item_seq: Tensor, lengths: Tensor) -> Tensor:
        embedded = self.dropout(self.item_embedding(item_seq[:, : equal_length(lengths)]))
        _, state = self.gru(embedded)
        return state

    def state_tensors(self, state: Tensor) -> list[Tensor]:
        return [state]

    def state_bytes(self, seq_len: int) -> int:
        return self.config.num_layers * self.config.gru_size * 4

    def flops(self, batch_size: int, seq_len: int) -> int:
        cfg = self.config
        widths = [cfg.hidden_size] + [cfg.gru_size] * (cfg.num_layers - 1)
        gates = sum(6 * cfg.gru_size * (width + cfg.gru_size) for width in widths)
        return batch_size * seq_len * (gates + 2 * cfg.gru_size * cfg.hidden_size)


MODEL = GRU4Rec
