"""Fitting stops early, keeps the best weights, and its accuracy is that of what was saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import data
import models
import workloads.fit
from data.batches import eval_batches
from measure.ranking import METRICS, ranks
from workloads.fit import Course, Fit
from workloads.rank_all import RankAll
from workloads.reference import Incorrect
from workloads.setting import Setting


def ndcg(found: torch.Tensor) -> float:
    return float(METRICS["ndcg"](found, 10).mean())


def make_fit(setting: Setting, path: Path, **given: int) -> Fit:
    limits = {"max_epochs": 3, "patience": 3} | given
    fit = Fit(setting, ranks, ndcg, path=path, **limits)
    fit.prepare()
    return fit


def popularity_ranks(setting: Setting) -> torch.Tensor:
    """Ranks of the test items when everybody is shown what is taken most."""
    split = setting.interactions.split("train")
    taken = torch.zeros(setting.interactions.num_items + 1)
    for start, end in zip(split.starts, split.ends, strict=True):
        taken += torch.bincount(
            torch.from_numpy(split.items[start:end]).long(), minlength=len(taken)
        )
    batches = eval_batches(setting.interactions, part="test", seq_len=4, batch_size=512)
    return torch.cat([ranks(taken.expand(len(b.targets), -1), b.targets) for b in batches])


@pytest.mark.parametrize("name", models.names())
def test_ranking_by_batches_equals_ranking_one_by_one(
    setting: Callable[..., Setting], name: str
) -> None:
    whole = RankAll(setting(name, batch_size=512), ranks)
    single = RankAll(setting(name, batch_size=1), ranks)
    whole.prepare()
    single.prepare()
    assert torch.allclose(whole.run(), single.run())


def test_the_last_items_are_what_is_ranked(setting: Callable[..., Setting]) -> None:
    workload = RankAll(setting("gru4rec"), ranks, part="valid")
    interactions = workload.setting.interactions
    targets = torch.cat([b.targets for b in workload.batches])
    expected = [
        int(interactions.items[end - 2])
        for start, end in zip(interactions.offsets[:-1], interactions.offsets[1:], strict=True)
        if end - start >= 3
    ]
    assert sorted(targets.tolist()) == sorted(expected)


def test_training_stops_after_patience_and_keeps_the_best(
    setting: Callable[..., Setting], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = make_fit(setting("gru4rec"), tmp_path / "w.pt", max_epochs=20, patience=2)
    scores = iter([0.1, 0.3, 0.2, 0.25, 0.9])
    monkeypatch.setattr(fit, "score", lambda _: next(scores))
    course = fit.run()
    assert course.scores == [0.1, 0.3, 0.2, 0.25]
    assert course.best_epoch == 2


@pytest.mark.parametrize("name", models.names())
def test_what_a_seed_learns_does_not_depend_on_what_the_checks_draw(
    setting: Callable[..., Setting], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def losses(seed: int) -> list[float]:
        return make_fit(setting(name, seed=seed), tmp_path / "w.pt").run().losses

    expected = losses(3)
    true_check = workloads.fit.check_ranks

    def drawing_check(*args: Any) -> None:
        true_check(*args)
        torch.rand(7)

    monkeypatch.setattr(workloads.fit, "check_ranks", drawing_check)
    assert losses(3) == expected
    assert losses(4) != expected


def test_the_first_of_equal_scores_is_the_best_epoch() -> None:
    assert Course(scores=[0.2, 0.3, 0.3]).best_epoch == 2


def test_weights_that_score_otherwise_once_loaded_are_incorrect(
    setting: Callable[..., Setting], tmp_path: Path
) -> None:
    fit = make_fit(setting("gru4rec"), tmp_path / "w.pt")
    course = fit.run()
    content = torch.load(fit.path, weights_only=True)
    content["state"]["dense.weight"].zero_()
    torch.save(content, fit.path)
    with pytest.raises(Incorrect, match="saved weights score"):
        fit.test_ranks(course)


@pytest.mark.slow
@pytest.mark.parametrize("name", models.names())
def test_a_trained_model_beats_popularity_by_a_wide_margin(tmp_path: Path, name: str) -> None:
    made = Setting(
        name,
        data.load("synthetic_u300_i200_n40"),
        models.get(name).objectives[0],
        seq_len=40,
        batch_size=32,
    )
    epochs = 45 if name == "bert4rec" else 15  # the cloze task is slow to learn
    fit = make_fit(made, tmp_path / "w.pt", max_epochs=epochs, patience=epochs)
    course = fit.run()
    assert course.losses[-1] < course.losses[0]
    reached = ndcg(fit.test_ranks(course))
    assert reached > 2 * ndcg(popularity_ranks(made))
