"""Serving one event by a GRU4Rec or by one GRU layer: tensors in, tensors out, the kernel between.

The plain references are the model's own `step` by layers (models/gru4rec.py) and torch.gru_cell.
"""

from __future__ import annotations

import ctypes
from array import array

import torch
from torch import Tensor, nn

from models.ops.addresses import Addresses
from models.ops.gru_kernels import SUMS_SCRATCH
from models.ops.gru_step_kernels import HEAD, serve_task, step_task
from models.ops.simd import LANES

# Parameters in the kernel's order: of the model, and of each layer.
_WEIGHTS = ("item_embedding.weight", "dense.weight", "dense.bias")
_LAYER_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
assert len(_WEIGHTS) == HEAD, "the kernel counts on it"

# Users from whom on PyTorch's matrix products are faster than the weights read for each.
_MANY = 8

# They keep the interpreter's lock, which costs more to give away than a step takes, and so have the
# scratch to themselves.
_run = ctypes.PYFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(serve_task)
_step = ctypes.PYFUNCTYPE(None, *[ctypes.c_int64] * 10)(step_task)
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


def gru_step_numba(
    item_hidden: Tensor, state: Tensor, weights: tuple[Tensor, ...]
) -> Tensor | None:
    """The state (1, E) after one step, or None where the kernel does not fit or gradients are
    wanted: it takes one row, whole vectors, weights as they lie.
    """
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    tensors = (item_hidden, state, weight_ih, weight_hh, bias_ih, bias_hh)
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        return None
    for tensor in tensors:
        if not (tensor.dtype is torch.float32 and tensor.is_contiguous() and tensor.is_cpu):
            return None
    states, width = weight_hh.shape[1], weight_ih.shape[1]
    biases = (3 * states,)
    if (
        width % LANES
        or states % LANES
        or not width * states
        or item_hidden.shape != (1, width)
        or state.shape != (1, states)
        or weight_ih.shape != (3 * states, width)
        or weight_hh.shape != (3 * states, states)
        or bias_ih.shape != biases
        or bias_hh.shape != biases
    ):
        return None
    after = torch.empty_like(state)
    _step(
        item_hidden.data_ptr(), state.data_ptr(), weight_ih.data_ptr(), weight_hh.data_ptr(),
        bias_ih.data_ptr(), bias_hh.data_ptr(), after.data_ptr(), width, states,
        _scratch.data_ptr(),
    )  # fmt: skip
    return after
