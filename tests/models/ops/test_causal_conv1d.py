"""The causal convolution's kernels against its reference in float64: values and all gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.ops import causal_conv1d as convolution_module
from models.ops.backend import BackendUnavailable, CudaKernels, cuda_kernels
from models.ops.causal_conv1d import (
    causal_conv1d,
    causal_conv1d_reference,
    causal_conv1d_step,
)

Threads = Callable[[int], None]


def _operands(batch: int, length: int, channels: int, taps: int) -> tuple[Tensor, Tensor, Tensor]:
    make = torch.Generator().manual_seed(0)
    shapes: list[tuple[int, ...]] = [(batch, length, channels), (channels, taps), (channels,)]
    x, weight, bias = (torch.randn(shape, generator=make) for shape in shapes)
    return x, weight, bias


def _filter_and_gradients(
    tensors: tuple[Tensor, ...],
    backend: str,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> list[Tensor]:
    x, weight, bias = (t.to(device, dtype, copy=True).requires_grad_() for t in tensors)
    y = causal_conv1d(x, weight, bias, backend=backend)
    mix = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(device, dtype)
    gradients = torch.autograd.grad((y * mix).sum(), (x, weight, bias))
    return [t.detach().cpu() for t in (y, *gradients)]


def _assert_close(got: list[Tensor], wanted: list[Tensor], tolerance: float) -> None:
    for name, one, other in zip(("y", "x", "weight", "bias"), got, wanted, strict=True):
        error = float((one.double() - other).abs().max()) / (float(other.abs().max()) or 1.0)
        assert error < tolerance, f"{name}: {error:.1e} relative to its largest element"


@pytest.mark.parametrize("taps", [1, 4, 7])
@pytest.mark.parametrize("channels", [5, 16, 70, 128])
@pytest.mark.parametrize("length", [1, 2, 63, 200])
def test_numba_equals_the_reference(length: int, channels: int, taps: int) -> None:
    tensors = _operands(3, length, channels, taps)
    wanted = _filter_and_gradients(tensors, "reference", torch.float64)
    _assert_close(_filter_and_gradients(tensors, "numba"), wanted, 1e-5)


def test_numba_reads_only_memory_that_was_written(poisoned_memory: None) -> None:
    got = _filter_and_gradients(_operands(3, 50, 37, 4), "numba")
    assert all(bool(value.isfinite().all()) for value in got)


def test_numba_gives_the_same_bits_with_any_number_of_threads(set_threads: Threads) -> None:
    tensors = _operands(21, 50, 128, 4)
    runs = []
    for threads in (1, 2, 2, 3):
        set_threads(threads)
        runs.append(_filter_and_gradients(tensors, "numba"))
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(run, runs[0], strict=True))


def test_numba_takes_views_that_are_not_contiguous() -> None:
    x, weight, bias = _operands(3, 20, 48, 4)
    half = x.chunk(2, dim=-1)[0]
    assert not half.is_contiguous()
    got = _filter_and_gradients((half, weight[:24], bias[:24]), "numba")
    dense = (half.contiguous(), weight[:24].contiguous(), bias[:24].contiguous())
    _assert_close(got, _filter_and_gradients(dense, "numba"), 1e-12)


def test_numba_computes_in_float32_and_answers_in_the_dtype_given() -> None:
    x, weight, bias = (t.bfloat16() for t in _operands(2, 20, 16, 4))
    got = _filter_and_gradients((x, weight, bias), "numba", torch.bfloat16)
    assert {value.dtype for value in got} == {torch.bfloat16}
    wanted = _filter_and_gradients((x, weight, bias), "reference", torch.float64)
    _assert_close(got, wanted, 0.02)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_the_output_depends_on_the_past_alone(backend: str) -> None:
    x, weight, bias = _operands(2, 20, 16, 4)
    before = causal_conv1d(x, weight, bias, backend=backend)
    x[:, 10:] = 7.0
    after = causal_conv1d(x, weight, bias, backend=backend)
    assert torch.equal(before[:, :10], after[:, :10])
    assert not torch.equal(before[:, 10], after[:, 10])


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("taps", [1, 4])
def test_step_after_step_equals_the_full_pass(backend: str, taps: int) -> None:
    x, weight, bias = _operands(3, 20, 10, taps)
    full = causal_conv1d(x, weight, bias, backend=backend)
    window = torch.zeros(3, taps - 1, 10)
    for t in range(20):
        y, window = causal_conv1d_step(window, x[:, t], weight, bias)
        torch.testing.assert_close(y, full[:, t], rtol=1e-5, atol=1e-5)


def test_the_reference_passes_gradcheck() -> None:
    tensors = tuple(t.double().requires_grad_() for t in _operands(2, 3, 2, 2))
    assert torch.autograd.gradcheck(causal_conv1d_reference, tensors)


def test_no_gradient_is_recorded_without_need() -> None:
    x, weight, bias = _operands(2, 5, 8, 4)
    assert causal_conv1d(x, weight, bias).grad_fn is None


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    x, weight, bias = _operands(2, 5, 8, 4)
    with pytest.raises(ValueError, match=r"needed: \(B, L, D\), or \(T, D\)"):
        causal_conv1d(x, weight[:4], bias)


def test_a_missing_backend_and_an_unknown_one_raise() -> None:
    tensors = _operands(1, 2, 4, 2)
    with pytest.raises(BackendUnavailable, match="does not run on device 'cpu'"):
        causal_conv1d(*tensors, backend="cuda")
    with pytest.raises(ValueError, match="allowed: auto, reference, numba, cuda"):
        causal_conv1d(*tensors, backend="best")


def _filter_as_causal_conv1d_does(
    x: Tensor, weight: Tensor, bias: Tensor, activation: str
) -> Tensor:
    assert activation == "silu"
    return causal_conv1d_reference(x.mT, weight, bias).mT


def test_the_cuda_layout_equals_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = CudaKernels(print, _filter_as_causal_conv1d_does)
    monkeypatch.setattr(convolution_module, "cuda_kernels", lambda: kernels)
    monkeypatch.setattr(convolution_module, "resolve", lambda backend, device: backend)
    tensors = _operands(2, 9, 8, 4)
    torch.testing.assert_close(
        causal_conv1d(*tensors, backend="cuda"), causal_conv1d_reference(*tensors)
    )


@pytest.mark.cuda
@pytest.mark.parametrize("length", [1, 2, 63, 200])
def test_cuda_equals_the_reference(length: int) -> None:
    try:
        cuda_kernels()
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    tensors = _operands(3, length, 128, 4)
    wanted = _filter_and_gradients(tensors, "reference", torch.float64)
    _assert_close(_filter_and_gradients(tensors, "cuda", device="cuda"), wanted, 1e-3)
