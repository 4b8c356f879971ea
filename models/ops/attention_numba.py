"""The CPU backend of packed attention: cuts the work for the kernels and joins it to autograd.

Float32 only. Tasks are some sequences, or some heads of one long sequence (and in the forward pass
some of its queries), cut by lengths alone; each writes a place of its own, so the same inputs give
the same bits with any number of threads.
"""

from __future__ import annotations

from array import array
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.ops.attention_backward_kernels import backward_scratch, backward_task
from models.ops.attention_few_kernels import few_backward_task, few_forward_task, few_scratch
from models.ops.attention_kernels import forward_scratch, forward_task
from models.ops.donation import place_for_gradient
from models.ops.simd import LANES
from models.ops.threads import run_tasks

# Multiplications of a task at least, and tasks of a call about at most.
_MIN_TASK = 2**20
_MAX_TASKS = 32
# Queries of one task at least, so that the keys they share are packed once for many.
_MIN_QUERIES = 256
# So many queries of a sequence, at most, do without tiles: two are faster with them.
FEW = 1


def attention_packed_numba(
    qkv: Tensor, offsets: Tensor, num_heads: int, causal: bool, donated: bool
) -> Tensor:
    """As `attention_packed`, for float32 on a CPU."""
    if torch.is_grad_enabled() and qkv.requires_grad:
        out: Tensor = _Attention.apply(qkv, offsets, num_heads, causal, donated)
        return out
    return run_forward(_of_packed(qkv), offsets, offsets, num_heads, causal, keep=False)[0]


def attention_select_numba(
    query: Tensor, key_value: Tensor, query_offsets: Tensor, offsets: Tensor, num_heads: int
) -> Tensor:
    """As `attention_select`, for float32 on a CPU."""
    if torch.is_grad_enabled() and (query.requires_grad or key_value.requires_grad):
        out: Tensor = _AttentionFew.apply(query, key_value, query_offsets, offsets, num_heads)
        return out
    tensors = _of_selected(query, key_value)
    return run_forward(tensors, query_offsets, offsets, num_heads, False, keep=False)[0]


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, offsets: Tensor, num_heads: int, causal: bool, donated: bool
    ) -> Tensor:
        tensors = _of_packed(qkv)
        out, kept = run_forward(tensors, offsets, offsets, num_heads, causal, keep=True)
        ctx.save_for_backward(qkv, offsets, out, kept)
        ctx.shape, ctx.donated = (num_heads, causal), donated
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        qkv, offsets, out, kept = ctx.saved_tensors
        (heads, causal), tensors = ctx.shape, _of_packed(qkv)
        dqkv = place_for_gradient(qkv, donated=ctx.donated and qkv.is_contiguous())
        run_backward(tensors, offsets, offsets, heads, causal, out, kept, dout, _of_packed(dqkv))
        return dqkv, None, None, None, None


class _AttentionFew(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key_value: Tensor, before: Tensor, offsets: Tensor, num_heads: int
    ) -> Tensor:
        tensors = _of_selected(query, key_value)
        out, kept = run_forward(tensors, before, offsets, num_heads, False, keep=True)
        ctx.save_for_backward(query, key_value, before, offsets, out, kept)
        ctx.num_heads = num_heads
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        query, key_value, before, offsets, out, kept = ctx.saved_tensors
        dquery, dkey_value = torch.empty(query.shape), torch.empty(key_value.shape)
        tensors, gradients = _of_selected(query, key_value), _of_selected(dquery, dkey_value)
        run_backward(tensors, before, offsets, ctx.num_heads, False, out, kept, dout, gradients)
        return dquery, dkey_value, None, None, None


class Operands(NamedTuple):
    """Where query, key and value lie; the tensors are kept alive beside their addresses."""

    query: int
    query_row: int
    key: int
    value: int
    key_row: int
    width: int
    tensors: tuple[Tensor, ...]
    shared: int = 0  # all heads share their keys: the head size that scores are scaled by


def _of_packed(qkv: Tensor) -> Operands:
    qkv = qkv.detach().contiguous()
    row = qkv.shape[1]
    width, at = row // 3, qkv.data_ptr()
    return Operands(at, row, at + 4 * width, at + 8 * width, row, width, (qkv,))


def _of_selected(query: Tensor, key_value: Tensor) -> Operands:
    query, key_value = query.detach().contiguous(), key_value.detach().contiguous()
    width, at = query.shape[1], key_value.data_ptr()
    tensors = (query, key_value)
    return Operands(query.data_ptr(), width, at, at + 4 * width, 2 * width, width, tensors)


class _Plan(NamedTuple):
    """The cut of one set of lengths; forward tasks are (sequences, heads, queries) from and to,
    backward tasks (sequences, heads).
    """

    queries: int
    keys: int
    most_queries: int
    most_keys: int
    forward: tuple[tuple[int, ...], ...]
    backward: tuple[tuple[int, ...], ...]


@lru_cache(maxsize=64)
def _plan(query_offsets: bytes, offsets: bytes, width: int, heads: int) -> _Plan:
    """Cached, because every layer and its gradients have the same offsets."""
    before, after = np.frombuffer(query_offsets, np.int64), np.frombuffer(offsets, np.int64)
    queries, keys = np.diff(before), np.diff(after)
    if before[0] or after[0] or min(queries.min(initial=0), keys.min(initial=0)) < 0:
        raise ValueError("offsets must begin with 0 and never fall")
    costs = (queries + 8) * (keys + 8) * width * 2
    target = max(_MIN_TASK, int(costs.sum()) // _MAX_TASKS)
    group = np.cumsum(costs) // target
    starts = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), len(queries)]
    forward: list[tuple[int, ...]] = []
    backward: list[tuple[int, ...]] = []
    for start, stop in pairwise(starts):
        if stop - start > 1 or costs[start:stop].sum() <= target:
            forward.append((start, stop, 0, heads, 0, 2**62))
            backward.append((start, stop, 0, heads))
            continue
        forward.extend(_pieces(start, stop, heads, int(queries[start])))
        backward.extend((start, stop, h, h + 1) for h in range(heads))
    return _Plan(
        int(before[-1]), int(after[-1]), int(queries.max(initial=0)), int(keys.max(initial=0)),
        tuple(forward), tuple(backward),
    )  # fmt: skip


def _pieces(start: int, stop: int, heads: int, queries: int) -> list[tuple[int, ...]]:
    """One sequence by heads and blocks of queries; a causal model's longest ones come first."""
    blocks = range(0, queries, _MIN_QUERIES)
    return [
        (start, stop, h, h + 1, first, first + _MIN_QUERIES)
        for first in reversed(blocks)
        for h in range(heads)
    ]


def _planned(
    query_offsets: Tensor, offsets: Tensor, tensors: Operands, num_heads: int
) -> tuple[_Plan, Tensor, Tensor]:
    """The plan, and both offsets where the kernels can read them."""
    after = offsets.contiguous()
    key = after.numpy().tobytes()
    if query_offsets is offsets:
        before, plan = after, _plan(key, key, tensors.width, num_heads)
    else:
        before = query_offsets.contiguous()
        plan = _plan(before.numpy().tobytes(), key, tensors.width, num_heads)
    rows = tensors.tensors[0].shape[0], tensors.tensors[-1].shape[0]
    if plan.queries > rows[0] or plan.keys > rows[1]:
        raise ValueError(
            f"offsets end at {plan.queries} and {plan.keys}, beyond {rows[0]} and {rows[1]} rows"
        )
    return plan, before, after


def run_forward(
    tensors: Operands,
    query_offsets: Tensor,
    offsets: Tensor,
    num_heads: int,
    causal: bool,
    *,
    keep: bool,
) -> tuple[Tensor, Tensor | None]:
    plan, before, after = _planned(query_offsets, offsets, tensors, num_heads)
    rows, size = tensors.tensors[0].shape[0], tensors.width // num_heads
    out = torch.empty(rows, tensors.width)
    kept = torch.empty(plan.queries, num_heads, 2) if keep else None
    head = array(
        "q",
        (*tensors[:5], out.data_ptr(), 0 if kept is None else kept.data_ptr(), before.data_ptr(),
         after.data_ptr(), num_heads, size, causal, 0, 0, 0, 0, *_sharing(tensors, size)),
    )  # fmt: skip
    at = head.buffer_info()[0]
    width = -(-size // LANES) * LANES
    if plan.most_queries <= FEW and not causal:
        room = few_scratch(width, plan.most_keys, num_heads)
        run_tasks(few_forward_task, _whole(plan, at, num_heads, tensors), room)
    else:
        room = forward_scratch(width, plan.most_queries)
        run_tasks(forward_task, [(at, *task) for task in plan.forward], room)
    if plan.queries < rows:
        out[plan.queries :] = 0
    return out, kept


def _sharing(tensors: Operands, size: int) -> tuple[int, int]:
    """From one head's keys to the next one's, and the head size that scores are scaled by."""
    return (0, tensors.shared) if tensors.shared else (size, size)


def _whole(plan: _Plan, at: int, heads: int, tensors: Operands) -> list[tuple[int, ...]]:
    """Tasks of the kernels for few queries; heads that write to one place stay in one."""
    if not tensors.shared:
        return [(at, *task) for task in plan.backward]
    return [(at, start, stop, 0, heads) for start, stop, head, _ in plan.backward if head == 0]


def run_backward(
    tensors: Operands,
    query_offsets: Tensor,
    offsets: Tensor,
    num_heads: int,
    causal: bool,
    out: Tensor,
    kept: Tensor,
    dout: Tensor,
    gradients: Operands,
) -> None:
    plan, before, after = _planned(query_offsets, offsets, tensors, num_heads)
    size = tensors.width // num_heads
    dout = dout.contiguous()
    head = array(
        "q",
        (*tensors[:5], out.data_ptr(), kept.data_ptr(), before.data_ptr(), after.data_ptr(),
         num_heads, size, causal, dout.data_ptr(), gradients.query, gradients.key,
         gradients.value, *_sharing(tensors, size)),
    )  # fmt: skip
    at = head.buffer_info()[0]
    width = -(-size // LANES) * LANES
    tasks = _whole(plan, at, num_heads, tensors)
    if plan.most_queries <= FEW and not causal:
        run_tasks(few_backward_task, tasks, few_scratch(width, plan.most_keys, num_heads))
    else:
        room = backward_scratch(width, plan.most_queries, plan.most_keys)
        run_tasks(backward_task, tasks, room)
    for tensor, end in ((gradients.tensors[0], plan.queries), (gradients.tensors[-1], plan.keys)):
        if end < tensor.shape[0]:
            tensor[end:] = 0
