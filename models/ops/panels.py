"""Weights laid out for the register tiles of simd_matmul.py, and tensors padded to whole tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from models.ops.simd_matmul import ROWS, WIDTH

# Layouts kept between calls without gradients; a model has about a dozen.
_MOST_KEPT = 256


class _Kept(NamedTuple):
    weight: Tensor  # held, so that its address can't come to mean another tensor
    version: int
    made: Tensor


_kept: dict[tuple[object, ...], _Kept] = {}


def kept(make: Callable[[Tensor], Tensor], weight: Tensor, *, training: bool = False) -> Tensor:
    """make(weight), from the last time where nothing wrote to the weight since.

    In training nothing is kept, since the weights change at every step anyway, and what was kept is
    dropped. (Inside an autograd function gradients are off, so it has to be told.) Writing through
    `weight.data`, of which PyTorch keeps no count, goes unnoticed.
    """
    if weight.is_inference():
        return make(weight)
    key = (make, weight.data_ptr(), weight.shape, weight.stride())
    if training:
        _kept.pop(key, None)
        return make(weight)
    found = _kept.get(key)
    if found is None or found.version != weight._version:
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        found = _kept[key] = _Kept(weight, weight._version, make(weight))
    return found.made


def up(number: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-number // step) * step


def panels_out(weight: Tensor) -> Tensor:
    """For x weight^T: (N, K) -> (N / WIDTH, K, WIDTH), both padded with zeros to whole tiles."""
    weight = padded(weight.detach(), *(up(size, WIDTH) for size in weight.shape))
    return weight.view(-1, WIDTH, weight.shape[1]).mT.contiguous()


def panels_in(weight: Tensor) -> Tensor:
    """For dy weight: (N, K) -> (K / WIDTH, N, WIDTH), both padded with zeros to whole tiles."""
    rows, columns = (up(size, WIDTH) for size in weight.shape)
    weight = padded(weight.detach(), rows, columns)
    return weight.view(rows, -1, WIDTH).transpose(0, 1).contiguous()


def lanes(vector: Tensor, step: int = WIDTH) -> Tensor:
    """(D,) padded with zeros to a multiple of `step`."""
    room = -vector.shape[0] % step
    return F.pad(vector.detach(), (0, room)) if room else vector.detach().contiguous()


def padded(matrix: Tensor, rows: int, columns: int) -> Tensor:
    """The matrix with zeros behind it; itself where it has that size already."""
    if matrix.shape == (rows, columns):
        return matrix
    return F.pad(matrix, (0, columns - matrix.shape[1], 0, rows - matrix.shape[0]))


def row_parts(rows: int, smallest: int, most: int) -> list[tuple[int, int]]:
    """Bounds of the parts that rows are cut into, whole tiles each, by the number of rows alone."""
    tiles = rows // ROWS
    count = max(1, min(most, rows // smallest))
    return [(tiles * i // count * ROWS, tiles * (i + 1) // count * ROWS) for i in range(count)]
