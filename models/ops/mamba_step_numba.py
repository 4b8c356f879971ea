"""Serving one event by a Mamba4Rec: tensors in, tensors out, the kernel between.

The plain reference are the model's own layers (`step` in models/mamba.py and models/mamba4rec.py).
"""

from __future__ import annotations

import ctypes
from array import array

import torch
from torch import Tensor, nn

from models.ops.addresses import Addresses
from models.ops.mamba_step_kernels import HEAD, LAYER, step_task
from models.ops.simd_math import units
from models.ops.threads import run_tasks

# Of each layer the window (B, K - 1, E) and the scan's state (B, E, N).
State = list[tuple[Tensor, Tensor]]

# Parameters in the kernel's order: of the model before its layers, and of each layer.
WEIGHTS = ("item_embedding.weight", "LayerNorm.weight", "LayerNorm.bias")
LAYER_WEIGHTS = (
    "mamba.in_proj.weight", "mamba.conv1d.weight", "mamba.conv1d.bias", "mamba.x_proj.weight",
    "mamba.dt_proj.weight", "mamba.dt_proj.bias", "mamba.A_log", "mamba.D", "mamba.out_proj.weight",
    "LayerNorm.weight", "LayerNorm.bias", "ffn.w_1.weight", "ffn.w_1.bias", "ffn.w_2.weight",
    "ffn.w_2.bias", "ffn.LayerNorm.weight", "ffn.LayerNorm.bias",
)  # fmt: skip
assert (len(WEIGHTS), len(LAYER_WEIGHTS)) == (HEAD, LAYER), "the kernel counts on it"

# Users of one task, from as many on as sharing them out pays.
_PART, _SHARED = 4, 8

_run = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(step_task)


class MambaStep:
    """`step` of one model, whose parameters it reads where they lie at the time.

    Args:
        shape: rows of the item table, layers, D, E, N, K, R and the feed-forward's width.
        eps: of every LayerNorm.
    """

    def __init__(self, model: nn.Module, shape: tuple[int, ...], eps: float) -> None:
        own = [f"mamba_layers.{i}.{name}" for i in range(shape[1]) for name in LAYER_WEIGHTS]
        self._weights = Addresses(model, [*WEIGHTS, *own])
        self._shape = (*shape, units(eps), int(shape[1] > 1))

    def __call__(self, item: Tensor, state: State) -> tuple[Tensor, State] | None:
        """item (B,) int64 and the state before -> hidden (B, D) and the state after.

        None where a parameter is not float32 on a CPU.

        Raises:
            IndexError: an id that is not in the item table.
        """
        found = self._weights.find()
        if not found:
            return None
        item, rows = item.contiguous(), item.shape[0]
        hidden = torch.empty(rows, self._shape[2])
        before = [(window.contiguous(), scan.contiguous()) for window, scan in state]
        # Of all ways to an empty tensor this one takes a third of the time.
        after = [(torch.empty_like(window), torch.empty_like(scan)) for window, scan in before]
        weights, failed = array("q", found), array("q", (0,))
        states = array("q", _addresses(before, after))
        row = (
            item.data_ptr(), weights.buffer_info()[0], states.buffer_info()[0], hidden.data_ptr(),
            *self._shape,
        )  # fmt: skip
        flag = failed.buffer_info()[0]
        if rows < _SHARED:
            task = array("q", (*row, 0, rows, flag))
            _run(task.buffer_info()[0], 0)
        else:
            parts = [(*row, at, min(at + _PART, rows), flag) for at in range(0, rows, _PART)]
            run_tasks(step_task, parts, 1)
        if failed[0]:
            raise IndexError(f"item ids must lie in 0..{self._shape[0] - 1}")
        return hidden, after


def _addresses(before: State, after: State) -> list[int]:
    """Of each layer: window and scan state before, window and scan state after."""
    layers = zip(before, after, strict=True)
    return [tensor.data_ptr() for layer in layers for pair in layer for tensor in pair]
