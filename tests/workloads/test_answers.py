"""Answers that are wrong where no sample of the kernels is are found before they are timed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import models
import models.base
from measure.ranking import ranks
from models import programs
from models.base import SequentialRecommender
from workloads import serve_stored
from workloads.fit import Fit
from workloads.rank_all import RankAll
from workloads.recommend import Recommend
from workloads.reference import Incorrect, some_of
from workloads.serve_step import ServeStep
from workloads.serve_stored import ServeStored
from workloads.setting import Setting

WITH_PROGRAM = [name for name in models.names() if models.get(name).has_program]
SERVING = [Recommend, ServeStep, ServeStored]
Make = Callable[..., Setting]


@pytest.fixture(autouse=True)
def _few_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_stored, "_MOST_USERS", 60)
    monkeypatch.setattr(serve_stored, "_PREFILLED", 2)


def plant_program(
    monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """A single user's hidden state (1, D) becomes wrong(state, lengths)."""
    true_hidden = programs.last_hidden

    def planted(model: Any, item_seq: Tensor, lengths: Tensor) -> Tensor | None:
        hidden = true_hidden(model, item_seq, lengths)
        return None if hidden is None else wrong(hidden, lengths)

    monkeypatch.setattr(programs, "last_hidden", planted)


def plant_top_k(monkeypatch: pytest.MonkeyPatch, wrong: Callable[..., Any]) -> None:
    """`wrong(ids, seen)` instead of the ids of the top-k kernel, which has room for one more."""
    true_top_k = models.base.score_top_k

    def planted(*args: Any, seen: Tensor | None, backend: str) -> tuple[Tensor, Tensor]:
        *operands, k = args
        ids, best = true_top_k(*operands, k + 1, seen=seen, backend=backend)
        return wrong(ids, seen), best[:, :k]

    monkeypatch.setattr(models.base, "score_top_k", planted)


def test_all_models_have_a_program() -> None:
    assert WITH_PROGRAM == ["bert4rec", "gru4rec", "mamba4rec", "sasrec"]


@pytest.mark.parametrize("workload", [Recommend, RankAll])
@pytest.mark.parametrize("name", WITH_PROGRAM)
def test_a_program_that_is_wrong_is_incorrect(
    setting: Make, name: str, workload: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = (ranks,) if workload is RankAll else ()
    given = setting(name, batch_size=1)
    workload(given, *more).prepare()
    plant_program(monkeypatch, lambda hidden, _: -hidden)
    with pytest.raises(Incorrect):
        workload(given, *more).prepare()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", WITH_PROGRAM)
def test_a_program_that_is_wrong_at_some_lengths_is_incorrect(
    setting: Make, name: str, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a hundredth: too little for another item to be recommended."""
    plant_program(
        monkeypatch,
        lambda hidden, lengths: hidden * (1.01 if (int(lengths[0]) == 12) is whole else 1),
    )
    length = 12 if whole else 8
    with pytest.raises(Incorrect, match=f"hidden states of 1 users of up to {length} events"):
        Recommend(setting(name, batch_size=1)).prepare()


@pytest.mark.parametrize("users", [1, 3, 40])
@pytest.mark.parametrize("workload", SERVING)
def test_a_top_k_that_misses_the_best_is_incorrect(
    setting: Make, workload: type, users: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = setting("gru4rec", batch_size=users)
    workload(given).prepare()
    # Of unseen items alone it is right.
    plant_top_k(monkeypatch, lambda ids, seen: ids[:, 1:] if seen is None else ids[:, :-1])
    with pytest.raises(Incorrect, match=f"scores of items for {users} users of 12 events: differs"):
        workload(given).prepare()


@pytest.mark.parametrize("name", models.names())
def test_items_that_are_seen_are_incorrect(
    setting: Make, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keep_one(ids: Tensor, seen: Tensor | None) -> Tensor:
        return ids[:, :-1] if seen is None else torch.cat((seen[:, :1], ids[:, :-2]), 1)

    plant_top_k(monkeypatch, keep_one)
    with pytest.raises(Incorrect, match="unseen items for 1 users of up to 12 events: some are"):
        Recommend(setting(name, batch_size=1)).prepare()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda ids, _: torch.cat((ids[:, :1], ids[:, :-2]), 1), "recommended twice"),
        (lambda ids, _: ids[:, :-1] + 40, "is none of 1 to 40"),
        (lambda ids, _: ids[:, :-1] * (torch.arange(10) < 9), "some are left out wrongly"),
        (lambda ids, _: ids[:, :-1].flip(1), "differs"),
    ],
)
def test_lists_that_are_no_lists_of_the_best_are_incorrect(
    setting: Make, wrong: Callable[..., Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_top_k(monkeypatch, wrong)
    with pytest.raises(Incorrect, match=message):
        Recommend(setting("sasrec", batch_size=2)).prepare()


def test_items_of_equal_scores_may_change_places(
    setting: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = setting("sasrec", batch_size=2)
    workload, true_model = Recommend(given), Setting.make_model

    def doubled(self: Setting) -> SequentialRecommender:
        model = true_model(self)
        with torch.no_grad():  # item 2 i scores as item 2 i - 1
            model.item_embedding.weight[2::2] = model.item_embedding.weight[1::2]
        return model

    monkeypatch.setattr(Setting, "make_model", doubled)
    plant_top_k(
        monkeypatch,
        lambda ids, seen: (
            ids[:, :-1] if seen is not None else ids[:, [1, 0, 3, 2, 5, 4, 7, 6, 9, 8]]
        ),
    )
    workload.prepare()


def test_another_number_of_users_is_checked_too(
    setting: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = Recommend(setting("gru4rec", batch_size=1))
    workload.prepare()
    workload.of_size(36)
    plant_top_k(monkeypatch, lambda ids, _: ids[:, 1:] if len(ids) > 32 else ids[:, :-1])
    workload.of_size(4)
    with pytest.raises(Incorrect, match="36 users of 12 events"):
        workload.of_size(36)


@pytest.mark.parametrize("name", models.names())
def test_bfloat16_is_checked_as_it_is_timed(
    setting: Make, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hidden states that are wrong under autocast only."""
    given = setting(name, dtype="bfloat16", batch_size=3)
    made: list[Any] = [
        lambda: Recommend(given),
        lambda: RankAll(given, ranks),
        lambda: Fit(given, ranks, float, max_epochs=1, patience=1, path=Path("w.pt")),
    ]
    for make in made:
        make().prepare()
    model_class = models.get(name)
    true_hidden = model_class.last_hidden

    def planted(self: SequentialRecommender, *given: Tensor) -> Tensor:
        hidden = true_hidden(self, *given)
        return -hidden if torch.is_autocast_enabled("cpu") else hidden

    monkeypatch.setattr(model_class, "last_hidden", planted)
    for make in made:
        with pytest.raises(Incorrect):
            make().prepare()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("last", [True, False])
def test_ranks_of_a_batch_that_are_off_are_incorrect(
    setting: Make, dtype: str, last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = setting("sasrec", dtype=dtype, batch_size=64)
    sizes = [len(batch.targets) for batch in RankAll(given, ranks).batches]
    assert sizes == [64, 16]
    true_rank = models.base.rank_of_target

    def planted(*args: Any, backend: str) -> Tensor:
        found = true_rank(*args, backend=backend)
        return 41 - found if len(found) == sizes[-last] else found

    RankAll(given, ranks).prepare()
    monkeypatch.setattr(models.base, "rank_of_target", planted)
    with pytest.raises(Incorrect, match="a rank is"):
        RankAll(given, ranks).prepare()


def test_users_who_stand_for_all_are_spread_and_fewer_of_long_histories_and_large_catalogues() -> (
    None
):
    assert some_of(5, events=50, items=100).tolist() == [0, 1, 2, 3, 4]
    assert some_of(1, events=50, items=100).tolist() == [0]
    assert some_of(65, events=200, items=100).tolist()[::19] == [0, 64]
    assert some_of(65, events=10**5, items=100).tolist() == [0, 64]
    assert len(some_of(4096, events=1, items=2**25 // 8)) == 7
