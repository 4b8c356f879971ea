"""What reads results: the report's loading, table and figures, given mutated files and folders."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import plot_results
from tests.fuzz.mutate import dumps, mutate, mutate_json
from tests.fuzz.target import Target

ROOT = Path(__file__).resolve().parent.parent.parent
_DRAWN = 25  # of so many inputs that are taken, one is drawn too: it takes as long as hundreds read

JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)


def real_run(count: int) -> dict[str, Any]:
    """Some records of a committed run, one or more of each workload."""
    content = json.loads((ROOT / "results/reference/quick-ml_100k.json").read_text())
    ours: dict[str, Any] = content["seqrec_bench"]
    chosen: list[Any] = []
    for record in ours["records"]:
        same = [r for r in chosen if r["config"]["workload"] == record["config"]["workload"]]
        if len(same) < max(1, count // 5):
            chosen.append(record)
    return ours | {"records": chosen}


class ResultFile(Target):
    """A benchmark JSON through `plot_results.py`, from the file to the table."""

    file_name = "run.json"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.real = {"machine_info": {}, "benchmarks": [], "seqrec_bench": real_run(10)}
        self.seeds = [dumps(self.real)]
        self.taken = 0
        ours = self.real["seqrec_bench"]
        self.files: dict[str, Any] = {"manifest.json": ours | {"records": []}}
        self.files |= {f"cells/{r['cell_id']}.json": r for r in ours["records"][:4]}
        warm = self.feed(self.sound())  # libraries and fonts are loaded once
        assert warm is None, warm

    def sound(self) -> Any:
        """An input that is taken."""
        return self.seeds[0]

    def mutated(self, rng: random.Random) -> Any:
        if rng.random() < 0.3:
            return mutate(self.seeds[0], rng, others=self.seeds)
        if rng.random() < 0.7:  # one value of the records, of which there are so many more
            ours = self.real["seqrec_bench"]
            records = list(ours["records"])
            chosen = rng.randrange(len(records))
            records[chosen] = mutate_json(records[chosen], rng)
            return dumps(self.real | {"seqrec_bench": ours | {"records": records}})
        return dumps(mutate_json(self.real, rng))

    def strategy(self) -> st.SearchStrategy[Any]:
        ours = st.fixed_dictionaries(
            {"schema": st.just("seqrec-bench/run/1"), "records": st.lists(JSON_VALUES, max_size=3)},
            optional={"machine": JSON_VALUES, "suite": JSON_VALUES, "run_id": JSON_VALUES},
        )
        return (st.fixed_dictionaries({"seqrec_bench": ours}) | JSON_VALUES).map(dumps)

    def feed(self, given: bytes) -> str | None:
        path = self.folder / self.file_name
        path.write_bytes(given)
        return self.report(path)

    def report(self, path: Path) -> str | None:
        """`plot_results.py path`; every so often with its figures, else without."""
        drawn = self.taken % _DRAWN == 0
        out, err = io.StringIO(), io.StringIO()
        save = plot_results.save_figures
        if not drawn:
            plot_results.save_figures = lambda *_: _Nothing()  # type: ignore[assignment, return-value]
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = plot_results.main(
                    [str(path), "--out", str(self.folder / "plots"), "--format", "svg"]
                )
        finally:
            plot_results.save_figures = save
        if code == 2:
            assert not out.getvalue(), "a refused file printed something"
            return err.getvalue().removesuffix("\n").removeprefix("error: ")
        assert code == 0, f"exit code {code}"
        self.taken += 1
        return None


class _Nothing:
    """What save_figures returns, where nothing is drawn."""

    def in_words(self, _: Path) -> list[str]:
        return []


class RunFolder(ResultFile):
    """A run's folder with a mutated manifest or cell, through the same command."""

    file_name = "run"

    def sound(self) -> Any:
        return "", b""

    def mutated(self, rng: random.Random) -> Any:
        name = rng.choice(list(self.files))
        if rng.random() < 0.4:
            content = dumps(self.files[name])
            return name, mutate(content, rng, others=[content])
        return name, dumps(mutate_json(self.files[name], rng))

    def strategy(self) -> st.SearchStrategy[Any]:
        return st.tuples(st.sampled_from(sorted(self.files)), JSON_VALUES.map(dumps))

    def feed(self, given: tuple[str, bytes]) -> str | None:
        path = self.folder / self.file_name
        shutil.rmtree(path, ignore_errors=True)
        (path / "cells").mkdir(parents=True)
        for name, content in self.files.items():
            (path / name).write_bytes(given[1] if name == given[0] else dumps(content))
        return self.report(path)
