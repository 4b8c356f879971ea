"""FLOPs by formula are what torch's counter counts on plain layers; bytes are counted by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import models
from models.base import SequentialRecommender
from models.ops.attention import key_flops
from workloads.cost import forward_cost, step_cost, training_cost

USERS, LENGTH, ITEMS = 4, 16, 100  # 64 rows: packing rounds the rows up to a multiple of 8


def make(name: str) -> Any:
    # Plain layers, and attention as products, which the counter knows; it knows no fused kernel.
    return models.get(name)(ITEMS, LENGTH, backend="reference").eval()


@contextmanager
def counting() -> Iterator[FlopCounterMode]:
    with (
        FlopCounterMode(display=False) as counter,
        torch.no_grad(),
        sdpa_kernel(SDPBackend.MATH),
    ):
        yield counter


def encode(model: Any) -> None:
    seq = torch.randint(1, ITEMS + 1, (USERS, LENGTH))
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        model.encode(seq, torch.full((USERS,), LENGTH))


class ScanCounter(TorchDispatchMode):
    """Counts elementary operations on tensors (B, D, N): those of the scan's state."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.seen = shape, dict[str, int]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        shapes = [tuple(a.shape) for a in args if isinstance(a, torch.Tensor)]
        of_state = isinstance(out, torch.Tensor) and tuple(out.shape) == self.shape
        if of_state or (func.__name__.startswith("sum") and self.shape in shapes):
            name = func.__name__.partition(".")[0]
            self.seen[name] = self.seen.get(name, 0) + 1
        return out


@pytest.mark.parametrize("name", ["sasrec", "bert4rec", "gru4rec"])
def test_flops_are_those_that_the_counter_counts(name: str) -> None:
    model = make(name)
    with FlopCounterMode(display=False) as counter:
        encode(model)
    assert counter.get_total_flops() == model.flops(USERS, LENGTH)


def test_mambas_flops_are_the_counters_and_eight_for_each_element_of_the_state() -> None:
    model = make("mamba4rec")
    cfg = model.config
    inner = cfg.expand * cfg.hidden_size
    with FlopCounterMode(display=False) as counter:
        encode(model)
    scan = 8 * USERS * LENGTH * inner * cfg.d_state * cfg.num_layers
    assert counter.get_total_flops() + scan == model.flops(USERS, LENGTH)
    with ScanCounter((USERS, inner, cfg.d_state)) as states:
        encode(model)
    each = {name: count / LENGTH for name, count in states.seen.items()}
    # delta A and its exp, times B, decay times state and the sum, times C and its sum: the eighth
    # is delta times u, which the plain lines compute once a channel and the formula per element.
    assert each["exp"] == each["sum"] == each["add"] == 1
    assert each["mul"] == 4


def test_the_output_layer_is_a_product() -> None:
    model = make("sasrec")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.score_hidden(torch.zeros(USERS, model.config.hidden_size))
    assert counter.get_total_flops() == model.output_flops(USERS)


def test_padding_costs_nothing() -> None:
    model = make("sasrec")
    mixed = forward_cost(model, np.array([3, 5, 5]))
    one = [forward_cost(model, np.array([n])) for n in (3, 5, 5)]
    assert mixed.flops == sum(cost.flops for cost in one)
    assert mixed.flops < forward_cost(model, np.array([5, 5, 5])).flops


def test_bytes_of_a_request_by_hand() -> None:
    model = make("sasrec")
    width, layers = model.config.hidden_size, model.config.num_layers
    weights = 4 * model.num_parameters()
    borders, rows = 2 * 7 * width * 4 * layers, 7 * (8 + 4 * width)
    assert forward_cost(model, np.array([7])).bytes == weights + borders + rows


def test_bytes_of_an_epoch_by_hand() -> None:
    model = make("gru4rec")
    width, layers = model.config.hidden_size, model.config.num_layers
    cost = training_cost(model, np.array([4, 6]), targets=10, steps=3)
    weights = 10 * 4 * model.num_parameters() * 3
    assert cost.bytes == weights + 10 * (5 * width * 4 * layers + 8 + 4 * width)
    assert cost.flops == 3 * (model.flops(1, 4) + model.flops(1, 6) + model.output_flops(10))
    assert cost.working_set == cost.bytes // 3


def test_a_mask_tokens_row_is_not_scored() -> None:
    model = make("bert4rec")
    width = model.config.hidden_size
    masked = forward_cost(model, np.array([1])).bytes
    rest = 2 * width * 4 * model.config.num_layers + 8 + 4 * width
    assert masked == 4 * (model.num_parameters() - width) + rest


def test_a_step_moves_its_state() -> None:
    recurrent, cached = make("gru4rec"), make("sasrec")
    rest = {m: 4 * m.num_parameters() + 4 * m.config.hidden_size + 8 for m in (recurrent, cached)}
    assert step_cost(recurrent, 1, 9).bytes == rest[recurrent] + 2 * recurrent.state_bytes(9)
    # Eight events are read, and the ninth's keys and values written.
    assert step_cost(cached, 1, 9).bytes == rest[cached] + cached.state_bytes(9)


def test_the_epochs_lengths_are_its_rows(interactions: Any) -> None:
    from data.batches import train_batches

    for objective in ("last", "all", "cloze"):
        batches = train_batches(interactions, objective=objective, seq_len=8, batch_size=16, seed=0)
        seen = torch.cat([batch.lengths for batch in batches]).sort().values
        assert torch.equal(torch.from_numpy(np.sort(batches.lengths())), seen)
        assert int(batches.lengths().sum()) == batches.num_events


class TestNeeded:
    """`needed_flops`: what an answer can't do without."""

    def test_a_causal_transformer_needs_what_its_steps_cost(self) -> None:
        model = make("sasrec")
        state = model.init_state(1)
        with counting() as counter:
            for item in range(1, LENGTH + 1):
                _, state = model.step(torch.tensor([item]), state)
        assert counter.get_total_flops() == model.needed_flops(LENGTH, LENGTH)

    @pytest.mark.parametrize("name", ["bert4rec", "gru4rec", "mamba4rec"])
    def test_all_positions_need_the_full_pass(self, name: str) -> None:
        model = make(name)
        assert model.needed_flops(LENGTH, LENGTH) == model.flops(1, LENGTH)

    @pytest.mark.parametrize("name", ["sasrec", "bert4rec", "gru4rec", "mamba4rec"])
    def test_the_last_position_needs_what_a_pass_at_it_computes(self, name: str) -> None:
        model = make(name)
        length = LENGTH - (name == "bert4rec")  # its mask comes behind
        seq = torch.randint(1, ITEMS + 1, (USERS, length))
        with counting() as counter:
            model.last_hidden(seq, torch.full((USERS,), length))
        cfg, more = model.config, 0
        if name == "sasrec":  # as plain products, the first layer's attention sees the future too
            more = 4 * cfg.hidden_size * (length - 1) * length // 2
        if name in ("sasrec", "bert4rec"):  # it makes the keys and values that can be absorbed
            more += 4 * cfg.hidden_size**2 * LENGTH
            more -= key_flops(LENGTH, 1, cfg.hidden_size, cfg.num_heads)
        if name == "mamba4rec":
            state = cfg.expand * cfg.hidden_size * cfg.d_state
            # The counter sees no scan (six an element, two more for the output at the end), but
            # the product that makes C, at all events and not at the last alone.
            more = (length - 1) * 2 * state - (6 * length + 2) * state
        assert counter.get_total_flops() == USERS * (model.needed_flops(LENGTH, 1) + more)

    def test_a_model_without_its_own_count_needs_all(self) -> None:
        model = make("gru4rec")
        assert SequentialRecommender.needed_flops(model, LENGTH, 1) == model.flops(1, LENGTH)

    def test_an_objectives_targets_say_at_which_positions_it_asks(self) -> None:
        model, lengths = make("sasrec"), np.array([4, 6])
        ends = training_cost(model, lengths, targets=2, steps=1)
        everywhere = training_cost(model, lengths, targets=10, steps=1)
        for cost, outputs, targets in ((ends, (1, 1), 2), (everywhere, (4, 6), 10)):
            needed = sum(model.needed_flops(n, m) for n, m in zip((4, 6), outputs, strict=True))
            assert cost.flops == 3 * (needed + model.output_flops(targets))

    def test_one_query_absorbs_keys_and_many_make_them(self) -> None:
        by_hand = 2 * 2 * 64 * 64 + 2 * 2 * (2 - 1) * 64 * 200  # weights to and from; one more head
        assert key_flops(200, 1, 64, 2) == by_hand
        assert key_flops(200, 200, 64, 2) == 2 * 2 * 64 * 64 * 200
