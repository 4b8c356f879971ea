"""What the command line takes: options of any text, and names of data sets."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import data
from bench.matrix import cells_of
from bench.options import TEXTS, OptionError, Options
from bench.suites import SUITES
from data.log import Columns, DataError, in_one_line
from tests.fuzz.mutate import mutate
from tests.fuzz.target import Target

ROOT = Path(__file__).resolve().parent.parent.parent
_REAL = {
    "--suite": "smoke",
    "--model": "sasrec,mamba4rec",
    "--dataset": "synthetic_u60_i50_n20",
    "--workload": "train_epoch,recommend",
    "--seq-len": "50,200",
    "--batch-size": "1,256",
    "--seeds": "0,1,2",
    "--objective": "all",
    "--device": "cuda:1",
    "--dtype": "bfloat16",
    "--threads": "1",
    "--backend": "numba",
    "--compile": "default",
    "--min-count": "5",
    "--columns": "user=visitor,item=sku,timestamp=when",
    "--results-dir": "results",
    "--cell-timeout": "1.5",
    "--memory-limit": "2GB",
    "--scenario": "offline",
    "--rate": "12.5",
    "--latency-target": "20",
    "--requests": "300",
    "--max-epochs": "40",
    "--patience": "5",
    "--order-seed": "7",
    "--repeats": "2",
    "--cpus": "0,1",
    "--live": "8080",
}


class CommandLine(Target):
    """One option with any text beside sound ones, as far as the list of cells and the data."""

    file_name = ""  # a refusal names the option, or the data set

    def mutated(self, rng: random.Random) -> dict[str, str]:
        option = rng.choice(list(_REAL))
        others = [value.encode() for value in _REAL.values()]
        text = mutate(_REAL[option].encode(), rng, others=others).decode("utf-8", "surrogateescape")
        return {option: text}

    def strategy(self) -> st.SearchStrategy[dict[str, str]]:
        text = st.text(max_size=30) | st.from_regex(
            r"synthetic(_[uinxs]\d{0,10}){0,4}", fullmatch=True
        )
        return st.dictionaries(
            st.sampled_from(sorted(set(TEXTS) - {"--data-dir"})), text, max_size=3
        )

    def feed(self, given: dict[str, str]) -> str | None:
        values: dict[str, Any] = {"--suite": "smoke", "--results-dir": str(self.folder)} | given
        try:
            options = Options(_Config(values))  # type: ignore[arg-type]
            for cell in cells_of(SUITES[options.suite], options.choices):
                assert cell.cell_id
                assert "/" not in cell.cell_id
            if options.columns:
                Columns.parse(options.columns)
            for name in options.choices.datasets or ():
                if name != "auto" and name not in data.names():
                    data.load(name, progress=False, cached=False, data_dir=options.data_dir)
        except (OptionError, DataError) as error:
            refusal = str(error)
        else:
            return None
        named = (*given, "data set ", "columns ", *map(_last_part, given.values()))
        assert refusal.startswith(named), f"it names nothing that was given: {refusal}"
        return refusal


def _last_part(text: str) -> str:
    """How a file is named, where the text is its path."""
    return in_one_line(Path(text).name) or "--"


class _Config:
    rootpath = ROOT

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def getoption(self, name: str) -> Any:
        return self._values.get(name)
