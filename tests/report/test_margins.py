"""Margins: measuring's table by default, rules in pyproject over it, and what is refused."""

from __future__ import annotations

import inspect
import math
import re
from pathlib import Path

import pytest

from measure.record import KINDS as RECORDED
from regression_report import margins_of
from report.command import parser
from report.load import InputError
from report.margins import HOSTED_TIME, KINDS, ROOT, Margins, Noise, is_hosted, load_margins
from report.two_files import compare_files, noise_line
from workloads.rank_all import RankAll
from workloads.recommend import Recommend
from workloads.serve_step import ServeStep
from workloads.train_epoch import TrainEpoch

REFERENCE = ROOT / "results" / "reference" / "quick-ml_100k.json"
HEAD = "[tool.seqrec-bench.margins]\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pyproject.toml"
    path.write_text(HEAD + text)
    return path


def test_the_defaults_are_those_of_the_kinds() -> None:
    margins = Margins()
    assert margins.policy("c", "epoch_time", "time").margin == 0.05
    assert margins.policy("c", "epoch_time", "time").floor == 20e-6
    assert margins.policy("c", "memory_peak", "memory_physical").floor == 8 * 2**20
    assert margins.policy("c", "latency_p99", "tail").gate == "soft"
    assert margins.policy("c", "params", "deterministic").margin == 0
    assert Margins(hosted=True).policy("c", "epoch_time", "time").margin == 0.10


def test_offline_is_judged_by_the_time_of_a_thousand_users() -> None:
    """A round's own time says nothing: a fast model answers more users in it."""
    margins = load_margins()
    assert margins.policy("c", "time_per_1k_users", "time").gate == "hard"
    assert margins.policy("c", "pass_time", "time").gate == "off"


def test_the_last_rule_that_fits_wins(tmp_path: Path) -> None:
    text = """
ignore = ["step_*"]
[[tool.seqrec-bench.margins.rules]]
kind = "time"
margin = 0.08
[[tool.seqrec-bench.margins.rules]]
cells = "mamba4rec-*"
metric = "epoch_time"
margin = 0.2
gate = "soft"
"""
    margins = load_margins(written(tmp_path, text))
    assert margins.policy("sasrec-x", "epoch_time", "time").margin == 0.08
    special = margins.policy("mamba4rec-x", "epoch_time", "time")
    assert (special.margin, special.gate) == (0.2, "soft")
    assert margins.policy("mamba4rec-x", "latency_p50", "time").margin == 0.08
    assert margins.policy("x", "step_time", "time").gate == "off"


def test_noise_is_found_by_cell_and_metric() -> None:
    noise = (Noise("*", "*", 0.02, 0.1), Noise("sasrec-*", "epoch_time", 0.04, 0.05))
    margins = Margins(noise=noise)
    assert margins.half_width("sasrec-a", "epoch_time") == 0.04
    assert margins.half_width("sasrec-a", "latency_p50") == 0.02
    assert Margins().half_width("a", "b") is None
    assert margins.between_files("sasrec-a", "epoch_time") == 0.05
    assert margins.between_files("sasrec-a", "latency_p50") == 0.1
    assert Margins().between_files("a", "b") is None


@pytest.mark.parametrize(
    "text",
    [
        "limit = 3\n",
        "ignore = 'epoch_time'\n",
        "rules = [{margin = -1}]\n",
        "rules = [{margin = nan}]\n",
        "rules = [{margin = 'much'}]\n",
        "rules = [{gate = 'loud'}]\n",
        "rules = [{kind = 'speed'}]\n",
        "rules = [{cells = 3}]\n",
        "rules = [{limit = 0.1}]\n",
        "rules = [{margin = 5.0}]\n",
        "rules = 3\n",
        "rules = [\n",
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as error:
        load_margins(written(tmp_path, text))
    assert "\n" not in str(error.value)


def test_the_projects_own_margins_load() -> None:
    margins = load_margins()
    assert margins.policy("c", "epoch_time", "time").gate == "hard"
    assert margins.policy("c", "step_time", "time").gate == "off"
    assert margins.policy("c", "cuda_allocated_peak", "deterministic").margin == 0.01
    assert margins.policy("c", "params", "deterministic").margin == 0


@pytest.mark.parametrize("workload", [TrainEpoch, RankAll, Recommend, ServeStep])
def test_parts_of_a_peak_gate_nothing_and_the_peak_does(workload: type) -> None:
    """What a peak is made of changes with its moment: a part may grow while the peak falls."""
    margins = load_margins()
    phases = re.findall(r'yield "(\w+)"', inspect.getsource(workload.phases))
    assert "weights" in phases
    for name in phases:
        assert margins.policy("c", f"memory_{name}", "memory_physical").gate == "off"
        assert margins.policy("c", f"tensor_{name}_bytes", "deterministic").gate == "off"
    assert margins.policy("c", "memory_peak", "memory_physical").gate == "hard"
    assert margins.policy("c", "tensor_peak_bytes", "deterministic").gate == "hard"


def test_every_kind_that_is_recorded_has_a_policy() -> None:
    assert set(RECORDED) <= set(KINDS)


def test_a_hosted_runner_is_found_and_its_margin_is_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "RUNNER_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    assert not is_hosted()
    assert not parser().parse_args(["a", "b"]).hosted
    assert parser().parse_args(["a", "b", "--hosted"]).hosted
    monkeypatch.setenv("RUNNER_ENVIRONMENT", "github-hosted")
    assert not is_hosted()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert parser().parse_args(["a", "b"]).hosted
    assert not parser().parse_args(["a", "b", "--no-hosted"]).hosted
    monkeypatch.setenv("RUNNER_ENVIRONMENT", "self-hosted")
    assert not is_hosted()
    margins = load_margins(hosted=True)
    assert margins.policy("gru4rec-made_up", "made_up_time", "time").margin == HOSTED_TIME
    assert noise_line([], "pairs", "", hosted=margins.hosted).endswith(
        "a hosted runner, so that 10% of time is the margin"
    )
    assert noise_line([], "pairs", "not known", hosted=load_margins().hosted) == "not known"
    widest = noise_line([("a", 0.1), ("b", math.log(2))], "pairs", "not known", hosted=False)
    assert widest == "A/A pairs of this machine, at most ±100.0% (b)"
    again = compare_files(REFERENCE, REFERENCE, margins).command
    assert again.endswith(" --hosted")


def test_a_margin_above_one_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"margin=20: a fraction, 1 at the most \(0.1 is 10%\)"):
        load_margins(written(tmp_path, "rules = [{metric = 'epoch_time', margin = 20}]\n"))


def test_margins_are_the_bases_and_a_head_that_has_others_is_told() -> None:
    own = (ROOT / "pyproject.toml").read_text()
    assert margins_of(None, own) == (load_margins(), [])
    wide = own + '[[tool.seqrec-bench.margins.rules]]\nmetric = "epoch_time"\nmargin = 0.5\n'
    margins, (note,) = margins_of(None, wide)
    assert margins.policy("c", "epoch_time", "time").margin == 0.5
    assert "the base's hold" in note
    for text in (None, "[project]\n"):
        margins, (note,) = margins_of(None, text)
        assert margins == load_margins()
        assert "the base has no margins" in note
    margins, (note,) = margins_of(None, wide.replace("margin = 0.5", "margin = 5.0"))
    assert margins == load_margins()
    assert "can't be used" in note
    assert margins_of(ROOT / "pyproject.toml", wide) == (load_margins(), [])


def test_rules_that_do_nothing_are_told() -> None:
    seen = [(("c", "epoch_time"), "time"), (("c", "params"), "deterministic")]
    rules = (
        {"metric": "epoch_tme", "margin": 0.2},
        {"metric": "params", "floor": 9.0},
        {"metric": "epoch_time", "floor": 9.0},
        {"metric": "cuda_allocated_peak", "margin": 0.01},
    )
    assert Margins(rules=rules).idle(seen) == [
        "margins: no metric here is 'epoch_tme'; there is 'epoch_time'",
        "margins: a floor of deterministic does nothing",
    ]
