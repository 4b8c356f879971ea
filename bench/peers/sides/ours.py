"""Our side: the workloads as the suite runs them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.peers.contestant import Contestant, Samples


class Ours(Contestant):
    """The public pieces: Setting, train_batches, Trainer, RankAll, Recommend."""

    def import_libraries(self) -> dict[str, str]:
        import data
        import models
        import workloads.setting

        models.get(self.task.model)
        self.read = data.load
        self.Setting = workloads.setting.Setting
        return {name: metadata.version(name) for name in ("torch", "numba", "numpy")}

    def load(self) -> None:
        folder = self.task.data_dir
        self.log = self.read(
            self.task.dataset, data_dir=Path(folder) if folder else None, progress=False
        )
        self.epochs = itertools.count()

    def store(self) -> str:
        return str(getattr(self.log, "store", "read"))

    def setting(self, log: Any, batch_size: int) -> Any:
        task = self.task
        return self.Setting(
            task.model, log, "last", task.seq_len, batch_size, seed=task.seed, options=task.settings
        )

    def make(self) -> None:
        from workloads.rank_all import RankAll
        from workloads.recommend import Recommend
        from workloads.trainer import Trainer

        setting = self.setting(self.log, self.batch_size)
        self.model = setting.make_model()
        self.trainer = Trainer(self.model, setting)
        self.rankers: dict[int, RankAll] = {}
        self.server = Recommend(replace(setting, batch_size=1))
        self.server.prepare()

    def epoch(self) -> Iterator[Any]:
        from data.batches import train_batches

        return iter(
            train_batches(
                self.log,
                objective="last",
                seq_len=self.task.seq_len,
                batch_size=self.batch_size,
                seed=self.task.seed,
                epoch=next(self.epochs),
            )
        )

    def rows(self, batch: Any) -> int:
        return len(batch.targets)

    def samples(self, batch: Any) -> Samples:
        return batch.item_seq.numpy(), batch.targets.numpy()

    def steps(self, batches: Iterator[Any]) -> list[float]:
        return [float(self.trainer.step(batch)) for batch in batches]

    def rank_all(self, batch_size: int) -> tuple[int, dict[str, float]]:
        from measure.ranking import ranking_metrics, ranks
        from workloads.rank_all import RankAll

        if batch_size not in self.rankers:
            self.rankers[batch_size] = RankAll(self.setting(self.log, batch_size), ranks)
        found = self.rankers[batch_size].ranks_of(self.model)
        metrics = {name: metric.value or 0.0 for name, metric in ranking_metrics(found).items()}
        return len(found), metrics

    def request(self, index: int) -> list[int]:
        best: list[int] = self.server.request(index)[0].tolist()
        return best

    def num_parameters(self) -> int:
        return int(self.model.num_parameters())


SIDE = Ours
