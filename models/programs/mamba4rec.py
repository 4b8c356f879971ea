"""Mamba4Rec for one user: what follows the last scan is computed for the last event alone."""

from __future__ import annotations

from torch import Tensor

from models.mamba import Mamba
from models.mamba4rec import Mamba4Rec
from models.ops.program import Program
from models.ops.selective_scan_numba import forward_calls


def write(model: Mamba4Rec, length: int) -> Program:
    """The pass over `length` events."""
    program = Program(length, model)
    embedded = program.embed(model.item_embedding.weight)
    _, hidden = program.add_norm(embedded, None, model.LayerNorm)
    layers = list(model.stack)
    for layer in layers:
        y = _scanned(program, layer.mamba, hidden)
        if layer is layers[-1]:
            y, hidden = program.tail(y), program.tail(hidden)
        mixed = program.linear(y, layer.mamba.out_proj.weight)
        _, normed = program.add_norm(mixed, hidden if layer.stacked else None, layer.LayerNorm)
        inner = program.feed_forward(normed, layer.ffn.w_1, layer.ffn.w_2, "gelu")
        _, hidden = program.add_norm(inner, normed, layer.ffn.LayerNorm)
    program.finish(hidden)
    return program


def _scanned(program: Program, block: Mamba, hidden: Tensor) -> Tensor:
    """Everything of a Mamba block but its output layer: (rows, D) -> (rows, E)."""
    rank, states, inner = block.dt_rank, block.d_state, block.d_inner
    both = program.linear(hidden, block.in_proj.weight)  # (rows, 2 E)
    assert block.conv1d.bias is not None, "made with a bias"
    u = program.convolve(both, block.conv1d.weight[:, 0], block.conv1d.bias)
    projected = program.linear(u, block.x_proj.weight)  # (rows, R + 2 N or more)
    delta = program.linear(projected, block.dt_proj.weight)  # (rows, E)
    B, C = projected[:, rank : rank + states], projected[:, rank + states : rank + 2 * states]
    y = program.buffer(inner)
    kernel, tasks, scratch, held = forward_calls(
        (u, delta, block.decay(), B, C, block.D, both[:, inner : 2 * inner], block.dt_proj.bias),
        program.length, y,
    )  # fmt: skip
    program.keep(held)
    for task in tasks:
        program.call(kernel, task, scratch)
    return y
