"""What an operation derives from a batch's `offsets`, made once a batch and not at each use.

Offsets lie on the CPU: what is made of them for a GPU is copied there, and the copy waits for all
that the GPU still has to do. Each layer needs the same, several times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

_NAME = "_derived_per_batch"
Derived = TypeVar("Derived")


class PerBatch(Generic[Derived]):
    """`PerBatch(make)(offsets, device)` is `make(offsets, device)`, made once for these offsets.

    It lies on that tensor and goes with it, so that none is taken for another's. Offsets are never
    written to; where two threads begin at once, both make it.

    Args:
        make: takes offsets (B + 1,) int64 on the CPU, and the device that its result lies on.
    """

    def __init__(self, make: Callable[[Tensor, torch.device], Derived]) -> None:
        self.make = make

    def __call__(self, offsets: Tensor, device: torch.device) -> Derived:
        known: dict[Any, Derived] = vars(offsets).setdefault(_NAME, {})
        key = self, device
        if key not in known:
            # An inference tensor could not be kept for a gradient that is asked for later.
            with torch.inference_mode(False):
                known[key] = self.make(offsets, device)
        return known[key]
