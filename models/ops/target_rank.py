"""The place of one target item among all items by their scores, hidden weight^T + bias.

    rank = 1 + #(score > target's) + 0.5 * #(other ties)

That needs two counts a row and no sorted catalogue; the `numba` backend counts while it makes the
scores block by block, so the scores (B, V) of a batch are never held at once. Item 0 is padding and
never counts. measure/ranking.py states the same rule for scores that are there already.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from models.ops.backend import resolve_dense


def rank_of_target(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    backend: str = "auto",
) -> Tensor:
    """Ranks (B,) float64, 1 is best, for hidden (B, D), weight (V, D), bias (V,) or None.

    Args:
        targets: (B,) int64 ids, 1 to V - 1.
        backend: see `resolve_dense` in models/ops/backend.py.

    Raises:
        ValueError: NaN among the scores (a broken kernel must not pass), shapes that don't fit,
            or a target that is no item.
        BackendUnavailable: `numba` for tensors that are not float32 on a CPU.
    """
    _check(hidden, weight, bias, targets)
    if resolve_dense(backend, hidden) == "torch":
        larger, equal, broken = _counts(F.linear(hidden, weight, bias).float(), targets)
    else:
        # Imported here so that a process which never needs it does not load LLVM.
        from models.ops.target_rank_numba import counts_numba

        larger, equal, broken = counts_numba(hidden, weight, bias, targets)
    if bool(broken.any()):
        raise ValueError("scores hold NaN")
    return 1.0 + larger.double() + 0.5 * (equal - 1).double()  # the target ties with itself


def _counts(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of scores (B, V): how many are larger than the target's, equal to it, and NaN, (B,) each."""
    wanted = scores.gather(1, targets[:, None])  # (B, 1)
    items = scores[:, 1:]
    return (items > wanted).sum(1), (items == wanted).sum(1), scores.isnan().sum(1)


def _check(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> None:
    (rows, width), (items, depth) = hidden.shape, weight.shape
    if width != depth or targets.shape != (rows,) or not (bias is None or bias.shape == (items,)):
        shapes = [None if t is None else tuple(t.shape) for t in (hidden, weight, bias, targets)]
        raise ValueError(
            f"shapes of hidden, weight, bias, targets are {shapes}; "
            "needed: (B, D), (V, D), (V,), (B,)"
        )
    if rows and not 1 <= int(targets.min()) <= int(targets.max()) < items:
        found = f"{int(targets.min())} to {int(targets.max())}"
        raise ValueError(f"targets are {found}: allowed are 1 to {items - 1}")
