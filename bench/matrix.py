"""Which combinations are measured: a cell is one of them, a suite is a named list of cells.

`cells_of("quick", Choices(...))` expands a suite; the choices of the command line narrow it or override.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

MODELS = ("mamba4rec", "sasrec", "bert4rec", "gru4rec")
NO_MODEL = "none"  # the `load` workload has none
DTYPES = ("float32", "bfloat16", "float16")
# `efficient`: one pass over each history; `paper`: every prefix is a sample (see data/batches.py).
REGIMES = {"efficient": "all", "paper": "last"}
# The paper's dropout for the sparse Amazon sets (arXiv 2403.03900, section 4).
SPARSE = {"amazon_beauty": (("dropout", 0.4),), "amazon_video_games": (("dropout", 0.4),)}


@dataclass(frozen=True)
class Cell:
    """One combination: hashable, plain values only, with a readable id.

    Args:
        rounds: times that the timed block is repeated.
        round_seconds: a round stops after about so long and is scaled up to an epoch; None: whole epochs.
        requests: timed requests, for latency.
        max_epochs, patience: for `fit`, in epochs.
        min_count: k of the k-core filter.
        options: the model's own settings that differ from its defaults.
    """

    model: str
    workload: str
    dataset: str
    objective: str
    seq_len: int
    batch_size: int
    dtype: str = "float32"
    device: str = "cpu"
    threads: int = 1
    backend: str = "auto"
    seed: int = 0
    rounds: int = 3
    round_seconds: float | None = None
    requests: int = 0
    max_epochs: int = 0
    patience: int = 0
    min_count: int = 5
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def cell_id(self) -> str:
        """Such as "mamba4rec-ml_1m-train_epoch-all-L200-B256-cpu2-auto"; unique within a suite."""
        where = f"{self.device.replace(':', '')}{self.threads if self.device == 'cpu' else ''}"
        parts = [self.model, _slug(self.dataset), self.workload]
        if self.workload in ("train_epoch", "fit"):
            parts.append(self.objective)
        parts += [f"L{self.seq_len}", f"B{self.batch_size}", where, self.backend]
        if self.dtype != "float32":
            parts.append(self.dtype)
        if self.workload == "fit" or self.seed:
            parts.append(f"s{self.seed}")
        return "-".join(parts)

    @property
    def key(self) -> str:
        """sha256-16 of the canonical config."""
        canonical = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"options": dict(self.options)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Cell:
        return cls(**(content | {"options": tuple(content["options"].items())}))


@dataclass(frozen=True)
class Block:
    """A full product of models, datasets, lengths, batch sizes and seeds for one workload.

    Args:
        tokens: where set, the batch size is tokens / L, so that every length has equal work.
    """

    workload: str
    seq_lens: tuple[int, ...]
    datasets: tuple[str, ...] = ("auto",)
    models: tuple[str, ...] = MODELS
    batch_sizes: tuple[int, ...] = (128,)
    seeds: tuple[int, ...] = (0,)
    regime: str = "efficient"
    tokens: int | None = None
    rounds: int = 3
    round_seconds: float | None = None
    requests: int = 0
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
    objective: str | None = None
    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 1
    backend: str = "auto"
    min_count: int = 5


_TINY = "synthetic_u60_i50_n20"
_LONG = "synthetic_u64_i3400_n20000"
_LENGTHS = (50, 100, 200, 512, 1024, 2048, 4096, 8192, 16384)
_CAUSAL = ("mamba4rec", "sasrec", "gru4rec")

SUITES: dict[str, tuple[Block, ...]] = {
    # Seconds: every workload once, on made-up data; for tests.
    "smoke": (
        Block("load", (8,), (_TINY,), (NO_MODEL,), rounds=2),
        Block("train_epoch", (8, 16), (_TINY,), batch_sizes=(16,), rounds=2, round_seconds=0.05),
        Block("recommend", (8, 16), (_TINY,), batch_sizes=(1,), requests=60),
        Block("serve_step", (16,), (_TINY,), batch_sizes=(1,), requests=60),
        Block("rank_all", (8,), (_TINY,), rounds=2),
        Block("fit", (8,), (_TINY,), batch_sizes=(16,), max_epochs=2, patience=2),
    ),
    # The default: at most five minutes on two cores.
    "quick": (
        Block("load", (50,), models=(NO_MODEL,), rounds=5),
        Block("train_epoch", (50, 100, 200), rounds=5, round_seconds=0.7),
        Block("recommend", (50, 100, 200), batch_sizes=(1,), requests=400),
        Block("serve_step", (50, 100, 200), models=_CAUSAL, batch_sizes=(1,), requests=400),
        Block("fit", (50,), batch_sizes=(64,), max_epochs=8, patience=8),
    ),
    # The Mamba4Rec paper's protocol (arXiv 2403.03900): every prefix a sample, batch 2048.
    "paper": (
        Block(
            "train_epoch",
            (200,),
            ("ml_1m",),
            batch_sizes=(2048,),
            regime="paper",
            round_seconds=60.0,
        ),
        Block(
            "train_epoch",
            (50,),
            ("amazon_beauty", "amazon_video_games"),
            batch_sizes=(2048,),
            regime="paper",
            round_seconds=60.0,
        ),
        Block("recommend", (200,), ("ml_1m",), batch_sizes=(1, 4096), requests=300),
        Block("rank_all", (200,), ("ml_1m",), batch_sizes=(256,)),
        Block("rank_all", (50,), ("amazon_beauty", "amazon_video_games"), batch_sizes=(256,)),
    ),
    # Length: equal tokens a batch, histories that are long enough for each L.
    "scaling": (
        Block("train_epoch", _LENGTHS, (_LONG,), tokens=16384, round_seconds=3.0),
        Block("recommend", _LENGTHS, (_LONG,), batch_sizes=(1,), requests=100),
    ),
    # The next event three ways: recurrent state, key/value cache, recomputation of the window.
    "serving": (
        Block("serve_step", (50, 200, 1000, 4096), batch_sizes=(1, 64), requests=1000),
        Block("recommend", (50, 200, 1000, 4096), batch_sizes=(1,), requests=300),
    ),
    # Three seeds to early stopping.
    "accuracy": (
        Block("fit", (50,), batch_sizes=(64,), seeds=(0, 1, 2), max_epochs=200, patience=10),
    ),
}


def cells_of(suite: str, choices: Choices) -> list[Cell]:
    """The suite's cells under the choices, in order, each once; ValueError naming what is allowed."""
    if suite not in SUITES:
        raise ValueError(f"unknown suite {suite!r}; choose from {', '.join(SUITES)}")
    cells = itertools.chain.from_iterable(_expand(block, choices) for block in SUITES[suite])
    return list(dict.fromkeys(cells))


def _expand(block: Block, choices: Choices) -> Iterator[Cell]:
    if choices.workloads and block.workload not in choices.workloads:
        return
    models: Iterable[str] = block.models
    if choices.models and block.models != (NO_MODEL,):
        # A block for some models only (such as those with a state) is narrowed, not widened.
        models = [m for m in choices.models if m in block.models or block.models == MODELS]
    for seed, seq_len, dataset, batch_size, model in itertools.product(
        choices.seeds or block.seeds,
        choices.seq_lens or block.seq_lens,
        choices.datasets or block.datasets,
        choices.batch_sizes or block.batch_sizes,
        models,
    ):
        if block.tokens and not choices.batch_sizes:
            batch_size = max(1, block.tokens // seq_len)
        yield Cell(
            model=model,
            workload=block.workload,
            dataset=dataset,
            objective=_objective(model, choices.objective or REGIMES[block.regime]),
            seq_len=seq_len,
            batch_size=batch_size,
            dtype=choices.dtype,
            device=choices.device,
            threads=choices.threads,
            backend=choices.backend if model == "mamba4rec" else "torch",
            seed=seed,
            rounds=block.rounds,
            round_seconds=block.round_seconds,
            requests=block.requests,
            max_epochs=block.max_epochs,
            patience=block.patience,
            min_count=choices.min_count,
            options=SPARSE.get(dataset, ()) if model != NO_MODEL else (),
        )


def _objective(model: str, wanted: str) -> str:
    """BERT4Rec's one pass over a history is the cloze task; the other models' is `all`."""
    return "cloze" if model == "bert4rec" and wanted == "all" else wanted


def _slug(dataset: str) -> str:
    """A dataset's name, or for a path its stem and a short hash of the whole path."""
    if re.fullmatch(r"\w+", dataset):
        return dataset
    stem = re.sub(r"\W+", "_", dataset.rsplit("/", 1)[-1].split(".")[0])[:40]
    return f"{stem}_{hashlib.sha256(dataset.encode()).hexdigest()[:4]}"
