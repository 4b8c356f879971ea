"""Kernels run on torch's threads, or on Python's where torch has no libgomp, with equal results."""

from __future__ import annotations

from array import array
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from numba import types
from torch import Tensor

from models.ops import threads
from models.ops.causal_conv1d import causal_conv1d
from models.ops.simd import integers, native


@native(types.CPointer(types.int64), types.int64)
def _count(row: Any, scratch_at: int) -> None:
    """A kernel that counts how often its task was done."""
    integers(row[0])[0] += 1


def _filtered() -> Tensor:
    make = torch.Generator().manual_seed(0)
    x = torch.randn(33, 20, 24, generator=make)
    return causal_conv1d(x, torch.randn(24, 4, generator=make), torch.randn(24, generator=make))


@pytest.fixture
def _three_threads() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_three_threads")
def test_python_threads_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = _filtered()
    monkeypatch.setattr(threads, "_gomp_parallel", lambda: None)
    assert torch.equal(_filtered(), wanted)


@pytest.mark.usefixtures("_three_threads")
def test_kernels_may_run_in_several_python_threads_at_once() -> None:
    wanted = _filtered()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: _filtered(), range(20)))
    assert all(torch.equal(result, wanted) for result in results)


def test_no_rows_are_no_work() -> None:
    threads.run_tasks(0, [], 1)
    assert causal_conv1d(torch.empty(0, 5, 8), torch.ones(8, 4), torch.ones(8)).shape == (0, 5, 8)


def test_a_scratch_is_kept_and_grows() -> None:
    first = threads._room(2, 100)
    assert first.shape[1] % 16 == 0
    assert threads._room(1, 50) is threads._room(2, 100)
    wider = threads._room(1, first.shape[1] + 1)
    assert wider.shape[0] >= 2
    assert wider.shape[1] > first.shape[1]
    assert threads._room(2, 100) is wider
    with torch.inference_mode():
        assert not threads._room(3, 2 * wider.shape[1]).is_inference()


@pytest.mark.usefixtures("_three_threads")
def test_threads_are_numbered_by_libgomp_where_it_is_torchs() -> None:
    if threads._gomp_parallel() is None:
        pytest.skip("torch runs on another OpenMP runtime")
    assert threads._numbering() != 0


def test_a_thread_that_comes_alone_does_the_others_tasks() -> None:
    """OpenMP may give fewer threads than were asked for."""
    done = array("q", [0] * 10)
    rows = array("q", [done.buffer_info()[0] + 8 * task for task in range(10)])
    head = (_count, 10, rows.buffer_info()[0], 8, 0, 0, 3, 0)
    job = array("q", (*head, *[0] * (threads._COUNTERS - 8 + 3 * threads._LINE)))
    threads._job_entry(threads._drain)(job.buffer_info()[0])
    assert list(done) == [1] * 10
