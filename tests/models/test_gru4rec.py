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
