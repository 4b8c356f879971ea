"""A wrong kernel or a wrong step is found before anything is timed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import data
import models.mamba4rec
import models.sasrec
from data.batches import Batch
from measure.ranking import ranks
from models import pre_norm_layer
from models.base import NotSupported
from workloads import checks
from workloads.checks import (
    check_kernels,
    check_padding,
    check_ranks,
    check_step,
    check_training,
)
from workloads.rank_all import RankAll
from workloads.reference import Incorrect
from workloads.setting import Setting, check_device


def test_right_kernels_and_steps_pass(setting: Callable[..., Setting]) -> None:
    for name in models.names():
        given = setting(name)
        model = given.make_model()
        check_kernels(model, given)
        if model.has_step:
            check_step(model, given)
        assert model.training


def test_a_kernel_that_is_off_by_a_thousandth_is_incorrect(
    setting: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    true_scan = models.mamba.selective_scan

    def wrong_scan(*args: Any, backend: str, **how: Any) -> Any:
        y = true_scan(*args, backend=backend, **how)
        return y if backend == "reference" else y + 1e-3 * y.abs().mean()

    monkeypatch.setattr(models.mamba, "selective_scan", wrong_scan)
    given = setting("mamba4rec")
    with pytest.raises(Incorrect, match=r"numba kernels at \d+ events: differs from the ref"):
        check_kernels(given.make_model(), given)


@pytest.mark.parametrize(
    ("only", "message"),
    [("long", "numba kernels at 300 events"), ("many", "numba kernels at 24 events")],
)
def test_a_kernel_that_is_off_in_long_histories_or_many_rows_alone_is_incorrect(
    only: str, message: str, setting: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no small sample would show: other paths are taken there."""
    true_layer = models.sasrec.first_layer

    def wrong_layer(ids: Tensor, positions: Tensor, offsets: Tensor, *args: Any, **how: Any) -> Any:
        total, normed = true_layer(ids, positions, offsets, *args, **how)
        lengths = offsets.diff()
        taken = int(lengths.max()) > 256 if only == "long" else len(lengths) >= 32
        return total, normed * 1.1 if taken and how["backend"] == "auto" else normed

    monkeypatch.setattr(models.sasrec, "first_layer", wrong_layer)
    given = setting("sasrec", seq_len=400)
    with pytest.raises(Incorrect, match=message):
        check_kernels(given.make_model(), given)


def test_a_gradient_that_is_off_in_long_histories_alone_is_incorrect(
    setting: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    true_attention = pre_norm_layer.attention_packed

    def wrong_attention(qkv: Tensor, offsets: Tensor, **how: Any) -> Tensor:
        mixed = true_attention(qkv, offsets, **how)
        if how["backend"] == "auto" and int(offsets.diff().max()) > 256:
            mixed.register_hook(lambda gradient: gradient * 1.1)
        return mixed

    given = setting("sasrec", seq_len=400)
    check_training(given.make_model(), given)
    monkeypatch.setattr(pre_norm_layer, "attention_packed", wrong_attention)
    with pytest.raises(Incorrect, match="gradient of item_embedding"):
        check_training(given.make_model(), given)


@pytest.mark.parametrize("wrong", [1, 2, 3])
def test_one_batch_at_a_kink_of_relu_is_forgiven_three_are_not(
    wrong: int, setting: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def kinked(model: Any, plain: Any, setting: Any, batch: Batch) -> None:
        seen.append(batch.item_seq)
        if len(seen) <= wrong:
            raise checks._OtherGradient("gradient of a bias")

    monkeypatch.setattr(checks, "_check_gradients", kinked)
    given = setting("sasrec", batch_size=4)
    if wrong == 3:
        with pytest.raises(Incorrect, match="of a bias"):
            check_training(given.make_model(), given)
    else:
        check_training(given.make_model(), given)
        assert len(seen) == wrong + 2
    assert not torch.equal(seen[0], seen[1])


def test_a_loss_that_is_off_in_one_batch_is_not_forgiven(
    setting: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = setting("sasrec", batch_size=4)
    model, calls = given.make_model(), []
    true_loss = model.loss

    def wrong_once(batch: Batch) -> Tensor:
        calls.append(batch)
        return true_loss(batch) * (1.1 if len(calls) == 1 else 1.0)

    monkeypatch.setattr(model, "loss", wrong_once)
    with pytest.raises(Incorrect, match="loss: differs"):
        check_training(model, given)
    assert len(calls) == 1


def test_a_large_catalogue_is_checked_in_few_histories() -> None:
    few = data.load("synthetic_u60_i50_n30", progress=False)
    rows = []
    for items in (50, 10**6):
        log = dataclasses.replace(few, num_items=items)
        rows.append(len(checks._many(Setting("sasrec", log, "all", 24, 8), 0).item_seq))
    assert rows == [40, 9]


def test_a_kernel_that_gives_nan_is_incorrect(
    setting: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    true_scan = models.mamba.selective_scan

    def broken_scan(*args: Any, backend: str, **how: Any) -> Any:
        y = true_scan(*args, backend=backend, **how)
        return y if backend == "reference" else y * float("nan")

    monkeypatch.setattr(models.mamba, "selective_scan", broken_scan)
    given = setting("mamba4rec")
    with pytest.raises(Incorrect, match="differs from the reference by nan"):
        check_kernels(given.make_model(), given)


def test_a_step_that_forgets_is_incorrect(
    setting: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = setting("gru4rec")
    model = given.make_model()
    true_step = model.step

    def forgetful(item: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        hidden, _ = true_step(item, state)
        return hidden, torch.zeros_like(state)

    monkeypatch.setattr(model, "step", forgetful)
    with pytest.raises(Incorrect, match=r"step\(\) at position 1: differs"):
        check_step(model, given)


@pytest.mark.parametrize("seq_len", [1, 3, 200])
@pytest.mark.parametrize("name", models.names())
def test_half_precision_that_forgets_the_past_is_incorrect(
    setting: Callable[..., Setting], name: str, seq_len: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though hidden states of a fresh model are mostly the last event's and the position's."""
    given = setting(name, dtype="bfloat16", seq_len=seq_len)
    model_class = models.get(name)
    true_hidden = model_class.last_hidden
    check_kernels(given.make_model(), given)

    def forgetful(self: Any, item_seq: Tensor, lengths: Tensor) -> Tensor:
        if not torch.is_autocast_enabled("cpu"):
            return true_hidden(self, item_seq, lengths)
        last = torch.arange(item_seq.shape[1]) == lengths[:, None] - 1
        return true_hidden(self, item_seq.where(last, item_seq.clamp_max(1)), lengths)

    monkeypatch.setattr(model_class, "last_hidden", forgetful)
    if seq_len > 1:
        with pytest.raises(Incorrect, match="differs from the reference"):
            check_kernels(given.make_model(), given)


def test_half_precision_on_a_cpu_is_not_supported() -> None:
    with pytest.raises(NotSupported, match="use bfloat16 or float32"):
        check_device("cpu", "float16")
    check_device("cpu", "bfloat16")


@pytest.mark.parametrize("name", models.names())
def test_padding_and_ties_are_as_they_should_be(setting: Callable[..., Setting], name: str) -> None:
    for objective in models.get(name).objectives:
        given = dataclasses.replace(setting(name), objective=objective)
        model = given.make_model()
        check_padding(model, given)
        check_ranks(model, given, ranks, RankAll(given, ranks).batches)


def test_padding_that_is_trained_on_is_incorrect(setting: Callable[..., Setting]) -> None:
    given = setting("gru4rec")
    model = given.make_model()
    true_loss = model.loss

    def loss_with_padding(batch: Any) -> Tensor:
        padding = (batch.targets == 0).float().mean()
        return true_loss(batch) + padding

    model.loss = loss_with_padding  # type: ignore[method-assign]
    with pytest.raises(Incorrect, match="loss with padding: differs"):
        check_padding(model, given)


def test_ties_that_count_in_favour_are_incorrect(
    setting: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    model_class = models.get("gru4rec")
    true_rank = model_class.rank

    def lucky(self: Any, item_seq: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        found = true_rank(self, item_seq, lengths, targets)
        weight = self.output_weight()
        level = bool((weight[1:] == weight[1]).all())
        return torch.ones_like(found) if level else found

    monkeypatch.setattr(model_class, "rank", lucky)
    with pytest.raises(Incorrect, match="of equal scores the ranks are"):
        RankAll(setting("gru4rec"), ranks).prepare()
