"""The front takes each number from where it was measured, and leaves out who lacks one."""

from __future__ import annotations

import pytest

from report.front import fronts, pareto
from report.load import load_runs


def whole(made, model, seed_scores=(0.15, 0.152, 0.148), **changes):
    """All four metrics of a model at L = 50."""
    fits = [
        made.fit(
            model,
            50,
            seed,
            metrics={"ndcg@10": made.Metric(score, "1", "higher", "accuracy", "full ranking")},
        )
        for seed, score in enumerate(seed_scores)
    ]
    return [*fits, made.serve(model, "recommend", 50, **changes), made.train(model, 50)]


def test_samples_come_from_seeds_and_the_cells_of_the_same_length(made, run_json):
    records = [*whole(made, "sasrec"), *whole(made, "gru4rec"), made.train("sasrec", 100)]
    (front,) = fronts(load_runs([run_json(records)]))
    assert front.seq_len == 50
    assert front.points["SASRec"]["ndcg@10"] == [0.15, 0.152, 0.148]
    assert front.points["SASRec"]["epoch_time"] == [made.seconds("sasrec", 50)]
    assert front.points["SASRec"]["latency_p50"] == [made.seconds("sasrec", 50) / 1000]
    assert set(front.probabilities) == {"SASRec", "GRU4Rec"}


def test_a_model_beaten_in_everything_is_off_the_front_and_it_is_said_by_whom(made, run_json):
    records = [
        *whole(made, "gru4rec"),
        *whole(made, "mamba4rec", (0.10, 0.101, 0.099)),
    ]
    for record in records:
        if "memory_peak" in record.metrics:  # as much for both
            record.metrics["memory_peak"] = made.fact(2.0**26, "B", "memory_physical")
    runs = load_runs([run_json(records)])
    (front,) = fronts(runs)
    assert front.probabilities["GRU4Rec"] == 1.0
    assert front.probabilities["Mamba4Rec"] < 0.05
    assert front.beaten["Mamba4Rec"].by == "GRU4Rec"
    assert "Mamba4Rec is beaten in all four by GRU4Rec" in made.joined(pareto(runs))


def test_a_model_without_a_latency_is_left_out_with_a_note(made, run_json):
    gone = {"status": "oom", "reason": "killed", "metrics": {}}
    records = [
        *whole(made, "sasrec"),
        *whole(made, "gru4rec"),
        *whole(made, "bert4rec", **gone),
    ]
    runs = load_runs([run_json(records)])
    (front,) = fronts(runs)
    assert front.left_out == {"BERT4Rec (cloze)": "latency p50"}
    assert "BERT4Rec (cloze) left out, no latency p50" in made.joined(pareto(runs))


def test_numbers_of_another_run_are_used_only_where_the_own_has_none(made, tmp_path):
    both = [*whole(made, "sasrec"), *whole(made, "gru4rec")]
    fits = [record for record in both if record.config["workload"] == "fit"]
    rest = [record for record in both if record.config["workload"] != "fit"]
    paths = [
        made.write_json(tmp_path / "a.json", fits, run_id="accuracy-1", suite="accuracy"),
        made.write_json(tmp_path / "b.json", rest, run_id="quick-2"),
    ]
    runs = load_runs(paths)
    (front,) = fronts(runs)
    assert front.runs == ["accuracy-1", "quick-2"]
    assert "numbers from runs accuracy-1, quick-2." in made.joined(pareto(runs))


@pytest.mark.parametrize("models", [(), ("sasrec",)])
def test_one_model_has_no_front(models, made, run_json):
    records = [record for model in models for record in whole(made, model)]
    records.append(made.train("gru4rec", 50))
    assert pareto(load_runs([run_json(records)])) is None
