"""What is kept of a weight is never older than the weight."""

from __future__ import annotations

import torch
from torch import nn

from models.ops import panels
from models.ops.linear import linear
from workloads.adam import Adam


def test_layouts_are_kept_between_calls_without_gradients() -> None:
    weight = nn.Parameter(torch.randn(32, 16))
    with torch.no_grad():
        first = panels.kept(panels.panels_out, weight)
        assert panels.kept(panels.panels_out, weight) is first
        weight.mul_(2)
        assert torch.equal(panels.kept(panels.panels_out, weight), 2 * first)


def test_an_optimizers_step_is_noticed() -> None:
    x, weight = torch.randn(64, 16), nn.Parameter(torch.randn(32, 16))
    optimizer = Adam([weight], lr=0.1)
    for _ in range(3):
        with torch.no_grad():
            torch.testing.assert_close(linear(x, weight), x @ weight.T, rtol=1e-4, atol=1e-4)
        linear(x, weight).sum().backward()
        with torch.no_grad():  # kept again between the backward pass and the step
            linear(x, weight)
        optimizer.step()


def test_training_drops_what_was_kept() -> None:
    """Whatever an optimizer writes and how, the next evaluation sees it."""
    x, weight = torch.randn(64, 16), nn.Parameter(torch.randn(32, 16))
    with torch.no_grad():
        linear(x, weight)
    linear(x, weight)
    weight.data.add_(1.0)
    with torch.no_grad():
        torch.testing.assert_close(linear(x, weight), x @ weight.T, rtol=1e-4, atol=1e-4)


def test_what_is_kept_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(panels, "_MOST_KEPT", 3)
    with torch.no_grad():
        for _ in range(10):
            panels.kept(panels.panels_in, torch.randn(16, 16))
    assert len(panels._kept) <= 3


def test_what_is_kept_is_bounded_in_size(monkeypatch) -> None:
    monkeypatch.setattr(panels, "_MOST_NUMBERS", 10_000)
    weights = [torch.randn(16, 16) for _ in range(10)]
    with torch.no_grad():
        for weight in weights:
            panels.kept(panels.panels_in, weight)
            assert sum(entry.made.numel() for entry in panels._kept.values()) <= 10_000
