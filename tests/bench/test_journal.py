"""The journal keeps what is finished, finds a stopped run again, and leaves finished ones alone."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.cell import Cell
from bench.files import write_whole
from bench.journal import Journal, JournalError, Manifest, new_manifest, past_seconds
from bench.journal import require_writable as check_writable
from bench.runner import Runner
from measure.record import Metric, Record, not_measured

CELLS = [Cell("sasrec", "recommend", "synthetic", "all", length, 1) for length in (8, 16)]
ROOT = Path(__file__).resolve().parent.parent.parent
MACHINE = {"fingerprint": "abc"}


def manifest(root: Path, **changes: object) -> Manifest:
    given = {
        "suite": "smoke",
        "cells": CELLS,
        "argv": [],
        "dataset_line": "data: synthetic",
        "data_hashes": {"synthetic": "00"},
        "limits": {"timeout": 9.0, "memory": None},
        "commit": None,
        "machine": MACHINE,
        "root": root,
    }
    return new_manifest(**(given | changes))  # type: ignore[arg-type]


def record(cell: Cell) -> Record:
    metric = Metric(0.5, "s", "lower", "time", "made up")
    return Record(
        cell.cell_id,
        cell.key,
        cell.to_dict(),
        "ok",
        metrics={"latency_p50": metric},
        samples={"latency_block_p50": [0.5]},
        wall_s=3.0,
    )


@pytest.fixture
def code(tmp_path: Path) -> Path:
    root = tmp_path / "code"
    (root / "models").mkdir(parents=True)
    (root / "models" / "a.py").write_text("x = 1\n")
    return root


def test_a_written_cell_is_read_back_and_its_samples_lie_beside_it(
    tmp_path: Path, code: Path
) -> None:
    journal = Journal.open(tmp_path / "results", manifest(code), fresh=False)
    journal.write(CELLS[0], record(CELLS[0]), {"latency": [0.1, 0.2]})
    assert journal.read(CELLS[0]) == record(CELLS[0])
    assert journal.read(CELLS[1]) is None
    raw = np.load(journal.path("raw", CELLS[0]), allow_pickle=False)
    assert raw["latency"].tolist() == [0.1, 0.2]


def test_a_stopped_run_goes_on_and_a_finished_one_does_not(tmp_path: Path, code: Path) -> None:
    results = tmp_path / "results"
    first = Journal.open(results, manifest(code), fresh=False)
    first.write(CELLS[0], record(CELLS[0]), {})
    first.close()
    again = Journal.open(results, manifest(code), fresh=False)
    assert again.folder == first.folder
    assert again.read(CELLS[0]) == record(CELLS[0])
    again.write(CELLS[1], record(CELLS[1]), {})
    again.finish(CELLS)
    again.close()
    later = Journal.open(results, renamed(manifest(code), "later"), fresh=False)
    assert later.read(CELLS[0]) is None


def test_a_finished_run_is_opened_again_to_retry_what_failed(tmp_path: Path, code: Path) -> None:
    first = Journal.open(tmp_path, manifest(code), fresh=False)
    for cell in CELLS:
        first.write(cell, record(cell), {})
    first.finish(CELLS)
    first.close()
    again = Journal.open(tmp_path, renamed(manifest(code), "later"), fresh=False, retry=True)
    assert again.folder == first.folder
    assert again.manifest.state == "running"


def test_fresh_starts_anew_and_the_old_run_never_comes_back(tmp_path: Path, code: Path) -> None:
    first = Journal.open(tmp_path, manifest(code), fresh=False)
    first.write(CELLS[0], record(CELLS[0]), {})
    first.close()
    fresh = Journal.open(tmp_path, renamed(manifest(code), "later"), fresh=True)
    assert fresh.read(CELLS[0]) is None
    for cell in CELLS:
        fresh.write(cell, record(cell), {})
    fresh.finish(CELLS)
    fresh.close()
    third = Journal.open(tmp_path, renamed(manifest(code), "latest"), fresh=False)
    assert third.read(CELLS[0]) is None


def test_two_starts_never_write_into_one_run(tmp_path: Path, code: Path) -> None:
    first = Journal.open(tmp_path, manifest(code), fresh=False)
    with pytest.raises(JournalError, match="another run is going on there"):
        Journal.open(tmp_path, manifest(code), fresh=False)
    first.close()
    Journal.open(tmp_path, manifest(code), fresh=False)


def renamed(made: Manifest, run_id: str) -> Manifest:
    return dataclasses.replace(made, run_id=run_id, started=made.started + "~")


@pytest.mark.parametrize(
    "change",
    [
        {"suite": "quick"},
        {"cells": CELLS[:1]},
        {"data_hashes": {"synthetic": "01"}},
        {"machine": {"fingerprint": "other"}},
        {"limits": {"timeout": 9.0, "memory": 10**9}},
        {"machine": MACHINE | {"versions": {"numba": "0.1"}}},
    ],
    ids=["suite", "cells", "data", "machine", "limits", "versions"],
)
def test_another_run_has_another_key(code: Path, change: dict[str, object]) -> None:
    assert manifest(code).key != manifest(code, **change).key


def test_changed_code_has_another_key(code: Path) -> None:
    before = manifest(code).key
    (code / "models" / "a.py").write_text("x = 2\n")
    assert manifest(code).key != before


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": "other/1"}', b"\xff\xfe"])
def test_a_half_written_cell_counts_as_not_finished(
    tmp_path: Path, code: Path, content: bytes
) -> None:
    journal = Journal.open(tmp_path, manifest(code), fresh=False)
    journal.path("cells", CELLS[0]).write_bytes(content)
    assert journal.read(CELLS[0]) is None


def test_a_cell_with_other_settings_does_not_count(tmp_path: Path, code: Path) -> None:
    journal = Journal.open(tmp_path, manifest(code), fresh=False)
    journal.write(CELLS[0], record(CELLS[0]), {})
    assert journal.read(dataclasses.replace(CELLS[0], requests=9)) is None


def test_a_damaged_manifest_is_passed_over(tmp_path: Path, code: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    assert Journal.open(tmp_path, manifest(code), fresh=False).read(CELLS[0]) is None


def test_past_runs_tell_how_long_a_cell_takes(tmp_path: Path, code: Path) -> None:
    journal = Journal.open(tmp_path, manifest(code), fresh=False)
    journal.write(CELLS[0], record(CELLS[0]), {})
    (journal.folder / "cells" / "broken.json").write_text("{")
    assert past_seconds(tmp_path) == {CELLS[0].key: 3.0}


def test_a_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path, code: Path) -> None:
    (tmp_path / "results").write_text("a file, not a folder")
    with pytest.raises(JournalError, match="can't write to"):
        check_writable(tmp_path / "results")
    with pytest.raises(JournalError, match="can't write to"):
        Journal.open(tmp_path / "results", manifest(code), fresh=False)


def test_the_check_for_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "results")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_whole(path, "one")
    write_whole(path, b"two")
    assert path.read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_the_manifest_is_plain_json(tmp_path: Path, code: Path) -> None:
    journal = Journal.open(tmp_path, manifest(code), fresh=False)
    content = json.loads((journal.folder / "manifest.json").read_text())
    assert content["state"] == "running"
    assert content["cells"] == [cell.cell_id for cell in CELLS]


def test_a_damaged_cell_is_named_with_its_reason(tmp_path: Path, code: Path) -> None:
    journal = Journal.open(tmp_path, manifest(code), fresh=False)
    journal.path("cells", CELLS[0]).write_bytes(b"\0" * 500)  # as after a power failure
    assert journal.read(CELLS[0]) is None
    ((name, why),) = journal.damaged.items()
    assert name == f"cells/{CELLS[0].cell_id}.json"
    assert why.startswith("not JSON")
    assert journal.read(CELLS[1]) is None
    assert len(journal.damaged) == 1  # a cell that was never measured is not damaged


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 99, b"[]", b'{"key": 3}', b"[" * 99_999])
def test_a_run_with_a_damaged_manifest_goes_on_with_its_cells(
    tmp_path: Path, code: Path, content: bytes
) -> None:
    first = Journal.open(tmp_path, manifest(code), fresh=False)
    first.write(CELLS[0], record(CELLS[0]), {})
    first.close()
    (first.folder / "manifest.json").write_bytes(content)
    again = Journal.open(tmp_path, renamed(manifest(code), "later"), fresh=False)
    assert again.folder == first.folder
    assert again.read(CELLS[0]) == record(CELLS[0])
    assert list(again.damaged) == ["manifest.json"]
    assert json.loads((first.folder / "manifest.json").read_text())["run_id"] == first.folder.name


def test_a_clock_set_back_changes_neither_order_nor_folders(tmp_path: Path, code: Path) -> None:
    first = Journal.open(tmp_path, manifest(code), fresh=False)
    first.close()
    earlier = dataclasses.replace(manifest(code), run_id="earlier", started="1999-01-01T00:00:00")
    second = Journal.open(tmp_path, earlier, fresh=True)
    second.write(CELLS[0], record(CELLS[0]), {})
    second.close()
    third = Journal.open(tmp_path, renamed(manifest(code), "third"), fresh=False)
    assert third.folder == second.folder  # the last one begun, whatever the clock said
    third.close()
    same_moment = dataclasses.replace(earlier, run_id="earlier")
    fourth = Journal.open(tmp_path, same_moment, fresh=True)
    assert fourth.folder.name == "earlier-2"
    assert fourth.read(CELLS[0]) is None


def test_what_a_killed_start_left_half_written_is_removed(tmp_path: Path, code: Path) -> None:
    first = Journal.open(tmp_path, manifest(code), fresh=False)
    first.write(CELLS[0], record(CELLS[0]), {})
    first.close()
    halves = ["manifest.json.tmp", "cells/a.json.tmp", "cells/a.part", "weights/a.pt.tmp"]
    for half in halves:
        (first.folder / half).write_text("{")
    again = Journal.open(tmp_path, manifest(code), fresh=False)
    assert not any((again.folder / half).exists() for half in halves)
    assert again.read(CELLS[0]) == record(CELLS[0])


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of file sizes is POSIX'")
def test_a_file_that_cannot_be_written_whole_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys, pathlib; from bench.files import write_whole;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "path = pathlib.Path(sys.argv[1]); write_whole(path, 'whole');\n"
        "try: write_whole(path, 'x' * 9000)\n"
        "except OSError as error: print(error.strerror)"
    )
    path = tmp_path / "a.json"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == "File too large\n", done.stderr
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_cell_whose_memory_pass_was_killed_is_retried_when_asked(
    tmp_path: Path, code: Path
) -> None:
    lost = not_measured(
        "memory pass: error: worker died of SIGKILL", unit="B", better="lower", kind="time"
    )
    told = dataclasses.replace(lost, reason="memory pass: oom: killed")
    for metric, kept in ((lost, False), (told, True)):
        journal = Journal.open(tmp_path / str(kept), manifest(code), fresh=False)
        made = record(CELLS[0])
        made.metrics["memory_peak"] = metric
        journal.write(CELLS[0], made, {})
        assert (Runner(journal, None, None, 9.0, retry=True).kept(CELLS[0]) is not None) is kept
        assert Runner(journal, None, None, 9.0).kept(CELLS[0]) == made
