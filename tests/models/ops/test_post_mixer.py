"""`post_mixer`: one pass over the rows equals its layers one after the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor

from models.ops import post_mixer as module
from models.ops.post_mixer import Weights, post_mixer


def made(keys: int, width: int, wide: int) -> Weights:
    make = torch.Generator().manual_seed(width)
    vectors = (width,)
    shapes = [
        (width, keys), vectors, vectors, vectors, (wide, width), (wide,), (width, wide), vectors,
        vectors, vectors,
    ]  # fmt: skip
    return Weights(*(torch.randn(shape, generator=make) / shape[-1] ** 0.5 for shape in shapes))


def rows_of(rows: int, weights: Weights) -> tuple[Tensor, Tensor]:
    make = torch.Generator().manual_seed(rows)
    width, keys = weights.output.shape
    return torch.randn(rows, keys, generator=make), torch.randn(rows, width, generator=make)


def run(
    mixed: Tensor, residual: Tensor, weights: Weights, backend: str = "auto", *,
    activation: str = "relu", post_norm: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    with torch.no_grad():
        return post_mixer(
            mixed, residual, weights, eps=(1e-8, 1e-12), activation=activation,
            post_norm=post_norm, backend=backend,
        )  # fmt: skip


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("post_norm", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("shape", [(64, 64, 256), (128, 64, 64), (64, 128, 192), (20, 20, 60)])
@pytest.mark.parametrize("rows", [0, 1, 32, 63, 1001])
def test_one_pass_equals_the_layers(
    rows: int, shape: tuple[int, int, int], activation: str, post_norm: bool
) -> None:
    weights = made(*shape)
    mixed, residual = rows_of(rows, weights)
    found = run(mixed, residual, weights, activation=activation, post_norm=post_norm)
    double = Weights(*(w.double() for w in weights))
    wanted = run(
        mixed.double(), residual.double(), double, "torch", activation=activation,
        post_norm=post_norm,
    )  # fmt: skip
    for mine, plain in zip(found, wanted, strict=True):
        assert mine.shape == plain.shape
        torch.testing.assert_close(mine.double(), plain, rtol=1e-4, atol=1e-4)


def test_the_pass_is_taken_and_inputs_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = made(64, 64, 256)
    mixed, residual = rows_of(64, weights)
    before = mixed.clone(), residual.clone()
    monkeypatch.setattr(module, "linear", None)
    run(mixed, residual, weights)
    assert torch.equal(mixed, before[0])
    assert torch.equal(residual, before[1])


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_a_changed_weight_is_noticed(guard: Callable[[], AbstractContextManager[None]]) -> None:
    weights = made(64, 64, 128)
    mixed, residual = rows_of(40, weights)
    for weight in weights:
        with guard():
            run(mixed, residual, weights)
        weight.mul_(1.5).add_(0.1)
        with guard():
            found, wanted = (run(mixed, residual, weights, name) for name in ("auto", "torch"))
        for mine, plain in zip(found, wanted, strict=True):
            torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-3)


def test_an_unknown_activation_is_refused() -> None:
    weights = made(64, 64, 128)
    with pytest.raises(ValueError, match="'silu': allowed are relu, gelu"):
        run(*rows_of(40, weights), weights, activation="silu")


def test_rows_do_not_know_of_each_other(set_threads: Callable[[int], None]) -> None:
    """A row's bits don't depend on where it stands, nor on the number of threads."""
    weights = made(64, 64, 256)
    mixed, residual = rows_of(1000, weights)
    runs = []
    for threads in (1, 1, 2):
        set_threads(threads)
        runs.append(run(mixed, residual, weights)[1])
    assert all(torch.equal(other, runs[0]) for other in runs)
    assert torch.equal(run(mixed[100:160], residual[100:160], weights)[1], runs[0][100:160])
