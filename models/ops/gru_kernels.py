"""A GRU layer on a CPU, forward and backward, compiled by Numba.

A group of sequences runs together, longest first: at step t those still running are the first ones,
so ragged ends are skipped. From three sequences on products are made of register tiles
(simd_matmul.py); one or two take dot products with the rows of the weights as they lie, each of
which is then read once a step: the speed is that of the second-level cache.

Tensors come as addresses of float32, widths D and E padded to whole tiles; an address of 0 is: not
there, or not wanted. Gates lie side by side, 4E wide: r, z, m = W_hn h + b_hn, and n. `starts`,
`lengths`, `places` and `slots` are first row, length, original place and first slot of each
sequence, in the order of the groups; kept gates lie by group, then step, then sequence.
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
    load,
    native,
    separate,
    splat,
    store,
    unpack,
)
from models.ops.simd_math import exp2, sigmoid
from models.ops.simd_matmul import ROWS, WIDTH
from models.ops.simd_product import add_product, product
from models.ops.simd_row import store_sums

# Sequences that dot products serve; more are cheaper in tiles.
FEW = 2

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)
_TWO_LOG2_E = np.float32(2.8853900817779268)

# Sums for sixteen units of one sequence, W_ih x, then W_hh h; behind those of all, four at a time.
_SUMS = 6 * LANES
SUMS_SCRATCH = FEW * _SUMS + LANES


@inlined
def _tanh(x: Any) -> Any:
    """1 - 2 / (1 + exp(2 x)): absolute error 1e-7, exactly -1 and 1 far out."""
    return splat(_ONE) - splat(_TWO) / (splat(_ONE) + exp2(x * splat(_TWO_LOG2_E)))


@separate
def _dots(
    c_at: int, v_at: int, v_row: int, w_at: int, depth: int, vectors: int, four_at: int
) -> None:
    """c (vectors, LANES), rows _SUMS apart, = v (1 or 2, depth) w (LANES, depth) transposed."""
    c, v, w, four = floats(c_at), floats(v_at), floats(w_at), floats(four_at)
    if vectors == 1:
        for j in range(0, LANES, 4):
            s0, s1, s2, s3 = splat(_ZERO), splat(_ZERO), splat(_ZERO), splat(_ZERO)
            row = j * depth
            for k in range(0, depth, LANES):
                one = load(v, k)
                s0 = fma(load(w, row + k), one, s0)
                s1 = fma(load(w, row + depth + k), one, s1)
                s2 = fma(load(w, row + 2 * depth + k), one, s2)
                s3 = fma(load(w, row + 3 * depth + k), one, s3)
            store_sums(c, j, s0, s1, s2, s3)
    else:
        for j in range(0, LANES, 2):
            s0, s1, s2, s3 = splat(_ZERO), splat(_ZERO), splat(_ZERO), splat(_ZERO)
            row = j * depth
            for k in range(0, depth, LANES):
                one, other = load(v, k), load(v, v_row + k)
                s0 = fma(load(w, row + k), one, s0)
                s1 = fma(load(w, row + depth + k), one, s1)
                s2 = fma(load(w, row + k), other, s2)
                s3 = fma(load(w, row + depth + k), other, s3)
            store_sums(four, 0, s0, s1, s2, s3)
            c[j], c[j + 1], c[_SUMS + j], c[_SUMS + j + 1] = four[0], four[1], four[2], four[3]


@separate
def step_few(
    projected_at: int, x_at: int, h_at: int, v_row: int, weight_ih_at: int, weight_hh_at: int,
    bias_ih_at: int, bias_hh_at: int, after_at: int, kept_at: int,
    width: int, states: int, vectors: int, fresh: bool, turned: bool, sums_at: int,
) -> None:  # fmt: skip
    """One step of one or two sequences: write their states after (vectors, E), and kept gates.

    projected: W_ih x (vectors, 4E), or 0 and x itself; x and h have rows `v_row` apart. `fresh`:
    h is 0. `turned` begins with the last units: what one step has read last, the next one finds in
    the first-level cache. Gates are made as their sums come, under the reading of the next weights.
    """
    four_at = sums_at + 4 * FEW * _SUMS
    projected, sums, h = floats(projected_at), floats(sums_at), floats(h_at)
    bias_ih, bias_hh = floats(bias_ih_at), floats(bias_hh_at)
    after, kept = floats(after_at), floats(kept_at)
    if fresh:
        clear(sums, 0, vectors * _SUMS)
    for block in range(0, states, LANES):
        e = block
        if turned:
            e = states - LANES - block
        for gate in range(3):
            at, row = sums_at + 4 * gate * LANES, 4 * (gate * states + e)
            if projected_at == 0:
                _dots(at, x_at, v_row, weight_ih_at + row * width, width, vectors, four_at)
            if not fresh:
                at += 12 * LANES
                _dots(at, h_at, v_row, weight_hh_at + row * states, states, vectors, four_at)
        for i in range(vectors):
            source, at, gap, own = projected, i * 4 * states + e, states, i * _SUMS + 3 * LANES
            if projected_at == 0:
                source, at, gap = sums, i * _SUMS, LANES
            r = load(source, at) + load(bias_ih, e)
            r = sigmoid(r + (load(sums, own) + load(bias_hh, e)))
            z = load(source, at + gap) + load(bias_ih, states + e)
            z = sigmoid(z + (load(sums, own + LANES) + load(bias_hh, states + e)))
            m = load(sums, own + 2 * LANES) + load(bias_hh, 2 * states + e)
            n = _tanh(load(source, at + 2 * gap) + load(bias_ih, 2 * states + e) + r * m)
            store(after, i * states + e, n + z * (load(h, i * v_row + e) - n))
            if kept_at != 0:
                to = i * 4 * states + e
                store(kept, to, r)
                store(kept, to + states, z)
                store(kept, to + 2 * states, m)
                store(kept, to + 3 * states, n)


@separate
def _step_many(
    xh_at: int, gates_at: int, panels_ih_at: int, panels_hh_at: int, bias_ih_at: int,
    bias_hh_at: int, both_at: int, kept_at: int, width: int, states: int, active: int,
    ready: bool, fresh: bool,
) -> None:  # fmt: skip
    """One step of some sequences, x and h (active, D + E); h is updated, the gates kept.

    both: b_ih + b_hh of r and z. `ready`: the gates (active, 4E) hold W_ih x + both of r and z
    already, and W_in x + b_in in n's place.
    """
    xh, gates, kept = floats(xh_at), floats(gates_at), floats(kept_at)
    bias_hh = floats(bias_hh_at)
    pitch, wide = width + states, 4 * states
    rows = (active + ROWS - 1) // ROWS * ROWS
    own_at = gates_at + 8 * states  # W_hn h + b_hn
    if not ready:
        product(
            gates_at, wide, both_at, xh_at, pitch, 1, panels_ih_at, width, WIDTH,
            rows, 2 * states, width,
        )  # fmt: skip
        product(
            gates_at + 12 * states, wide, bias_ih_at + 8 * states, xh_at, pitch, 1,
            panels_ih_at + 8 * states * width, width, WIDTH, rows, states, width,
        )  # fmt: skip
    if fresh:
        for i in range(active):
            copy(gates, i * wide + 2 * states, bias_hh, 2 * states, states)
    else:
        h_at = xh_at + 4 * width
        add_product(
            gates_at, wide, h_at, pitch, 1, panels_hh_at, states, WIDTH, rows, 2 * states, states
        )  # fmt: skip
        product(
            own_at, wide, bias_hh_at + 8 * states, h_at, pitch, 1,
            panels_hh_at + 8 * states * states, states, WIDTH, rows, states, states,
        )  # fmt: skip
    for i in range(active):
        at, h = i * wide, i * pitch + width
        for e in range(0, states, LANES):
            r, z = sigmoid(load(gates, at + e)), sigmoid(load(gates, at + states + e))
            m = load(gates, at + 2 * states + e)
            n = _tanh(load(gates, at + 3 * states + e) + r * m)
            store(xh, h + e, n + z * (load(xh, h + e) - n))
            if kept_at != 0:
                store(kept, at + e, r)
                store(kept, at + states + e, z)
                store(kept, at + 2 * states + e, m)
                store(kept, at + 3 * states + e, n)


@separate
def forward(
    x_at: int, projected_at: int, ids_at: int, panels_ih_at: int, panels_hh_at: int,
    weight_ih_at: int, weight_hh_at: int, bias_ih_at: int, bias_hh_at: int, starts_at: int,
    lengths_at: int, places_at: int, slots_at: int, y_at: int, last_at: int, kept_at: int,
    width: int, states: int, first: int, stop: int, scratch_at: int,
) -> None:  # fmt: skip
    """Run sequences first..stop; write y (T, E), last (B, E) and kept (T, 4E).

    panels_ih: (3E / WIDTH, D, WIDTH); panels_hh: (3E / WIDTH, E, WIDTH). Instead of x and its
    panels there may be projected = W_ih x, a row for each of x (T, 3E), or with ids_at, a row for
    each id (V, 3E) that ids (T,) name.
    """
    x, projected, y, last = floats(x_at), floats(projected_at), floats(y_at), floats(last_at)
    ids = integers(ids_at)
    starts, lengths, places = integers(starts_at), integers(lengths_at), integers(places_at)
    pitch, wide = width + states, 4 * states
    active = stop - first
    both_at = scratch_at + 4 * SUMS_SCRATCH
    xh_at = both_at + 8 * states
    gates_at = xh_at + 4 * ((active + ROWS - 1) // ROWS * ROWS) * pitch
    after_at = gates_at + 4 * FEW * wide  # behind the gates of few sequences
    xh, gates, after = floats(xh_at), floats(gates_at), floats(after_at)
    kept_now = kept_at
    if kept_at != 0:
        kept_now = kept_at + 4 * integers(slots_at)[first] * wide
    ready_at = gates_at
    if projected_at == 0:
        ready_at = 0
    both, bias_ih, bias_hh = floats(both_at), floats(bias_ih_at), floats(bias_hh_at)
    for e in range(0, 2 * states, LANES):
        store(both, e, load(bias_ih, e) + load(bias_hh, e))
    for i in range(active):
        clear(xh, i * pitch + width, states)
    for t in range(lengths[first]):
        while lengths[first + active - 1] <= t:
            active -= 1
        for i in range(active):
            row = starts[first + i] + t
            if projected_at != 0:
                if ids_at != 0:
                    row = ids[row]
                row *= 3 * states
                if active <= FEW:
                    copy(gates, i * wide, projected, row, 3 * states)
                else:
                    for e in range(0, 2 * states, LANES):
                        store(gates, i * wide + e, load(both, e) + load(projected, row + e))
                    for e in range(2 * states, 3 * states, LANES):
                        value = load(bias_ih, e) + load(projected, row + e)
                        store(gates, i * wide + states + e, value)
            else:
                copy(xh, i * pitch, x, row * width, width)
        if active <= FEW:
            step_few(
                ready_at, xh_at, xh_at + 4 * width, pitch, weight_ih_at, weight_hh_at,
                bias_ih_at, bias_hh_at, after_at, kept_now, width, states, active, t == 0,
                t % 2 == 1, scratch_at,
            )  # fmt: skip
            for i in range(active):
                copy(xh, i * pitch + width, after, i * states, states)
        else:
            _step_many(
                xh_at, gates_at, panels_ih_at, panels_hh_at, bias_ih_at, bias_hh_at, both_at,
                kept_now, width, states, active, projected_at != 0, t == 0,
            )  # fmt: skip
        if kept_at != 0:
            kept_now += 4 * active * wide
        if y_at != 0:
            for i in range(active):
                copy(y, (starts[first + i] + t) * states, xh, i * pitch + width, states)
    if last_at != 0:
        for i in range(first, stop):
            copy(last, places[i] * states, xh, (i - first) * pitch + width, states)


def forward_scratch(width: int, states: int, most: int) -> int:
    """Floats that `forward` needs for groups of at most so many sequences, whole tiles."""
    return SUMS_SCRATCH + 2 * states + most * (width + 5 * states)


_forward_arguments = unpack(20)


@native(types.CPointer(types.int64), types.int64)
def forward_task(row: Any, scratch_at: int) -> None:
    """`forward` with all arguments but the last in a row of integers (threads.py)."""
    forward(*_forward_arguments(row, scratch_at))
