"""The suites: named lists of cells, each a tuple of blocks. A plain dict; add one here."""

from __future__ import annotations

from bench.matrix import Block

_TINY = "synthetic_u60_i50_n20"
# Every history holds 16,384 events to train on, so each L fills its windows.
_LONG = "synthetic_u64_i3400_x16386"
# Small, so that twenty minutes hold enough pairs of processes; learnt within seconds.
_JUDGED = "synthetic_u600_i400_n60"
_LEARNT = "synthetic_u500_i150_n30"
# What a tail is worth is known from as many processes (bench/pool.py).
_POOLED = 5
_LENGTHS = (50, 100, 200, 512, 1024, 2048, 4096, 8192, 16384)

SUITES: dict[str, tuple[Block, ...]] = {
    # Seconds: every workload once, on made-up data; for tests.
    "smoke": (
        Block("load", (8,), (_TINY,), rounds=2),
        Block("train_epoch", (8,), (_TINY,), batch_sizes=(16,), rounds=2, round_seconds=0.05),
        Block("recommend", (16,), (_TINY,), batch_sizes=(1,), requests=60),
        Block("serve_step", (16,), (_TINY,), batch_sizes=(1,), requests=60),
        Block("rank_all", (8,), (_TINY,), rounds=2),
        Block("fit", (8,), (_TINY,), batch_sizes=(16,), max_epochs=2, patience=2),
    ),
    # The default: at most five minutes on two cores.
    "quick": (
        Block("load", (50,), rounds=5),
        Block("train_epoch", (50, 100, 200), rounds=5, round_seconds=0.5),
        Block("recommend", (50, 100, 200), batch_sizes=(1,), requests=1000, round_seconds=0.5),
        Block(
            "serve_step",
            (50, 200),
            stateful=True,
            batch_sizes=(1,),
            requests=1000,
            round_seconds=0.5,
        ),
        Block("fit", (50,), batch_sizes=(64,), max_epochs=6, patience=6),
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
        Block(
            "recommend",
            (200,),
            ("ml_1m",),
            batch_sizes=(1, 4096),
            requests=300,
            round_seconds=0.5,
            processes=_POOLED,
        ),
        Block("rank_all", (200,), ("ml_1m",), batch_sizes=(256,)),
        Block("rank_all", (50,), ("amazon_beauty", "amazon_video_games"), batch_sizes=(256,)),
    ),
    # Length: as many events in every batch, in histories that are long enough for each L.
    "scaling": (
        Block("train_epoch", _LENGTHS, (_LONG,), tokens=16384, round_seconds=3.0),
        Block("recommend", _LENGTHS, (_LONG,), batch_sizes=(1,), requests=100, round_seconds=0.5),
    ),
    # The next event three ways: recurrent state, key/value cache, recomputation of the window.
    "serving": (
        Block(
            "serve_step",
            (50, 200, 1000, 4096),
            batch_sizes=(1, 64),
            requests=1000,
            round_seconds=0.5,
            processes=_POOLED,
        ),
        Block(
            "recommend",
            (50, 200, 1000, 4096),
            batch_sizes=(1,),
            requests=300,
            round_seconds=0.5,
            processes=_POOLED,
        ),
        # As users come: the highest rate at which p99 stays within 10 ms; and all at once.
        Block(
            "serve_step",
            (50, 200, 1000, 4096),
            stateful=True,
            batch_sizes=(1,),
            requests=5000,
            scenarios=("server",),
            latency_target=0.01,
        ),
        Block(
            "recommend",
            (50, 200, 1000),
            batch_sizes=(1,),
            requests=5000,
            scenarios=("server",),
            latency_target=0.01,
        ),
        Block("recommend", (50, 200, 1000, 4096), scenarios=("offline",)),
    ),
    # What a pull request is judged by: each block a fresh process of a few seconds.
    "ci": (
        Block("load", (50,), (_JUDGED,), rounds=5),
        Block("train_epoch", (50,), (_JUDGED,), batch_sizes=(64,), rounds=5, round_seconds=0.2),
        Block("recommend", (50,), (_JUDGED,), batch_sizes=(1,), requests=3000, round_seconds=0.5),
        Block(
            "serve_step",
            (50,),
            (_JUDGED,),
            stateful=True,
            batch_sizes=(1,),
            requests=3000,
            round_seconds=0.5,
        ),
        Block("rank_all", (50,), (_JUDGED,), batch_sizes=(256,), rounds=5, round_seconds=0.5),
        Block(
            "fit",
            (20,),
            (_LEARNT,),
            batch_sizes=(32,),
            seeds=(0, 1, 2),
            max_epochs=4,
            patience=4,
        ),
    ),
    # Three seeds to early stopping, late enough for the slowest learner: BERT4Rec finds nothing
    # better for 87 epochs (L = 200, seed 0) and goes on (Petrov and Macdonald, RecSys 2022, arXiv
    # 2207.07483, let it).
    "accuracy": (
        Block("fit", (50,), batch_sizes=(64,), seeds=(0, 1, 2), max_epochs=1000, patience=100),
    ),
    # The longest history at a batch of 128, and the largest batch at L = 200, that fit in memory.
    "capacity": (Block("capacity", (200,)),),
}
