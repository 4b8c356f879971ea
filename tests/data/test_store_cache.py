"""The cache of stores: the same store as from the log, found only while nothing has changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import data
from data import Columns, DataError, Interactions, load, store_cache

ROOT = Path(data.__file__).parents[1]
ROWS = [f"{user},{item},{100 - item}" for user in range(1, 7) for item in range(1, 9)]


def _write(path: Path, rows: list[str] = ROWS, header: str = "user,item,timestamp") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return _write(tmp_path / "log.csv")


def _load(log: Path, **given: object) -> Interactions:
    return load(str(log), cache_dir=log.parent / "cache", **given)  # type: ignore[arg-type]


def _kept(log: Path) -> list[Path]:
    return sorted((log.parent / "cache" / "stores").glob("[!.]*"))


def test_the_second_time_it_is_the_same_store_from_the_cache(log: Path) -> None:
    first, second = _load(log), _load(log)
    assert (first.store, second.store) == ("read", "cached")
    for name in ("items", "offsets", "item_labels"):
        before, after = getattr(first, name), getattr(second, name)
        assert before.dtype == after.dtype
        assert np.array_equal(before, after)
    described = [store.describe() | {"store": ""} for store in (first, second)]
    assert described[0] == described[1]
    assert second.describe()["store"] == "cached"


def test_labels_of_text_are_kept_without_pickle(tmp_path: Path) -> None:
    rows = [f"u{user},ä{item:02}" for user in range(6) for item in range(8)]
    log = _write(tmp_path / "log.csv", rows, "user,item")
    first, second = _load(log), _load(log)
    assert second.store == "cached"
    assert second.item_labels.tolist() == first.item_labels.tolist()
    assert not list(_kept(log)[0].glob("*.pkl"))


def test_what_the_cache_gives_cannot_be_written_to(log: Path) -> None:
    _load(log)
    store = _load(log)
    assert type(store.items) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        store.items[0] = 1


def test_another_rule_is_another_store(log: Path) -> None:
    _load(log)
    assert _load(log, min_count=2).store == "read"
    assert _load(log, columns=Columns(timestamp="timestamp")).store == "read"
    assert len(_kept(log)) == 3


def test_a_changed_log_of_the_same_size_and_time_is_read_anew(log: Path) -> None:
    facts, before = log.stat(), _load(log).sequence_hash
    _write(log, [row.replace(",99", ",11") for row in ROWS])  # item 1 comes first now
    os.utime(log, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert log.stat().st_size == facts.st_size
    after = _load(log)
    assert after.store == "read"
    assert after.sequence_hash != before


def test_a_large_log_is_known_by_its_times(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_cache, "_HASHED_BYTES", 0)
    _load(log)
    assert _load(log).store == "cached"
    time.sleep(0.02)
    log.touch()
    assert _load(log).store == "read"


def test_a_change_of_the_code_makes_a_new_store(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _load(log)
    code = tmp_path / "data"
    shutil.copytree(ROOT / "data", code, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(store_cache, "_CODE", code)
    assert _load(log).store == "cached"
    (code / "batches.py").write_text("# makes batches of a store, not the store")
    assert _load(log).store == "cached"
    with (code / "k_core.py").open("a") as file:
        file.write("# changed\n")
    assert _load(log).store == "read"


@pytest.mark.parametrize("file", ["items.npy", "offsets.npy", "item_labels.npy", "store.json"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "flipped"])
def test_a_damaged_store_is_made_anew_with_one_line(
    log: Path, capsys: pytest.CaptureFixture[str], file: str, damage: str
) -> None:
    want = _load(log)
    path = _kept(log)[0] / file
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        flipped = bytes([content[-1] ^ 1]) if damage == "flipped" else b""
        path.write_bytes({"empty": b"", "cut": content[:-1]}.get(damage, content[:-1] + flipped))
    got = _load(log)
    assert got.store == "read"
    assert got.sequence_hash == want.sequence_hash
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "is damaged" in err
    assert _load(log).store == "cached"
    assert capsys.readouterr().err == ""


def test_a_cache_that_cannot_be_written_is_no_error(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (log.parent / "cache").write_text("a file where the folder should be")
    assert [_load(log).store for _ in range(2)] == ["read", "read"]
    assert capsys.readouterr().err == ""


def test_a_full_disk_leaves_nothing_behind(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill)
    assert _load(log).store == "read"
    assert list((log.parent / "cache" / "stores").iterdir()) == []


@pytest.mark.parametrize("word", ["off", "0", "OFF"])
def test_it_can_be_switched_off(log: Path, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    _load(log)
    monkeypatch.setenv(store_cache.VARIABLE, word)
    assert _load(log).store == "read"
    assert _load(log, cached=True).store == "cached"
    monkeypatch.delenv(store_cache.VARIABLE)
    assert _load(log, cached=False).store == "read"


def test_an_archive_from_the_cache_keeps_its_source(log: Path) -> None:
    _load(log)
    moved = log.rename(log.parent / "log2.csv")
    assert load(str(moved), cache_dir=log.parent / "cache").source == "file log2.csv"
    dataset = replace(_ml_100k(), local_files=("log2.csv",))
    request = data.dataset.Request(log.parent / "cache", data_dir=log.parent)
    for store in ("read", "cached"):
        found = dataset.load("ml_100k", request)
        if found.store == store:
            assert (found.name, found.source) == ("ml_100k", "file log2.csv in --data-dir")


def _ml_100k() -> data.dataset.PublishedLog:
    from data.ml_100k import DATASET

    return replace(DATASET, member=None)


def test_errors_are_those_of_the_log_and_are_not_kept(log: Path) -> None:
    with pytest.raises(DataError, match="are left at min_count=50"):
        _load(log, min_count=50)
    with pytest.raises(DataError, match="no such file"):
        load(str(log) + ".gone.csv", cache_dir=log.parent / "cache")
    assert _kept(log) == []


def test_only_so_many_are_kept(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_cache, "_KEPT", 2)
    abandoned = log.parent / "cache" / "stores" / ".partial-x"
    abandoned.mkdir(parents=True)
    os.utime(abandoned, (0, 0))
    for min_count in (1, 2, 3, 4):
        assert _load(log, min_count=min_count).store == "read"
    assert len(_kept(log)) == 2
    assert _load(log, min_count=4).store == "cached"
    assert not abandoned.exists()


def test_many_processes_at_once_agree(log: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from data import load;"
        "print(load(sys.argv[1], cache_dir=Path(sys.argv[2])).sequence_hash)"
    )
    command = [sys.executable, "-c", code, str(log), str(log.parent / "cache")]
    started = [
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    said = [process.communicate() for process in started]
    assert {out.strip() for out, _ in said} == {_load(log).sequence_hash}
    assert {err for _, err in said} == {""}
    assert len(list((log.parent / "cache" / "stores").iterdir())) == 1


def test_no_parser_is_imported_where_the_cache_has_it(log: Path) -> None:
    _load(log)
    code = (
        "import sys; from pathlib import Path; from data import load;"
        "print(load(sys.argv[1], cache_dir=Path(sys.argv[2])).store,"
        "*({'pandas', 'pyarrow', 'requests', 'torch'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(log), str(log.parent / "cache")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["cached"]


def test_the_facts_beside_the_arrays_are_plain_json(log: Path) -> None:
    _load(log)
    content = json.loads((_kept(log)[0] / "store.json").read_text())
    assert content["rules"].startswith("5-core")
    assert content["in_log"] == list(_load(log).in_log or ())
    assert set(content["crc32"]) == {"items", "offsets", "item_labels"}
