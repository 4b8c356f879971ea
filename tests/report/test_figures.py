"""Figures show the records' numbers, one look for a model everywhere, and what is missing."""

from __future__ import annotations

import pytest
from matplotlib.colors import to_hex, to_rgb

from report.figures import FIGURES
from report.load import load_runs
from report.palette import LOOKS, PHASES, look

CURVES = ("epoch_time", "latency", "step_latency", "memory")

EYE = (0.2126, 0.7152, 0.0722)  # how bright red, green and blue are (WCAG 2)


@pytest.fixture
def runs(run_json):
    return load_runs([run_json()])


def test_epoch_time_shows_each_models_seconds_over_length(runs, made):
    axes = FIGURES["epoch_time"](runs).axes[0]
    for label, model in (("Mamba4Rec", "mamba4rec"), ("SASRec", "sasrec"), ("GRU4Rec", "gru4rec")):
        line = made.line_of(axes, label)
        assert list(line.get_xdata()) == [50, 100, 200]
        assert list(line.get_ydata()) == pytest.approx(
            [made.seconds(model, seq_len) for seq_len in (50, 100, 200)]
        )
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_length_ticks_are_the_measured_lengths_as_plain_numbers(runs):
    for name in CURVES:
        axes = FIGURES[name](runs).axes[0]
        assert [text.get_text() for text in axes.get_xticklabels()] == ["50", "100", "200"]


def test_latency_is_in_milliseconds_p50_solid_and_p95_dashed(runs, made):
    axes = FIGURES["latency"](runs).axes[0]
    assert axes.get_ylabel() == "latency (ms)"
    median, tail = made.line_of(axes, "SASRec"), made.line_of(axes, "SASRec p95")
    milliseconds = [made.seconds("sasrec", seq_len) for seq_len in (50, 100, 200)]
    assert list(median.get_ydata()) == pytest.approx(milliseconds)
    assert list(tail.get_ydata()) == pytest.approx([1.4 * value for value in milliseconds])
    assert (median.get_linestyle(), tail.get_linestyle()) == ("-", "--")


def test_a_p95_with_too_few_samples_is_left_out_and_noted(runs, made):
    figure = FIGURES["latency"](runs)
    assert list(made.line_of(figure.axes[0], "GRU4Rec p95").get_xdata()) == [100, 200]
    assert "p95 not shown: GRU4Rec L=50 (40 samples; 59 are needed)" in made.joined(figure)


def test_step_latency_stands_beside_recomputing(runs, made):
    axes = FIGURES["step_latency"](runs).axes[0]
    step, again = made.line_of(axes, "Mamba4Rec"), made.line_of(axes, "Mamba4Rec recompute")
    assert list(step.get_ydata()) == pytest.approx([0.64, 0.64, 0.64])
    assert list(again.get_ydata()) == pytest.approx(
        [made.seconds("mamba4rec", seq_len) for seq_len in (50, 100, 200)]
    )


def test_memory_is_in_mebibytes_and_phases_stack_to_the_peak(runs, made):
    peak = made.line_of(FIGURES["memory"](runs).axes[0], "SASRec")
    assert FIGURES["memory"](runs).axes[0].get_ylabel() == "peak memory (MiB)"
    bars = FIGURES["memory_phases"](runs)
    axes = next(ax for ax in bars.axes if ax.get_title(loc="left") == "SASRec")
    assert [container.get_label() for container in axes.containers] == list(PHASES)
    tops = [bar.get_y() + bar.get_height() for bar in axes.containers[-1]]
    assert tops == pytest.approx(list(peak.get_ydata()))


def test_shares_of_time_stack_to_the_whole_and_are_grouped(runs):
    figure = FIGURES["time_parts"](runs)
    axes = next(ax for ax in figure.axes if ax.get_title(loc="left") == "Mamba4Rec")
    bars = {container.get_label(): container for container in axes.containers}
    heights = {name: [bar.get_height() for bar in bars[name]] for name in bars}
    assert heights["attention, scan or recurrence"] == pytest.approx([20, 60, 80])
    assert heights["norms, dropout"] == pytest.approx([40, 20, 10])
    assert [bar.get_y() + bar.get_height() for bar in bars["rest"]] == pytest.approx([100] * 3)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["attention, scan or recurrence", "norms, dropout", "rest"]


def test_memory_on_a_gpu_is_what_was_allocated_there(made, run_json):
    gpu = [made.train("sasrec", length, device="cuda") for length in (50, 100)]
    for record in gpu:
        record.metrics["cuda_allocated_peak"] = made.fact(64 * 2**20, "B")
    cpu = [made.train("sasrec", length) for length in (50, 100)]
    figure = FIGURES["memory"](load_runs([run_json(gpu + cpu)]))
    titles = {ax.get_title(loc="left"): ax for ax in figure.axes}
    assert list(made.line_of(titles["cuda"], "SASRec").get_ydata()) == [64, 64]
    assert list(made.line_of(titles["cpu"], "SASRec").get_ydata()) == pytest.approx([84, 165])
    assert "cpu: of the process over its baseline; else: allocated on the GPU" in made.joined(
        figure
    )


def test_accuracy_is_the_mean_over_seeds_against_epoch_time(runs, made):
    figure = FIGURES["accuracy_time"](runs)
    line = made.line_of(figure.axes[0], "Mamba4Rec")
    assert list(line.get_xdata()) == pytest.approx(
        [made.seconds("mamba4rec", seq_len) for seq_len in (50, 100, 200)]
    )
    assert list(line.get_ydata()) == pytest.approx([0.152, 0.156, 0.156])
    spans = [
        path.vertices[:, 1].tolist() for c in figure.axes[0].collections for path in c.get_paths()
    ]
    assert any(span == pytest.approx([0.150, 0.154]) for span in spans)
    assert "mean over seeds (n = 2 to 3); bar: their range" in made.joined(figure)


def test_accuracy_meets_latency_of_the_same_length(runs, made):
    line = made.line_of(FIGURES["accuracy_latency"](runs).axes[0], "GRU4Rec")
    assert list(line.get_xdata()) == pytest.approx([0.7, 1.4, 2.8])
    assert list(line.get_ydata()) == pytest.approx([0.128, 0.132, 0.132])


def test_accuracy_of_another_run_is_used_only_with_a_note(made, tmp_path):
    fits = [made.fit("sasrec", 50, seed) for seed in range(3)]
    paths = [
        made.write_json(tmp_path / "a.json", fits, run_id="accuracy-1", suite="accuracy"),
        made.write_json(tmp_path / "b.json", [made.serve("sasrec", "recommend", 50)], run_id="s-2"),
    ]
    figure = FIGURES["accuracy_latency"](load_runs(paths))
    assert "Accuracy from run accuracy-1, latency from run s-2." in made.joined(figure)


def test_learning_has_a_panel_per_length_and_a_line_per_seed(runs, made):
    figure = FIGURES["learning"](runs)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["L=50", "L=100", "L=200"]
    lines = [line for line in figure.axes[0].get_lines() if line.get_label() == "GRU4Rec"]
    assert len(lines) == 3
    assert lines[0].get_xdata()[-1] == pytest.approx(12 * made.seconds("gru4rec", 50))


def test_a_model_has_one_colour_in_every_figure(runs):
    for name, make in FIGURES.items():
        figure = make(runs)
        if name in ("memory_phases", "time_parts"):
            titles = {ax.get_title(loc="left"): ax for ax in figure.axes}
            assert titles["GRU4Rec"]._left_title.get_color() == look("gru4rec").color
            continue
        colors = {
            to_hex(line.get_color())
            for axes in figure.axes
            for line in axes.get_lines()
            if str(line.get_label()).startswith("GRU4Rec")
        }
        assert colors == {look("gru4rec").color.lower()}, name


def test_looks_differ_between_the_four_models(made):
    looks = [look(model) for model in made.MODELS]
    assert len({one.color for one in looks}) == 4
    assert len({one.marker for one in looks}) == 4
    assert len({str(one.linestyle) for one in looks}) == 4


def test_an_unknown_model_keeps_its_look_whoever_else_is_there():
    assert look("my_model") == look("my_model")
    assert look("my_model").color not in {look(name).color for name in ("mamba4rec", "sasrec")}


def test_every_colour_is_seen_on_light_paper_and_on_dark():
    colors = {one.color for one in LOOKS.values()} | {look(f"model{k}").color for k in range(99)}
    for color in colors:
        light = sum(share * part**2.2 for share, part in zip(EYE, to_rgb(color), strict=True))
        assert 2 < 1.05 / (light + 0.05), f"{color} on white"
        assert 2 < (light + 0.05) / (0.014 + 0.05), f"{color} on the page's dark card"


def test_a_failed_cell_is_a_cross_in_its_models_colour_with_the_reason(runs, made):
    figure = FIGURES["epoch_time"](runs)
    cross = made.line_of(figure.axes[0], "× BERT4Rec (cloze)")
    assert list(cross.get_xdata()) == [200]
    assert cross.get_marker() == "x"
    assert cross.get_color() == look("bert4rec").color
    assert 0.8 < cross.get_ydata()[0] <= 1
    assert "× BERT4Rec (cloze) L=200: oom, the worker was killed at 7.6 GiB" in made.joined(figure)
    assert list(made.line_of(figure.axes[0], "BERT4Rec (cloze)").get_xdata()) == [50, 100]


def test_oom_stands_at_the_last_length_that_a_model_reached(made, run_json):
    def stopped(status):
        return {"status": status, "reason": "no memory", "metrics": {}}

    records = [made.train(model, length) for model in made.MODELS for length in (50, 100)]
    records += [made.train("mamba4rec", 200), made.train("sasrec", 200, **stopped("oom"))]
    records += [made.train("sasrec", 400, **stopped("pruned_oom")), made.train("mamba4rec", 400)]
    records.append(made.train("gru4rec", 200, **stopped("timeout")))
    axes = FIGURES["epoch_time"](load_runs([run_json(records)])).axes[0]
    (stop,) = [text for text in axes.texts if text.get_text() == "oom"]
    assert stop.get_label() == "stop SASRec"
    assert stop.xy == (100, made.seconds("sasrec", 100))
    assert list(made.line_of(axes, "× SASRec").get_xdata()) == [200, 400]


def test_a_cell_without_a_record_is_marked_too(made, run_json):
    records = [made.train("sasrec", 50), made.train("sasrec", 100), made.train("gru4rec", 50)]
    figure = FIGURES["epoch_time"](load_runs([run_json(records)]))
    assert list(made.line_of(figure.axes[0], "× GRU4Rec").get_xdata()) == [100]
    assert "× GRU4Rec L=100: no record" in made.joined(figure)


def test_crosses_stand_above_all_data(made, run_json):
    gone = {"status": "oom", "reason": "killed", "metrics": {}}
    records = [made.train(model, length) for model in made.MODELS for length in (50, 100)]
    records += [made.train(model, 200, **gone) for model in made.MODELS]
    axes = FIGURES["epoch_time"](load_runs([run_json(records)])).axes[0]
    rows = [line.get_ydata()[0] for line in axes.get_lines() if line.get_marker() == "x"]
    top = max(
        axes.transAxes.inverted().transform(axes.transData.transform((100, max(line.get_ydata()))))[
            1
        ]
        for line in axes.get_lines()
        if line.get_marker() != "x"
    )
    assert len(set(rows)) == 4
    assert top < min(rows)


def test_extrapolated_times_are_hollow_and_noted(runs, made):
    figure = FIGURES["epoch_time"](runs)
    hollow = made.line_of(figure.axes[0], "Mamba4Rec extrapolated")
    assert list(hollow.get_xdata()) == [200]
    assert hollow.get_markerfacecolor() == "white"
    assert list(made.line_of(figure.axes[0], "Mamba4Rec measured").get_xdata()) == [50, 100]
    assert "extrapolated: Mamba4Rec L=200" in made.joined(figure)
    assert "extrapolated" not in made.joined(FIGURES["memory"](runs))


def test_every_axis_names_its_unit(runs):
    units = (
        "(s)",
        "(ms)",
        "(µs)",
        "(MiB)",
        "(GiB)",
        "(events)",
        "faster",
        "NDCG@10",
        "FLOP",
        "(%)",
    )
    for make in FIGURES.values():
        for axes in make(runs).axes:
            assert any(unit in axes.get_xlabel() for unit in units)
            assert any(unit in axes.get_ylabel() for unit in units)


def test_the_footer_says_where_numbers_come_from(runs, made):
    for name, make in FIGURES.items():
        footer = made.joined(make(runs))
        for fact in (
            "ML-100K",
            "EPYC 9V74, 2 cores",
            "commit abc1234",
            "2026-05-03",
            "2 threads",
            "float32",
            "objective all (cloze where named)",
        ):
            assert fact in footer, (name, fact)
