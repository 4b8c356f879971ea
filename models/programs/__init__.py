"""Each model's pass over one user's history as a program of kernel calls: models/ops/program.py.

A file here is named as its model and writes the program for one length. `last_hidden` keeps them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from models.ops.backend import resolve_dense

if TYPE_CHECKING:
    from models.base import SequentialRecommender
    from models.ops.program import Program

# Programs have no padded columns: widths are multiples of the widest tile.
_WIDTH = 64
# Longer histories have work for several threads, of which a program uses one.
_LONGEST = 256
# Programs kept for each model, one a length.
_MOST = 64
_kept: WeakKeyDictionary[nn.Module, dict[int, Any]] = WeakKeyDictionary()


def last_hidden(model: SequentialRecommender, item_seq: Tensor, lengths: Tensor) -> Tensor | None:
    """`model.last_hidden` of a single short history without gradients; None where there is no
    program for it.
    """
    length = item_seq.shape[1]
    if (
        not model.has_program
        or model.training
        or torch.is_grad_enabled()
        or item_seq.shape[0] != 1
        or length > min(model.max_len, _LONGEST)
    ):
        return None
    table = model.item_embedding.weight
    if (
        any(width % _WIDTH for width in model.program_widths())
        or resolve_dense(model.layer_backend, table) != "numba"
    ):
        return None
    real = int(lengths[0])
    program = _program(model, real)
    return program.run(item_seq[0, real - program.events : real])


def _program(model: SequentialRecommender, length: int) -> Program:
    programs = _kept.setdefault(model, {})
    program = programs.get(length)
    if program is None or not program.fresh():
        if len(programs) >= _MOST:
            programs.clear()
        writer = importlib.import_module(f"models.programs.{model.name}")
        program = programs[length] = writer.write(model, length)
    written: Program = program
    return written
