"""Made-up operands of the selective scan, and how near two results must be."""

from __future__ import annotations

import torch
from torch import Tensor

GATED = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
PLAIN = GATED[:6]


def operands(
    batch: int, length: int, channels: int, states: int, names: tuple[str, ...] = GATED
) -> dict[str, Tensor]:
    make = torch.Generator().manual_seed(0)
    wide, mixing = (batch, length, channels), (batch, length, states)
    shapes = {
        "u": wide, "delta": wide, "A": (channels, states), "B": mixing, "C": mixing,
        "D": (channels,), "z": wide, "delta_bias": (channels,),
    }  # fmt: skip
    tensors = {name: torch.randn(shapes[name], generator=make) for name in names}
    tensors["A"] = -tensors["A"].abs() * 3 - 0.01
    return tensors


def assert_close(got: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float) -> None:
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        scale = float(value.abs().max()) or 1.0
        error = float((got[name].double() - value).abs().max()) / scale
        assert error < tolerance, f"{name}: {error:.1e} relative to its largest element"


def some_lengths(batch: int, length: int) -> Tensor:
    """Full, one, and values between, on and off the borders of the kernel's segments."""
    return torch.tensor([length, 1, length // 2, 16, 17, 0])[:batch].clamp(max=length)
