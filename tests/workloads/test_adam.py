"""Our call of Adam's kernel is PyTorch's Adam, and does not bring the compiler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from workloads.adam import Adam

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("seldom_given", [False, True])
def test_steps_equal_those_of_torch_optim(seldom_given: bool) -> None:
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(5, 3)), torch.nn.Parameter(torch.randn(7))]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    idle = [torch.nn.Parameter(torch.ones(2))] if seldom_given else []  # never has a gradient
    mine, reference = Adam([*ours, *idle]), torch.optim.Adam(theirs)
    for number in range(6):
        for group, optimizer in ((ours, mine), (theirs, reference)):
            optimizer.zero_grad()
            # The first has a gradient every other time.
            given = group[number % 2 :] if seldom_given else group
            torch.stack([(p**3).sum() for p in given]).sum().backward()
            optimizer.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    assert all(bool((p == 1).all()) for p in idle)
    mine.zero_grad()
    mine.step()  # without any gradient nothing happens
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-6, atol=1e-6)


def test_training_does_not_import_the_compiler() -> None:
    code = (
        "import sys, torch; from workloads.adam import Adam;"
        "p = torch.nn.Parameter(torch.ones(3)); a = Adam([p]); p.sum().backward(); a.step();"
        "a.zero_grad(); sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
