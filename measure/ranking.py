"""Ranks of the next item among all items, and HR, NDCG and MRR at k.

One target per user (leave-one-out), full ranking over every item, items already seen not filtered
out. Ties share the middle of their places: rank = 1 + #(score > target) + 0.5 * #(other ties), so a
model that gives every item one score lands in the middle and not on top. The sampled metrics of
some papers are not comparable with these (Krichene and Rendle, KDD 2020).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from measure.record import Metric, not_measured

METHOD = (
    "full ranking, seen items not filtered, one target per user; "
    "rank = 1 + #(score > target) + 0.5 * #(ties with others)"
)


def ranks(scores: Tensor, targets: Tensor) -> Tensor:
    """The rank of each user's target item; 1 is best, halves come from ties.

    Args:
        scores: (B, V) with V = num_items + 1; column 0 is padding and never counts.
        targets: (B,) item ids, 1 to V - 1.

    Returns:
        (B,) float64.

    Raises:
        ValueError: NaN among the scores (a broken kernel must not pass), shapes that don't fit,
            or a target that is no item.
    """
    _check(scores, targets)
    wanted = scores.gather(1, targets[:, None])  # (B, 1)
    items = scores[:, 1:]  # (B, V - 1)
    higher = (items > wanted).sum(dim=1)  # (B,)
    ties = (items == wanted).sum(dim=1) - 1  # (B,), the target ties with itself
    return 1.0 + higher.double() + 0.5 * ties.double()


def hit_rate(ranks: Tensor, k: int) -> Tensor:
    """HR@k per user: 1 where the target is in the first k. With one target it equals Recall@k."""
    return (ranks <= k).double()


def ndcg(ranks: Tensor, k: int) -> Tensor:
    """NDCG@k per user: 1 / log2(rank + 1) within the first k; the ideal DCG of one target is 1.

    Järvelin and Kekäläinen, ACM TOIS 20(4), 2002.
    """
    return torch.where(ranks <= k, 1.0 / torch.log2(ranks.double() + 1.0), 0.0)


def reciprocal_rank(ranks: Tensor, k: int) -> Tensor:
    """Reciprocal rank per user, 0 beyond the first k; its mean is MRR@k."""
    return torch.where(ranks <= k, 1.0 / ranks.double(), 0.0)


METRICS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "hr": hit_rate,
    "ndcg": ndcg,
    "mrr": reciprocal_rank,
}


def ranking_metrics(ranks: Tensor, k: int = 10) -> dict[str, Metric]:
    """Means over users as "hr@k", "ndcg@k" and "mrr@k"; `ranks` holds one rank per user."""
    return {f"{name}@{k}": _mean(metric(ranks, k)) for name, metric in METRICS.items()}


def _mean(per_user: Tensor) -> Metric:
    if per_user.numel() == 0:
        return not_measured("no users", unit="1", better="higher", kind="accuracy", method=METHOD)
    mean = float(per_user.mean())
    return Metric(mean, "1", "higher", "accuracy", METHOD, n=per_user.numel())


def _check(scores: Tensor, targets: Tensor) -> None:
    if scores.ndim != 2 or targets.shape != scores.shape[:1]:
        shapes = f"{tuple(scores.shape)} and {tuple(targets.shape)}"
        raise ValueError(f"scores and targets are {shapes}: allowed are (B, V) and (B,)")
    if torch.isnan(scores).any():
        raise ValueError("scores hold NaN")
    if targets.numel() and not 1 <= int(targets.min()) <= int(targets.max()) < scores.shape[1]:
        found = f"{int(targets.min())} to {int(targets.max())}"
        raise ValueError(f"targets are {found}: allowed are 1 to {scores.shape[1] - 1}")
