"""One user's history by a program of kernel calls: the same as by the reference, at any length."""

from __future__ import annotations

import copy

import pytest
import torch

import models
from models import programs
from models.base import SequentialRecommender

NUM_ITEMS, MAX_LEN = 300, 40
WITH_PROGRAM = [name for name in models.names() if models.get(name).has_program]


def pair(name: str, num_layers: int = 2) -> tuple[SequentialRecommender, SequentialRecommender]:
    """A model and the plain reference with the same weights."""
    torch.manual_seed(0)
    model_class = models.get(name)
    config = model_class.Config(num_layers=num_layers)
    fast = model_class(NUM_ITEMS, MAX_LEN, config, backend="auto").eval()
    plain = model_class(NUM_ITEMS, MAX_LEN, config, backend="reference").eval()
    plain.load_state_dict(fast.state_dict())
    return fast, plain


def history(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randint(1, NUM_ITEMS + 1, (1, length)), torch.tensor([length])


def assert_equal(fast: SequentialRecommender, plain: SequentialRecommender, length: int) -> None:
    given = history(length)
    with torch.inference_mode():
        got, want = fast.last_hidden(*given), plain.last_hidden(*given)
        assert programs.last_hidden(fast, *given) is not None
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 17, 32, 39, MAX_LEN])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("name", WITH_PROGRAM)
def test_a_program_equals_the_reference(name: str, num_layers: int, length: int) -> None:
    fast, plain = pair(name, num_layers)
    for _ in range(2):  # written, then run again with other events
        assert_equal(fast, plain, length)


@pytest.mark.parametrize("name", WITH_PROGRAM)
def test_padding_behind_the_history_is_not_read(name: str) -> None:
    fast, _ = pair(name)
    item_seq, lengths = history(9)
    padded = torch.nn.functional.pad(item_seq, (0, 7), value=5)
    with torch.inference_mode():
        got, want = fast.last_hidden(padded, lengths), fast.last_hidden(item_seq, lengths)
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("name", WITH_PROGRAM)
def test_a_result_stays_when_the_next_request_comes(name: str) -> None:
    fast, _ = pair(name)
    with torch.inference_mode():
        first = fast.last_hidden(*history(9))
        kept = first.clone()
        fast.last_hidden(*history(9))
    assert torch.equal(first, kept)


@pytest.mark.parametrize("name", WITH_PROGRAM)
def test_new_weights_are_noticed(name: str) -> None:
    fast, plain = pair(name)
    assert_equal(fast, plain, 9)
    for model in (fast, plain):
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(1.1)
    assert_equal(fast, plain, 9)
    other, _ = pair(name)
    with torch.no_grad():
        other.item_embedding.weight[1:].normal_()
    for model in (fast, plain):
        model.load_state_dict(other.state_dict())
    assert_equal(fast, plain, 9)


@pytest.mark.parametrize("name", WITH_PROGRAM)
def test_a_copy_has_programs_of_its_own(name: str) -> None:
    fast, plain = pair(name)
    assert_equal(fast, plain, 9)
    twin = copy.deepcopy(fast)
    with torch.no_grad():
        for weight in fast.parameters():
            weight.zero_()
    assert_equal(twin, plain, 9)


@pytest.mark.parametrize("name", WITH_PROGRAM)
def test_training_and_gradients_do_without(name: str) -> None:
    fast, _ = pair(name)
    assert programs.last_hidden(fast, *history(5)) is None  # gradients are on
    fast.train()
    with torch.no_grad():
        assert programs.last_hidden(fast, *history(5)) is None
    fast.eval()
    with torch.no_grad():
        two = torch.ones(2, 5, dtype=torch.int64)
        assert programs.last_hidden(fast, two, torch.tensor([5, 5])) is None


@pytest.mark.parametrize("name", WITH_PROGRAM)
def test_an_unknown_item_is_refused(name: str) -> None:
    fast, _ = pair(name)
    with torch.inference_mode(), pytest.raises(IndexError, match="ids must lie in"):
        fast.last_hidden(torch.tensor([[1, NUM_ITEMS + 9]]), torch.tensor([2]))
