"""A device's limit is set for the device that a cell names, with and without its number."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from bench.worker_limits import limit_device

GIB = 2**30


@pytest.mark.parametrize(("device", "index"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)])
@pytest.mark.parametrize(("limit", "share"), [(GIB, 0.25), (8 * GIB, 1.0)])
def test_the_share_of_a_device_is_that_of_its_memory(
    monkeypatch: pytest.MonkeyPatch, device: str, index: int, limit: int, share: float
) -> None:
    """By PyTorch's own function, down to the one that a build without CUDA lacks."""
    told: list[tuple[float, int]] = []
    set_fraction = "_cuda_setMemoryFraction"
    monkeypatch.setattr(torch.cuda.memory, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch._C, set_fraction, lambda *it: told.append(it), raising=False)
    properties = SimpleNamespace(total_memory=4 * GIB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    limit_device(device, limit)
    assert told == [(share, index)]


@pytest.mark.parametrize(("device", "limit"), [("cpu", GIB), ("cuda", None)])
def test_nothing_is_set_where_there_is_no_limit_of_a_device(
    monkeypatch: pytest.MonkeyPatch, device: str, limit: int | None
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: pytest.fail("was asked"))
    limit_device(device, limit)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_refuses_what_goes_beyond_the_limit() -> None:
    limit_device("cuda", GIB)
    try:
        torch.empty(GIB // 2, dtype=torch.uint8, device="cuda")
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(2 * GIB, dtype=torch.uint8, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, 0)
