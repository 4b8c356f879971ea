"""`post_mixer` in training: one pass and its gradients equal the layers one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from models.ops import post_mixer as module
from models.ops.post_mixer import Weights, post_mixer

GAMMAS = [4, 5, 10, 11]  # whose rows are summed in other parts when layers are apart


def made(
    rows: int, shape: tuple[int, int, int], dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """Leaves: mixed, residual and all weights."""
    make = torch.Generator().manual_seed(rows)
    keys, width, wide = shape
    vector = (width,)
    shapes = [
        (rows, keys), (rows, width), (width, keys), vector, vector, vector, (wide, width), (wide,),
        (width, wide), vector, vector, vector,
    ]  # fmt: skip
    return [
        (torch.randn(s, generator=make) / s[-1] ** 0.5).to(dtype).requires_grad_() for s in shapes
    ]


def run(leaves: list[Tensor], backend: str = "auto", **options: Any) -> list[Tensor]:
    """Sum, normed and the gradients of all leaves; dropout from the same seed each time."""
    torch.manual_seed(3)
    mixed, residual, *weights = leaves
    options = {"activation": "relu", "post_norm": False, **options}
    found = post_mixer(
        mixed, residual, Weights(*weights), eps=(1e-8, 1e-12), backend=backend, **options
    )
    goal = sum((t.sin() * (i + 1)).sum() for i, t in enumerate(found))
    assert isinstance(goal, Tensor)
    return [t.detach() for t in (*found, *torch.autograd.grad(goal, leaves))]


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("post_norm", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("shape", [(64, 64, 256), (128, 64, 64), (64, 128, 192)])
@pytest.mark.parametrize("rows", [0, 1, 32, 63, 1001])
def test_value_and_gradients_equal_the_reference(
    rows: int, shape: tuple[int, int, int], activation: str, post_norm: bool
) -> None:
    options = {"activation": activation, "post_norm": post_norm}
    found = run(made(rows, shape), **options)
    wanted = run(
        [t.detach().double().requires_grad_() for t in made(rows, shape)], "torch", **options
    )
    for mine, plain in zip(found, wanted, strict=True):
        assert mine.shape == plain.shape
        torch.testing.assert_close(mine.double(), plain, rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("post_norm", [False, True])
@pytest.mark.parametrize("drops", [(0.0, 0.0), (0.3, 0.0), (0.0, 0.3), (0.3, 0.2)])
@pytest.mark.parametrize(
    ("activation", "shape"), [("relu", (64, 64, 256)), ("gelu", (128, 64, 128))]
)
@pytest.mark.parametrize("rows", [40, 1001])
def test_the_pass_has_the_bits_of_the_layers(
    rows: int, activation: str, shape: tuple[int, int, int], drops: tuple[float, float],
    post_norm: bool, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """With the same masks of dropout; the norms' gradients alone are summed in other parts."""
    options = {
        "activation": activation, "post_norm": post_norm, "dropout": drops[0],
        "inner_dropout": drops[1],
    }  # fmt: skip
    leaves = made(rows, shape)
    found = run(leaves, **options)
    monkeypatch.setattr(module, "_fits", lambda *_, trained: False)
    wanted = run(leaves, **options)
    for index, (mine, plain) in enumerate(zip(found, wanted, strict=True)):
        if index - 2 in GAMMAS:
            torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-4)
        else:
            assert torch.equal(mine, plain), index


def test_the_pass_is_taken_and_inputs_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    leaves = made(40, (64, 64, 128))
    before = [t.detach().clone() for t in leaves]
    monkeypatch.setattr(module, "linear", None)
    run(leaves, dropout=0.1, inner_dropout=0.1)
    assert all(torch.equal(t, other) for t, other in zip(leaves, before, strict=True))


@pytest.mark.parametrize("used", [0, 1])
def test_one_of_both_results_is_enough(used: int) -> None:
    gradients = []
    for backend in ("auto", "torch"):
        leaves = made(40, (64, 64, 128))
        mixed, residual, *weights = leaves
        found = post_mixer(
            mixed, residual, Weights(*weights), eps=(1e-8, 1e-8), activation="gelu",
            post_norm=False, backend=backend,
        )  # fmt: skip
        found[used].sin().sum().backward()
        gradients.append([t.grad for t in leaves])
    for index, (mine, plain) in enumerate(zip(*gradients, strict=True)):
        plain = torch.zeros_like(leaves[index]) if plain is None else plain
        torch.testing.assert_close(mine, plain, rtol=1e-3, atol=1e-4)


def test_without_gradients_dropout_is_the_same() -> None:
    leaves = made(40, (64, 64, 128))
    trained = run(leaves, dropout=0.4, inner_dropout=0.2)[:2]
    torch.manual_seed(3)
    mixed, residual, *weights = leaves
    with torch.no_grad():
        found = post_mixer(
            mixed, residual, Weights(*weights), eps=(1e-8, 1e-12), activation="relu",
            post_norm=False, dropout=0.4, inner_dropout=0.2,
        )  # fmt: skip
    assert all(torch.equal(mine, other) for mine, other in zip(found, trained, strict=True))


@pytest.mark.parametrize("post_norm", [False, True])
def test_the_same_bits_with_any_number_of_threads(
    post_norm: bool, set_threads: Callable[[int], None]
) -> None:
    leaves, runs = made(3001, (64, 64, 256)), []
    for threads in (1, 2, 2, 3):
        set_threads(threads)
        runs.append(run(leaves, post_norm=post_norm, dropout=0.2, inner_dropout=0.1))
    assert all(
        torch.equal(mine, first) for r in runs for mine, first in zip(r, runs[0], strict=True)
    )
