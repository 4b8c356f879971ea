"""The CPU backend of `selective_scan`: cuts the work into tasks and joins it to autograd.

Why apart from the kernels: this file knows tensors, dtypes and shapes; selective_scan_kernels.py
knows addresses. Arithmetic is float32 whatever the inputs are; outputs and gradients come back in
their dtypes, the last state in float32. Tasks depend on the shape alone, and sums over them are
taken in a fixed order, so the same inputs give the same bits with any number of threads.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.ops.selective_scan_kernels import (
    BLOCK,
    SEGMENT,
    backward_task,
    forward_task,
)
from models.ops.simd import LANES
from models.ops.threads import run_tasks

_MAX_CHUNKS = 32


def selective_scan_numba(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    lengths: Tensor | None,
    return_last_state: bool,
) -> tuple[Tensor, Tensor]:
    """y (B, L, D) and the last state (B, D, N), or an empty tensor where it is not wanted."""
    if lengths is None:
        lengths = torch.full((u.shape[0],), u.shape[1])
    elif lengths.numel() and not (0 <= int(lengths.min()) and int(lengths.max()) <= u.shape[1]):
        raise ValueError(f"lengths must lie in 0..{u.shape[1]}, got {lengths.tolist()}")
    lengths = lengths.to("cpu", torch.int64).contiguous()
    inputs = (u, delta, A, B, C, D, z, delta_bias)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs):
        results = _Scan.apply(*inputs, lengths, delta_softplus, return_last_state)
        return results[0], results[1]
    y, last, _ = _run_forward(inputs, lengths, delta_softplus, return_last_state, keep=False)
    return y, last


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, Tensor]:
        *inputs, lengths, soft, return_last_state = args
        y, last, kept = _run_forward(tuple(inputs), lengths, soft, return_last_state, keep=True)
        ctx.save_for_backward(*inputs, lengths, kept)
        ctx.soft = soft
        ctx.set_materialize_grads(False)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor | None, dlast: Tensor | None) -> tuple[Any, ...]:
        *inputs, lengths, kept = ctx.saved_tensors
        if dy is None and dlast is None:
            return (None,) * 11
        gradients = _run_backward(tuple(inputs), lengths, kept, ctx.soft, dy, dlast)
        needed = ctx.needs_input_grad
        cast = [
            g.to(t.dtype) if g is not None and need else None
            for g, t, need in zip(gradients, inputs, needed, strict=False)
        ]
        return (*cast, None, None, None)


class _Plan(NamedTuple):
    """How one shape is cut: `chunks` of rows times `groups` of columns."""

    batch: int
    length: int
    channels: int
    states: int
    columns: int
    segments: int
    chunks: int
    groups: int

    def shape(self) -> tuple[int, int, int]:
        return self.length, self.channels, self.states

    def bounds(self, task: int) -> tuple[int, int, int, int]:
        """First and last row, first and last column of a task; columns go by whole blocks."""
        chunk, group = divmod(task, self.groups)
        blocks = math.ceil(self.columns / BLOCK)
        return (
            self.batch * chunk // self.chunks,
            self.batch * (chunk + 1) // self.chunks,
            blocks * group // self.groups * BLOCK,
            min(self.columns, blocks * (group + 1) // self.groups * BLOCK),
        )

    def scratch_floats(self) -> int:
        """Room in which one thread keeps one block's states."""
        size = self.states * LANES * BLOCK
        return (2 * SEGMENT + 3) * size + (7 * SEGMENT * BLOCK + 2) * LANES


def _plan(u: Tensor, states: int) -> _Plan:
    batch, length, channels = u.shape
    columns = math.ceil(channels / LANES)
    # Columns are shared out only where rows are too few to keep every core busy, because each
    # group needs its own dB and dC.
    groups = 1 if batch >= 8 else math.ceil(columns / BLOCK)
    return _Plan(
        batch, length, channels, states, columns, math.ceil(length / SEGMENT),
        min(batch, _MAX_CHUNKS), groups,
    )  # fmt: skip


def _dense(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().to(torch.float32).contiguous()


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _in_lanes(tensor: Tensor, plan: _Plan) -> Tensor:
    """(..., D, N) -> (..., columns, N, 16), zeros in the lanes beyond D."""
    padded = F.pad(tensor.float(), (0, 0, 0, plan.columns * LANES - plan.channels))
    columns = padded.reshape(*padded.shape[:-2], plan.columns, LANES, plan.states)
    return columns.mT.contiguous()


def _out_of_lanes(tensor: Tensor, plan: _Plan) -> Tensor:
    return tensor.mT.flatten(-3, -2)[..., : plan.channels, :].contiguous()


def _operands(inputs: tuple[Any, ...], plan: _Plan) -> list[Tensor | None]:
    """The kernels' first eight arguments, dense; the caller keeps them alive while they run."""
    u, delta, A, B, C, D, z, bias = inputs
    rate = _in_lanes(A.detach() * math.log2(math.e), plan)  # (columns, N, 16)
    room = (0, plan.columns * LANES - plan.channels)
    shift = (
        torch.zeros(plan.columns * LANES) if bias is None else F.pad(bias.detach().float(), room)
    )
    skip = F.pad(D.detach().float(), room)
    return [_dense(u), _dense(delta), rate, _dense(B), _dense(C), skip, _dense(z), shift]


def _run_forward(
    inputs: tuple[Any, ...], lengths: Tensor, soft: bool, return_last_state: bool, *, keep: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    u = inputs[0]
    plan = _plan(u, inputs[2].shape[1])
    operands = _operands(inputs, plan)
    state = (plan.columns, plan.states, LANES)
    y = torch.empty(u.shape)
    last = torch.empty(plan.batch, *state) if return_last_state else None
    kept = torch.empty(plan.batch, plan.segments - 1, *state) if keep else None
    addresses = [_address(t) for t in (*operands, lengths, y, last, kept)]
    rows = [
        (*addresses, *plan.shape(), soft, *plan.bounds(task))
        for task in range(plan.chunks * plan.groups)
    ]
    run_tasks(forward_task, rows, plan.scratch_floats())
    return y.to(u.dtype), torch.empty(0) if last is None else _out_of_lanes(last, plan), kept


def _run_backward(
    inputs: tuple[Any, ...],
    lengths: Tensor,
    kept: Tensor,
    soft: bool,
    dy: Tensor | None,
    dlast: Tensor | None,
) -> list[Tensor | None]:
    """Gradients of u, delta, A, B, C, D, z and delta_bias, in float32."""
    u, _, A, B, _, _, z, bias = inputs
    plan = _plan(u, A.shape[1])
    operands = _operands(inputs, plan)
    dy = torch.zeros(u.shape) if dy is None else _dense(dy)
    dlast = None if dlast is None else _in_lanes(dlast, plan)
    du, ddelta = torch.empty(u.shape), torch.empty(u.shape)  # (B, L, D)
    dz = None if z is None else torch.empty(u.shape)  # (B, L, D)
    dB, dC = torch.empty(plan.groups, *B.shape), torch.empty(plan.groups, *B.shape)
    dA = torch.empty(plan.chunks, plan.columns, plan.states, LANES)
    dD, dbias = (torch.empty(plan.chunks, plan.columns * LANES) for _ in range(2))
    before = [_address(t) for t in (*operands, lengths, kept, dy, dlast, du, ddelta)]
    rows = []
    for task in range(plan.chunks * plan.groups):
        chunk, group = divmod(task, plan.groups)
        parts = (dB[group], dC[group], dz, dA[chunk], dD[chunk], dbias[chunk])
        rows.append((*before, *map(_address, parts), *plan.shape(), soft, *plan.bounds(task)))
    run_tasks(backward_task, rows, plan.scratch_floats())
    channels = slice(plan.channels)
    return [
        du, ddelta, _out_of_lanes(dA.sum(0), plan), dB.sum(0), dC.sum(0), dD.sum(0)[channels],
        dz, None if bias is None else dbias.sum(0)[channels],
    ]  # fmt: skip
