"""Products of known FLOPs are counted exactly, shares follow by hand, the peak is a real one."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from measure.roofline import MIB, Peak, gemm_flops, measure_peak, roofline_metrics

ROOT = Path(__file__).parents[2]
PEAK = Peak("cpu", "float32", 1, 100e9, ((MIB, 80e9), (16 * MIB, 40e9), (256 * MIB, 10e9)))


@pytest.mark.parametrize("shape", [(64, 128, 32), (1, 7, 5), (512, 512, 512)])
def test_a_product_of_known_flops_is_counted_exactly(shape):
    rows, inner, columns = shape
    with FlopCounterMode(display=False) as counter:
        torch.mm(torch.ones(rows, inner), torch.ones(inner, columns))
    assert gemm_flops(*shape) == counter.get_total_flops() == 2 * rows * inner * columns


def shares(**given):
    found = roofline_metrics(**({"working_set": 256 * MIB, "seconds": 1.0, "peak": PEAK} | given))
    return {name: metric.value for name, metric in found.items()}


def test_work_bound_by_arithmetic_is_held_against_it():
    found = shares(flops=50e9, traffic=1e9)
    assert found == {"mfu": 0.5, "mbu": pytest.approx(0.1), "roofline_fraction": 0.5}


def test_work_bound_by_traffic_is_held_against_the_bandwidth_at_its_size():
    found = shares(flops=1e9, traffic=5e9)
    assert found["roofline_fraction"] == pytest.approx(0.5)
    # min(peak, intensity x bandwidth) by hand: 0.2 FLOP/B x 10 GB/s = 2 GFLOP/s.
    assert found["roofline_fraction"] == pytest.approx(1e9 / min(100e9, 0.2 * 10e9))
    assert shares(flops=1e9, traffic=5e9, working_set=20 * MIB)["mbu"] == pytest.approx(0.125)
    assert shares(flops=1e9, traffic=5e9, working_set=100)["mbu"] == pytest.approx(5 / 80)


def test_shares_name_where_the_peak_comes_from_or_why_there_are_none():
    cell = {"traffic": 1.0, "working_set": 1.0}
    found = roofline_metrics(flops=1.0, seconds=1.0, peak=PEAK, **cell)
    assert {metric.peak_source for metric in found.values()} == {"measured_triad+gemm"}
    assert {metric.kind for metric in found.values()} == {"derived"}
    for given in ({"peak": "it broke"}, {"flops": 0.0}, {"seconds": None}):
        whole = {"flops": 1.0, "seconds": 1.0, "peak": PEAK} | given
        for metric in roofline_metrics(**whole, **cell).values():
            assert metric.value is None
            assert metric.reason


def test_a_peak_survives_its_journey():
    assert Peak.from_dict(json.loads(json.dumps(PEAK.to_dict()))) == PEAK


def test_a_fresh_process_measures_a_peak_that_a_product_does_not_pass():
    environment = dict(os.environ) | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "bench.peaks", "cpu", "float32"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    peak = Peak.from_dict(json.loads(done.stdout.splitlines()[-1]))
    assert (peak.threads, peak.device, peak.dtype) == (1, "cpu", "float32")
    assert 1e8 < peak.flops_per_second < 1e13
    assert all(1e8 < rate < 1e13 for _, rate in peak.bandwidths)
    assert [size for size, _ in peak.bandwidths] == sorted(size for size, _ in peak.bandwidths)


def test_the_fastest_product_is_the_peak():
    slow = measure_peak(others={"nothing, slowly": lambda a, b: time.sleep(0.1)})
    quick = measure_peak(others={"nothing": lambda a, b: None})
    assert slow.product == "torch"
    assert quick.product == "nothing"
    assert quick.flops_per_second > slow.flops_per_second
