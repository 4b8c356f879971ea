"""Loading by name, by path and "auto": where a log is looked for, and what its source says."""

from __future__ import annotations

import ast
import gzip
import importlib
import re
import socket
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import data
from data import Columns, DataError, load, names

ROOT = Path(data.__file__).parents[1]
LINES = [f"{user}\t{item}\t5\t{100 - item}" for user in range(1, 7) for item in range(1, 9)]


def _point_at(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    module = importlib.import_module(f"data.{name}")
    monkeypatch.setattr(module, "DATASET", replace(module.DATASET, url=url))


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in set(names()) - {"synthetic"}:
        _point_at(monkeypatch, name, f"http://127.0.0.1:{port}/{name}.zip")


def _write_ml_100k(folder: Path) -> None:
    with zipfile.ZipFile(folder / "ml-100k.zip", "w") as archive:
        archive.writestr("ml-100k/u.data", "\n".join(LINES) + "\n")


def test_the_files_are_the_registry() -> None:
    assert names() == ["amazon_beauty", "amazon_video_games", "ml_100k", "ml_1m", "synthetic"]
    for name in names():
        assert hasattr(importlib.import_module(f"data.{name}"), "DATASET")


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = (
        "import sys, data; data.names(); data.load('synthetic_u10_n5'); "
        "print(*({'torch', 'pandas', 'pooch', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_no_file_but_batches_imports_torch_or_another_part_of_the_suite() -> None:
    for path in sorted((ROOT / "data").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        imported = {
            name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
            )
        }
        assert not imported & {"models", "measure", "workloads", "bench", "report"}, path
        assert "torch" not in imported or path.name == "batches.py", path


def test_an_archive_in_the_data_folder_is_read(tmp_path: Path) -> None:
    _write_ml_100k(tmp_path)
    store = load("ml_100k", data_dir=tmp_path)
    assert (store.num_users, store.num_items, store.num_events) == (6, 8, 48)
    assert store.source == "file ml-100k.zip in --data-dir"
    assert store.items[:8].tolist() == [8, 7, 6, 5, 4, 3, 2, 1]  # the times run backwards


def test_an_unpacked_file_in_the_data_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "ml-1m").mkdir()
    rows = [line.replace("\t", "::") for line in LINES]
    (tmp_path / "ml-1m" / "ratings.dat").write_text("\n".join(rows) + "\n")
    assert load("ml_1m", data_dir=tmp_path).source == "file ml-1m/ratings.dat in --data-dir"


def test_the_cache_is_read_when_the_data_folder_has_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("data.ml_100k")
    monkeypatch.setattr(module, "DATASET", replace(module.DATASET, checksum=None))
    (tmp_path / "empty").mkdir()
    _write_ml_100k(tmp_path)
    store = load("ml_100k", data_dir=tmp_path / "empty", cache_dir=tmp_path)
    assert store.source == "cache"


def test_a_file_is_read_by_its_path_and_named_by_its_stem(tmp_path: Path) -> None:
    path = tmp_path / "events.2020.tsv.gz"
    path.write_bytes(
        gzip.compress(("a\tb\n" + "\n".join("\t".join(r.split("\t")[:2]) for r in LINES)).encode())
    )
    store = load(str(path), columns=Columns(user="a", item="b"))
    assert (store.name, store.source) == ("events.2020", "file events.2020.tsv.gz")
    assert store.num_events == 48
    assert str(tmp_path) not in str(store.describe())


def test_the_core_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item\n1,1\n1,2\n1,3\n2,1\n2,2\n2,4\n")
    assert load(str(path), min_count=2).num_events == 4
    assert load(str(path), min_count=1).num_events == 6
    with pytest.raises(DataError, match=r"log\.csv\): 0 of 2 users and 0 of 6 rows are left"):
        load(str(path))


@pytest.mark.parametrize("name", ["ml_10m", "", "synthetics", "dataset", "batches"])
def test_an_unknown_name_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(
        DataError, match=rf"data set '{name}' is not one of auto, amazon_beauty, .*ml_1m"
    ):
        load(name)


@pytest.mark.parametrize("name", ["gone.parquet", "some/folder/gone.csv"])
def test_a_path_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(DataError, match=rf"{Path(name).name}: no such file"):
        load(name)


@pytest.mark.usefixtures("_no_network")
@pytest.mark.parametrize("name", ["ml_1m", "ml_100k", "amazon_beauty", "amazon_video_games"])
def test_a_named_data_set_is_never_replaced(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        DataError, match=rf"{name}: .*connection refused; or put .*\.parquet or"
    ) as raised:
        load(name, data_dir=tmp_path, cache_dir=tmp_path)
    assert "\n" not in str(raised.value)


def test_a_data_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--data-dir .*: no such folder"):
        load("ml_1m", data_dir=tmp_path / "gone")


@pytest.mark.usefixtures("_no_network")
def test_auto_takes_the_synthetic_data_where_nothing_can_be_had_and_says_why(
    tmp_path: Path,
) -> None:
    store = load("auto", data_dir=tmp_path, cache_dir=tmp_path)
    assert store.name == "synthetic"
    assert re.match(
        r"synthetic stands in for ml_100k: http.*connection refused.*generated, seed 0$",
        store.source,
    )
    assert store.sequence_hash == load("synthetic").sequence_hash


@pytest.mark.usefixtures("_no_network")
def test_auto_takes_the_real_data_where_it_is_at_hand(tmp_path: Path) -> None:
    _write_ml_100k(tmp_path)
    store = load("auto", data_dir=tmp_path)
    assert (store.name, store.source) == ("ml_100k", "file ml-100k.zip in --data-dir")


@pytest.mark.usefixtures("_no_network")
def test_auto_does_not_hide_a_broken_file(tmp_path: Path) -> None:
    (tmp_path / "ml-100k.parquet").write_text("broken")
    with pytest.raises(DataError, match=r"ml-100k\.parquet: broken Parquet file"):
        load("auto", data_dir=tmp_path)
