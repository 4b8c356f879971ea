"""GRU4Rec against PyTorch's own layer, which holds its parameters."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.gru4rec import GRU4Rec, GRU4RecConfig

NUM_ITEMS, ROWS, LENGTH = 37, 5, 19


def _model(num_layers: int, backend: str = "auto") -> GRU4Rec:
    torch.manual_seed(0)
    config = GRU4RecConfig(hidden_size=16, gru_size=32, num_layers=num_layers)
    return GRU4Rec(NUM_ITEMS, LENGTH, config, backend=backend).eval()


def _histories() -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([LENGTH, 1, 7, 18, 2])
    item_seq = torch.randint(1, NUM_ITEMS + 1, (ROWS, LENGTH))
    return item_seq * (torch.arange(LENGTH) < lengths[:, None]), lengths


@pytest.mark.parametrize("backend", ["auto", "torch", "numba"])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@torch.inference_mode()
def test_hidden_states_are_those_of_torchs_layer(num_layers: int, backend: str) -> None:
    model = _model(num_layers, backend)
    item_seq, lengths = _histories()
    output, _ = model.gru(model.item_embedding(item_seq).transpose(0, 1))  # (L, B, E)
    wanted = model.dense(output).transpose(0, 1)
    hidden = model.encode(item_seq, lengths)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(hidden[row, :length], wanted[row, :length])
        last = model.last_hidden(item_seq, lengths)[row]
        torch.testing.assert_close(last, wanted[row, length - 1])


@pytest.mark.parametrize("num_layers", [1, 2])
@torch.inference_mode()
def test_each_layers_state_is_kept(num_layers: int) -> None:
    model = _model(num_layers)
    item_seq = _histories()[0].clamp_min(1)
    _, wanted = model.gru(model.item_embedding(item_seq).transpose(0, 1))
    state = model.prefill(item_seq, torch.full((ROWS,), LENGTH))
    torch.testing.assert_close(state, wanted)
    stepped = model.init_state(ROWS)
    for position in range(LENGTH):
        _, stepped = model.step(item_seq[:, position], stepped)
    torch.testing.assert_close(stepped, wanted)


def test_parameters_keep_torchs_names() -> None:
    names = {name for name, _ in _model(2).named_parameters() if name.startswith("gru.")}
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    assert names == {f"gru.{kind}_l{layer}" for kind in kinds for layer in range(2)}


@pytest.mark.parametrize("users", [1, 2, 7, 8])
@pytest.mark.parametrize("num_layers", [1, 3])
@torch.inference_mode()
def test_the_step_in_one_kernel_equals_the_layers(num_layers: int, users: int) -> None:
    model, layers = _model(num_layers), _model(num_layers, "torch")
    make = torch.Generator().manual_seed(3)
    state = torch.randn(num_layers, users, 32, generator=make)
    item = torch.randint(1, NUM_ITEMS + 1, (users,), generator=make)
    served = model._served(item, state)
    assert (served is None) == (users == 8), "many users are PyTorch's"
    before = state.clone()
    for _ in range(2):
        got, wanted = model.step(item, state), layers.step(item, state)
        assert torch.equal(state, before), "a state can be stepped twice"
        for one, other in zip(got, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@torch.inference_mode()
def test_the_step_sees_new_weights() -> None:
    model, state = _model(1), torch.zeros(1, 1, 32)
    model.step(torch.tensor([3]), state)
    model.load_state_dict({name: 0.5 * p for name, p in model.state_dict().items()})
    hidden, _ = model.step(torch.tensor([3]), state)
    model.layer_backend = "torch"
    torch.testing.assert_close(hidden, model.step(torch.tensor([3]), state)[0])


@pytest.mark.parametrize("item", [-1, NUM_ITEMS + 1])
@torch.inference_mode()
def test_a_step_refuses_unknown_items(item: int) -> None:
    with pytest.raises(IndexError, match=f"0..{NUM_ITEMS}"):
        _model(1).step(torch.tensor([item]), torch.zeros(1, 1, 32))


@torch.inference_mode()
def test_what_the_kernel_does_not_fit_goes_by_layers() -> None:
    item, state = torch.tensor([3]), torch.zeros(1, 1, 32)
    assert _model(1)._served(item, state.double()) is None
    assert _model(1).double()._served(item, state) is None
    odd = GRU4Rec(NUM_ITEMS, LENGTH, GRU4RecConfig(hidden_size=16, gru_size=40)).eval()
    assert odd._served(item, odd.init_state(1)) is None
    assert odd.step(item, odd.init_state(1))[0].shape == (1, 16)
