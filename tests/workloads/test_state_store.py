"""A store gives back what was put in, user by user, and knows its size."""

from __future__ import annotations

import pytest
import torch

import models
from models.base import SequentialRecommender
from workloads.state_store import StateStore

STATEFUL = [name for name in models.names() if models.get(name).has_step]


def build(name: str) -> SequentialRecommender:
    torch.manual_seed(0)
    return models.get(name)(30, 16).eval()


@pytest.mark.parametrize("name", STATEFUL)
@torch.inference_mode()
def test_users_events_are_served_from_the_store_as_from_whole_histories(name: str) -> None:
    model, item_seq = build(name), torch.randint(1, 31, (4, 6))
    store = StateStore(model)
    store.put([10, 11, 12, 13], model.prefill(item_seq[:, :3], torch.full((4,), 3)))
    for position in range(3, 6):  # users come in pairs, the pairs in turn
        for pair in ([13, 11], [10, 12]):
            rows = [user - 10 for user in pair]
            hidden, after = model.step(item_seq[rows, position], store.get(pair))
            store.put(pair, after)
            full = model.encode(item_seq[rows, : position + 1], torch.full((2,), position + 1))
            torch.testing.assert_close(hidden, full[:, position], rtol=1e-5, atol=1e-5)
    assert len(store) == 4


@pytest.mark.parametrize("length", [5, 16])
@pytest.mark.parametrize("name", STATEFUL)
@torch.inference_mode()
def test_the_stores_size_is_that_of_its_states(name: str, length: int) -> None:
    model = build(name)
    store = StateStore(model)
    store.put([0], model.prefill(torch.ones(1, length, dtype=torch.int64), torch.tensor([length])))
    for user in range(1, 100):
        store.copy(0, user)
    analytic = 100 * model.state_bytes(length)
    assert analytic < store.num_bytes < analytic + 100 * 80
    assert store.users_per_gb == pytest.approx(1e11 / store.num_bytes)


def test_a_user_who_was_never_there_has_no_state() -> None:
    with pytest.raises(KeyError):
        StateStore(build("gru4rec")).get([5])
