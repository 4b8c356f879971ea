"""Mamba4Rec: a selective state space model over item embeddings (Liu et al., arXiv 2403.03900).

Official code: github.com/chengkai-liu/Mamba4Rec; the block is Mamba's
(models/mamba.py). Parameter names are those of both, so that official weights load.

As in the official code: no position embedding; dropout before the first LayerNorm, eps 1e-12; with
one layer there is no residual around Mamba; padding on the right; and its final `apply(init)` also
rewrites the linear layers inside the Mamba block (weights N(0, 0.02), biases 0), so that the step
size starts at softplus(0) = 0.69. `init="mamba"` keeps Mamba's own initialisation there (steps of
0.001 to 0.1).

What differs here: dropout 0.2 is the paper's for MovieLens; set 0.4 for the sparse Amazon sets.
Weights of `init="official"` are drawn in another order than there, so a seed gives other numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from models.base import SequentialRecommender, equal_length, init_normal
from models.mamba import Mamba, MambaState
from models.ops.add_norm import add_norm
from models.ops.addresses import serves
from models.ops.donation import unwatched
from models.ops.embedding import embed
from models.ops.feed_forward import feed_forward
from models.packed import Chosen, Packed, pack


@dataclass(frozen=True)
class Mamba4RecConfig:
    hidden_size: int = 64
    num_layers: int = 1
    d_state: int = 32
    d_conv: int = 4
    expand: int = 2
    dropout: float = 0.2
    init: str = "official"

    def __post_init__(self) -> None:
        if self.init not in ("official", "mamba"):
            raise ValueError(f"init={self.init!r}: allowed are official, mamba")


State = list[MambaState]  # one a layer


class Mamba4Rec(SequentialRecommender):
    """Embedding, Mamba layers each with a position-wise feed-forward, tied item weights."""

    name: ClassVar[str] = "mamba4rec"
    label: ClassVar[str] = "Mamba4Rec"
    Config = Mamba4RecConfig
    backends: ClassVar[tuple[str, ...]] = ("reference", "numba", "cuda")
    has_program: ClassVar[bool] = True
    reference: ClassVar[str] = "arXiv 2403.03900; github.com/chengkai-liu/Mamba4Rec"
    config: Mamba4RecConfig

    def __init__(
        self,
        num_items: int,
        max_len: int,
        config: Mamba4RecConfig | None = None,
        *,
        backend: str = "auto",
    ) -> None:
        super().__init__(num_items, max_len, config, backend=backend)
        cfg = self.config
        self.LayerNorm = nn.LayerNorm(cfg.hidden_size, eps=1e-12)
        self.dropout = nn.Dropout(cfg.dropout)
        self.mamba_layers = nn.ModuleList(_MambaLayer(cfg, backend) for _ in range(cfg.num_layers))
        own = tuple(layer.mamba for layer in self.stack) if cfg.init == "mamba" else ()
        init_normal(self, keep=own)

    @property
    def stack(self) -> list[_MambaLayer]:
        """The layers, first to last."""
        return cast("list[_MambaLayer]", self.mamba_layers)

    def encode_rows(self, sequences: Packed, chosen: Chosen | None = None) -> Tensor:
        hidden = self._embed_rows(sequences)  # (T, D)
        donated = torch.is_grad_enabled() and unwatched(self)
        for layer in self.stack:
            final = chosen if layer is self.stack[-1] else None
            hidden, _ = layer(hidden, sequences, final, donated=donated)
        return hidden

    def init_state(self, batch_size: int) -> State:
        return [layer.mamba.init_state(batch_size) for layer in self.stack]

    def step(self, item: Tensor, state: State) -> tuple[Tensor, State]:
        served = self._served(item, state) if serves(self) else None
        if served is not None:
            return served
        hidden = self.LayerNorm(self.dropout(self.item_embedding(item)))  # (B, D)
        after: State = []
        for layer, before in zip(self.stack, state, strict=True):
            hidden, new = layer.step(hidden, before)
            after.append(new)
        return hidden, after

    @cached_property
    def _served(self) -> Callable[[Tensor, State], tuple[Tensor, State] | None]:
        """`step` in one kernel, where that is for this device and dtype."""
        # Imported here so that a process which never serves does not load LLVM.
        from models.ops.mamba_step_numba import MambaStep

        cfg, width = self.config, self.config.hidden_size
        shape = (
            len(self.item_embedding.weight), cfg.num_layers, width, cfg.expand * width,
            cfg.d_state, cfg.d_conv, math.ceil(width / 16), 4 * width,
        )  # fmt: skip
        return MambaStep(self, shape, self.LayerNorm.eps)

    def prefill(self, item_seq: Tensor, lengths: Tensor) -> State:
        sequences = pack(item_seq[:, : equal_length(lengths)], lengths)
        hidden = self._embed_rows(sequences)
        state: State = []
        for layer in self.stack:
            hidden, after = layer(hidden, sequences, None, keep_state=True)
            assert after is not None, "it was asked for"
            state.append(after)
        return state

    def _embed_rows(self, sequences: Packed) -> Tensor:
        embedded = embed(sequences.ids, self.item_embedding.weight, backend=self.layer_backend)
        norm, drop = self.LayerNorm, self.config.dropout if self.training else 0.0
        _, normed = add_norm(
            embedded, None, norm.weight, norm.bias, eps=norm.eps, dropout=drop, in_place=True,
            donated=True, backend=self.layer_backend,
        )  # fmt: skip
        return normed

    def state_tensors(self, state: State) -> list[Tensor]:
        return [part for layer in state for part in layer]

    def state_from_tensors(self, tensors: list[Tensor]) -> State:
        return list(zip(tensors[::2], tensors[1::2], strict=True))

    def state_bytes(self, seq_len: int) -> int:
        cfg = self.config
        channels = cfg.expand * cfg.hidden_size
        return cfg.num_layers * channels * (cfg.d_conv - 1 + cfg.d_state) * 4

    def flops(self, batch_size: int, seq_len: int) -> int:
        cfg = self.config
        inner, rank = cfg.expand * cfg.hidden_size, math.ceil(cfg.hidden_size / 16)
        linear = 2 * cfg.hidden_size * 3 * inner + 2 * inner * (2 * rank + 2 * cfg.d_state)
        # A state element: decay (multiply and exp), input (2 multiplies), update (2), output (2).
        scan = inner * (8 * cfg.d_state + 2 * cfg.d_conv)
        ffn = 16 * cfg.hidden_size**2
        return batch_size * seq_len * cfg.num_layers * (linear + scan + ffn)

    def needed_flops(self, seq_len: int, outputs: int) -> int:
        cfg = self.config
        inner = cfg.expand * cfg.hidden_size
        # Where nothing comes out: no gate, no C and no product with it, no output and no network.
        omitted = 4 * cfg.hidden_size * inner + 4 * inner * cfg.d_state + 16 * cfg.hidden_size**2
        return self.flops(1, seq_len) - (seq_len - outputs) * omitted


class _MambaLayer(nn.Module):
    """Mamba, LayerNorm and feed-forward; the residual only where layers are stacked."""

    def __init__(self, cfg: Mamba4RecConfig, backend: str) -> None:
        super().__init__()
        self.stacked = cfg.num_layers > 1
        self.drop = cfg.dropout
        self.mamba = Mamba(cfg.hidden_size, cfg.d_state, cfg.d_conv, cfg.expand, backend=backend)
        self.LayerNorm = nn.LayerNorm(cfg.hidden_size, eps=1e-12)
        self.ffn = _FeedForward(cfg)

    def forward(
        self,
        hidden: Tensor,
        sequences: Packed,
        chosen: Chosen | None,
        *,
        keep_state: bool = False,
        donated: bool = False,
    ) -> tuple[Tensor, MambaState | None]:
        """(T, D) -> (T, D), or (M, D) at the chosen rows; and the state after each sequence."""
        mixed, state = self.mamba(hidden, sequences, chosen, keep_state=keep_state, donated=donated)
        if chosen is not None:
            hidden = chosen.of(hidden, self.mamba.layer_backend)
        return self.finish(hidden, mixed), state

    def step(self, hidden: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        mixed, state = self.mamba.step(hidden, state)
        return self.finish(hidden, mixed), state

    def finish(self, hidden: Tensor, mixed: Tensor) -> Tensor:
        norm, drop, dense = (
            self.LayerNorm,
            self.drop if self.training else 0.0,
            self.mamba.layer_backend,
        )
        _, normed = add_norm(
            mixed, hidden if self.stacked else None, norm.weight, norm.bias, eps=norm.eps,
            dropout=drop, backend=dense,
        )  # fmt: skip
        ffn = self.ffn
        inner = feed_forward(
            normed, ffn.w_1.weight, ffn.w_1.bias, ffn.w_2.weight, ffn.w_2.bias,
            activation="gelu", dropout=drop, backend=dense,
        )  # fmt: skip
        norm = ffn.LayerNorm
        _, finished = add_norm(
            inner, normed, norm.weight, norm.bias, eps=norm.eps, dropout=drop, backend=dense
        )
        return finished


class _FeedForward(nn.Module):
    """The parameters of the feed-forward network, under the official names."""

    def __init__(self, cfg: Mamba4RecConfig) -> None:
        super().__init__()
        self.w_1 = nn.Linear(cfg.hidden_size, 4 * cfg.hidden_size)
        self.w_2 = nn.Linear(4 * cfg.hidden_size, cfg.hidden_size)
        self.LayerNorm = nn.LayerNorm(cfg.hidden_size, eps=1e-12)


MODEL = Mamba4Rec
