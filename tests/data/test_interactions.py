"""Order, ids, splits and hash of the store, against cases worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from data.interactions import DataError, Interactions, from_log
from data.log import Log, encode_integers


def _store(
    users: list[int], items: list[int], times: list[int] | None = None, min_count: int = 1
) -> Interactions:
    log = Log(
        encode_integers(np.array(users), "users"),
        encode_integers(np.array(items), "items"),
        None if times is None else np.array(times),
    )
    return from_log(log, name="small", source="by hand", min_count=min_count)


def _histories(store: Interactions) -> list[list[int]]:
    """Original item ids of each user."""
    labels = store.item_labels[store.items]
    return [part.tolist() for part in np.split(labels, store.offsets[1:-1])]


def test_rows_are_ordered_by_user_and_time() -> None:
    store = _store([2, 1, 2, 1], [30, 20, 10, 40], [9, 8, 7, 6])
    assert _histories(store) == [[40, 20], [10, 30]]


def test_ties_keep_the_order_of_the_file() -> None:
    store = _store([1, 2, 1, 2, 1, 1], [50, 10, 40, 20, 30, 60], [5, 5, 5, 5, 5, 1])
    assert _histories(store) == [[60, 50, 40, 30], [10, 20]]
    assert "ties in file order" in store.rules


def test_without_times_the_order_of_the_file_holds() -> None:
    store = _store([2, 1, 2, 1], [30, 20, 10, 40])
    assert _histories(store) == [[20, 40], [30, 10]]
    assert "in file order" in store.rules


def test_repeated_rows_are_kept() -> None:
    assert _histories(_store([1, 1, 1, 2], [7, 7, 7, 7], [1, 1, 2, 0])) == [[7, 7, 7], [7]]


def test_item_ids_are_dense_in_the_order_of_the_original_ids() -> None:
    store = _store([1, 1, 1, 2], [900, 5, 70, 5])
    assert store.items.tolist() == [3, 1, 2, 1]
    assert store.item_labels.tolist() == [0, 5, 70, 900]
    assert (store.num_users, store.num_items, store.num_events) == (2, 3, 4)


def test_ids_stay_dense_after_the_core_dropped_items() -> None:
    # Items 20 and 40 occur once each.
    store = _store([1, 1, 1, 2, 2, 2], [10, 20, 30, 30, 40, 10], min_count=2)
    assert store.items.tolist() == [1, 2, 2, 1]
    assert store.item_labels.tolist() == [0, 10, 30]
    assert store.rules.startswith("2-core to its fixed point")


def test_the_last_two_events_are_held_out() -> None:
    store = _store([1] * 5 + [2] * 3, [1, 2, 3, 4, 5, 6, 7, 8])
    train, valid, test = (store.split(part) for part in ("train", "valid", "test"))
    assert [store.items[s:e].tolist() for s, e in zip(train.starts, train.ends, strict=True)] == [
        [1, 2, 3],
        [6],
    ]
    assert store.items[valid.ends].tolist() == [4, 7]
    assert store.items[test.ends].tolist() == [5, 8]
    assert (test.ends - valid.ends).tolist() == [1, 1]
    assert train.items is store.items


def test_users_with_fewer_than_three_events_are_in_no_part() -> None:
    store = _store([1, 1, 2, 2, 2, 3], [1, 2, 3, 4, 5, 6])
    assert store.num_users == 3
    for part in ("train", "valid", "test"):
        assert store.split(part).starts.tolist() == [2]  # type: ignore[arg-type]


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(DataError, match=r"part 'dev' is not one of train, valid, test"):
        _store([1, 2], [1, 2]).split("dev")  # type: ignore[arg-type]


def test_the_hash_tells_other_sequences_and_only_those() -> None:
    store = _store([1, 1, 2, 2], [1, 2, 3, 4])
    assert len(store.sequence_hash) == 16
    assert replace(store, name="copy", source="elsewhere").sequence_hash == store.sequence_hash
    assert _store([1, 1, 2, 2], [2, 1, 3, 4]).sequence_hash != store.sequence_hash
    assert _store([1, 2, 2, 2], [1, 2, 3, 4]).sequence_hash != store.sequence_hash


def test_the_hash_does_not_depend_on_how_numbers_are_stored() -> None:
    store = _store([1, 1, 2, 2], [1, 2, 3, 4])
    other = replace(store, items=store.items.astype(">i8"), offsets=store.offsets.astype(np.int32))
    assert other.sequence_hash == store.sequence_hash == "89b807b4c53d8afb"


def test_what_the_core_leaves_out_is_said() -> None:
    store = _store([1, 1, 2, 2, 3], [7, 7, 7, 7, 8], [1, 2, 3, 4, 5], min_count=2)
    assert store.counts == "2 of 3 users, 1 of 2 items, 4 of 5 events"
    assert store.describe()["events_in_log"] == 5
    assert _store([1, 1, 2], [7, 7, 8]).counts == "2 users, 2 items, 3 events"


def test_why_times_do_not_order_is_said() -> None:
    log = Log(*(encode_integers(np.array([1, 2]), "") for _ in range(2)), None, untimed=1)
    rules = from_log(log, name="a", source="b", min_count=1).rules
    assert rules.endswith("in file order, since 1 of 2 have no time")
    assert _store([1, 2], [1, 2]).rules.endswith("since no time column was named or known")


def test_the_description_is_plain_json() -> None:
    described = _store([1, 1, 1, 2], [1, 2, 3, 3]).describe()
    assert json.loads(json.dumps(described)) == described
    assert (described["mean_length"], described["max_length"]) == (2.0, 3)
    assert described["source"] == "by hand"


@pytest.mark.parametrize(
    ("users", "items", "min_count", "message"),
    [
        (
            [1, 1, 2, 2],
            [1, 1, 2, 3],
            2,
            r"small \(by hand\): 1 of 2 users and 2 of 4 rows are left",
        ),
        (
            [1, 2, 3],
            [1, 2, 3],
            5,
            r"small \(by hand\): 0 of 3 users and 0 of 3 rows are left at min_count=5",
        ),
        ([4, 4, 4], [1, 2, 3], 1, r"small \(by hand\): 1 of 1 users"),
    ],
)
def test_a_log_with_fewer_than_two_users_left_is_refused(
    users: list[int], items: list[int], min_count: int, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        _store(users, items, min_count=min_count)
