"""Panels keep apart what may not be mixed, nothing overlaps, equal records give equal bytes."""

from __future__ import annotations

from itertools import pairwise

import pytest

from report.figures import FIGURES
from report.load import load_runs
from report.save import save_figures


@pytest.mark.parametrize(
    ("changes", "titles"),
    [
        ({"objective": "last"}, ["objective all", "objective last"]),
        ({"batch_size": 512}, ["batch 256", "batch 512"]),
        ({"dtype": "bfloat16"}, ["float32", "bfloat16"]),
        ({"device": "cuda"}, ["cpu", "cuda"]),
        ({"threads": 1}, ["2 threads", "1 thread"]),
    ],
)
def test_other_conditions_get_a_panel_of_their_own(changes, titles, made, run_json):
    records = [made.train("sasrec", 50), made.train("sasrec", 50, **changes)]
    figure = FIGURES["epoch_time"](load_runs([run_json(records)]))
    assert [ax.get_title(loc="left") for ax in figure.axes] == titles


def test_two_kernels_of_a_model_are_two_named_lines(made, run_json):
    records = [made.train("mamba4rec", 50, backend=name) for name in ("numba", "reference")]
    axes = FIGURES["epoch_time"](load_runs([run_json(records)])).axes[0]
    labels = {line.get_label() for line in axes.get_lines()}
    markers = [line for line in axes.get_lines() if str(line.get_label()).endswith("measured")]
    assert len({line.get_fillstyle() for line in markers}) == 2
    assert {"Mamba4Rec (kernel numba)", "Mamba4Rec (kernel reference)"} <= labels


def test_a_batch_that_follows_from_length_shares_a_panel_and_is_listed(made, run_json):
    records = [
        made.train(model, seq_len, batch_size=12800 // seq_len)
        for model in ("sasrec", "gru4rec")
        for seq_len in (50, 100)
    ]
    figure = FIGURES["epoch_time"](load_runs([run_json(records)]))
    assert list(made.line_of(figure.axes[0], "SASRec").get_xdata()) == [50, 100]
    assert "batch 256 at L=50, batch 128 at L=100" in made.joined(figure)


def test_a_killed_cell_that_describes_its_machine_otherwise_stays_in_its_panel(made, run_json):
    gone = {"status": "oom", "reason": "killed", "metrics": {}}
    outside = made.MACHINE | {"fingerprint": "other"}
    records = [made.train("sasrec", 50), made.train("sasrec", 100, **gone, machine=outside)]
    figure = FIGURES["epoch_time"](load_runs([run_json(records)]))
    assert len(figure.axes) == 1


def test_long_settings_that_differ_at_the_end_are_told_apart(made, run_json):
    options = [{"note": "n" * 200 + end} for end in ("a", "b")]
    records = [made.train("sasrec", 50, options=own) for own in options]
    axes = FIGURES["epoch_time"](load_runs([run_json(records)])).axes[0]
    assert len([line for line in axes.get_lines() if line.get_linestyle() != "None"]) == 2


def test_two_runs_are_two_panels_named_by_run(made, tmp_path):
    paths = [
        made.write_json(tmp_path / f"{name}.json", made.suite(), run_id=name, commit=name)
        for name in ("base", "head")
    ]
    figure = FIGURES["epoch_time"](load_runs(paths))
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["base", "head"]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_no_data_gives_no_figure(made, run_json):
    gone = {"status": "error", "reason": "it broke", "metrics": {}}
    runs = load_runs([run_json([made.train("sasrec", 50, **gone)])])
    assert {name for name, make in FIGURES.items() if make(runs) is not None} == set()


@pytest.mark.parametrize(
    "lengths", [(100,), (50, 100, 200), (50, 64, 100, 200, 1024, 4096, 8192, 16384)]
)
def test_nothing_overlaps_and_nothing_is_cut_off(lengths, made, run_json):
    models = ("sasrec",) if len(lengths) == 1 else made.MODELS
    runs = load_runs([run_json(made.suite(lengths, models))])
    for name, make in FIGURES.items():
        figure = make(runs)
        if figure is None:
            assert name == "pareto", "one model alone has no front, all else has its figure"
            continue
        figure.draw_without_rendering()
        whole = figure.bbox
        boxes = [axes.get_tightbbox() for axes in figure.axes]
        around = [text.get_window_extent() for text in figure.texts]
        around += [legend.get_window_extent() for legend in figure.legends]
        for box in [*boxes, *around]:
            assert whole.x0 - 1 <= box.x0 <= box.x1 <= whole.x1 + 1, name
            assert whole.y0 - 1 <= box.y0 <= box.y1 <= whole.y1 + 1, name
        for outer in around:
            assert not any(_overlap(outer, box) for box in boxes), name
        for axes in figure.axes:
            ticks = [t.get_window_extent() for t in axes.get_xticklabels() if t.get_text()]
            if not any(t.get_rotation() for t in axes.get_xticklabels()):
                assert not any(_overlap(a, b) for a, b in pairwise(ticks)), name


def _overlap(one, other):
    return min(one.x1, other.x1) - max(one.x0, other.x0) > 1 and (
        min(one.y1, other.y1) - max(one.y0, other.y0) > 1
    )


def test_svg_and_pdf_are_the_same_bytes_when_written_twice(run_json, tmp_path):
    runs = load_runs([run_json()])
    first = save_figures(runs, tmp_path / "one", ["svg", "pdf"])
    second = save_figures(runs, tmp_path / "two", ["svg", "pdf"])
    assert len(first.files) == 2 * len(FIGURES)
    for one, two in zip(first.files, second.files, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.name
        assert b"<dc:date>" not in one.read_bytes()


def test_long_names_that_differ_at_the_end_are_told_apart(made, run_json):
    records = [made.train("m" * 100 + end, 50) for end in "ab"]
    axes = FIGURES["epoch_time"](load_runs([run_json(records)])).axes[0]
    labels = [line.get_label() for line in axes.get_lines() if line.get_linestyle() != "None"]
    assert len(set(labels)) == 2
