"""`first_layer`: some sequences at a time through three kernels equal the layers one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops import first_layer as module
from models.ops.first_layer import LONGEST, Embedding, first_layer
from models.ops.post_mixer import Weights

ITEMS = 40
PRE_NORM: dict[str, Any] = {
    "causal": True, "activation": "relu", "post_norm": False, "factor": 8.0,
}  # fmt: skip
POST_NORM: dict[str, Any] = {"causal": False, "activation": "gelu", "post_norm": True}
Parts = tuple[Embedding, tuple[Tensor, Tensor], Weights]


def made(width: int = 64, wide: int = 256, places: int = 60) -> Parts:
    make = torch.Generator().manual_seed(width)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=make) / shape[-1] ** 0.5

    tables = normal(ITEMS, width), normal(places, width), normal(width), normal(width)
    weights = Weights(
        normal(width, width), normal(width), normal(width), normal(width), normal(wide, width),
        normal(wide), normal(width, wide), normal(width), normal(width), normal(width),
    )  # fmt: skip
    return Embedding(*tables), (normal(3 * width, width), normal(3 * width)), weights


def run(
    lengths: list[int],
    parts: Parts,
    backend: str = "auto",
    *,
    ids: Tensor | None = None,
    num_heads: int = 2,
    **options: Any,
) -> tuple[Tensor, Tensor]:
    """On these ids or random ones, with as many rows of no sequence as make whole tiles."""
    positions = torch.cat([torch.arange(n) for n in lengths])
    positions = F.pad(positions, (0, -len(positions) % 4))
    if ids is None:
        make = torch.Generator().manual_seed(len(lengths))
        ids = torch.randint(ITEMS, positions.shape, generator=make)
    ids = F.pad(ids, (0, len(positions) - len(ids)))
    offsets = F.pad(torch.tensor(lengths).cumsum(0), (1, 0))
    with torch.no_grad():
        return first_layer(
            ids, positions, offsets, *parts, num_heads=num_heads, eps=(1e-8, 1e-6, 1e-12),
            backend=backend, **options,
        )  # fmt: skip


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("options", [PRE_NORM, POST_NORM], ids=["pre_norm", "post_norm"])
@pytest.mark.parametrize(("width", "num_heads"), [(64, 2), (64, 8), (128, 2), (20, 2)])
@pytest.mark.parametrize(
    "lengths",
    [[1], [2, 3], [50] * 9, [7, 1, 60, 33, 2, 5], [*range(1, 60)]],
    ids=["one", "two", "equal", "ragged", "many"],
)
def test_all_at_once_equals_layer_by_layer(
    lengths: list[int], width: int, num_heads: int, options: dict[str, Any]
) -> None:
    options = {**options, "num_heads": num_heads}
    parts = made(width, 3 * width if width == 20 else 192)
    embedding, projection, weights = parts
    double = (
        Embedding(*(t.double() for t in embedding)),
        (projection[0].double(), projection[1].double()),
        Weights(*(t.double() for t in weights)),
    )
    real = sum(lengths)
    wanted = run(lengths, double, "reference", **options)
    for mine, plain in zip(run(lengths, parts, **options), wanted, strict=True):
        assert mine.shape == plain.shape
        assert bool(mine.isfinite().all())
        torch.testing.assert_close(mine[:real].double(), plain[:real], rtol=1e-4, atol=1e-4)


def test_the_kernel_is_taken_up_to_its_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = made(places=LONGEST + 1)
    monkeypatch.setattr(module, "attention_packed", None)
    run([LONGEST, 3], parts, **PRE_NORM)
    with pytest.raises(TypeError):
        run([LONGEST + 1, 3], parts, **PRE_NORM)


def test_without_sequences_nothing_comes_back() -> None:
    offsets, none = torch.zeros(1, dtype=torch.int64), torch.empty(0, dtype=torch.int64)
    with torch.no_grad():
        total, normed = first_layer(
            none, none, offsets, *made(), num_heads=2, eps=(1e-8,) * 3, **PRE_NORM
        )
    assert total.shape == normed.shape == (0, 64)


def test_with_gradients_the_layers_are_made() -> None:
    embedding, projection, weights = made()
    embedding.table.requires_grad_()
    ids = torch.arange(8)
    _, normed = first_layer(
        ids, ids, torch.tensor([0, 3, 8]), embedding, projection, weights, num_heads=2,
        eps=(1e-8,) * 3, **PRE_NORM,
    )  # fmt: skip
    normed.square().sum().backward()
    assert float(embedding.table.grad.abs().sum()) > 0


def test_a_changed_weight_is_noticed() -> None:
    parts = made()
    for weight in (*parts[0], *parts[1], *parts[2]):
        run([20, 30], parts, **PRE_NORM)
        weight.mul_(1.5).add_(0.1)
        found, wanted = (run([20, 30], parts, name, **PRE_NORM) for name in ("auto", "reference"))
        for mine, plain in zip(found, wanted, strict=True):
            torch.testing.assert_close(mine[:50], plain[:50], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("options", [PRE_NORM, POST_NORM], ids=["pre_norm", "post_norm"])
def test_sequences_do_not_know_of_each_other(
    options: dict[str, Any], set_threads: Callable[[int], None]
) -> None:
    """A row's bits don't depend on its neighbours, nor on the number of threads."""
    parts, lengths = made(), [*range(1, 60)]
    starts = [sum(lengths[:b]) for b in range(len(lengths))]
    ids = torch.randint(ITEMS, (sum(lengths),), generator=torch.Generator().manual_seed(1))
    runs = []
    for threads in (1, 2, 2, 3):
        set_threads(threads)
        runs.append(run(lengths, parts, ids=ids, **options))
    assert all(
        torch.equal(mine, first) for r in runs for mine, first in zip(r, runs[0], strict=True)
    )
    some = [40, 3, 58, 21]
    kept = torch.cat([torch.arange(starts[b], starts[b] + lengths[b]) for b in some])
    alone = run([lengths[b] for b in some], parts, ids=ids[kept], **options)
    for mine, first in zip(alone, runs[0], strict=True):
        assert torch.equal(mine[: len(kept)], first[kept])


@pytest.mark.parametrize(
    ("ids", "offsets", "error", "message"),
    [
        ([1, ITEMS], [0, 2], IndexError, "40"),
        ([1, -1], [0, 2], IndexError, "-1"),
        ([1, 2], [1, 2], ValueError, "offsets are 1 to 2, in 2 rows"),
        ([1, 2], [0, 3], ValueError, "offsets are 0 to 3, in 2 rows"),
    ],
)
def test_rows_that_are_not_there_are_refused(
    ids: list[int], offsets: list[int], error: type[Exception], message: str
) -> None:
    rows = torch.tensor(ids)
    with pytest.raises(error, match=message), torch.no_grad():
        first_layer(
            rows, torch.arange(len(ids)), torch.tensor(offsets), *made(), num_heads=2,
            eps=(1e-8,) * 3, **PRE_NORM,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"offsets": torch.tensor([0, 2], dtype=torch.int32)}, "offsets must be int64 on cpu"),
        ({"ids": torch.tensor([1, 2], dtype=torch.int32)}, "ids must be int64 on cpu"),
        ({"positions": torch.arange(2, dtype=torch.int32)}, "ids must be int64 on cpu"),
        ({"num_heads": 0}, "no 0 equal heads"),
        ({"num_heads": 3}, "no 3 equal heads"),
        ({"activation": "tanh"}, "activation='tanh': allowed are relu, gelu"),
        ({"positions": torch.arange(3)}, r"positions \(3,\)"),
        ({"projection": (torch.ones(192, 128), torch.ones(192))}, r"projection \(192, 128\)"),
        ({"weights": made()[2]._replace(output=torch.ones(64, 128))}, r"layer \(64, 128\)"),
    ],
)
def test_what_does_not_belong_together_is_refused(changed: dict[str, Any], message: str) -> None:
    embedding, projection, weights = made()
    arguments: dict[str, Any] = {
        "ids": torch.tensor([1, 2]), "positions": torch.arange(2), "offsets": torch.tensor([0, 2]),
        "embedding": embedding, "projection": projection, "weights": weights, "num_heads": 2,
        "eps": (1e-8,) * 3, **PRE_NORM,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message), torch.no_grad():
        first_layer(**{**arguments, **changed})
