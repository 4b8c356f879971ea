"""Logs as others write them: the same log comes of each, whatever its dates, marks and names."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data import is_path, load
from data.log import Columns, DataError
from data.readers import read

HEADER = ("user", "item", "timestamp")
ROWS = [("Zoë M.", "a b", 30), ("Zoë M.", "é", 10), ("ann", "a b", 20), ("ann", "c", 40)]
NANOSECONDS = [1_700_000_000_000_000_000 + second for _, _, second in ROWS]


def _csv(mark: str, times: list[str]) -> str:
    rows = [HEADER, *((user, item, t) for (user, item, _), t in zip(ROWS, times, strict=True))]
    return "".join(mark.join(row) + "\n" for row in rows)


def _histories(path: Path, columns: Columns | None = None) -> list[list[str]]:
    store = load(str(path), min_count=1, columns=columns)
    labels = store.item_labels[store.items]
    return [part.tolist() for part in np.split(labels, store.offsets[1:-1])]


def _iso(zone: str = "", fraction: str = "") -> list[str]:
    return [f"2024-01-31T10:00:{second}{fraction}{zone}" for _, _, second in ROWS]


@pytest.mark.parametrize("mark", [",", ";", "|", "\t"])
@pytest.mark.parametrize("times", [_iso(), _iso("Z"), _iso("+02:00", ".123")], ids=str)
@pytest.mark.parametrize("name", ["log.csv", "LOG.CSV"])
def test_dates_marks_and_large_letters(
    tmp_path: Path, mark: str, times: list[str], name: str
) -> None:
    path = tmp_path / name
    path.write_text(_csv(mark, times), "utf-8-sig")
    assert _histories(path) == [["é", "a b"], ["a b", "c"]]


@pytest.mark.parametrize(
    "times",
    [
        pa.array(NANOSECONDS, pa.timestamp("ns", "Europe/Berlin")),
        pa.array([ns * 1000 for ns in range(4)][::-1], pa.timestamp("us")),
        pa.array([datetime(2024, 1, day, tzinfo=UTC).date() for day in (3, 1, 2, 4)]),
        pa.array(_iso()),
        pa.array(_iso("Z")),
        pa.array(_iso("+02:00", ".123456789"), pa.large_string()),
    ],
    ids=lambda times: f"{times.type}-{times[0]}",
)
def test_times_of_any_type_order_a_parquet_file(tmp_path: Path, times: pa.Array) -> None:
    path = tmp_path / "log.parquet"
    users, items, _ = zip(*ROWS, strict=True)
    pq.write_table(pa.table([users, items, times], HEADER), path)
    assert _histories(path)[0] == ["é", "a b"]


def test_a_line_break_within_quotes_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    rows = [f'{k % 9},"chair, 2""\nblue {k % 7}"' for k in range(300_000)]
    path.write_text("user,item\n" + "\n".join(rows) + "\n")
    log = read(path)
    assert len(log.users.codes) == 300_000
    assert log.items.labels[0] == 'chair, 2"\nblue 0'


def test_a_file_of_an_unknown_ending_is_refused_by_the_loader_too(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("user,item\n1,2\n")
    with pytest.raises(DataError, match=r"log.txt: unknown ending; known are .parquet"):
        load(str(path))
    with pytest.raises(DataError, match="is a folder; a data set is one file"):
        load(str(tmp_path))
    assert is_path("LOG.CSV.GZ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user=a,item=a", "column 'a' can't be both user and item"),
        ("user=a,user=b", "'user' is given twice"),
    ],
)
def test_columns_that_contradict_each_other_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "log.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=message):
        read(path, Columns.parse(text))
