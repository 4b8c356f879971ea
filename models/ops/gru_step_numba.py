"""Serving one event by a GRU4Rec: tensors in, tensors out, the kernel between.

The plain reference is the model's own `step` by layers (models/gru4rec.py).
"""

from __future__ import annotations

import ctypes
from array import array

import torch
from torch import Tensor, nn

from models.ops.addresses import Addresses
from models.ops.gru_kernels import HEAD, SUMS_SCRATCH, serve_task
from models.ops.simd import LANES

# Parameters in the kernel's order: of the model, and of each layer.
_WEIGHTS = ("item_embedding.weight", "dense.weight", "dense.bias")
_LAYER_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
assert len(_WEIGHTS) == HEAD, "the kernel counts on it"

# Users from whom on PyTorch's matrix products are faster than the weights read for each.
_MANY = 8

# Keeps the interpreter's lock, and so has the scratch to itself.
_run = ctypes.PYFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(serve_task)
_scratch = torch.empty(SUMS_SCRATCH)


class GRUStep:
    """`step` of one model, whose parameters it reads where they lie at the time.

    Args:
        shape: rows of the item table, layers, D and E.
    """

    def __init__(self, model: nn.Module, shape: tuple[int, int, int, int]) -> None:
        names = [f"gru.{name}_l{i}" for i in range(shape[1]) for name in _LAYER_WEIGHTS]
        self._weights = Addresses(model, [*_WEIGHTS, *names])
        self._shape = shape

    def __call__(self, item: Tensor, state: Tensor) -> tuple[Tensor, Tensor] | None:
        """item (B,) int64 and the state before (layers, B, E) -> hidden (B, D), the state after.

        None for many users, widths that are not whole vectors, or what is not float32 on a CPU.

        Raises:
            IndexError: an id that is not in the item table.
        """
        (_, layers, width, states), users = self._shape, len(item)
        fits = (
            users < _MANY
            and width % LANES == states % LANES == 0
            and state.shape == (layers, users, states)
            and state.dtype is torch.float32
            and item.dtype is torch.int64
            and state.is_cpu
            and item.is_cpu
        )
        found = self._weights.find() if fits else []
        if not found:
            return None
        item, state = item.contiguous(), state.contiguous()
        hidden, after = torch.empty(users, width), torch.empty_like(state)
        weights, failed = array("q", found), array("q", (0,))
        row = array(
            "q",
            (item.data_ptr(), weights.buffer_info()[0], state.data_ptr(), after.data_ptr(),
             hidden.data_ptr(), failed.buffer_info()[0], *self._shape, users),
        )  # fmt: skip
        _run(row.buffer_info()[0], _scratch.data_ptr())
        if failed[0]:
            raise IndexError(f"item ids must lie in 0..{self._shape[0] - 1}")
        return hidden, after
