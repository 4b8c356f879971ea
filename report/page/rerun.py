"""Which command measures a run, or one of its cells, again.

Made from what pytest was given; folders and files of the machine that measured are left out.
"""

from __future__ import annotations

import shlex

from report.load import Run

# Where things lie is for the reader to say; what is measured is not.
_PLACES = ("--data-dir", "--results-dir", "--benchmark-json", "-p", "-o", "--junitxml")
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


def cell_command(run_command: str, cell_id: str) -> str:
    """The run's command narrowed to one cell, by its id."""
    return f"{run_command} -k {shlex.quote(cell_id)}"
