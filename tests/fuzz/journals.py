"""What a start takes up of an earlier one: manifests and cells, mutated."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from bench.cell import Cell
from bench.estimate import in_words, total_seconds
from bench.findings import played_back
from bench.headline import headline
from bench.journal import Journal, Manifest, new_manifest, past_seconds
from bench.overhead import add_up
from measure.record import dumps as dumps_record
from measure.record import from_dict
from tests.fuzz.mutate import dumps, mutate, mutate_json
from tests.fuzz.results import JSON_VALUES, real_run
from tests.fuzz.target import Target


class JournalFolder(Target):
    """A stopped run with one file damaged goes on: the file is named, and its cell made anew."""

    file_name = "manifest.json or a cell"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        records = {r["config"]["workload"]: r for r in real_run(5)["records"]}
        self.cells, self.contents = [], []
        for content in records.values():
            cell = Cell.from_dict(content["config"])
            self.cells.append(cell)
            self.contents.append(content | _names_of(cell))
        journal = Journal.open(folder / "results", self._manifest(), fresh=True)
        self.run = journal.folder
        journal.close()
        self.files = {"manifest.json": dataclasses.asdict(journal.manifest)}
        for cell, content in zip(self.cells, self.contents, strict=True):
            self.files[f"cells/{cell.cell_id}.json"] = content
            (self.run / f"cells/{cell.cell_id}.json").write_text(dumps_record(from_dict(content)))

    def _manifest(self) -> Manifest:
        return new_manifest(
            suite="fuzz",
            cells=self.cells,
            argv=[],
            dataset_line="data",
            data_hashes={},
            limits={},
            commit=None,
            machine={"fingerprint": "x"},
            root=self.folder,
        )

    def mutated(self, rng: random.Random) -> Any:
        name = rng.choice(list(self.files))
        if rng.random() < 0.3:
            content = dumps(self.files[name])
            return name, mutate(content, rng, others=[content])
        return name, dumps(mutate_json(self.files[name], rng))

    def strategy(self) -> st.SearchStrategy[Any]:
        return st.tuples(st.sampled_from(sorted(self.files)), JSON_VALUES.map(dumps))

    def feed(self, given: tuple[str, bytes]) -> str | None:
        name, content = given
        sound = (self.run / name).read_bytes()
        (self.run / name).write_bytes(content)
        try:
            return self._go_on(name)
        finally:
            (self.run / name).write_bytes(sound)
            for other in self.run.parent.iterdir():  # a run begun beside it
                if other != self.run:
                    _remove(other)

    def _go_on(self, damaged: str) -> str | None:
        manifest = self._manifest()
        past = past_seconds(self.run.parent)
        assert in_words(total_seconds(self.cells, past))
        journal = Journal.open(self.run.parent, manifest, fresh=False)
        journal.close()
        taken = [record for cell in self.cells if (record := journal.read(cell)) is not None]
        for record in taken:
            assert headline(record)
            assert record.summary()
            if record.status == "ok":
                assert record.samples[played_back(record.config)]
        add_up(1.0, [record.overhead for record in taken]).to_dict()
        same = journal.folder == self.run
        if same:
            lost = len(self.cells) - len(taken)
            assert lost == 0 or (lost == 1 and damaged.startswith("cells/")), (
                "sound cells were lost"
            )
        lines = [f"{self.file_name}: {name}: {why}" for name, why in journal.damaged.items()]
        return "; ".join(lines) or None


def _names_of(cell: Cell) -> dict[str, Any]:
    """What a record says of its cell; a committed one may know fewer settings."""
    return {"cell_id": cell.cell_id, "key": cell.key, "config": cell.to_dict()}


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)
