"""Wrong options, folders that can't be used, and cells that can't run: one line, nothing lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.hold import Hold
from tests.bench.suite_run import records_of, start


def test_nothing_can_run_is_still_a_result(tmp_path: Path) -> None:
    run = start(
        tmp_path,
        "--suite=smoke",
        "--model=bert4rec",
        "--workload=serve_step",
        f"--benchmark-json={tmp_path / 'run.json'}",
    )
    out, _ = run.communicate(timeout=100)
    assert run.returncode == 0, out
    (record,) = records_of(tmp_path).values()
    assert record.status == "unsupported"


def test_collecting_lists_readable_ids_and_writes_nothing(tmp_path: Path) -> None:
    out, _ = start(
        tmp_path, "--suite=scaling", "--model=sasrec,mamba4rec", "--collect-only", "-q"
    ).communicate(timeout=100)
    assert "test_train_epoch[mamba4rec-synthetic_u64_i3400_x16386-train_epoch-all-L16384-B1-" in out
    assert "gru4rec" not in out
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model=nope"], "error: --model 'nope': choose from"),
        (["--dataset=nope"], "error: "),
        (["-n", "2"], "error: "),
    ],
    ids=["model", "dataset", "xdist"],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    run = start(tmp_path, f"--benchmark-json={tmp_path / 'run.json'}", *arguments)
    out, _ = run.communicate(timeout=100)
    assert run.returncode == 2
    assert out.startswith(message)
    assert out.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir() if p.name != "cache"] == []


def test_a_results_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir(mode=0o555)
    if os.access(tmp_path / "results", os.W_OK):  # root may write anywhere but here
        (tmp_path / "results").rmdir()
        (tmp_path / "results").symlink_to("/proc")
    run = start(tmp_path, "--suite=smoke")
    out, _ = run.communicate(timeout=100)
    assert run.returncode == 2
    assert out.startswith("error: can't write to ")
    assert out.count("\n") == 1


def test_a_second_run_in_the_same_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    held = Hold(tmp_path / "results")
    out, _ = start(tmp_path, "--suite=smoke", "--model=gru4rec").communicate(timeout=100)
    held.release()
    assert out.startswith(f"error: {tmp_path / 'results'}: another run is going on there (process ")
    assert out.endswith("; wait for it, or choose another --results-dir\n")
    assert out.count("\n") == 1
    assert [path.name for path in (tmp_path / "results").iterdir()] == [".lock"]
