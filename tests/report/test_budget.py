"""Epochs, seconds and joules to a share of the best accuracy, also where none gets there."""

from __future__ import annotations

import pytest

from report.budget import budgets
from report.load import load_runs


@pytest.fixture
def learnt(made, run_json):
    """Budgets from (model, seed, validation scores, seconds an epoch) and further records."""

    def find(*fits, more=(), shares=(0.95,)):
        records = [
            made.fit(
                model,
                50,
                seed,
                samples={
                    "valid_ndcg@10": scores,
                    "seconds": [each * (place + 1) for place in range(len(scores))],
                },
            )
            for model, seed, scores, each in fits
        ]
        found = budgets(load_runs([run_json([*records, *more])]), shares)
        return {(budget.model, budget.share): budget for budget in found}

    return find


def test_the_target_is_a_share_of_the_best_models_mean_over_seeds(learnt):
    found = learnt(
        ("sasrec", 0, [0.05, 0.10, 0.09], 2.0),
        ("sasrec", 1, [0.06, 0.12, 0.11], 2.0),
        ("gru4rec", 0, [0.105, 0.09], 1.0),
        shares=(0.95, 0.99),
    )
    assert found["gru4rec", 0.95].target == pytest.approx(0.95 * 0.11)
    assert found["gru4rec", 0.99].target == pytest.approx(0.99 * 0.11)


def test_epochs_and_seconds_are_those_of_the_first_epoch_that_gets_there(learnt):
    found = learnt(
        ("sasrec", 0, [0.05, 0.08, 0.096, 0.10], 2.0), ("gru4rec", 0, [0.02, 0.097], 1.5)
    )
    sasrec, gru = found["sasrec", 0.95], found["gru4rec", 0.95]
    assert (sasrec.epochs.value, sasrec.seconds.value) == (3, 6.0)
    assert (gru.epochs.value, gru.seconds.value) == (2, 3.0)
    assert (
        gru.in_words() == "GRU4Rec at L=50 reaches 95% of the best NDCG@10 after 2 epochs, 3.00 s"
    )


def test_a_seed_that_never_gets_there_counts_as_late_and_not_as_absent(learnt):
    found = learnt(
        ("sasrec", 0, [0.10], 1.0),
        ("gru4rec", 0, [0.01, 0.10], 1.0),
        ("gru4rec", 1, [0.01, 0.01, 0.01, 0.10], 1.0),
        ("gru4rec", 2, [0.01, 0.02, 0.03], 1.0),
    )
    budget = found["gru4rec", 0.95]
    assert (budget.epochs.value, budget.reached, budget.seeds) == (4, 2, 3)
    assert budget.in_words().endswith("after 4 epochs, 4.00 s (2 of 3 seeds)")


def test_where_half_of_the_seeds_never_get_there_it_is_more_than_the_longest_try(learnt):
    found = learnt(
        ("sasrec", 0, [0.10], 1.0),
        ("gru4rec", 0, [0.01, 0.099], 1.0),
        ("gru4rec", 1, [0.01, 0.02, 0.03], 2.0),
    )
    budget = found["gru4rec", 0.95]
    assert (budget.epochs.value, budget.epochs.beyond) == (None, 3)
    assert (budget.seconds.value, budget.seconds.beyond) == (None, 6.0)
    assert "does not reach 95% of the best NDCG@10 in 3 epochs (1 of 2 seeds)" in budget.in_words()


def test_joules_are_the_epochs_times_those_of_the_same_cell_in_training(made, learnt):
    train = made.train("sasrec", 50)
    train.metrics["energy_per_epoch"] = made.Metric(
        7.0, "J", "lower", "energy", "windows", source="rapl"
    )
    other = made.train("gru4rec", 50, batch_size=64)
    other.metrics["energy_per_epoch"] = train.metrics["energy_per_epoch"]
    found = learnt(
        ("sasrec", 0, [0.05, 0.10], 1.0), ("gru4rec", 0, [0.1], 1.0), more=[train, other]
    )
    assert found["sasrec", 0.95].joules.value == 14.0
    assert "14.0 J (rapl)" in found["sasrec", 0.95].in_words()
    assert found["sasrec", 0.95].no_joules == ""
    assert found["gru4rec", 0.95].joules is None  # another batch is another cost
    assert found["gru4rec", 0.95].no_joules == ("measured of epochs at batch 64, not at batch 256")


def test_joules_that_nobody_measured_have_a_reason(made, learnt):
    train = made.train("sasrec", 50)
    train.metrics["energy_per_epoch"] = made.not_measured(
        "nothing counts energy here", unit="J", better="lower", kind="energy"
    )
    found = learnt(("sasrec", 0, [0.1], 1.0), ("gru4rec", 0, [0.1], 1.0), more=[train])
    assert found["sasrec", 0.95].no_joules == "nothing counts energy here"
    assert found["gru4rec", 0.95].no_joules == "measured of no epoch at batch 256"


def test_records_without_a_validation_curve_give_no_budget(made, run_json):
    records = [made.fit("sasrec", 50, 0, samples={})]
    assert budgets(load_runs([run_json(records)])) == []


def test_seconds_of_a_busy_processor_are_marked(made, run_json):
    kept = {"valid_ndcg@10": [0.1], "seconds": [2.0]}
    records = [
        made.fit("sasrec", 50, 0, samples=kept),
        made.fit("gru4rec", 50, 0, samples=kept, flags=["contended"]),
    ]
    found = {one.model: one for one in budgets(load_runs([run_json(records)]), (0.95,))}
    assert found["sasrec"].took() == "SASRec 2.00 s"
    assert found["gru4rec"].took() == "GRU4Rec 2.00 s (processor busy)"
    assert found["gru4rec"].in_words().endswith("after 1 epochs, 2.00 s (processor busy)")
