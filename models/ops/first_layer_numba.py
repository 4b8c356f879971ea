"""The CPU backend of `first_layer`: lays weights out and cuts sequences for the kernel. Float32
only.
"""

from __future__ import annotations

from array import array
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from models.ops.embed_linear_numba import look_up
from models.ops.first_layer_kernels import forward_task, scratch_floats
from models.ops.panels import up
from models.ops.post_mixer import Weights
from models.ops.post_mixer_numba import head_of
from models.ops.simd import LANES
from models.ops.threads import run_tasks

# Rows that go through the layer together unless one sequence has more: 256 KiB of all that is
# between ids and result at a hidden size of 64.
_ROWS = 128
_MAX_PARTS, _MIN_PART = 32, 256


def first_layer_numba(
    ids: Tensor, positions: Tensor, offsets: Tensor, operands: tuple[Tensor, ...],
    weights: Weights, *, num_heads: int, causal: bool, factor: float,
    eps: tuple[float, float, float], smooth: bool, post_norm: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """As `first_layer`; operands are table, places, gamma, beta, and the projection's weight and
    bias. Each sequence has rows.
    """
    offsets = offsets.contiguous()
    bounds, rows, width = offsets.numpy(), len(ids), weights.output.shape[0]
    if bounds[0] or bounds[-1] > rows:
        raise ValueError(f"offsets are {bounds[0]} to {bounds[-1]}, in {rows} rows")
    embedding, held = look_up(ids, positions, operands, factor, eps[0], (0, 0, 0))
    row, size = 3 * width, width // num_heads
    at = offsets.data_ptr()
    mixing = array("q", (0, row, 0, 0, row, 0, 0, at, at, num_heads, size, causal))
    rest, also_held = head_of(weights, (0, 0, 0, 0), width, eps[1:], smooth, post_norm)
    normed = _room(rows, width, int(bounds[-1]))
    total = normed if post_norm else _room(rows, width, int(bounds[-1]))
    room = up(max(_ROWS, int(np.diff(bounds).max())), LANES)
    arguments = array("q", embedding)
    parts = [each.buffer_info()[0] for each in (arguments, mixing, rest)]
    results = total.data_ptr(), normed.data_ptr()
    head = array("q", (*parts, width, num_heads, post_norm, _ROWS, room, *results))
    tasks = [(head.buffer_info()[0], *part) for part in _parts(bounds)]
    scratch = scratch_floats(width, up(size, LANES), weights.outer.shape[1], room)
    run_tasks(forward_task, tasks, scratch)
    del held, also_held  # what addresses were taken of has lived until here
    return total, normed


def _room(rows: int, width: int, real: int) -> Tensor:
    room = torch.empty(rows, width)
    room[real:] = 0
    return room


def _parts(bounds: np.ndarray) -> list[tuple[int, int]]:
    """First and last sequence of each task, of about as many rows each."""
    rows = int(bounds[-1])
    count = max(1, min(_MAX_PARTS, rows // _MIN_PART))
    cuts = np.searchsorted(bounds, [rows * i // count for i in range(count + 1)]).tolist()
    return [(start, stop) for start, stop in pairwise(cuts) if stop > start]
