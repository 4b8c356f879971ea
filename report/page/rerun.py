"""Which command measures a run, or one of its cells, again.

Made from what pytest was given; folders and files of the machine that measured are left out.
"""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import PurePath

from report.load import Run

# Where things lie is for the reader to say; what is measured is not.
_PLACES = ("--data-dir", "--results-dir", "--benchmark-json", "-p", "-o", "--junitxml")
# Under which conditions anything is measured, whatever the suite.
_CONDITIONS = (
    "--device", "--dtype", "--threads", "--cpus", "--backend", "--compile", "--allocator",
    "--objective", "--min-count", "--columns",
)  # fmt: skip
_LOOKS = ("-q", "-v", "-s", "-x", "--fresh", "--live")


def command(run: Run) -> str:
    """ "pytest bench/ --suite quick --dataset ml_100k"; with the suite alone where unknown."""
    words = ["pytest"]
    skip = False
    for word in run.argv:
        if skip:
            skip = False
        elif word.partition("=")[0] in _PLACES:
            skip = "=" not in word
        elif word not in _LOOKS:
            words.append(word)
    if len(words) == 1:
        words += ["bench/", "--suite", run.suite]
    return shlex.join(words)


def command_at(run: Run, suite: str, dataset: str) -> str:
    """The suite on one data set under the run's conditions, with {L} where the length is to be.

    "pytest bench/ --suite accuracy --seq-len {L} --benchmark-json=results/accuracy-L{L}.json"
    """
    words = ["pytest", "bench/", "--suite", suite]
    words += ["--dataset", dataset] if dataset != "auto" else []
    # A value may have "=" in it too: user=visitor,item=sku.
    given = [part for w in run.argv for part in (w.split("=", 1) if w[:1] == "-" else [w])]
    for name, value in pairwise(given):
        words += [name, value] if name in _CONDITIONS else []
    stem = re.sub(r"[^\w.+-]+", "_", PurePath(dataset).stem)
    kept = f"results/{suite}-" + f"{stem}-" * (dataset != "auto") + "L{L}.json"
    return f"{shlex.join(words)} --seq-len {{L}} --benchmark-json={kept}"


def cell_command(run_command: str, cell_id: str) -> str:
    """The run's command narrowed to one cell, by its id."""
    return f"{run_command} -k {shlex.quote(cell_id)}"
