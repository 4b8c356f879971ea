"""What reads two results to compare them: `regression_report.py` given a mutated file."""

from __future__ import annotations

import contextlib
import io
import random
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from report.command import main
from tests.fuzz.mutate import dumps, mutate, mutate_json
from tests.fuzz.results import JSON_VALUES, real_run
from tests.fuzz.target import Target

_NOISE = {
    "schema": "seqrec-bench/noise/2",
    "fingerprint": "x",
    "floors": [{"cells": "*", "metric": "epoch_time", "half_width": 0.02, "between_files": 0.04}],
}
_MARGINS = b"""[tool.seqrec-bench.margins]
ignore = ["step_time"]
[[tool.seqrec-bench.margins.rules]]
cells = "mamba4rec-*"
metric = "epoch_time"
margin = 0.08
floor = 2e-5
gate = "soft"
"""
_OUTPUTS = ("markdown", "comment", "junit", "json", "bmf", "github-action-benchmark", "otava")


class Verdicts(Target):
    """A head, a noise floor or margins, mutated, beside sound ones; every output is written."""

    file_name = "wrong."  # its ending says which of the three it is

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.real = {"machine_info": {}, "benchmarks": [], "seqrec_bench": real_run(10)}
        (folder / "base.json").write_bytes(dumps(self.real))
        self.seed = dumps(self.real)

    def mutated(self, rng: random.Random) -> tuple[str, bytes]:
        kind = rng.random()
        if kind < 0.1:
            return "noise", dumps(mutate_json(_NOISE, rng))
        if kind < 0.2:
            return "toml", mutate(_MARGINS, rng, others=[_MARGINS])
        if kind < 0.35:
            return "json", mutate(self.seed, rng, others=[self.seed])
        ours = self.real["seqrec_bench"]
        records = list(ours["records"])
        chosen = rng.randrange(len(records))
        records[chosen] = mutate_json(records[chosen], rng)
        return "json", dumps(self.real | {"seqrec_bench": ours | {"records": records}})

    def strategy(self) -> st.SearchStrategy[tuple[str, bytes]]:
        row = st.fixed_dictionaries(
            {"name": JSON_VALUES, "stats": JSON_VALUES}, optional={"extra_info": JSON_VALUES}
        )
        other = st.fixed_dictionaries({"benchmarks": st.lists(row, max_size=3)})
        fields = st.sampled_from(tuple(_NOISE["floors"][0]))
        floors = st.lists(st.dictionaries(fields, JSON_VALUES))
        noise = floors.map(lambda entries: dumps(_NOISE | {"floors": entries}))
        return st.tuples(st.just("json"), other.map(dumps)) | st.tuples(st.just("noise"), noise)

    def feed(self, given: tuple[str, bytes]) -> str | None:
        kind, content = given
        wrong = self.folder / f"wrong.{kind}"
        wrong.write_bytes(content)
        arguments = [str(self.folder / "base.json")]
        arguments.append(str(wrong if kind == "json" else self.folder / "base.json"))
        if kind == "noise":
            arguments += ["--noise", str(wrong)]
        if kind == "toml":
            arguments += ["--margins", str(wrong)]
        for name in _OUTPUTS:
            arguments += [f"--{name}", str(self.folder / f"out.{name}")]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
        assert code in (0, 1, 2, 3), f"exit code {code}"
        if code != 2:
            assert not err.getvalue(), "a file that was taken left a line on stderr"
            return None
        refusal: Any = err.getvalue().removesuffix("\n")
        return str(refusal)
