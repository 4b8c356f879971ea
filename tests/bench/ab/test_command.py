"""The command's own words: how long, which models, which seeds."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from bench.ab.command import ROOT, _further_seeds, _seconds, add_options
from bench.ab.worktree import file_at, models_at
from bench.cell import Cell
from bench.options import OptionError
from measure.git import git
from models import names

ME = ("-c", "user.name=test", "-c", "user.email=test@localhost")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("90", 90), ("20m", 1200), ("2m30s", 150), ("1h30m", 5400), ("1.5h", 5400)],
)
def test_a_time_limit_has_hours_minutes_and_seconds(text: str, seconds: float) -> None:
    assert _seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "m", "30s2m", "1.2.3s", "-5s", "soon", "2d"])
def test_other_limits_are_refused(text: str) -> None:
    with pytest.raises(OptionError, match="2m30s"):
        _seconds(text)


def test_the_models_of_a_commit_are_the_files_that_end_in_one(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "models" / "ops").mkdir(parents=True)
    git(tmp_path, *ME, "commit", "--quiet", "--allow-empty", "--message", "none")
    assert models_at(tmp_path, "HEAD") == set()
    for name, text in (("one", "MODEL = One\n"), ("two", "MODEL: type = Two\n"), ("base", "x = 1")):
        (tmp_path / "models" / f"{name}.py").write_text(text)
    (tmp_path / "models" / "ops" / "scan.py").write_text("MODEL = 3\n")
    assert models_at(tmp_path, None) == {"one", "two"}, "also what is not committed"
    git(tmp_path, "add", ".")
    git(tmp_path, *ME, "commit", "--quiet", "--message", "two")
    git(tmp_path, "rm", "--quiet", "models/one.py")
    assert (models_at(tmp_path, "HEAD"), models_at(tmp_path, None)) == ({"one", "two"}, {"two"})
    assert file_at(tmp_path, "HEAD", "models/base.py") == "x = 1"
    assert file_at(tmp_path, "HEAD", "models/none.py") is None


def test_the_projects_models_are_found_so() -> None:
    assert models_at(ROOT, None) == set(names())


def test_only_fits_have_further_seeds() -> None:
    cells = [Cell("sasrec", "fit", "synthetic", "all", 20, 32, seed=n) for n in range(3)]
    cells.append(Cell("sasrec", "recommend", "synthetic", "all", 20, 1))
    more = _further_seeds(cells, range(20))
    assert [cell.seed for cell in more] == list(range(3, 20))
    assert {cell.workload for cell in more} == {"fit"}


def test_margins_have_no_default_of_the_folder_it_is_started_in() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    assert parser.parse_args(["--ab", "main"]).time_limit == "20m"
