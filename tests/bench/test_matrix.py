"""Suites become cells; choices narrow and override them; ids are readable and unique."""

from __future__ import annotations

import dataclasses

import pytest

import models
from bench.cell import Cell
from bench.matrix import Block, Choices, cells_of
from bench.suites import SUITES


@pytest.mark.parametrize("suite", list(SUITES))
def test_cell_ids_are_unique_and_short_enough_for_a_file_name(suite: str) -> None:
    cells = cells_of(SUITES[suite], Choices())
    ids = [cell.cell_id for cell in cells]
    assert len(ids) == len(set(ids)) == len({cell.key for cell in cells})
    assert all(len(i) < 150 and "/" not in i for i in ids)


def test_an_id_reads_as_what_it_is() -> None:
    cell = Cell("mamba4rec", "train_epoch", "ml_1m", "all", 200, 256, threads=2, backend="numba")
    assert cell.cell_id == "mamba4rec-ml_1m-train_epoch-all-L200-B256-cpu2-numba"


def test_a_cell_survives_json() -> None:
    cell = Cell("sasrec", "fit", "ml_1m", "last", 50, 8, seed=2, options=(("dropout", 0.4),))
    assert Cell.from_dict(cell.to_dict()) == cell
    assert Cell.from_dict(cell.to_dict()).key == cell.key


def test_every_field_changes_the_key() -> None:
    cell = Cell("sasrec", "fit", "ml_1m", "last", 50, 8)
    others = [
        dataclasses.replace(cell, **{name: value})
        for name, value in (("seq_len", 51), ("seed", 1), ("rounds", 4), ("dtype", "bfloat16"))
    ]
    assert len({c.key for c in [cell, *others]}) == 5


def test_a_path_becomes_a_readable_part_of_the_id() -> None:
    one = Cell("sasrec", "fit", "/a/my log.csv", "all", 50, 8).cell_id
    two = Cell("sasrec", "fit", "/b/my log.csv", "all", 50, 8).cell_id
    assert one.startswith("sasrec-my_log_")
    assert one != two


def test_choices_override_lengths_batches_seeds_and_data() -> None:
    choices = Choices(
        models=("sasrec",),
        datasets=("ml_1m",),
        workloads=("fit",),
        seq_lens=(33,),
        batch_sizes=(7,),
        seeds=(4, 5),
    )
    cells = cells_of(SUITES["quick"], choices)
    assert [(c.model, c.dataset, c.seq_len, c.batch_size, c.seed) for c in cells] == [
        ("sasrec", "ml_1m", 33, 7, 4),
        ("sasrec", "ml_1m", 33, 7, 5),
    ]


def test_every_model_trains_by_an_objective_that_it_has() -> None:
    for suite, regime in (("quick", "all"), ("paper", "last")):
        for cell in cells_of(SUITES[suite], Choices()):
            if cell.workload != "train_epoch":
                continue
            assert cell.objective in models.get(cell.model).objectives
            if regime in models.get(cell.model).objectives:
                assert cell.objective == regime


def test_kernels_of_a_gpu_are_asked_of_models_with_a_scan() -> None:
    for wanted, of_the_others in (
        ("numba", "numba"), ("torch", "torch"), ("cuda", "torch"), ("reference", "reference")
    ):  # fmt: skip
        cells = cells_of(SUITES["quick"], Choices(backend=wanted, workloads=("fit",)))
        backends = {cell.model: cell.backend for cell in cells}
        assert backends["mamba4rec"] == wanted
        assert backends["sasrec"] == of_the_others


def test_stateful_blocks_leave_out_models_without_state() -> None:
    block = Block("serve_step", (8,), ("synthetic",), stateful=True)
    found = {cell.model for cell in cells_of((block,), Choices())}
    assert found == {name for name in models.names() if models.get(name).has_step}


def test_equal_tokens_make_batches_smaller_as_histories_grow() -> None:
    cells = cells_of((Block("train_epoch", (50, 4096), ("x",), tokens=8192),), Choices())
    assert {(c.seq_len, c.batch_size) for c in cells} == {(50, 163), (4096, 2)}


def test_sparse_amazon_sets_get_the_papers_dropout() -> None:
    cells = cells_of(SUITES["paper"], Choices())
    dropout = {c.dataset: dict(c.options).get("dropout") for c in cells}
    assert dropout == {"ml_1m": None, "amazon_beauty": 0.4, "amazon_video_games": 0.4}


def test_requests_last_a_time_unless_their_number_is_asked_for() -> None:
    blocks = (Block("recommend", (50,), requests=100, round_seconds=1.0),)
    (cell,) = cells_of(blocks, Choices(models=("sasrec",)))
    assert (cell.requests, cell.round_seconds) == (100, 1.0)
    (cell,) = cells_of(blocks, Choices(models=("sasrec",), requests=7))
    assert (cell.requests, cell.round_seconds) == (7, None)
    (cell,) = cells_of(blocks, Choices(models=("sasrec",), scenarios=("server",)))
    assert (cell.requests, cell.round_seconds) == (3000, None)


def test_fits_alone_are_given_epochs_and_patience() -> None:
    quick = cells_of(SUITES["quick"], Choices(max_epochs=40, patience=5))
    told = {(c.workload == "fit", c.max_epochs, c.patience) for c in quick}
    assert told == {(True, 40, 5), (False, 0, 0)}
    (fit,) = cells_of(SUITES["quick"], Choices(models=("sasrec",), workloads=("fit",)))
    assert (fit.max_epochs, fit.patience) == (6, 6)


def test_processes_are_pooled_where_requests_come_one_after_the_other() -> None:
    serving = cells_of(SUITES["serving"], Choices())
    assert {c.processes for c in serving if c.scenario == "single_stream"} == {5}
    assert {c.processes for c in serving if c.scenario != "single_stream"} == {1}
    quick = cells_of(SUITES["quick"], Choices(processes=3))
    told = {(c.workload, c.processes) for c in quick}
    assert {("recommend", 3), ("serve_step", 3), ("train_epoch", 1), ("load", 1)} <= told
