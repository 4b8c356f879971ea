"""One run of the comparison: environments, data, the rows asked for, and their results files."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import data
import models
from bench.peers.contest import Contest, Plan, Row
from bench.peers.environments import OWN, EnvironmentFailed, python_of
from bench.peers.exchange import write_exchange
from bench.peers.ledger import keep
from bench.peers.options import ROOT, SCAN, Options
from bench.peers.roster import PEERS, Peer, missing_path
from bench.peers.scan import RIVALS, SHAPES, Rival, ScanContest, ScanPlan, ScanRow
from bench.peers.turns import Side
from measure.machine import describe_machine, find_commit
from measure.processor import physical_cores

Say = Callable[[str], None]


class Meeting:
    """`run()` measures all that was asked for; each results file is kept as its rows come."""

    def __init__(self, options: Options, say: Say) -> None:
        self.options, self.say = options, say
        self.failed: dict[str, str] = {}
        self.liked: dict[Any, int] = {}

    def run(self) -> list[dict[str, Any]]:
        """The contents of the results files that this run wrote."""
        contents = []
        with tempfile.TemporaryDirectory(prefix="peers-") as made:
            folder = Path(made)
            chosen = [peer for peer in PEERS if self._wanted(peer.model, peer.name)]
            if chosen:
                log = data.load(self.options.dataset, data_dir=self.options.data_dir)
                write_exchange(log, folder)
                for seq_len in self.options.seq_lens:
                    contents.append(self._models(chosen, log, seq_len, folder))
            rivals = [rival for rival in RIVALS if self._wanted(SCAN, rival.library)]
            if rivals:
                contents.append(self._scans(rivals, folder))
        return contents

    def make_environments(self) -> dict[str, str]:
        """Make those that the rows asked for need; the reasons of those that failed."""
        needed = [peer.environment for peer in PEERS if self._wanted(peer.model, peer.name)]
        needed += [rival.environment for rival in RIVALS if self._wanted(SCAN, rival.library)]
        for name in dict.fromkeys(needed):
            self._python(name)
        return self.failed

    def _wanted(self, model: str, peer: str) -> bool:
        return model in self.options.only and peer in self.options.peers

    def _models(
        self, chosen: list[Peer], log: data.Interactions, seq_len: int, folder: Path
    ) -> dict[str, Any]:
        name = Path(self.options.dataset).name.split(".")[0]
        path = self.options.results / f"{name}-L{seq_len}.json"
        head = self._head() | {"data": log.describe(), "seq_len": seq_len, "objective": "last"}
        content: dict[str, Any] = {}
        for peer in chosen:
            self.say(f"{peer.model} beside {peer.label}, L={seq_len}")
            row = self._model(peer, seq_len, folder)
            self._report(row)
            content = keep(path, head, [row.to_dict()])
        return content

    def _model(self, peer: Peer, seq_len: int, folder: Path) -> Row:
        row = Row(peer.model, peer.name, peer.label, seq_len, self.options.threads)
        reason = missing_path(peer.path, self.options.paths, peer.where)
        python = None if reason else self._python(peer.environment)
        if python is None:
            row.status, row.reason = "unsupported", reason or self.failed[peer.environment]
            return row
        task = {
            "model": peer.model,
            "dataset": self._dataset(),
            "data_dir": self._data_dir(),
            "exchange": str(folder),
            "seq_len": seq_len,
            "settings": dataclasses.asdict(models.get(peer.model).Config()),
        }
        options = dict(peer.options)
        if peer.path:
            options["path"] = str(self.options.paths[peer.path])
        plan = Plan(
            pythons=self._pythons(python),
            folder=folder,
            threads=self.options.threads,
            rounds=self.options.rounds,
            seconds=self.options.seconds,
            timeout=self.options.timeout,
        )
        return Contest(peer, plan, task, options, self.say, self.liked).run()

    def _scans(self, rivals: list[Rival], folder: Path) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for seq_len, batch in SHAPES.items():
            for rival in rivals:
                self.say(f"scan beside {rival.library}, L={seq_len}, batch {batch}")
                row = self._scan(rival, seq_len, batch, folder)
                self._report(row)
                content = keep(self.options.results / "scan.json", self._head(), [row.to_dict()])
        return content

    def _scan(self, rival: Rival, seq_len: int, batch: int, folder: Path) -> ScanRow:
        threads = self.options.threads
        wanted = threads + rival.more_threads
        row = ScanRow(rival.library, seq_len, batch, threads, wanted)
        reason = missing_path(rival.path, self.options.paths, rival.where)
        if wanted > physical_cores():
            reason = f"{wanted} threads: this machine allots {physical_cores()} cores"
        python = None if reason else self._python(rival.environment)
        if python is None:
            row.status, row.reason = "unsupported", reason or self.failed[rival.environment]
            return row
        plan = ScanPlan(
            pythons=self._pythons(python),
            folder=folder,
            rounds=self.options.rounds,
            seconds=self.options.seconds / 5,
            timeout=self.options.scan_timeout,
            path=str(self.options.paths[rival.path]) if rival.path else None,
        )
        return ScanContest(rival, seq_len, threads, plan, self.say).run()

    def _python(self, environment: str) -> Path | None:
        """The environment's interpreter; None where making it has failed, now or before."""
        if environment in self.failed:
            return None
        options = self.options
        try:
            return python_of(
                environment, env_dir=options.env_dir, base=options.python, say=self.say
            )
        except EnvironmentFailed as failure:
            self.failed[environment] = f"environment {environment}: {failure}"
            return None

    def _pythons(self, peer: Path) -> dict[Side, Path]:
        return {"ours": self._own(), "peer": peer}

    def _own(self) -> Path:
        return python_of(OWN, env_dir=self.options.env_dir, base=self.options.python)

    def _dataset(self) -> str:
        """Sides run elsewhere, so a path has to be absolute."""
        path = Path(self.options.dataset).expanduser()
        return str(path.absolute()) if path.exists() else self.options.dataset

    def _data_dir(self) -> str | None:
        return str(self.options.data_dir.absolute()) if self.options.data_dir else None

    def _head(self) -> dict[str, Any]:
        return {
            "machine": describe_machine(threads=self.options.threads),
            "commit": find_commit(ROOT),
            "threads": self.options.threads,
            "rounds": self.options.rounds,
            "seconds": self.options.seconds,
        }

    def _report(self, row: Row | ScanRow) -> None:
        self.say(f"  {row.status}" + (f": {row.reason}" if row.reason else ""))
