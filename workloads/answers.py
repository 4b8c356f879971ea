"""What is recommended, against the best items by the reference's scores, before it is timed.

Of items whose scores are too near each other to tell, either may come first: items are compared by
their scores and not by their ids.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.base import SequentialRecommender
from workloads.reference import (
    Evaluating,
    Incorrect,
    compare,
    ragged_histories,
    reference_of,
    some_of,
    tolerance_of,
)
from workloads.setting import Setting

# What is left out as seen is compared on so many ragged histories of so many events, too.
_MANY = (40, 24)
_SHORTER = 2 / 3  # of the cell's length: a history with padding behind it


@torch.no_grad()
def check_alone(model: SequentialRecommender, setting: Setting, k: int) -> None:
    """One user alone, for whom other code runs: hidden states of a history as long as the cell's
    and of a shorter one with padding, and the k best items that are not in it; those of many users,
    too. In the dtype that is timed.
    """
    plain, length = reference_of(model), model.max_len
    item_seq, lengths = ragged_histories(model.num_items, 1, length, setting.seed)
    real = max(1, int(_SHORTER * length))
    shorter = item_seq.masked_fill(torch.arange(length) >= real, 0)
    many = ragged_histories(model.num_items, _MANY[0], min(length, _MANY[1]), setting.seed)
    for users in ((item_seq, lengths), (shorter, lengths.clamp_max(real)), many):
        given, real_lengths = (tensor.to(setting.device) for tensor in users)
        with Evaluating(model), setting.autocast():
            got = model.last_hidden(given, real_lengths)
            items, _ = model.recommend(given, real_lengths, k, filter_seen=True)
        want = plain.last_hidden(given, real_lengths)
        what = f"{len(given)} users of up to {int(real_lengths.max())} events"
        compare(got.float(), want, f"hidden states of {what}", tolerance_of(setting))
        scores = plain.score_hidden(want)
        scores.scatter_(1, given, -math.inf)  # padding has no score anyway
        _compare_items(items, scores, f"unseen items for {what}", tolerance_of(setting))


@torch.no_grad()
def check_answer(
    model: SequentialRecommender, setting: Setting, item_seq: Tensor, items: Tensor
) -> None:
    """What a request answered, items (B, K), after whole histories (B, L)."""
    users, length = item_seq.shape
    chosen = some_of(users, events=length, items=model.num_items)
    given = item_seq[chosen].to(setting.device)
    lengths = torch.full((len(given),), length, device=setting.device)
    scores = reference_of(model).score(given, lengths)
    what = f"items for {users} users of {length} events"
    _compare_items(items.to(setting.device)[chosen], scores, what, tolerance_of(setting))


def _compare_items(items: Tensor, scores: Tensor, what: str, tolerance: float) -> None:
    """Items (B, K) against the best of scores (B, V), place by place; 0 where nothing is left."""
    past = scores.shape[1]
    if bool((wrong := (items < 0) | (items >= past)).any()):
        raise Incorrect(f"{what}: {int(items[wrong][0])} is none of 1 to {past - 1}")
    ordered = items.sort(1).values
    if bool(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] > 0)).any()):
        raise Incorrect(f"{what}: one is recommended twice to the same user")
    scores[:, 0] = -math.inf  # padding
    got, want = scores.gather(1, items), scores.topk(items.shape[1], 1).values  # (B, K)
    left = want > -math.inf
    if not torch.equal(got > -math.inf, left):
        raise Incorrect(f"{what}: some are left out wrongly, or not left out")
    if bool(left.any()):
        largest = float(scores[scores > -math.inf].abs().max())
        # Each of two that changed places may be off.
        compare(got[left], want[left], f"scores of {what}", 2 * tolerance, scale=largest)
