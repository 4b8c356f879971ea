"""Models of a few items, and histories for them: what the contract is tested with."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import torch
from torch import Tensor

import models
from models.base import SequentialRecommender

NUM_ITEMS, MAX_LEN, ROWS = 37, 24, 4


def build(
    name: str, *, max_len: int = MAX_LEN, backend: str = "auto", **settings: object
) -> SequentialRecommender:
    """A small one; settings that its Config does not have are left out."""
    torch.manual_seed(0)
    model_class = models.get(name)
    known = {field.name for field in dataclasses.fields(model_class.Config)}
    config = model_class.Config(**{key: settings[key] for key in known & settings.keys()})
    return model_class(NUM_ITEMS, max_len, config, backend=backend).eval()


def histories(length: int = MAX_LEN) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    item_seq = torch.randint(1, NUM_ITEMS + 1, (ROWS, length), generator=generator)
    lengths = torch.tensor([length, max(1, length - 1), max(1, length // 2), 1])
    item_seq[torch.arange(length) >= lengths[:, None]] = 0
    return item_seq, lengths


def batch_for(model: SequentialRecommender, objective: str) -> SimpleNamespace:
    item_seq, lengths = histories()
    if objective == "last":
        return SimpleNamespace(
            item_seq=item_seq, lengths=lengths, targets=torch.tensor([1, 2, 3, NUM_ITEMS])
        )
    targets = torch.where(item_seq > 0, item_seq.flip(1).clamp_min(1), 0)
    if objective == "cloze":
        hidden = (torch.arange(MAX_LEN) % 3 == 0) & (item_seq > 0)
        targets = torch.where(hidden, item_seq, 0)
        item_seq = torch.where(hidden, NUM_ITEMS + 1, item_seq)
    return SimpleNamespace(item_seq=item_seq, lengths=lengths, targets=targets)
