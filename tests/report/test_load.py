"""Both forms of input are read alike, and what is wrong with a file is said in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import plot_results
from report.facets import cells
from report.load import InputError, load_runs

ROOT = Path(plot_results.__file__).parent

BAD = {
    "not JSON": b"epoch_time,1.5\n",
    "cut short": b'{"benchmarks": [], "seqrec_bench": {"schema": "seqrec',
    "empty": b"",
    "blank": b" \n",
    "binary": bytes(range(256)),
    "a list": b"[1, 2]",
    "a number": b"3",
    "deeply nested": b"[" * 200_000,
    "another suite": b'{"machine_info": {}, "benchmarks": [{"name": "test_x"}]}',
    "other JSON": b'{"a": 1}',
    "our key is no object": b'{"benchmarks": [], "seqrec_bench": 3}',
}


def bad_contents(made: Any) -> dict[str, dict[str, Any]]:
    """JSON of ours with one thing wrong in it."""
    good = made.train("sasrec", 50).to_dict()
    entries = {
        "unknown schema": made.content([]) | {"schema": "seqrec-bench/run/2", "records": [good]},
        "no schema": {"records": [good]},
        "no records": made.content([]),
        "records is a text": made.content([]) | {"records": "many"},
        "record is a number": made.content([]) | {"records": [7]},
        "record of a later schema": made.content([]) | {"records": [good | {"schema": "x/2"}]},
        "record without config": made.content([]) | {"records": [good | {"config": None}]},
        "length is a text": made.content([])
        | {"records": [good | {"config": good["config"] | {"seq_len": "long"}}]},
        "length is true": made.content([])
        | {"records": [good | {"config": good["config"] | {"seq_len": True}}]},
        "samples are texts": made.content([]) | {"records": [good | {"samples": {"a": ["x"]}}]},
        "unknown status": made.content([]) | {"records": [good | {"status": "fine"}]},
    }
    infinite = json.loads(json.dumps(good))
    infinite["metrics"]["epoch_time"]["value"] = 10**400
    return entries | {"number too large": made.content([]) | {"records": [infinite]}}


def refuse(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command on `path`; the one line it must leave on stderr."""
    out = tmp_path / "figures"
    assert plot_results.main([str(path), "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert not out.exists()
    assert printed.err.count("\n") == 1
    assert printed.err.startswith(f"error: {path}")
    return printed.err


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_result_is_refused_in_one_line(name, tmp_path, capsys):
    path = tmp_path / "run.json"
    path.write_bytes(BAD[name])
    assert "allowed are" in refuse(path, tmp_path, capsys)


def test_a_result_with_one_wrong_thing_is_refused_in_one_line(made, tmp_path, capsys):
    path = tmp_path / "run.json"
    for name, content in bad_contents(made).items():
        path.write_text(json.dumps({"benchmarks": [], "seqrec_bench": content}))
        assert len(refuse(path, tmp_path, capsys)) > len(f"error: {path}: ") + 10, name


def test_a_missing_file_is_refused_in_one_line(tmp_path, capsys):
    assert "No such file" in refuse(tmp_path / "absent.json", tmp_path, capsys)


def test_a_folder_without_manifest_is_refused_in_one_line(tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    assert "manifest.json" in refuse(folder, tmp_path, capsys)


def test_a_broken_cell_in_a_run_folder_is_named(made, tmp_path, capsys):
    folder = made.write_folder(tmp_path / "quick-1", [made.train("sasrec", 50)])
    (folder / "cells" / "zzz.json").write_text('{"schema": ')
    assert "zzz.json" in refuse(folder, tmp_path, capsys)


def test_one_bad_file_among_good_ones_writes_nothing(run_json, tmp_path, capsys):
    out = tmp_path / "figures"
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    assert plot_results.main([str(run_json()), str(bad), "--out", str(out)]) == 2
    assert not out.exists()
    assert capsys.readouterr().err.startswith(f"error: {bad}: ")


def test_an_out_folder_that_is_a_file_is_one_line_and_exit_code_2(run_json, tmp_path, capsys):
    taken = tmp_path / "taken"
    taken.write_text("here already")
    assert plot_results.main([str(run_json()), "--out", str(taken)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert taken.read_text() == "here already"


def test_the_command_gives_no_traceback_and_imports_no_torch(tmp_path):
    code = (
        "import sys, plot_results; code = plot_results.main(['absent.json']);"
        "print('torch' in sys.modules); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert done.stderr.startswith("error: absent.json: ")
    assert done.stderr.count("\n") == 1


def test_folder_and_file_give_the_same_records(made, tmp_path):
    records = made.suite((50, 100))
    file = made.write_json(tmp_path / "run.json", records)
    folder = made.write_folder(tmp_path / "quick-1", records)
    from_file, from_folder = load_runs([file, folder])
    by_id = sorted(from_folder.records, key=lambda record: record.cell_id)
    assert by_id == sorted(from_file.records, key=lambda record: record.cell_id)
    assert from_file.dataset_line == from_folder.dataset_line != ""


def test_half_written_cells_are_not_read(made, tmp_path):
    folder = made.write_folder(tmp_path / "quick-1", [made.train("sasrec", 50)])
    (folder / "cells" / "next.json.tmp").write_text('{"sch')
    assert len(load_runs([folder])[0].records) == 1


def test_equal_cells_of_two_files_are_kept_apart_by_run(made, tmp_path):
    for name in ("base", "head"):
        (tmp_path / name).mkdir()
        made.write_json(tmp_path / name / "run.json", [made.train("sasrec", 50)])
    runs = load_runs([tmp_path / "base" / "run.json", tmp_path / "head" / "run.json"])
    assert len({run.label for run in runs}) == 2
    assert len({cell.facets["run"] for cell in cells(runs)}) == 2


def test_the_same_file_twice_still_gives_two_labels(run_json):
    path = run_json()
    assert len({run.label for run in load_runs([path, path])}) == 2


def test_a_failed_cell_takes_data_and_machine_from_its_run(run_json):
    found = cells(load_runs([run_json()]), "train_epoch")
    assert any(not cell.ok and not cell.record.machine for cell in found)
    assert len({cell.facets["machine"] for cell in found}) == 1
    assert {cell.facets["dataset"] for cell in found} == {"ML-100K"}


def test_data_of_one_name_with_other_sequences_is_told_apart(made, run_json):
    other = made.train("gru4rec", 50, data=made.DATA_OTHER)
    found = cells(load_runs([run_json([made.train("sasrec", 50), other])]))
    assert len({cell.facets["dataset"] for cell in found}) == 2


def test_input_error_is_one_line_even_for_a_name_with_line_breaks():
    assert "\n" not in str(InputError(Path("a\nb.json"), "not\njson"))
