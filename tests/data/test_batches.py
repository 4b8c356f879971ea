"""Batches: what each objective asks for, padding, determinism, and how long a batch takes."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
import torch

from data import load
from data.batches import OBJECTIVES, Batch, Batches, Objective, eval_batches, train_batches
from data.interactions import DataError, Interactions


def _store(lengths: list[int], num_items: int = 10_000) -> Interactions:
    """Users whose items are all different, so that an item says which event it is."""
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    return Interactions(
        name="small",
        items=np.arange(1, offsets[-1] + 1, dtype=np.int32),
        offsets=offsets,
        num_items=num_items,
        source="by hand",
        rules="none",
        item_labels=np.arange(num_items + 1),
    )


def _rows(batches: Batches) -> list[tuple[list[int], list[int] | int, int]]:
    """(inputs without padding, targets without padding or the one target, user) of each sample."""
    rows: list[tuple[list[int], list[int] | int, int]] = []
    for batch in batches:
        for i, length in enumerate(batch.lengths.tolist()):
            target = batch.targets[i].tolist()
            kept = target if isinstance(target, int) else target[:length]
            rows.append((batch.item_seq[i, :length].tolist(), kept, int(batch.users[i])))
    return rows


def _same(left: Batches, right: Batches) -> bool:
    pairs = zip(left, right, strict=True)
    names = ("item_seq", "lengths", "targets", "users")
    return all(torch.equal(getattr(a, n), getattr(b, n)) for a, b in pairs for n in names)


def test_last_makes_each_prefix_a_sample() -> None:
    # Train parts: events 1 2 3 4 of the first user, 7 8 of the second; the third has one only.
    store = _store([6, 4, 3])
    batches = train_batches(store, objective="last", seq_len=3, batch_size=2)
    expected = [([1], 2, 0), ([1, 2], 3, 0), ([1, 2, 3], 4, 0), ([7], 8, 1)]
    assert sorted(_rows(batches)) == expected
    assert (batches.num_samples, batches.num_targets, batches.num_events) == (4, 4, 7)


def test_last_keeps_the_most_recent_events_of_a_long_prefix() -> None:
    batches = train_batches(_store([7]), objective="last", seq_len=2, batch_size=8)
    assert sorted(_rows(batches)) == [([1], 2, 0), ([1, 2], 3, 0), ([2, 3], 4, 0), ([3, 4], 5, 0)]
    assert batches.num_events == 1 + 2 + 2 + 2


def test_all_shifts_the_targets_by_one() -> None:
    batches = train_batches(_store([6, 4, 3]), objective="all", seq_len=5, batch_size=8)
    assert sorted(_rows(batches)) == [([1, 2, 3], [2, 3, 4], 0), ([7], [8], 1)]


@pytest.mark.parametrize("seq_len", [1, 2, 3, 7, 50])
def test_all_makes_every_event_with_a_predecessor_a_target_once(seq_len: int) -> None:
    store = _store([40, 3, 17, 2, 9, 4])
    batches = train_batches(store, objective="all", seq_len=seq_len, batch_size=4, epoch=3)
    train = store.split("train")
    bounds = zip(train.starts, train.ends, strict=True)
    expected = [int(item) for s, e in bounds for item in store.items[s + 1 : e]]
    targets = Counter(item for _, kept, _ in _rows(batches) for item in kept)  # type: ignore[union-attr]
    assert targets == Counter(expected)
    assert batches.num_targets == batches.num_events == len(expected)


@pytest.mark.parametrize("objective", ["all", "cloze"])
def test_long_histories_are_cut_elsewhere_in_another_epoch(objective: Objective) -> None:
    def cuts(epoch: int) -> set[int]:
        epoch_of = train_batches(
            _store([100]), objective=objective, seq_len=10, batch_size=64, epoch=epoch
        )
        return {len(inputs) for inputs, _, _ in _rows(epoch_of)}

    assert len({frozenset(cuts(epoch)) for epoch in range(8)}) > 2


@pytest.mark.parametrize("objective", ["all", "cloze"])
def test_a_history_that_fits_is_never_cut(objective: Objective) -> None:
    for epoch in range(5):
        batches = train_batches(
            _store([12]), objective=objective, seq_len=10, batch_size=4, epoch=epoch
        )
        assert batches.num_samples == 1


def test_windows_cover_a_history_without_gap_or_overlap() -> None:
    for epoch in range(10):
        batches = train_batches(
            _store([55]), objective="all", seq_len=8, batch_size=64, epoch=epoch
        )
        inputs = sorted(inputs for inputs, _, _ in _rows(batches))
        assert [item for window in inputs for item in window] == list(range(1, 53))
        assert all(len(window) == 8 for window in inputs[1:-1])


def test_cloze_masks_inputs_and_asks_for_what_they_were() -> None:
    store = _store([30, 12, 3, 25], num_items=70)
    batches = train_batches(store, objective="cloze", seq_len=6, batch_size=5)
    events: list[int] = []
    for inputs, targets, _ in _rows(batches):
        assert isinstance(targets, list)
        masked = [item == 71 for item in inputs]
        assert any(masked)
        assert [target != 0 for target in targets] == masked
        events += [t if m else i for i, t, m in zip(inputs, targets, masked, strict=True)]
    train = store.split("train")
    bounds = zip(train.starts, train.ends, strict=True)
    assert sorted(events) == [int(item) for s, e in bounds for item in store.items[s:e]]
    assert batches.num_events == len(events)


def test_cloze_masks_the_share_asked_for_and_some_rows_at_the_last_place_only() -> None:
    store = _store([102] * 400, num_items=50_000)
    batches = train_batches(store, objective="cloze", seq_len=100, batch_size=64, mask_ratio=0.3)
    counts = np.array([sum(t != 0 for t in targets) for _, targets, _ in _rows(batches)])  # type: ignore[union-attr]
    last = [targets[-1] != 0 for _, targets, _ in _rows(batches)]  # type: ignore[index]
    only_last = counts == 1
    assert 0.05 < only_last.mean() < 0.16
    assert np.array(last)[only_last].all()
    assert abs(counts[~only_last].mean() / 100 - 0.3) < 0.02


def test_the_counts_agree_with_what_the_batches_hold() -> None:
    store = load("synthetic_u50_i100_n30")
    for objective in OBJECTIVES:
        batches = train_batches(store, objective=objective, seq_len=13, batch_size=17)
        made = list(batches)
        assert len(made) == len(batches)
        assert sum(len(batch.users) for batch in made) == batches.num_samples
        assert sum(int(batch.lengths.sum()) for batch in made) == batches.num_events
        assert sum(int((batch.targets != 0).sum()) for batch in made) == batches.num_targets
        assert [len(batch.users) for batch in made[:-1]] == [17] * (len(made) - 1)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_padding_is_zero_and_on_the_right(objective: Objective) -> None:
    for batch in train_batches(_store([20, 5, 9]), objective=objective, seq_len=7, batch_size=4):
        real = torch.arange(7) < batch.lengths[:, None]
        assert bool((batch.lengths >= 1).all())
        assert bool((batch.item_seq[real] > 0).all())
        assert bool((batch.item_seq[~real] == 0).all())
        if batch.targets.dim() == 2:
            assert bool((batch.targets[~real] == 0).all())


def test_evaluation_shows_the_end_of_the_history_and_holds_out_the_next_item() -> None:
    store = _store([6, 2, 3])
    valid = eval_batches(store, part="valid", seq_len=3, batch_size=2)
    test = eval_batches(store, part="test", seq_len=3, batch_size=2)
    assert _rows(valid) == [([2, 3, 4], 5, 0), ([9], 10, 1)]
    assert _rows(test) == [([3, 4, 5], 6, 0), ([9, 10], 11, 1)]
    assert (test.num_samples, test.num_targets, test.num_events) == (2, 2, 5)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_held_out_items_are_never_trained_on(objective: Objective) -> None:
    store = _store([20, 5, 9])
    held_out = set(store.items[store.split("valid").ends]) | set(
        store.items[store.split("test").ends]
    )
    for batch in train_batches(store, objective=objective, seq_len=4, batch_size=8):
        seen = set(batch.item_seq.flatten().tolist()) | set(batch.targets.flatten().tolist())
        assert not seen & held_out


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_epoch_is_the_same_each_time_and_differs_from_others(objective: Objective) -> None:
    store = load("synthetic_u40_i100_n30")

    def epoch(seed: int, number: int) -> Batches:
        return train_batches(
            store, objective=objective, seq_len=10, batch_size=16, seed=seed, epoch=number
        )

    once = epoch(1, 0)
    assert _same(once, once)
    assert _same(once, epoch(1, 0))
    firsts = [
        next(iter(epoch(seed, number))).item_seq
        for seed, number in ((1, 0), (1, 1), (2, 0), (0, 1))
    ]
    assert all(not torch.equal(firsts[0], other) for other in firsts[1:])


def test_a_batch_moves_whole_and_is_int64() -> None:
    batch = next(iter(train_batches(_store([9]), objective="last", seq_len=4, batch_size=3)))
    moved = batch.to("meta")
    for name in ("item_seq", "lengths", "targets", "users"):
        assert getattr(batch, name).dtype == torch.int64
        assert getattr(moved, name).device.type == "meta"
    assert isinstance(moved, Batch)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": "next"}, "objective 'next' is not one of last, all, cloze"),
        ({"seq_len": 0}, "seq_len 0 is not 1 or more"),
        ({"batch_size": -1}, "batch_size -1 is not 1 or more"),
        ({"mask_ratio": 0.0}, "mask_ratio 0.0 is not above 0"),
    ],
)
def test_values_that_make_no_sense_are_refused(change: dict[str, object], message: str) -> None:
    options: dict[str, object] = {"objective": "cloze", "seq_len": 4, "batch_size": 2} | change
    with pytest.raises(DataError, match=message):
        train_batches(_store([9]), **options)  # type: ignore[arg-type]


def test_histories_too_short_to_train_on_are_refused() -> None:
    with pytest.raises(DataError, match="no history is long enough"):
        train_batches(_store([3, 3, 2]), objective="last", seq_len=4, batch_size=2)
    with pytest.raises(DataError, match="no user has the 3 events"):
        eval_batches(_store([2, 1]), part="test", seq_len=4, batch_size=2)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_batch_is_built_in_about_a_millisecond(objective: Objective) -> None:
    store = load("synthetic_u600_i1000_n250")
    batches = train_batches(store, objective=objective, seq_len=200, batch_size=256)
    seconds = []
    for _ in range(10):
        began = time.perf_counter()
        next(iter(batches))
        seconds.append(time.perf_counter() - began)
    # 0.2 to 0.5 ms on one core of a Zen 4; the bound leaves room for a slow, shared machine.
    assert min(seconds) < 0.005
