"""SASRec: self-attentive sequential recommendation (Kang and McAuley, ICDM 2018, arXiv 1808.09781).

Official code: github.com/kang205/SASRec; the PyTorch port most people use: pmixer/SASRec.pytorch.

What differs here, and why:
- Loss: full softmax cross-entropy over the catalogue, as RecBole's SASRec with `loss_type: CE`,
  instead of binary cross-entropy with one sampled negative. Full ranking needs it, and all four
  models share it.
- Residuals as the paper writes them, x + dropout(f(norm(x))); the official code adds norm(x)
  instead of x, and takes attention's keys and values of x.
- Padding on the right, so positions count from a history's first kept event; the official code pads
  on the left.
- No dropout on attention weights by default (`attn_dropout`): PyTorch's CPU kernel has none.
- Feed-forward of four times the hidden size, as RecBole's SASRec and Mamba4Rec's own layers, to
  compare like with like; the official code has one times, as width-1 convolutions.
- Weights N(0, 0.02) as BERT and RecBole; the official code uses Glorot.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from models.base import NotSupported, SequentialRecommender, equal_length, init_normal
from models.ops.add_norm import add_norm
from models.ops.addresses import serves
from models.ops.attention import key_flops
from models.ops.embedding import embed
from models.ops.first_layer import Embedding, first_layer
from models.ops.norm_linear import norm_linear
from models.packed import Chosen, Packed, pack
from models.pre_norm_layer import PreNormLayer


@dataclass(frozen=True)
class SASRecConfig:
    hidden_size: int = 64
    num_layers: int = 2
    num_heads: int = 2
    inner_size: int = 256
    dropout: float = 0.2
    attn_dropout: float = 0.0


@dataclass(frozen=True)
class SASRecState:
    """Keys and values so far, each (layers, B, H, max_len, head); `length` of it is real."""

    keys: Tensor
    values: Tensor
    length: int


class SASRec(SequentialRecommender):
    """A causal transformer over item embeddings with learned positions; pre-norm."""

    name: ClassVar[str] = "sasrec"
    label: ClassVar[str] = "SASRec"
    Config = SASRecConfig
    has_program: ClassVar[bool] = True
    state_user_dim: ClassVar[int] = 1
    reference: ClassVar[str] = "arXiv 1808.09781; github.com/kang205/SASRec"
    config: SASRecConfig

    def __init__(
        self,
        num_items: int,
        max_len: int,
        config: SASRecConfig | None = None,
        *,
        backend: str = "auto",
    ) -> None:
        super().__init__(num_items, max_len, config, backend=backend)
        cfg = self.config
        self.position_embedding = nn.Embedding(max_len, cfg.hidden_size)
        self.factor = math.sqrt(cfg.hidden_size)  # on the embeddings of items
        self.layers = nn.ModuleList(
            PreNormLayer(
                cfg.hidden_size, cfg.inner_size, cfg.num_heads, cfg.dropout, cfg.attn_dropout
            )
            for _ in range(cfg.num_layers)
        )
        self.norm = nn.LayerNorm(cfg.hidden_size, eps=1e-8)
        init_normal(self)

    @property
    def stack(self) -> list[PreNormLayer]:
        """The layers, first to last."""
        return cast("list[PreNormLayer]", self.layers)

    def encode_rows(self, sequences: Packed, chosen: Chosen | None = None) -> Tensor:
        # Causal: only the last event of a sequence sees all of it, as a chosen row must.
        early, backend = chosen if chosen is not None and chosen.last else None, self.layer_backend
        rest = list(zip(self.stack, self.norms_after, strict=True))
        if serves(self) and len(rest) > 1:
            (hidden, normed), rest = self._first_layer(sequences), rest[1:]  # (T, D) both
        elif len(rest) > 1 or early is None:
            (layer, norm), rest = rest[0], rest[1:]
            hidden, qkv = self._embed_projected(sequences)  # (T, D), (T, 3 D)
            mixed = layer.mix(qkv, sequences, backend)
            hidden, normed = layer.finish(hidden, mixed, norm, backend, inside=bool(rest))
        else:
            hidden, normed = self._embed_rows(sequences)  # (T, D) both
        for layer, norm in rest:
            last = layer is self.stack[-1]
            hidden, normed = layer.rows(
                hidden, normed, sequences, early if last else None, norm, backend, inside=not last
            )
        return chosen.of(normed) if chosen is not None and early is None else normed

    def init_state(self, batch_size: int) -> SASRecState:
        cfg, table = self.config, self.item_embedding.weight
        per_head = cfg.num_heads, self.max_len, cfg.hidden_size // cfg.num_heads
        shape = cfg.num_layers, batch_size, *per_head
        # In the dtype that attention computes in, or the whole cache is cast at every step.
        kind = table.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else table.dtype
        keys, values = (table.new_zeros(shape, dtype=dtype) for _ in range(2))
        return SASRecState(keys, values, 0)

    def step(self, item: Tensor, state: SASRecState) -> tuple[Tensor, SASRecState]:
        """As in the base class. The cache is written in place at the new position, which the given
        state does not count as its own: stepping it again writes there again."""
        at = state.length
        if at >= self.max_len:
            raise NotSupported(
                f"SASRec's positions end at max_len={self.max_len}; drop old events, then prefill"
            )
        served = self._served(item, state.keys, state.values, at) if serves(self) else None
        if served is not None:
            return served, SASRecState(state.keys, state.values, at + 1)
        hidden = self.item_embedding(item) * self.factor + self.position_embedding.weight[at]
        hidden = nn.functional.dropout(hidden, self.config.dropout, self.training)
        normed = self.stack[0].attn_norm(hidden)
        for index, (layer, norm) in enumerate(zip(self.stack, self.norms_after, strict=True)):
            keys, values = state.keys[index], state.values[index]
            hidden, normed = layer.step(hidden, normed, keys, values, at, norm, self.layer_backend)
        return normed, SASRecState(state.keys, state.values, at + 1)

    @cached_property
    def _served(self) -> Callable[[Tensor, Tensor, Tensor, int], Tensor | None]:
        """`step` in one kernel, where that is for this device and dtype."""
        # Imported here so that a process which never serves does not load LLVM.
        from models.ops.sasrec_step_numba import SASRecStep

        cfg = self.config
        items, heads = len(self.item_embedding.weight), cfg.num_heads
        shape = items, cfg.num_layers, cfg.hidden_size, heads, cfg.inner_size, self.max_len
        return SASRecStep(self, shape, self.norm.eps)

    def prefill(self, item_seq: Tensor, lengths: Tensor) -> SASRecState:
        length, cfg, backend = equal_length(lengths), self.config, self.layer_backend
        sequences = pack(item_seq[:, :length], lengths)
        state = self.init_state(item_seq.shape[0])
        hidden, normed = self._embed_rows(sequences)
        for index, (layer, norm) in enumerate(zip(self.stack, self.norms_after, strict=True)):
            qkv = layer.project(normed, backend)  # (T, 3 D)
            split = sequences.unpack(qkv).view(*item_seq.shape[:1], length, 3, cfg.num_heads, -1)
            _, key, value = split.permute(2, 0, 3, 1, 4)  # (B, H, L, head) each
            state.keys[index, :, :, :length] = key
            state.values[index, :, :, :length] = value
            mixed = layer.mix(qkv, sequences, backend)
            hidden, normed = layer.finish(hidden, mixed, norm, backend)
        return SASRecState(state.keys, state.values, length)

    def state_tensors(self, state: SASRecState) -> list[Tensor]:
        return [state.keys[..., : state.length, :], state.values[..., : state.length, :]]

    def state_from_tensors(self, tensors: list[Tensor]) -> SASRecState:
        length = tensors[0].shape[3]  # (layers, B, H, length, head) each
        keys, values = (nn.functional.pad(t, (0, 0, 0, self.max_len - length)) for t in tensors)
        return SASRecState(keys, values, length)

    def state_bytes(self, seq_len: int) -> int:
        return 2 * self.config.num_layers * seq_len * self.config.hidden_size * 4

    def flops(self, batch_size: int, seq_len: int) -> int:
        cfg = self.config
        projections = 8 * cfg.hidden_size**2 + 4 * cfg.hidden_size * cfg.inner_size
        scores = 4 * seq_len * cfg.hidden_size  # the fused kernels skip about half of it
        return batch_size * seq_len * cfg.num_layers * (projections + scores)

    def needed_flops(self, seq_len: int, outputs: int) -> int:
        cfg, width = self.config, self.config.hidden_size
        keys, rest = 4 * width**2, 4 * width**2 + 4 * width * cfg.inner_size
        # A query meets the events up to its own: 1 + 2 + ... + seq_len of them in an early layer.
        pairs, others = (n * (n + 1) // 2 for n in (seq_len, seq_len - outputs))
        early, met = seq_len * (keys + rest) + 4 * width * pairs, pairs - others
        late = key_flops(seq_len, outputs, width, cfg.num_heads) + outputs * rest
        return (cfg.num_layers - 1) * early + late + 4 * width * met

    @property
    def norms_after(self) -> list[nn.LayerNorm]:
        """The norm behind each layer: the next one's, behind the last the model's own."""
        return [*(layer.attn_norm for layer in self.stack[1:]), self.norm]

    def _first_layer(self, sequences: Packed) -> tuple[Tensor, Tensor]:
        """Residual stream (T, D) and its normed form behind the first layer, nothing trained."""
        layer, norm = self.stack[0], self.norms_after[0]
        return first_layer(
            sequences.ids, sequences.positions, sequences.offsets, self._embedding(sequences),
            (layer.qkv.weight, layer.qkv.bias), layer.post_mixer_weights(norm),
            num_heads=self.config.num_heads, causal=True, factor=self.factor,
            eps=(layer.attn_norm.eps, layer.ffn_norm.eps, norm.eps), activation="relu",
            post_norm=False, backend=self.layer_backend,
        )  # fmt: skip

    def _embed_rows(self, sequences: Packed) -> tuple[Tensor, Tensor]:
        """Embedded events (T, D), and the same normed for the first layer."""
        first = self.stack[0].attn_norm
        return add_norm(
            self._embed(sequences), None, first.weight, first.bias, eps=first.eps,
            dropout=self._dropout, in_place=True, donated=True, backend=self.layer_backend,
        )  # fmt: skip

    def _embed_projected(self, sequences: Packed) -> tuple[Tensor, Tensor]:
        """Embedded events (T, D), and the first layer's queries, keys and values (T, 3 D)."""
        first, qkv = self.stack[0].attn_norm, self.stack[0].qkv
        return norm_linear(
            self._embed(sequences), first.weight, first.bias, qkv.weight, qkv.bias, eps=first.eps,
            dropout=self._dropout, in_place=True, backend=self.layer_backend,
        )  # fmt: skip

    def _embed(self, sequences: Packed) -> Tensor:
        """Embedded events (T, D), before dropout."""
        table, places, _, _ = self._embedding(sequences)
        return embed(
            sequences.ids, table, positions=sequences.positions, places=places,
            factor=self.factor, backend=self.layer_backend,
        )  # fmt: skip

    @property
    def _dropout(self) -> float:
        return self.config.dropout if self.training else 0.0

    def _embedding(self, sequences: Packed) -> Embedding:
        """Of items, positions and the first norm."""
        length, first = sequences.item_seq.shape[1], self.stack[0].attn_norm
        if length > self.max_len:
            raise ValueError(f"length {length} is over max_len={self.max_len}")
        tables = self.item_embedding.weight, self.position_embedding.weight
        return Embedding(*tables, first.weight, first.bias)


MODEL = SASRec
