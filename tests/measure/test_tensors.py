"""Counted bytes against sums done by hand."""

from __future__ import annotations

import gc

import torch

from measure.tensors import TensorBytes

F = 4  # bytes of a float32


def test_a_step_of_known_tensors_is_counted_to_the_byte() -> None:
    rows, width, items = 64, 256, 1000
    counter = TensorBytes(lambda tensor: tensor.shape == (rows, items))
    with counter.phase("weights"):
        weights = torch.empty(width, items).normal_().requires_grad_()
    with counter.phase("forward"):
        hidden = torch.ones(rows, width).relu_()
        logits = hidden @ weights
        loss = logits.logsumexp(1).sum()
    made = (rows * width, rows * items, rows)  # hidden, logits, logsumexp
    assert counter.saved == F * sum(made)
    assert counter.at_peak["weights"] == F * width * items
    assert counter.watched_peak >= F * rows * items
    del logits
    with counter.phase("backward"):
        loss.backward()
    assert counter.peak == sum(counter.at_peak.values())
    assert counter.peak >= F * (2 * width * items + rows * items)
    assert torch.is_tensor(weights.grad)
    del hidden, loss, weights
    gc.collect()
    with counter.phase("after"):
        torch.empty(1)
    assert counter._alive == {"weights": 0, "forward": 0, "backward": 0, "after": 0}


def test_a_peak_is_the_most_alive_at_once_and_views_are_not_counted_again() -> None:
    counter = TensorBytes()
    with counter.phase("work"):
        for _ in range(3):
            block = torch.empty(1000)
            block.view(10, 100)[2:].t()
            del block
        torch.empty(500)
    assert counter.peak == 1000 * F


def test_a_sparse_tensor_counts_as_its_indices_and_values() -> None:
    index, values = torch.tensor([[1, 5]]), torch.ones(2, 8)
    counter = TensorBytes()
    with counter.phase("one"):
        sparse = torch.sparse_coo_tensor(
            index.clone(), values * 2, (100, 8), check_invariants=False
        )
        assert counter.alive == 2 * 8 + 2 * 8 * F
        whole = sparse.to_dense()
        assert counter.alive == 2 * 8 + (2 + 100) * 8 * F
        del sparse, whole
        assert counter.alive == 0


def test_what_was_there_before_counts_for_nothing_unless_it_is_shown() -> None:
    old = torch.ones(1000, requires_grad=True)
    given = torch.from_numpy(old.detach().numpy().copy())
    counter = TensorBytes()
    with counter.phase("work"):
        (old * 2).sum()
        counter.count(given)
    assert counter.at_peak["work"] <= 2 * 1000 * F + F
    assert counter.saved == 0


def test_a_tensor_kept_by_a_function_of_ones_own_counts_as_saved() -> None:
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            kept = torch.empty(300)
            ctx.save_for_backward(kept, x)
            return 2 * x

        @staticmethod
        def backward(ctx, gradient):
            torch.empty(7000)
            return 2 * gradient

    counter = TensorBytes()
    x = torch.ones(100, requires_grad=True)
    with counter.phase("forward"):
        y = Double.apply(x).sum()
    assert counter.saved == 300 * F
    with counter.phase("backward"):
        y.backward()
    assert counter.peak >= 7000 * F  # a temporary of the backward pass
