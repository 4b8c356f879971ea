"""Warming up leaves no kernel of a model for the first timed batch to compile or load."""

from __future__ import annotations

import subprocess
import sys

import pytest

import models

_PROGRAM = """
import sys
from data import load
from workloads.setting import Setting
from workloads.train_epoch import TrainEpoch
from workloads.warm_up import warm_up

model, objective = sys.argv[1:]
setting = Setting(model, load("synthetic_u60_i50_n20"), objective, 16, 64)
warm_up(setting, training=True)
before = {name for name in sys.modules if name.startswith("models.ops.")}
assert any(name.endswith("_kernels") for name in before)
workload = TrainEpoch(setting)
workload.prepare()
workload.run(2)
late = {name for name in sys.modules if name.startswith("models.ops.")} - before
print(",".join(sorted(late)))
"""


@pytest.mark.parametrize(
    ("name", "objective"),
    [(name, objective) for name in models.names() for objective in models.get(name).objectives],
)
def test_nothing_is_loaded_after_the_warm_up(name: str, objective: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, name, objective],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == ""
