"""Known requests go in the batches that the model likes best."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from functools import partialmethod
from typing import Any

import pytest
import torch

import data
from bench import offline
from bench.cell import Cell
from bench.findings import Findings
from workloads.recommend import Recommend
from workloads.setting import Setting

CELL = Cell("gru4rec", "recommend", "x", "all", 8, 64, requests=128, rounds=3, scenario="offline")


@pytest.fixture
def setting() -> Setting:
    return Setting("gru4rec", data.load("synthetic_u60_i50_n20"), "all", 8, 64)


def test_sizes_grow_until_they_stop_paying_and_the_best_one_counts(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_answer = Recommend.answer

    def answer(self: Recommend, index: int) -> Any:
        """A device that likes 16 users: 1 ms for up to so many, then 2 ms for each 8 more."""
        users = self.setting.batch_size
        time.sleep(0.001 + 0.002 * max(0, users - 16) / 8)
        return true_answer(self, index)

    monkeypatch.setattr(Recommend, "answer", answer)
    monkeypatch.setattr(offline, "_TRY_SECONDS", 0.05)
    findings = Findings()
    offline.time_offline(CELL, setting, findings)
    assert findings.metrics["best_batch"].value == 16
    assert list(findings.resolved["users_per_second_by_batch"]) == ["1", "4", "16", "64"]
    took = findings.metrics["time_per_1k_users"].value
    assert took >= 1000 / 16 * 0.001
    assert statistics.median(findings.samples["time_per_1k_users"]) == took
    assert findings.metrics["pass_time"].value == pytest.approx(took * 0.128)  # 128 users
    assert findings.metrics["users_per_second"].value == pytest.approx(1000 / took)


def test_a_slower_model_takes_longer_however_many_users_a_round_has(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round has as many users as fit in its time: of a slow model fewer, in the same seconds."""
    monkeypatch.setattr(offline, "_TRY_SECONDS", 0.02)
    monkeypatch.setattr(offline, "_PASS_SECONDS", 0.05)
    found, answer = [], Recommend.answer

    def slowly(self: Recommend, index: int, *, seconds: float) -> object:
        time.sleep(seconds)
        return answer(self, index)

    for seconds in (0.001, 0.008):
        monkeypatch.setattr(Recommend, "answer", partialmethod(slowly, seconds=seconds))
        findings = Findings()
        offline.time_offline(replace(CELL, batch_size=1, requests=1000), setting, findings)
        found.append(findings.metrics)
    fast, slow = found
    assert slow["pass_time"].value == pytest.approx(fast["pass_time"].value, rel=0.5)
    assert slow["time_per_1k_users"].value > 4 * fast["time_per_1k_users"].value


def test_a_batch_of_another_size_gives_the_same_answers(setting: Setting) -> None:
    workload = Recommend(setting)
    workload.prepare()
    small = workload.of_size(3)
    with torch.inference_mode():
        alone, _ = workload.model.recommend(small.requests.histories(0), small.lengths, 10)
        assert torch.equal(small.answer(0), alone)
    assert small.model is workload.model
    assert small.flops() < workload.flops()
