"""Who is on the front is certain where it is certain, and as likely as said where it is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from report.pareto import dominances, front_probabilities

HIGHEST = ["ndcg@10"]


def test_names_that_nobody_beats_in_everything_are_on_the_front() -> None:
    points = {
        "accurate": {"ndcg@10": [0.15], "latency_p50": [9e-3]},
        "fast": {"ndcg@10": [0.10], "latency_p50": [1e-3]},
        "between": {"ndcg@10": [0.12], "latency_p50": [4e-3]},
        "beaten": {"ndcg@10": [0.11], "latency_p50": [5e-3]},
    }
    found = front_probabilities(points, highest=HIGHEST)
    assert found == {"accurate": 1.0, "fast": 1.0, "between": 1.0, "beaten": 0.0}
    who = dominances(points, highest=HIGHEST)
    assert list(who) == ["beaten"]
    assert (who["beaten"].by, who["beaten"].probability) == ("between", 1.0)
    assert who["beaten"].margins == pytest.approx({"ndcg@10": 1 / 11, "latency_p50": 0.2})


def test_equal_names_are_both_on_the_front() -> None:
    points = {name: {"seconds": [1.0], "bytes": [2.0]} for name in "AB"}
    assert front_probabilities(points, highest=()) == {"A": 1.0, "B": 1.0}
    assert dominances(points, highest=()) == {}


def test_one_equal_metric_does_not_save_a_name() -> None:
    points = {
        "A": {"seconds": [1.0], "bytes": [2.0]},
        "B": {"seconds": [1.5], "bytes": [2.0]},
    }
    assert front_probabilities(points, highest=()) == {"A": 1.0, "B": 0.0}


def test_the_probability_is_that_of_students_t() -> None:
    # B is beaten where its one uncertain metric, 1.0 +- t(3) * sd / 2, is not above A's.
    samples = [0.9, 1.0, 1.1, 1.2]
    points = {
        "A": {"ndcg": [1.0], "seconds": [1.0]},
        "B": {"ndcg": samples, "seconds": [2.0]},
    }
    error = np.std(samples, ddof=1) / 2
    expected = stats.t.sf((1.0 - np.mean(samples)) / error, 3)
    found = front_probabilities(points, highest=["ndcg"], draws=40_000)
    assert found["A"] == 1.0
    assert found["B"] == pytest.approx(expected, abs=4 * 0.0025)


def test_a_seed_gives_the_same_probabilities() -> None:
    points = {name: {"x": [1.0, 1.2, 0.9], "y": [1.0, 1.1, 0.8]} for name in "AB"}
    first = front_probabilities(points, highest=(), seed=1)
    assert first == front_probabilities(points, highest=(), seed=1)
    assert first != front_probabilities(points, highest=(), seed=2)


@pytest.mark.parametrize(
    "metrics", [{"x": [1.0]}, {"x": [1.0], "y": []}, {"x": [1.0], "y": [np.nan]}]
)
def test_a_name_without_a_number_is_refused_by_name(metrics: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match=r"^B: "):
        front_probabilities({"A": {"x": [1.0], "y": [1.0]}, "B": metrics}, highest=())


def test_probabilities_are_kept_what_is_given_70_in_100_happens_70_times_in_100() -> None:
    # Three names, three metrics, truths drawn at random, three samples each as with three seeds.
    random = np.random.default_rng(4)
    said, true = [], []
    for trial in range(700):
        means = random.normal(size=(3, 3))
        on = [
            not any((means[other] <= means[at]).all() for other in range(3) if other != at)
            for at in range(3)
        ]
        points = {
            str(at): {str(m): random.normal(means[at, m], 0.5, 3).tolist() for m in range(3)}
            for at in range(3)
        }
        found = front_probabilities(points, highest=(), draws=200, seed=trial)
        said += list(found.values())
        true += on
    said_at, true_at = np.array(said), np.array(true)
    for low, high in ((0.0, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.01)):
        chosen = (said_at >= low) & (said_at < high)
        error = 0.5 / np.sqrt(chosen.sum())
        assert abs(true_at[chosen].mean() - said_at[chosen].mean()) < 0.05 + 2 * error, (low, high)
