"""The scan's kernels against its ten-line reference in float64: values, states, all gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from models.ops.backend import BackendUnavailable
from models.ops.selective_scan import (
    selective_scan,
    selective_scan_reference,
    selective_scan_step,
)
from tests.models.ops.scan_operands import GATED, PLAIN, assert_close, operands, some_lengths

Threads = Callable[[int], None]


def _scan_and_gradients(
    tensors: dict[str, Tensor], backend: str, dtype: torch.dtype = torch.float32, **options: Any
) -> dict[str, Tensor]:
    """y, the last state, and the gradient of a fixed mix of both by every operand."""
    leaves = {n: t.to(dtype).requires_grad_() for n, t in tensors.items()}
    y, last = selective_scan(**leaves, return_last_state=True, backend=backend, **options)
    make = torch.Generator().manual_seed(1)
    mix_y = torch.randn(y.shape, generator=make).to(y.dtype)
    mix_last = torch.randn(last.shape, generator=make).to(last.dtype)
    gradients = torch.autograd.grad((y * mix_y).sum() + (last * mix_last).sum(), leaves.values())
    return {"y": y.detach(), "last": last.detach(), **dict(zip(leaves, gradients, strict=True))}


@pytest.mark.parametrize("names", [GATED, PLAIN], ids=["gated", "plain"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize(("channels", "states"), [(5, 3), (128, 32), (70, 1)])
@pytest.mark.parametrize("length", [1, 2, 63, 200])
def test_numba_equals_the_reference(
    length: int, channels: int, states: int, ragged: bool, names: tuple[str, ...]
) -> None:
    tensors = operands(6, length, channels, states, names)
    options = {"lengths": some_lengths(6, length) if ragged else None}
    got = _scan_and_gradients(tensors, "numba", **options)
    wanted = _scan_and_gradients(tensors, "reference", torch.float64, **options)
    assert_close(got, wanted, 1e-5)


@pytest.mark.parametrize("batch", [1, 9, 40])
def test_numba_equals_the_reference_however_the_work_is_cut(batch: int) -> None:
    tensors = operands(batch, 20, 150, 4)
    got = _scan_and_gradients(tensors, "numba")
    wanted = _scan_and_gradients(tensors, "reference", torch.float64)
    assert_close(got, wanted, 1e-5)


def test_numba_without_softplus_equals_the_reference() -> None:
    tensors = operands(2, 20, 16, 4)
    tensors["delta"] = tensors["delta"].abs()
    tensors["delta_bias"] = tensors["delta_bias"].abs()
    got = _scan_and_gradients(tensors, "numba", delta_softplus=False)
    wanted = _scan_and_gradients(tensors, "reference", torch.float64, delta_softplus=False)
    assert_close(got, wanted, 1e-5)


def test_numba_takes_extreme_time_steps() -> None:
    tensors = operands(2, 40, 16, 4)
    tensors["delta"] = tensors["delta"] * 40
    got = _scan_and_gradients(tensors, "numba")
    wanted = _scan_and_gradients(tensors, "reference", torch.float64)
    assert_close(got, wanted, 1e-5)


def test_numba_reads_only_memory_that_was_written(poisoned_memory: None) -> None:
    tensors = operands(3, 50, 37, 5)
    options = {"lengths": torch.tensor([50, 1, 33])}
    got = _scan_and_gradients(tensors, "numba", **options)
    assert all(bool(value.isfinite().all()) for value in got.values())


def test_numba_never_looks_at_padding() -> None:
    tensors = operands(2, 9, 20, 3)
    for name in ("u", "delta", "B", "C", "z"):
        tensors[name][1, 4:] = float("nan")
    got = _scan_and_gradients(tensors, "numba", lengths=torch.tensor([9, 4]))
    assert all(bool(value.isfinite().all()) for value in got.values())
    assert not got["y"][1, 4:].any()


@pytest.mark.parametrize("batch", [1, 3, 5, 21])  # the first three share columns out, or not
def test_numba_gives_the_same_bits_with_any_number_of_threads(
    batch: int, set_threads: Threads
) -> None:
    tensors = operands(batch, 50, 200, 8)
    options = {"lengths": torch.arange(batch) * 2 + 8}
    runs = []
    for threads in (1, 2, 2, 3):
        set_threads(threads)
        runs.append(_scan_and_gradients(tensors, "numba", **options))
    for run in runs[1:]:
        assert all(torch.equal(run[name], runs[0][name]) for name in run)


def test_numba_takes_views_that_are_not_contiguous() -> None:
    tensors = operands(3, 20, 24, 4)
    strided = {
        n: t.repeat_interleave(2, -1)[..., ::2] if t.dim() == 3 else t for n, t in tensors.items()
    }
    assert not strided["u"].is_contiguous()
    got = _scan_and_gradients(strided, "numba")
    assert_close(got, _scan_and_gradients(tensors, "numba"), 1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_numba_computes_in_float32_and_answers_in_the_dtype_given(dtype: torch.dtype) -> None:
    tensors = {n: t.to(dtype) for n, t in operands(2, 20, 16, 4).items()}
    got = _scan_and_gradients(tensors, "numba", dtype)
    assert got.pop("last").dtype == torch.float32
    assert {value.dtype for value in got.values()} == {dtype}
    wanted = _scan_and_gradients(tensors, "reference", torch.float64)
    del wanted["last"]
    assert_close(got, wanted, 0.02)


def test_a_gradient_of_y_alone_or_of_the_state_alone_flows() -> None:
    tensors = {n: t.requires_grad_() for n, t in operands(2, 20, 16, 4).items()}
    y, last = selective_scan(**tensors, return_last_state=True)
    leaves = list(tensors.values())
    from_y = torch.autograd.grad(y.sum(), leaves, retain_graph=True)
    from_last = torch.autograd.grad(last.sum(), leaves, retain_graph=True)
    both = torch.autograd.grad(y.sum() + last.sum(), leaves)
    for one, other, total in zip(from_y, from_last, both, strict=True):
        torch.testing.assert_close(one + other, total, rtol=1e-4, atol=1e-4)


def test_no_gradient_is_made_for_operands_that_need_none() -> None:
    tensors = operands(2, 20, 16, 4)
    tensors["A"].requires_grad_()
    y = selective_scan(**tensors)
    assert isinstance(y, Tensor)
    y.sum().backward()
    assert tensors["A"].grad is not None
    with torch.no_grad():
        again = selective_scan(**tensors)
    assert isinstance(again, Tensor)
    assert torch.equal(again, y.detach())
    assert again.grad_fn is None


def test_the_reference_passes_gradcheck() -> None:
    tensors = {n: t.double().requires_grad_() for n, t in operands(2, 3, 2, 2).items()}

    def scan(*values: Tensor) -> Any:
        named = dict(zip(tensors, values, strict=True))
        return selective_scan_reference(**named, lengths=torch.tensor([3, 1]))

    assert torch.autograd.gradcheck(scan, tuple(tensors.values()))


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_step_after_step_equals_the_full_pass(backend: str) -> None:
    tensors = operands(3, 40, 20, 6)
    y, last = selective_scan(**tensors, return_last_state=True, backend=backend)
    state = torch.zeros(3, 20, 6)
    for t in range(40):
        now = {n: v[:, t] if v.dim() == 3 else v for n, v in tensors.items()}
        out, state = selective_scan_step(state, **now)
        torch.testing.assert_close(out, y[:, t], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state, last, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_a_ragged_row_equals_the_same_row_cut_off(backend: str) -> None:
    tensors = operands(2, 30, 8, 4)
    lengths = torch.tensor([30, 19])
    y, last = selective_scan(**tensors, lengths=lengths, return_last_state=True, backend=backend)
    short = {n: v[1:, :19] if v.dim() == 3 else v for n, v in tensors.items()}
    short_y, short_last = selective_scan(**short, return_last_state=True, backend=backend)
    torch.testing.assert_close(y[1:, :19], short_y)
    torch.testing.assert_close(last[1:], short_last)
    assert not y[1, 19:].any()


def test_shapes_that_do_not_belong_together_are_named() -> None:
    tensors = operands(2, 4, 8, 3)
    tensors["C"] = tensors["C"][..., :2]
    with pytest.raises(ValueError, match=r"C has shape \(2, 4, 2\); needed: \(2, 4, 3\)"):
        selective_scan(**tensors)
    elsewhere = {**operands(2, 4, 8, 3), "D": torch.ones(8, device="meta")}
    with pytest.raises(ValueError, match="D is on meta; needed: cpu"):
        selective_scan(**elsewhere)
    empty = operands(2, 0, 8, 3)
    with pytest.raises(ValueError, match="length 0"):
        selective_scan(**empty)


@pytest.mark.parametrize("bad", [[5, 1], [-1, 4]])
def test_lengths_beyond_the_tensor_are_refused(bad: list[int]) -> None:
    with pytest.raises(ValueError, match=r"lengths must lie in 0\.\.4"):
        selective_scan(**operands(2, 4, 8, 3), lengths=torch.tensor(bad))


def test_a_missing_backend_and_an_unknown_one_raise() -> None:
    tensors = operands(1, 2, 4, 2)
    with pytest.raises(BackendUnavailable, match="does not run on device 'cpu'"):
        selective_scan(**tensors, backend="cuda")
    with pytest.raises(ValueError, match="allowed: auto, reference, numba, cuda"):
        selective_scan(**tensors, backend="best")
