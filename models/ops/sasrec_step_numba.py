"""Serving one event by a SASRec: tensors in, tensors out, the kernel between.

The plain reference are the model's own layers (`step` in models/sasrec.py).
"""

from __future__ import annotations

import ctypes
from array import array

import torch
from torch import Tensor, nn

from models.ops.addresses import Addresses
from models.ops.sasrec_step_kernels import HEAD, LAYER, step_task
from models.ops.simd_math import units
from models.ops.threads import run_tasks

# Parameters in the kernel's order: of the model around its layers, and of each layer.
WEIGHTS = ("item_embedding.weight", "position_embedding.weight", "norm.weight", "norm.bias")
LAYER_WEIGHTS = (
    "attn_norm.weight", "attn_norm.bias", "qkv.weight", "qkv.bias", "out.weight", "out.bias",
    "ffn_norm.weight", "ffn_norm.bias", "ffn_in.weight", "ffn_in.bias", "ffn_out.weight",
    "ffn_out.bias",
)  # fmt: skip
assert (len(WEIGHTS), len(LAYER_WEIGHTS)) == (HEAD, LAYER), "the kernel counts on it"

# Users from as many on as sharing them out pays.
_SHARED = 4

_run = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(step_task)


class SASRecStep:
    """`step` of one model, whose parameters it reads where they lie at the time.

    Args:
        shape: rows of the item table, layers, D, H, the feed-forward's width, max_len.
        eps: of every LayerNorm.
    """

    def __init__(self, model: nn.Module, shape: tuple[int, ...], eps: float) -> None:
        own = [f"layers.{i}.{name}" for i in range(shape[1]) for name in LAYER_WEIGHTS]
        self._weights = Addresses(model, [*WEIGHTS, *own])
        self._shape = (*shape, units(eps))

    def __call__(self, item: Tensor, keys: Tensor, values: Tensor, length: int) -> Tensor | None:
        """item (B,) int64, event number `length` (from 0) of each user -> hidden (B, D).

        keys, values: (layers, B, H, max_len, D / H), written at `length`. None where they or a
        parameter are not float32 on a CPU.

        Raises:
            IndexError: an id that is not in the item table.
        """
        found = self._weights.find()
        if not found or keys.dtype != torch.float32:
            return None
        item, rows = item.contiguous(), item.shape[0]
        hidden = torch.empty(rows, self._shape[2])
        weights, failed = array("q", found), array("q", (0,))
        row = (
            item.data_ptr(), weights.buffer_info()[0], keys.data_ptr(), values.data_ptr(),
            hidden.data_ptr(), *self._shape, rows, length,
        )  # fmt: skip
        flag = failed.buffer_info()[0]
        if rows < _SHARED:
            task = array("q", (*row, 0, rows, flag))
            _run(task.buffer_info()[0], 0)
        else:
            run_tasks(step_task, [(*row, at, at + 1, flag) for at in range(rows)], 1)
        if failed[0]:
            raise IndexError(f"item ids must lie in 0..{self._shape[0] - 1}")
        return hidden
