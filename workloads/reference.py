"""A model on the plain reference kernels, histories to compare on, and how near a fast path has to
come; `Incorrect` where it does not.
"""

from __future__ import annotations

import torch
from torch import Tensor

import models
from models.base import SequentialRecommender
from workloads.setting import DTYPES, Setting

# Relative to the largest value; float32 sums in another order differ by about 1e-6 of it, hidden
# states and scores in bfloat16 by less than 1e-2. Gradients may be off by ten times as much.
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}

# Users who are compared in one go: so many as the reference reads about so many events of, and of a
# large catalogue as have so many scores; never fewer than the first and the last.
_EVENTS, _SCORES, _FEWEST = 2**12, 2**25, 2


class Incorrect(RuntimeError):
    """A fast path gave another result than its reference; the message says by how much."""


class Evaluating:
    """Evaluation mode inside, the former mode after."""

    def __init__(self, model: SequentialRecommender) -> None:
        self.model, self.training = model, model.training

    def __enter__(self) -> None:
        self.model.eval()

    def __exit__(self, *error: object) -> None:
        self.model.train(self.training)


def reference_of(model: SequentialRecommender) -> SequentialRecommender:
    """The same weights on the reference kernels, in evaluation mode.

    Making it draws from PyTorch's generator.
    """
    model_class = models.get(model.name)
    plain = model_class(model.num_items, model.max_len, model.config, backend="reference")
    plain.load_state_dict(model.state_dict())
    return plain.to(next(model.parameters()).device).eval()


def tolerance_of(setting: Setting) -> float:
    """How far values may be off in the dtype that is timed, relative to the largest."""
    return TOLERANCES[DTYPES[setting.dtype]]


def some_of(users: int, *, events: int, items: int) -> Tensor:
    """Numbers of users (M,) for whom all stand: evenly spread from the first to the last.

    Args:
        events: each user's; items: those of the catalogue.
    """
    fit = min(_EVENTS // events, _SCORES // (items + 1))
    return torch.linspace(0, users - 1, min(users, max(_FEWEST, fit))).round().long()


def ragged_histories(items: int, rows: int, length: int, seed: int) -> tuple[Tensor, Tensor]:
    """Padded (B, L) and lengths (B,), all of them up to the given one."""
    generator = torch.Generator().manual_seed(seed)
    item_seq = torch.randint(1, items + 1, (rows, length), generator=generator)
    lengths = (length - torch.arange(rows) * length // rows).clamp_min(1)
    item_seq[torch.arange(length) >= lengths[:, None]] = 0
    return item_seq, lengths


def compare(
    got: Tensor, want: Tensor, what: str, tolerance: float, *, scale: float | None = None
) -> None:
    """Raises Incorrect where they differ by more than `tolerance` of the scale, by default the
    largest value wanted.
    """
    largest = max(1e-6, float(want.abs().max()) if scale is None else scale)
    difference = float((got - want).abs().max()) / largest
    if not difference <= tolerance:  # also true for NaN
        raise Incorrect(
            f"{what}: differs from the reference by {difference:.2g}, allowed {tolerance:.0e}"
        )
