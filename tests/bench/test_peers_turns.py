"""The arithmetic of a comparison against known answers."""

from __future__ import annotations

import pytest

from bench.peers.batch_size import nearly_the_fastest, rank_batches, smallest_of_the_fastest
from bench.peers.contest import check_learning
from bench.peers.turns import Side, in_turn, order, ratio


def test_pairs_follow_the_thue_morse_order() -> None:
    firsts = "".join("AB" if first == "ours" else "BA" for first, _ in order(8))
    assert firsts == "ABBABAABBAABABBA"


def test_what_is_measured_in_turn_is_kept_pair_by_pair() -> None:
    asked: list[Side] = []

    def measure(side: Side) -> int:
        asked.append(side)
        return len(asked)

    ours, peer = in_turn(4, measure)
    assert asked == ["ours", "peer", "peer", "ours", "peer", "ours", "ours", "peer"]
    assert (ours, peer) == ([1, 4, 6, 7], [2, 3, 5, 8])


def test_a_steady_drift_of_the_machine_leaves_the_ratio_at_one() -> None:
    clock = iter(range(1000, 1100))
    ours, peer = in_turn(8, lambda side: float(next(clock)))
    assert ratio(ours, peer, better="higher").median == pytest.approx(1.0, abs=1e-6)


def test_a_ratio_is_the_median_of_pairs_and_above_one_where_ours_is_better() -> None:
    faster = ratio([10.0, 30.0, 20.0], [5.0, 10.0, 5.0], better="higher")
    assert (faster.median, faster.lowest, faster.highest, faster.pairs) == (3.0, 2.0, 4.0, 3)
    sooner = ratio([1.0, 2.0], [4.0, 4.0], better="lower")
    assert (sooner.median, sooner.lowest, sooner.highest) == (3.0, 2.0, 4.0)


@pytest.mark.parametrize(("ours", "peer"), [([1.0], []), ([], []), ([0.0], [1.0])])
def test_figures_without_a_ratio_are_refused(ours: list[float], peer: list[float]) -> None:
    with pytest.raises(ValueError, match=r"pairs are needed|not above 0"):
        ratio(ours, peer, better="lower")


def test_losses_must_be_finite_and_clearly_fall() -> None:
    assert check_learning([7.2, 7.2, 7.0, 6.9, 6.8, 6.7])["ok"]
    assert not check_learning([7.2, 7.1, 7.2, 7.1, 7.3, 7.2])["ok"]
    assert not check_learning([7.22, 7.20, 7.2, 7.2, 7.17, 7.19])["ok"], "noise is no learning"
    assert not check_learning([7.2, None, 7.0, 6.9, 6.8, 6.7])["ok"]


def test_of_batch_sizes_as_fast_as_each_other_the_smallest_is_liked() -> None:
    assert smallest_of_the_fastest({32: 90.0, 256: 98.0, 2048: 100.0}) == 256
    assert smallest_of_the_fastest({32: 90.0, 256: 96.0, 2048: 100.0}) == 2048


def test_sizes_far_from_the_fastest_are_not_visited_again() -> None:
    assert nearly_the_fastest({32: 84.0, 256: 100.0, 2048: 86.0}) == [256, 2048]
    assert nearly_the_fastest({32: 100.0}) == [32]


def test_a_side_that_is_bounded_in_training_is_bounded_in_ranking() -> None:
    assert rank_batches(50, 12_800) == [64, 256, 1024]
    assert rank_batches(200, 12_800) == [64, 256]
    assert rank_batches(4096, 12_800) == [64]
