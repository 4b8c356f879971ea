"""The table gives the numbers in full and lists what did not run; findings claim no more."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

import plot_results
from report.facets import cells
from report.figures import FIGURES
from report.finding import findings
from report.load import load_runs
from report.table import print_table, table_rows

NASTY = [
    "<b>x</b>&amp;",
    "a \"quoted\" 'name'",
    "$x_1$ and $",
    "[red]m[/red]",
    "m" * 200,
    "\x1b[31mred",
]


def printed(runs, **settings):
    stream = io.StringIO()
    print_table(runs, Console(file=stream, highlight=False, **settings))
    return stream.getvalue()


def row_of(rows, model, seq_len):
    return next(row for row in rows if row["model"] == model and row["L"] == str(seq_len))


def test_a_row_has_the_numbers_of_its_model_and_length(run_json):
    rows = table_rows(cells(load_runs([run_json()])))
    assert row_of(rows, "SASRec", 100) == {
        "model": "SASRec",
        "L": "100",
        "epoch": "2.50 s",
        "samples/s": "377",
        "p50": "2.50 ms",
        "p95": "3.50 ms",
        "peak MiB": "165",
        "NDCG@10": "0.1500 ± 0.0020",
        "HR@10": "0.2850 ± 0.0038",
        "MRR@10": "0.1050 ± 0.0014",
        "params": "126,400",
        "seeds": "n=3",
    }
    assert row_of(rows, "Mamba4Rec", 200)["epoch"] == "~6.40 s"
    assert "epoch" not in row_of(rows, "BERT4Rec (cloze)", 200)
    assert "p95" not in row_of(rows, "GRU4Rec", 50)
    assert row_of(rows, "SASRec", 200)["seeds"] == "n=2"


def test_the_first_line_says_which_data_and_why(made, run_json):
    first = printed(load_runs([run_json()])).splitlines()[0]
    assert first == "Data: ML-100K: the official archive, since ML-1M was not found"
    derived = printed(load_runs([run_json([made.train("sasrec", 50)], dataset_line=None)]))
    assert derived.splitlines()[0] == "Data: ML-100K (found here)"


def test_what_did_not_run_is_listed_with_the_reason(run_json):
    text = printed(load_runs([run_json()]))
    assert "Did not run: 5 of 72 cells" in text
    assert "bert4rec-train_epoch-L200-s0: oom, the worker was killed at 7.6 GiB" in text


def test_a_table_for_a_file_is_plain_and_whole(run_json):
    text = printed(load_runs([run_json()]))
    assert "\x1b" not in text
    assert "…" not in text
    assert "0.1064 ± 0.0014" in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_number_is_cut_in_a_narrow_terminal(width, run_json):
    text = printed(load_runs([run_json()]), width=width, force_terminal=True, color_system=None)
    for number in ("~6.40 s", "0.2888 ± 0.0038", "123,200", "8.96 ms"):
        assert number in text
    assert "…" not in text


def test_two_batch_sizes_are_two_named_rows(made, run_json):
    records = [made.train("sasrec", 50), made.train("sasrec", 50, batch_size=512)]
    rows = table_rows(cells(load_runs([run_json(records)])))
    assert [row["model"] for row in rows] == ["SASRec (batch 256)", "SASRec (batch 512)"]


def test_two_objectives_are_named_in_their_rows(made, run_json):
    records = [made.train("sasrec", 50), made.train("sasrec", 50, objective="last")]
    rows = table_rows(cells(load_runs([run_json(records)])))
    assert [row["model"] for row in rows] == ["SASRec (all)", "SASRec (last)"]


def test_two_runs_are_two_tables(made, tmp_path):
    paths = [
        made.write_json(tmp_path / f"{name}.json", made.suite(), run_id=name)
        for name in ("base", "head")
    ]
    lines = [line.strip() for line in printed(load_runs(paths)).splitlines()]
    assert lines.count("base") == lines.count("head") == 1


def test_batched_requests_never_stand_in_for_one_users(made, run_json):
    records = [made.serve("sasrec", "recommend", 50, batch_size=256), made.train("sasrec", 50)]
    runs = load_runs([run_json(records)])
    assert "p50" not in table_rows(cells(runs))[0]
    assert FIGURES["latency"](runs) is None


@pytest.mark.parametrize("name", NASTY)
def test_any_name_is_shown_as_text(name, made, run_json, tmp_path, capsys):
    records = [made.train(name, 50, reason=None, dataset=name), made.fit(name, 50, 0)]
    records.append(made.train(name, 100, status="error", reason=f"{name} broke", metrics={}))
    path = run_json(records, dataset_line=name, run_id=name)
    assert plot_results.main([str(path), "--out", str(tmp_path / "figures")]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert name[:20].replace("\x1b", "").strip() in out
    figure = FIGURES["epoch_time"](load_runs([path]))
    label = figure.legends[0].get_texts()[0]
    assert label.get_text()[:20] == name[:20].replace("\x1b", "").strip()
    assert not label.get_parse_math()


def test_findings_say_when_the_difference_is_within_the_seeds(made, run_json):
    close = [made.fit(model, 50, seed) for model in ("bert4rec", "gru4rec") for seed in range(3)]
    (sentence,) = findings(load_runs([run_json(close)]))
    assert "within their spread" in sentence
    (sentence,) = findings(load_runs([run_json([r for r in close if r.config["seed"] == 0])]))
    assert "one seed" in sentence


def test_findings_name_the_fastest_the_length_and_who_is_missing(made, run_json):
    records = [made.train("sasrec", 200), made.train("gru4rec", 200)]
    gone = {"status": "oom", "reason": "killed", "metrics": {}}
    records.append(made.train("mamba4rec", 200, **gone))
    (sentence,) = findings(load_runs([run_json(records)]))
    assert sentence == (
        "On ML-100K at L=200 the shortest epoch is GRU4Rec's: 2.80 s, "
        "2.14 times as fast as SASRec's; no number for Mamba4Rec."
    )


def test_findings_and_rows_say_who_was_measured_beside_other_work(made, run_json):
    records = [made.train("gru4rec", 200), made.train("sasrec", 200, flags=["contended"])]
    runs = load_runs([run_json(records)])
    (sentence,) = findings(runs)
    assert sentence.endswith("; not sure: the processor was busy or throttled during SASRec.")
    rows = {row["model"]: row for row in table_rows(cells(runs))}
    assert rows["SASRec"]["epoch"] == "6.00 s !"
    assert rows["SASRec"]["peak MiB"] == "327"
    assert rows["GRU4Rec"]["epoch"] == "2.80 s"
    assert "! measured while the processor was busy or throttled" in printed(runs)


def test_findings_do_not_compare_epochs_of_two_tasks(made, run_json):
    records = [made.train(name, 200) for name in ("gru4rec", "sasrec")]
    records.append(made.train("bert4rec", 200, objective="cloze"))
    (sentence,) = findings(load_runs([run_json(records)]))
    assert sentence.endswith("an epoch of BERT4Rec (cloze) is another task and is not compared.")


def test_one_model_alone_gives_no_finding(made, run_json):
    assert findings(load_runs([run_json([made.train("sasrec", 50)])])) == []


def test_the_command_prints_the_table_and_writes_both_formats(run_json, tmp_path, capsys):
    out, path = tmp_path / "figures", run_json()
    assert plot_results.main([str(path), "--out", str(out)]) == 0
    assert {path.suffix for path in out.iterdir()} == {".png", ".svg"}
    assert {path.stem for path in out.iterdir()} == set(FIGURES)
    said = capsys.readouterr().out
    assert "Mamba4Rec" in said
    assert said.endswith(f"chooser: python plot_results.py --page {path}\n")


def test_only_the_named_format_is_written(run_json, tmp_path):
    out = tmp_path / "figures"
    assert plot_results.main([str(run_json()), "--out", str(out), "--format", "svg"]) == 0
    assert {path.suffix for path in out.iterdir()} == {".svg"}


def test_figures_without_data_are_named(made, run_json, tmp_path, capsys):
    path = run_json([made.train("sasrec", 50)])
    assert plot_results.main([str(path), "--out", str(tmp_path / "figures")]) == 0
    assert "latency, tails, step_latency, accuracy_time" in capsys.readouterr().out


def test_a_data_line_that_names_itself_is_not_named_twice(made, run_json):
    runs = load_runs([run_json([made.train("sasrec", 50)], dataset_line="data: ML-100K")])
    assert printed(runs).splitlines()[0] == "Data: ML-100K"


def test_scenarios_have_columns_of_their_own_and_leave_latencies_alone(made, run_json):
    served = made.fact(431.0, "1/s", "tail")
    records = [
        made.record("sasrec", "recommend", 50, metrics={"latency_p50": made.time(0.002)}),
        made.record(
            "sasrec", "recommend", 50, scenario="server", latency_target=0.01, key="b",
            metrics={"latency_p50": made.time(0.004), "throughput_at_p99": served},
        ),
        made.record(
            "sasrec", "recommend", 50, scenario="offline", batch_size=1024, key="c",
            metrics={"users_per_second": made.fact(2150.0, "1/s", "time")},
        ),
    ]  # fmt: skip
    runs = load_runs([run_json(records)])
    (row,) = table_rows(cells(runs))
    assert row["p50"] == "2.00 ms"
    assert row["users/s at p99"] == "431"
    assert row["users/s offline"] == "2,150"
    assert [cell.workload for cell in cells(runs, "recommend")] == ["recommend"]
