"""The `offline` scenario: all requests are known, and the model is given them as it likes best.

Larger and larger batches are tried until they stop paying; the best size then answers all requests
several times over. `cell.batch_size` is the largest that is tried. A fast model answers more users
in a round than a slow one, so that what is compared is the time of a thousand of them.
"""

from __future__ import annotations

import itertools
import time

import torch

from bench.cell import Cell
from bench.findings import Findings, fact
from bench.work import Work
from measure.clock import Stopwatch, until_steady
from measure.quantile import median_metric
from measure.record import Metric
from workloads.recommend import Recommend
from workloads.setting import Setting

TIME = "time_per_1k_users"  # what is compared, and its samples
_GROWTH = 4
_MOST_EVENTS = 2**18  # in one batch: beyond it only memory grows
_PASS_SECONDS, _TRY_SECONDS = 10.0, 0.3
_WORSE = 2  # sizes in a row that are slower than the best: the search ends


def time_offline(cell: Cell, setting: Setting, findings: Findings) -> Work:
    """Seconds of a thousand users at the best batch size, median over rounds."""
    with findings.phase("checks"):
        workload = Recommend(setting)
        workload.prepare()
    with findings.phase("warm_up"), torch.inference_mode():
        tried, sized = _try_sizes(cell, workload, findings)
    best = max(tried, key=lambda size: tried[size])
    batches = max(1, min(cell.requests, int(tried[best] * _PASS_SECONDS)) // best)
    chosen, users, seconds = sized[best], batches * best, list[float]()
    with torch.inference_mode(), findings.watched(cell.device):
        for _ in range(cell.rounds):
            findings.turn()
            with Stopwatch(cell.device) as watch:
                for index in range(batches):
                    chosen.answer(index)
            assert watch.seconds is not None, "the watch has stopped"
            seconds.append(watch.seconds)
    method = f"{users} users in batches of {best}, median of rounds, perf_counter_ns"
    thousands = [1000 * of_round / users for of_round in seconds]
    took = median_metric(thousands, unit="s", better="lower", kind="time", method=method)
    assert took.value is not None, "there is at least one round"
    findings.samples[TIME] = thousands
    findings.resolved["users_per_second_by_batch"] = {str(b): tried[b] for b in tried}
    findings.metrics |= {
        TIME: took,
        # A fact: how many users a round has follows from how fast they are answered.
        "pass_time": Metric(took.value * users / 1000, "s", "none", "derived", method),
        "users_per_second": Metric(
            1000 / took.value, "1/s", "higher", "time", method, n=len(seconds)
        ),
        "best_batch": Metric(best, "1", "none", "derived", f"the fastest of {sorted(tried)}"),
        "request_flops": fact(chosen.flops() / best, "FLOP", "analytic, one user"),
        "params": fact(workload.model.num_parameters(), "1", "counted"),
    }
    numbers, cost = itertools.count(), chosen.cost().times(batches)
    return Work(lambda: chosen.request(next(numbers)), best / 1000, took.value, cost)


def _try_sizes(
    cell: Cell, workload: Recommend, findings: Findings
) -> tuple[dict[int, float], dict[int, Recommend]]:
    """By batch size users per second, for growing sizes until they stop paying, and what answers
    so many at a time, checked.
    """
    tried: dict[int, float] = {}
    sized: dict[int, Recommend] = {}
    size, worse = 1, 0
    while size <= min(cell.batch_size, cell.requests):
        with findings.phase("checks"):
            sized[size] = workload.of_size(size)
        tried[size] = _users_per_second(cell, sized[size])
        worse = worse + 1 if tried[size] < max(tried.values()) else 0
        if worse == _WORSE:
            break
        size *= _GROWTH
        if size * cell.seq_len > _MOST_EVENTS:
            break
    return tried, sized


def _users_per_second(cell: Cell, workload: Recommend) -> float:
    def run_once() -> None:
        workload.answer(0)

    until_steady(run_once, device=cell.device, maximum=10, seconds=1.0)
    calls, end = 0, time.perf_counter() + _TRY_SECONDS
    with Stopwatch(cell.device) as watch:
        while calls < 3 or (calls < 50 and time.perf_counter() < end):
            workload.answer(calls)
            calls += 1
    assert watch.seconds is not None, "the watch has stopped"
    return calls * workload.setting.batch_size / watch.seconds
