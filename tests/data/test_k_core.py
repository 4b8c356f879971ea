"""The k-core on logs small enough to filter by hand."""

from __future__ import annotations

import numpy as np
import pytest

from data.k_core import k_core


def _codes(text: str) -> np.ndarray:
    return np.array([int(digit) for digit in text.split()], dtype=np.int32)


def test_it_repeats_until_nothing_more_falls_out() -> None:
    # k = 2. Item 2 occurs once; without it user 1 has one row; without that item 1 has one row;
    # without that user 2 has one row. One pass would have kept rows 2, 3 and 4.
    users = _codes("0 0 1 1 2 2 0 3 3")
    items = _codes("0 3 2 1 1 4 4 0 3")
    assert k_core(users, items, 2).tolist() == [0, 1, 7, 8]


def test_a_log_that_is_a_core_already_keeps_each_row() -> None:
    users, items = _codes("0 1 0 1"), _codes("0 0 1 1")
    assert k_core(users, items, 2).tolist() == [0, 1, 2, 3]


def test_nothing_is_left_of_a_log_without_a_core() -> None:
    assert k_core(_codes("0 1 2"), _codes("0 1 2"), 2).size == 0


def test_repeats_of_an_item_count_as_rows() -> None:
    assert k_core(_codes("0 0 0 1 1"), _codes("5 5 5 6 6"), 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("min_count", [0, 1])
def test_a_count_below_two_filters_nothing(min_count: int) -> None:
    assert k_core(_codes("0 1 2"), _codes("4 1 3"), min_count).tolist() == [0, 1, 2]


def test_the_result_is_the_fixed_point_on_random_logs() -> None:
    rng = np.random.default_rng(0)
    users = rng.integers(0, 60, 400).astype(np.int32)
    items = (rng.zipf(1.6, 400) % 80).astype(np.int32)
    rows = k_core(users, items, 5)
    assert 0 < len(rows) < 400
    for codes in (users[rows], items[rows]):
        counts = np.bincount(codes)
        assert counts[counts > 0].min() >= 5
    assert k_core(users[rows], items[rows], 5).tolist() == list(range(len(rows)))
