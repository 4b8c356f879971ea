"""The scan on a GPU: what its kernel is given, told by a stand-in, and its results against the
reference.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.ops import selective_scan as scan_module
from models.ops.backend import BackendUnavailable, CudaKernels, cuda_kernels
from models.ops.selective_scan import selective_scan, selective_scan_reference
from tests.models.ops.scan_operands import GATED, assert_close, operands, some_lengths


def _scan_as_mamba_ssm_does(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor | None,
    delta_bias: Tensor | None, delta_softplus: bool, return_last_state: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The CUDA function's contract, (B, D, L) in and out and no lengths, on a CPU."""
    assert return_last_state
    return (lambda y, last: (y.mT, last))(
        *selective_scan_reference(
            u.mT, delta.mT, A, B.mT, C.mT, D, None if z is None else z.mT,
            delta_bias=delta_bias, delta_softplus=delta_softplus,
        )
    )  # fmt: skip


@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
def test_the_cuda_layout_and_its_lengths_equal_the_reference(
    monkeypatch: pytest.MonkeyPatch, ragged: bool
) -> None:
    kernels = CudaKernels(_scan_as_mamba_ssm_does, F.silu)
    monkeypatch.setattr(scan_module, "cuda_kernels", lambda: kernels)
    monkeypatch.setattr(scan_module, "resolve", lambda backend, device: backend)
    tensors = operands(3, 20, 8, 4)
    lengths = torch.tensor([20, 1, 7]) if ragged else None
    y, last = selective_scan(**tensors, lengths=lengths, return_last_state=True, backend="cuda")
    wanted_y, wanted_last = selective_scan_reference(**tensors, lengths=lengths)
    torch.testing.assert_close(y, wanted_y)
    torch.testing.assert_close(last, wanted_last)


@pytest.mark.parametrize(
    ("lengths", "keep_state", "inside"),
    [
        ([20, 1, 7], False, True),
        ([20, 1, 7], True, False),  # steps of 0 keep a state, which no bias may move
        ([7, 7, 7], True, True),
    ],
)
def test_the_cuda_kernel_has_bias_and_softplus_inside_but_for_states_of_unequal_lengths(
    monkeypatch: pytest.MonkeyPatch, lengths: list[int], keep_state: bool, inside: bool
) -> None:
    told = []

    def scan(*given: Tensor, **how: Any) -> tuple[Tensor, Tensor]:
        told.append((how["delta_bias"] is not None, how["delta_softplus"]))
        return _scan_as_mamba_ssm_does(*given, **how)

    monkeypatch.setattr(scan_module, "cuda_kernels", lambda: CudaKernels(scan, F.silu))
    monkeypatch.setattr(scan_module, "resolve", lambda backend, device: backend)
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    tensors = _packed_operands(sum(lengths) + 2)
    got, wanted = (
        selective_scan(**tensors, offsets=offsets, return_last_state=keep_state, backend=name)
        for name in ("cuda", "numba")
    )
    assert told == [(inside, inside)]
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other)


def _packed_operands(rows: int) -> dict[str, Tensor]:
    alone = ("A", "D", "delta_bias")
    return {n: t if n in alone else t[0] for n, t in operands(1, rows, 8, 4).items()}


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("length", [1, 2, 63, 200])
def test_cuda_equals_the_reference(length: int, ragged: bool, dtype: torch.dtype) -> None:
    """Values, last states, and gradients by y, for those of the state are none on a GPU. Operands
    are rounded first, so that a lower precision is the kernel's alone.
    """
    try:
        cuda_kernels()
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    alone = ("A", "D", "delta_bias")  # float32 in every dtype
    tensors = operands(4, length, 128, 32)
    tensors = {n: t if n in alone else t.to(dtype) for n, t in tensors.items()}
    lengths = some_lengths(4, length) if ragged else None

    def run(device: str, backend: str, wide: bool) -> dict[str, Tensor]:
        leaves = {n: (t.double() if wide else t).to(device) for n, t in tensors.items()}
        leaves = {n: t.requires_grad_() for n, t in leaves.items()}
        here = None if lengths is None else lengths.to(device)
        y, last = selective_scan(**leaves, lengths=here, return_last_state=True, backend=backend)
        gradients = torch.autograd.grad(y.sum(), leaves.values())
        found = {"y": y.detach(), "last": last.detach(), **dict(zip(GATED, gradients, strict=True))}
        return {n: t.cpu() for n, t in found.items()}

    tolerance = 1e-3 if dtype == torch.float32 else 3e-2
    assert_close(run("cuda", "cuda", False), run("cpu", "reference", True), tolerance)
