"""Models whose gradients take the place of values: the same gradients, and nothing that a caller
can see is overwritten.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor, nn

import models
from models.base import SequentialRecommender
from models.ops import donation
from models.packed import pack

told = pytest.mark.skipif(
    donation._keeps_graph is None, reason="PyTorch before 2.5 does not tell of retained graphs"
)
SEQUENCES = torch.randint(1, 31, (40, 11), generator=torch.Generator().manual_seed(15))
LENGTHS = torch.arange(40) % 11 + 1


def made(name: str, **settings: Any) -> SequentialRecommender:
    """A model of 30 items in training mode, always with the same weights."""
    torch.manual_seed(16)
    cls = models.get(name)
    return cls(30, 12, cls.Config(**settings)).train()


@told
@pytest.mark.parametrize(
    ("name", "places"),
    # Of two layers: the embedding's norm; the first one's linear layer (SASRec's together with the
    # norm) and attention, what follows it (twice) and follows in the second (once), and that one's
    # rows. Of one: norm, linear layer, scan.
    [("sasrec", 6), ("bert4rec", 7), ("mamba4rec", 3)],
)
def test_models_donate(name: str, places: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, found = made(name), []
    for keeps in (False, True):
        # Asked of what is donated, and of nothing else.
        asked = Mock(return_value=keeps)
        monkeypatch.setattr(donation, "_keeps_graph", asked)
        torch.manual_seed(7)  # dropout
        loss = model.last_hidden(SEQUENCES, LENGTHS).sin().sum()
        found.append(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True))
        assert asked.call_count == places
    for mine, other in zip(*found, strict=True):
        assert (mine is None) == (other is None)
        assert mine is None or torch.equal(mine, other)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("name", models.names())
def test_what_leaves_a_model_keeps_its_gradient(name: str, layers: int) -> None:
    """A caller may hold on to it, as torch.autograd.grad and hooks do."""
    hidden = made(name, num_layers=layers).encode_rows(pack(SEQUENCES, LENGTHS))
    arriving = torch.randn(hidden.shape)
    before = arriving.clone()
    hidden.backward(arriving)
    assert torch.equal(arriving, before)


def seen_by_hooks(name: str, kind: str) -> list[Tensor]:
    """What a hook on each module is given, its gradient, and all of them once backward is done."""
    model, seen, found = made(name, num_layers=2), [], []
    inner: list[nn.Module] = [m for m in model.modules() if m is not model]
    for module in inner:
        if kind == "forward":
            module.register_forward_hook(lambda _, __, out: seen.append(out))
        else:
            module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    torch.manual_seed(17)  # dropout
    loss = model.last_hidden(SEQUENCES, LENGTHS).sin().sum()
    tensors = [t for s in seen for t in (s if isinstance(s, tuple) else (s,))]
    tensors = [t for t in tensors if isinstance(t, Tensor) and t.requires_grad]
    found += [t.detach().clone() for t in tensors]
    found += torch.autograd.grad(loss, [*tensors, *model.parameters()], allow_unused=True)
    return [*found, *tensors]


@pytest.mark.parametrize("kind", ["forward", "before"])
@pytest.mark.parametrize("name", ["bert4rec", "mamba4rec"])
def test_what_a_hook_has_seen_stays_as_it_was(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SASRec calls its layers' parts by name and GRU4Rec has none, so hooks see nothing there."""
    mine = seen_by_hooks(name, kind)
    monkeypatch.setattr(donation, "_keeps_graph", None)
    theirs = seen_by_hooks(name, kind)
    assert len(mine) == len(theirs) > 0
    for one, other in zip(mine, theirs, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)


def test_a_hook_anywhere_is_seen() -> None:
    model = made("bert4rec")
    assert donation.unwatched(model)
    for register in ("register_forward_hook", "register_forward_pre_hook",
                     "register_full_backward_hook", "register_full_backward_pre_hook"):  # fmt: skip
        handle = getattr(next(iter(model.children())), register)(lambda *_: None)
        assert not donation.unwatched(model), register
        handle.remove()
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert not donation.unwatched(model)
    handle.remove()
    assert donation.unwatched(model)
