"""Accuracies of another file stand beside a run of the same sequences, and only there."""

from __future__ import annotations

from dataclasses import replace

import plot_results
from report.borrowed import borrow
from report.load import load_runs

HERE, ELSEWHERE = {"name": "ml_100k", "sequence_hash": "ab12"}, {"sequence_hash": "cd34"}


def saved(run_json, name, records):
    path = run_json(records, run_id=name)
    return path.rename(path.with_name(f"{name}.json"))


def loaded(run_json, **runs):
    return load_runs([saved(run_json, name, records) for name, records in runs.items()])


def test_fits_of_the_same_sequences_are_shown_and_nothing_else_of_their_run(made, run_json):
    fits = [made.fit("sasrec", 50, seed, data=HERE) for seed in (0, 1)]
    other = made.fit("gru4rec", 50, 0, data=HERE | ELSEWHERE)
    mine, lender = loaded(
        run_json,
        mine=[made.train("sasrec", 50, data=HERE)],
        lender=[*fits, other, made.train("sasrec", 50, data=HERE)],
    )
    borrowed = borrow([mine], lender)
    assert borrowed.run == replace(lender, records=lender.records[:2])
    assert borrowed.said.startswith("Accuracies of the same sequences: 2 fits from ")


def test_what_can_not_be_lent_is_said(made, run_json):
    mine, strange, timed = loaded(
        run_json,
        mine=[made.train("sasrec", 50, data=ELSEWHERE)],
        strange=[made.fit("sasrec", 50, 0, data=HERE)],
        timed=[made.train("sasrec", 50, data=ELSEWHERE)],
    )
    assert borrow([mine], strange).run is None
    assert borrow([mine], strange).said.endswith("its fits are of other sequences (ml_100k)")
    assert borrow([mine], timed).said.endswith("it has no fit")
    # Records from before sequences were hashed are of no sequences that are known.
    unknown = replace(mine, records=(made.train("sasrec", 50, data={}),))
    lender = replace(strange, records=(made.fit("sasrec", 50, 0, data={}),))
    assert borrow([unknown], lender).run is None


def test_the_page_has_them_and_figures_refuse_the_option(made, run_json, tmp_path, capsys):
    mine = saved(run_json, "mine", [made.train("sasrec", 50, data=HERE)])
    fits = [made.fit("sasrec", 50, seed, data=HERE) for seed in (0, 1)]
    lender, out = saved(run_json, "lender", fits), tmp_path / "page.html"
    given = [str(mine), "--accuracy", str(lender), "--out", str(out)]
    assert plot_results.main(["--page", *given]) == 0
    assert "2 fits from" in capsys.readouterr().out
    assert "lender" in out.read_text()
    assert plot_results.main(given) == 2
    assert capsys.readouterr().err == (
        "error: --accuracy belongs to --page; figures take several files as they are\n"
    )
