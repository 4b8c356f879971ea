"""One row: our side and one peer prepared, checked and measured in turn; every failure a status.

Order: both sides are started, their samples of an epoch counted and compared; each tries its batch
sizes and keeps the fastest, of several as fast the smallest; then rounds of training, full ranking
and single requests, in turn; then, in fresh processes, start-up (in turn) and peak memory with the
allocator's defaults.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bench.peers.batch_size import (
    nearly_the_fastest,
    rank_batches,
    smallest_of_the_fastest,
)
from bench.peers.link import Link, SideFailed
from bench.peers.roster import OUR_SIDE, POSITIONS, Peer, batch_sizes
from bench.peers.turns import Ratio, Side, in_turn, ratio
from measure.record import Status

_CONTENDED = 0.9  # processor seconds over wall seconds and threads; below it somebody disturbed
_FIRST_BATCH = 32
_MORE_ROUND_TRIPS = 3  # to the sizes that two visits can't tell from the fastest
_MEMORY_STEPS, _MEMORY_PAIRS = 3, 3
# Thirty steps on one batch of ML-100K lower the loss by 0.46 to 4.5, whose noise is about 0.05.
_LEARNING_BATCH, _LEARNING_STEPS, _LEARNT = 16, 30, 0.2
SIDES: tuple[Side, Side] = ("ours", "peer")
# Start-up is from the log on both sides: RecBole parses its file, so ours opens no kept store.
FROM_THE_LOG = {"SEQREC_STORE_CACHE": "off"}


@dataclass(frozen=True)
class Plan:
    """How a row is measured.

    Args:
        pythons: interpreter of each side. folder: exchange files and a place to run in.
        seconds: of one round of training. requests: single requests a round.
    """

    pythons: dict[Side, Path]
    folder: Path
    threads: int
    rounds: int
    seconds: float
    requests: int = 200
    timeout: float = 3600.0


@dataclass
class Row:
    """What a comparison gave; plain values only."""

    model: str
    peer: str
    label: str
    seq_len: int
    threads: int
    status: Status = "ok"
    reason: str | None = None
    checks: dict[str, Any] = field(default_factory=dict)
    ratios: dict[str, Ratio] = field(default_factory=dict)
    sides: dict[Side, dict[str, Any]] = field(default_factory=lambda: {"ours": {}, "peer": {}})
    flags: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class Contest:
    """`run()` fills in the row; what was measured before a failure stays in it."""

    def __init__(
        self,
        peer: Peer,
        plan: Plan,
        task: dict[str, Any],
        options: dict[str, Any],
        say: Callable[[str], None],
        liked: dict[Any, int] | None = None,
    ) -> None:
        self.peer, self.plan, self.say = peer, plan, say
        self.liked = {} if liked is None else liked
        self.tasks: dict[Side, dict[str, Any]] = {
            "ours": task,
            "peer": task | {"options": options},
        }
        self.row = Row(peer.model, peer.name, peer.label, task["seq_len"], plan.threads)

    def run(self) -> Row:
        try:
            with contextlib.ExitStack() as stack:
                self.links = {side: stack.enter_context(self._link(side)) for side in SIDES}
                self._prepare()
                self._count()
                self._learn()
                self._choose_batches()
                self._train()
                self._rank()
                self._recommend()
            if self.peer.reads_logs:
                self._start_up()
            self._memory()
        except SideFailed as failure:
            self.row.status, self.row.reason = failure.status, str(failure)
        self._judge()
        return self.row

    def _link(
        self, side: Side, *, keep_memory: bool = True, environment: Mapping[str, str] | None = None
    ) -> Link:
        module = OUR_SIDE if side == "ours" else self.peer.side
        return Link(
            self.plan.pythons[side],
            module,
            self.plan.folder,
            threads=self.plan.threads,
            keep_memory=keep_memory,
            environment=environment,
        )

    def _ask(self, side: Side, verb: str, **arguments: Any) -> dict[str, Any]:
        return self.links[side].ask(verb, timeout=self.plan.timeout, **arguments)

    def _prepare(self) -> None:
        for side in SIDES:
            found = self._ask(side, "prepare", task=self.tasks[side], batch_size=_FIRST_BATCH)
            self.row.notes += found.pop("notes")
            self.row.sides[side] |= found

    def _count(self) -> None:
        counts = {side: self._ask(side, "count") for side in SIDES}
        same = {name: counts["ours"][name] == counts["peer"][name] for name in counts["ours"]}
        self.row.checks["same_samples"] = {"ok": same["samples"] and same["events"]} | counts
        self.row.checks["same_data"] = {"ok": same["checksum"]}

    def _learn(self) -> None:
        """Some steps on one small batch, the same number on both sides however slow one is."""
        for side in SIDES:
            self._ask(side, "use", batch_size=_LEARNING_BATCH)
            losses = self._ask(side, "learn", steps=_LEARNING_STEPS)["losses"]
            self.row.checks[f"learns_{side}"] = check_learning(losses)

    def _choose_batches(self) -> None:
        """Each side's fastest batch size; ours is kept for the other peers of a model."""
        for side in SIDES:
            key = (side, self.row.model, self.row.seq_len)
            if side == "ours" and key in self.liked:
                chosen = self.liked[key]
            else:
                chosen = self._try_batches(side)
            if side == "ours":
                self.liked[key] = chosen
            self.row.sides[side]["batch_size"] = chosen
            self._ask(side, "use", batch_size=chosen)
            self._ask(side, "train", seconds=self.plan.seconds / 4)

    def _try_batches(self, side: Side) -> int:
        """The smallest of the fastest sizes, by visits in turn, on the way up and down."""
        sizes = batch_sizes(self.row.seq_len, self._positions(side))
        visits: dict[int, list[float]] = {size: [] for size in sizes}
        self._visit(side, visits, sizes)
        near = nearly_the_fastest({size: statistics.median(visits[size]) for size in sizes})
        if len(near) > 1:
            for _ in range(_MORE_ROUND_TRIPS):
                self._visit(side, visits, near)
        rates = {size: statistics.median(visits[size]) for size in sizes}
        self.row.sides[side]["tried_batch_sizes"] = rates
        return smallest_of_the_fastest({size: rates[size] for size in near})

    def _visit(self, side: Side, visits: dict[int, list[float]], sizes: Sequence[int]) -> None:
        """Train shortly with each size, up and down, from the same weights; keep the rates."""
        for batch_size in (*sizes, *reversed(sizes)):
            self._ask(side, "use", batch_size=batch_size)
            self._ask(side, "train", seconds=0.0)
            found = self._ask(side, "train", seconds=self.plan.seconds / 4)
            visits[batch_size].append(found["rate"])

    def _positions(self, side: Side) -> int:
        return POSITIONS if side == "ours" else self.peer.positions

    def _in_turn(
        self,
        name: str,
        figure: str,
        better: str,
        measure: Callable[[Side], dict[str, Any]],
        pairs: int | None = None,
    ) -> None:
        """Measure in turn, keep the rounds, and the ratio of `figure` as `name`."""
        ours, peer = in_turn(pairs or self.plan.rounds, measure)
        for side, rounds in zip(SIDES, (ours, peer), strict=True):
            self.row.sides[side][name] = rounds
        found = ratio([r[figure] for r in ours], [r[figure] for r in peer], better=better)
        self.row.ratios[name] = found
        self.say(f"  {name}: {found.median:.2f} ({found.lowest:.2f} to {found.highest:.2f})")

    def _train(self) -> None:
        seconds = self.plan.seconds
        self._in_turn(
            "train", "rate", "higher", lambda side: self._ask(side, "train", seconds=seconds)
        )
        for side in SIDES:
            rounds = self.row.sides[side]["train"]
            shares = [r["cpu_seconds"] / r["seconds"] / self.plan.threads for r in rounds]
            if self.plan.threads == 1 and min(shares) < _CONTENDED:
                self.row.flags.append(f"contended: {side} had {min(shares):.0%} of its processor")

    def _rank(self) -> None:
        chosen = {side: self._best_rank_batch(side) for side in SIDES}
        seconds = self.plan.seconds / 4
        self._in_turn(
            "rank",
            "rate",
            "higher",
            lambda side: self._ask(side, "rank", batch_size=chosen[side], seconds=seconds),
        )

    def _best_rank_batch(self, side: Side) -> int:
        rates = {
            size: self._ask(side, "rank", batch_size=size, seconds=0.0)["rate"]
            for size in rank_batches(self.row.seq_len, self._positions(side))
        }
        best = max(rates, key=lambda size: rates[size])
        self.row.sides[side]["rank_batch_size"] = best
        return best

    def _recommend(self) -> None:
        arguments = {"requests": self.plan.requests, "seconds": self.plan.seconds / 2}
        self._in_turn(
            "recommend", "p50", "lower", lambda side: self._ask(side, "recommend", **arguments)
        )

    def _start_up(self) -> None:
        def measure(side: Side) -> dict[str, Any]:
            size = self.row.sides[side]["batch_size"]
            with self._link(side, environment=FROM_THE_LOG) as link:
                timeout = self.plan.timeout
                task = self.tasks[side]
                return link.ask("first_batch", timeout=timeout, task=task, batch_size=size)

        self._in_turn("start_up", "seconds", "lower", measure)

    def _memory(self) -> None:
        """Of fresh processes, whose allocators waste more or less: each side at its own batch size,
        and both at the largest size that both may have.
        """
        equal = batch_sizes(self.row.seq_len, min(map(self._positions, SIDES)))[-1]
        own = {side: self.row.sides[side]["batch_size"] for side in SIDES}
        for name, sizes in (("memory", own), ("memory_equal_batch", dict.fromkeys(SIDES, equal))):
            measure = partial(self._peak, sizes)
            self._in_turn(name, "over_baseline_bytes", "lower", measure, pairs=_MEMORY_PAIRS)

    def _peak(self, sizes: Mapping[Side, int], side: Side) -> dict[str, Any]:
        timeout, task, size = self.plan.timeout, self.tasks[side], sizes[side]
        with self._link(side, keep_memory=False) as link:
            link.ask("prepare", timeout=timeout, task=task, batch_size=size)
            return link.ask("peak", timeout=timeout, steps=_MEMORY_STEPS) | {"batch_size": size}

    def _judge(self) -> None:
        """A failed check makes the row incorrect; its figures are kept."""
        for side in SIDES:
            losses = [r["loss"] for r in self.row.sides[side].get("train", ())]
            self.row.checks[f"finite_{side}"] = {"ok": None not in losses}
        failed = [name for name, check in self.row.checks.items() if not check["ok"]]
        if failed:
            self.row.status = "incorrect" if self.row.status == "ok" else self.row.status
            reason = f"checks failed: {', '.join(failed)}"
            self.row.reason = f"{self.row.reason}; {reason}" if self.row.reason else reason


def check_learning(losses: Sequence[float | None]) -> dict[str, Any]:
    """Whether all losses are finite and the last third has a clearly lower mean than the first."""
    finite = [loss for loss in losses if loss is not None]
    third = max(1, len(losses) // 3)
    ok = len(finite) == len(losses)
    if ok:
        ok = statistics.fmean(finite[:third]) - statistics.fmean(finite[-third:]) > _LEARNT
    return {"ok": ok, "losses": list(losses)}
