"""The CPU backend of `gru`: pads, packs and cuts the work for the kernels. Float32 only.

Sequences are sorted by length and cut into groups by shape alone; parts of the weights' gradients
are summed in a fixed order: the same bits with any number of threads.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.ops.embedding_numba import check_ids
from models.ops.gru_backward_kernels import backward_scratch, backward_task
from models.ops.gru_kernels import FEW, forward_scratch, forward_task
from models.ops.panels import kept, panels_in, panels_out, up
from models.ops.simd_matmul import ROWS, WIDTH
from models.ops.threads import run_tasks

# Sequences that run together: the weights stream from the second-level cache once for all of them.
_GROUP = 32
# Each part has a weight gradient of its own.
_MAX_PARTS = 16

Weights = tuple[Tensor, Tensor, Tensor, Tensor]


def gru_numba(x: Tensor, offsets: Tensor, weights: Weights, last_only: bool) -> Tensor:
    """y (T, E), or with last_only the final states (B, E)."""
    plan = _plan(offsets)
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *weights)):
        result: Tensor = _GRU.apply(x, *weights, plan, last_only)
        return result
    layer = _layer(x, weights)
    y, last, _ = _run_forward(layer, plan, last_only, keep=False)
    return layer.cut(last if last_only else y)


def gru_items_numba(
    ids: Tensor, table: Tensor, offsets: Tensor, weights: Weights, last_only: bool
) -> Tensor:
    """As `gru_numba` for x = table[ids], ids (T,), without gradients and without x."""
    ids, plan = ids.contiguous(), _plan(offsets)
    check_ids(ids, len(table))
    layer = _layer(table.new_empty(0, table.shape[1]), weights)
    projected = kept(_projected, table, weights[0])
    y, last, _ = _run_forward(layer, plan, last_only, keep=False, looked_up=(projected, ids))
    return layer.cut(last if last_only else y)


def _projected(table: Tensor, weight_ih: Tensor) -> Tensor:
    """W_ih of each item, (V, 3E), each gate padded."""
    made = F.linear(table.detach(), weight_ih.detach()).view(len(table), 3, -1)
    return F.pad(made, (0, -made.shape[2] % WIDTH)).flatten(1)


class _GRU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *rest: Any) -> Tensor:
        *weights, plan, last_only = rest
        layer = _layer(x, (weights[0], weights[1], weights[2], weights[3]))
        y, last, gates = _run_forward(layer, plan, last_only, keep=True)
        ctx.save_for_backward(layer.x, layer.weight_ih, layer.weight_hh, y, gates)
        ctx.plan, ctx.last_only, ctx.sizes = plan, last_only, (layer.inputs, layer.units)
        return layer.cut(last if last_only else y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_ih, weight_hh, y, gates = ctx.saved_tensors
        gradients = _run_backward(x, weight_ih, weight_hh, y, gates, dout, ctx.plan, ctx.last_only)
        dx, dweight_ih, dweight_hh, dbias_ih, dbias_hh = gradients
        inputs, units = ctx.sizes
        return (
            dx[:, :inputs] if ctx.needs_input_grad[0] else None,
            dweight_ih[:, :units, :inputs].reshape(-1, inputs),
            dweight_hh[:, :units, :units].reshape(-1, units),
            dbias_ih[:, :units].reshape(-1),
            dbias_hh[:, :units].reshape(-1),
            None,
            None,
        )


class _Plan(NamedTuple):
    """Sequences sorted by length, longest first, and cut into groups.

    By NumPy: at a few numbers its calls take a fifth of PyTorch's.
    """

    numbers: np.ndarray[Any, np.dtype[np.int64]]  # what `addresses` gives, one after another
    addresses: tuple[int, int, int, int, int]  # starts, lengths, places, slots, bounds
    groups: list[tuple[int, int]]
    batch: int
    rows: int  # in all sequences

    @property
    def most(self) -> int:
        """Sequences of the largest group, in whole tiles."""
        return max((up(stop - start, ROWS) for start, stop in self.groups), default=0)


def _plan(offsets: Tensor) -> _Plan:
    places_in_rows = offsets.numpy()
    lengths = np.diff(places_in_rows)
    batch = len(lengths)
    order = np.argsort(-lengths, kind="stable")
    lengths = lengths[order]
    tiles, count = up(batch, ROWS) // ROWS, up(batch, _GROUP) // _GROUP
    bounds = [min(batch, tiles * i // max(count, 1) * ROWS) for i in range(count + 1)]
    slots = np.cumsum(lengths)
    parts = (places_in_rows[order], lengths, order, [0], slots, bounds)
    numbers = np.concatenate(parts).astype(np.int64, copy=False)
    first = numbers.ctypes.data
    ends = (0, batch, 2 * batch, 3 * batch, 4 * batch + 1)
    starts, longest, places, slot, bound = (first + 8 * end for end in ends)
    groups = list(pairwise(bounds))
    return _Plan(
        numbers, (starts, longest, places, slot, bound), groups, batch, int(places_in_rows[-1])
    )


class _Layer(NamedTuple):
    """Input and weights, padded to whole tiles."""

    x: Tensor  # (T, D)
    weight_ih: Tensor  # (3, E, D)
    weight_hh: Tensor  # (3, E, E)
    bias_ih: Tensor  # (3, E)
    bias_hh: Tensor  # (3, E)
    weights: tuple[Tensor, Tensor]  # before padding
    inputs: int  # D before padding
    units: int  # E before padding

    def cut(self, states: Tensor) -> Tensor:
        return states if states.shape[1] == self.units else states[:, : self.units]


def _layer(x: Tensor, weights: Weights) -> _Layer:
    weight_ih, weight_hh, bias_ih, bias_hh = (t.detach().contiguous() for t in weights)
    inputs, units = x.shape[1], weight_hh.shape[1]
    wide, tall = -inputs % WIDTH, -units % WIDTH
    biases = bias_ih.view(3, units), bias_hh.view(3, units)
    if tall:
        biases = F.pad(biases[0], (0, tall)), F.pad(biases[1], (0, tall))
    return _Layer(
        F.pad(x.detach(), (0, wide)) if wide else x.detach().contiguous(),
        _whole(weight_ih.view(3, units, inputs)), _whole(weight_hh.view(3, units, units)),
        *biases, (weight_ih, weight_hh), inputs, units,
    )  # fmt: skip


def _run_forward(
    layer: _Layer,
    plan: _Plan,
    last_only: bool,
    *,
    keep: bool,
    looked_up: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """y (T, E), final states (B, E), kept gates (T, 4E); what is not wanted comes empty.

    Args:
        looked_up: W_ih of each item (V, 3E) and ids (T,), instead of the layer's x.
    """
    x, weight_ih, weight_hh = layer[:3]
    ids = None if looked_up is None else looked_up[1]
    rows, width, states = len(x if ids is None else ids), x.shape[1], weight_hh.shape[2]
    y = torch.empty(rows if keep or not last_only else 0, states)
    if len(y) > plan.rows:
        y[plan.rows :] = 0
    last = torch.empty(plan.batch if last_only else 0, states)
    gates = torch.empty(plan.rows if keep else 0, 4 * states)
    projected = panels_ih = panels_hh = torch.empty(0)
    if looked_up is not None:
        projected = looked_up[0]
    elif plan.batch <= FEW:
        projected = torch.mm(x, weight_ih.view(-1, width).mT)  # (T, 3E)
    if plan.batch > FEW:
        panels_ih, panels_hh = (
            kept(_gate_panels, weight, training=keep) for weight in layer.weights
        )
    before, after = (t.data_ptr() for t in (x, projected)), (panels_ih, panels_hh, *layer[1:5])
    results = [t.data_ptr() for t in (y, last, gates)]
    head = (
        *before, 0 if ids is None else ids.data_ptr(), *(t.data_ptr() for t in after),
        *plan.addresses[:4], *results, width, states,
    )  # fmt: skip
    tasks = [(*head, *group) for group in plan.groups]
    run_tasks(forward_task, tasks, forward_scratch(width, states, plan.most))
    return y, last, gates


def forward_calls(
    x: Tensor, projected: Tensor, weights: Weights, length: int, out: Tensor, *, last_only: bool
) -> tuple[int, list[tuple[int, ...]], int, list[object]]:
    """The kernel's calls for one sequence of `length` rows: kernel, arguments, floats of scratch,
    and what has to live as long.

    x (T, D) and projected = x weight_ih^T (T, 3E), all of whole tiles; writes out (T, E), or with
    last_only the final state into its first row.
    """
    layer, plan = _layer(x, weights), _plan(torch.tensor([0, length]))
    width, states = x.shape[1], layer.units
    operands = (x, projected, *layer[1:5])
    ih, hh, bias_ih, bias_hh = (t.data_ptr() for t in layer[1:5])
    head = (x.data_ptr(), projected.data_ptr(), 0, 0, 0, ih, hh, bias_ih, bias_hh)
    result = (0, out.data_ptr()) if last_only else (out.data_ptr(), 0)
    task: tuple[int, ...] = (*head, *plan.addresses[:4], *result, 0, width, states, 0, 1)
    return forward_task, [task], forward_scratch(width, states, plan.most), [*operands, out, plan]


def _gate_panels(weight: Tensor) -> Tensor:
    """(3E, K) -> (3E / WIDTH, K, WIDTH), each gate padded."""
    return panels_out(_whole(weight.view(3, -1, weight.shape[1])).flatten(0, 1))


def _whole(weight: Tensor) -> Tensor:
    """(3, E, K) with E and K padded to whole tiles."""
    wide, tall = (-size % WIDTH for size in (weight.shape[2], weight.shape[1]))
    return F.pad(weight, (0, wide, 0, tall)) if wide or tall else weight


def _run_backward(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, y: Tensor, gates: Tensor, dout: Tensor,
    plan: _Plan, last_only: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """dx (T, D), and the gradients of weights (3, E, ...) and biases (3, E), padded."""
    width, states = x.shape[1], weight_hh.shape[2]
    if dout.shape[1] != states:
        dout = F.pad(dout, (0, states - dout.shape[1]))
    dout = dout.contiguous()
    panels_ih = panels_in(weight_ih.roll(1, 0).view(-1, width))
    panels_hh = panels_in(weight_hh.view(-1, states))
    dx = torch.empty(x.shape)
    dx[plan.rows :] = 0
    parts, count = min(_MAX_PARTS, len(plan.groups)), len(plan.groups)
    dweight_ih = torch.empty(parts, 3, states, width)
    dweight_hh = torch.empty(parts, 3, states, states)
    dbias = torch.empty(parts, 4, states)
    dy, dlast = (0, dout.data_ptr()) if last_only else (dout.data_ptr(), 0)
    head = (
        x.data_ptr(), y.data_ptr(), gates.data_ptr(), dy, dlast, panels_ih.data_ptr(),
        panels_hh.data_ptr(), *plan.addresses, dx.data_ptr(),
    )  # fmt: skip
    tasks = [
        (*head, *(d[i].data_ptr() for d in (dweight_ih, dweight_hh, dbias)),
         width, states, count * i // parts, count * (i + 1) // parts, plan.most)
        for i in range(parts)
    ]  # fmt: skip
    run_tasks(backward_task, tasks, backward_scratch(width, states, plan.most))
    dn, dr, dz, dm = dbias.sum(0)
    return (
        dx, dweight_ih.sum(0).roll(-1, 0), dweight_hh.sum(0), torch.stack((dr, dz, dn)),
        torch.stack((dr, dz, dm)),
    )  # fmt: skip
