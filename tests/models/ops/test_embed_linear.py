"""`embed_linear`: looking the first layer up equals making it, also after a weight has changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.ops import embed_linear as module
from models.ops import embed_linear_numba
from models.ops.embed_linear import embed_linear
from models.ops.linear import linear


def weights(width: int, outputs: int) -> list[Tensor]:
    """Table, places, gamma, beta, weight, bias."""
    make = torch.Generator().manual_seed(width)
    shapes = [(30, width), (11, width), (width,), (width,), (outputs, width), (outputs,)]
    return [torch.randn(shape, generator=make) for shape in shapes]


def run(given: list[Tensor], rows: int, backend: str, factor: float = 8.0) -> list[Tensor]:
    make = torch.Generator().manual_seed(rows)
    ids = torch.randint(30, (rows,), generator=make)
    positions = torch.randint(11, (rows,), generator=make)
    table, places, *others = given
    with torch.no_grad():
        return list(
            embed_linear(
                ids, table, positions, places, *others, factor=factor, eps=1e-8, backend=backend
            )
        )


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize(("width", "outputs"), [(64, 192), (32, 96), (16, 16), (20, 60), (64, 40)])
@pytest.mark.parametrize("rows", [0, 1, 63, 2000])
def test_looked_up_equals_made(rows: int, width: int, outputs: int) -> None:
    given = weights(width, outputs)
    wanted = run([t.double() for t in given], rows, "torch")
    for mine, plain in zip(run(given, rows, "auto"), wanted, strict=True):
        torch.testing.assert_close(mine.double(), plain, rtol=1e-4, atol=1e-4)


def test_a_changed_weight_is_noticed() -> None:
    given = weights(32, 96)
    for changed in range(len(given)):
        run(given, 100, "auto")
        given[changed].mul_(1.5).add_(0.1)
        for mine, plain in zip(run(given, 100, "auto"), run(given, 100, "torch"), strict=True):
            torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-3)


def test_training_the_layer_drops_what_was_looked_up() -> None:
    """Also what an optimizer writes without counting it is seen by the next evaluation."""
    given = weights(32, 96)
    run(given, 100, "auto")
    weight = given[4].requires_grad_()
    linear(torch.randn(64, 32), weight, given[5]).sum().backward()
    weight.data.add_(1.0)
    for mine, plain in zip(run(given, 100, "auto"), run(given, 100, "torch"), strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-3)


def test_with_gradients_the_layer_is_made() -> None:
    table, places, *others = weights(32, 96)
    others[2].requires_grad_()
    at = torch.zeros(70, dtype=torch.int64)
    y = embed_linear(at, table, at, places, *others, eps=1e-8)[2]
    y.sum().backward()
    assert float(others[2].grad.abs().sum()) > 0


def test_a_table_beyond_its_bound_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    given = weights(32, 96)
    monkeypatch.setattr(module, "_MOST", 41 * 96 - 1)
    monkeypatch.setattr(embed_linear_numba, "lookup_table", None)
    run(given, 100, "auto")
    monkeypatch.setattr(module, "_MOST", 10**9)
    with pytest.raises(TypeError):
        run(weights(32, 96), 100, "auto")


def test_an_id_outside_of_its_table_is_refused() -> None:
    table, places, *others = weights(32, 96)
    good, bad = torch.tensor([0]), torch.tensor([30])
    with torch.no_grad():
        for ids, positions in ((bad, good), (good, bad)):
            with pytest.raises(IndexError):
                embed_linear(ids, table, positions, places, *others, eps=1e-8)


def test_the_same_bits_with_any_number_of_threads(set_threads: Callable[[int], None]) -> None:
    given = weights(64, 192)
    runs = []
    for threads in (1, 1, 2):
        set_threads(threads)
        runs.append(run(given, 3000, "auto"))
    assert all(torch.equal(a, b) for other in runs for a, b in zip(other, runs[0], strict=True))
