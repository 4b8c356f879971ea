"""What was measured under unlike conditions is not one series, though the cell's id is the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from measure.record import Metric
from report.change_points import change_points
from report.history import append, read
from report.margins import Margins


def test_six_epochs_and_two_hundred_are_two_series(made: Any, tmp_path: Path) -> None:
    """`quick` and `accuracy` fit under the same id."""
    for at in range(12):
        thorough = at >= 6
        score = Metric(0.10 if thorough else 0.06, "1", "higher", "accuracy", "full ranking", n=943)
        fit = made.fit("sasrec", 50, 0, metrics={"ndcg@10": score})
        budget = {"max_epochs": 200, "patience": 20} if thorough else {"max_epochs": 6}
        fit = replace(fit, key=f"key{at}", started=f"2026-01-{at:02}", config=fit.config | budget)
        run = made.write_json(tmp_path / "run.json", [fit], commit=f"{at:010}")
        assert append(run, tmp_path / "history", Margins()) == 1
    found, _ = read(tmp_path / "history")
    assert [len(series.points) for series in found] == [6, 6]
    assert {series.cell_id for series in found} == {"sasrec-fit-L50-s0"}
    assert {series.under for series in found} == {
        "max_epochs 200, patience 20",
        "max_epochs 6, patience none",
    }
    assert [change_points(series, Margins()) for series in found] == [[], []]
    joined = replace(found[0], points=found[1].points + found[0].points)
    assert change_points(joined, Margins()), "which as one would be a change"


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"sequence_hash": "other"}},
        {"resolved": {"allocator": "jemalloc"}},
        {"settings": {"min_count": 3}},
        {"settings": {"options": {"hidden_size": 128}}},
    ],
    ids=["data", "allocator", "min_count", "options"],
)
def test_other_conditions_are_another_series(
    made: Any, tmp_path: Path, change: dict[str, Any]
) -> None:
    one = made.train("sasrec", 50, started="2026-01-01")
    settings = change.pop("settings", {})
    other = replace(one, started="2026-01-02", config=one.config | settings, **change)
    for record, commit in ((one, "a" * 10), (other, "b" * 10)):
        run = made.write_json(tmp_path / "run.json", [record], commit=commit)
        append(run, tmp_path / "history", Margins())
    found = [series for series in read(tmp_path / "history")[0] if series.metric == "epoch_time"]
    assert [len(series.points) for series in found] == [1, 1]
    assert len({series.title for series in found}) == 2


def test_more_rounds_and_settings_of_later_that_are_off_go_on(made: Any, tmp_path: Path) -> None:
    one = made.train("sasrec", 50, started="2026-01-01")
    later = {"rounds": 9, "compile": "none", "rate": None}
    other = replace(one, started="2026-01-02", key="another", config=one.config | later)
    for record, commit in ((one, "a" * 10), (other, "b" * 10)):
        run = made.write_json(tmp_path / "run.json", [record], commit=commit)
        append(run, tmp_path / "history", Margins())
    (found,) = [s for s in read(tmp_path / "history")[0] if s.metric == "epoch_time"]
    assert (len(found.points), found.under) == (2, "")
