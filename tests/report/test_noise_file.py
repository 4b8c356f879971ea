"""A machine's noise keeps the name of its machine."""

from __future__ import annotations

from pathlib import Path

from report.margins import Noise
from report.noise_file import keep_noise, read_noise


def floor(metric: str, machine: str = "") -> Noise:
    return Noise("*", metric, 0.02, 0.2, machine=machine)


def test_floors_of_one_machine_gather_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "noise.json"
    assert keep_noise(path, [floor("epoch_time")], "a") == ()
    assert keep_noise(path, [floor("rank_time")], "a") == ()
    assert read_noise(path) == (floor("epoch_time", "a"), floor("rank_time", "a"))


def test_floors_of_another_machine_are_dropped_and_named(tmp_path: Path) -> None:
    path = tmp_path / "noise.json"
    keep_noise(path, [floor("epoch_time")], "a")
    assert keep_noise(path, [floor("rank_time")], "b") == ("a",)
    assert read_noise(path) == (floor("rank_time", "b"),)
