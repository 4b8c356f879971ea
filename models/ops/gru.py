"""A layer of gated recurrent units over packed sequences (Cho et al. 2014, arXiv 1406.1078), in the
form of cuDNN and PyTorch's nn.GRU, where the reset gate comes after the product:

    r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)        z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
    n = tanh(W_in x + b_in + r * (W_hn h + b_hn))     h = (1 - z) * n + z * h

Packed: the rows of all sequences lie one after another, and no padding is computed. The `numba`
backend exists because PyTorch's own GRU on a CPU runs every gate as an operation of its own, with
sequences in steps too small for its matrix products.

Shapes: T rows, B sequences, D inputs, E states; weights have r, z, n one below the other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops.backend import resolve_dense
from models.ops.embedding import embed
from models.ops.per_batch import PerBatch

# Numbers of a table that is kept: 64 MiB, 43,000 items at 128 states.
_MOST = 2**24


def gru(
    x: Tensor,
    offsets: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    *,
    last_only: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Hidden states (T, E) of one layer from zero states, or each sequence's final one (B, E).

    Args:
        x: (T, D); rows beyond the last sequence are dummies, and come back as 0.
        offsets: (B + 1,) int64 on the CPU; sequence b has rows offsets[b] to offsets[b + 1].
        weight_ih: (3E, D).
        weight_hh: (3E, E).
        bias_ih, bias_hh: (3E,).
        last_only: return final states only; the state of an empty sequence is 0.
        backend: `auto` is `numba` for float32 on a CPU and `torch` otherwise; `reference` is a
            plain loop.

    Raises:
        ValueError: unknown backend, or tensors that do not belong together.
        BackendUnavailable: `numba` for tensors that are not float32 on a CPU.
    """
    weights = (weight_ih, weight_hh, bias_ih, bias_hh)
    name = resolve_dense(backend, x)
    _check(x, offsets, weights)
    if backend == "reference":
        y = gru_reference(x, offsets, *weights)
        return _final(y, offsets) if last_only else y
    if name == "torch":
        return _torch_gru(x, offsets, weights, last_only)
    # Imported here so that a process which never needs it does not load LLVM.
    from models.ops.gru_numba import gru_numba

    return gru_numba(x, offsets, weights, last_only)


def gru_items(
    ids: Tensor,
    table: Tensor,
    offsets: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    *,
    last_only: bool = False,
    backend: str = "auto",
) -> Tensor:
    """`gru` of x = table[ids], ids (T,) int64 and table (V, D).

    Without gradients the `numba` backend multiplies each item of the table with weight_ih once, and
    looks the products up: they are kept until a weight changes.

    Others and errors: as `gru`; IndexError for an id that lies outside of the table.
    """
    weights = (weight_ih, weight_hh, bias_ih, bias_hh)
    fits = len(table) * len(weight_ih) <= _MOST and not torch.is_grad_enabled()
    if resolve_dense(backend, table) == "numba" and fits:
        _check(table[:0], offsets, weights, rows=len(ids))
        # Imported here so that a process which never needs it does not load LLVM.
        from models.ops.gru_numba import gru_items_numba

        return gru_items_numba(ids, table, offsets, weights, last_only)
    x = embed(ids, table, backend=backend)  # (T, D)
    return gru(x, offsets, *weights, last_only=last_only, backend=backend)


def gru_step(
    item_hidden: Tensor,
    state: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    *,
    backend: str = "auto",
) -> Tensor:
    """The states (B, E) after one more row each: item_hidden (B, D), state (B, E).

    Args and errors: as `gru`. On a CPU one user without gradients is one kernel call, more are
    PyTorch's cell.
    """
    weights = (weight_ih, weight_hh, bias_ih, bias_hh)
    if resolve_dense(backend, item_hidden) == "numba":
        after = _step_kernel()(item_hidden, state, weights)
        if after is not None:
            return after
    return torch.gru_cell(item_hidden, state, *weights)


@lru_cache(maxsize=1)
def _step_kernel() -> Callable[..., Tensor | None]:
    """Kept, because an import statement takes a tenth of a step's time."""
    from models.ops.gru_step_numba import gru_step_numba

    return gru_step_numba


def gru_reference(
    x: Tensor,
    offsets: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
) -> Tensor:
    """The definition, in plain PyTorch."""
    bounds = offsets.tolist()
    zero = x.new_zeros(weight_hh.shape[1])  # (E,)
    rows = [zero] * x.shape[0]
    for start, stop in pairwise(bounds):
        h = zero
        for t in range(start, stop):
            input_r, input_z, input_n = F.linear(x[t], weight_ih, bias_ih).chunk(3)
            state_r, state_z, state_n = F.linear(h, weight_hh, bias_hh).chunk(3)
            r, z = torch.sigmoid(input_r + state_r), torch.sigmoid(input_z + state_z)
            n = torch.tanh(input_n + r * state_n)
            h = rows[t] = (1 - z) * n + z * h
    return torch.stack(rows) if rows else x.new_zeros(0, weight_hh.shape[1])


def _check(
    x: Tensor, offsets: Tensor, weights: tuple[Tensor, ...], *, rows: int | None = None
) -> None:
    """Raises ValueError; `rows` where x comes without its own."""
    rows = len(x) if rows is None else rows
    states = weights[1].shape[-1]
    shapes = tuple(tuple(t.shape) for t in weights)
    wanted = ((3 * states, x.shape[-1]), (3 * states, states), (3 * states,), (3 * states,))
    if x.dim() != 2 or shapes != wanted or 0 in wanted[0]:
        raise ValueError(
            f"shapes x {tuple(x.shape)}, weights and biases {shapes}; "
            "needed: (T, D), (3E, D), (3E, E), (3E,), (3E,)"
        )
    for weight in weights:
        if weight.dtype != weights[0].dtype or weight.device != x.device:
            raise ValueError(
                "weights and biases must share dtype and device with each other and device with x, "
                f"got {[(t.dtype, t.device) for t in weights]}, x on {x.device}"
            )
    if offsets.dim() != 1 or offsets.dtype != torch.int64 or offsets.device.type != "cpu":
        raise ValueError(
            f"offsets {offsets.dtype} {tuple(offsets.shape)} on {offsets.device}; "
            "needed: int64 (B + 1,) on cpu"
        )
    bounds = offsets.detach().numpy()
    if not len(bounds) or bounds[0] != 0 or bounds[-1] > rows or (bounds[1:] < bounds[:-1]).any():
        raise ValueError(f"offsets must rise from 0 to at most T={rows}, got {bounds.tolist()}")


def _final(y: Tensor, offsets: Tensor) -> Tensor:
    """Each sequence's last row of y (T, E), 0 for an empty one."""
    filled, ends = _ends(offsets, y.device)
    last = y.new_zeros(len(offsets) - 1, y.shape[1])  # (B, E)
    return last.index_put((filled,), y[ends])


@PerBatch
def _ends(offsets: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Sequences that are not empty, and their last rows."""
    filled = offsets.diff() > 0  # (B,)
    return filled.nonzero()[:, 0].to(device), (offsets[1:][filled] - 1).to(device)


@PerBatch
def _by_step(offsets: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows, step by step those of all sequences that are that long, the longest sequence first; and
    how many there are of each step, which PyTorch wants on the CPU.
    """
    lengths, order = offsets.diff().sort(descending=True, stable=True)
    steps = torch.arange(int(lengths[0]) if len(lengths) else 0)
    running = steps[:, None] < lengths  # (L, B)
    return (offsets[:-1][order] + steps[:, None])[running].to(device), running.sum(1)


def _torch_gru(x: Tensor, offsets: Tensor, weights: tuple[Tensor, ...], last_only: bool) -> Tensor:
    """PyTorch's own GRU on a PackedSequence."""
    rows, counts = _by_step(offsets, x.device)
    states = weights[1].shape[1]
    y = x.new_zeros(x.shape[0], states, dtype=weights[1].dtype)
    if len(rows):
        first = y.new_zeros(1, int(counts[0]), states)
        # Under autocast x may come in the lower precision.
        packed = x[rows].to(y.dtype)
        # cuDNN keeps what its gradient needs only when told that this is training; there is no
        # dropout in here that the word could turn on.
        train = torch.is_grad_enabled()
        output, _ = torch.gru(packed, counts, first, list(weights), True, 1, 0.0, train, False)
        y = y.index_copy(0, rows, output.to(y.dtype))
    return _final(y, offsets) if last_only else y
