"""The generated data: its sizes, and that it has a structure which a sequence model can learn."""

from __future__ import annotations

import time

import numpy as np
import pytest

from data import load
from data.interactions import DataError, Interactions


def _ndcg_at_10(scores: np.ndarray, targets: np.ndarray) -> float:
    """scores: (users, num_items + 1); targets: (users,)."""
    target_scores = scores[np.arange(len(targets)), targets]
    ranks = 1 + (scores > target_scores[:, None]).sum(axis=1)
    return float(np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0).mean())


def _popularity_and_markov(store: Interactions) -> tuple[float, float]:
    """Test NDCG@10 of counting items, and of counting the successors of the last item."""
    train, test = store.split("train"), store.split("test")
    events = np.concatenate(
        [store.items[s:e] for s, e in zip(train.starts, train.ends, strict=True)]
    )
    popularity = np.bincount(events, minlength=store.num_items + 1).astype(float)
    transitions = np.zeros((store.num_items + 1, store.num_items + 1))
    for s, e in zip(train.starts, train.ends, strict=True):
        np.add.at(transitions, (store.items[s : e - 1], store.items[s + 1 : e]), 1)
    last, targets = store.items[test.ends - 1], store.items[test.ends]
    markov = transitions[last] + popularity / popularity.sum()  # popularity breaks ties
    tiled = np.tile(popularity, (len(targets), 1))
    return _ndcg_at_10(tiled, targets), _ndcg_at_10(markov, targets)


def test_the_last_item_says_several_times_more_than_popularity() -> None:
    popularity, markov = _popularity_and_markov(load("synthetic"))
    assert markov > 4 * popularity
    assert popularity > 0.01


def test_a_few_items_take_much_of_the_traffic() -> None:
    counts = np.sort(np.bincount(load("synthetic").items, minlength=1001)[1:])[::-1]
    assert counts[:100].sum() > 0.25 * counts.sum()
    assert counts[500:].sum() < 0.35 * counts.sum()


def test_users_differ_in_what_they_prefer() -> None:
    store = load("synthetic_u200_i1000_x200")
    histories = store.items.reshape(200, 200)
    halves = [
        np.stack([np.bincount(half, minlength=1001) for half in part]).astype(float)
        for part in (histories[:, :100], histories[:, 100:])
    ]
    first, second = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in halves)
    likeness = first @ second.T
    own, others = np.diag(likeness).mean(), likeness[~np.eye(200, dtype=bool)].mean()
    assert own > 1.5 * others


def test_the_name_gives_the_sizes_in_any_order() -> None:
    store = load("synthetic_n30_i77_u41")
    assert (store.num_users, store.num_items) == (41, 77)
    assert store.items.min() >= 1
    assert store.items.max() <= 77
    lengths = np.diff(store.offsets)
    assert lengths.min() >= 5
    assert abs(lengths.mean() - 30) < 3
    assert lengths.std() > 5


def test_a_size_left_out_has_its_default() -> None:
    assert load("synthetic_u30").num_items == load("synthetic").num_items == 1000


def test_every_user_can_have_exactly_as_many_events() -> None:
    assert set(np.diff(load("synthetic_u7_x123").offsets)) == {123}


def test_very_long_histories_can_be_made() -> None:
    store = load("synthetic_u64_i5000_n20000")
    assert (store.num_users, store.num_items) == (64, 5000)
    assert store.num_events / 64 > 19_000
    assert np.diff(store.offsets).max() > 16_384


def test_the_seed_alone_decides_the_log() -> None:
    assert load("synthetic_u50").sequence_hash == load("synthetic_u50").sequence_hash
    assert load("synthetic_u50").sequence_hash != load("synthetic_u50_s1").sequence_hash
    assert load("synthetic_u50_s1").source == "generated, seed 1"


def test_a_million_events_take_little_time() -> None:
    began = time.perf_counter()
    store = load("synthetic_u10000_n100")
    # 0.07 s on one core of a Zen 4: twenty million stay well below a minute even ten times slower.
    assert time.perf_counter() - began < 2.0
    assert store.num_events > 900_000


@pytest.mark.parametrize(
    "name",
    [
        "synthetic_u1",
        "synthetic_q5",
        "synthetic_u5_u6",
        "synthetic_",
        "synthetic_u-3",
        "synthetic_n9_x9",
    ],
)
def test_a_size_that_makes_no_sense_is_refused(name: str) -> None:
    with pytest.raises(
        DataError, match=rf"data set '{name}': .* does not fit synthetic\[_u<users>\]"
    ):
        load(name)
