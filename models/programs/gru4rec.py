"""GRU4Rec for one user: all inputs projected at once, then step by step; the dense layer once."""

from __future__ import annotations

from models.gru4rec import GRU4Rec
from models.ops.gru_numba import forward_calls
from models.ops.program import Program
from models.ops.simd_matmul import ROWS


def write(model: GRU4Rec, length: int) -> Program:
    """The pass over `length` events."""
    program, size = Program(length, model), model.config.gru_size
    hidden = program.embed(model.item_embedding.weight)
    layers = model.gru.all_weights
    for weights in layers:
        final = weights is layers[-1]
        projected = program.linear(hidden, weights[0])  # (rows, 3 E)
        out = program.buffer(size, ROWS if final else None)
        given = (weights[0], weights[1], weights[2], weights[3])
        kernel, tasks, scratch, held = forward_calls(
            hidden, projected, given, length, out, last_only=final
        )
        program.keep(held)
        for task in tasks:
            program.call(kernel, task, scratch)
        hidden = out
    program.finish(program.linear(hidden, model.dense.weight, model.dense.bias), row=0)
    return program
