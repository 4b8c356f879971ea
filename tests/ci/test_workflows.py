"""What the workflows must keep: actions by commit, minutes that suffice, keys written once."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = sorted((ROOT / ".github").rglob("*.yml"))
BENCHMARK = (ROOT / ".github" / "workflows" / "benchmark.yml").read_text()


def job(name: str) -> str:
    """The lines of one job of benchmark.yml."""
    found = re.search(rf"^  {name}:\n((?:(?:    .*)?\n)+)", BENCHMARK, re.MULTILINE)
    assert found is not None
    return found.group(1)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_actions_are_named_by_their_commit(file: Path) -> None:
    uses = re.findall(r"uses: (?!\./)(.*)", file.read_text())
    assert uses or file.name == "action.yml"  # of commands alone
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", use) for use in uses)


def test_a_hang_ends_before_the_job_so_that_there_is_a_report() -> None:
    text = job("compare")
    minutes = int(*re.findall(r"timeout-minutes: (\d+)", text))
    limit, seconds = map(int, *re.findall(r"--time-limit (\d+)m --cell-timeout (\d+)", text))
    assert limit + 2 * seconds / 60 + 10 <= minutes  # a last pair, and ten minutes to install


def test_the_command_in_the_report_names_a_commit_that_others_have() -> None:
    assert not re.search(r"\.ci/compare HEAD", job("compare"))


def test_a_cancelled_run_leaves_the_comment_to_the_newer_one() -> None:
    assert "!cancelled()" in job("comment")
    assert "always()" not in job("comment")


def test_a_second_attempt_saves_its_history_too() -> None:
    keys = re.findall(r" key: (.*)", BENCHMARK)
    assert len(keys) == 2
    assert all("run_id" in key and "run_attempt" in key for key in keys)


def test_a_merge_queue_is_answered() -> None:
    assert "\n  merge_group:\n" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_a_hosted_runner_is_known_within_tox() -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    assert {"GITHUB_ACTIONS", "RUNNER_ENVIRONMENT"} <= set(
        tox["testenv:compare"]["pass_env"].split()
    )
