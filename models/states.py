"""A user's serving state as bytes and back: data only, for a store that outlives the process.

    blob = state_to_bytes(model, state, row=3)         # of the fourth user of the batch
    state = state_from_bytes(model, [blob, other])     # a batch of two users

A blob is a magic word with a version, the model's name, and for each tensor of
`model.state_tensors` its dtype, its shape and its numbers, little-endian. Reading never runs code;
it checks every size against the model's own state and the blob's length before it takes memory.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from models.base import SequentialRecommender

_MAGIC = b"SQRS\x01"
# A kind is a place in both; NumPy has no bfloat16 and carries its bits.
_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_CARRIERS = ("<f4", "<u2", "<f2", "<f8")
Shape = tuple[int | None, ...]  # None where a state grows with the history
_SHAPES: WeakKeyDictionary[SequentialRecommender, tuple[Shape, ...]] = WeakKeyDictionary()
assert sys.byteorder == "little", "a blob's numbers are taken from memory as they lie there"


def state_to_bytes(model: SequentialRecommender, state: Any, *, row: int = 0) -> bytes:
    """The state of one user, that of `row` in the batch, cut to its real length.

    Raises:
        IndexError: the batch has no such row.
        NotSupported: the model keeps no state.
    """
    name = model.name.encode()
    parts: list[bytes | memoryview] = [_MAGIC, struct.pack("<B", len(name)), name]
    tensors = model.state_tensors(state)
    parts.append(struct.pack("<B", len(tensors)))
    for tensor in tensors:
        own = tensor.select(model.state_user_dim, row).detach().cpu().contiguous()
        parts.append(struct.pack("<BB", _DTYPES.index(own.dtype), own.dim()))
        parts.append(struct.pack(f"<{own.dim()}I", *own.shape))
        parts.append(own.flatten().view(torch.uint8).numpy().data)
    return b"".join(parts)


def state_from_bytes(model: SequentialRecommender, blobs: Sequence[bytes]) -> Any:
    """The state of a batch, a user a blob, on the model's device; `step` goes on from it.

    Raises:
        ValueError: a blob is not a state of this model, or the users' histories differ in length.
    """
    if not blobs:
        raise ValueError("no states to restore: at least one user's is needed")
    users = [_arrays(model, blob) for blob in blobs]
    forms = {tuple((kind, array.shape) for kind, array in arrays) for arrays in users}
    if len(forms) > 1:
        raise ValueError("states of histories of different length; group users by length")
    device, restored = next(model.parameters()).device, []
    for of_all in zip(*users, strict=True):
        # Joined on the CPU, so that a device is given one copy a tensor and not one a user.
        joined = torch.from_numpy(np.stack([a for _, a in of_all], axis=model.state_user_dim))
        restored.append(joined.view(_DTYPES[of_all[0][0]]).to(device))
    return model.state_from_tensors(restored)


def state_kind(model: SequentialRecommender) -> str:
    """What a step goes on from: "recurrent_state", of one size for good, or "kv_cache".

    Raises:
        NotSupported: the model keeps no state.
    """
    grows = any(None in shape for shape in _shapes(model))
    return "kv_cache" if grows else "recurrent_state"


def _shapes(model: SequentialRecommender) -> tuple[Shape, ...]:
    """Of each tensor of one user's state; known from an empty one, and kept."""
    if model not in _SHAPES:
        shapes = [list(tensor.shape) for tensor in model.state_tensors(model.init_state(1))]
        for shape in shapes:
            del shape[model.state_user_dim]
        _SHAPES[model] = tuple(tuple(size or None for size in shape) for shape in shapes)
    return _SHAPES[model]


def _arrays(model: SequentialRecommender, blob: bytes) -> list[tuple[int, NDArray[Any]]]:
    """The kind and the numbers of each tensor of one user, as views of the blob."""
    name = model.name.encode()
    start = _MAGIC + struct.pack("<B", len(name)) + name
    if blob[: len(start)] != start:
        raise ValueError(f"not a saved state of {model.label}")
    try:
        (count,) = struct.unpack_from("<B", blob, len(start))
        at, found = len(start) + 1, []
        for _ in range(count):
            kind, dims = struct.unpack_from("<BB", blob, at)
            shape = struct.unpack_from(f"<{dims}I", blob, at + 2)
            at += 2 + 4 * dims
            numbers = np.frombuffer(blob, _CARRIERS[kind], math.prod(shape), at)
            found.append((kind, numbers.reshape(shape)))
            at += numbers.nbytes
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise ValueError(f"a saved state of {model.label} that is cut short or damaged") from error
    if at != len(blob):
        raise ValueError(f"a saved state of {model.label} with {len(blob) - at} bytes too many")
    _check_shapes(model, [array.shape for _, array in found])
    return found


def _check_shapes(model: SequentialRecommender, found: list[tuple[int, ...]]) -> None:
    """As many tensors, of the shapes of this model's own; a cache may be as long as it is made."""
    own = _shapes(model)
    fits = len(found) == len(own) and all(
        len(shape) == len(wanted)
        and all(
            size <= model.max_len if free is None else size == free
            for size, free in zip(shape, wanted, strict=True)
        )
        for shape, wanted in zip(found, own, strict=True)
    )
    if not fits:
        shapes = ", ".join(map(str, found))
        raise ValueError(f"a state of another {model.label}: its tensors are {shapes}")
