"""Every output validates against what its readers expect, and shows hostile names as text."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import jsonschema
import pytest
import xmlschema
from rich.console import Console

from report.outputs.bencher import bencher
from report.outputs.explanation import explain
from report.outputs.github_action_benchmark import github_action_benchmark
from report.outputs.junit import junit
from report.outputs.markdown import COMMENT_BYTES, markdown, no_report
from report.outputs.otava import otava
from report.outputs.pair_plot import save_pair_plot
from report.outputs.terminal import print_report
from report.outputs.verdict_json import SCHEMA_FILE, verdict_json
from report.verdict import Report, Side, Verdict

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
# Bencher's documented schema: benchmark -> measure -> value and bounds.
BMF = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "propertyNames": {"maxLength": 64},
        "additionalProperties": {
            "type": "object",
            "properties": {
                name: {"type": "number"} for name in ("value", "lower_value", "upper_value")
            },
            "required": ["value"],
            "additionalProperties": False,
        },
    },
    "propertyNames": {"maxLength": 1024},
}
# github-action-benchmark's documented entries for custom tools (its README).
CUSTOM = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "unit": {"type": "string", "minLength": 1},
            "value": {"type": "number"},
            "range": {"type": "string"},
            "extra": {"type": "string"},
        },
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
    },
}
EMPTY = "nothing to compare"


def test_the_json_keeps_its_published_schema(every: Report) -> None:
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    content = json.loads(verdict_json(every))
    jsonschema.validate(content, schema)
    assert content["counts"]["REGRESSED"] == 4
    content["comparisons"][0]["verdict"] = "SLOWER"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema)


def test_junit_keeps_its_schema(every: Report) -> None:
    schema = xmlschema.XMLSchema(HERE / "junit.xsd")
    text = junit(every)
    schema.validate(text)
    suite = schema.to_dict(text)["testsuite"][0]  # type: ignore[index,call-overload]
    cases = {case["@classname"]: case for case in suite["testcase"]}
    assert "failure" in cases["cell-regressed"]
    assert "failure" in cases["cell-oom_new"]
    assert "skipped" in cases["cell-inconclusive"]
    assert "skipped" in cases["soft"]
    assert not {"failure", "skipped"} & set(cases["cell-unchanged"])
    failures = sum("failure" in case for case in suite["testcase"])
    assert failures == suite["@failures"] == len(every.gating)


def test_bencher_and_github_action_benchmark_keep_their_shapes(every: Report) -> None:
    content = json.loads(bencher(every))
    jsonschema.validate(content, BMF)
    assert content["cell-unchanged"]["epoch_time"] == {
        "value": 2.4,
        "lower_value": pytest.approx(2.3),
        "upper_value": pytest.approx(2.5),
    }
    entries = json.loads(github_action_benchmark(every))
    jsonschema.validate(entries, CUSTOM)
    assert not [entry for entry in entries if "ndcg" in entry["name"]]


def test_bounds_lie_around_a_head_that_its_rounds_by_turns_contradict(every: Report) -> None:
    against = dataclasses.replace(
        every.comparisons[0], cell_id="a", base=2.0, head=1.5, change=0.25, low=0.0, high=0.5
    )
    report = dataclasses.replace(every, comparisons=(against,))
    assert json.loads(bencher(report))["a"]["epoch_time"] == {
        "value": 1.5,
        "lower_value": pytest.approx(1.2),
        "upper_value": pytest.approx(1.8),
    }


def test_otava_has_a_row_a_side(every: Report) -> None:
    rows = list(csv.DictReader(otava(every).splitlines()))
    assert [row["commit"] for row in rows] == ["abc1234", "abc1234"]
    assert [row["cell-regressed.epoch_time"] for row in rows] == ["2.0", "2.4"]
    assert rows[0]["time"] == "2026-05-03T10:00:00+00:00"


def test_otava_can_import_each_column(every: Report) -> None:
    """Its importer wants rows as long as the header, a time, and numbers (otava's docs/CSV.md)."""
    header, *rows = csv.reader(otava(every).splitlines())
    assert header[:2] == ["time", "commit"]
    assert len(set(header)) == len(header)
    assert not [name for name in header if name.startswith("new.")]
    for row in rows:
        assert len(row) == len(header)
        assert datetime.fromisoformat(row[0]).tzinfo is not None
        assert all(math.isfinite(float(value)) for value in row[2:])


def test_markdown_says_the_verdict_first_and_folds_the_rest(every: Report) -> None:
    text = markdown(every)
    assert text.startswith("### REGRESSION: 4 REGRESSED, 1 OOM&#95;NEW, 1 FAILED")
    regressions, undecided = text.index("**Regressions: 6**"), text.index("**Undecided")
    assert regressions < undecided < text.index("<details><summary>Improvements: 2")
    assert text.index("<details><summary>Everything else: 5") > undecided
    assert "python regression&#95;report.py a b" in text
    assert "±2%" in text


@pytest.mark.parametrize("write", [markdown, junit])
def test_html_is_escaped(every: Report, write: Callable[[Report], str]) -> None:
    text = write(every)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text
    assert "\x00" not in text


def test_markdown_of_hostile_names_calls_nobody_and_breaks_no_table(every: Report) -> None:
    text = markdown(every)
    assert "@someone" not in text.replace("<code>", "\0").split("\0")[0]
    assert "![" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {9}


def test_thousands_of_cells_fit_in_time_and_size(thousands: Report) -> None:
    begin = time.perf_counter()
    text = markdown(thousands)
    assert time.perf_counter() - begin < 5
    assert 900_000 < len(text.encode()) < 2**20
    assert text.count("| REGRESSED |") == 250
    assert "more are in the JSON" in text
    assert len(markdown(thousands, COMMENT_BYTES)) < 65_536
    assert len(markdown(thousands, COMMENT_BYTES).encode()) <= COMMENT_BYTES


def test_what_the_verdict_does_not_cover_and_what_would_decide_it_are_not_folded(
    every: Report,
) -> None:
    text = markdown(dataclasses.replace(every, notes=("changed in bench is not judged",)))
    folds = text.index("<details>")
    assert text.index("- changed in bench is not judged") < text.index("**Regressions")
    assert text.index("**Undecided") < text.index("To decide: <code>python x --ab main") < folds
    assert "chance alone does that in at most 1.2% of cases" in text
    unchanged = dataclasses.replace(every, comparisons=tuple(every.of([Verdict.UNCHANGED])))
    assert "REGRESSED" not in markdown(unchanged)


def test_names_of_cells_are_short_where_they_are_read(every: Report) -> None:
    ids = ("sasrec-ml-train_epoch-L50-cpu1", "sasrec-ml-serve_step-L50-cpu1", "sasrec-ml-fit-L20")
    red, _, same = (dataclasses.replace(every.comparisons[0], cell_id=name) for name in ids)
    undecided = dataclasses.replace(red, cell_id=ids[1], verdict=Verdict.INCONCLUSIVE)
    same = dataclasses.replace(same, verdict=Verdict.UNCHANGED)
    text = markdown(dataclasses.replace(every, comparisons=(red, undecided, same)))
    assert "Cells of the first tables: sasrec ml L50 cpu1, and\n" in text
    assert "| REGRESSED | <code>train&#95;epoch</code> |" in text
    assert "| UNCHANGED | <code>sasrec-ml-fit-L20</code> |" in text


def test_a_command_can_be_copied_as_it_is(every: Report) -> None:
    wide = [dataclasses.replace(c, decide="x --ab a@b") for c in every.of([Verdict.INCONCLUSIVE])]
    text = markdown(dataclasses.replace(every, comparisons=tuple(wide)))
    assert "<code>x --ab a@b</code>" in text


def test_no_report_shows_its_reason_as_text() -> None:
    assert no_report("<b> | @me\n`x`").startswith(
        "### No report: &lt;b&gt; &#124; @\u200bme &#96;x"
    )


def test_an_empty_report_is_a_report() -> None:
    from report.verdict import Side

    empty = Report(Side("a"), Side("b"), "", "", "", ())
    assert markdown(empty).startswith(f"### NOT DECIDED: {EMPTY}")
    xmlschema.XMLSchema(HERE / "junit.xsd").validate(junit(empty))
    jsonschema.validate(json.loads(verdict_json(empty)), json.loads(SCHEMA_FILE.read_text()))
    assert json.loads(bencher(empty)) == {}


def test_the_terminal_shows_names_as_text(every: Report) -> None:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))
    print_report(every, console)
    said = console.export_text()
    assert said.startswith("REGRESSION")
    assert "[31m" in said.replace(" ", "")
    assert "to decide: python x --ab main" in said
    assert "REGRESSED (soft)" in said


def test_explain_names_every_pair(every: Report) -> None:
    lines = explain(every, "cell-regressed")
    assert any("2.00 s -> 2.50 s" in line and "contended" in line for line in lines)
    assert explain(every, "nothing") == []


def test_the_figure_shows_what_moved(every: Report, tmp_path: Path) -> None:
    assert save_pair_plot(every, tmp_path / "a.svg") >= 10
    save_pair_plot(every, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    empty = Report(every.base, every.head, "", "", "", ())
    assert save_pair_plot(empty, tmp_path / "c.svg") == 0
    assert list(Verdict)


@pytest.mark.slow
def test_the_command_with_five_thousand_cells_is_small_and_quick(tmp_path: Path) -> None:
    content = json.loads((ROOT / "results" / "reference" / "quick-ml_100k.json").read_text())
    ours, template = content["seqrec_bench"], content["seqrec_bench"]["records"]
    records = [
        template[n % len(template)] | {"cell_id": f"{template[n % len(template)]['cell_id']}-x{n}"}
        for n in range(5000)
    ]
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"seqrec_bench": ours | {"records": records}}))
    code = (
        "import gc, sys, resource; gc.disable(); from report.command import main; "
        f"code = main([{str(path)!r}, {str(path)!r}, '--markdown', {str(tmp_path / 'o.md')!r}]); "
        "used = resource.getrusage(resource.RUSAGE_SELF); "
        # Not ru_maxrss, in which the parent that forked it shows.
        "peak = open('/proc/self/status').read().split('VmHWM:')[1].split()[0]; "
        "print(used.ru_utime + used.ru_stime, int(peak) * 1024 / 1e6, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    # Seconds of the processor: what else the machine does is not this command's.
    seconds, megabytes = map(float, done.stderr.split())
    assert (tmp_path / "o.md").stat().st_size < 2**20
    print(f"{path.stat().st_size / 1e6:.0f} MB, {seconds:.1f} s, {megabytes:.0f} MB")
    assert seconds < 12
    assert megabytes < 300


@pytest.mark.parametrize("hostile", ["[/b]", "[/]", "[bold", "\x1b[31m", "[link=x]y"])
def test_text_of_a_file_is_no_markup(every: Report, hostile: str) -> None:
    texts = dict.fromkeys(("cell_id", "unit", "metric", "reason"), hostile)
    row = dataclasses.replace(every.comparisons[0], **texts)  # type: ignore[arg-type]
    rows = (row, dataclasses.replace(row, change=None))
    side = Side(hostile, hostile, hostile, started=hostile)
    report = Report(side, side, hostile, hostile, hostile, rows, notes=(hostile,))
    written = io.StringIO()
    print_report(report, Console(file=written, width=300))
    assert "\x1b" not in written.getvalue()
    shown = " ".join(written.getvalue().split())
    assert f"2.40 {hostile.replace(chr(27), '')}" in shown
    assert markdown(report)
    assert explain(report, hostile)


def test_the_small_print_has_the_whole_command_and_when_both_sides_ran(every: Report) -> None:
    command = "python regression_report.py " + "x" * 900
    early = dataclasses.replace(every.base, started="2026-05-02T09:00:00+00:00")
    text = markdown(dataclasses.replace(every, base=early, command=command))
    assert "x" * 900 in text
    assert "started 2026-05-02T09:00:00" in text
    assert "started 2026-05-03T10:00:00" in text
