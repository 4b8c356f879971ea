"""The selective scan on a CPU, forward and backward, compiled by Numba.

Fused: softplus of the time step, discretisation, recurrence, skip and gate in one pass, and no
tensor of B x L x D x N elements at any time. Sixteen channels sit in the lanes of a vector (a
"column"; simd.py), a state is [column, N, 16]. The forward pass keeps the state before every
`SEGMENT`-th step; the backward pass goes through the segments from the last, recomputes each one's
states and decays into a scratch that stays in the cache, and walks back over it (the recomputation
of Gu & Dao 2023, section 3.3.2, arXiv 2312.00752, at the size of a CPU's cache).

Each call does one task: some rows of the batch times some columns. Tensors come as addresses of
contiguous float32 (0 where there is none). Decays are powers of two: `A2` is A times log2(e).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from models.ops.simd import (
    LANES,
    clear,
    copy,
    floats,
    fma,
    inlined,
    integers,
    lane_sum,
    load,
    load_part,
    native,
    separate,
    splat,
    spread,
    store,
    store_part,
    unpack,
)
from models.ops.simd_block import lane_max
from models.ops.simd_math import OVER, exp2_falling, maximum, minimum, sigmoid, softplus

# Steps from one kept state to the next: 16 keep nearly twice the memory and take a tenth longer, 32
# and more outgrow a second-level cache of 512 KiB with the states of a segment (8 KiB a step).
SEGMENT = 28
BLOCK = 4

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_LN_2 = np.float32(0.6931471805599453)


@inlined
def _may_rise(A2: Any, start: Any, stop: Any, soft: Any) -> Any:
    """Whether rates may be above 0: not with negative A and steps that a softplus made."""
    tops = splat(_ZERO)
    for at in range(start, stop, LANES):
        tops = maximum(tops, load(A2, at))  # in this order a NaN is left out
    return not (soft and lane_max(tops) <= _ZERO)


@inlined
def _power(rate: Any, rising: Any) -> Any:
    """2**rate."""
    if rising:
        rate = minimum(rate, splat(OVER))
    return exp2_falling(rate)


@separate
def forward(
    u_at: int, delta_at: int, A2_at: int, B_at: int, C_at: int, D_at: int, z_at: int,
    bias_at: int, rows_at: int, y_at: int, last_at: int, kept_at: int,
    mix_row: int, z_row: int, channels: int, states: int, soft: bool,
    row_start: int, row_stop: int, column_start: int, column_stop: int,
    scratch_at: int,
) -> None:  # fmt: skip
    """Write y, the last state and the kept states of some rows and columns.

    rows: (B, 3) int64, each sequence's first row in the tensors, its length, and its first kept
    state. u, delta, y: (T, D); z: (T, D) with rows `z_row` apart; B, C: (T, N) with rows `mix_row`
    apart; A2: (columns, N, 16); D, bias: (columns * 16,); last: (B, columns, N, 16); kept: for
    each sequence its segments but the first, (columns, N, 16) each.
    """
    u, delta, z, y = floats(u_at), floats(delta_at), floats(z_at), floats(y_at)
    A2, B, C, D, bias = floats(A2_at), floats(B_at), floats(C_at), floats(D_at), floats(bias_at)
    rows, last, kept = integers(rows_at), floats(last_at), floats(kept_at)
    columns = (channels + LANES - 1) // LANES
    size, width = states * LANES, 4 * SEGMENT * LANES
    step, inputs = floats(scratch_at), floats(scratch_at + width)
    output, spare = floats(scratch_at + 2 * width), floats(scratch_at + 3 * width)
    state = floats(scratch_at + 3 * width + 4 * LANES)
    rising = _may_rise(A2, column_start * size, column_stop * size, soft)
    for row in range(row_start, row_stop):
        start, length, kept_start = rows[3 * row], rows[3 * row + 1], rows[3 * row + 2]
        for column in range(column_start, column_stop):
            first = column * LANES
            count = min(LANES, channels - first)
            skip, shift = load(D, first), load(bias, first)
            clear(state, 0, size)
            for begin in range(0, length, SEGMENT):
                steps = min(SEGMENT, length - begin)
                if begin > 0 and kept_at != 0:
                    at = ((kept_start + begin // SEGMENT - 1) * columns + column) * size
                    copy(kept, at, state, 0, size)
                # Apart from the recurrence, so that the long latencies of the softplus overlap.
                for t in range(steps):
                    here = (start + begin + t) * channels + first
                    dt = load_part(delta, here, count, spare) + shift
                    if soft:
                        dt = softplus(dt)
                    store(step, t * LANES, dt)
                    store(inputs, t * LANES, load_part(u, here, count, spare))
                for t in range(steps):
                    dt, x = load(step, t * LANES), load(inputs, t * LANES)
                    out = x * skip
                    x = x * dt
                    base = (start + begin + t) * mix_row
                    for n in range(states):
                        decay = _power(dt * load(A2, column * size + n * LANES), rising)
                        h = fma(decay, load(state, n * LANES), x * spread(B, base + n))
                        store(state, n * LANES, h)
                        out = fma(h, spread(C, base + n), out)
                    store(output, t * LANES, out)
                for t in range(steps):
                    here = (start + begin + t) * channels + first
                    out = load(output, t * LANES)
                    if z_at != 0:
                        gate = load_part(z, (start + begin + t) * z_row + first, count, spare)
                        out = out * (gate * sigmoid(gate))
                    store_part(y, here, count, out, spare)
            if last_at != 0:
                copy(last, (row * columns + column) * size, state, 0, size)


@separate
def backward(
    u_at: int, delta_at: int, A2_at: int, B_at: int, C_at: int, D_at: int, z_at: int,
    bias_at: int, rows_at: int, kept_at: int, dy_at: int, dlast_at: int,
    du_at: int, ddelta_at: int, dB_at: int, dC_at: int, dz_at: int,
    dA_at: int, dD_at: int, dbias_at: int,
    mix_row: int, z_row: int, channels: int, states: int, soft: bool,
    row_start: int, row_stop: int, column_start: int, column_stop: int,
    scratch_at: int,
) -> None:  # fmt: skip
    """Write every gradient of some rows and columns; layouts as in `forward`.

    dB, dC: (T, N), the sum over this task's columns. dA: (columns, N, 16), dD and dbias:
    (columns * 16,), sums over this task's rows. dy: gradient of y; dlast: of the last state.
    """
    u, delta, z, dy = floats(u_at), floats(delta_at), floats(z_at), floats(dy_at)
    A2, B, C, D, bias = floats(A2_at), floats(B_at), floats(C_at), floats(D_at), floats(bias_at)
    rows, kept, dlast = integers(rows_at), floats(kept_at), floats(dlast_at)
    du, ddelta, dB, dC = floats(du_at), floats(ddelta_at), floats(dB_at), floats(dC_at)
    dz, dA, dD, dbias = floats(dz_at), floats(dA_at), floats(dD_at), floats(dbias_at)
    columns = (channels + LANES - 1) // LANES
    size, wide, block = states * LANES, BLOCK * LANES, BLOCK * states * LANES
    # Scratch: one row of `wide` per step and quantity, then states and decays [step, n, column].
    row_bytes = 4 * SEGMENT * wide
    step, slope = floats(scratch_at), floats(scratch_at + row_bytes)
    inputs, x = floats(scratch_at + 2 * row_bytes), floats(scratch_at + 3 * row_bytes)
    output, dstep = floats(scratch_at + 4 * row_bytes), floats(scratch_at + 5 * row_bytes)
    dx, spare = floats(scratch_at + 6 * row_bytes), floats(scratch_at + 7 * row_bytes)
    block_at = scratch_at + 7 * row_bytes + 4 * LANES
    dstate, dA_sum = floats(block_at), floats(block_at + 4 * block)
    decays = floats(block_at + 8 * block)
    history = floats(block_at + 4 * (2 + SEGMENT) * block)
    rising = _may_rise(A2, column_start * size, column_stop * size, soft)
    for left in range(column_start, column_stop, BLOCK):
        across = min(BLOCK, column_stop - left)
        clear(dA_sum, 0, block)
        clear(dD, left * LANES, across * LANES)
        clear(dbias, left * LANES, across * LANES)
        for row in range(row_start, row_stop):
            start, length, kept_start = rows[3 * row], rows[3 * row + 1], rows[3 * row + 2]
            for j in range(across):
                for n in range(states):
                    value = splat(_ZERO)
                    if dlast_at != 0:
                        value = load(dlast, (row * columns + left + j) * size + n * LANES)
                    store(dstate, (n * BLOCK + j) * LANES, value)
            last_segment = (length - 1) // SEGMENT
            for segment in range(last_segment, -1, -1):
                begin = segment * SEGMENT
                steps = min(SEGMENT, length - begin)
                for j in range(across):
                    first = (left + j) * LANES
                    count = min(LANES, channels - first)
                    skip, shift = load(D, first), load(bias, first)
                    for t in range(steps):
                        here = (start + begin + t) * channels + first
                        at = t * wide + j * LANES
                        raw = load_part(delta, here, count, spare) + shift
                        value = load_part(u, here, count, spare)
                        if soft:
                            store(slope, at, sigmoid(raw))
                            raw = softplus(raw)
                        store(step, at, raw)
                        store(inputs, at, value)
                        store(x, at, value * raw)
                    for n in range(states):
                        value = splat(_ZERO)
                        if segment > 0:
                            at = (kept_start + segment - 1) * columns + left + j
                            value = load(kept, at * size + n * LANES)
                        store(history, (n * BLOCK + j) * LANES, value)
                    for t in range(steps):
                        at = t * wide + j * LANES
                        dt, value = load(step, at), load(x, at)
                        out = load(inputs, at) * skip
                        base = (start + begin + t) * mix_row
                        for n in range(states):
                            rate = dt * load(A2, (left + j) * size + n * LANES)
                            decay = _power(rate, rising)
                            here = t * block + (n * BLOCK + j) * LANES
                            h = fma(decay, load(history, here), value * spread(B, base + n))
                            store(decays, here, decay)
                            store(history, here + block, h)
                            out = fma(h, spread(C, base + n), out)
                        store(output, at, out)
                    total = load(dD, first)
                    for t in range(steps):
                        here = (start + begin + t) * channels + first
                        at = t * wide + j * LANES
                        dout = load_part(dy, here, count, spare)
                        if z_at != 0:
                            gate = load_part(z, (start + begin + t) * z_row + first, count, spare)
                            open = sigmoid(gate)
                            swish = gate * open
                            dgate = open + swish * (splat(_ONE) - open)
                            store_part(dz, here, count, dout * load(output, at) * dgate, spare)
                            dout = dout * swish
                        store(output, at, dout)
                        total = fma(dout, load(inputs, at), total)
                        store(dstep, at, splat(_ZERO))
                        store(dx, at, splat(_ZERO))
                    store(dD, first, total)
                for t in range(steps - 1, -1, -1):
                    base = (start + begin + t) * mix_row
                    mix = (start + begin + t) * states
                    for n in range(states):
                        b, c = spread(B, base + n), spread(C, base + n)
                        sum_b, sum_c = splat(_ZERO), splat(_ZERO)
                        for j in range(across):
                            at = t * wide + j * LANES
                            here = (n * BLOCK + j) * LANES
                            dout = load(output, at)
                            dh = fma(dout, c, load(dstate, here))
                            sum_c = fma(dout, load(history, (t + 1) * block + here), sum_c)
                            sum_b = fma(dh, load(x, at), sum_b)
                            store(dx, at, fma(dh, b, load(dx, at)))
                            before = dh * load(decays, t * block + here)
                            store(dstate, here, before)
                            both = before * load(history, t * block + here)
                            rate = load(A2, (left + j) * size + n * LANES)
                            store(dstep, at, fma(both, rate, load(dstep, at)))
                            store(dA_sum, here, fma(both, load(step, at), load(dA_sum, here)))
                        if left == column_start:
                            dB[mix + n] = lane_sum(sum_b)
                            dC[mix + n] = lane_sum(sum_c)
                        else:
                            dB[mix + n] += lane_sum(sum_b)
                            dC[mix + n] += lane_sum(sum_c)
                for j in range(across):
                    first = (left + j) * LANES
                    count = min(LANES, channels - first)
                    skip, total = load(D, first), load(dbias, first)
                    for t in range(steps):
                        here = (start + begin + t) * channels + first
                        at = t * wide + j * LANES
                        dt, value, change = load(step, at), load(inputs, at), load(dx, at)
                        dvalue = fma(change, dt, load(output, at) * skip)
                        store_part(du, here, count, dvalue, spare)
                        # The decay's rate was in powers of two: d/dA2 brings a factor ln(2).
                        draw = fma(change, value, load(dstep, at) * splat(_LN_2))
                        if soft:
                            draw = draw * load(slope, at)
                        total = total + draw
                        store_part(ddelta, here, count, draw, spare)
                    store(dbias, first, total)
        for j in range(across):
            for n in range(states):
                value = load(dA_sum, (n * BLOCK + j) * LANES)
                store(dA, (left + j) * size + n * LANES, value)


_forward_arguments = unpack(21)
_backward_arguments = unpack(29)


@native(types.CPointer(types.int64), types.int64)
def forward_task(row: Any, scratch_at: int) -> None:
    """`forward` with all arguments but the last in a row of integers."""
    forward(*_forward_arguments(row, scratch_at))


@native(types.CPointer(types.int64), types.int64)
def backward_task(row: Any, scratch_at: int) -> None:
    """`backward` with all arguments but the last in a row of integers."""
    backward(*_backward_arguments(row, scratch_at))
