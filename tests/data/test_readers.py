"""Every format, from small files written here, and every way in which a file can be unusable."""

from __future__ import annotations

import gzip
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.log import Columns, DataError, Log
from data.readers import EXTENSIONS, read

USERS = ["2", "2", "1", "1"]
ITEMS = ["30", "10", "20", "30"]
TIMES = [7, 8, 9, 5]


def _values(log: Log) -> tuple[list[object], list[object], list[object] | None]:
    times = None if log.timestamps is None else log.timestamps.tolist()
    users, items = log.users, log.items
    return users.labels[users.codes].tolist(), items.labels[items.codes].tolist(), times


def _lines(separator: str, header: str = "", rating: bool = True) -> str:
    rows = [
        separator.join([u, i, *(["4.0"] if rating else []), str(t)])
        for u, i, t in zip(USERS, ITEMS, TIMES, strict=True)
    ]
    return "\n".join(([header] if header else []) + rows) + "\n"


def _parquet(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


TEXTS = {
    "log.csv": _lines(",", "user,item,rating,timestamp"),
    "spaced.csv": _lines(";", "userId;movieId;rating;time"),
    "log.tsv": _lines("\t", "user_id\titem_id\trating\ttimestamp"),
    "atomic.inter": _lines("\t", "user_id:token\titem_id:token\trating:float\ttimestamp:float"),
    "ratings_Beauty.csv": _lines(","),
    "u.data": _lines("\t"),
    "ratings.dat": _lines("::"),
    "reviews_5.json": "\n".join(
        json.dumps({"reviewerID": u, "asin": i, "reviewText": 'a, "b"', "unixReviewTime": t})
        for u, i, t in zip(USERS, ITEMS, TIMES, strict=True)
    ),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_every_text_format_gives_the_same_log(tmp_path: Path, name: str, packed: bool) -> None:
    path = tmp_path / (name + ".gz" if packed else name)
    content = TEXTS[name].encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    assert _values(read(path)) == ([2, 2, 1, 1], [30, 10, 20, 30], TIMES)


def test_parquet_gives_the_same_log_as_text(tmp_path: Path) -> None:
    path = _parquet(
        tmp_path / "log.parquet",
        timestamp=TIMES,
        item=pa.array([int(item) for item in ITEMS], pa.int32()),
        user=[int(user) for user in USERS],
    )
    assert _values(read(path)) == ([2, 2, 1, 1], [30, 10, 20, 30], TIMES)


def test_a_member_of_an_archive_is_read_without_unpacking(tmp_path: Path) -> None:
    path = tmp_path / "ml.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ml/README", "about")
        archive.writestr("../outside/ratings.dat", TEXTS["ratings.dat"])
    assert _values(read(path, member="ratings.dat"))[1] == [30, 10, 20, 30]
    assert list(tmp_path.iterdir()) == [path]
    assert not (tmp_path.parent / "outside").exists()


def test_text_ids_are_coded_in_sorted_order(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item\nzoe,B002\nann,007\nann,A10\n")
    log = read(path)
    assert log.users.labels.tolist() == ["ann", "zoe"]
    assert log.items.labels.tolist() == ["007", "A10", "B002"]
    assert log.items.codes.tolist() == [2, 0, 1]
    assert log.timestamps is None


def test_ids_with_leading_zeros_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item\n1,07\n2,7\n")
    assert _values(read(path))[1] == ["07", "7"]


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("when,sku,user,visitor\n3,10,0,1\n2,20,0,1\n")
    columns = Columns.parse("user=visitor,item=sku,timestamp=when")
    assert _values(read(path, columns)) == ([1, 1], [10, 20], [3, 2])


def test_a_wrong_column_option_names_the_allowed_keys() -> None:
    with pytest.raises(DataError, match="'rating' is not one of user, item, timestamp"):
        Columns.parse("user=a,rating=b")


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_times_that_are_not_complete_are_not_used(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("csv"):
        path.write_text("user,item,timestamp\n1,1,5\n1,2,\n2,3,4\n")
    else:
        _parquet(path, user=[1, 1, 2], item=[1, 2, 3], timestamp=[5, None, 4])
    assert (read(path).timestamps, read(path).untimed) == (None, 1)


@pytest.mark.parametrize(
    ("late", "early", "apart"),
    [
        ("2020-01-02 00:00:00", "2020-01-01 00:00:00", 24 * 3600),  # as written, to the second
        ("2020-01-02 00:00:00.000000002", "2020-01-02 00:00:00.000000001", 1),
    ],
)
def test_dates_are_times(tmp_path: Path, late: str, early: str, apart: int) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"user,item,timestamp\n1,1,{late}\n1,2,{early}\n")
    times = read(path).timestamps
    assert times is not None
    assert times[0] - times[1] == apart


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([2, 1], pa.timestamp("ns")),
        ([2, 1], pa.timestamp("ns", tz="Europe/Berlin")),
        ([10**15, 1], pa.timestamp("s")),
        ([2, 1], pa.date32()),
        ([2 * 86_400_000, 86_400_000], pa.date64()),
        ([2, 1], pa.duration("ns")),
    ],
    ids=str,
)
def test_times_of_any_unit_keep_their_order(
    tmp_path: Path, values: list[int], kind: pa.DataType
) -> None:
    path = tmp_path / "log.parquet"
    _parquet(path, user=[1, 1], item=[1, 2], timestamp=pa.array(values, kind))
    times = read(path).timestamps
    assert times is not None
    assert times[0] > times[1]


def test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_the_data(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(b"\xef\xbb\xbfuser,item\r\n1,5\r\n2,6\r\n")
    assert _values(read(path))[:2] == ([1, 2], [5, 6])


def test_whole_numbers_stored_as_floats_are_ids(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "log.parquet", user=[1.0, 2.0], item=[3, 4])
    assert _values(read(path))[0] == [1, 2]


def test_sparse_large_ids_need_no_table_of_their_range(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "log.parquet", user=[1, 2], item=[10**15, 7])
    assert read(path).items.codes.tolist() == [1, 0]


def _text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _table(**columns: object) -> Callable[[Path], object]:
    return lambda path: _parquet(path, **columns)


def _archive(name: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, "1\t2\t3\t4\n")

    return write


BAD = [
    (
        "no_item.csv",
        _text("user,thing\n1,2\n"),
        r"no item column \(item, .*; its columns are user, thing \(--columns item=NAME says",
    ),
    ("no_user.parquet", _table(a=[1], item=[2]), r"no user column .*; its columns are a, item"),
    ("empty.csv", _text(""), "the file is empty"),
    ("blank.csv", _text("\n\n"), "the file is empty"),
    ("empty.parquet", _text(""), "the file is empty"),
    ("header_only.csv", _text("user,item\n"), "it has columns, but no rows"),
    (
        "rowless.parquet",
        _table(user=pa.array([], pa.int32()), item=pa.array([], pa.int32())),
        "no rows",
    ),
    ("broken.parquet", _text("PAR1 and then nothing of the kind"), "broken Parquet file"),
    ("broken.zip", _text("no archive"), "broken zip archive"),
    ("broken.csv.gz", _text("no gzip"), "broken gzip file"),
    ("broken.json", _text('{"user": 1, "item": 2}\n{"user": 1, "it'), "broken JSON lines"),
    ("list.json", _text("[1, 2]\n"), "no JSON object"),
    ("bytes.json", _bytes(b'{"user": "a\xad", "item": "b"}\n'), "broken JSON lines|no UTF-8 text"),
    ("lines.csv", _text("a\x1d\x0bb,c\n1,2\n"), r"no user column .* a\\x1d\\x0bb, c"),
    ("ragged.csv", _text("user,item\n1,2\n1,2,3\n"), "broken text table"),
    (
        "negative.parquet",
        _table(user=[1, 1], item=[5, -3]),
        r"item column: negative id -3 in row 2",
    ),
    ("negative.csv", _text("user,item\n-1,2\n4,2\n"), r"user column: negative id -1 in row 1"),
    ("null.parquet", _table(user=[1, None], item=[5, 6]), r"user column: no id .* in row 2"),
    (
        "nan.parquet",
        _table(user=[1, 1], item=[float("nan"), 6.0]),
        r"item column: no id .* in row 1",
    ),
    ("nan.csv", _text("user,item\n1,2\n1,NaN\n"), r"item column: no id .* in row 2"),
    ("gap.csv", _text("user,item\n1,2\n,3\n"), r"user column: no id .* in row 2"),
    ("fraction.parquet", _table(user=[1.5, 2.0], item=[1, 2]), "1.5 is no id"),
    ("huge.parquet", _table(user=[1e300, 2.0], item=[1, 2]), r"1e\+300 is no id"),
    ("flags.parquet", _table(user=[True, False], item=[1, 2]), "ids of type bool"),
    ("words.csv", _text("user,item,timestamp\n1,2,soon\n"), "'soon' is neither number nor date"),
    (
        "german.parquet",
        _table(user=[1, 2], item=[1, 2], timestamp=["06.01.2023 20:34", "07.01.2023 20:34"]),
        "'06.01.2023 20:34' is neither number nor date; such as 1704067200 or 2024-01-01 00:00:00",
    ),
    ("clock.csv", _text("user,item,timestamp\n1,2,20:34:10\n"), "is neither number nor date"),
    ("utf_16.csv", _bytes("user,item\n1,2\n".encode("utf-16")), "is UTF-16; save it as UTF-8"),
    ("twice.csv", _text("user,item,user\n1,2,3\n"), "2 columns are called 'user'; one is needed"),
    ("parts.csv", Path.mkdir, "is a folder; a data set is one file"),
    ("parts", Path.mkdir, "is a folder; a data set is one file"),
    ("five.csv", _text("1,2,3,4,5\n"), "no header line, and 5 columns"),
    ("log.xlsx", _text("x"), "unknown ending; known are .parquet, .zip, .csv"),
]


@pytest.mark.parametrize(("name", "write", "message"), BAD, ids=[case[0] for case in BAD])
def test_a_file_that_cannot_be_used_is_named_in_one_line(
    tmp_path: Path, name: str, write: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / name
    write(path)
    with pytest.raises(DataError, match=message) as raised:
        read(path, member="u.data")
    text = str(raised.value)
    assert text.startswith(name)
    assert "\n" not in text
    assert str(tmp_path) not in text


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape("gone.csv: no such file")):
        read(tmp_path / "gone.csv")


def test_an_archive_without_the_file_wanted_is_refused(tmp_path: Path) -> None:
    _archive("other.data")(tmp_path / "a.zip")
    with pytest.raises(DataError, match=r"a\.zip: holds 0 files named u\.data, not one"):
        read(tmp_path / "a.zip", member="u.data")
    with pytest.raises(DataError, match=r"a\.zip: name the file inside it"):
        read(tmp_path / "a.zip")


def test_a_missing_named_column_is_refused(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "log.parquet", user=[1], item=[2])
    with pytest.raises(DataError, match=r"no column 'when'; its columns are user, item"):
        read(path, Columns(timestamp="when"))


def test_a_large_text_file_is_read_without_a_loop_over_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([rng.integers(1, 500, 60_000), rng.integers(1, 900, 60_000)], axis=1)
    path = tmp_path / "log.csv"
    np.savetxt(path, rows, fmt="%d", delimiter=",", header="user,item", comments="")
    users, items, _ = _values(read(path))
    assert (users, items) == (rows[:, 0].tolist(), rows[:, 1].tolist())


def test_the_endings_of_all_formats_are_known() -> None:
    assert {".parquet", ".csv", ".tsv", ".inter", ".dat", ".data", ".json.gz"} <= set(EXTENSIONS)
