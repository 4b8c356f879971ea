"""Weights laid out for the register tiles of simd_matmul.py, and tensors padded to whole tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from models.ops.simd_matmul import WIDTH

# Layouts kept between calls without gradients, of which a model has about a dozen, and the numbers
# in all of them (256 MiB): models that are no longer used are held with what was made of them.
_MOST_KEPT, _MOST_NUMBERS = 256, 2**26


class _Kept(NamedTuple):
    weights: tuple[Tensor, ...]  # held, so that their addresses can't come to mean other tensors
    versions: list[int]
    made: Tensor


_kept: dict[tuple[object, ...], _Kept] = {}
# By the address of each weight: the keys of what is made of it.
_made_of: dict[int, set[tuple[object, ...]]] = {}


def kept(make: Callable[..., Tensor], *weights: Tensor, training: bool = False) -> Tensor:
    """make(*weights), from the last time where nothing wrote to the weights since.

    In training nothing is kept, since the weights change at every step anyway, and all that was
    made of them is dropped. (Inside an autograd function gradients are off, so it has to be told.)
    Writing through `weight.data`, of which PyTorch keeps no count, goes unnoticed.
    """
    if any(weight.is_inference() for weight in weights):
        return make(*weights)
    if training:
        for weight in weights:
            for key in _made_of.pop(weight.data_ptr(), ()):
                _kept.pop(key, None)
        return make(*weights)
    key = (make, *((weight.data_ptr(), weight.shape, weight.stride()) for weight in weights))
    versions = [weight._version for weight in weights]
    found = _kept.get(key)
    if found is None or found.versions != versions:
        made = make(*weights)
        numbers = made.numel() + sum(other.made.numel() for other in _kept.values())
        if len(_kept) >= _MOST_KEPT or numbers > _MOST_NUMBERS:
            _kept.clear()
            _made_of.clear()
        found = _kept[key] = _Kept(weights, versions, made)
        for weight in weights:
            _made_of.setdefault(weight.data_ptr(), set()).add(key)
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


def trimmed(matrix: Tensor, rows: int, columns: int) -> Tensor:
    """The first rows and columns; the matrix itself where it has no others, since autograd adds
    gradients in place only to a tensor that is nobody's view.
    """
    return matrix if matrix.shape == (rows, columns) else matrix[:rows, :columns]
