"""How suites become cells: a block is a full product, and the command line's choices narrow or
override it.

`cells_of("quick", Choices(...))` expands a suite of bench/suites.py.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import models
from bench.cell import Cell
from bench.equal_work import EqualWork
from data.batches import Objective

NO_MODEL = "none"  # the `load` workload has none
# `efficient`: one pass over each history; `paper`: every prefix is a sample (see data/batches.py).
REGIMES: dict[str, Objective] = {"efficient": "all", "paper": "last"}
# The paper's dropout for the sparse Amazon sets (arXiv 2403.03900, section 4).
SPARSE = {"amazon_beauty": (("dropout", 0.4),), "amazon_video_games": (("dropout", 0.4),)}


# How requests come: one after the other, all at once, or as users send them (bench/under_load.py).
SINGLE_STREAM = "single_stream"
SCENARIOS = {
    "recommend": (SINGLE_STREAM, "offline", "server"),
    "serve_step": (SINGLE_STREAM, "server"),
}
_FEWEST = {"offline": 2048, "server": 3000}  # requests, where the suite has fewer
_OFFLINE_BATCH = 1024  # the largest tried


@dataclass(frozen=True)
class Block:
    """A full product of all models, datasets, lengths, batch sizes and seeds for one workload.

    Args:
        stateful: only for models that keep a state between events.
        scenarios: how requests come, of SCENARIOS; `latency_target` in seconds for `server`.
        processes: whose latencies are pooled, where requests come one after the other.
        tokens: where set, a batch has about so many events, so that every length has equal work
            (bench/equal_work.py), up to the length that holds the longest history.
    """

    workload: str
    seq_lens: tuple[int, ...]
    datasets: tuple[str, ...] = ("auto",)
    stateful: bool = False
    batch_sizes: tuple[int, ...] = (128,)
    seeds: tuple[int, ...] = (0,)
    regime: str = "efficient"
    tokens: int | None = None
    rounds: int = 3
    round_seconds: float | None = None
    requests: int = 0
    processes: int = 1
    scenarios: tuple[str, ...] = (SINGLE_STREAM,)
    latency_target: float | None = None
    max_epochs: int = 0
    patience: int = 0


@dataclass(frozen=True)
class Choices:
    """What the command line narrows or overrides; None leaves the suite's own."""

    models: tuple[str, ...] | None = None
    datasets: tuple[str, ...] | None = None
    workloads: tuple[str, ...] | None = None
    seq_lens: tuple[int, ...] | None = None
    batch_sizes: tuple[int, ...] | None = None
    seeds: tuple[int, ...] | None = None
    max_epochs: int | None = None
    patience: int | None = None
    objective: Objective | None = None
    scenarios: tuple[str, ...] | None = None
    requests: int | None = None
    processes: int | None = None
    rate: float | None = None
    latency_target: float | None = None
    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 1
    backend: str = "auto"
    compile: str = "none"
    min_count: int = 5


def cells_of(
    blocks: tuple[Block, ...], choices: Choices, logs: Mapping[str, EqualWork] | None = None
) -> list[Cell]:
    """The blocks' cells under the choices, in order, each once.

    Args:
        logs: by the data sets' names; without them histories are taken to be as long as L.
    """
    narrowed = [dataclasses.replace(b, scenarios=_scenarios(b, blocks, choices)) for b in blocks]
    made = (_expand(b, choices, logs or {}) for b in narrowed)
    return list(dict.fromkeys(itertools.chain.from_iterable(made)))


def _expand(block: Block, choices: Choices, logs: Mapping[str, EqualWork]) -> Iterator[Cell]:
    if choices.workloads and block.workload not in choices.workloads:
        return
    seq_lens = choices.seq_lens or block.seq_lens
    for seed, scenario, seq_len, dataset, batch_size, model in itertools.product(
        choices.seeds or block.seeds,
        block.scenarios,
        seq_lens,
        choices.datasets or block.datasets,
        choices.batch_sizes or block.batch_sizes,
        _models(block, choices),
    ):
        log = logs.get(dataset) if block.tokens else None
        if log is not None and seq_len not in log.telling(seq_lens):
            continue
        objective = _objective(model, block, choices)
        if block.tokens and not choices.batch_sizes:
            batch_size = max(1, block.tokens // seq_len)
            if log is not None:
                batch_size = log.batch_size(block.tokens, objective, seq_len)
        if scenario == "offline" and not choices.batch_sizes:
            batch_size = _OFFLINE_BATCH
        served = scenario == "server"
        yield Cell(
            model=model,
            workload=block.workload,
            dataset=dataset,
            objective=objective,
            seq_len=seq_len,
            batch_size=batch_size,
            dtype=choices.dtype,
            device=choices.device,
            threads=choices.threads,
            backend=_backend(model, choices.backend),
            compile=choices.compile if model != NO_MODEL else "none",
            seed=seed,
            rounds=block.rounds,
            round_seconds=_round_seconds(block, choices, scenario),
            requests=choices.requests or max(block.requests, _FEWEST.get(scenario, 0)),
            processes=_processes(block, choices, scenario),
            scenario=scenario,
            rate=choices.rate if served else None,
            latency_target=_target(block, choices) if served else None,
            max_epochs=block.max_epochs and (choices.max_epochs or block.max_epochs),
            patience=block.patience and (choices.patience or block.patience),
            min_count=choices.min_count,
            options=SPARSE.get(dataset, ()) if model != NO_MODEL else (),
        )


def _scenarios(block: Block, blocks: tuple[Block, ...], choices: Choices) -> tuple[str, ...]:
    """Those chosen that the workload has, each where the suite has it, else in all of its blocks;
    a workload without requests has none to choose from.
    """
    if choices.scenarios is None:
        return block.scenarios
    alike = [other for other in blocks if other.workload == block.workload]
    return tuple(
        scenario
        for scenario in choices.scenarios
        if scenario in SCENARIOS.get(block.workload, ())
        and (scenario in block.scenarios or not any(scenario in o.scenarios for o in alike))
    )


def _round_seconds(block: Block, choices: Choices, scenario: str) -> float | None:
    """Only requests one after the other last some time, and a number asked for is all there is."""
    if block.requests and (choices.requests or scenario != SINGLE_STREAM):
        return None
    return block.round_seconds


def _processes(block: Block, choices: Choices, scenario: str) -> int:
    pooled = block.workload in SCENARIOS and scenario == SINGLE_STREAM
    return choices.processes or block.processes if pooled else 1


def _target(block: Block, choices: Choices) -> float | None:
    """A rate asked for leaves nothing to search."""
    return None if choices.rate else choices.latency_target or block.latency_target


def _models(block: Block, choices: Choices) -> list[str]:
    if block.workload == "load":
        return [NO_MODEL]
    chosen = list(choices.models or models.names())
    return [name for name in chosen if not block.stateful or models.get(name).has_step]


def _objective(model: str, block: Block, choices: Choices) -> Objective:
    """The one asked for, even where the model has it not (it will say so); else the regime's, for
    which BERT4Rec has a way of its own (cloze).
    """
    usual = REGIMES[block.regime]
    if choices.objective is not None or model == NO_MODEL:
        return choices.objective or usual
    has = models.get(model).objectives
    return usual if usual in has else has[0]


def _backend(model: str, wanted: str) -> str:
    """Models without a scan have no kernel of the name `cuda`: theirs on a GPU are PyTorch's."""
    if model == NO_MODEL:
        return "torch"
    has_scan = "cuda" in models.get(model).backends
    return wanted if has_scan or wanted != "cuda" else "torch"
