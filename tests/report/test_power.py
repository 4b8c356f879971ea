"""The simulation gives what measuring's table says, within the error of both, and bounds cover."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from report.power import EFFECTS, ROWS, chance, coverage, error, main

TRIALS = 8000
# (noise, pairs, rule's first word): the chance at +0, +5, +8, +10, +20%, of 4,000 trials.
PUBLISHED = {
    ("t3, 3%", 5, "median"): (0.001, 0.503, 0.994, 1, 1),
    ("t3, 3%", 5, "bootstrap"): (0, 0.029, 0.589, 0.812, 0.989),
    ("t3, 3%", 7, "Hodges-Lehmann,"): (0, 0.008, 0.47, 0.76, 0.99),
    ("t3, 3%", 10, "Hodges-Lehmann,"): (0, 0.009, 0.73, 0.92, 0.998),
    ("t3, 3%", 15, "Hodges-Lehmann,"): (0, 0.007, 0.91, 0.995, 1),
    ("bimodal", 5, "median"): (0.007, 0.49, 0.99, 0.99, 0.99),
    ("bimodal", 10, "Hodges-Lehmann,"): (0, 0.012, 0.40, 0.40, 0.94),
    ("bimodal", 15, "Hodges-Lehmann,"): (0, 0.006, 0.61, 0.61, 1),
    ("quiet, 1%", 7, "Hodges-Lehmann,"): (0, 0.007, 0.98, 1, 1),
}
BY_NAME = {(row.noise, row.pairs, row.name.split()[0]): row for row in ROWS}


@pytest.mark.parametrize("name", PUBLISHED, ids=lambda name: "-".join(map(str, name)))
def test_the_table_is_reproduced_within_its_error(name: tuple[str, int, str]) -> None:
    for effect, published in zip(EFFECTS, PUBLISHED[name], strict=True):
        found = chance(BY_NAME[name], effect, TRIALS)
        of_both = (error(published, 4000) ** 2 + error(found, TRIALS) ** 2) ** 0.5
        rounding = 0.0005 if published * 100 % 1 else 0.005
        assert abs(found - published) < 4 * of_both + rounding, effect


@pytest.mark.parametrize("noise", ["normal, 3%", "t3, 3%", "bimodal"])
@pytest.mark.parametrize("pairs", [7, 10, 15])
def test_bounds_at_one_percent_hold_the_truth(noise: str, pairs: int) -> None:
    # 4 standard errors lie between 99% and what is asked for: a failure is no bad luck.
    assert coverage(noise, pairs, 20_000) >= 0.985


def test_more_pairs_while_undecided_find_more_and_alarm_at_no_change_never() -> None:
    more = next(row for row in ROWS if "10 to 80" in row.name and row.noise == "bimodal")
    ten = BY_NAME["bimodal", 10, "Hodges-Lehmann,"]
    assert chance(more, 0.10, TRIALS) > chance(ten, 0.10, TRIALS) + 0.2
    assert chance(more, 0.0, TRIALS) < 0.001


@pytest.mark.parametrize("noise", ["normal, 3%", "t3, 3%", "bimodal"])
def test_seven_looks_alarm_at_the_margin_no_more_than_one_at_one_percent(noise: str) -> None:
    more = next(row for row in ROWS if "10 to 80" in row.name and row.noise == noise)
    # Monte Carlo errors of 20,000 trials: 0.0007.
    assert chance(more, 0.05, 20_000) <= 0.012
    assert chance(more, 0.10, TRIALS) >= (0.9 if noise == "bimodal" else 0.99)


def test_the_command_prints_the_table_and_draws(tmp_path: Path, capsys: Any) -> None:
    assert main(["--trials", "200", "--figure", str(tmp_path / "power.svg")]) == 0
    said = capsys.readouterr().out
    assert "standard error" in said
    assert "coverage" in said
    assert (tmp_path / "power.svg").stat().st_size > 1000
    with pytest.raises(SystemExit) as stopped:
        main(["--trials", "0"])
    assert stopped.value.code == 2
