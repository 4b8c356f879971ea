"""Correct before fast: what must hold before a cell is timed. A cell that fails is `incorrect`,
untimed.
"""

from __future__ import annotations

import torch
from torch import Tensor

import models
from models.base import SequentialRecommender

# Relative to the largest value; float32 sums in another order differ by about 1e-6 of it.
TOLERANCE = 1e-4
_ROWS, _EVENTS = 2, 24


class Incorrect(RuntimeError):
    """A fast path gave another result than its reference; the message says by how much."""


@torch.no_grad()
def check_kernels(model: SequentialRecommender) -> None:
    """The model's kernels against the plain reference, forward pass, ragged lengths."""
    if "reference" not in model.backends or model.backend == "reference":
        return
    plain = models.get(model.name)(
        model.num_items, model.max_len, model.config, backend="reference"
    )
    plain.load_state_dict(model.state_dict())
    plain.to(next(model.parameters()).device).eval()
    item_seq, lengths = _sample(model)
    with _evaluating(model):
        got = model.last_hidden(item_seq, lengths)
    _compare(got, plain.last_hidden(item_seq, lengths), f"{model.backend} kernels")


@torch.no_grad()
def check_step(model: SequentialRecommender) -> None:
    """step() event by event against the full pass, at every position."""
    item_seq, _ = _sample(model)
    lengths = torch.full((_ROWS,), item_seq.shape[1], device=item_seq.device)
    with _evaluating(model):
        full = model.encode(item_seq, lengths)  # (B, L, D)
        state = model.init_state(_ROWS)
        for position in range(item_seq.shape[1]):
            hidden, state = model.step(item_seq[:, position], state)
            _compare(hidden, full[:, position], f"step() at position {position}")


def _sample(model: SequentialRecommender) -> tuple[Tensor, Tensor]:
    length = min(model.max_len, _EVENTS)
    generator = torch.Generator().manual_seed(0)
    item_seq = torch.randint(1, model.num_items + 1, (_ROWS, length), generator=generator)
    lengths = torch.tensor([length, max(1, length // 2)])
    item_seq[1, lengths[1] :] = 0
    device = next(model.parameters()).device
    return item_seq.to(device), lengths.to(device)


class _evaluating:
    """Evaluation mode inside, the former mode after."""

    def __init__(self, model: SequentialRecommender) -> None:
        self.model, self.training = model, model.training

    def __enter__(self) -> None:
        self.model.eval()

    def __exit__(self, *error: object) -> None:
        self.model.train(self.training)


def _compare(got: Tensor, want: Tensor, what: str) -> None:
    scale = float(want.abs().max().clamp_min(1e-6))
    difference = float((got - want).abs().max()) / scale
    if not difference <= TOLERANCE:  # also true for NaN
        raise Incorrect(
            f"{what}: differs from the reference by {difference:.2g}, allowed {TOLERANCE:.0e}"
        )
