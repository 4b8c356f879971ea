"""What the suite times is the loop that one would write by hand: the same model, the same batches,
the same Adam, in turn with it in one process.

    pytest -m slow tests/bench/test_bare_loop.py -s

The bounds leave room for the noise of a shared machine; the ratios printed are the result.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import time
from collections.abc import Callable

import pytest
import torch

import data
import models
from bench.findings import Findings
from bench.latency import time_each
from bench.timing import time_round
from workloads.adam import Adam
from workloads.recommend import TOP_K, Recommend
from workloads.requests import Requests
from workloads.serve_step import ServeStep
from workloads.setting import Setting
from workloads.train_epoch import TrainEpoch
from workloads.trainer import LEARNING_RATE

PAIRS, STEPS = 41, 2
REQUEST_PAIRS, REQUESTS = 151, 20
ALLOWED = 1.05


def _setting(model: str, batch_size: int) -> Setting:
    objective = models.get(model).objectives[0]
    log = data.load("synthetic_u1000_i1500_n100")
    return Setting(model, log, objective, 50, batch_size)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


@pytest.mark.slow
@pytest.mark.parametrize("model", models.names())
def test_an_epoch_takes_as_long_as_by_hand(model: str) -> None:
    workload = TrainEpoch(_setting(model, 128))
    workload.prepare()

    def by_hand() -> float:
        gc.collect()  # as before the suite's rounds: the caches are as cold
        workload.model.load_state_dict(workload.start)
        workload.model.train()
        torch.manual_seed(0)
        optimizer = Adam(workload.model.parameters(), lr=LEARNING_RATE)
        start = time.perf_counter()
        for batch in itertools.islice(workload.batches, STEPS):
            workload.model.loss(batch).backward()
            optimizer.step()
            optimizer.zero_grad()
        return time.perf_counter() - start

    _compare(f"{model}: {STEPS} steps", lambda: time_round(workload, STEPS), by_hand, pairs=PAIRS)


@pytest.mark.slow
@pytest.mark.parametrize("model", models.names())
def test_a_recommendation_takes_as_long_as_by_hand(model: str) -> None:
    workload = Recommend(_setting(model, 1))
    workload.prepare()
    requests, lengths = workload.requests, torch.tensor([50])

    def by_hand() -> float:
        with torch.inference_mode():
            return _by_hand(
                lambda i: workload.model.recommend(requests.histories(i), lengths, TOP_K)
            )

    def by_suite() -> float:
        return _by_suite(workload.answer)

    _compare(f"{model}: a request", by_suite, by_hand, pairs=REQUEST_PAIRS)


@pytest.mark.slow
@pytest.mark.parametrize("model", [name for name in models.names() if models.get(name).has_step])
def test_a_step_takes_as_long_as_by_hand(model: str) -> None:
    workload = ServeStep(_setting(model, 1))
    workload.prepare()
    requests: Requests = workload.requests

    def answer(index: int) -> object:
        hidden, _ = workload.model.step(requests.events(index), workload.state)
        return workload.model.recommend_hidden(hidden, TOP_K)

    def by_hand() -> float:
        with torch.inference_mode():
            return _by_hand(answer)

    def by_suite() -> float:
        return _by_suite(workload.answer)

    _compare(f"{model}: a step", by_suite, by_hand, pairs=REQUEST_PAIRS)


@pytest.mark.slow
@pytest.mark.parametrize("model", models.names())
def test_an_epoch_takes_as_long_with_the_instruments_as_without(model: str) -> None:
    """Load, steal and clocks are read before and after a block and never inside; the bound is the
    project's own, 1%, on the block's seconds.
    """
    workload = TrainEpoch(_setting(model, 128))
    workload.prepare()

    def measured() -> float:
        findings = Findings()
        with findings.watched("cpu"):
            return time_round(workload, STEPS)

    def bare() -> float:
        return time_round(workload, STEPS)

    _compare(f"{model}: {STEPS} steps, watched", measured, bare, pairs=2 * PAIRS, allowed=1.01)


@torch.inference_mode()
def _by_suite(request: Callable[[int], object]) -> float:
    gc.disable()
    latencies = time_each(request, REQUESTS, device="cpu")
    gc.enable()
    return statistics.median(latencies)


def _by_hand(request: Callable[[int], object]) -> float:
    gc.disable()
    latencies = []
    for index in range(REQUESTS):
        start = time.perf_counter()
        request(index)
        latencies.append(time.perf_counter() - start)
    gc.enable()
    return statistics.median(latencies)


def _compare(
    what: str,
    suite: Callable[[], float],
    by_hand: Callable[[], float],
    *,
    pairs: int,
    allowed: float = ALLOWED,
) -> None:
    """Pairs in turn, each order as often; the median of their ratios is what the suite adds."""
    suite(), by_hand()
    ratios, seconds = [], []
    for pair in range(pairs):
        if pair % 2:
            bare, ours = by_hand(), suite()
        else:
            ours, bare = suite(), by_hand()
        ratios.append(ours / bare)
        seconds.append(bare)
    ratio = statistics.median(ratios)
    low, _, high = statistics.quantiles(ratios, n=4)
    print(
        f"\n{what}: {1e3 * statistics.median(seconds):.3g} ms by hand, in the suite {ratio:.3f} "
        f"times as long (middle half {low:.3f} to {high:.3f} of {pairs} pairs)"
    )
    assert ratio < allowed
