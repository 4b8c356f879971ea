"""Serving from a store answers as from whole histories, whoever comes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import models
from workloads import serve_stored
from workloads.recommend import TOP_K
from workloads.serve_stored import ServeStored
from workloads.setting import Setting

STATEFUL = [name for name in models.names() if models.get(name).has_step]


@pytest.mark.parametrize(("seq_len", "users"), [(1, 1), (2, 3), (12, 2)])
@pytest.mark.parametrize("name", STATEFUL)
def test_a_request_recommends_what_the_users_whole_history_does(
    setting: Callable[..., Setting],
    name: str,
    seq_len: int,
    users: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serve_stored, "_MOST_USERS", 60)
    monkeypatch.setattr(serve_stored, "_PREFILLED", 4)
    workload = ServeStored(setting(name, batch_size=users, seq_len=seq_len))
    workload.prepare()
    assert len(workload.store) == users * workload.groups == 60
    before = {user: workload.store.get([user]) for user in (0, 59)}
    seen = set()
    for index in range(12):
        group = int(workload.draws[index] * workload.groups)
        seen.add(group)
        events = workload.requests.events(index)[:, None]
        kept = [workload.requests.histories(group % 4)] if seq_len > 1 else []
        history = torch.cat([*kept, events], dim=1)
        with torch.inference_mode():
            ids, _ = workload.model.recommend(history, torch.full((users,), seq_len), TOP_K)
            assert torch.equal(workload.answer(index), ids)
    assert len(seen) > 6
    for user, state in before.items():  # and is as long at the next request
        for then, now in zip(
            workload.model.state_tensors(state),
            workload.model.state_tensors(workload.store.get([user])),
            strict=True,
        ):
            assert torch.equal(then, now)
    assert len(workload.after) == users


def test_states_that_are_large_are_fewer(
    setting: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_stored, "_MOST_BYTES", 100_000)
    workload = ServeStored(setting("sasrec", batch_size=1))
    workload.prepare()
    assert 5 < len(workload.store) < 20
    assert workload.store.num_bytes < 100_000
