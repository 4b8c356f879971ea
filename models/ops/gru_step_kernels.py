"""One step of a GRU on a CPU, for serving: a layer's, and a whole GRU4Rec's, compiled by Numba.

Tensors come as addresses of float32, widths D and E in whole vectors; see gru_kernels.py.
"""

from __future__ import annotations

from typing import Any

from numba import types

from models.ops.gru_kernels import step_few
from models.ops.simd import integers, native, separate, unpack
from models.ops.simd_row import row_linear


@native(*[types.int64] * 10)
def step_task(
    x_at: int, h_at: int, weight_ih_at: int, weight_hh_at: int, bias_ih_at: int, bias_hh_at: int,
    after_at: int, width: int, states: int, sums_at: int,
) -> None:  # fmt: skip
    """One step of one sequence: write the state after (E,)."""
    step_few(
        0, x_at, h_at, 0, weight_ih_at, weight_hh_at, bias_ih_at, bias_hh_at, after_at, 0,
        width, states, 1, False, False, sums_at,
    )  # fmt: skip


# Addresses of the model's own parameters, before four of each layer: the item table, and the dense
# layer's weight and bias.
HEAD = 3

_serve_arguments = unpack(11)


@separate
def _serve(
    item_at: int, weights_at: int, before_at: int, after_at: int, hidden_at: int, failed_at: int,
    table_rows: int, layers: int, width: int, states: int, users: int, scratch_at: int,
) -> None:  # fmt: skip
    """hidden (B, D) and the states after (layers, B, E) of a GRU4Rec's next events item (B,).

    failed[0] becomes 1 where an id is not in 0..table_rows - 1.
    """
    item, weights, failed = integers(item_at), integers(weights_at), integers(failed_at)
    for user in range(users):
        if not 0 <= item[user] < table_rows:
            failed[0] = 1
            return
        x_at, size = weights[0] + 4 * item[user] * width, width
        for layer in range(layers):
            w, at = HEAD + 4 * layer, 4 * (layer * users + user) * states
            step_few(
                0, x_at, before_at + at, 0, weights[w], weights[w + 1], weights[w + 2],
                weights[w + 3], after_at + at, 0, size, states, 1, False, False, scratch_at,
            )  # fmt: skip
            x_at, size = after_at + at, states
        row_linear(hidden_at + 4 * user * width, x_at, weights[1], weights[2], width, states, False)


@native(types.CPointer(types.int64), types.int64)
def serve_task(row: Any, scratch_at: int) -> None:
    """`_serve` with all arguments but the last in a row of integers."""
    _serve(*_serve_arguments(row, scratch_at))
