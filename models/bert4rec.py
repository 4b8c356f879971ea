"""BERT4Rec: a bidirectional encoder trained by the cloze task (Sun et al., CIKM 2019, arXiv
1904.06690).

Official code: github.com/FeiSun/BERT4Rec. Hidden items are replaced by a mask token (id num_items +
1) and predicted from both sides; to recommend, a mask is appended to the history.

What differs here, and why:
- Hidden size, layers and heads are those that all baselines share (64, 2, 2).
- Masks are drawn anew in each epoch; the official code draws ten fixed copies of the data
  beforehand.
- No dropout on attention weights by default (`attn_dropout`): PyTorch's fused kernel on a CPU has
  none.
- Weights N(0, 0.02), not truncated at two deviations.
- Objective `last` (a mask appended to every prefix, and only it predicted) is offered beside
  `cloze`, so that samples per second can be compared with libraries that train on prefixes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.base import Objective, SequentialRecommender, gather_last, init_normal
from models.ops.attention import attention


@dataclass(frozen=True)
class BERT4RecConfig:
    hidden_size: int = 64
    num_layers: int = 2
    num_heads: int = 2
    inner_size: int = 256
    dropout: float = 0.2
    attn_dropout: float = 0.0


class BERT4Rec(SequentialRecommender):
    """A bidirectional transformer, post-norm as BERT, with tied item weights and an item bias.

    It has no `step`: each new event changes every hidden state, so serving recomputes the window.
    """

    name: ClassVar[str] = "bert4rec"
    label: ClassVar[str] = "BERT4Rec"
    Config = BERT4RecConfig
    objectives: ClassVar[tuple[Objective, ...]] = ("cloze", "last")
    has_step: ClassVar[bool] = False
    reference: ClassVar[str] = "arXiv 1904.06690; github.com/FeiSun/BERT4Rec"
    config: BERT4RecConfig

    def __init__(
        self,
        num_items: int,
        max_len: int,
        config: BERT4RecConfig | None = None,
        *,
        backend: str = "auto",
    ) -> None:
        super().__init__(num_items, max_len, config, backend=backend)
        cfg = self.config
        self.mask_item = num_items + 1
        self.position_embedding = nn.Embedding(max_len, cfg.hidden_size)
        self.norm = nn.LayerNorm(cfg.hidden_size, eps=1e-12)
        self.dropout = nn.Dropout(cfg.dropout)
        self.layers = nn.ModuleList(_Layer(cfg) for _ in range(cfg.num_layers))
        self.head = nn.Linear(cfg.hidden_size, cfg.hidden_size)
        self.head_norm = nn.LayerNorm(cfg.hidden_size, eps=1e-12)
        self.item_bias = nn.Parameter(torch.zeros(num_items + 1))
        init_normal(self)

    def encode(self, item_seq: Tensor, lengths: Tensor) -> Tensor:
        length = item_seq.shape[1]
        if length > self.max_len:
            raise ValueError(f"length {length} is over max_len={self.max_len}")
        positions = torch.arange(length, device=item_seq.device)
        hidden = self.item_embedding(item_seq) + self.position_embedding(positions)  # (B, L, D)
        hidden = self.dropout(self.norm(hidden))
        for layer in self.layers:
            hidden = layer(hidden, lengths)
        return hidden

    def last_hidden(self, item_seq: Tensor, lengths: Tensor) -> Tensor:
        """Hidden state (B, D) of a mask appended to each history; the oldest event makes room if
        needed.
        """
        item_seq, lengths = self.append_mask(item_seq, lengths)
        return gather_last(self.encode(item_seq, lengths), lengths)

    def append_mask(self, item_seq: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Histories with the mask token behind their last event, at most max_len long."""
        padded = F.pad(item_seq, (0, 1))  # (B, L + 1)
        if padded.shape[1] > self.max_len:
            full = (lengths + 1 > self.max_len).long()  # (B,) these lose their oldest event
            index = torch.arange(self.max_len, device=item_seq.device) + full[:, None]
            padded = padded.gather(1, index)  # (B, max_len)
            lengths = lengths - full
        # scatter, not scatter_: the caller's batch stays as it was.
        masked = padded.scatter(1, lengths[:, None], self.mask_item)
        return masked, lengths + 1

    def output_hidden(self, hidden: Tensor) -> Tensor:
        transformed: Tensor = self.head_norm(F.gelu(self.head(hidden)))
        return transformed

    def output_bias(self) -> Tensor:
        return self.item_bias

    def output_flops(self, positions: int) -> int:
        return super().output_flops(positions) + 2 * positions * self.config.hidden_size**2

    def flops(self, batch_size: int, seq_len: int) -> int:
        cfg = self.config
        projections = 8 * cfg.hidden_size**2 + 4 * cfg.hidden_size * cfg.inner_size
        scores = 4 * seq_len * cfg.hidden_size
        return batch_size * seq_len * cfg.num_layers * (projections + scores)


class _Layer(nn.Module):
    """Post-norm attention over both sides and a GELU feed-forward."""

    def __init__(self, cfg: BERT4RecConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.qkv = nn.Linear(cfg.hidden_size, 3 * cfg.hidden_size)
        self.out = nn.Linear(cfg.hidden_size, cfg.hidden_size)
        self.attn_norm = nn.LayerNorm(cfg.hidden_size, eps=1e-12)
        self.ffn_in = nn.Linear(cfg.hidden_size, cfg.inner_size)
        self.ffn_out = nn.Linear(cfg.inner_size, cfg.hidden_size)
        self.ffn_norm = nn.LayerNorm(cfg.hidden_size, eps=1e-12)
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        batch, length, _ = hidden.shape
        qkv = self.qkv(hidden).view(batch, length, 3, self.cfg.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (B, H, L, head) each
        drop = self.cfg.attn_dropout if self.training else 0.0
        mixed = attention(query, key, value, key_lengths=lengths, dropout=drop)
        merged = self.out(mixed.transpose(1, 2).flatten(2))  # (B, L, D)
        hidden = self.attn_norm(hidden + self.dropout(merged))
        inner = self.ffn_out(F.gelu(self.ffn_in(hidden)))
        finished: Tensor = self.ffn_norm(hidden + self.dropout(inner))
        return finished


MODEL = BERT4Rec
