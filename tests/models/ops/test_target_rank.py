"""Ranks without a score matrix: equal to those of measure/ranking.py on the scores."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from measure.ranking import ranks
from models.ops import target_rank_numba as kernel_module
from models.ops.target_rank import rank_of_target


def _whole(rows: int, items: int, width: int, span: int = 4) -> tuple[Tensor, ...]:
    """Small whole numbers: sums are exact in any order, and ties are many."""
    make = torch.Generator().manual_seed(items + width)

    def draw(*shape: int) -> Tensor:
        return torch.randint(-span, span + 1, shape, generator=make).float()

    targets = torch.randint(1, items + 1, (rows,), generator=make)
    return draw(rows, width), draw(items + 1, width), draw(items + 1), targets


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("backend", ["reference", "torch", "numba"])
@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize(("rows", "width"), [(1, 64), (3, 24), (5, 1), (37, 17), (70, 8)])
@pytest.mark.parametrize("items", [1, 2, 15, 16, 17, 69, 300, 1000])
def test_ranks_are_those_of_the_scores(
    items: int, rows: int, width: int, biased: bool, backend: str
) -> None:
    hidden, weight, bias, targets = _whole(rows, items, width)
    offset = bias if biased else None
    wanted = ranks(torch.nn.functional.linear(hidden, weight, offset), targets)
    assert torch.equal(rank_of_target(hidden, weight, offset, targets, backend=backend), wanted)


def test_spans_of_the_catalogue_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, bias, targets = _whole(40, 999, 8)
    wanted = rank_of_target(hidden, weight, bias, targets, backend="reference")
    monkeypatch.setattr(kernel_module, "_PANELS", 1000)
    assert torch.equal(rank_of_target(hidden, weight, bias, targets, backend="numba"), wanted)


def test_a_target_ties_with_itself_in_any_arithmetic() -> None:
    make = torch.Generator().manual_seed(0)
    hidden, row = torch.randn(9, 63, generator=make), torch.randn(1, 63, generator=make)
    weight, bias = row.repeat(50, 1), torch.full((50,), 0.1)
    targets = torch.arange(1, 10)
    found = rank_of_target(hidden, weight, bias, targets, backend="numba")
    assert bool((found == 25.0).all())  # 49 items share the places 1 to 49


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("place", [0, 1, 20, 49])
def test_nan_is_refused_as_in_the_measure(place: int, backend: str) -> None:
    hidden, weight, bias, targets = _whole(5, 49, 8)
    weight[place, 3] = torch.nan
    with pytest.raises(ValueError, match="scores hold NaN"):
        ranks(torch.nn.functional.linear(hidden, weight, bias), targets)
    with pytest.raises(ValueError, match="scores hold NaN"):
        rank_of_target(hidden, weight, bias, targets, backend=backend)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_infinite_scores_have_a_place(backend: str) -> None:
    hidden, weight, bias, _ = _whole(3, 30, 8)
    bias[[4, 7, 9]] = torch.tensor([torch.inf, -torch.inf, -torch.inf])
    targets = torch.tensor([4, 7, 9])
    found = rank_of_target(hidden, weight, bias, targets, backend=backend)
    assert found.tolist() == [1.0, 29.5, 29.5]


def test_the_number_of_threads_changes_nothing(set_threads: Callable[[int], None]) -> None:
    make = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(100, 30, generator=make), torch.randn(1200, 30, generator=make)
    targets = torch.randint(1, 1200, (100,), generator=make)
    results = []
    for threads in (1, 2):
        set_threads(threads)
        results.append(rank_of_target(hidden, weight, None, targets, backend="numba"))
    assert torch.equal(*results)


@pytest.mark.parametrize("target", [0, 31, -1])
def test_a_target_that_is_no_item_is_refused(target: int) -> None:
    hidden, weight, bias, targets = _whole(3, 30, 8)
    targets[1] = target
    with pytest.raises(ValueError, match="allowed are 1 to 30"):
        rank_of_target(hidden, weight, bias, targets)


def test_what_does_not_fit_is_refused() -> None:
    hidden, weight, bias, targets = _whole(3, 30, 8)
    for wrong in (
        (hidden[:, :7], weight, bias, targets),
        (hidden, weight, bias[:-1], targets),
        (hidden, weight, bias, targets[:2]),
    ):
        with pytest.raises(ValueError, match="needed: "):
            rank_of_target(*wrong)
