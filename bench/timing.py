"""How each workload is timed: warm-up, rounds or requests, and the metrics that come of them.

`PROCEDURES[workload](cell, setting, findings)` prepares the workload (its checks included), times
it and fills the findings in. A wrong result raises before anything is timed.
"""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Callable, Sequence

import torch

from bench.cell import Cell
from bench.findings import Findings, fact
from bench.latency import ON_DEVICE, ON_EVENTS, consecutive, medians, one_by_one
from bench.offline import time_offline
from bench.stored_state import measure_stored_state
from bench.under_load import load_server
from bench.work import Work
from measure.clock import Stopwatch, gc_disabled, until_steady
from measure.histogram import Histogram
from measure.quantile import median_metric, percentile_metrics
from measure.ranking import ranks
from measure.record import Metric
from workloads.rank_all import RankAll
from workloads.recommend import Recommend
from workloads.serve_step import ServeStep
from workloads.serve_stored import ServeStored
from workloads.setting import Setting
from workloads.train_epoch import TrainEpoch

_MOST_ROUNDS = 50


def time_training(cell: Cell, setting: Setting, findings: Findings) -> Work:
    """Epochs from the same start, whole or scaled up from a part of one (flag "extrapolated")."""
    with findings.phase("checks"):
        workload = TrainEpoch(setting)
        workload.prepare()
    batches = workload.batches
    with findings.phase("warm_up"):
        # From here on the rounds' own garbage is all that a collection looks at (0.1 s else).
        gc.collect()
        gc.freeze()
        warmup = until_steady(
            lambda: workload.run(1), device=cell.device, maximum=12, seconds=_share(cell, 1.0)
        )
        steps = _steps_per_round(cell, workload)
        # A step repeats one batch. What a round allocates for batches of other lengths it has to
        # have allocated before, or the first round is up to a fifth slower than the others.
        took = time_round(workload, steps)
        warmup += took
        while warmup < 2 * (cell.round_seconds or 0.0):  # whole epochs that are short
            took = time_round(workload, steps)
            warmup += took
    done = workload.samples_in(steps)
    seconds = []
    with findings.watched(cell.device):
        for _ in range(_rounds(cell, took)):
            findings.turn()
            seconds.append(time_round(workload, steps))
    gc.unfreeze()
    findings.resolved["garbage_collector"] += ", collected before each round"
    scale = batches.num_samples / done
    method = "median of whole epochs, perf_counter_ns"
    if done < batches.num_samples:
        method = f"median of rounds of {steps} of {len(batches)} steps, scaled by samples"
        findings.flags.append("extrapolated")
    epochs = [s * scale for s in seconds]
    epoch = median_metric(epochs, unit="s", better="lower", kind="time", method=method)
    findings.samples["epoch_time"] = epochs
    findings.metrics |= {
        "epoch_time": epoch,
        "step_time": _per(epoch, len(batches), "epoch_time / steps"),
        "samples_per_second": _rate(epoch, batches.num_samples, "rows an epoch / epoch_time"),
        "items_per_second": _rate(epoch, batches.num_events, "real events / epoch_time"),
        "warmup_time": Metric(warmup, "s", "lower", "time", "steps until steady, and a round"),
        "params": fact(workload.model.num_parameters(), "1", "counted"),
        "train_flops": fact(workload.flops(), "FLOP", "analytic, an epoch, backward = 2 forward"),
        "steps": fact(len(batches), "1", "counted", better="none"),
    }
    part = done / batches.num_samples
    return Work(lambda: workload.run(steps), part, epoch.value or 0.0, workload.cost())


def time_round(workload: TrainEpoch, steps: int) -> float:
    """Seconds of the first `steps` steps of an epoch, from the same start each time. The garbage
    of what was before is not in them; Python's collector stays on, as it is for who trains.
    """
    gc.collect()
    workload.reset()
    with Stopwatch(workload.setting.device) as watch:
        workload.run(steps)
    return _seconds(watch)


def time_recommending(cell: Cell, setting: Setting, findings: Findings) -> Work | None:
    """Whole requests from histories; nothing is kept between them."""
    if cell.scenario == "offline":
        return time_offline(cell, setting, findings)
    with findings.phase("checks"):
        workload = Recommend(setting)
        workload.prepare()
    _time_requests(cell, workload.answer, findings)
    findings.resolved["serving"] = "recompute"
    findings.metrics["request_flops"] = fact(workload.flops(), "FLOP", "analytic")
    findings.metrics["params"] = fact(workload.model.num_parameters(), "1", "counted")
    return _serving(cell, workload, findings)


def time_stepping(cell: Cell, setting: Setting, findings: Findings) -> Work | None:
    """One more event from kept state."""
    with findings.phase("checks"):
        workload = (ServeStored if cell.scenario == "server" else ServeStep)(setting)
        workload.prepare()
    _time_requests(cell, workload.answer, findings)
    findings.metrics["request_flops"] = fact(workload.flops(), "FLOP", "analytic")
    measure_stored_state(workload, findings)
    return _serving(cell, workload, findings)


def time_ranking(cell: Cell, setting: Setting, findings: Findings) -> Work:
    """The whole test split in full, by untrained weights: what it costs. Scores are `fit`'s."""
    with findings.phase("checks"):
        workload = RankAll(setting, ranks)
        workload.prepare()

    def run_once() -> None:
        workload.run()

    with findings.phase("warm_up"):
        warmup = until_steady(run_once, device=cell.device, maximum=5, seconds=5.0)
    seconds: list[float] = []
    with findings.watched(cell.device):
        while len(seconds) < cell.rounds or _are_short(seconds, cell):
            findings.turn()
            with Stopwatch(cell.device) as watch:
                found = workload.run()
            seconds.append(_seconds(watch))
    took = median_metric(
        seconds, unit="s", better="lower", kind="time", method="median of rounds, perf_counter_ns"
    )
    findings.samples["rank_time"] = seconds
    findings.metrics |= {
        "rank_time": took,
        "users_per_second": _rate(took, len(found), "test users / rank_time"),
        "warmup_time": Metric(warmup, "s", "lower", "time", "until steady, perf_counter_ns"),
    }
    thousands = len(found) / 1000
    return Work(workload.run, thousands, (took.value or 0.0) / thousands, workload.cost())


PROCEDURES: dict[str, Callable[[Cell, Setting, Findings], Work | None]] = {
    "train_epoch": time_training,
    "recommend": time_recommending,
    "serve_step": time_stepping,
    "rank_all": time_ranking,
}


def _serving(cell: Cell, workload: Recommend | ServeStep, findings: Findings) -> Work | None:
    """A request after the other; none under load, where the time is mostly others' requests."""
    if cell.scenario == "server":
        return None
    numbers = itertools.count()
    seconds = 1000 / (findings.metrics["users_per_second"].value or float("nan"))
    thousands = workload.setting.batch_size / 1000
    return Work(lambda: workload.request(next(numbers)), thousands, seconds, workload.cost())


@torch.inference_mode()
def _time_requests(cell: Cell, request: Callable[[int], object], findings: Findings) -> None:

    def run_once() -> None:
        request(0)

    with findings.phase("warm_up"):
        warmup = until_steady(run_once, device=cell.device, maximum=100, seconds=3.0)
    gc.freeze()  # nothing is collected from here on, and a first look at all modules takes a while
    with gc_disabled(), findings.watched(cell.device):
        load = load_server(cell, request) if cell.scenario == "server" else None
        blocks = consecutive(load.latencies) if load else one_by_one(cell, request, findings)
    latencies = list(itertools.chain.from_iterable(blocks))
    findings.raw["latency"] = latencies
    findings.histograms["latency"] = Histogram.of(latencies).to_dict()
    findings.samples["latency_block_p50"] = medians(blocks)
    findings.metrics["warmup_time"] = Metric(
        warmup, "s", "lower", "time", "until steady, perf_counter_ns"
    )
    if load:
        load.report(findings)
        findings.samples["service_block_p50"] = medians(consecutive(findings.raw["service"]))
        return
    if seconds := findings.raw.get(ON_DEVICE):
        findings.metrics |= percentile_metrics(seconds, name=ON_DEVICE, method=ON_EVENTS)
    findings.metrics |= percentile_metrics(latencies, asked_for=cell.requests) | {
        "users_per_second": Metric(
            len(latencies) * cell.batch_size / sum(latencies),
            "1/s",
            "higher",
            "time",
            "users / sum of latencies, one request at a time",
            n=len(latencies),
        )
    }


def _steps_per_round(cell: Cell, workload: TrainEpoch) -> int:
    """How many steps fit in a round, at least three and at most the whole epoch."""
    whole = len(workload.batches)
    if cell.round_seconds is None:
        return whole
    with Stopwatch(cell.device) as watch:
        workload.run(min(2, whole))
    step = _seconds(watch) / min(2, whole)
    return min(whole, max(3, round(cell.round_seconds / step)))


def _rounds(cell: Cell, took: float) -> int:
    """So many as were asked for, and where an epoch is shorter than a round may be, as many as fill
    the same time; at most three times as many.
    """
    wanted = cell.rounds * (cell.round_seconds or 0.0)
    return max(cell.rounds, min(3 * cell.rounds, math.ceil(wanted / took)))


def _are_short(seconds: Sequence[float], cell: Cell) -> bool:
    """Whether rounds that no epoch is cut into have not filled their time yet."""
    return sum(seconds) < (cell.round_seconds or 0.0) and len(seconds) < _MOST_ROUNDS


def _share(cell: Cell, factor: float) -> float:
    return 10.0 if cell.round_seconds is None else factor * cell.round_seconds


def _seconds(watch: Stopwatch) -> float:
    assert watch.seconds is not None, "the watch has stopped"
    return watch.seconds


def _rate(seconds: Metric, count: int, method: str) -> Metric:
    value = count / (seconds.value or float("nan"))
    return Metric(value, "1/s", "higher", "time", method, n=seconds.n)


def _per(seconds: Metric, count: int, method: str) -> Metric:
    return Metric((seconds.value or 0.0) / count, "s", "lower", "time", method, n=seconds.n)
