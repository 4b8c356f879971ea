"""The estimate is what a cell took before, or a figure that grows with its work."""

from __future__ import annotations

import dataclasses

import pytest

from bench.cell import Cell
from bench.estimate import in_words, seconds_of, total_seconds

CELL = Cell("sasrec", "train_epoch", "ml_1m", "all", 50, 128, rounds=3, round_seconds=2.0)


def test_a_cell_is_expected_to_take_what_it_took() -> None:
    assert seconds_of(CELL, {CELL.key: 12.5}) == 12.5
    assert total_seconds([CELL, CELL], {CELL.key: 12.5}) == 25.0


def test_more_work_is_expected_to_take_longer() -> None:
    longer = dataclasses.replace(CELL, rounds=9)
    whole = dataclasses.replace(CELL, round_seconds=None)
    assert seconds_of(CELL, {}) < seconds_of(longer, {}) < seconds_of(whole, {})


def test_requests_are_expected_to_take_their_number_or_their_time() -> None:
    served = dataclasses.replace(CELL, workload="recommend", requests=1000, round_seconds=None)
    longer = dataclasses.replace(served, round_seconds=7.0)
    assert seconds_of(longer, {}) - seconds_of(served, {}) == pytest.approx(5.0)
    briefer = dataclasses.replace(served, round_seconds=0.5)
    assert seconds_of(briefer, {}) == seconds_of(served, {})


def test_fits_are_expected_to_wait_out_their_patience_within_their_limit() -> None:
    fit = dataclasses.replace(CELL, workload="fit", rounds=1, max_epochs=1000, patience=20)
    patient = dataclasses.replace(fit, patience=100)
    assert seconds_of(patient, {}) - seconds_of(fit, {}) == pytest.approx(80 * 1.4)
    assert seconds_of(dataclasses.replace(patient, max_epochs=150), {}) == seconds_of(fit, {})


@pytest.mark.parametrize(
    ("seconds", "words"), [(41.3, "41 s"), (210.0, "3.5 min"), (7560.0, "2.1 h")]
)
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
