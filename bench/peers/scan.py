"""The scan contest: ours beside mambapy, transformers, mamba_ssm's reference, and our own on two
threads, in nanoseconds per (batch, step, channel, state) and in memory beyond what it must hold.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.peers.environments import OWN
from bench.peers.link import Link, SideFailed
from bench.peers.turns import Ratio, Side, in_turn, ratio
from measure.record import Status

_MODULE = "bench.peers.sides.scan"
CHANNELS, STATES = 128, 32
SHAPES = {50: 256, 200: 64, 1000: 16, 4096: 4}  # length -> batch
SIDES: tuple[Side, Side] = ("ours", "peer")
_TOLERANCE = 1e-3  # relative, on the digests


@dataclass(frozen=True)
class Rival:
    """A scan beside ours: its library, environment, and threads over ours."""

    library: str
    environment: str
    more_threads: int = 0
    path: str | None = None
    where: str = ""


RIVALS: tuple[Rival, ...] = (
    Rival("mambapy", "mamba"),
    Rival("transformers", "mamba"),
    Rival(
        "mamba_ssm",
        "mamba",
        path="--mamba-ssm-path",
        where="MAMBA_SKIP_CUDA_BUILD=TRUE pip download mamba-ssm==2.2.4 --no-deps --no-binary :all:"
        " --no-build-isolation where torch is installed, unpack it",
    ),
    Rival("ours", OWN, more_threads=1),
)


@dataclass
class ScanRow:
    """Ratios above 1: ours (on `threads`) is better; plain values only."""

    library: str
    seq_len: int
    batch_size: int
    threads: int
    peer_threads: int
    status: Status = "ok"
    reason: str | None = None
    checks: dict[str, Any] = field(default_factory=dict)
    ratios: dict[str, Ratio] = field(default_factory=dict)
    sides: dict[Side, dict[str, Any]] = field(default_factory=lambda: {"ours": {}, "peer": {}})

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class ScanPlan:
    """How it is measured: `seconds` for one round, `timeout` for one answer."""

    pythons: dict[Side, Path]
    folder: Path
    rounds: int
    seconds: float
    timeout: float
    path: str | None = None


class ScanContest:
    """`run()` fills in the row; what was measured before a failure stays in it."""

    def __init__(
        self, rival: Rival, seq_len: int, threads: int, plan: ScanPlan, say: Callable[[str], None]
    ) -> None:
        self.plan, self.say = plan, say
        batch = SHAPES.get(seq_len, max(1, 16_384 // seq_len))
        peers = threads + rival.more_threads
        self.row = ScanRow(rival.library, seq_len, batch, threads, peers)

    def run(self) -> ScanRow:
        try:
            with contextlib.ExitStack() as stack:
                self.links = {side: stack.enter_context(self._link(side)) for side in SIDES}
                self._prepare()
                self._time("forward")
                self._compare("same_gradients", {side: self._gradients(side) for side in SIDES})
                self._time("both")
            for side in SIDES:
                with self._link(side, keep_memory=False) as link:
                    self._ask_prepare(link, side)
                    peak = link.ask("peak", timeout=self.plan.timeout)
                    self.row.sides[side]["memory"] = peak
        except SideFailed as failure:
            self.row.status, self.row.reason = failure.status, str(failure)
        return self.row

    def _link(self, side: Side, *, keep_memory: bool = True) -> Link:
        threads = self.row.threads if side == "ours" else self.row.peer_threads
        python = self.plan.pythons[side]
        return Link(python, _MODULE, self.plan.folder, threads=threads, keep_memory=keep_memory)

    def _ask_prepare(self, link: Link, side: Side) -> dict[str, Any]:
        return link.ask(
            "prepare",
            timeout=self.plan.timeout,
            library="ours" if side == "ours" else self.row.library,
            path=self.plan.path if side == "peer" else None,
            shape={
                "batch": self.row.batch_size,
                "length": self.row.seq_len,
                "channels": CHANNELS,
                "states": STATES,
            },
        )

    def _prepare(self) -> None:
        digests = {}
        for side in SIDES:
            found = self._ask_prepare(self.links[side], side)
            digests[side] = found.pop("digest")
            self.row.sides[side] |= found
        self._compare("same_result", digests)

    def _gradients(self, side: Side) -> list[float]:
        found = self.links[side].ask("gradients", timeout=self.plan.timeout)
        return list(found["digest"])

    def _compare(self, name: str, digests: dict[Side, list[float]]) -> None:
        pairs = zip(digests["ours"], digests["peer"], strict=True)
        same = all(math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=1e-5) for a, b in pairs)
        self.row.checks[name] = {"ok": same} | digests
        if not same:
            self.row.status, self.row.reason = "incorrect", f"checks failed: {name}"

    def _time(self, verb: str) -> None:
        def measure(side: Side) -> dict[str, Any]:
            link = self.links[side]
            return link.ask(verb, timeout=self.plan.timeout, seconds=self.plan.seconds)

        ours, peer = in_turn(self.plan.rounds, measure)
        self.row.sides["ours"][verb], self.row.sides["peer"][verb] = ours, peer
        found = ratio([r["ns"] for r in ours], [r["ns"] for r in peer], better="lower")
        self.row.ratios[verb] = found
        own = ours[0]["ns"]
        self.say(
            f"  {verb}: {found.median:.2f} ({found.lowest:.2f} to {found.highest:.2f}),"
            f" ours {own:.3f} ns"
        )
