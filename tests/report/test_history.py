"""A history on real files: what is appended, what is found in it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from report.change_points import change_points, levels
from report.history import SCHEMA, Point, Series, append, read
from report.history_command import main
from report.load import InputError
from report.margins import Margins

ROOT = Path(__file__).resolve().parent.parent.parent
REFERENCE = ROOT / "results" / "reference" / "quick-ml_100k.json"


def series(logs: np.ndarray, better: str = "lower") -> Series:
    points = tuple(
        Point(f"commit{i:03}", f"2026-01-01T{i:03}", float(np.exp(x))) for i, x in enumerate(logs)
    )
    return Series("machine", "gru4rec-made_up", "epoch_time", "time", better, "s", points)


def noise(rng: np.random.Generator, count: int, sd: float = 0.03) -> np.ndarray:
    return rng.standard_t(3, count) * sd / np.sqrt(3)


def test_a_step_is_found_where_it_was() -> None:
    found = 0
    for seed in range(40):
        logs = noise(np.random.default_rng(seed), 60)
        logs[30:] += np.log(1.10)
        points = change_points(series(logs), Margins())
        found += len(points) == 1 and abs(points[0].place - 30) <= 2 and points[0].worse
    assert found >= 36


def test_slow_drift_is_found_though_no_two_neighbours_differ_by_the_margin() -> None:
    found = 0
    for seed in range(40):
        steps = np.clip((np.arange(60) - 5) // 5, 0, 10)
        logs = np.random.default_rng(seed).normal(0, 0.01, 60) + np.log(1.01) * steps
        found += bool(change_points(series(logs), Margins()))
    assert found >= 38


def test_noise_alone_has_no_levels() -> None:
    false = 0
    for seed in range(200):
        false += bool(change_points(series(noise(np.random.default_rng(seed), 200)), Margins()))
    assert false <= 6


def test_a_rate_that_rises_is_better_and_the_commits_are_named() -> None:
    logs = np.r_[np.zeros(20), np.full(20, np.log(1.2))] + noise(np.random.default_rng(0), 40, 0.01)
    (point,) = change_points(series(logs, better="higher"), Margins())
    assert (point.before, point.after, point.worse) == ("commit019", "commit020", False)
    assert point.change == pytest.approx(0.2, abs=0.02)


def test_few_points_and_constant_ones_say_nothing() -> None:
    assert change_points(series(np.r_[np.zeros(4), np.ones(4)]), Margins()) == []
    assert levels(np.zeros(30)) == []


def test_real_results_are_appended_once(tmp_path: Path) -> None:
    content = json.loads(REFERENCE.read_text())
    content["seqrec_bench"]["commit"] = "a" * 40
    path = tmp_path / "run.json"
    path.write_text(json.dumps(content))
    margins = Margins(ignore=("*_per_second",))
    count = append(path, tmp_path / "history", margins, allow_dirty=True)
    assert count > 10
    assert append(path, tmp_path / "history", margins, allow_dirty=True) == 0
    found = read(tmp_path / "history")
    kinds = {one.kind for one in found}
    assert "time" in kinds
    assert "deterministic" not in kinds
    assert not any(one.metric.endswith("_per_second") for one in found)


def kept(folder: Path, *lines: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "abc123.jsonl").write_text("".join(lines))
    return folder


def line(commit: str, value: float) -> str:
    entry = {"value": value, "unit": "s", "better": "lower", "kind": "time"}
    content = {
        "schema": SCHEMA,
        "commit": commit,
        "started": commit,
        "cell_id": "gru4rec-made_up",
        "values": {"epoch_time": entry},
    }
    return json.dumps(content) + "\n"


def test_a_line_that_a_power_loss_cut_off_is_left_out(tmp_path: Path) -> None:
    folder = kept(tmp_path / "history", line("a", 1.0), line("b", 2.0)[:50])
    (found,) = read(folder)
    assert [point.commit for point in found.points] == ["a"]


@pytest.mark.parametrize("text", ["[]\n", '{"schema": "other/1"}\n', "7\n"])
def test_a_line_of_another_kind_is_refused_by_its_number(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="line 2 is no"):
        read(kept(tmp_path / "history", line("a", 1.0), text))


def test_the_command_says_what_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    levels = [1.0, 1.01] * 10 + [1.3, 1.31] * 10
    lines = [line(f"{number:03}", value) for number, value in enumerate(levels)]
    folder = kept(tmp_path / "history", *lines)
    assert main(["--history", f"--history-dir={folder}"]) == 0
    out = capsys.readouterr().out
    assert "1 new levels" in out
    assert "019..020" in out
    assert "worse" in out
    assert main(["--history", str(tmp_path / "none.json"), f"--history-dir={folder}"]) == 2
