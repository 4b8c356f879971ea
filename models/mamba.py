"""The Mamba-1 block (Gu and Dao 2023, arXiv 2312.00752; github.com/state-spaces/mamba).

Glossary: D d_model, E d_inner = expand * D, N d_state, K d_conv, R dt_rank; delta the step size, A
the decay, B and C what enters and leaves the state, z the gate. Parameter names are mamba_ssm's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ops.causal_conv1d import causal_conv1d, causal_conv1d_step
from models.ops.linear import linear
from models.ops.selective_scan import selective_scan, selective_scan_step
from models.packed import Chosen, Packed

# Last inputs of the convolution (B, K - 1, E) and state of the scan (B, E, N).
MambaState = tuple[Tensor, Tensor]


class Mamba(nn.Module):
    """The Mamba-1 block with mamba_ssm's parameter names; forward, step and prefill share its
    weights.
    """

    def __init__(
        self, d_model: int, d_state: int, d_conv: int, expand: int, *, backend: str = "auto"
    ) -> None:
        super().__init__()
        self.backend = backend
        self.layer_backend = "torch" if backend == "reference" else "auto"
        self.d_inner, self.d_state, self.d_conv = expand * d_model, d_state, d_conv
        self.dt_rank = math.ceil(d_model / 16)
        self.in_proj = nn.Linear(d_model, 2 * self.d_inner, bias=False)
        self.conv1d = nn.Conv1d(
            self.d_inner, self.d_inner, d_conv, groups=self.d_inner, padding=d_conv - 1
        )
        self.x_proj = nn.Linear(self.d_inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, self.d_inner)
        decay = torch.arange(1, d_state + 1, dtype=torch.float32)
        self.A_log = nn.Parameter(decay.log().repeat(self.d_inner, 1))  # (E, N), real S4D
        self.D = nn.Parameter(torch.ones(self.d_inner))
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=False)
        self._init_step_size()

    def forward(
        self,
        hidden: Tensor,
        sequences: Packed,
        chosen: Chosen | None = None,
        *,
        keep_state: bool = False,
        donated: bool = False,
    ) -> tuple[Tensor, MambaState | None]:
        """(T, D) -> (T, D), or (M, D) at the chosen rows, which alone need gate and output layer.

        With `keep_state` also the state after each sequence, all of them being of one length. With
        `donated` a gradient may take the place of `hidden` (models/ops/donation.py).
        """
        weight = self.in_proj.weight  # (2 E, D)
        if chosen is None:
            both = linear(hidden, weight, donated=donated, backend=self.layer_backend)  # (T, 2 E)
            x, z = both.chunk(2, dim=1)
        else:
            asking, every = chosen.beside(hidden, self.layer_backend)  # (M, D), (T, D)
            inner, gate = weight[: self.d_inner], weight[self.d_inner :]
            x = linear(every, inner, donated=donated, backend=self.layer_backend)  # (T, E)
            z = linear(asking, gate, backend=self.layer_backend)  # (M, E)
        u = causal_conv1d(
            x, self.conv1d.weight[:, 0], self._conv_bias, offsets=sequences.offsets,
            backend=self.backend,
        )  # fmt: skip
        delta, B, C = self._project(u)
        y = selective_scan(
            u, delta, self.decay(), B, C, self.D.float(), z if chosen is None else None,
            delta_bias=self.dt_proj.bias.float(), offsets=sequences.offsets,
            return_last_state=keep_state, donated=True, backend=self.backend,
        )  # fmt: skip
        y, last = y if isinstance(y, tuple) else (y, None)
        if chosen is not None:
            y = chosen.of(y) * F.silu(z)  # (M, E)
        out = linear(y, self.out_proj.weight, backend=self.layer_backend)
        if last is None:
            return out, None
        keep = self.d_conv - 1
        window = F.pad(sequences.unpack(x), (0, 0, keep, 0))[:, -keep:]  # (B, K - 1, E)
        return out, (window, last)

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
            self.decay(),
            B,
            C,
            self.D.float(),
            z,
            delta_bias=self.dt_proj.bias.float(),
        )
        return self.out_proj(y), (window, scan_state)

    def decay(self) -> Tensor:
        """A (E, N), negative; in float32 whatever the autocast dtype, or the decays overflow."""
        return -torch.exp(self.A_log.float())

    @property
    def _conv_bias(self) -> Tensor:
        assert self.conv1d.bias is not None, "made with a bias"
        return self.conv1d.bias

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Step size before its bias and softplus (…, E), and B and C (…, N)."""
        projected = linear(x, self.x_proj.weight, backend=self.layer_backend)
        low_rank, B, C = projected.split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        # The bias of dt_proj is added inside the scan, before the softplus.
        return linear(low_rank, self.dt_proj.weight, backend=self.layer_backend), B, C

    def _init_step_size(self, smallest: float = 0.001, largest: float = 0.1) -> None:
        """Mamba's own start: steps log-uniform in [smallest, largest], through the inverse
        softplus.
        """
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        low, high = math.log(smallest), math.log(largest)
        steps = torch.exp(torch.rand(self.d_inner) * (high - low) + low)
        with torch.no_grad():
            self.dt_proj.bias.copy_(steps + torch.log(-torch.expm1(-steps)))
