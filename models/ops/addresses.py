"""Where a model's parameters lie, for kernels that serve a whole model in one call.

Looked up anew at each call, because training, loading and moving a model change or replace them:
nothing is copied, so nothing can be stale. A walk through a model's attributes would take longer
than the kernel, so what is kept are the modules' own tables of parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Addresses:
    """`find()` gives the address of each parameter `names` of `module`, in that order."""

    def __init__(self, module: nn.Module, names: Sequence[str]) -> None:
        owners = [name.rpartition(".") for name in names]
        self._places = [
            (module.get_submodule(owner)._parameters, name) for owner, _, name in owners
        ]
        self._checked: list[int] = []

    def find(self) -> list[int]:
        """None of them where one is not contiguous float32 on a CPU."""
        found = [held[name].data_ptr() for held, name in self._places]  # type: ignore[union-attr]
        if found != self._checked:
            if not all(_fits(held[name]) for held, name in self._places):
                return []
            self._checked = found
        return found


def _fits(tensor: Tensor | None) -> bool:
    return (
        tensor is not None
        and tensor.is_cpu
        and tensor.dtype == torch.float32
        and tensor.is_contiguous()
    )


def serves(model: nn.Module) -> bool:
    """Whether a kernel in float32 without gradients may stand in for the model's layers now, which
    is on a CPU alone: elsewhere nobody need load what it is made of.
    """
    return not (
        model.training
        or model.layer_backend == "torch"
        or torch.is_grad_enabled()
        or torch.is_autocast_enabled("cpu")
        # As an attribute of an attribute it would take as long as all the rest.
        or not model._modules["item_embedding"]._parameters["weight"].is_cpu  # type: ignore[union-attr]
    )
