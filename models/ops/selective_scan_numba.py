"""The CPU backend of `selective_scan`: cuts the work into tasks and joins it to autograd.

Why apart from the kernels: this file knows tensors, dtypes and shapes; selective_scan_kernels.py
knows addresses. Arithmetic is float32 whatever the inputs are; outputs and gradients come back in
their dtypes, the last state in float32. Sums over tasks are taken in a fixed order, one block of
columns after the other, so the same inputs give the same bits with any number of threads.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.ops.donation import place_for_gradient
from models.ops.rows import clear_rest
from models.ops.selective_scan_kernels import (
    BLOCK,
    SEGMENT,
    backward_task,
    forward_task,
)
from models.ops.simd import LANES
from models.ops.threads import run_tasks

_MAX_CHUNKS = 32
_ROWS_A_THREAD = 2


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
    rows: Tensor,
    return_last_state: bool,
    donated: bool,
) -> tuple[Tensor, Tensor]:
    """y (T, D) and the last state (B, D, N), or an empty tensor where it is not wanted.

    u, delta, z (T, D), B, C (T, N); rows (B, 2) int64 on the CPU: each sequence's first row and
    its length. Rows of no sequence give 0.
    """
    rows = _with_kept(rows)
    inputs = (u, delta, A, B, C, D, z, delta_bias)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs):
        results = _Scan.apply(*inputs, rows, delta_softplus, return_last_state, donated)
        return results[0], results[1]
    y, last, _ = _run_forward(inputs, rows, delta_softplus, return_last_state, keep=False)
    return y, last


def _with_kept(rows: Tensor) -> Tensor:
    """(B, 3): first row, length, and how many states are kept of the sequences before."""
    kept = (rows[:, 1] - 1).div(SEGMENT, rounding_mode="floor").clamp_min(0)
    return torch.cat((rows, (kept.cumsum(0) - kept)[:, None]), dim=1).contiguous()


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, Tensor]:
        *inputs, rows, soft, return_last_state, donated = args
        y, last, kept = _run_forward(tuple(inputs), rows, soft, return_last_state, keep=True)
        ctx.save_for_backward(*inputs, rows, kept)
        ctx.soft, ctx.donated = soft, donated
        ctx.set_materialize_grads(False)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor | None, dlast: Tensor | None) -> tuple[Any, ...]:
        *inputs, rows, kept = ctx.saved_tensors
        if dy is None and dlast is None:
            return (None,) * 12
        gradients = _run_backward(
            tuple(inputs), rows, kept, ctx.soft, dy, dlast, donated=ctx.donated
        )
        needed = ctx.needs_input_grad
        cast = [
            g.to(t.dtype) if g is not None and need else None
            for g, t, need in zip(gradients, inputs, needed, strict=False)
        ]
        return (*cast, None, None, None, None)


class _Plan(NamedTuple):
    """How one shape is cut: `chunks` of sequences times `groups` of columns."""

    batch: int
    channels: int
    states: int
    columns: int
    chunks: int
    groups: int

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


def _plan(rows: Tensor, channels: int, states: int) -> _Plan:
    batch = rows.shape[0]
    columns = math.ceil(channels / LANES)
    # Columns are shared out only where rows are too few to keep every thread busy, because each
    # group needs its own dB and dC: a group is one block, so that their sum is that of one group.
    threads = torch.get_num_threads()
    enough = threads == 1 or min(batch, _MAX_CHUNKS) >= _ROWS_A_THREAD * threads
    groups = 1 if enough else math.ceil(columns / BLOCK)
    return _Plan(batch, channels, states, columns, min(batch, _MAX_CHUNKS), groups)


def _dense(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().to(torch.float32).contiguous()


def _rowwise(tensor: Tensor | None) -> Tensor | None:
    """float32 with contiguous rows, which may lie apart."""
    if tensor is None:
        return None
    tensor = tensor.detach().to(torch.float32)
    return tensor if tensor.stride(1) == 1 else tensor.contiguous()


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _in_lanes(tensor: Tensor, plan: _Plan) -> Tensor:
    """(..., D, N) -> (..., columns, N, 16), zeros in the lanes beyond D."""
    padded = F.pad(tensor.float(), (0, 0, 0, plan.columns * LANES - plan.channels))
    columns = padded.reshape(*padded.shape[:-2], plan.columns, LANES, plan.states)
    return columns.mT.contiguous()


def _out_of_lanes(tensor: Tensor, plan: _Plan) -> Tensor:
    return tensor.mT.flatten(-3, -2)[..., : plan.channels, :].contiguous()


class _Operands(NamedTuple):
    """The kernels' first eight arguments, dense; kept alive while they run."""

    tensors: tuple[Tensor | None, ...]
    mix_row: int
    z_row: int

    def addresses(self) -> tuple[int, ...]:
        return tuple(map(_address, self.tensors))


def _operands(inputs: tuple[Any, ...], plan: _Plan) -> _Operands:
    u, delta, A, B, C, D, z, bias = inputs
    rate = _in_lanes(A.detach() * math.log2(math.e), plan)  # (columns, N, 16)
    room = (0, plan.columns * LANES - plan.channels)
    shift = (
        torch.zeros(plan.columns * LANES) if bias is None else F.pad(bias.detach().float(), room)
    )
    skip = F.pad(D.detach().float(), room)
    enter, leave, gate = _rowwise(B), _rowwise(C), _rowwise(z)
    assert enter is not None, "the state has inputs"
    assert leave is not None, "the state has outputs"
    if enter.stride(0) != leave.stride(0):
        enter, leave = enter.contiguous(), leave.contiguous()
    tensors = (_dense(u), _dense(delta), rate, enter, leave, skip, gate, shift)
    return _Operands(tensors, enter.stride(0), 0 if gate is None else gate.stride(0))


def _run_forward(
    inputs: tuple[Any, ...], rows: Tensor, soft: bool, return_last_state: bool, *, keep: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    u, states = inputs[0], inputs[2].shape[1]
    plan = _plan(rows, u.shape[1], states)
    operands = _operands(inputs, plan)
    state = (plan.columns, plan.states, LANES)
    y = torch.empty(u.shape)
    clear_rest(rows, y)
    last = torch.empty(plan.batch, *state) if return_last_state else None
    kept = torch.empty(_num_kept(rows), *state) if keep else None
    head = (*operands.addresses(), *map(_address, (rows, y, last, kept)))
    shape = (operands.mix_row, operands.z_row, plan.channels, plan.states, soft)
    tasks = [(*head, *shape, *plan.bounds(task)) for task in range(plan.chunks * plan.groups)]
    run_tasks(forward_task, tasks, plan.scratch_floats())
    return y.to(u.dtype), torch.empty(0) if last is None else _out_of_lanes(last, plan), kept


def forward_calls(
    inputs: tuple[Any, ...], length: int, y: Tensor
) -> tuple[int, list[tuple[int, ...]], int, list[Tensor]]:
    """The kernel's calls for one sequence of `length` rows that writes y: kernel, arguments, floats
    of scratch, and the tensors that have to live as long.

    inputs: u, delta, A, B, C, D, z and delta_bias, as `selective_scan_numba` takes them.
    """
    rows = _with_kept(torch.tensor([[0, length]]))
    plan = _plan(rows, inputs[0].shape[1], inputs[2].shape[1])
    operands = _operands(inputs, plan)
    head = (*operands.addresses(), rows.data_ptr(), y.data_ptr(), 0, 0)
    shape = (operands.mix_row, operands.z_row, plan.channels, plan.states, True)
    tasks = [(*head, *shape, *plan.bounds(task)) for task in range(plan.chunks * plan.groups)]
    held = [rows, y, *(t for t in operands.tensors if t is not None)]
    return forward_task, tasks, plan.scratch_floats(), held


def _num_kept(rows: Tensor) -> int:
    if not len(rows):
        return 0
    return int(rows[-1, 2]) + max(0, (int(rows[-1, 1]) - 1) // SEGMENT)


def _run_backward(
    inputs: tuple[Any, ...],
    rows: Tensor,
    kept: Tensor,
    soft: bool,
    dy: Tensor | None,
    dlast: Tensor | None,
    *,
    donated: bool,
) -> list[Tensor | None]:
    """Gradients of u, delta, A, B, C, D, z and delta_bias, in float32."""
    u, delta, A, B, _, _, z, bias = inputs
    plan = _plan(rows, u.shape[1], A.shape[1])
    operands = _operands(inputs, plan)
    dy = torch.zeros(u.shape) if dy is None else _dense(dy)
    dlast = None if dlast is None else _in_lanes(dlast, plan)
    du = torch.empty(u.shape)  # (T, D), as the next two
    as_it_is = delta.dtype == torch.float32 and delta.is_contiguous()
    ddelta = place_for_gradient(delta, donated=donated and as_it_is)
    dz = None if z is None else torch.empty(u.shape)
    dB, dC = ([torch.empty(B.shape) for _ in range(plan.groups)] for _ in range(2))
    clear_rest(rows, du, ddelta, *(() if dz is None else (dz,)), *dB, *dC)
    dA = torch.empty(plan.chunks, plan.columns, plan.states, LANES)
    dD, dbias = (torch.empty(plan.chunks, plan.columns * LANES) for _ in range(2))
    head = (*operands.addresses(), *map(_address, (rows, kept, dy, dlast, du, ddelta)))
    shape = (operands.mix_row, operands.z_row, plan.channels, plan.states, soft)
    tasks = []
    for task in range(plan.chunks * plan.groups):
        chunk, group = divmod(task, plan.groups)
        parts = (dB[group], dC[group], dz, dA[chunk], dD[chunk], dbias[chunk])
        tasks.append((*head, *map(_address, parts), *shape, *plan.bounds(task)))
    run_tasks(backward_task, tasks, plan.scratch_floats())
    channels = slice(plan.channels)
    return [
        du, ddelta, _out_of_lanes(dA.sum(0), plan), _joined(dB), _joined(dC), dD.sum(0)[channels],
        dz, None if bias is None else dbias.sum(0)[channels],
    ]  # fmt: skip


def _joined(groups: list[Tensor]) -> Tensor:
    """The sum over groups of columns, in the first one's memory."""
    first, *others = groups
    for other in others:
        first.add_(other)
    return first
