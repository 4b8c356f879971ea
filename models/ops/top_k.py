"""The k best items of the catalogue by their scores, hidden weight^T + bias.

The scores (B, V) of a batch are never held at once, nor the catalogue sorted: the `numba` backend
keeps the best ones while it makes the scores block by block. With one row, which is what a user
waits for, that is the time of reading the weights once.

Rules, the same for every backend: item 0 is padding and never among them; best first; of equal
scores the smaller id first (`torch` takes whichever its `topk` finds); NaN and -inf are never
recommended; where fewer than k items are left, ids are 0 and scores -inf.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops.backend import resolve_dense


def score_top_k(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    k: int,
    *,
    seen: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Ids (B, k) int64 and scores (B, k) for hidden (B, D), weight (V, D), bias (V,) or None.

    Args:
        seen: (B, S) int64 ids of 0..V - 1 that must not be recommended to that row; 0 is none.
        backend: see `resolve_dense` in models/ops/backend.py; `reference` sorts the catalogue.

    Raises:
        ValueError: a k that is not in 1..V - 1, or tensors that do not belong together.
        BackendUnavailable: `numba` for tensors that are not float32 on a CPU.
    """
    _check(hidden, weight, bias, seen)
    if not 1 <= k < weight.shape[0]:
        raise ValueError(f"k={k}: allowed are 1 to {weight.shape[0] - 1} (num_items)")
    if backend == "reference":
        return _masked(hidden, weight, bias, seen, k, exact=True)
    if resolve_dense(backend, hidden) == "torch":
        return _masked(hidden, weight, bias, seen, k, exact=False)
    return _compiled()(hidden, weight, bias, k, seen)


@lru_cache(maxsize=1)
def _compiled() -> Callable[..., tuple[Tensor, Tensor]]:
    """Imported late, so that a process which never needs it does not load LLVM; and once, because
    an import statement takes a microsecond each time."""
    from models.ops.top_k_numba import score_top_k_numba

    return score_top_k_numba


def _masked(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, seen: Tensor | None, k: int, *, exact: bool
) -> tuple[Tensor, Tensor]:
    """By all scores: stably sorted where `exact`, else by torch's topk."""
    scores = F.linear(hidden, weight, bias).detach()  # (B, V)
    scores = scores.masked_fill(scores.isnan(), -math.inf)
    scores[:, 0] = -math.inf
    if seen is not None:
        scores.scatter_(1, seen, -math.inf)
    if exact:
        best, ids = (t[:, :k] for t in scores.sort(dim=1, descending=True, stable=True))
    else:
        best, ids = scores.topk(k, dim=1)
    return ids.masked_fill(best == -math.inf, 0), best


def _check(hidden: Tensor, weight: Tensor, bias: Tensor | None, seen: Tensor | None) -> None:
    (rows, width), (items, depth) = hidden.shape, weight.shape
    if (
        width != depth
        or (bias is not None and bias.shape != (items,))
        or (seen is not None and (seen.dim() != 2 or seen.shape[0] != rows))
    ):
        shapes = [None if t is None else tuple(t.shape) for t in (hidden, weight, bias, seen)]
        raise ValueError(
            f"shapes of hidden, weight, bias, seen are {shapes}; "
            "needed: (B, D), (V, D), (V,), (B, S)"
        )
    if seen is not None and seen.dtype != torch.int64:
        raise ValueError(f"seen is {seen.dtype}; needed: int64 ids")
