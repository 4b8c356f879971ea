"""Requests are as long as they say; recommending and stepping give the same answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import models
from data.interactions import DataError, Interactions
from models.base import NotSupported
from workloads.recommend import TOP_K, Recommend
from workloads.reference import Incorrect
from workloads.requests import Requests
from workloads.serve_step import ServeStep
from workloads.setting import Setting

STATEFUL = [name for name in models.names() if models.get(name).has_step]


@pytest.mark.parametrize("seq_len", [1, 7, 1000])
def test_a_request_is_exactly_as_long_as_its_label(
    interactions: Interactions, seq_len: int
) -> None:
    requests = Requests(interactions, seq_len=seq_len, batch_size=3, seed=0)
    for index in range(5):
        histories = requests.histories(index)
        assert histories.shape == (3, seq_len)
        assert histories.dtype == torch.int64
        assert int(histories.min()) >= 1
    start = int(requests.starts[0, 0])
    expected = interactions.items[start : start + seq_len + 1]
    got = np.append(requests.histories(0)[0].numpy(), requests.events(0)[0])
    assert got.tolist() == expected.tolist()


def test_requests_are_the_same_in_every_run_and_differ_by_seed(interactions: Interactions) -> None:
    one, two, other = (Requests(interactions, seq_len=5, batch_size=2, seed=s) for s in (0, 0, 1))
    assert torch.equal(one.histories(3), two.histories(3))
    assert not torch.equal(one.histories(3), other.histories(3))


def test_a_request_longer_than_the_log_is_refused(interactions: Interactions) -> None:
    with pytest.raises(DataError, match="are too few for requests of length"):
        Requests(interactions, seq_len=10**6, batch_size=1, seed=0)


@pytest.mark.parametrize("name", models.names())
def test_a_request_returns_the_top_10_of_every_user(
    setting: Callable[..., Setting], name: str
) -> None:
    workload = Recommend(setting(name, batch_size=3))
    workload.prepare()
    ids = workload.request(0)
    assert ids.shape == (3, TOP_K)
    assert all(len(set(row)) == TOP_K for row in ids.tolist())
    assert not ids.is_cuda
    assert workload.flops() > 0


@pytest.mark.parametrize("seq_len", [1, 2, 12])
@pytest.mark.parametrize("name", STATEFUL)
def test_a_step_recommends_what_the_whole_history_does(
    setting: Callable[..., Setting], name: str, seq_len: int
) -> None:
    workload = ServeStep(setting(name, batch_size=1, seq_len=seq_len))
    workload.prepare()
    if seq_len == 1:
        history = workload.requests.events(0)[:, None]
    else:
        history = torch.cat(
            (workload.requests.histories(0), workload.requests.events(0)[:, None]), dim=1
        )
    with torch.inference_mode():
        ids, _ = workload.model.recommend(history, torch.tensor([seq_len]), TOP_K)
    assert torch.equal(workload.request(0), ids)


@pytest.mark.parametrize("name", STATEFUL)
def test_requests_do_not_change_the_state(setting: Callable[..., Setting], name: str) -> None:
    workload = ServeStep(setting(name, batch_size=2))
    workload.prepare()
    first = workload.request(0)
    workload.request(1)
    assert torch.equal(workload.request(0), first)
    assert workload.state_bytes() == workload.model.state_bytes(workload.setting.seq_len - 1)


def test_a_model_without_state_cannot_serve_steps(setting: Callable[..., Setting]) -> None:
    with pytest.raises(NotSupported, match="recompute with encode"):
        ServeStep(setting("bert4rec")).prepare()


@pytest.mark.parametrize("seq_len", [1, 2, 12])
@pytest.mark.parametrize("name", STATEFUL)
def test_a_state_that_loses_something_on_its_way_is_incorrect(
    setting: Callable[..., Setting], name: str, seq_len: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = ServeStep(setting(name, batch_size=2, seq_len=seq_len))
    workload.prepare()
    whole = type(workload.model).state_from_tensors
    monkeypatch.setattr(
        type(workload.model),
        "state_from_tensors",
        lambda self, tensors: whole(self, [1.5 * t + 0.1 for t in tensors]),
    )
    if name == "sasrec" and seq_len == 1:
        return  # an empty cache has nothing to lose
    with pytest.raises(Incorrect, match="a step from a restored state"):
        ServeStep(setting(name, batch_size=2, seq_len=seq_len)).prepare()


def test_a_state_of_another_size_than_the_formula_says_is_incorrect(
    setting: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.get("gru4rec"), "state_bytes", lambda self, seq_len: 500)
    with pytest.raises(Incorrect, match=r"takes 512 bytes, state_bytes\(\) says 500"):
        ServeStep(setting("gru4rec")).prepare()


def test_half_precision_is_served_from_restored_states_too(
    setting: Callable[..., Setting],
) -> None:
    for name in STATEFUL:
        ServeStep(setting(name, batch_size=2, dtype="bfloat16")).prepare()
