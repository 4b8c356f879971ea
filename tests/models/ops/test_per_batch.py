"""What is derived from offsets: once a batch in whole models, for these offsets alone, and gone
with them.
"""

from __future__ import annotations

import gc
import weakref
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import models
from models.ops import attention, gru, rows
from models.ops.per_batch import PerBatch
from models.ops.rows import pad_rows

CPU = torch.device("cpu")


def _count(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> list[Tensor]:
    """The offsets that something was made of, each time that it was."""
    made: list[Tensor] = []
    make = getattr(module, name).make

    def counted(offsets: Tensor, device: torch.device) -> Any:
        made.append(offsets)
        return make(offsets, device)

    monkeypatch.setattr(module, name, PerBatch(counted))
    return made


@pytest.mark.parametrize(
    ("name", "backend", "module", "derived", "times"),
    [
        ("mamba4rec", "reference", rows, "_where", 1),
        ("sasrec", "torch", attention, "_places", 1),
        ("bert4rec", "torch", attention, "_places", 2),  # the last layer's queries are fewer
        ("bert4rec", "torch", attention, "_seen", 1),
        ("gru4rec", "torch", gru, "_by_step", 1),
    ],
)
def test_three_layers_and_their_gradients_make_it_once(
    monkeypatch: pytest.MonkeyPatch, name: str, backend: str, module: Any, derived: str, times: int
) -> None:
    made = _count(monkeypatch, module, derived)
    model_class = models.get(name)
    model = model_class(30, 9, model_class.Config(num_layers=3), backend=backend).train()
    lengths = torch.tensor([9, 2, 5])
    item_seq = torch.ones(3, 9, dtype=torch.int64)
    targets = item_seq * (torch.arange(9) < lengths[:, None]) * (torch.arange(9) % 2 == 0)
    batch = SimpleNamespace(item_seq=item_seq, lengths=lengths, targets=targets)
    for step in (1, 2):  # another batch has offsets of its own
        model.loss(batch).backward()
        assert len(made) == times * step
    assert len({id(offsets) for offsets in made}) == len(made)


def test_equal_offsets_are_not_the_same_and_take_it_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def make(offsets: Tensor, device: torch.device) -> Tensor:
        made.append((len(offsets), device))
        return offsets.diff().to(device)

    one, two = torch.tensor([0, 3, 4]), torch.tensor([0, 3, 4])
    derive = PerBatch(make)
    found = derive(one, CPU)
    assert derive(one, CPU) is found
    assert derive(two, CPU) is not found
    assert derive(one, torch.device("meta")).device.type == "meta"
    assert PerBatch(make)(one, CPU) is not found, "what else is made of them is something else"
    assert len(made) == 4
    gone = weakref.ref(found)
    del one, found
    gc.collect()
    assert gone() is None


def test_what_was_made_without_gradients_serves_them_later() -> None:
    with torch.inference_mode():
        offsets = torch.tensor([0, 3, 4])
        pad_rows(torch.ones(4, 2), offsets)
    leaf = torch.ones(4, 2, requires_grad=True)
    pad_rows(leaf, offsets).sum().backward()
    assert leaf.grad is not None
    assert bool((leaf.grad == 1).all())


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_on_a_gpu_it_is_copied_there_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _count(monkeypatch, rows, "_where")
    offsets, packed = torch.tensor([0, 3, 4]), torch.ones(4, 2, device="cuda")
    padded = pad_rows(packed, offsets)
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        again = rows.unpad_rows(pad_rows(packed, offsets), offsets, 4)
    finally:
        torch.cuda.set_sync_debug_mode(before)
    assert len(made) == 1
    assert padded.shape == (2, 3, 2)
    assert torch.equal(again, packed)
