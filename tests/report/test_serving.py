"""A new event is served three ways, and each has its own line style."""

from __future__ import annotations

from dataclasses import replace

from report.load import load_runs
from report.serving import step_latency


def served(made, model, way):
    records = [made.serve(model, "serve_step", at) for at in (50, 100)]
    return [replace(r, resolved=r.resolved | {"serving": way}) for r in records]


def test_a_state_a_cache_and_recomputing_look_different(made, run_json):
    records = [
        *served(made, "gru4rec", "recurrent_state"),
        *served(made, "sasrec", "kv_cache"),
        *[made.serve("sasrec", "recommend", at) for at in (50, 100)],
    ]
    figure = step_latency(load_runs([run_json(records)]))
    styles = [
        made.line_of(figure.axes[0], label).get_linestyle()
        for label in ("GRU4Rec", "SASRec", "SASRec recompute")
    ]
    assert styles == ["-", "--", ":"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[-3:] == ["recurrent state", "key/value cache", "recompute"]


def test_records_that_do_not_say_how_they_serve_are_a_kept_state(made, run_json):
    figure = step_latency(load_runs([run_json([made.serve("sasrec", "serve_step", 50)])]))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[-2:] == ["one step of a kept state", "recompute"]
