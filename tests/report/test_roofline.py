"""The roofs are those that the records were held against, and each cell stands below them."""

from __future__ import annotations

import pytest

from report.facets import cells
from report.load import load_runs
from report.roofline import placed, roofline


@pytest.fixture
def runs(run_json):
    return load_runs([run_json()])


def test_peak_and_bandwidth_are_taken_back_out_of_the_shares(runs, made):
    for cell in cells(runs, "train_epoch"):
        if not cell.ok:
            continue
        place = placed(cell)
        assert place.peak == pytest.approx(9e10)
        assert place.bandwidth == pytest.approx(3e10)
        assert place.intensity == pytest.approx(4)
        assert place.achieved == pytest.approx(
            2e8 * cell.seq_len / made.seconds(cell.model, cell.seq_len)
        )


def test_the_roof_is_flat_from_where_the_two_limits_meet(runs):
    axes = roofline(runs).axes[0]
    (roof,) = [line for line in axes.get_lines() if line.get_label() == "roof"]
    for x, y in zip(roof.get_xdata(), roof.get_ydata(), strict=True):
        assert y == pytest.approx(min(30 * x, 90))


def test_workloads_have_panels_of_their_own(runs):
    titles = [axes.get_title(loc="left") for axes in roofline(runs).axes]
    assert titles == [
        "batch 256 · training",
        "batch 1 · one request, whole history",
        "batch 1 · one request, one event",
    ]


def test_what_stands_above_a_roof_is_explained(made, run_json):
    record = made.train("sasrec", 50)
    assert "Above a roof" not in made.joined(roofline(load_runs([run_json([record])])))
    seconds = record.value("epoch_time")
    record.metrics.update(made.roofline(seconds, 2e11 * seconds))
    assert "Above a roof" in made.joined(roofline(load_runs([run_json([record])])))


def test_records_without_a_measured_peak_are_not_drawn(made, run_json):
    record = made.train("sasrec", 50)
    record.metrics["mfu"] = made.not_measured("no peak", unit="1", better="higher", kind="derived")
    assert roofline(load_runs([run_json([record])])) is None


def test_batches_that_follow_from_the_length_share_a_panel_beside_other_workloads(made, run_json):
    lengths = {50: 32, 100: 16, 200: 8}
    records = [made.train("sasrec", n, batch_size=size) for n, size in lengths.items()]
    records += [made.serve("sasrec", "recommend", length) for length in lengths]
    figure = roofline(load_runs([run_json(records)]))
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert len(titles) == 2
    assert "batch by L" in " ".join(titles)
