"""The scan where decays are above 1: kernels leave out a bound only where it can't be reached."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.ops.selective_scan import selective_scan, selective_scan_reference

CHANNELS, STATES = 40, 5


def _operands(length: int) -> dict[str, Tensor]:
    make = torch.Generator().manual_seed(0)
    shapes = {
        "u": (3, length, CHANNELS), "delta": (3, length, CHANNELS), "A": (CHANNELS, STATES),
        "B": (3, length, STATES), "C": (3, length, STATES), "D": (CHANNELS,),
    }  # fmt: skip
    tensors = {name: torch.randn(shape, generator=make) for name, shape in shapes.items()}
    tensors["A"] = -tensors["A"].abs() - 0.01
    return tensors


@pytest.mark.parametrize("grows", ["one A", "a step"])
def test_growing_states_equal_the_reference(grows: str) -> None:
    tensors = _operands(37)
    if grows == "one A":
        tensors["A"][33, 4] = 0.2
    leaves = {name: tensor.requires_grad_() for name, tensor in tensors.items()}
    exact = {name: tensor.detach().double().requires_grad_() for name, tensor in leaves.items()}
    soft = grows == "one A"
    y = selective_scan(**leaves, delta_softplus=soft, backend="numba")
    wanted, _ = selective_scan_reference(**exact, delta_softplus=soft)
    scale = float(wanted.detach().abs().max())
    assert scale > 10  # states did grow
    torch.testing.assert_close(y.double(), wanted, rtol=1e-5, atol=1e-5 * scale)
    found = torch.autograd.grad(y.sum(), leaves.values())
    right = torch.autograd.grad(wanted.sum(), exact.values())
    for a, b in zip(found, right, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-5 * float(b.abs().max()))


@pytest.mark.parametrize("rate", [200.0, 1e4])
@pytest.mark.parametrize("soft", [True, False])
def test_a_decay_beyond_float32_is_infinite(rate: float, soft: bool) -> None:
    tensors = _operands(2)
    for name in ("u", "B", "C"):
        tensors[name].fill_(1.0)
    tensors["A"].fill_(-1.0)
    if soft:
        tensors["A"][33, 2] = rate  # neither in the first vector of channels nor in its first state
        tensors["delta"][:, :, 33] = -30.0
        tensors["delta"][1, 1, 33] = 1.0
    else:
        tensors["delta"][1, 1, 33] = -rate
    leaves = {name: tensor.requires_grad_() for name, tensor in tensors.items()}
    y = selective_scan(**leaves, delta_softplus=soft, backend="numba")
    wanted, _ = selective_scan_reference(**leaves, delta_softplus=soft)
    assert bool(wanted.isinf().any())
    torch.testing.assert_close(y, wanted, rtol=1e-5, atol=1e-5)
    found = torch.autograd.grad(y.sum(), leaves["delta"])[0]
    right = torch.autograd.grad(wanted.sum(), leaves["delta"])[0]
    assert not bool(right[1, :, 33].isfinite().all())
    assert torch.equal(found.isfinite(), right.isfinite())
    torch.testing.assert_close(found[found.isfinite()], right[right.isfinite()])


def test_a_nan_hides_no_growth() -> None:
    tensors = _operands(3)
    tensors["A"][3, 0] = 200.0
    tensors["A"][19, 1] = float("nan")  # in the same lane of the next vector
    y = selective_scan(**tensors, backend="numba")
    wanted, _ = selective_scan_reference(**tensors)
    assert not bool(wanted[:, :, 3].isfinite().all())
    assert torch.equal(y.isfinite(), wanted.isfinite())


@pytest.mark.parametrize(("channels", "states"), [(5, 0), (0, 5)])
def test_no_states_and_no_channels(channels: int, states: int) -> None:
    wide, mixing = torch.ones(1, 3, channels), torch.ones(1, 3, states)
    y = selective_scan(
        wide, wide, torch.ones(channels, states), mixing, mixing, torch.ones(channels),
        backend="numba",
    )  # fmt: skip
    assert torch.equal(y, wide)
