"""Weights laid out for the register tiles of simd_matmul.py, and tensors padded to whole tiles."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from models.ops.simd_matmul import ROWS, WIDTH


def up(number: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-number // step) * step


def panels_out(weight: Tensor) -> Tensor:
    """For x weight^T: (N, K) -> (N / WIDTH, K, WIDTH), N padded with zeros."""
    weight = padded(weight.detach(), up(weight.shape[0], WIDTH), weight.shape[1])
    return weight.view(-1, WIDTH, weight.shape[1]).mT.contiguous()


def panels_in(weight: Tensor) -> Tensor:
    """For dy weight: (N, K) -> (K / WIDTH, N, WIDTH), both padded with zeros."""
    rows, columns = (up(size, WIDTH) for size in weight.shape)
    weight = padded(weight.detach(), rows, columns)
    return weight.view(rows, -1, WIDTH).transpose(0, 1).contiguous()


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
