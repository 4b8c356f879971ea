"""One history through a whole model as a list of kernel calls, made once and run again and again.

For a single user the arithmetic takes a tenth of a millisecond and calling a dozen operations from
Python several times that. A program has buffers of its own for one length; running it copies the
ids in and makes all calls from compiled code. Weights are taken where they lie, or laid out when
the program is written: it is good as long as `fresh()` says that nobody wrote to them.

Rows are padded to whole tiles with id 0, which no real row ever reads.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterable, Sequence

import torch
from numba import types
from torch import Tensor, nn

from models.ops.panels import lanes, panels_out, up
from models.ops.simd import LANES, call_task, integers, native
from models.ops.simd_math import units
from models.ops.simd_matmul import ROWS, WIDTH


@native(types.int64)
def _replay(job_at: int) -> None:
    """Make all calls of a job: their number, the scratch, then a kernel and its arguments each."""
    job = integers(job_at)
    for i in range(job[0]):
        call_task(job[2 + 2 * i], job[3 + 2 * i], job[1])


_run = ctypes.CFUNCTYPE(None, ctypes.c_int64)(_replay)


class Program:
    """A pass over `length` events of one user, written by the methods below in order.

    Args:
        length: rows that are real.
        events: how many of them `run` is given; the others have ids of their own (a mask).
        model: whose parameters the program reads.
    """

    def __init__(self, length: int, model: nn.Module, *, events: int | None = None) -> None:
        self.length, self.events = length, length if events is None else events
        self.rows = up(length, ROWS)
        self.ids = torch.zeros(self.rows, dtype=torch.int64)
        self.positions = torch.arange(self.rows).clamp_max(length - 1)
        # Not the weights alone: loading with `assign` puts others in their place. Not the modules,
        # which would never be freed. The weights too, so that their addresses stay theirs.
        self._places = [
            (module._parameters, name) for module in model.modules() for name in module._parameters
        ]
        self._weights = list(model.parameters())
        self._seen = self._state()
        self._held: list[object] = []
        self._calls: list[int] = []
        self._scratch = LANES
        self._bounds = self.hold(torch.tensor([0, length]))
        self._tail_bounds = self.hold(torch.tensor([0, ROWS]))

    # -- running -------------------------------------------------------------------------------

    def finish(self, tail: Tensor, row: int | None = None) -> None:
        """A run gives one row of `tail` (ROWS, D): the last real one of what `self.tail` gave, or
        the one named.
        """
        self._result = tail[(self.length - 1) % ROWS if row is None else row][None]
        self._room = torch.empty(self._scratch)
        self._job = array("q", (len(self._calls) // 2, self._room.data_ptr(), *self._calls))
        self._job_at = self._job.buffer_info()[0]

    def fresh(self) -> bool:
        """Whether the weights are as they were when the program was written."""
        return self._seen == self._state()

    def run(self, events: Tensor) -> Tensor:
        """events (events,) int64 -> the last hidden state (1, D).

        Raises:
            IndexError: an id lies outside of the table.
        """
        if events.numel() and not (0 <= int(events.min()) and int(events.max()) < self._ids):
            raise IndexError(f"ids must lie in 0..{self._ids - 1}")
        self.ids[: self.events] = events
        _run(self._job_at)
        return self._result.clone()

    def _state(self) -> list[int]:
        weights = [weight for held, name in self._places if (weight := held[name]) is not None]
        state = [weight._version for weight in weights]
        state.extend([weight.data_ptr() for weight in weights])
        return state

    # -- writing -------------------------------------------------------------------------------

    def keep(self, things: Iterable[object]) -> None:
        """What calls refer to by its address lives as long as the program."""
        self._held.extend(things)

    def hold(self, tensor: Tensor) -> int:
        """A tensor's address, good as long as the program lives."""
        self._held.append(tensor)
        return tensor.data_ptr()

    def buffer(self, width: int, rows: int | None = None) -> Tensor:
        return torch.zeros(self.rows if rows is None else rows, width)

    def call(self, kernel: int, arguments: Sequence[int], scratch: int = 0) -> None:
        row = array("q", arguments)
        self._held.append(row)
        self._calls += (kernel, row.buffer_info()[0])
        self._scratch = max(self._scratch, scratch)

    def tail(self, x: Tensor) -> Tensor:
        """The tile (ROWS, D) that holds the last real row."""
        first = (self.length - 1) // ROWS * ROWS
        return x[first : first + ROWS]

    def embed(self, table: Tensor, places: Tensor | None = None, factor: float = 1.0) -> Tensor:
        from models.ops.embedding_kernels import forward_task

        self._ids, out = table.shape[0], self.buffer(table.shape[1])
        addresses = [
            self.hold(self.ids), self.hold(table.detach()), self.hold(self.positions),
            0 if places is None else self.hold(places.detach()),
            self.hold(torch.tensor([factor])), self.hold(out),
        ]  # fmt: skip
        self.call(forward_task, (*addresses, table.shape[1], 0, 0, 0, self.rows))
        return out

    def add_norm(
        self, x: Tensor, residual: Tensor | None, norm: nn.LayerNorm
    ) -> tuple[Tensor, Tensor]:
        from models.ops.add_norm_kernels import forward_task

        rows, width = x.shape
        total, normed = self.buffer(width, rows), self.buffer(width, rows)
        addresses = [
            self.hold(x), 0 if residual is None else self.hold(residual),
            self.hold(lanes(norm.weight, LANES)), self.hold(lanes(norm.bias, LANES)),
            self.hold(total), self.hold(normed),
        ]  # fmt: skip
        eps = units(norm.eps)
        self.call(forward_task, (*addresses, width, eps, 0, 0, 0, rows), 2 * LANES)
        return total, normed

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The output is as wide as whole tiles; x may be, with anything finite beyond its width."""
        from models.ops.linear_kernels import forward_task

        inputs, outputs = (up(size, WIDTH) for size in reversed(weight.shape))
        assert x.stride(0) >= inputs, "a row is as long as its tiles"
        y = self.buffer(outputs, x.shape[0])
        addresses = [
            self.hold(x), self.hold(panels_out(weight)),
            0 if bias is None else self.hold(lanes(bias)), self.hold(y),
        ]  # fmt: skip
        self.call(forward_task, (*addresses, x.stride(0), inputs, outputs, 0, x.shape[0]))
        return y

    def feed_forward(
        self, x: Tensor, first: nn.Linear, second: nn.Linear, activation: str
    ) -> Tensor:
        from models.ops.feed_forward_kernels import BLOCK, forward_task

        wide, width = (up(size, WIDTH) for size in first.weight.shape)
        y = self.buffer(width, x.shape[0])
        addresses = [
            self.hold(x), self.hold(panels_out(first.weight)), self.hold(lanes(first.bias)),
            self.hold(panels_out(second.weight)), self.hold(lanes(second.bias)), self.hold(y),
        ]  # fmt: skip
        smooth = activation == "gelu"
        self.call(
            forward_task, (*addresses, width, wide, smooth, 0, 0, 0, x.shape[0]), BLOCK * wide
        )
        return y

    def attention(self, qkv: Tensor, num_heads: int, *, causal: bool) -> Tensor:
        """(rows, 3 D) -> (rows, D)."""
        width = qkv.shape[1] // 3
        parts = (qkv, qkv[:, width:], qkv[:, 2 * width :])
        return self._attention(parts, width, num_heads, causal, self._bounds, self.length)

    def attention_tail(self, query: Tensor, key_value: Tensor, num_heads: int) -> Tensor:
        """(ROWS, D), (rows, 2 D) -> (ROWS, D): the queries see all keys."""
        width = query.shape[1]
        parts = (query, key_value, key_value[:, width:])
        return self._attention(parts, width, num_heads, False, self._tail_bounds, ROWS)

    def _attention(
        self, parts: tuple[Tensor, Tensor, Tensor], width: int, heads: int, causal: bool,
        query_bounds: int, queries: int,
    ) -> Tensor:  # fmt: skip
        from models.ops.attention_kernels import forward_scratch, forward_task

        query, key, value = parts
        out, size = self.buffer(width, query.shape[0]), width // heads
        head = array(
            "q",
            (self.hold(query), query.stride(0), self.hold(key), self.hold(value), key.stride(0),
             self.hold(out), 0, query_bounds, self._bounds, heads, size, causal),
        )  # fmt: skip
        self._held.append(head)
        task = (head.buffer_info()[0], 0, 1, 0, heads, 0, 2**62)
        self.call(forward_task, task, forward_scratch(up(size, LANES), queries))
        return out

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """x (rows, E or more), weight (E, K), bias (E,) -> (rows, E), with SiLU."""
        from models.ops.causal_conv1d_kernels import forward_task

        channels, taps = weight.shape
        y = self.buffer(channels)
        addresses = [
            self.hold(x), self.hold(lanes_of_rows(weight.mT)), self.hold(lanes(bias, LANES)),
            self._bounds, self.hold(y),
        ]  # fmt: skip
        self.call(forward_task, (*addresses, x.stride(0), channels, taps, 0, 1), LANES)
        return y


def lanes_of_rows(matrix: Tensor) -> Tensor:
    """(K, D) with D padded with zeros to whole lanes."""
    room = -matrix.shape[1] % LANES
    return nn.functional.pad(matrix.detach(), (0, room)).contiguous()
