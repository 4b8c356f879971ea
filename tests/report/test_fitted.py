"""Figures show a fit only where there is one, and the crossing of two with its interval."""

from __future__ import annotations

import pytest

from report.figures import FIGURES
from report.load import load_runs

LENGTHS = (50, 100, 200, 400, 800)


@pytest.fixture
def figure(made, run_json):
    def draw(lengths, name="epoch_time"):
        records = [
            record
            for model in ("mamba4rec", "sasrec")
            for at in lengths
            for record in (made.train(model, at), made.serve(model, "recommend", at))
        ]
        return FIGURES[name](load_runs([run_json(records)]))

    return draw


def bands(axes):
    return {str(part.get_label()) for part in axes.collections if "fit" in str(part.get_label())}


@pytest.mark.parametrize("name", ["epoch_time", "latency", "memory"])
def test_five_lengths_give_a_band_and_an_exponent(name, figure, made):
    drawn = figure(LENGTHS, name)
    assert bands(drawn.axes[0]) == {"fit Mamba4Rec", "fit SASRec"}
    assert "Fit, coloured band 95%: " in made.joined(drawn)
    assert "Mamba4Rec p = 1.00 (" in made.joined(drawn)


def test_fewer_lengths_give_no_band_and_the_reason(figure, made):
    drawn = figure(LENGTHS[:4])
    assert bands(drawn.axes[0]) == set()
    assert "No fit: Mamba4Rec, SASRec (4 lengths measured; a fit needs 5)" in made.joined(drawn)


def test_of_several_panels_the_one_without_a_fit_is_named(made, run_json):
    other = {"dataset": "ml_1m", "data": made.DATA | {"name": "ml_1m", "sequence_hash": "1m"}}
    records = [made.train("sasrec", at) for at in LENGTHS]
    records += [made.train("sasrec", at, **other) for at in LENGTHS[:4]]
    drawn = FIGURES["epoch_time"](load_runs([run_json(records)]))
    assert "No fit (ML-100K #1m): SASRec (4 lengths measured; a fit needs 5)" in made.joined(drawn)


def test_the_crossing_is_ringed_where_the_curves_meet(figure, made):
    drawn = figure(LENGTHS)
    ring = made.line_of(drawn.axes[0], "crossover")
    # 1.6 L / 50 = L / 50 * (1 + L / 400) at L = 240.
    assert ring.get_xdata()[0] == pytest.approx(240, rel=0.01)
    assert ring.get_ydata()[0] == pytest.approx(1.6 * 240 / 50, rel=0.01)
    assert (
        "Ring, bar 95%: Mamba4Rec costs less than SASRec above L=240 (95%: 240 to 240)"
        in made.joined(drawn)
    )


def test_a_band_ends_where_the_measured_lengths_end(figure):
    for part in figure(LENGTHS).axes[0].collections:
        if "fit" in str(part.get_label()):
            at = part.get_paths()[0].vertices[:, 0]
            assert (at.min(), at.max()) == (50, 800)
