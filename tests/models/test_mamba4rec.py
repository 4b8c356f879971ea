"""Mamba4Rec against what is published of it: parameters, names, initialisation, kernels."""

from __future__ import annotations

import pytest
import torch

from models.mamba4rec import Mamba4Rec, Mamba4RecConfig

# Names and shapes of mamba_ssm.Mamba(d_model=64, d_state=32, d_conv=4, expand=2).
OFFICIAL_BLOCK = {
    "A_log": (128, 32),
    "D": (128,),
    "in_proj.weight": (256, 64),
    "conv1d.weight": (128, 1, 4),
    "conv1d.bias": (128,),
    "x_proj.weight": (68, 128),
    "dt_proj.weight": (128, 4),
    "dt_proj.bias": (128,),
    "out_proj.weight": (64, 128),
}


def test_parameters_on_ml_1m_are_the_published_number() -> None:
    assert Mamba4Rec(3416, 200).num_parameters() == 290_944


def test_the_block_has_the_official_names_and_shapes() -> None:
    block = Mamba4Rec(10, 5).stack[0].mamba
    shapes = {name: tuple(tensor.shape) for name, tensor in block.state_dict().items()}
    assert shapes == OFFICIAL_BLOCK


def test_official_initialisation_starts_all_steps_at_softplus_of_zero() -> None:
    block = Mamba4Rec(10, 5).stack[0].mamba
    assert bool((block.dt_proj.bias == 0).all())
    assert float(block.in_proj.weight.detach().std()) == pytest.approx(0.02, rel=0.1)


def test_mambas_own_initialisation_keeps_steps_small() -> None:
    block = Mamba4Rec(10, 5, Mamba4RecConfig(init="mamba")).stack[0].mamba
    steps = torch.nn.functional.softplus(block.dt_proj.bias)
    assert float(steps.detach().min()) >= 0.001 * 0.999
    assert float(steps.detach().max()) <= 0.1 * 1.001
    assert float(steps.detach().std()) > 0.01


def test_an_unknown_initialisation_is_refused() -> None:
    with pytest.raises(ValueError, match="init='xavier': allowed are official, mamba"):
        Mamba4RecConfig(init="xavier")


def test_one_layer_has_no_residual_around_mamba_and_two_have() -> None:
    for num_layers, residual in ((1, False), (2, True)):
        model = Mamba4Rec(10, 5, Mamba4RecConfig(num_layers=num_layers)).eval()
        for layer in model.stack:
            torch.nn.init.zeros_(layer.mamba.out_proj.weight)  # Mamba itself adds nothing
        seen = [model.score(torch.tensor([[i, 3]]), torch.tensor([2])) for i in (1, 2)]
        last = [model.score(torch.tensor([[1, i]]), torch.tensor([2])) for i in (3, 4)]
        assert torch.allclose(*seen)
        assert torch.allclose(*last) is not residual


@pytest.mark.parametrize("init", ["official", "mamba"])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_fast_kernels_equal_the_reference_in_value_and_gradient(init: str, num_layers: int) -> None:
    torch.manual_seed(0)
    config = Mamba4RecConfig(init=init, num_layers=num_layers, dropout=0.0)
    fast = Mamba4Rec(30, 20, config, backend="numba")
    plain = Mamba4Rec(30, 20, config, backend="reference")
    plain.load_state_dict(fast.state_dict())
    item_seq = torch.randint(1, 31, (3, 20))
    lengths = torch.tensor([20, 11, 1])
    # Random weights: behind a LayerNorm a plain sum or square has a gradient of nearly zero.
    mix = torch.randn(3, 64)
    for model in (fast, plain):
        (model.last_hidden(item_seq, lengths) * mix).sum().backward()
    for (name, a), (_, b) in zip(fast.named_parameters(), plain.named_parameters(), strict=True):
        if a.grad is None and b.grad is None:
            continue
        scale = float(b.grad.abs().max().clamp_min(1e-6))
        assert float((a.grad - b.grad).abs().max()) / scale < 2e-4, name


def test_stacked_layers_step_as_they_encode() -> None:
    model = Mamba4Rec(30, 20, Mamba4RecConfig(num_layers=2)).eval()
    item_seq = torch.randint(1, 31, (2, 9))
    with torch.inference_mode():
        full = model.encode(item_seq, torch.tensor([9, 9]))
        state = model.init_state(2)
        for position in range(9):
            hidden, state = model.step(item_seq[:, position], state)
        torch.testing.assert_close(hidden, full[:, -1], rtol=1e-5, atol=1e-5)
