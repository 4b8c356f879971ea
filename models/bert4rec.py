"""BERT4Rec: a bidirectional encoder trained by the cloze task (Sun et al., CIKM 2019, arXiv
1904.06690).

Official code: github.com/FeiSun/BERT4Rec. Hidden items are replaced by a mask token (id num_items +
1) and predicted from both sides; to recommend, a mask is appended to the history.

What differs here, and why:
- Hidden size, layers and heads are those that all baselines share (64, 2, 2).
- Masks are drawn anew in each epoch; the official code draws ten fixed copies of the data
  beforehand. A fifth of the items is masked on every data set, as RecBole; the official code masks
  so many on MovieLens, 0.4 on Steam and 0.6 on Amazon Beauty.
- Long histories are cut into windows that do not overlap (data/batches.py); the official ones do.
- No dropout on attention weights by default (`attn_dropout`): PyTorch's fused kernel on a CPU has
  none.
- Weights N(0, 0.02), not truncated at two deviations.
- Objective `last` (a mask appended to every prefix, and only it predicted) is offered beside
  `cloze`, so that samples per second can be compared with libraries that train on prefixes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import programs
from models.base import Objective, SequentialRecommender, init_normal
from models.ops.add_norm import add_norm
from models.ops.addresses import serves
from models.ops.attention import attention_absorbed, attention_packed, key_flops
from models.ops.donation import unwatched
from models.ops.dropout import dropout
from models.ops.embedding import embed
from models.ops.first_layer import Embedding, first_layer
from models.ops.linear import linear
from models.ops.post_mixer import Weights, post_mixer
from models.packed import Chosen, Packed, pack


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
    has_program: ClassVar[bool] = True
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
        self.layers = nn.ModuleList(_Layer(cfg) for _ in range(cfg.num_layers))
        self.head = nn.Linear(cfg.hidden_size, cfg.hidden_size)
        self.head_norm = nn.LayerNorm(cfg.hidden_size, eps=1e-12)
        self.item_bias = nn.Parameter(torch.zeros(num_items + 1))
        init_normal(self)

    def encode_rows(self, sequences: Packed, chosen: Chosen | None = None) -> Tensor:
        length = sequences.item_seq.shape[1]
        if length > self.max_len:
            raise ValueError(f"length {length} is over max_len={self.max_len}")
        rest = self.stack
        if serves(self) and len(rest) > 1:
            hidden, rest = self._first_layer(sequences), rest[1:]  # (T, D)
        else:
            hidden = self._embed(sequences)  # (T, D)
        donated = torch.is_grad_enabled() and unwatched(self)
        for layer in rest:
            last = layer is self.stack[-1]
            hidden = layer(
                hidden, sequences, chosen if last else None, self.layer_backend, donated=donated,
                inside=donated and not last,
            )  # fmt: skip
        return hidden

    def _first_layer(self, sequences: Packed) -> Tensor:
        """What comes out of the first layer where nothing is trained, (T, D)."""
        layer, norm = self.stack[0], self.norm
        tables = self.item_embedding.weight, self.position_embedding.weight
        return first_layer(
            sequences.ids, sequences.positions, sequences.offsets,
            Embedding(*tables, norm.weight, norm.bias), (layer.qkv.weight, layer.qkv.bias),
            layer.post_mixer_weights, num_heads=self.config.num_heads, causal=False,
            eps=(norm.eps, layer.attn_norm.eps, layer.ffn_norm.eps), activation="gelu",
            post_norm=True, backend=self.layer_backend,
        )[1]  # fmt: skip

    def _embed(self, sequences: Packed) -> Tensor:
        """Embedded events, normed, (T, D)."""
        table, places = self.item_embedding.weight, self.position_embedding.weight
        norm, backend = self.norm, self.layer_backend
        embedded = embed(
            sequences.ids, table, positions=sequences.positions, places=places, backend=backend
        )  # fmt: skip
        _, hidden = add_norm(
            embedded, None, norm.weight, norm.bias, eps=norm.eps, in_place=True, donated=True,
            backend=backend,
        )  # fmt: skip
        drop = self.config.dropout if self.training else 0.0
        return dropout(hidden, drop, in_place=True, backend=backend)

    def last_hidden(self, item_seq: Tensor, lengths: Tensor) -> Tensor:
        """Hidden state (B, D) of a mask appended to each history; the oldest event makes room if
        needed.
        """
        alone = programs.last_hidden(self, item_seq, lengths)
        if alone is not None:
            return alone
        sequences = pack(*self.append_mask(item_seq, lengths))
        return self.encode_rows(sequences, sequences.last())

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

    @property
    def stack(self) -> list[_Layer]:
        """The layers, first to last."""
        return cast("list[_Layer]", self.layers)

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

    def needed_flops(self, seq_len: int, outputs: int) -> int:
        cfg, width = self.config, self.config.hidden_size
        keys, rest = 4 * width**2, 4 * width**2 + 4 * width * cfg.inner_size
        each = rest + 4 * seq_len * width
        keyed = key_flops(seq_len, outputs, width, cfg.num_heads)
        return (cfg.num_layers - 1) * seq_len * (keys + each) + keyed + outputs * each


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

    def forward(
        self, hidden: Tensor, sequences: Packed, chosen: Chosen | None, backend: str, *,
        donated: bool, inside: bool,
    ) -> Tensor:  # fmt: skip
        """(T, D) -> (T, D), or (M, D) at the chosen rows. `donated`: a gradient may take the place
        of `hidden`; `inside`: only another layer sees the result."""
        cfg, weight, bias = self.cfg, self.qkv.weight, self.qkv.bias
        attn_drop = cfg.attn_dropout if self.training else 0.0
        if chosen is None:
            mixed = attention_packed(
                linear(hidden, weight, bias, donated=donated, backend=backend), sequences.offsets,
                num_heads=cfg.num_heads, causal=False, dropout=attn_drop, donated=True,
                backend=backend,
            )  # fmt: skip
        else:
            # One split, whose gradient is one tensor: slices would each write zeros for the rest.
            parts = (cfg.hidden_size, 2 * cfg.hidden_size)
            (asked, weight), (shift, bias) = weight.split(parts), bias.split(parts)
            asking, every = chosen.beside(hidden, backend)  # (M, D), (T, D)
            query = linear(asking, asked, shift, backend=backend)
            mixed = attention_absorbed(
                query, every, weight, bias, chosen.offsets, sequences.offsets,
                num_heads=cfg.num_heads, dropout=attn_drop, donated=donated, backend=backend,
            )  # fmt: skip
            hidden = asking
        return self.finish(hidden, mixed, backend, inside=inside)

    def finish(self, hidden: Tensor, mixed: Tensor, backend: str, *, inside: bool) -> Tensor:
        """What follows attention: output layer and feed-forward network, each with its residual."""
        drop = self.cfg.dropout if self.training else 0.0
        return post_mixer(
            mixed, hidden, self.post_mixer_weights, eps=(self.attn_norm.eps, self.ffn_norm.eps),
            activation="gelu", post_norm=True, dropout=drop, inside=inside, backend=backend,
        )[1]  # fmt: skip

    @property
    def post_mixer_weights(self) -> Weights:
        """Weights of what follows attention."""
        first, last = self.attn_norm, self.ffn_norm
        return Weights(
            self.out.weight, self.out.bias, first.weight, first.bias,
            self.ffn_in.weight, self.ffn_in.bias, self.ffn_out.weight, self.ffn_out.bias,
            last.weight, last.bias,
        )  # fmt: skip


MODEL = BERT4Rec
