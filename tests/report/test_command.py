"""`python regression_report.py` as a user runs it: exit codes, one line for bad input, no torch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from regression_report import command_again, noise_of
from report.command import main
from report.load import InputError
from report.margins import Noise
from report.noise_file import keep_noise

ROOT = Path(__file__).resolve().parents[2]


def good(made: Any) -> dict[str, Any]:
    return made.train("sasrec", 50).to_dict()


def changed(record: dict[str, Any], **metric: Any) -> dict[str, Any]:
    """The record with its epoch time changed."""
    metrics = record["metrics"] | {"epoch_time": record["metrics"]["epoch_time"] | metric}
    return record | {"metrics": metrics}


def hostile(made: Any) -> dict[str, str]:
    """Files that must be refused, by what is wrong with them."""
    record = good(made)
    whole = made.content([])

    def ours(*records: Any, **changes: Any) -> str:
        return json.dumps({"seqrec_bench": whole | {"records": list(records)} | changes})

    def theirs(**stats: Any) -> str:
        standard = {"median": 0.1, "rounds": 2, "data": [0.1, 0.1]}
        return json.dumps({"benchmarks": [{"name": "t", "stats": standard | stats}]})

    text = ours(record)
    nan = text.replace('"wall_s": 0.0', '"wall_s": NaN')
    assert nan != text
    return {
        "not JSON": "epoch_time,1.5\n",
        "empty": "",
        "cut short": text[: len(text) // 2],
        "NaN": nan,
        "NaN in a metric": ours(changed(record, value=float("nan"))),
        "1e400": re.sub(r'"value": [0-9.]+', '"value": 1e400', text, count=1),
        "an integer without end": ours(changed(record, value=10**400)),
        "mixed versions": ours(record, record | {"schema": "seqrec-bench/cell/2"}),
        "later run schema": ours(record, schema="seqrec-bench/run/9"),
        "a cell twice": ours(record, record),
        "HTML in a name": ours(record | {"cell_id": "<img src=x onerror=alert(1)>"}),
        "a path in a cell id": ours(record | {"cell_id": "../../etc/passwd"}),
        "an absolute path": ours(record | {"cell_id": "/etc/passwd"}),
        "HTML in a metric": ours(
            record | {"metrics": {"<script>": record["metrics"]["params"]}},
        ),
        "a billion requests announced": ours(changed(record, n=1_000_000_000)),
        "a count that is a text": ours(changed(record, n="many")),
        "a billion rounds announced": theirs(rounds=1_000_000_000),
        "a billion rounds and no data": theirs(rounds=1_000_000_000, data=[]),
        "more rounds announced than there": theirs(rounds=3),
        "rounds are texts": theirs(data=["a", "b"]),
        "a negative time": theirs(median=-1),
        "no median": theirs(median=None),
        "no benchmarks": json.dumps({"benchmarks": []}),
        "a benchmark is a number": json.dumps({"benchmarks": [3]}),
        "deeply nested": "[" * 100_000,
        "a number": "3",
    }


@pytest.mark.parametrize("side", ["base", "head"])
def test_hostile_files_give_one_line_and_exit_code_two(
    made: Any, tmp_path: Path, capsys: Any, side: str
) -> None:
    fine = made.write_json(tmp_path / "fine.json", [made.train("sasrec", 50)])
    for name, text in hostile(made).items():
        bad = tmp_path / "bad.json"
        bad.write_text(text)
        argv = [str(bad), str(fine)] if side == "base" else [str(fine), str(bad)]
        out = tmp_path / "out.md"
        assert main([*argv, "--markdown", str(out)]) == 2, name
        error = capsys.readouterr().err
        assert error.startswith("error: "), name
        assert error.count("\n") == 1, name
        assert len(error) < 600, name
        assert out.read_text().startswith("### No report: "), name
        assert out.read_text().count("\n") == 1, name


def test_a_missing_file_a_device_and_a_wrong_option(tmp_path: Path, capsys: Any) -> None:
    assert main([str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit) as stopped:
        main(["a", "b", "--figure", "x.bmp"])
    assert stopped.value.code == 2


def run(*argv: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "regression_report.py"), *map(str, argv)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment
    )


def test_the_script_works_without_torch_and_writes_everything(made: Any, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')")
    base = made.write_json(tmp_path / "base.json", made.suite())
    records = made.suite()
    records[0].metrics["memory_peak"] = made.fact(2**40, "B", "memory_physical")
    head = made.write_json(tmp_path / "head.json", records)
    outputs = {
        f"--{name}": tmp_path / f"out.{name}"
        for name in ("markdown", "comment", "junit", "json", "bmf", "otava")
    }
    argv = [text for pair in outputs.items() for text in pair]
    figure = tmp_path / "out.svg"
    done = run(base, head, *argv, "--figure", figure, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stderr
    for path in (*outputs.values(), figure):
        assert path.stat().st_size > 0
    assert done.stdout.startswith("REGRESSION: 1 REGRESSED")
    assert not list(tmp_path.glob(".*.tmp"))


def test_strict_is_exit_code_three_and_explain_shows_pairs(
    made: Any, tmp_path: Path, capsys: Any
) -> None:
    base = made.write_json(tmp_path / "base.json", [made.train("sasrec", 50)])
    slow = made.train("sasrec", 50)
    slow.metrics["epoch_time"] = made.time(1.2)
    head = made.write_json(tmp_path / "head.json", [slow])
    assert main([str(base), str(head)]) == 0
    assert main([str(base), str(head), "--strict"]) == 3
    capsys.readouterr()
    assert main([str(base), str(head), "--explain", slow.cell_id]) == 0
    said = capsys.readouterr().out
    assert "epoch_time (time, hard): INCONCLUSIVE" in said
    assert "ln ratio" in said
    assert "--ab" in said
    assert main([str(base), str(head), "--explain", "nothing"]) == 2


def test_an_output_that_cannot_be_written_is_one_line(
    made: Any, tmp_path: Path, capsys: Any
) -> None:
    base = made.write_json(tmp_path / "base.json", [made.train("sasrec", 50)])
    (tmp_path / "file").write_text("")
    assert main([str(base), str(base), "--json", str(tmp_path / "file" / "x.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_noise_file_sets_the_margin(made: Any, tmp_path: Path, capsys: Any) -> None:
    base = made.write_json(tmp_path / "base.json", [made.train("sasrec", 50)])
    noise = tmp_path / "noise.json"
    floor = {"cells": "*", "metric": "epoch_time", "half_width": 0.01, "between_files": 0.031}
    noise.write_text(json.dumps({"schema": "seqrec-bench/noise/2", "floors": [floor]}))
    assert main([str(base), str(base), "--noise", str(noise)]) == 0
    assert "±3.1%" in capsys.readouterr().out
    for entry in ({"cells": 3}, {n: floor[n] for n in floor if n != "between_files"}):
        noise.write_text(json.dumps({"schema": "seqrec-bench/noise/2", "floors": [entry]}))
        assert main([str(base), str(base), "--noise", str(noise)]) == 2


def test_noise_of_pairs_one_after_the_other_says_nothing_of_pairs_by_turns(
    made: Any, tmp_path: Path, capsys: Any
) -> None:
    floor = {"cells": "*", "metric": "epoch_time", "half_width": 0.16}
    older = tmp_path / "noise.json"
    older.write_text(json.dumps({"schema": "seqrec-bench/noise/1", "floors": [floor]}))
    base = made.write_json(tmp_path / "base.json", [made.train("sasrec", 50)])
    assert main([str(base), str(base), "--noise", str(older)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--aa measures anew" in said
    with pytest.raises(InputError):
        noise_of(older, older)
    assert noise_of(None, older) == ()
    assert "not used" in capsys.readouterr().err
    assert noise_of(None, tmp_path / "none.json") == ()
    keep_noise(older, [Noise("*", "epoch_time", 0.02, 0.2)], "f")
    assert noise_of(None, older) == (Noise("*", "epoch_time", 0.02, 0.2, machine="f"),)


def test_files_of_pytest_benchmark_itself_are_compared(tmp_path: Path, capsys: Any) -> None:
    test = tmp_path / "test_sleep.py"
    test.write_text(
        "import os, time\n"
        "def test_sleep(benchmark):\n"
        "    benchmark.pedantic(time.sleep, args=(float(os.environ['PAUSE']),), rounds=20)\n"
    )
    # Started by a worker of pytest-xdist, pytest would take itself for one and write no file.
    alone = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    for name, pause in (("base", 0.010), ("head", 0.030)):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test.name]
        subprocess.run(
            [*command, f"--benchmark-json={name}.json"],
            cwd=tmp_path,
            env=alone | {"PAUSE": str(pause)},
            check=True,
            capture_output=True,
        )
    base, head = str(tmp_path / "base.json"), str(tmp_path / "head.json")
    assert main([base, head]) == 1
    assert capsys.readouterr().out.startswith("REGRESSION: 1 REGRESSED\none process a side")
    assert main([base, base]) == 0


def test_the_command_to_repeat_has_its_noise_and_margins(
    made: Any, tmp_path: Path, capsys: Any
) -> None:
    base = made.write_json(tmp_path / "base.json", [made.train("sasrec", 50)])
    noise, margins = tmp_path / "noise.json", tmp_path / "m.toml"
    keep_noise(noise, [Noise("*", "epoch_time", 0.02, 0.2)], "elsewhere")
    margins.write_text("[tool.seqrec-bench.margins]\n")
    assert main([str(base), str(base), "--noise", str(noise), "--margins", str(margins)]) == 0
    said = capsys.readouterr().out
    assert f"--noise {noise} --margins {margins}" in said.replace("\n", "")
    assert "noise of another machine, not used: elsewhere" in said
    assert "±20.0%" not in said
    assert main([str(base), str(base)]) == 0
    assert "--margins" not in capsys.readouterr().out


def test_who_reads_one_line_gets_the_verdict_and_no_complaint(made: Any, tmp_path: Path) -> None:
    base = made.write_json(tmp_path / "base.json", made.suite())
    records = made.suite()
    records[0].metrics["memory_peak"] = made.fact(2**40, "B", "memory_physical")
    head = made.write_json(tmp_path / "head.json", records)
    command = [sys.executable, str(ROOT / "regression_report.py"), str(base), str(head)]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_fault_of_the_program_is_no_regression(made: Any, tmp_path: Path) -> None:
    base = made.write_json(tmp_path / "base.json", [made.train("sasrec", 50)])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sitecustomize.py").write_text(
        "import report.two_files as t\n"
        "def broken(*a, **k): raise RuntimeError('a fault')\n"
        "t.compare_files = broken\n"
    )
    path = os.pathsep.join([str(tmp_path / "broken"), str(ROOT)])
    done = run(base, base, PYTHONPATH=path)
    assert done.returncode == 4
    assert "RuntimeError: a fault" in done.stderr


def test_the_command_that_goes_on_does_not_begin_anew() -> None:
    words = ["--ab", "main", "--fresh", "--time-limit", "2m"]
    said = "python regression_report.py --ab main --time-limit 2m"
    assert command_again(words, hosted=False) == said
    assert command_again(words, hosted=True) == f"{said} --hosted"


def test_the_command_that_goes_on_names_no_files_of_ci() -> None:
    words = ["--ab", "main", "--markdown", "r.md", "--figure=p.svg", "--json", "j", "--cpus", "0"]
    assert command_again(words, hosted=False) == "python regression_report.py --ab main --cpus 0"


def test_where_the_report_would_stand_it_says_why_there_is_none(tmp_path: Path) -> None:
    files = [tmp_path / "report.md", tmp_path / "comment.md"]
    files[0].write_text("### PASS\n")
    done = run("--ab", "no_such@ref", "--markdown", files[0], "--comment", files[1])
    assert done.returncode == 2
    assert "error: 'no_such@ref' is no branch" in done.stderr
    for file in files:
        assert file.read_text().startswith("### No report: ")
        assert "is no branch, tag or commit of this repository" in file.read_text()


def test_a_report_that_was_written_stays_where_only_the_explanation_fails(
    made: Any, tmp_path: Path, capsys: Any
) -> None:
    fine = made.write_json(tmp_path / "fine.json", [made.train("sasrec", 50)])
    out = tmp_path / "report.md"
    argv = [str(fine), str(fine), "--markdown", str(out), "--explain", "no-such-cell"]
    assert main(argv) == 2
    assert "no such cell in either side" in capsys.readouterr().err
    assert not out.read_text().startswith("### No report")


def test_help_tells_all_three_ways(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert all(way in said for way in ("BASE HEAD", "--ab BASE_REF", "--history [RESULT]"))
    assert "4 a fault" in said
