"""Backends are named, resolved by device alone, and never swapped silently."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from models.ops import backend
from models.ops.backend import (
    BackendUnavailable,
    resolve,
    resolve_dense,
    resolve_layers,
    versions,
)


@pytest.fixture(autouse=True)
def _forget_probes() -> Any:
    backend.cuda_kernels.cache_clear()
    yield
    backend.cuda_kernels.cache_clear()


def _pretend_cuda(monkeypatch: pytest.MonkeyPatch, scan: Any, conv: Any) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def find(name: str) -> Any:
        found = conv if name == "causal_conv1d" else scan
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(importlib, "import_module", find)


def test_auto_means_numba_on_a_cpu() -> None:
    assert resolve("auto", "cpu") == "numba"


@pytest.mark.parametrize("name", ["reference", "numba"])
def test_a_named_backend_resolves_to_itself(name: str) -> None:
    assert resolve(name, torch.device("cpu")) == name


def test_the_reference_runs_on_any_device() -> None:
    assert resolve("reference", "cuda") == resolve("reference", "mps") == "reference"


def test_an_unknown_backend_names_the_allowed_ones() -> None:
    with pytest.raises(ValueError, match="'triton'; allowed: auto, reference, numba, cuda"):
        resolve("triton", "cpu")


@pytest.mark.parametrize(("name", "device"), [("cuda", "cpu"), ("numba", "cuda")])
def test_a_backend_on_the_wrong_device_is_unavailable(name: str, device: str) -> None:
    with pytest.raises(BackendUnavailable, match=f"'{name}' does not run on device '{device}'"):
        resolve(name, device)


def test_a_device_without_kernel_is_told_to_ask_for_the_reference() -> None:
    with pytest.raises(BackendUnavailable, match="'mps'; ask for 'reference'"):
        resolve("auto", "mps")


def test_cuda_without_a_gpu_gives_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackendUnavailable, match="torch sees no CUDA device"):
        resolve("auto", "cuda")


@pytest.mark.parametrize(
    "error", [ImportError("no x\nmore"), OSError("no x"), RuntimeError("no x")]
)
def test_cuda_packages_that_fail_to_import_give_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    _pretend_cuda(monkeypatch, error, error)
    with pytest.raises(BackendUnavailable, match=r"^backend 'cuda' is missing: no x$"):
        resolve("cuda", "cuda")


def test_cuda_packages_built_without_kernels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = SimpleNamespace(selective_scan_cuda=None, selective_scan_fn=print)
    _pretend_cuda(monkeypatch, scan, SimpleNamespace(causal_conv1d_fn=print))
    with pytest.raises(BackendUnavailable, match="built without CUDA kernels"):
        resolve("cuda", "cuda")


def test_cuda_resolves_where_both_packages_have_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = SimpleNamespace(selective_scan_cuda=object(), selective_scan_fn=print)
    _pretend_cuda(monkeypatch, scan, SimpleNamespace(causal_conv1d_fn=print))
    assert resolve("auto", "cuda") == "cuda"


def test_numba_that_fails_to_import_gives_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Any:
        raise ImportError(f"no module {name}")

    backend._require_numba.cache_clear()
    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(BackendUnavailable, match="'numba' is missing: no module numba"):
        resolve("auto", "cpu")
    backend._require_numba.cache_clear()


def test_versions_name_the_packages_of_a_backend() -> None:
    assert versions("numba").keys() == {"torch", "numba", "llvmlite"}
    # A wheel for CUDA says so in `__version__` alone ("2.13.0+cu130").
    assert versions("reference")["torch"].split("+")[0] == torch.__version__.split("+")[0]
    with pytest.raises(ValueError, match="'auto'; allowed: reference, numba, cuda"):
        versions("auto")


@pytest.mark.parametrize(
    ("name", "device", "dtype", "resolved"),
    [
        ("auto", "cpu", torch.float32, "numba"),
        ("auto", "cpu", torch.bfloat16, "torch"),
        ("auto", "cuda", torch.float32, "torch"),
        ("reference", "cpu", torch.float32, "reference"),
        ("torch", "cpu", torch.float32, "torch"),
    ],
)
def test_layers_resolve_by_device_and_dtype(
    name: str, device: str, dtype: torch.dtype, resolved: str
) -> None:
    assert resolve_layers(name, device, dtype) == resolved


def test_layers_follow_the_autocast_of_the_moment() -> None:
    x = torch.ones(2, 2)
    assert resolve_dense("auto", x) == "numba"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert resolve_dense("auto", x) == "torch"
        with pytest.raises(BackendUnavailable, match=r"float32 on cpu, not torch\.bfloat16"):
            resolve_dense("numba", x)


def test_a_scan_has_no_plain_torch_backend() -> None:
    with pytest.raises(BackendUnavailable, match="no backend 'torch'; ask for 'reference'"):
        resolve("torch", "cpu")
