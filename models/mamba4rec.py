"""Mamba4Rec: a selective state space model over item embeddings (Liu et al., arXiv 2403.03900).

Official code: github.com/chengkai-liu/Mamba4Rec; the block is Mamba's (Gu and Dao, arXiv
2312.00752, github.com/state-spaces/mamba). Parameter names are those of both, so that official
weights load.

Glossary of the block: D d_model (our hidden_size), E d_inner = expand * D, N d_state, K d_conv,
R dt_rank; delta the step size, A the decay, B and C what enters and leaves the state, z the gate.

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
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.base import SequentialRecommender, equal_length, init_normal
from models.ops.causal_conv1d import causal_conv1d, causal_conv1d_step
from models.ops.selective_scan import selective_scan, selective_scan_step


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


State = list[tuple[Tensor, Tensor]]  # a layer: last inputs of the convolution, state of the scan


class Mamba4Rec(SequentialRecommender):
    """Embedding, Mamba layers each with a position-wise feed-forward, tied item weights."""

    name: ClassVar[str] = "mamba4rec"
    label: ClassVar[str] = "Mamba4Rec"
    Config = Mamba4RecConfig
    backends: ClassVar[tuple[str, ...]] = ("reference", "numba", "cuda")
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
        own = tuple(layer.mamba for layer in self._layers) if cfg.init == "mamba" else ()
        init_normal(self, keep=own)

    @property
    def _layers(self) -> list[_MambaLayer]:
        return cast("list[_MambaLayer]", self.mamba_layers)

    def encode(self, item_seq: Tensor, lengths: Tensor) -> Tensor:
        hidden = self.LayerNorm(self.dropout(self.item_embedding(item_seq)))  # (B, L, D)
        for layer in self._layers:
            hidden = layer(hidden, lengths)
        return hidden

    def init_state(self, batch_size: int) -> State:
        return [layer.mamba.init_state(batch_size) for layer in self._layers]

    def step(self, item: Tensor, state: State) -> tuple[Tensor, State]:
        hidden = self.LayerNorm(self.dropout(self.item_embedding(item)))  # (B, D)
        after: State = []
        for layer, before in zip(self._layers, state, strict=True):
            hidden, new = layer.step(hidden, before)
            after.append(new)
        return hidden, after

    def prefill(self, item_seq: Tensor, lengths: Tensor) -> State:
        item_seq = item_seq[:, : equal_length(lengths)]
        hidden = self.LayerNorm(self.dropout(self.item_embedding(item_seq)))
        state: State = []
        for layer in self._layers:
            hidden, after = layer.prefill(hidden, lengths)
            state.append(after)
        return state

    def state_tensors(self, state: State) -> list[Tensor]:
        return [part for layer in state for part in layer]

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


class _MambaLayer(nn.Module):
    """Mamba, LayerNorm and feed-forward; the residual only where layers are stacked."""

    def __init__(self, cfg: Mamba4RecConfig, backend: str) -> None:
        super().__init__()
        self.stacked = cfg.num_layers > 1
        self.mamba = Mamba(cfg, backend)
        self.dropout = nn.Dropout(cfg.dropout)
        self.LayerNorm = nn.LayerNorm(cfg.hidden_size, eps=1e-12)
        self.ffn = _FeedForward(cfg)

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        return self._finish(hidden, self.mamba(hidden, lengths))

    def step(
        self, hidden: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        mixed, state = self.mamba.step(hidden, state)
        return self._finish(hidden, mixed), state

    def prefill(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        mixed, state = self.mamba.prefill(hidden, lengths)
        return self._finish(hidden, mixed), state

    def _finish(self, hidden: Tensor, mixed: Tensor) -> Tensor:
        mixed = self.dropout(mixed)
        normed = self.LayerNorm(mixed + hidden if self.stacked else mixed)
        finished: Tensor = self.ffn(normed)
        return finished


class _FeedForward(nn.Module):
    def __init__(self, cfg: Mamba4RecConfig) -> None:
        super().__init__()
        self.w_1 = nn.Linear(cfg.hidden_size, 4 * cfg.hidden_size)
        self.w_2 = nn.Linear(4 * cfg.hidden_size, cfg.hidden_size)
        self.dropout = nn.Dropout(cfg.dropout)
        self.LayerNorm = nn.LayerNorm(cfg.hidden_size, eps=1e-12)

    def forward(self, hidden: Tensor) -> Tensor:
        inner = self.dropout(F.gelu(self.w_1(hidden)))  # (B, L, 4 D)
        finished: Tensor = self.LayerNorm(self.dropout(self.w_2(inner)) + hidden)
        return finished


class Mamba(nn.Module):
    """The Mamba-1 block with mamba_ssm's parameter names; forward, step and prefill share its
    weights.
    """

    def __init__(self, cfg: Mamba4RecConfig, backend: str) -> None:
        super().__init__()
        self.backend = backend
        self.d_inner = cfg.expand * cfg.hidden_size
        self.d_state, self.d_conv = cfg.d_state, cfg.d_conv
        self.dt_rank = math.ceil(cfg.hidden_size / 16)
        self.in_proj = nn.Linear(cfg.hidden_size, 2 * self.d_inner, bias=False)
        self.conv1d = nn.Conv1d(
            self.d_inner, self.d_inner, cfg.d_conv, groups=self.d_inner, padding=cfg.d_conv - 1
        )
        self.x_proj = nn.Linear(self.d_inner, self.dt_rank + 2 * cfg.d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, self.d_inner)
        decay = torch.arange(1, cfg.d_state + 1, dtype=torch.float32)
        self.A_log = nn.Parameter(decay.log().repeat(self.d_inner, 1))  # (E, N), real S4D
        self.D = nn.Parameter(torch.ones(self.d_inner))
        self.out_proj = nn.Linear(self.d_inner, cfg.hidden_size, bias=False)
        self._init_step_size()

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        x, z = self.in_proj(hidden).chunk(2, dim=-1)  # (B, L, E) each
        y = self._scan(x, z, lengths)
        out: Tensor = self.out_proj(y)
        return out

    def prefill(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The full pass (B, L, D) and the state after it; all rows as long as the tensor."""
        x, z = self.in_proj(hidden).chunk(2, dim=-1)
        y, scan_state = self._scan_with_state(x, z, lengths)
        keep = self.d_conv - 1
        window = F.pad(x, (0, 0, keep, 0))[:, -keep:]  # (B, K - 1, E)
        return self.out_proj(y), (window, scan_state)

    def init_state(self, batch_size: int) -> tuple[Tensor, Tensor]:
        new = self.D.new_zeros
        return (
            new(batch_size, self.d_conv - 1, self.d_inner),
            new(batch_size, self.d_inner, self.d_state),
        )

    def step(
        self, hidden: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        window, scan_state = state
        x, z = self.in_proj(hidden).chunk(2, dim=-1)  # (B, E)
        x, window = causal_conv1d_step(window, x, self.conv1d.weight[:, 0], self._conv_bias)
        delta, B, C = self._project(x)
        y, scan_state = selective_scan_step(
            scan_state,
            x,
            delta,
            self._decay(),
            B,
            C,
            self.D.float(),
            z,
            delta_bias=self.dt_proj.bias.float(),
        )
        return self.out_proj(y), (window, scan_state)

    def _scan(self, x: Tensor, z: Tensor, lengths: Tensor) -> Tensor:
        return cast("Tensor", selective_scan(*self._arguments(x, z), **self._how(lengths)))

    def _scan_with_state(self, x: Tensor, z: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        both = selective_scan(*self._arguments(x, z), **self._how(lengths), return_last_state=True)
        return cast("tuple[Tensor, Tensor]", both)

    def _arguments(self, x: Tensor, z: Tensor) -> tuple[Tensor, ...]:
        """u, delta, A, B, C, D and z of the scan, from the two halves of in_proj (B, L, E)."""
        u = causal_conv1d(x, self.conv1d.weight[:, 0], self._conv_bias, backend=self.backend)
        delta, B, C = self._project(u)
        return u, delta, self._decay(), B, C, self.D.float(), z

    def _how(self, lengths: Tensor) -> dict[str, Any]:
        bias = self.dt_proj.bias.float()
        return {"delta_bias": bias, "lengths": lengths, "backend": self.backend}

    def _decay(self) -> Tensor:
        """A (E, N), negative; in float32 whatever the autocast dtype, or the decays overflow."""
        return -torch.exp(self.A_log.float())

    @property
    def _conv_bias(self) -> Tensor:
        assert self.conv1d.bias is not None, "made with a bias"
        return self.conv1d.bias

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Step size before its bias and softplus (…, E), and B and C (…, N)."""
        low_rank, B, C = self.x_proj(x).split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        # The bias of dt_proj is added inside the scan, before the softplus.
        return F.linear(low_rank, self.dt_proj.weight), B, C

    def _init_step_size(self, smallest: float = 0.001, largest: float = 0.1) -> None:
        """Mamba's own start: steps log-uniform in [smallest, largest], through the inverse
        softplus.
        """
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        low, high = math.log(smallest), math.log(largest)
        steps = torch.exp(torch.rand(self.d_inner) * (high - low) + low)
        with torch.no_grad():
            self.dt_proj.bias.copy_(steps + torch.log(-torch.expm1(-steps)))


MODEL = Mamba4Rec
