"""`step` by one kernel: equal to the full pass and to the layers that it stands in for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import models
from models.base import SequentialRecommender
from models.ops.addresses import serves

ITEMS, LENGTH = 40, 200
# Odd sizes too: widths that are no multiple of sixteen, heads of 12 and 20, one layer and several.
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("mamba4rec", {}),
    ("mamba4rec", {"hidden_size": 24, "d_state": 5, "num_layers": 2}),
    ("mamba4rec", {"hidden_size": 17, "d_state": 33, "d_conv": 2, "expand": 1, "init": "mamba"}),
    ("sasrec", {}),
    ("sasrec", {"hidden_size": 24, "inner_size": 33}),
    ("sasrec", {"hidden_size": 40, "num_layers": 3, "num_heads": 2}),
    ("sasrec", {"hidden_size": 16, "num_layers": 1, "num_heads": 1}),
]
EACH = pytest.mark.parametrize(("name", "settings"), SETTINGS)
ONE = pytest.mark.parametrize("name", ["mamba4rec", "sasrec"])


def _build(name: str, **settings: Any) -> SequentialRecommender:
    torch.manual_seed(0)
    model_class = models.get(name)
    model = model_class(ITEMS, LENGTH, model_class.Config(**settings)).eval()
    with torch.no_grad():
        for p in model.parameters():  # biases and norms that are not 0 and 1 show
            p.add_(0.05 * torch.randn(p.shape))
    return model


def _events(rows: int, length: int = LENGTH) -> Tensor:
    make = torch.Generator().manual_seed(rows)
    return torch.randint(1, ITEMS + 1, (rows, length), generator=make)


@pytest.fixture
def _kernel_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """No layer of PyTorch's may be called: the kernel must have done it all."""

    def refuse(*args: Any, **named: Any) -> None:
        raise AssertionError("a layer was called")

    monkeypatch.setattr(torch.nn.Embedding, "forward", refuse)
    monkeypatch.setattr(torch.nn.LayerNorm, "forward", refuse)


@pytest.mark.usefixtures("_kernel_only", "poisoned_memory")
@pytest.mark.parametrize("rows", [1, 3, 9])
@EACH
@torch.inference_mode()
def test_every_step_equals_the_full_pass(name: str, settings: dict[str, Any], rows: int) -> None:
    model, item_seq = _build(name, **settings), _events(rows)
    full = model.encode(item_seq, torch.full((rows,), LENGTH))
    state = model.init_state(rows)
    for position in range(LENGTH):
        hidden, state = model.step(item_seq[:, position], state)
        torch.testing.assert_close(hidden, full[:, position], rtol=1e-4, atol=2e-5)


@pytest.mark.usefixtures("_kernel_only")
@pytest.mark.parametrize("length", [1, 2, 63, 199])
@EACH
@torch.inference_mode()
def test_a_step_follows_a_prefill(name: str, settings: dict[str, Any], length: int) -> None:
    model, item_seq = _build(name, **settings), _events(3, length + 1)
    full = model.encode(item_seq, torch.full((3,), length + 1))
    state = model.prefill(item_seq[:, :length], torch.full((3,), length))
    hidden, _ = model.step(item_seq[:, length], state)
    torch.testing.assert_close(hidden, full[:, length], rtol=1e-4, atol=2e-5)


@EACH
def test_the_kernel_equals_the_layers(name: str, settings: dict[str, Any]) -> None:
    model, item_seq = _build(name, **settings), _events(2, 6)
    fast, slow = model.init_state(2), model.init_state(2)
    for position in range(6):
        with torch.inference_mode():
            got, fast = model.step(item_seq[:, position], fast)
        want, slow = model.step(item_seq[:, position], slow)  # with gradients: by layers
        assert want.requires_grad
        torch.testing.assert_close(got, want.detach(), rtol=1e-4, atol=2e-5)
    for one, other in zip(model.state_tensors(fast), model.state_tensors(slow), strict=True):
        torch.testing.assert_close(one, other.detach(), rtol=1e-4, atol=2e-5)


@ONE
@torch.inference_mode()
def test_the_state_given_stays_usable(name: str) -> None:
    model, item_seq = _build(name), _events(2, 5)
    state = model.prefill(item_seq, torch.full((2,), 5))
    before = [t.clone() for t in model.state_tensors(state)]
    first, _ = model.step(torch.tensor([3, 4]), state)
    model.step(torch.tensor([9, 9]), state)
    assert all(map(torch.equal, before, model.state_tensors(state)))
    again, _ = model.step(torch.tensor([3, 4]), state)
    assert torch.equal(first, again)


def _add(model: SequentialRecommender) -> None:
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1


def _behind(model: SequentialRecommender) -> None:
    for p in model.parameters():
        p.data.mul_(1.5)  # counts as no change for autograd


def _replace(model: SequentialRecommender) -> None:
    weights = {key: value * 1.5 for key, value in model.state_dict().items()}
    model.load_state_dict(weights, assign=True)


@pytest.mark.parametrize("change", [_add, _behind, _replace])
@ONE
def test_weights_changed_between_steps_are_seen(
    name: str, change: Callable[[SequentialRecommender], None]
) -> None:
    model, item = _build(name), torch.tensor([3])
    with torch.inference_mode():
        before, _ = model.step(item, model.init_state(1))
    change(model)
    with torch.inference_mode():
        after, _ = model.step(item, model.init_state(1))
        full = model.encode(item[:, None], torch.tensor([1]))[:, 0]
    assert not torch.allclose(before, after, atol=1e-3)
    torch.testing.assert_close(after, full, rtol=1e-4, atol=2e-5)


@ONE
def test_a_copy_has_weights_of_its_own(name: str) -> None:
    model, item = _build(name), torch.tensor([3])
    with torch.inference_mode():
        before, _ = model.step(item, model.init_state(1))
    other = copy.deepcopy(model)
    _add(other)
    with torch.inference_mode():
        assert torch.equal(model.step(item, model.init_state(1))[0], before)
        assert not torch.allclose(other.step(item, other.init_state(1))[0], before, atol=1e-3)


@ONE
@torch.inference_mode()
def test_where_the_kernel_does_not_fit_the_layers_do_it(name: str) -> None:
    model, item = _build(name).double(), torch.tensor([3])
    hidden, _ = model.step(item, model.init_state(1))
    assert hidden.dtype == torch.float64
    model = _build(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed, _ = model.step(item, model.init_state(1))
    exact, _ = model.step(item, model.init_state(1))
    torch.testing.assert_close(mixed.float(), exact, rtol=0.1, atol=0.1)


@ONE
@torch.inference_mode()
def test_on_another_device_the_kernel_is_not_even_loaded(name: str) -> None:
    model = _build(name)
    assert serves(model)
    with FakeTensorMode():  # a tensor that says that it is on a GPU
        far = torch.nn.Parameter(torch.empty(1, 1, device="cuda"))
    model.item_embedding.weight = far
    assert not serves(model)


@pytest.mark.parametrize("item", [-1, ITEMS + 1, 10**12])
@pytest.mark.parametrize("rows", [1, 9])
@ONE
@torch.inference_mode()
def test_an_item_that_is_none_is_refused(name: str, rows: int, item: int) -> None:
    model = _build(name)
    items = torch.ones(rows, dtype=torch.int64)
    items[-1] = item
    with pytest.raises(IndexError):
        model.step(items, model.init_state(rows))


@ONE
@torch.inference_mode()
def test_the_number_of_threads_changes_no_bit(
    name: str, set_threads: Callable[[int], None]
) -> None:
    model, item_seq, results = _build(name), _events(40, 5), []
    for threads in (1, 2):
        set_threads(threads)
        state = model.init_state(40)
        for position in range(5):
            hidden, state = model.step(item_seq[:, position], state)
        results.append(hidden)
    assert torch.equal(*results)
