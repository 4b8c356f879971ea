"""`dropout`: right share, right scale, independent streams, the same mask forward and backward."""

from __future__ import annotations

import pytest
import torch

from models.ops.dropout import dropout, noise_for


@pytest.mark.parametrize("probability", [0.05, 0.2, 0.5, 0.9])
def test_share_and_scale_are_right(probability: float) -> None:
    torch.manual_seed(0)
    y = dropout(torch.ones(1000, 1003), probability, backend="numba")
    kept = y != 0
    share = float(kept.double().mean())
    # Five standard deviations of a million draws.
    assert abs(share - (1 - probability)) < 5 * (probability * (1 - probability) / 1e6) ** 0.5
    assert float((y[kept] - 1 / (1 - probability)).abs().max()) < 1e-6 / (1 - probability)


def test_neighbours_rows_and_streams_are_independent() -> None:
    torch.manual_seed(0)
    masks = [(dropout(torch.ones(512, 2048), 0.5) > 0).double() - 0.5 for _ in range(3)]
    limit = 5 * 0.25 / masks[0].numel() ** 0.5
    first = masks[0]
    for shift in (1, 2, 16, 2048):
        flat = first.flatten()
        assert abs(float((flat[shift:] * flat[:-shift]).mean())) < limit
    for other in masks[1:]:
        assert abs(float((first * other).mean())) < limit
    spread = (first.mean(1) * 2048**0.5 / 0.5).std()  # rows as even as chance makes them
    assert 0.8 < float(spread) < 1.2


def test_the_gradient_has_the_same_mask() -> None:
    x = torch.ones(999, 7, requires_grad=True)
    y = dropout(x, 0.3)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(999, 64), (999, 7)])
def test_in_place_it_is_the_same(shape: tuple[int, int], training: bool) -> None:
    found = []
    with torch.set_grad_enabled(training):
        for in_place in (False, True):
            torch.manual_seed(2)
            leaf = torch.linspace(1, 2, shape[0] * shape[1]).view(shape).requires_grad_()
            x = leaf * 2
            y = dropout(x, 0.3, in_place=in_place)
            taken = in_place and y.numel() % 16 == 0
            assert (y.data_ptr() == x.data_ptr()) == taken
            assert not training or x._version == int(taken)
            found.append((y, *(torch.autograd.grad(y.sin().sum(), leaf) if training else ())))
    assert all(torch.equal(mine, other) for mine, other in zip(*found, strict=True))


def test_in_place_what_does_not_lie_in_one_piece_is_left_alone() -> None:
    x = torch.ones(64, 32).T
    torch.manual_seed(2)
    y = dropout(x, 0.3, in_place=True)
    assert bool((x == 1).all())
    torch.manual_seed(2)
    assert torch.equal(dropout(x.contiguous(), 0.3), y)


def test_the_seed_decides_and_nothing_is_dropped_without_probability() -> None:
    x = torch.ones(50, 50)
    torch.manual_seed(1)
    first = dropout(x, 0.5)
    second = dropout(x, 0.5)
    torch.manual_seed(1)
    assert torch.equal(dropout(x, 0.5), first)
    assert not torch.equal(first, second)
    assert dropout(x, 0.0) is x


@pytest.mark.parametrize("probability", [-0.1, 1.0])
def test_an_impossible_probability_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        noise_for(probability)
