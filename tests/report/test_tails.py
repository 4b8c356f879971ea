"""Tails show p50 to p99 of each model, as far as the records have enough requests."""

from __future__ import annotations

from report.load import load_runs
from report.tails import tails


def test_each_model_and_workload_has_a_panel(run_json):
    titles = [axes.get_title(loc="left") for axes in tails(load_runs([run_json()])).axes]
    assert "SASRec · whole history" in titles
    assert "SASRec · one event" in titles
    assert "BERT4Rec (cloze) · one event" not in titles


def test_the_bands_reach_from_the_median_to_the_99th_percentile(made, run_json):
    figure = tails(
        load_runs([run_json([made.serve("sasrec", "recommend", at) for at in (50, 100)])])
    )
    (axes,) = figure.axes
    reach = {str(part.get_label()): part.get_paths() for part in axes.collections}
    top = max(vertex[1] for path in reach["to p99"] for vertex in path.vertices)
    assert top == 2 * made.seconds("sasrec", 100)  # milliseconds
    assert made.line_of(axes, "SASRec").get_ydata()[1] == made.seconds("sasrec", 100)


def test_a_percentile_with_too_few_requests_ends_its_band_and_is_noted(made, run_json):
    records = [made.serve("sasrec", "recommend", at) for at in (50, 100)]
    records[1].metrics["latency_p99"] = made.not_measured(
        "p99 needs 299 samples", unit="s", better="lower", kind="tail"
    )
    figure = tails(load_runs([run_json(records)]))
    (band,) = [part for part in figure.axes[0].collections if part.get_label() == "to p99"]
    assert {vertex[0] for path in band.get_paths() for vertex in path.vertices} <= {50.0}
    assert "p99 not shown: SASRec L=100" in made.joined(figure)
