"""Load or compile the kernels before anything is timed.

The first call of a Numba kernel compiles it (seconds) or loads it from the cache on disk (tenths of
a second); on a GPU the first call loads a binary. Timed around `warm_up`, that cost is a number of
its own instead of a part of the first batch.
"""

from __future__ import annotations

import torch

from models.ops.backend import resolve
from models.ops.causal_conv1d import causal_conv1d
from models.ops.linear_cross_entropy import linear_cross_entropy
from models.ops.selective_scan import selective_scan


def warm_up(backend: str = "auto", device: str | torch.device = "cpu") -> str:
    """Run every op of a backend once, forward and backward; returns the resolved backend.

    Raises:
        ValueError, BackendUnavailable: as `resolve` does.
    """
    name = resolve(backend, device)
    x = torch.full((2, 3, 16), 0.5, device=device, requires_grad=True)  # (B, L, D)
    mix = torch.full((2, 3, 4), 0.5, device=device, requires_grad=True)  # (B, L, N)
    rate = torch.full((16, 4), -1.0, device=device, requires_grad=True)  # (D, N)
    ones = torch.ones(16, device=device, requires_grad=True)  # (D,)
    filtered = causal_conv1d(x, rate, ones, backend=name)
    y = selective_scan(
        filtered, x, rate, mix, mix, ones, x, delta_bias=ones,
        lengths=torch.tensor([3, 1], device=device), backend=name,
    )  # fmt: skip
    assert isinstance(y, torch.Tensor), "a scan without last state returns one tensor"
    y.sum().backward()
    warm_up_loss("blocked" if name == "cuda" else name, device)
    return name


def warm_up_loss(backend: str = "auto", device: str | torch.device = "cpu") -> None:
    """Run the loss once, forward and backward; all that models without own kernels need."""
    hidden = torch.full((6, 16), 0.5, device=device, requires_grad=True)  # (M, D)
    weight = torch.full((4, 16), 0.5, device=device, requires_grad=True)  # (V, D)
    targets = torch.zeros(6, dtype=torch.int64, device=device)
    linear_cross_entropy(hidden, weight, targets, backend=backend).backward()
