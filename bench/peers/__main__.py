"""`python -m bench.peers`: other libraries beside ours; `--help` lists the options.

Progress goes to standard error, tables to standard output. Exit codes: 0 measured (a peer that
could not run is a row with its reason), 1 a check failed, 2 an option or the data is not right.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console

from bench.peers import options
from bench.peers.ledger import LedgerError, read
from bench.peers.meeting import Meeting
from bench.peers.tables import markdown, terminal
from data.log import DataError


def main(arguments: Sequence[str]) -> int:
    try:
        chosen = options.parse(arguments)
        if chosen.markdown is not None:
            files = chosen.markdown or tuple(sorted(chosen.results.glob("*.json")))
            print("\n".join(markdown(read(path)) for path in files))
            return 0
        meeting = Meeting(chosen, _say)
        if chosen.environments_only:
            failed = meeting.make_environments()
            print("\n".join(failed.values()) or "environments are ready", file=sys.stderr)
            return int(bool(failed))
        contents = meeting.run()
    except (options.OptionError, DataError, LedgerError) as error:
        print(error, file=sys.stderr)
        return 2
    console = Console(width=None if sys.stdout.isatty() else 200)
    for content in contents:
        console.print(terminal(content))
    rows = [row for content in contents for row in content["rows"]]
    return int(any(row["status"] == "incorrect" for row in rows))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
