"""A worker brings nothing into its process that its work does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.cell import Cell
from bench.worker import Request

ROOT = Path(__file__).resolve().parents[2]
CELL = Cell(
    "gru4rec", "train_epoch", "synthetic_u60_i50_n20", "all", 8, 16,
    rounds=2, round_seconds=0.05, backend="torch",
)  # fmt: skip
CODE = """
import sys
from bench.findings import Findings
from bench.worker import Request, _measure
findings = Findings()
_measure(Request.loads(sys.stdin.read()), findings)
assert {"share_recurrence", "tensor_peak_bytes"} & findings.metrics.keys()
print(*sys.modules)
"""


@pytest.mark.parametrize("measuring", ["time", "memory"])
def test_no_pass_imports_pytorchs_compiler(tmp_path: Path, measuring: str) -> None:
    """It takes as long to import as PyTorch itself. `parts` asks for the profiler too."""
    request = Request(
        CELL, measuring, tmp_path / "out", tmp_path / "w.pt", CELL.dataset, parts=True
    )
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input=request.dumps(), capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    assert not {"torch._dynamo", "torch._inductor", "sympy"} & set(done.stdout.split())
