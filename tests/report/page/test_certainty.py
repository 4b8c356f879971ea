"""How sure the chooser is: seeds, users, draws, and times that others disturbed."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser


@pytest.fixture
def seen(open_page, choices_page, made):
    return open_page(choices_page(made))


def unsure(made, shifts, spread, **counts):
    """Accuracies of three seeds at L = 50, and epochs that all cost the same."""
    records = [
        made.fit(model, 50, seed, metrics={"ndcg@10": metric} | counts, samples={})
        for model, shift in shifts.items()
        for seed in range(3)
        for metric in [
            made.Metric(0.1 + shift + spread * (seed - 1), "1", "higher", "accuracy", "r", n=900)
        ]
    ]
    same = {"epoch_time": made.time(1.0)}
    return [*records, *(made.train(model, 50, metrics=dict(same)) for model in shifts)]


def test_by_accuracy_alone_chooser_and_table_agree(open_page, make_page, made):
    # By normal draws all is sure: 0.109 against 0.1, standard error 0.0023. By the t test p = 0.06.
    for shift in (0.009, 0.05):
        records = unsure(made, {"sasrec": shift}, 0.004) + unsure(made, {"gru4rec": 0.0}, 0.0001)
        seen = open_page(make_page(made, records))
        said = seen.answer(history=50, weight=100)
        table = seen.page.locator("#together table", has_text="Told apart at 5%")
        apart = table.locator("tbody td").last.text_content()
        assert (apart, said["kind"]) == (("yes", "best") if shift > 0.04 else ("no", "tie"))
        assert ("may be as good" in said["title"]) == (apart == "no")
    assert "lower, told apart" in said["text"]


def test_the_users_tested_add_to_the_uncertainty(open_page, make_page, made):
    # Three seeds that hardly differ; by which 900 users were tested both may be off by 0.01.
    records = unsure(made, {"sasrec": 0.0, "gru4rec": 0.005}, 1e-6)
    said = open_page(make_page(made, records)).answer(history=50, weight=95)
    assert said["kind"] == "tie"


def test_training_costs_as_many_epochs_as_fits_took(open_page, make_page, made):
    """An epoch of SASRec is half as long, and it needs five times as many; accuracies are alike."""
    epochs = {"sasrec": 50.0, "gru4rec": 10.0}
    records = []
    for model, shortest in (("sasrec", 1.0), ("gru4rec", 2.0)):
        count = made.fact(epochs[model], "1", "deterministic")
        records += unsure(made, {model: 0.0}, 0.0001, epochs=count)[:3]
        metrics = {"epoch_time": made.time(shortest)}
        records.append(made.train(model, 50, metrics=metrics, batch_size=512))
    page = open_page(make_page(made, records))
    said = page.answer(history=50, weight=10)
    assert (said["kind"], said["best"]) == ("best", "GRU4Rec")
    assert "training time to early stopping" in said["text"]
    assert "1.00 s × 50" in said["text"]
    assert "as many as the fits took, which had batch 256; at another batch" in said["text"]
    assert page.answer(weight=0)["best"] == "GRU4Rec"


def test_shares_under_one_percent_are_left_out_of_the_sentence(seen):
    sentence = seen.answer(history=50, weight=0)["text"].split("\n")[2]
    assert sentence.endswith("over 99% of 2,000 draws within the measured uncertainty.")


def test_models_within_their_spread_are_not_told_apart(open_page, make_page, made):
    records = [
        made.fit(model, 50, seed, metrics={"ndcg@10": metric})
        for model, shift, spread in (("sasrec", 0.0, 0.004), ("gru4rec", 0.0005, -0.004))
        for seed in range(3)
        for metric in [
            made.Metric(0.1 + shift + spread * (seed - 1), "1", "higher", "accuracy", "r")
        ]
    ]
    records += [made.train(model, 50) for model in ("sasrec", "gru4rec")]
    said = open_page(make_page(made, records)).answer(history=50, weight=100)
    assert said["kind"] == "tie"
    assert "may be as good" in said["title"]


@pytest.mark.parametrize(
    ("seeds", "stopped", "why"),
    [
        (1, 0, "of one seed, whose spread is not known"),
        (3, 3, "of fits that were stopped by their limit of epochs"),
        (3, 1, "of 3 fits with 1 stopped by their limit of epochs"),
    ],
)
def test_accuracy_without_a_known_spread_decides_nothing(
    open_page, make_page, made, seeds, stopped, why
):
    records = [
        made.fit(model, 50, seed, flags=["max_epochs"] * (seed < stopped))
        for model in made.MODELS
        for seed in range(seeds)
    ]
    records += [made.train(model, 50) for model in made.MODELS]
    page = open_page(make_page(made, records))
    said = page.answer(history=50, weight=50)
    assert said["title"] == "By cost alone: GRU4Rec, of the 3 that could be judged"
    assert "BERT4Rec (cloze) (an epoch of cloze is another task)" in said["text"]
    assert why in said["text"]
    assert "pytest bench/ --suite accuracy --dataset ml_100k --seq-len 50" in said["text"]
    said = page.answer(weight=100)
    assert (said["kind"], said["best"]) == ("unknown", "")
    assert "set the weight of accuracy to 0% to choose by cost alone" in said["text"]


def noisy(made, model, flags, epoch):
    """A model's epoch and request at L = 50, the latter with bounds that hide who else ran."""
    metrics = {"latency_p50": made.time(1e-3, 500), "latency_p95": made.time(2e-3, 500)}
    return [
        made.train(model, 50, metrics={"epoch_time": made.time(epoch)}, flags=flags),
        made.serve(model, "recommend", 50, metrics=metrics, flags=flags),
    ]


@pytest.mark.parametrize("flagged", ["sasrec", "gru4rec"])
def test_times_taken_while_others_were_at_work_give_no_certainty(
    open_page, make_page, made, flagged
):
    records = [
        record
        for model, epoch in (("sasrec", 1.0), ("gru4rec", 2.0), ("mamba4rec", 9.0))
        for record in noisy(made, model, ["contended"] if model == flagged else [], epoch)
    ]
    page = open_page(make_page(made, records))
    said = page.answer(history=50, weight=0)
    assert (said["kind"], said["best"]) == ("disturbed", "SASRec")
    assert "while others were at work" in said["title"]
    assert "over 99%" not in said["text"]
    assert "ms (contended)" in said["text"]
    assert (
        "pytest bench/ --suite quick --dataset ml_100k --seq-len 50 --benchmark-json="
        in said["text"]
    )


def test_the_third_may_have_been_disturbed(open_page, make_page, made):
    records = [
        record
        for model, epoch in (("sasrec", 1.0), ("gru4rec", 2.0), ("mamba4rec", 9.0))
        for record in noisy(made, model, ["contended"] if model == "mamba4rec" else [], epoch)
    ]
    said = open_page(make_page(made, records)).answer(history=50, weight=0)
    assert (said["kind"], said["title"]) == ("best", "SASRec")


def test_a_target_missed_while_others_were_at_work_rules_nothing_out(open_page, make_page, made):
    records = noisy(made, "sasrec", ["contended"], 1.0) + noisy(made, "gru4rec", [], 1.0)
    said = open_page(make_page(made, records)).answer(history=50, weight=0, latency=1.5)
    assert "p95 2.00 ms is over 1.50 ms, but was measured while others" in said["text"]


def test_the_slider_says_what_its_weight_means_and_means_it(open_page, make_page, made):
    records = unsure(made, {"sasrec": 0.0, "gru4rec": 0.01}, 1e-9)
    for record in records:
        if record.config["workload"] == "fit":  # so many users that they add no uncertainty
            one = record.metrics["ndcg@10"]
            record.metrics["ndcg@10"] = made.Metric(
                one.value, "1", "higher", "accuracy", "r", n=10**9
            )
        elif record.config["model"] == "gru4rec":
            record.metrics["epoch_time"] = made.time(1.2)
    page = open_page(make_page(made, records))
    # 10% more accurate, at 20% more time.
    said = page.answer(history=50, weight=50)
    worth = page.page.locator("#worth")
    assert (
        worth.inner_text()
        == "10% more NDCG@10 makes up for 10% more latency and training time, both at once."
    )
    assert said["best"] == "SASRec"
    said = page.answer(weight=70)
    assert "24.9% more" in worth.inner_text()
    assert said["best"] == "GRU4Rec"
    page.answer(weight=95)
    assert "6.12 times the latency" in worth.inner_text()
    page.answer(weight=0)
    assert worth.inner_text() == "Cost alone decides."
