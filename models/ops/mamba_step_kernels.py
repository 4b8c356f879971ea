"""One event of a whole Mamba4Rec for some users on a CPU, compiled by Numba.

From the item's embedding to the hidden state in one call: a step has a third of a million
operations, less than PyTorch takes to start one of the forty that it would need. Every weight is
read once, as it lies (simd_row.py).

Names as in models/mamba.py: D hidden size, E channels, N states, K taps, R rank of the step size.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types

from models.ops.simd import (
    LANES,
    floats,
    fma,
    inlined,
    integers,
    load,
    native,
    separate,
    splat,
    store,
    unpack,
)
from models.ops.simd_gelu import gelu
from models.ops.simd_mask import load_first, store_first
from models.ops.simd_math import exp2, sigmoid, softplus
from models.ops.simd_row import GROUP, room, row_add, row_linear, row_norm, store_sums

# How many addresses of weights come before the layers', and of each layer.
HEAD, LAYER = 3, 17

_ZERO = np.float32(0.0)
_LOG2_E = np.float32(math.log2(math.e))


@separate
def _filter(
    u_at: int, x_at: int, before_at: int, after_at: int, weight_at: int, bias_at: int,
    channels: int, taps: int,
) -> None:  # fmt: skip
    """u = silu(convolution of the last `taps` inputs), and the window of inputs after this one.

    before, after: (taps - 1, channels), oldest first; weight (channels, taps).
    """
    u, x, before, after = floats(u_at), floats(x_at), floats(before_at), floats(after_at)
    weight, bias = floats(weight_at), floats(bias_at)
    for c in range(channels):
        total = bias[c] + weight[c * taps + taps - 1] * x[c]
        for k in range(taps - 1):
            total += weight[c * taps + k] * before[k * channels + c]
        u[c] = total
    for i in range((taps - 2) * channels):
        after[i] = before[i + channels]
    if taps > 1:
        for c in range(channels):
            after[(taps - 2) * channels + c] = x[c]
    for c in range(0, channels, LANES):
        value = load(u, c)
        store(u, c, value * sigmoid(value))


@inlined
def _advance(
    before: Any, after: Any, A_log: Any, at: Any, count: Any, delta: Any, u: Any, b: Any
) -> Any:
    """The states at..at + count of one channel after the event, also written to `after`."""
    rate = exp2(load_first(A_log, at, count) * splat(_LOG2_E)) * splat(_LOG2_E)
    decay = exp2(splat(-delta) * rate)
    h = fma(decay, load_first(before, at, count), splat(delta * u) * b)
    store_first(after, at, count, h)
    return h


@separate
def _scan(
    y_at: int, u_at: int, delta_at: int, B_at: int, C_at: int, A_log_at: int, before_at: int,
    after_at: int, channels: int, states: int,
) -> None:  # fmt: skip
    """after = exp(delta A) before + delta u B and y = after C; before, after, A_log: (E, N)."""
    y, u, delta, B, C = floats(y_at), floats(u_at), floats(delta_at), floats(B_at), floats(C_at)
    A_log, before, after = floats(A_log_at), floats(before_at), floats(after_at)
    last = channels - 1
    for c0 in range(0, channels, GROUP):
        # Beyond the end the last channel again, to the same effect.
        c1, c2, c3 = min(c0 + 1, last), min(c0 + 2, last), min(c0 + 3, last)
        y0, y1, y2, y3 = splat(_ZERO), splat(_ZERO), splat(_ZERO), splat(_ZERO)
        for n in range(0, states, LANES):
            count = min(LANES, states - n)
            b, c = load_first(B, n, count), load_first(C, n, count)
            h = _advance(before, after, A_log, c0 * states + n, count, delta[c0], u[c0], b)
            y0 = fma(h, c, y0)
            h = _advance(before, after, A_log, c1 * states + n, count, delta[c1], u[c1], b)
            y1 = fma(h, c, y1)
            h = _advance(before, after, A_log, c2 * states + n, count, delta[c2], u[c2], b)
            y2 = fma(h, c, y2)
            h = _advance(before, after, A_log, c3 * states + n, count, delta[c3], u[c3], b)
            y3 = fma(h, c, y3)
        store_sums(y, c0, y0, y1, y2, y3)


@separate
def _step(
    item_at: int, weights_at: int, states_at: int, hidden_at: int, table_rows: int, layers: int,
    width: int, channels: int, states: int, taps: int, rank: int, inner: int, eps: int,
    stacked: int, start: int, stop: int, failed_at: int, scratch_at: int,
) -> None:  # fmt: skip
    """hidden (B, width) and the states after, of rows start..stop.

    weights: addresses, HEAD and then LAYER of each layer, in the order of mamba_step_numba.py;
    states: for each layer window and scan state before, and the same after. failed[0] becomes 1
    where an id is not in 0..table_rows - 1.
    """
    item, weights, state, failed = (
        integers(item_at), integers(weights_at), integers(states_at), integers(failed_at)
    )  # fmt: skip
    wide = (channels + LANES) // LANES * LANES
    mixed_at, normed_at, out_at = room(width + LANES), room(width + LANES), room(width + LANES)
    xz_at, u_at, y_at = room(2 * channels + LANES), room(wide), room(wide)
    low_at, delta_at, inner_at = room(rank + 2 * states + LANES), room(wide), room(inner + LANES)
    delta, u, y, ffn = floats(delta_at), floats(u_at), floats(y_at), floats(inner_at)
    window, scan = 4 * (taps - 1) * channels, 4 * channels * states
    for row in range(start, stop):
        if not 0 <= item[row] < table_rows:
            failed[0] = 1
            return
        x_at = hidden_at + 4 * row * width
        row_norm(x_at, weights[0] + 4 * item[row] * width, weights[1], weights[2], width, eps)
        for layer in range(layers):
            w, s = HEAD + LAYER * layer, 4 * layer
            row_linear(xz_at, x_at, weights[w], 0, 2 * channels, width, False)
            _filter(
                u_at, xz_at, state[s] + window * row, state[s + 2] + window * row,
                weights[w + 1], weights[w + 2], channels, taps,
            )  # fmt: skip
            row_linear(low_at, u_at, weights[w + 3], 0, rank + 2 * states, channels, False)
            row_linear(delta_at, low_at, weights[w + 4], weights[w + 5], channels, rank, False)
            for c in range(0, channels, LANES):
                store(delta, c, softplus(load(delta, c)))
            _scan(
                y_at, u_at, delta_at, low_at + 4 * rank, low_at + 4 * (rank + states),
                weights[w + 6], state[s + 1] + scan * row, state[s + 3] + scan * row,
                channels, states,
            )  # fmt: skip
            skip, z = floats(weights[w + 7]), floats(xz_at + 4 * channels)
            for c in range(0, channels, LANES):
                count = min(LANES, channels - c)
                gate = load_first(z, c, count)
                value = fma(load_first(skip, c, count), load(u, c), load(y, c))
                store(y, c, value * (gate * sigmoid(gate)))
            row_linear(mixed_at, y_at, weights[w + 8], 0, width, channels, False)
            if stacked != 0:
                row_add(mixed_at, x_at, width)
            row_norm(normed_at, mixed_at, weights[w + 9], weights[w + 10], width, eps)
            row_linear(inner_at, normed_at, weights[w + 11], weights[w + 12], inner, width, False)
            for c in range(0, inner, LANES):
                store(ffn, c, gelu(load(ffn, c)))
            row_linear(out_at, inner_at, weights[w + 13], weights[w + 14], width, inner, False)
            row_add(out_at, normed_at, width)
            row_norm(x_at, out_at, weights[w + 15], weights[w + 16], width, eps)


_arguments = unpack(17)


@native(types.CPointer(types.int64), types.int64)
def step_task(row: Any, scratch_at: int) -> None:
    """`_step` with all arguments but the last in a row of integers (threads.py)."""
    _step(*_arguments(row, scratch_at))
