"""A history on real files: what is appended, what is found in it, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize("sd", [0.001, 0.02])
def test_slow_drift_is_found_with_little_noise_and_with_much(sd: float) -> None:
    """Of ten levels 1% apart, which little noise tells apart, none differs by half a margin."""
    steps = np.log(1.01) * np.clip((np.arange(60) - 5) // 5, 0, 10)
    found = 0
    for seed in range(20):
        points = change_points(
            series(np.random.default_rng(seed).normal(0, sd, 60) + steps), Margins()
        )
        found += bool(points) and all(point.worse and point.change >= 0.025 for point in points)
    assert found >= 19


def test_noise_alone_has_no_levels() -> None:
    false = 0
    for seed in range(200):
        false += bool(change_points(series(noise(np.random.default_rng(seed), 200)), Margins()))
    assert false <= 6


def test_the_margin_of_an_accuracy_is_absolute() -> None:
    logs = np.log(np.r_[np.full(10, 0.058), np.full(10, 0.057)])
    accuracy = replace(series(logs, better="higher"), kind="accuracy", metric="ndcg@10")
    assert change_points(accuracy, Margins()) == []
    lower = replace(accuracy, points=series(np.r_[logs[:10], np.log([0.054] * 10)]).points)
    (point,) = change_points(lower, Margins())
    assert (point.place, point.worse) == (10, True)


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
    found, warnings = read(tmp_path / "history")
    assert warnings == []
    assert {one.machine for one in found} == {
        content["seqrec_bench"]["machine"]["fingerprint_name"]
    }
    kinds = {one.kind for one in found}
    assert "time" in kinds
    assert "deterministic" not in kinds
    assert not any(one.metric.endswith("_per_second") for one in found)


def test_cells_of_one_name_under_other_conditions_are_series_of_their_own(
    tmp_path: Path, made: Any
) -> None:
    """Suites of two budgets, other sequences and another allocator, six commits of each."""
    changes = (
        {"max_epochs": 6},
        {"max_epochs": 200},
        {"max_epochs": 200, "data": made.DATA | {"sequence_hash": "other"}},
        {"max_epochs": 200, "resolved": {"allocator": "glibc, defaults"}},
    )
    for place, change in enumerate(changes):
        for number in range(6):
            fit = made.fit("sasrec", 50, 0, **change)
            told = {"commit": f"{number}" * 40, "run_id": f"{place}-{number}"}
            fit = replace(fit, started=f"2026-11-{10 + 6 * place + number}T00:00:00")
            path = made.write_json(tmp_path / "run.json", [fit], **told)
            append(path, tmp_path / "history", Margins())
    scores = [one for one in read(tmp_path / "history")[0] if one.metric == "ndcg@10"]
    assert [len(one.points) for one in scores] == [6] * len(changes)


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


def test_lines_of_before_are_a_series_of_their_own(tmp_path: Path) -> None:
    conditions = {"settings": {"max_epochs": 6}, "sequences": "a", "allocator": "", "key": "k"}
    new = json.dumps(json.loads(line("b", 2.0)) | conditions) + "\n"
    found, _ = read(kept(tmp_path / "history", line("a", 1.0), new))
    assert {series.under: [p.commit for p in series.points] for series in found} == {
        "settings not kept": ["a"],
        "": ["b"],
    }


def test_a_line_that_a_power_loss_cut_off_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = kept(tmp_path / "history", line("a", 1.0), line("b", 2.0)[:50])
    ((found,), (warning,)) = read(folder)
    assert [point.commit for point in found.points] == ["a"]
    assert warning.endswith("abc123.jsonl: line 2 was cut off and is left out")
    assert main(["--history", f"--history-dir={folder}"]) == 0
    assert "warning: " in capsys.readouterr().err


def test_after_a_cut_off_line_the_next_one_is_whole(tmp_path: Path) -> None:
    content = json.loads(REFERENCE.read_text())["seqrec_bench"]
    content["commit"] = "a" * 40
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"seqrec_bench": content}))
    folder = tmp_path / "history"
    count = append(path, folder, Margins())
    (history,) = folder.iterdir()
    history.write_bytes(history.read_bytes()[:-40])
    assert append(path, folder, Margins()) == 1
    series, warnings = read(folder)
    assert len(warnings) == 1
    assert len({one.cell_id for one in series}) == count
    # As two that append at once may leave it.
    history.write_bytes(history.read_bytes() * 2)
    assert read(folder)[0] == series


def test_uncommitted_states_are_refused_unless_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(REFERENCE.read_text())["seqrec_bench"]
    content["commit"] = "a" * 10 + "-dirty"
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"seqrec_bench": content}))
    command = ["--history", str(path), f"--history-dir={tmp_path / 'history'}"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--allow-dirty" in said
    assert main([*command, "--allow-dirty"]) == 0


@pytest.mark.parametrize(
    "text",
    [
        "[]\n",
        '{"schema": "other/1"}\n',
        "7\n",
        lambda: line("b", float("nan")),
        lambda: line("b", float("inf")),
        lambda: line("b", 10**400),
        lambda: line("b", 1.0).replace('"time"', '"colour"'),
    ],
)
def test_a_line_of_another_kind_is_refused_by_its_number(
    tmp_path: Path, text: str | Callable[[], str]
) -> None:
    text = text if isinstance(text, str) else text()
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


def test_the_figure_shows_the_worst_and_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    levels = [1.0, 1.01] * 10 + [1.3, 1.31] * 10
    lines = [line(f"{number:03}", value) for number, value in enumerate(levels)]
    folder = kept(tmp_path / "history", *lines)
    path = tmp_path / "made" / "history.svg"
    command = ["--history", f"--history-dir={folder}", "--margins", str(ROOT / "pyproject.toml")]
    assert main([*command, f"--figure={path}"]) == 0
    first = path.read_text()
    assert "+29" in first or "+30" in first
    assert main([*command, f"--figure={path}"]) == 0
    assert path.read_text() == first
    kept(folder, *lines[:20])
    assert main([*command, f"--figure={tmp_path / 'none.svg'}"]) == 0
    assert "not drawn" in capsys.readouterr().out
    assert not (tmp_path / "none.svg").exists()


def test_a_commit_measured_again_is_not_blamed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = [1.0, 1.01] * 10 + [1.3, 1.31] * 10
    lines = [
        line("same", value).replace('"started": "same"', f'"started": "{at:03}"')
        for at, value in enumerate(numbers)
    ]
    assert main(["--history", f"--history-dir={kept(tmp_path / 'history', *lines)}"]) == 0
    assert "not the code" in " ".join(capsys.readouterr().out.split())
