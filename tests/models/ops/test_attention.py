"""Packed attention against its reference: values, gradients, ragged lengths, threads, memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.ops import attention_numba as kernel_module
from models.ops.attention import (
    attention_absorbed,
    attention_packed,
    attention_select,
    resolve_attention,
)
from models.ops.backend import BackendUnavailable

LENGTHS = [1, 2, 3, 5, 17, 63, 200]
HEADS = [(2, 32), (1, 16), (3, 64), (3, 5), (2, 24)]


def _offsets(lengths: list[int]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0)


def _tiled(rows: int) -> int:
    """At least as many rows, a multiple of 4: up to three of them belong to no sequence."""
    return -(-rows // 4) * 4


def _packed(
    lengths: list[int],
    heads: int,
    size: int,
    causal: bool,
    backend: str = "numba",
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:
    """Output, and the gradient by qkv."""
    make = torch.Generator().manual_seed(0)
    rows, width = _tiled(sum(lengths)), heads * size
    qkv = 2 * torch.randn(rows, 3 * width, generator=make)
    weights = torch.randn(rows, width, generator=make).to(dtype)
    qkv = qkv.to(dtype).requires_grad_()
    out = attention_packed(
        qkv, _offsets(lengths), num_heads=heads, causal=causal, backend=backend
    )  # (T, D)
    return [out.detach(), *torch.autograd.grad(out, qkv, weights)]


def _selected(
    queries: list[int],
    lengths: list[int],
    heads: int,
    size: int,
    backend: str = "numba",
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:
    """Output, and the gradients by query and key_value."""
    make = torch.Generator().manual_seed(0)
    rows, width = _tiled(sum(queries)), heads * size
    query = (2 * torch.randn(rows, width, generator=make)).to(dtype).requires_grad_()
    key_value = torch.randn(_tiled(sum(lengths)), 2 * width, generator=make)
    key_value = key_value.to(dtype).requires_grad_()
    weights = torch.randn(rows, width, generator=make).to(dtype)
    out = attention_select(
        query, key_value, _offsets(queries), _offsets(lengths), num_heads=heads, backend=backend
    )
    return [out.detach(), *torch.autograd.grad(out, (query, key_value), weights)]


def _absorbed(
    queries: list[int],
    lengths: list[int],
    heads: int,
    size: int,
    backend: str = "numba",
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:
    """Output, and the gradients by query, rows, and weight and bias of the keys and values."""
    make = torch.Generator().manual_seed(0)
    width, depth = heads * size, heads * size + 3
    shapes = (sum(queries), width), (_tiled(sum(lengths)), depth), (2 * width, depth), (2 * width,)
    inputs = [torch.randn(shape, generator=make).to(dtype).requires_grad_() for shape in shapes]
    weights = torch.randn(sum(queries), width, generator=make).to(dtype)
    query, rows, weight, bias = inputs
    out = attention_absorbed(
        query, rows, weight / depth**0.5, bias, _offsets(queries), _offsets(lengths),
        num_heads=heads, backend=backend,
    )  # fmt: skip
    return [out.detach(), *torch.autograd.grad(out, inputs, weights)]


def _assert_close(got: list[Tensor], wanted: list[Tensor]) -> None:
    for one, other in zip(got, wanted, strict=True):
        error = float((one.double() - other).abs().max()) / max(1.0, float(other.abs().max()))
        assert error < 1e-5


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both-sides"])
@pytest.mark.parametrize(("heads", "size"), HEADS)
def test_packed_equals_the_reference(heads: int, size: int, causal: bool, backend: str) -> None:
    wanted = _packed(LENGTHS, heads, size, causal, "reference", torch.float64)
    _assert_close(_packed(LENGTHS, heads, size, causal, backend), wanted)


@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both-sides"])
@pytest.mark.parametrize("lengths", [[1], [4], [16], [64], [129], [256, 0, 257], [1000, 70]])
def test_packed_equals_the_reference_at_the_borders_of_blocks(
    lengths: list[int], causal: bool
) -> None:
    wanted = _packed(lengths, 2, 16, causal, "reference", torch.float64)
    _assert_close(_packed(lengths, 2, 16, causal), wanted)


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("queries", [[1] * 7, [2, 1, 3, 0, 4, 9, 40]], ids=["one", "several"])
@pytest.mark.parametrize(("heads", "size"), HEADS)
def test_select_equals_the_reference(
    heads: int, size: int, queries: list[int], backend: str
) -> None:
    wanted = _selected(queries, LENGTHS, heads, size, "reference", torch.float64)
    _assert_close(_selected(queries, LENGTHS, heads, size, backend), wanted)


@pytest.mark.parametrize("few", [0, 3], ids=["tiles", "rows"])
@pytest.mark.parametrize(("heads", "size"), [(2, 32), (3, 5)])
def test_tiles_and_rows_agree_for_any_number_of_queries(
    heads: int, size: int, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = [3, 1, 2, 0, 1, 2, 3]
    wanted = _selected(queries, LENGTHS, heads, size, "reference", torch.float64)
    monkeypatch.setattr(kernel_module, "FEW", few)
    _assert_close(_selected(queries, LENGTHS, heads, size), wanted)


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize(
    "queries", [[1] * 7, [1, 0, 1, 1, 0, 0, 1], [2, 1, 3, 0, 4, 9, 40]], ids=["one", "none", "more"]
)
@pytest.mark.parametrize(("heads", "size"), HEADS)
def test_absorbed_equals_making_keys_and_values(
    heads: int, size: int, queries: list[int], backend: str
) -> None:
    wanted = _absorbed(queries, LENGTHS, heads, size, "reference", torch.float64)
    _assert_close(_absorbed(queries, LENGTHS, heads, size, backend), wanted)


@pytest.mark.parametrize("lengths", [[1], [1000], [1000, 3, 2000]])
def test_absorbed_equals_making_keys_and_values_over_long_histories(lengths: list[int]) -> None:
    queries = [1] * len(lengths)
    wanted = _absorbed(queries, lengths, 2, 32, "reference", torch.float64)
    _assert_close(_absorbed(queries, lengths, 2, 32), wanted)


def test_absorbed_without_keys_gives_zeros_for_a_sequence_and_the_others_theirs() -> None:
    wanted = _absorbed([1, 1, 1], [4, 0, 9], 2, 16, "reference", torch.float64)
    got = _absorbed([1, 1, 1], [4, 0, 9], 2, 16)
    _assert_close(got, wanted)
    assert float(got[0][1].abs().max()) == 0


def test_absorbed_refuses_weights_that_are_not_of_its_rows() -> None:
    with pytest.raises(ValueError, match="needed"):
        attention_absorbed(
            torch.zeros(1, 8), torch.zeros(4, 8), torch.zeros(16, 9), torch.zeros(16),
            _offsets([1]), _offsets([4]), num_heads=2,
        )  # fmt: skip


@pytest.mark.parametrize("queries", [1, 3, 70, 300])
def test_select_equals_the_reference_over_long_histories(queries: int) -> None:
    wanted = _selected([queries], [1000], 2, 32, "reference", torch.float64)
    _assert_close(_selected([queries], [1000], 2, 32), wanted)


@pytest.mark.parametrize("backend", ["numba", "torch", "reference"])
@pytest.mark.parametrize("many", [1, 5])
def test_sequences_without_keys_or_queries_give_zeros(many: int, backend: str) -> None:
    out, dquery, dkey_value = _selected([1, many, 0, 0], [0, 3, 9, 0], 2, 16, backend)
    assert float(out[0].abs().max()) == float(dquery[0].abs().max()) == 0
    assert float(dkey_value[3:].abs().max()) == 0
    assert float(out[1 : 1 + many].abs().min()) > 0


def test_the_last_position_of_a_causal_model_is_selected_exactly() -> None:
    qkv, offsets = torch.randn(_tiled(sum(LENGTHS)), 96), _offsets(LENGTHS)
    last = offsets[1:] - 1
    wanted = attention_packed(qkv, offsets, num_heads=2, causal=True)[last]
    got = attention_select(
        qkv[last, :32], qkv[:, 32:], torch.arange(len(LENGTHS) + 1), offsets, num_heads=2
    )
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("backend", ["numba", "torch", "reference"])
def test_rows_of_no_sequence_have_no_output_and_no_gradient(backend: str) -> None:
    for values in (_packed([5, 8], 2, 16, True, backend), _selected([1], [5], 2, 16, backend)):
        assert all(float(value[13:].abs().sum()) == 0 for value in values)
    assert float(_selected([1], [5], 2, 16, backend)[0][1:].abs().sum()) == 0


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize(("heads", "size"), [(2, 32), (3, 5)])
def test_attention_reads_only_memory_that_was_written(heads: int, size: int) -> None:
    values = [
        *_packed([*LENGTHS, 300], heads, size, True),
        *_packed(LENGTHS, heads, size, False),
        *_selected([1, 0, 2, 5], [7, 300, 0, 20], heads, size),
        *_selected([1, 0, 1, 1], [7, 300, 0, 20], heads, size),
        *_absorbed([1, 0, 1, 1], [7, 300, 4, 20], heads, size),
    ]
    assert all(bool(value.isfinite().all()) for value in values)


def test_scores_far_apart_do_not_overflow() -> None:
    qkv = 50 * torch.randn(300, 96, generator=torch.Generator().manual_seed(0))
    out = attention_packed(qkv, _offsets([300]), num_heads=2, causal=True, backend="numba")
    wanted = attention_packed(
        qkv.double(), _offsets([300]), num_heads=2, causal=True, backend="reference"
    )
    torch.testing.assert_close(out.double(), wanted, rtol=1e-3, atol=1e-2)


def test_attention_gives_the_same_bits_twice_and_with_any_number_of_threads(
    set_threads: Callable[[int], None],
) -> None:
    runs = []
    for threads in (1, 1, 2, 3):
        set_threads(threads)
        runs.append([
            *_packed(LENGTHS * 6, 2, 32, True),
            *_packed([1000, 3], 2, 32, False),
            *_selected([1] * 14, LENGTHS * 2, 2, 32),
            *_selected([9] * 14, LENGTHS * 2, 2, 32),
            *_absorbed([1] * 14, LENGTHS * 2, 2, 32),
        ])  # fmt: skip
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(run, runs[0], strict=True))


def test_inference_gives_the_bits_of_training() -> None:
    qkv, offsets = torch.randn(_tiled(sum(LENGTHS)), 96), _offsets(LENGTHS)
    trained = attention_packed(qkv.requires_grad_(), offsets, num_heads=2, causal=True)
    with torch.no_grad():
        assert torch.equal(attention_packed(qkv, offsets, num_heads=2, causal=True), trained)


def test_a_view_of_columns_is_taken_as_it_is() -> None:
    wide, offsets = torch.randn(20, 100), _offsets([20])
    got = attention_packed(wide[:, 2:98], offsets, num_heads=2, causal=True)
    same = attention_packed(wide[:, 2:98].contiguous(), offsets, num_heads=2, causal=True)
    assert torch.equal(got, same)


def test_no_sequences_are_no_work() -> None:
    out = attention_packed(torch.ones(4, 48), torch.zeros(1, dtype=torch.int64),
                           num_heads=1, causal=True)  # fmt: skip
    assert torch.equal(out, torch.zeros(4, 16))


def test_auto_is_numba_for_float32_on_a_cpu_and_torch_elsewhere() -> None:
    assert resolve_attention("auto", "cpu", torch.float32) == "numba"
    assert resolve_attention("auto", "cpu", torch.bfloat16) == "torch"
    assert resolve_attention("auto", "cuda", torch.float32) == "torch"
    with pytest.raises(BackendUnavailable, match=r"'numba' is float32 on cpu, not torch.float64"):
        resolve_attention("numba", "cpu", torch.float64)
    with pytest.raises(ValueError, match="'best'; allowed: auto, reference, torch, numba"):
        resolve_attention("best", "cpu", torch.float32)


@pytest.mark.parametrize(
    ("offsets", "complaint"),
    [
        (torch.tensor([0, 5], dtype=torch.int32), "int64 on cpu"),
        (torch.tensor([0, 9]), "beyond 8 and 8 rows"),
        (torch.tensor([1, 5]), "begin with 0"),
        (torch.tensor([0, 5, 3]), "never fall"),
    ],
)
def test_wrong_offsets_are_refused(offsets: Tensor, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        attention_packed(torch.ones(8, 48), offsets, num_heads=1, causal=True)


def test_widths_and_heads_that_do_not_fit_are_refused() -> None:
    offsets = torch.tensor([0, 8])
    with pytest.raises(ValueError, match="no 3 equal heads"):
        attention_packed(torch.ones(8, 48), offsets, num_heads=3, causal=True)
    with pytest.raises(ValueError, match="needed: qkv"):
        attention_select(torch.ones(8, 16), torch.ones(8, 48), offsets, offsets, num_heads=1)
    with pytest.raises(ValueError, match="differ in shape"):
        attention_select(
            torch.ones(8, 16), torch.ones(8, 32), offsets, torch.tensor([0, 4, 8]), num_heads=1
        )
