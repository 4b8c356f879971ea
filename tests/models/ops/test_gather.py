"""`gather`: values and gradients of `index_select`, whatever reads its rows and makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import models
from models import pre_norm_layer
from models.ops.add_norm import add_norm
from models.ops.gather import gather, gradient_last
from models.ops.post_mixer import Weights, post_mixer

ROWS, WIDTH, WIDE = 1001, 64, 128


def made() -> list[Tensor]:
    """Leaves: mixed, residual and the weights behind attention."""
    make = torch.Generator().manual_seed(0)
    vector = (WIDTH,)
    shapes = [
        (ROWS, WIDTH), (ROWS, WIDTH), (WIDTH, WIDTH), vector, vector, vector, (WIDE, WIDTH),
        (WIDE,), (WIDTH, WIDE), vector, vector, vector,
    ]  # fmt: skip
    return [(torch.randn(s, generator=make) / s[-1] ** 0.5).requires_grad_() for s in shapes]


def through_post_mixer(index: Tensor, *, sparse: bool, dropout: float) -> list[Tensor]:
    """The loss and all gradients where some rows of the sum are read."""
    torch.manual_seed(1)
    leaves = made()
    mixed, residual, *weights = leaves
    total, normed = post_mixer(
        mixed, residual, Weights(*weights), eps=(1e-8, 1e-8), activation="gelu", post_norm=False,
        dropout=dropout, inner_dropout=dropout,
    )  # fmt: skip
    chosen = gather(total, index) if sparse else total.index_select(0, index)
    loss = chosen.sin().sum() + normed.cos().sum()
    return [loss.detach(), *torch.autograd.grad(loss, leaves)]


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize(
    "index", [[0], [ROWS - 1], [*range(0, ROWS, 7)], [63, 64, 65, 127], [*range(ROWS)], []]
)
def test_post_mixer_takes_some_rows_of_its_sums_gradient(index: list[int], dropout: float) -> None:
    rows = torch.tensor(index, dtype=torch.int64)
    found = through_post_mixer(rows, sparse=True, dropout=dropout)
    wanted = through_post_mixer(rows, sparse=False, dropout=dropout)
    for mine, plain in zip(found, wanted, strict=True):
        assert torch.equal(mine, plain)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bits_do_not_depend_on_the_threads(
    threads: int, set_threads: Callable[[int], None]
) -> None:
    rows = torch.arange(0, ROWS, 3)
    found = []
    for number in (threads, 3):
        set_threads(number)
        found.append(through_post_mixer(rows, sparse=True, dropout=0.2))
    for mine, other in zip(*found, strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("whole", ["none", "before", "after", "both"])
def test_others_may_read_the_rows_too(whole: str) -> None:
    """What reads all rows adds to the sparse gradient, whichever of both comes first."""
    index = torch.tensor([1, 5, 6])
    gradients = []
    for backend in ("numba", "torch"):
        x = torch.linspace(-1, 1, 20 * WIDTH).view(20, WIDTH).requires_grad_()
        rows, _ = add_norm(x, None, torch.ones(WIDTH), torch.zeros(WIDTH), eps=1e-5)
        every = gradient_last(rows, backend=backend)
        losses = [gather(rows, index, backend=backend).sin().sum()]
        if whole in ("before", "both"):
            losses.insert(0, (every * 3).cos().sum())
        if whole in ("after", "both"):
            losses.append((rows * 2).sin().sum())
        torch.stack(losses).sum().backward()
        assert x.grad is not None
        assert not x.grad.is_sparse
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-6)


def test_rows_taken_twice_add_up() -> None:
    gradients = []
    for backend in ("numba", "torch"):
        leaves = made()
        mixed, residual, *weights = leaves
        total, _ = post_mixer(
            mixed, residual, Weights(*weights), eps=(1e-8, 1e-8), activation="relu",
            post_norm=False,
        )  # fmt: skip
        first, second = torch.tensor([2, 9, 800]), torch.tensor([9, 10])
        loss = gather(total, first, backend=backend).sin().sum()
        loss = loss + 2 * gather(total, second, backend=backend).sum()
        gradients.append(torch.autograd.grad(loss, leaves[:2]))
    for mine, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("post_norm", [False, True])
def test_the_sums_gradient_arrives_as_those_rows_alone(post_norm: bool) -> None:
    """And the normed rows' alone too, which are made whole."""
    seen: list[Tensor] = []
    gradients = []
    for backend in ("numba", "torch"):
        leaves = made()
        mixed, residual, *weights = leaves
        found = post_mixer(
            mixed, residual, Weights(*weights), eps=(1e-8, 1e-8), activation="relu",
            post_norm=post_norm,
        )[int(post_norm)]  # fmt: skip
        found.register_hook(seen.append)
        gather(found, torch.tensor([4, 5]), backend=backend).sin().sum().backward()
        gradients.append([t.grad for t in leaves if t.grad is not None])
    assert [gradient.is_sparse for gradient in seen] == [True, False]
    for mine, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-6, atol=1e-6)


def test_a_whole_gradient_behind_it_is_added_to_in_place() -> None:
    where = []
    x = torch.ones(20, WIDTH, requires_grad=True)
    rows, _ = add_norm(x, None, torch.ones(WIDTH), torch.zeros(WIDTH), eps=1e-5)
    rows.register_hook(lambda gradient: where.append(gradient.data_ptr()))
    every = gradient_last(rows)
    every.register_hook(lambda gradient: where.append(gradient.data_ptr()))
    chosen = gather(rows, torch.tensor([3]))
    (every.clone() * 2 + chosen.sum()).sum().backward()
    assert where[0] == where[1]
    assert x.grad is not None
    assert x.grad[3].tolist() == [2 + 20 * WIDTH] * WIDTH
    assert x.grad[4].tolist() == [2.0] * WIDTH


@pytest.mark.parametrize("name", ["sasrec", "bert4rec", "mamba4rec"])
def test_with_create_graph_a_models_gradients_are_the_same(name: str) -> None:
    model = models.get(name)(30, 12)
    torch.manual_seed(0)
    item_seq = torch.randint(1, 31, (40, 11))
    lengths = torch.arange(40) % 11 + 1
    found = []
    for create_graph in (False, True):
        loss = model.eval().last_hidden(item_seq, lengths).sin().sum()
        found.append(torch.autograd.grad(
            loss, list(model.parameters()), create_graph=create_graph, allow_unused=True
        ))  # fmt: skip
    for mine, other in zip(*found, strict=True):
        assert (mine is None) == (other is None)
        if mine is not None:
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


def test_sasrecs_residual_goes_back_as_last_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def watched(*args: Any, **how: Any) -> tuple[Tensor, Tensor]:
        total, normed = post_mixer(*args, **how)
        total.register_hook(seen.append)
        return total, normed

    monkeypatch.setattr(pre_norm_layer, "post_mixer", watched)
    model = models.get("sasrec")(30, 12)
    item_seq, lengths = torch.randint(1, 31, (40, 11)), torch.arange(40) % 11 + 1
    model.last_hidden(item_seq, lengths).sin().sum().backward()
    assert [(g.is_sparse, g.coalesce().values().shape[0]) for g in seen if g is not None] == [
        (True, 40)
    ]


def test_without_gradients_it_is_plain() -> None:
    rows = torch.arange(12.0).view(4, 3)
    assert gradient_last(rows) is rows
    assert gather(rows, torch.tensor([0, 3])).tolist() == [[0, 1, 2], [9, 10, 11]]
