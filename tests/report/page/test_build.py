"""What stands in the page before any browser opens it: finding, tables, machines, limits."""

from __future__ import annotations

import json
import math
import re
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

import plot_results
from report.facets import cells
from report.finding import finding
from report.load import load_runs
from report.notes import flag_notes
from report.page.build import SCRIPTS, build_page
from report.page.charts import memory
from report.page.machines import differences, in_words
from report.page.rerun import command, command_at
from report.page.seeds import accuracies
from report.page.tables import together

ROOT = Path(__file__).resolve().parents[3]


def data_of(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def page_of(path: Path) -> str:
    """The page of one file; of equal files it is built once."""
    content = path.read_bytes()
    if content not in _PAGES:
        _PAGES[content] = build_page(load_runs([path]))
    return _PAGES[content]


_PAGES: dict[bytes, str] = {}


def test_the_same_records_give_the_same_bytes(made, run_json):
    path = run_json()
    page = page_of(path)
    assert page == build_page(load_runs([path]))
    assert len(page.encode()) < 3_000_000


def test_the_page_leads_with_the_computed_finding(made, run_json):
    path = run_json()
    page, runs = page_of(path), load_runs([path])
    lead = re.search(r'<p class="lead"><bdi>(.*?)</bdi>', page)
    assert lead is not None
    assert finding(runs).startswith(lead[1].replace("&#39;", "'"))


def test_what_failed_is_among_the_limits_with_its_reason(made, run_json):
    page = page_of(run_json())
    limits = page[page.index('id="limits"') :]
    assert "BERT4Rec train_epoch L=200: oom, the worker was killed at 7.6 GiB" in limits


def test_runs_on_machines_that_differ_say_so_beside_each_comparison(made, tmp_path):
    other = made.MACHINE | {"cpu_model": "Xeon 8592", "physical_cores": 8}
    moved = [made.train("sasrec", 50, machine=other), made.fit("sasrec", 50, 0, machine=other)]
    here = [made.train("sasrec", 50), made.fit("sasrec", 50, 0)]
    paths = [
        made.write_json(tmp_path / "here.json", here),
        made.write_json(tmp_path / "there.json", moved, machine=other),
    ]
    runs = load_runs(paths)
    said = in_words(differences(runs), runs)
    assert "processor (EPYC 9V74 / Xeon 8592), cores (2 / 8)" in said
    page = build_page(runs)
    assert page.count('class="warning"') == 2
    rows = re.findall(r"<tr><th scope=\"row\">(epoch|NDCG@10)</th>.*?</tr>", page, re.DOTALL)
    assert rows == ["epoch", "NDCG@10"]
    table = page[page.index('id="compare"') : page.index('id="cells"')]
    epoch, accuracy = table.split("NDCG@10</th>")
    assert "×</span>" not in epoch
    assert "1.00×</span>" in accuracy


def test_equal_machines_are_compared_with_ratios(made, tmp_path):
    slow = made.train("sasrec", 50, metrics={"epoch_time": made.time(2.25)})
    paths = [
        made.write_json(tmp_path / "base.json", [made.train("sasrec", 50)], run_id="a"),
        made.write_json(tmp_path / "head.json", [slow], run_id="b"),
    ]
    page = build_page(load_runs(paths))
    assert "agree in every hard key" in page
    assert "2.00×</span>" in page


def test_a_run_is_measured_again_by_what_pytest_was_given(made, run_json):
    given = ["bench/", "--suite", "quick", "--data-dir", "/home/me/data", "-q"]
    given += ["--benchmark-json=/tmp/run.json", "--seq-len", "50,100"]
    (run,) = load_runs([run_json(argv=given)])
    assert command(run) == "pytest bench/ --suite quick --seq-len 50,100"


def test_another_suite_is_run_under_the_same_conditions(made, run_json):
    given = ["bench/", "--suite", "scaling", "--seq-len", "50,100", "--threads=1", "-q"]
    given += ["--min-count", "10", "--data-dir", "/home/me", "--columns", "user=u,item=i"]
    (run,) = load_runs([run_json(argv=given)])
    command = command_at(run, "accuracy", "ml_1m")
    conditions = "--threads 1 --min-count 10 --columns user=u,item=i"
    assert command == (
        f"pytest bench/ --suite accuracy --dataset ml_1m {conditions} --seq-len {{L}}"
        " --benchmark-json=results/accuracy-ml_1m-L{L}.json"
    )


def test_how_far_an_accuracy_is_off_by_its_users_is_bounded_from_the_record(made, run_json):
    # Of three users one is ranked second: NDCG 1 / log2(3), squares 0.398 at most, MRR 0.5.
    scores = {
        name: made.Metric(value / 3, "1", "higher", "accuracy", "full ranking", n=3)
        for name, value in (("ndcg@10", 1 / math.log2(3)), ("mrr@10", 0.5))
    }
    found = cells(load_runs([run_json([made.fit("sasrec", 50, 0, metrics=scores)])]))
    known = accuracies(found, "ML-100K", "sasrec", "", found[0].run.label)
    exact = statistics.pstdev([1 / math.log2(3), 0, 0]) / math.sqrt(3)
    assert exact <= known[50].users < 1.2 * exact


def test_numbers_are_kept_as_columns_with_reasons_where_there_are_none(made, run_json):
    cells = data_of(page_of(run_json()))["cells"]
    texts, shapes, records = cells["texts"], cells["shapes"], cells["records"]
    place = records["id"].index("gru4rec-recommend-L50-s0")
    names = [texts[metric[0]] for metric in shapes[records["shape"][place]]]
    assert names[:2] == ["latency_p50", "latency_p95"]
    missing = records["values"][place][2]
    assert texts[missing[0]] == "40 samples; 59 are needed"
    never = records["id"].index("gru4rec-fit-L50-s0")
    assert cells["columns"]["peak"][never] is None


def test_a_cells_record_has_its_outliers(made, run_json):
    record = made.serve("gru4rec", "recommend", 200)
    p50 = record.metrics["latency_p50"]
    record.metrics["latency_p50"] = replace(p50, outliers={"mild": 7, "severe": 2})
    cells = data_of(page_of(run_json([record])))["cells"]
    (shape,) = cells["shapes"]
    assert [metric[-1] for metric in shape] == [1] + [0] * (len(record.metrics) - 1)
    assert cells["records"]["values"][0][1:4] == [500, 7, 2]  # after the value: n, mild, severe


def test_our_scripts_reach_for_nothing_outside(made):
    for name in SCRIPTS:
        text = (ROOT / "report/page" / name).read_text()
        for word in ("fetch(", "XMLHttpRequest", "innerHTML", "eval(", "import(", "http"):
            if (name, word) != ("formats.js", "http"):  # the name of SVG's elements
                assert word not in text, f"{name}: {word}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.json"], "missing.json"),
        (["{run}", "--out", "{folder}"], "a folder; --page writes one file"),
    ],
)
def test_bad_input_gives_one_line_and_no_page(run_json, tmp_path, capsys, arguments, said):
    filled = [word.format(run=run_json(), folder=tmp_path) for word in arguments]
    assert plot_results.main(["--page", *filled]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_the_command_writes_the_page_and_says_where(run_json, tmp_path, capsys):
    out = tmp_path / "new" / "page.html"
    assert plot_results.main(["--page", str(run_json()), "--out", str(out)]) == 0
    assert out.read_text().startswith("<!doctype html>")
    assert f"Page: {out}" in capsys.readouterr().out


def test_without_files_the_newest_result_is_taken_else_the_reference(run_json, tmp_path):
    reference = tmp_path / "reference"
    reference.mkdir()
    kept = reference / "kept.json"
    kept.write_text("{}")
    assert plot_results.default_files(tmp_path) == [kept]
    run = run_json()
    assert plot_results.default_files(tmp_path) == [run]


def test_a_contended_cell_is_not_shown_as_plainly_ok(made, run_json):
    page = build_page(load_runs([run_json([made.train("sasrec", 50, flags=["contended"])])]))
    cells = data_of(page)["cells"]
    assert cells["texts"][cells["columns"]["status"][0]] == "ok, contended"
    assert "<td><bdi>ok, contended</bdi></td>" in page


def test_rows_of_different_runs_are_named_apart(made, tmp_path):
    short = [
        made.fit(model, 50, 0, flags=["max_epochs"], max_epochs=6, threads=1)
        for model in made.MODELS
    ]
    paths = [
        made.write_json(tmp_path / "long.json", made.suite((50, 100)), run_id="a"),
        made.write_json(tmp_path / "short.json", short, run_id="b"),
    ]
    found = {table.title: table for table in together(load_runs(paths))}
    for title in ("What accuracy costs", "Which differences of accuracy are more than chance"):
        where = {row[0] for row in found[title].rows}
        assert "ML-100K, L=50, a · 2 threads" in where
        assert "ML-100K, L=50, b · 1 thread, stopped after 6 epochs" in where


def test_a_ratio_is_to_the_first_run_that_has_the_number(made, tmp_path):
    slow = made.train("sasrec", 50, metrics={"epoch_time": made.time(2.25)})
    made_of = ([made.train("gru4rec", 50)], [made.train("sasrec", 50)], [slow])
    paths = [
        made.write_json(tmp_path / f"{place}.json", records, run_id=str(place))
        for place, records in enumerate(made_of)
    ]
    page = build_page(load_runs(paths))
    assert "2.00×</span>" in page
    assert "to the first run that measured it" in page


def test_what_has_no_model_is_named_by_its_workload(made, run_json):
    (run,) = load_runs([run_json([made.record("none", "load", 50, flags=["noisy"])])])
    (note,) = flag_notes(cells([run]))
    assert note.endswith(": data loading, L=50")


def test_memory_at_batches_chosen_by_length_says_so_beside_the_chart(made, run_json):
    by_length = [made.train("sasrec", at, batch_size=16384 // at) for at in (50, 100, 200)]
    (run,) = load_runs([run_json(by_length)])
    chart = memory(cells([run]))
    assert chart is not None
    assert "chosen by L, from batch 327 at L=50 to batch 81 at L=200" in chart.says
    (run,) = load_runs([run_json()])
    chart = memory(cells([run]))
    assert chart is not None
    assert "batch" not in chart.says
