"""The finding is computed: who is fastest where, where they cross, what is not told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from report.finding import finding
from report.load import load_runs

LENGTHS = (50, 100, 200, 400, 800)


@pytest.fixture
def said(run_json):
    return lambda records: finding(load_runs([run_json(records)]))


def timed(made, model, cost, *, noise=0.01, lengths=LENGTHS):
    """Epoch times of five rounds around cost(L)."""
    random = np.random.default_rng(sum(model.encode()))
    records = []
    for at in lengths:
        rounds = [cost(at) * float(np.exp(noise * random.standard_normal())) for _ in range(5)]
        metrics = {"epoch_time": made.time(float(np.median(rounds)), 5)}
        records.append(made.train(model, at, metrics=metrics, samples={"epoch_time": rounds}))
    return records


def test_the_fastest_at_either_end_and_the_crossover_with_its_interval(made, said):
    sasrec = timed(made, "sasrec", lambda at: 1 + at / 50)
    gru = timed(made, "gru4rec", lambda at: 5 + at / 100)
    text = said([*sasrec, *gru])
    assert text.startswith("On ML-100K the fastest through an epoch is SASRec at L=50 (2.")
    assert "and GRU4Rec at L=800 (" in text
    assert "times as fast as SASRec, 95% over rounds of one run: 1." in text
    assert "; they cross at L=390 (95%: " in text


def test_two_that_can_not_be_told_apart_are_said_to_be_so(made, said):
    one = timed(made, "sasrec", lambda at: at / 50, noise=0.2)
    other = timed(made, "gru4rec", lambda at: at / 50, noise=0.2)
    assert "but they can't be told apart, 95% over rounds of one run: " in said([*one, *other])


def test_few_lengths_give_no_fitted_crossover_but_its_neighbours(made, said):
    lengths = (50, 400, 800)
    sasrec = timed(made, "sasrec", lambda at: 1 + at / 50, lengths=lengths)
    gru = timed(made, "gru4rec", lambda at: 5 + at / 100, lengths=lengths)
    text = said([*sasrec, *gru])
    assert "they change places between L=400 and 800" in text


def test_a_model_out_of_memory_and_a_scaled_time_are_said(made, said):
    gone = {"status": "oom", "reason": "killed", "metrics": {}}
    records = timed(made, "gru4rec", lambda at: at / 50)
    sasrec = timed(made, "sasrec", lambda at: at / 60, lengths=LENGTHS[:4])
    sasrec[0] = replace(sasrec[0], flags=["extrapolated"])
    text = said([*records, *sasrec, made.train("sasrec", 800, **gone)])
    assert "; SASRec ran out of memory at L=800." in text
    assert "extrapolated from a part of an epoch" in text


def test_nobody_is_the_fastest_while_others_were_at_work(made, said):
    gru = timed(made, "gru4rec", lambda at: at / 100)
    sasrec = timed(made, "sasrec", lambda at: at / 50)
    sasrec[-1] = replace(sasrec[-1], flags=["contended"])
    text = said([*gru, *sasrec])
    assert "GRU4Rec at L=50 (2.01 times as fast as SASRec, 95%" in text
    assert "L=800 (2.0" in text
    assert "not sure: the processor was busy or throttled during SASRec)" in text


def test_epochs_of_two_tasks_are_not_compared(made, said):
    causal = timed(made, "gru4rec", lambda at: at / 50) + timed(made, "sasrec", lambda at: at / 40)
    cloze = [
        replace(record, config=record.config | {"objective": "cloze"})
        for record in timed(made, "bert4rec", lambda at: at / 200)
    ]
    text = said([*causal, *cloze])
    assert text.startswith("On ML-100K the fastest through an epoch is GRU4Rec at L=50 (1.2")
    assert text.endswith("; an epoch of BERT4Rec (cloze) is another task and is not compared.")


def test_accuracies_that_are_not_told_apart_are_named(made, said):
    def fit(model, scores):
        return [
            made.fit(
                model,
                50,
                seed,
                metrics={"ndcg@10": made.Metric(score, "1", "higher", "accuracy", "full ranking")},
            )
            for seed, score in enumerate(scores)
        ]

    text = said(
        [
            *fit("sasrec", [0.150, 0.152, 0.151, 0.149]),
            *fit("mamba4rec", [0.151, 0.148, 0.152, 0.150]),
            *fit("gru4rec", [0.120, 0.123, 0.121, 0.120]),
        ]
    )
    assert text == (
        "The highest NDCG@10 on ML-100K at L=50 is SASRec's, 0.1505, but Mamba4Rec can't be told "
        "apart from it; GRU4Rec is lower (paired tests over 4 seeds, 5% over all pairs)."
    )


def test_accuracies_of_every_length_are_said(made, said):
    places = [(name, at) for name in ("gru4rec", "sasrec") for at in (50, 200)]
    fits = [made.fit(*place, seed) for place in places for seed in (0, 1)]
    text = said(fits)
    assert text.startswith("The highest NDCG@10 on ML-100K at L=50 is SASRec's, 0.1")
    assert "; at L=200 it is SASRec's, 0.1" in text
    # Made up, they rise alike from seed to seed, which tests nothing.
    assert text.count("(too few seeds for a test)") == 1
    for place, one in enumerate(fits):
        score = one.metrics["ndcg@10"]
        one.metrics["ndcg@10"] = replace(score, value=score.value + 1e-4 * place**2)
    assert said(fits).count("(paired tests over 2 seeds") == 1


def test_accuracies_of_lengths_that_other_runs_measured_are_said_too(made, run_json):
    def run(name, fits):
        path = run_json(fits, run_id=name)
        return path.rename(path.with_name(f"{name}.json"))

    def fits(at, seeds, **changes):
        names = ("gru4rec", "sasrec")
        return [made.fit(name, at, seed, **changes) for name in names for seed in seeds]

    cut = fits(50, (0, 1, 2), flags=["max_epochs"], machine={"fingerprint": "a"})
    files = [
        run("quick", cut),
        run("short", fits(50, (0,), machine={"fingerprint": "b"})),
        run("long", fits(200, (0, 1), machine={"fingerprint": "c"})),
    ]
    text = finding(load_runs(files))
    assert text.startswith("The highest NDCG@10 on ML-100K at L=50 is SASRec's, 0.1")  # not cut off
    assert "; at L=200 it is SASRec's, 0.1" in text


def test_fits_that_were_cut_off_are_said_to_be(made, said):
    fits = [made.fit(name, 50, seed) for name in ("gru4rec", "sasrec") for seed in (0, 1)]
    for one in fits:
        one.flags.append("max_epochs")
    cut = "at L=50, training cut off after 12 epochs, is SASRec's, 0.1"
    assert cut in said(fits)
    fits[0].flags.remove("max_epochs")  # one of them did converge
    assert "cut off" not in said(fits)


def test_one_model_alone_gives_no_finding(made, said):
    assert said([made.train("sasrec", 50)]) == ""


def test_names_from_files_stay_on_one_line(made, said):
    records = [
        record
        for name in ("<b>a</b>\n", "b" * 200)
        for record in timed(made, name, lambda at: at / 50, lengths=(50,))
    ]
    assert "\n" not in said(records)
