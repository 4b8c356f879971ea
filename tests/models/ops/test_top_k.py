"""The k best items: order, ties, padding, seen items, NaN, odd sizes, threads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.ops import top_k_numba as kernel_module
from models.ops.backend import BackendUnavailable
from models.ops.top_k import score_top_k

Operands = tuple[Tensor, Tensor, Tensor | None]
BACKENDS = ["reference", "torch", "numba"]


def _whole(rows: int, items: int, width: int, *, biased: bool = False, span: int = 9) -> Operands:
    """Small whole numbers: sums are exact in any order, and ties are many."""
    make = torch.Generator().manual_seed(items + width)
    hidden = torch.randint(-span, span + 1, (rows, width), generator=make).float()
    weight = torch.randint(-span, span + 1, (items + 1, width), generator=make).float()
    bias = torch.randint(-span, span + 1, (items + 1,), generator=make).float()
    return hidden, weight, bias if biased else None


def _equal(got: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> bool:
    return torch.equal(got[0], wanted[0]) and torch.equal(got[1], wanted[1])


@pytest.fixture(params=[1, 10**6], ids=["panels", "rows"])
def _plan(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch by the kernel for many rows, or by that for few."""
    monkeypatch.setattr(kernel_module, "_MANY", request.param)


@pytest.mark.usefixtures("_plan", "poisoned_memory")
@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize(("rows", "width"), [(1, 64), (3, 24), (5, 1), (37, 17)])
@pytest.mark.parametrize("items", [1, 2, 15, 16, 17, 69, 300, 2500])
def test_numba_equals_the_reference(items: int, rows: int, width: int, biased: bool) -> None:
    operands = _whole(rows, items, width, biased=biased)
    for k in {1, min(10, items), min(items, 100)}:
        wanted = score_top_k(*operands, k, backend="reference")
        assert _equal(score_top_k(*operands, k, backend="numba"), wanted)


@pytest.mark.usefixtures("_plan")
def test_every_item_can_be_asked_for() -> None:
    operands = _whole(4, 70, 24)
    ids, _ = score_top_k(*operands, 70, backend="numba")
    assert torch.equal(ids.sort(1).values, torch.arange(1, 71).expand(4, 70))
    assert _equal(
        score_top_k(*operands, 70, backend="numba"),
        score_top_k(*operands, 70, backend="reference"),
    )


@pytest.mark.usefixtures("_plan")
@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_the_smaller_id_of_equal_scores_comes_first(backend: str) -> None:
    hidden, weight = torch.ones(2, 5), torch.ones(3000, 5)
    ids, scores = score_top_k(hidden, weight, None, 4, backend=backend)
    assert ids.tolist() == [[1, 2, 3, 4]] * 2
    assert scores.tolist() == [[5.0] * 4] * 2


@pytest.mark.usefixtures("_plan")
def test_equal_rows_of_weights_tie_wherever_they_stand() -> None:
    row = torch.randn(1, 27, generator=torch.Generator().manual_seed(0))
    ids, scores = score_top_k(row, row.expand(71, 27).contiguous(), None, 70, backend="numba")
    assert ids[0].tolist() == list(range(1, 71))
    assert len(scores.unique()) == 1


@pytest.mark.usefixtures("_plan")
@pytest.mark.parametrize("backend", BACKENDS)
def test_padding_is_never_recommended(backend: str) -> None:
    hidden, weight = torch.ones(2, 3), torch.arange(20.0, 0.0, -1)[:, None].repeat(1, 3)
    ids, _ = score_top_k(hidden, weight, None, 3, backend=backend)
    assert ids.tolist() == [[1, 2, 3]] * 2


@pytest.mark.usefixtures("_plan")
@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("items", [69, 2500])
def test_seen_items_are_left_out(items: int, backend: str) -> None:
    operands = _whole(3, items, 24, biased=True)
    order, _ = score_top_k(*operands, 20, backend="reference")
    seen = torch.cat((order[:, [3, 0, 7, 7]], torch.zeros(3, 2, dtype=torch.int64)), dim=1)
    kept = torch.tensor([i for i in range(20) if i not in (0, 3, 7)])[:10]
    ids, _ = score_top_k(*operands, 10, seen=seen, backend=backend)
    assert torch.equal(ids, order[:, kept])


@pytest.mark.usefixtures("_plan")
@pytest.mark.parametrize("backend", BACKENDS)
def test_where_too_few_are_left_the_rest_is_empty(backend: str) -> None:
    hidden, weight = torch.ones(2, 1), torch.arange(6.0)[:, None]
    seen = torch.tensor([[1, 2, 3, 5], [0, 0, 0, 0]])
    ids, scores = score_top_k(hidden, weight, None, 4, seen=seen, backend=backend)
    assert ids.tolist() == [[4, 0, 0, 0], [5, 4, 3, 2]]
    assert scores[0].tolist() == [4.0, -torch.inf, -torch.inf, -torch.inf]


@pytest.mark.usefixtures("_plan")
@pytest.mark.parametrize("backend", BACKENDS)
def test_nan_is_never_recommended(backend: str) -> None:
    hidden, weight = torch.ones(2, 2), torch.arange(8.0)[:, None].repeat(1, 2)
    weight[6, 1] = torch.nan
    ids, scores = score_top_k(hidden, weight, None, 3, backend=backend)
    assert ids.tolist() == [[7, 5, 4]] * 2
    assert bool(scores.isfinite().all())
    hidden[0] = torch.nan
    ids, scores = score_top_k(hidden, weight, None, 3, backend=backend)
    assert ids.tolist() == [[0, 0, 0], [7, 5, 4]]
    assert bool((scores[0] == -torch.inf).all())


@pytest.mark.parametrize("seen", [None, torch.tensor([[3, 0], [4, 5], [1, 1]])])
def test_parts_of_the_catalogue_give_what_the_whole_does(
    seen: Tensor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    operands = _whole(3, 2999, 16, span=3)
    wanted = score_top_k(*operands, 12, seen=seen, backend="reference")
    monkeypatch.setattr(kernel_module, "_PART", 7000)
    assert _equal(score_top_k(*operands, 12, seen=seen, backend="numba"), wanted)
    monkeypatch.setattr(kernel_module, "_MANY", 1)
    monkeypatch.setattr(kernel_module, "_PANELS", 7000)
    assert _equal(score_top_k(*operands, 12, seen=seen, backend="numba"), wanted)


@pytest.mark.usefixtures("_plan")
def test_the_number_of_threads_changes_no_bit(
    set_threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_module, "_PART", 5000)
    make = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(70, 30, generator=make), torch.randn(1200, 30, generator=make)
    results = []
    for threads in (1, 2, 2):
        set_threads(threads)
        results.append(score_top_k(hidden, weight, None, 10, backend="numba"))
    assert _equal(results[0], results[1])
    assert _equal(results[0], results[2])


def test_strided_tensors_are_read_right() -> None:
    hidden, weight, bias = _whole(3, 40, 8, biased=True)
    assert bias is not None
    strided = (hidden.T.contiguous().T, weight.repeat(1, 2)[:, :8], bias.repeat(2, 1).T[:, 0])
    wanted = score_top_k(hidden, weight, bias, 5, backend="reference")
    assert _equal(score_top_k(*strided, 5, backend="numba"), wanted)


def test_no_rows_have_no_recommendations() -> None:
    ids, scores = score_top_k(torch.empty(0, 4), torch.ones(5, 4), None, 2)
    assert ids.shape == scores.shape == (0, 2)


def test_bfloat16_runs_on_torch() -> None:
    hidden, weight, _ = _whole(3, 40, 8, span=2)
    ids, _ = score_top_k(hidden.bfloat16(), weight.bfloat16(), None, 5)
    assert ids.shape == (3, 5)
    with pytest.raises(BackendUnavailable, match="float32 on cpu"):
        score_top_k(hidden.bfloat16(), weight.bfloat16(), None, 5, backend="numba")


@pytest.mark.parametrize("k", [0, 41])
def test_an_impossible_k_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f"k={k}: allowed are 1 to 40"):
        score_top_k(*_whole(3, 40, 8), k)


def test_what_does_not_fit_is_refused() -> None:
    hidden, weight, _ = _whole(3, 40, 8)
    for wrong in (
        {"hidden": hidden[:, :7]},
        {"bias": torch.zeros(40)},
        {"seen": torch.zeros(2, 5, dtype=torch.int64)},
        {"seen": torch.zeros(3, 5, dtype=torch.int32)},
        {"backend": "nope"},
    ):
        named = {"hidden": hidden, "weight": weight, "bias": None, **wrong}
        with pytest.raises(ValueError, match=r"needed: |allowed: "):
            score_top_k(**named, k=3)
