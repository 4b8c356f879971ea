"""Ranks and metrics against a table worked out by hand."""

import math

import pytest
import torch

from measure.ranking import METRICS, ranking_metrics, ranks

# Column 0 is padding and holds the best score of each row; it must not matter.
SCORES = torch.tensor(
    [
        [9.0, 0.5, 0.4, 0.3, 0.2, 0.1],
        [9.0, 0.5, 0.4, 0.3, 0.2, 0.1],
        [9.0, 0.5, 0.4, 0.3, 0.2, 0.1],
        [9.0, 0.4, 0.4, 0.4, 0.9, 0.1],
    ]
)
TARGETS = torch.tensor([1, 3, 5, 2])
RANKS = [1.0, 3.0, 5.0, 3.0]  # the last: one higher, two ties: 1 + 1 + 0.5 * 2


def test_ranks_equal_the_table():
    assert ranks(SCORES, TARGETS).tolist() == RANKS


def test_metrics_equal_the_table():
    metrics = ranking_metrics(ranks(SCORES, TARGETS), k=3)
    assert metrics["hr@3"].value == pytest.approx(3 / 4)
    assert metrics["ndcg@3"].value == pytest.approx((1 + 1 / 2 + 0 + 1 / 2) / 4)
    assert metrics["mrr@3"].value == pytest.approx((1 + 1 / 3 + 0 + 1 / 3) / 4)


def test_metrics_say_what_they_are():
    metrics = ranking_metrics(torch.tensor([1.0, 20.0]))
    assert list(metrics) == ["hr@10", "ndcg@10", "mrr@10"]
    for metric in metrics.values():
        assert (metric.kind, metric.better, metric.unit, metric.n) == (
            "accuracy",
            "higher",
            "1",
            2,
        )
        for words in ("full ranking", "not filtered", "0.5 * #(ties"):
            assert words in metric.method


def test_the_place_k_counts_and_the_next_one_does_not():
    places = torch.tensor([10.0, 10.5, 11.0])
    assert METRICS["hr"](places, 10).tolist() == [1.0, 0.0, 0.0]
    assert METRICS["ndcg"](places, 10).tolist() == [1 / math.log2(11), 0.0, 0.0]
    assert METRICS["mrr"](places, 10).tolist() == [0.1, 0.0, 0.0]


def test_a_model_that_cannot_tell_items_apart_lands_in_the_middle():
    flat = torch.zeros(2, 102)
    assert ranks(flat, torch.tensor([1, 101])).tolist() == [51.0, 51.0]


def test_a_tie_counts_half():
    scores = torch.tensor([[0.0, 0.7, 0.7, 0.1]])
    assert ranks(scores, torch.tensor([1])).tolist() == [1.5]


@pytest.mark.parametrize("padding", [-math.inf, 0.4, 100.0, math.inf])
def test_the_padding_column_never_counts(padding):
    scores = SCORES.clone()
    scores[:, 0] = padding
    assert ranks(scores, TARGETS).tolist() == RANKS


@pytest.mark.parametrize("place", [(0, 1), (2, 3), (3, 0)])
def test_nan_anywhere_is_refused(place):
    scores = SCORES.clone()
    scores[place] = math.nan
    with pytest.raises(ValueError, match="scores hold NaN"):
        ranks(scores, TARGETS)


@pytest.mark.parametrize("target", [0, 6, -1])
def test_a_target_that_is_no_item_is_refused(target):
    with pytest.raises(ValueError, match="allowed are 1 to 5"):
        ranks(SCORES[:1], torch.tensor([target]))


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(B, V\) and \(B,\)"):
        ranks(SCORES, TARGETS[:2])


def test_random_ranks_equal_a_plain_count():
    scores = torch.randint(0, 20, (50, 40), generator=torch.Generator().manual_seed(0)).float()
    targets = torch.arange(50) % 39 + 1
    for row, target, rank in zip(
        scores.tolist(), targets.tolist(), ranks(scores, targets), strict=True
    ):
        others = [score for item, score in enumerate(row) if item not in (0, target)]
        higher = sum(score > row[target] for score in others)
        ties = sum(score == row[target] for score in others)
        assert rank == 1 + higher + ties / 2


def test_no_users_give_a_reason_instead_of_nan():
    metric = ranking_metrics(torch.empty(0))["ndcg@10"]
    assert (metric.value, metric.reason) == (None, "no users")
