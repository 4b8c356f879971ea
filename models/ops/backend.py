"""Which kernel an op runs on, decided by name and never by what happens to be installed.

`auto` has one meaning for each kind of device; a kernel that is missing raises with the reason, so
that a record can say `unsupported` instead of timing another kernel. This is the only place that
imports the optional CUDA packages.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import torch

BACKENDS = ("auto", "reference", "numba", "cuda")
LAYER_BACKENDS = ("auto", "reference", "torch", "numba")
_PACKAGES = {
    "reference": ("torch",),
    "numba": ("torch", "numba", "llvmlite"),
    "cuda": ("torch", "mamba_ssm", "causal_conv1d"),
}
_FAST = {"cpu": "numba", "cuda": "cuda"}


class BackendUnavailable(RuntimeError):
    """A kernel was asked for that cannot run here; the message is one line with the reason."""


class CudaKernels(NamedTuple):
    """The functions that the `cuda` backend calls, all in (B, D, L) layout."""

    selective_scan_fn: Callable[..., Any]
    causal_conv1d_fn: Callable[..., Any]


def resolve(backend: str, device: str | torch.device) -> str:
    """Turn a backend's name into the one that will run on `device`: reference, numba or cuda.

    Raises:
        ValueError: the name is none of `BACKENDS`.
        BackendUnavailable: the kernel is missing or does not fit the device.
    """
    if backend == "torch":
        raise BackendUnavailable("the scan has no backend 'torch'; ask for 'reference'")
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; allowed: {', '.join(BACKENDS)}")
    kind = torch.device(device).type
    if backend == "reference":
        return backend
    fast = _FAST.get(kind)
    if fast is None:
        raise BackendUnavailable(f"no fast kernel for device {kind!r}; ask for 'reference'")
    if backend not in ("auto", fast):
        raise BackendUnavailable(f"backend {backend!r} does not run on device {kind!r}")
    if fast == "cuda":
        cuda_kernels()
    else:
        _require_numba()
    return fast


def resolve_layers(backend: str, device: str | torch.device, dtype: torch.dtype) -> str:
    """Which kernels the layers around the scans will run on: reference, torch or numba.

    `auto` is `numba` for float32 on a CPU and `torch` otherwise.

    Raises:
        ValueError: the name is none of `LAYER_BACKENDS`.
        BackendUnavailable: `numba` for anything that is not float32 on a CPU.
    """
    if backend not in LAYER_BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; allowed: {', '.join(LAYER_BACKENDS)}")
    if backend in ("reference", "torch"):
        return backend
    if torch.device(device).type == "cpu" and dtype == torch.float32:
        _require_numba()
        return "numba"
    if backend == "numba":
        raise BackendUnavailable(f"backend 'numba' is float32 on cpu, not {dtype} on {device}")
    return "torch"


def resolve_dense(backend: str, tensor: torch.Tensor) -> str:
    """The same for a tensor, under the autocast of the moment: torch or numba.

    `reference` is `torch` here, whose operations are plain already.
    """
    kind = tensor.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tensor.dtype
    name = resolve_layers(backend, tensor.device, dtype)
    return "torch" if name == "reference" else name


def versions(backend: str) -> dict[str, str]:
    """Versions of the packages behind a resolved backend, for the record."""
    if backend not in _PACKAGES:
        raise ValueError(f"unknown backend {backend!r}; allowed: {', '.join(_PACKAGES)}")
    return {name: importlib.metadata.version(name) for name in _PACKAGES[backend]}


@lru_cache(maxsize=1)
def cuda_kernels() -> CudaKernels:
    """Import mamba_ssm's scan and causal_conv1d's convolution, or say why they are missing."""
    if not torch.cuda.is_available():
        raise BackendUnavailable("backend 'cuda' is missing: torch sees no CUDA device")
    # Both packages fail in many ways besides ImportError: a binary built for another torch gives
    # OSError, an unguarded Triton import inside mamba_ssm gives whatever Triton raises.
    try:
        scan = importlib.import_module("mamba_ssm.ops.selective_scan_interface")
        conv = importlib.import_module("causal_conv1d")
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BackendUnavailable(f"backend 'cuda' is missing: {reason}") from error
    # A build without kernels may have None in their places, where it does not fail above.
    if getattr(scan, "selective_scan_cuda", scan) is None or conv.causal_conv1d_fn is None:
        raise BackendUnavailable("backend 'cuda' is missing: packages built without CUDA kernels")
    return CudaKernels(scan.selective_scan_fn, conv.causal_conv1d_fn)


@lru_cache(maxsize=1)
def _require_numba() -> None:
    try:
        importlib.import_module("numba")
    except ImportError as error:
        raise BackendUnavailable(f"backend 'numba' is missing: {error}") from error
