"""The fused losses against plain PyTorch: value, gradients, memory, dtypes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.ops import linear_cross_entropy as loss_module
from models.ops import linear_cross_entropy_numba as kernel_module
from models.ops.backend import BackendUnavailable
from models.ops.linear_cross_entropy import linear_cross_entropy, resolve_loss
from models.ops.simd_matmul import WIDTH as WIDTH_OF_TILE

POSITIONS, CLASSES, WIDTH = 70, 37, 8


@pytest.fixture
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 16 positions, the last one not full, and two parts."""
    monkeypatch.setattr(loss_module, "_BLOCK_BYTES", {"cpu": 16 * CLASSES * 4})
    padded = -(-CLASSES // WIDTH_OF_TILE) * WIDTH_OF_TILE
    monkeypatch.setattr(kernel_module, "_BLOCK_BYTES", 16 * padded * 4)
    monkeypatch.setattr(kernel_module, "_MIN_PART", 30)


def _operands(positions: int = POSITIONS) -> dict[str, Tensor]:
    make = torch.Generator().manual_seed(0)
    return {
        "hidden": torch.randn(positions, WIDTH, generator=make),
        "weight": torch.randn(CLASSES, WIDTH, generator=make),
        "targets": torch.randint(CLASSES, (positions,), generator=make),
        "bias": torch.randn(CLASSES, generator=make),
    }


def _loss_and_gradients(
    tensors: dict[str, Tensor], backend: str, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    leaves = {n: t.to(dtype).requires_grad_() for n, t in tensors.items() if n != "targets"}
    loss = linear_cross_entropy(**leaves, targets=tensors["targets"], backend=backend)
    return [loss.detach(), *torch.autograd.grad(3 * loss, leaves.values())]


def _assert_close(got: list[Tensor], wanted: list[Tensor], tolerance: float = 1e-5) -> None:
    for one, other in zip(got, wanted, strict=True):
        error = float((one.double() - other).abs().max()) / float(other.abs().max())
        assert error < tolerance


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("backend", ["blocked", "numba"])
@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("positions", [1, 15, 16, 17, 64, POSITIONS])
def test_fused_equals_the_reference(positions: int, biased: bool, backend: str) -> None:
    tensors = _operands(positions)
    if not biased:
        del tensors["bias"]
    wanted = _loss_and_gradients(tensors, "reference", torch.float64)
    _assert_close(_loss_and_gradients(tensors, backend), wanted)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("backend", ["blocked", "numba"])
@pytest.mark.parametrize("target", [0, CLASSES - 1])
def test_targets_at_the_borders_of_blocks_and_classes_count(target: int, backend: str) -> None:
    tensors = _operands()
    tensors["targets"][[0, 15, 16, 63, 64, 69]] = target
    wanted = _loss_and_gradients(tensors, "reference", torch.float64)
    _assert_close(_loss_and_gradients(tensors, backend), wanted)


@pytest.mark.usefixtures("_small_blocks", "poisoned_memory")
@pytest.mark.parametrize("backend", ["blocked", "numba"])
def test_fused_reads_only_memory_that_was_written(backend: str) -> None:
    assert all(bool(v.isfinite().all()) for v in _loss_and_gradients(_operands(), backend))


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("backend", ["blocked", "numba"])
def test_fused_gives_the_same_bits_twice(backend: str) -> None:
    first, second = (_loss_and_gradients(_operands(), backend) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.usefixtures("_small_blocks")
def test_numba_gives_the_same_bits_with_any_number_of_threads(
    set_threads: Callable[[int], None],
) -> None:
    runs = []
    for threads in (1, 2, 3):
        set_threads(threads)
        runs.append(_loss_and_gradients(_operands(), "numba"))
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(run, runs[0], strict=True))


@pytest.mark.parametrize("width", [1, 63, 64, 65, 130])
def test_numba_takes_any_width(width: int) -> None:
    make = torch.Generator().manual_seed(0)
    tensors = {
        "hidden": torch.randn(300, width, generator=make),
        "weight": torch.randn(517, width, generator=make) * 0.1,
        "targets": torch.randint(517, (300,), generator=make),
    }
    wanted = _loss_and_gradients(tensors, "reference", torch.float64)
    _assert_close(_loss_and_gradients(tensors, "numba"), wanted)


@pytest.mark.parametrize("backend", ["blocked", "numba"])
@pytest.mark.parametrize("bad", [-1, CLASSES])
def test_a_target_that_is_no_class_is_refused(bad: int, backend: str) -> None:
    tensors = _operands()
    tensors["targets"][3] = bad
    with pytest.raises((IndexError, RuntimeError), match=r"must lie in|out of bounds"):
        linear_cross_entropy(**tensors, backend=backend)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("backend", ["blocked", "numba"])
def test_the_loss_is_the_same_without_gradients(backend: str) -> None:
    tensors = _operands()
    leaf = tensors["hidden"].clone().requires_grad_()
    with torch.no_grad():
        without = linear_cross_entropy(**{**tensors, "hidden": leaf}, backend=backend)
    recorded = linear_cross_entropy(**{**tensors, "hidden": leaf}, backend=backend)
    assert without.grad_fn is None
    assert torch.equal(without, recorded.detach())


@pytest.mark.parametrize("backend", ["blocked", "numba"])
def test_only_the_gradients_asked_for_are_made(backend: str) -> None:
    tensors = _operands()
    tensors["weight"].requires_grad_()
    linear_cross_entropy(**tensors, backend=backend).backward()
    wanted = _loss_and_gradients(_operands(), "reference")[2] / 3
    torch.testing.assert_close(tensors["weight"].grad, wanted)


@pytest.mark.parametrize("backend", ["blocked", "numba"])
def test_huge_logits_do_not_overflow(backend: str) -> None:
    tensors = _operands()
    tensors["hidden"] *= 1e4
    wanted = _loss_and_gradients(tensors, "reference", torch.float64)
    _assert_close(_loss_and_gradients(tensors, backend), wanted)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("backend", ["reference", "blocked"])
def test_bfloat16_gives_a_float32_loss_and_bfloat16_gradients(backend: str) -> None:
    tensors = _operands()
    got = _loss_and_gradients(tensors, backend, torch.bfloat16)
    assert [v.dtype for v in got] == [torch.float32] + 3 * [torch.bfloat16]
    _assert_close(got, _loss_and_gradients(tensors, "reference", torch.float64), 0.05)


def test_autocast_lowers_the_products_and_returns_float32_gradients() -> None:
    tensors = _operands()
    leaf = tensors["weight"].clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(**{**tensors, "weight": leaf})
    loss.backward()
    assert loss.dtype == leaf.grad.dtype == torch.float32
    exact = linear_cross_entropy(**tensors)
    assert loss.item() != exact.item()
    assert loss.item() == pytest.approx(exact.item(), rel=0.02)


@pytest.mark.usefixtures("_small_blocks")
def test_no_tensor_of_all_logits_is_ever_made() -> None:
    class Largest(torch.utils._python_dispatch.TorchDispatchMode):
        elements = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, Tensor):
                self.elements = max(self.elements, out.numel())
            return out

    with Largest() as largest:
        _loss_and_gradients(_operands(), "blocked")
    assert largest.elements <= max(16 * CLASSES, POSITIONS * WIDTH)


def test_an_unknown_backend_names_the_allowed_ones() -> None:
    with pytest.raises(ValueError, match="allowed: auto, reference, blocked, numba"):
        linear_cross_entropy(**_operands(), backend="best")


def test_auto_is_numba_for_float32_on_a_cpu_and_blocked_elsewhere() -> None:
    assert resolve_loss("auto", "cpu", torch.float32) == "numba"
    assert resolve_loss("auto", "cpu", torch.bfloat16) == "blocked"
    assert resolve_loss("auto", "cuda", torch.float32) == "blocked"
    with pytest.raises(BackendUnavailable, match=r"'numba' is float32 on cpu, not torch.float64"):
        resolve_loss("numba", "cpu", torch.float64)


@pytest.mark.parametrize(
    "change",
    [
        {"targets": torch.zeros(POSITIONS, dtype=torch.int32)},
        {"targets": torch.zeros(POSITIONS + 1, dtype=torch.int64)},
        {"weight": torch.zeros(CLASSES, WIDTH, dtype=torch.float64)},
        {"weight": torch.zeros(CLASSES, WIDTH + 1)},
        {"bias": torch.zeros(CLASSES - 1)},
    ],
    ids=["targets-dtype", "targets-shape", "weight-dtype", "weight-shape", "bias-shape"],
)
def test_tensors_that_do_not_belong_together_are_refused(change: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"needed|must share"):
        linear_cross_entropy(**{**_operands(), **change})


def test_half_precision_keeps_the_small_gradients_of_a_large_batch() -> None:
    """Divided by M before they are stored, the pushes on items never targeted would be 0."""
    torch.manual_seed(0)
    hidden = torch.randn(6_000, 16)
    weight = 0.02 * torch.randn(2_000, 16)
    targets = torch.randint(0, 1_000, (6_000,))
    scale = 65_536.0  # torch.amp.GradScaler's first
    exact = weight.clone().requires_grad_()
    linear_cross_entropy(hidden, exact, targets, backend="reference").backward()
    half = weight.half().requires_grad_()
    loss = linear_cross_entropy(hidden.half(), half, targets, backend="blocked")
    (loss * scale).backward()
    assert exact.grad is not None
    assert half.grad is not None
    want, got = exact.grad[1_000:], half.grad[1_000:].float() / scale
    assert float(want.abs().max()) > 0
    assert float((got - want).norm() / want.norm()) < 0.02


@pytest.fixture
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_module, "_LARGE", 0)


@pytest.mark.usefixtures("_large", "poisoned_memory")
@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize(
    ("positions", "classes", "width"), [(1, 5, 3), (70, 37, 8), (300, 517, 64), (515, 1030, 65)]
)
def test_the_kernel_for_large_catalogues_equals_the_reference(
    positions: int, classes: int, width: int, biased: bool
) -> None:
    make = torch.Generator().manual_seed(0)
    tensors = {
        "hidden": torch.randn(positions, width, generator=make),
        "weight": torch.randn(classes, width, generator=make) * 0.3,
        "targets": torch.randint(classes, (positions,), generator=make),
        "bias": torch.randn(classes, generator=make),
    }
    if not biased:
        del tensors["bias"]
    wanted = _loss_and_gradients(tensors, "reference", torch.float64)
    _assert_close(_loss_and_gradients(tensors, "numba"), wanted)


@pytest.mark.usefixtures("_large")
def test_large_catalogues_give_the_same_bits_with_any_number_of_threads(
    set_threads: Callable[[int], None],
) -> None:
    runs = []
    for threads in (1, 2, 3):
        set_threads(threads)
        runs.append(_loss_and_gradients(_operands(), "numba"))
    assert all(torch.equal(a, b) for run in runs for a, b in zip(run, runs[0], strict=True))


@pytest.mark.usefixtures("_large")
def test_huge_logits_of_a_large_catalogue_do_not_overflow() -> None:
    tensors = _operands()
    tensors["hidden"] *= 1e4
    wanted = _loss_and_gradients(tensors, "reference", torch.float64)
    _assert_close(_loss_and_gradients(tensors, "numba"), wanted)


@pytest.mark.slow
def test_a_million_items_fit_in_two_gigabytes() -> None:
    """A process of its own, whose peak is all that it ever took."""
    program = """
import torch
from models.ops.linear_cross_entropy import linear_cross_entropy
hidden = torch.randn(512, 64, requires_grad=True)
weight = torch.randn(1_000_001, 64, requires_grad=True)
linear_cross_entropy(hidden, weight, torch.randint(1, 1_000_001, (512,))).backward()
assert torch.isfinite(weight.grad).all()
import resource
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) * 1024 < 2e9
