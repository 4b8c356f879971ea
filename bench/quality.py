"""How `fit` is measured: accuracy by full ranking, and the time and the epochs that it took."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch

from bench.cell import Cell
from bench.findings import Findings, fact
from measure.quantile import median_metric
from measure.ranking import METRICS, ranking_metrics, ranks
from measure.record import Metric
from workloads.fit import Course, Fit
from workloads.setting import Setting

TOP_K = 10


def measure_fit(cell: Cell, setting: Setting, findings: Findings, *, weights: Path) -> None:
    """Trains, ranks the test items by the best saved weights, and fills the findings in."""
    workload = Fit(
        setting,
        ranks,
        _ndcg,
        max_epochs=cell.max_epochs,
        patience=cell.patience,
        path=weights,
    )
    with findings.phase("checks"):
        workload.prepare()
    with findings.watched(cell.device):
        course = workload.run()
    if len(course.scores) - course.best_epoch < cell.patience:
        findings.flags.append("max_epochs")  # patience did not end it: it may not have converged
    with findings.phase("measured"):
        found = workload.test_ranks(course)
        findings.metrics |= ranking_metrics(found, TOP_K)
    findings.raw["test_rank"] = found.tolist()
    findings.metrics |= _course_metrics(course)
    findings.metrics["params"] = fact(workload.model.num_parameters(), "1", "counted")
    findings.samples |= {
        "loss": course.losses,
        f"valid_ndcg@{TOP_K}": course.scores,
        "epoch_time": course.seconds,
        "seconds": list(itertools.accumulate(course.seconds)),
    }


def _course_metrics(course: Course) -> dict[str, Metric]:
    timed = "perf_counter, training only, validation apart"
    best = Metric(max(course.scores), "1", "higher", "accuracy", "best epoch, full ranking")
    return {
        f"valid_ndcg@{TOP_K}": best,
        "fit_time": Metric(sum(course.seconds), "s", "lower", "time", timed),
        "epoch_time": median_metric(
            course.seconds, unit="s", better="lower", kind="time", method=f"median, {timed}"
        ),
        "epochs": fact(len(course.seconds), "1", "counted", better="none"),
        "best_epoch": fact(course.best_epoch, "1", "counted", better="none"),
        "final_loss": Metric(course.losses[-1], "1", "none", "derived", "mean of the last epoch"),
    }


def _ndcg(found: torch.Tensor) -> float:
    return float(METRICS["ndcg"](found, TOP_K).mean())
