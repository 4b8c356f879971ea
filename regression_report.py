"""Did it get slower, larger or less accurate?

    python regression_report.py BASE HEAD         two result files or run folders
    python regression_report.py --ab BASE_REF     this checkout and its merge base, measured in turn
    python regression_report.py --history [FILE]  commit by commit: where levels changed

BASE and HEAD are result files (of `pytest bench/ --benchmark-json=...`, or any pytest-benchmark
JSON) or run folders. Exit codes: 0 pass, 1 confirmed regression, 2 bad input, 3 not decided.
"""

from __future__ import annotations

import argparse
import gc
import shlex
import sys
from functools import partial
from pathlib import Path

from report.command import add_hosted_option, add_output_options, conclude, main
from report.history_command import main as history
from report.in_turn import noise_floors, report_in_turn
from report.load import InputError
from report.margins import Noise, load_margins
from report.noise_file import OlderNoise, keep_noise, read_noise
from report.pairing import needs


def in_turn() -> int:
    """Measure both sides, then judge; the exit code."""
    # What measures brings torch, which judging does without.
    from bench.ab import command as ab

    parser = argparse.ArgumentParser(
        prog="regression_report.py",
        description="Measure two commits in turn and say what changed.",
        epilog="Exit codes: 0 pass, 1 regression, 2 bad input, 3 not decided.",
    )
    ab.add_options(parser)
    parser.add_argument("--strict", action="store_true", help="exit code 3 when inconclusive")
    parser.add_argument("--noise", type=Path, metavar="FILE", help="this machine's noise floor")
    parser.add_argument("--margins", type=Path, metavar="TOML", default=Path("pyproject.toml"))
    add_hosted_option(parser)
    add_output_options(parser.add_argument_group("outputs"))
    given = parser.parse_args()
    try:
        kept = given.noise or ab.noise_file(given)
        noise = () if given.aa else noise_of(given.noise, kept)
        margins = load_margins(given.margins, noise, hosted=given.hosted)
        measured = ab.measure(given, partial(needs, margins))
        if given.aa:
            keep_noise(kept, noise_floors(measured.screened, measured.confirmed), measured.machine)
            print(f"the noise of this machine is kept in {kept}")
        words = [*sys.argv[1:], *["--hosted"] * (given.hosted and "--hosted" not in sys.argv)]
        report = report_in_turn(
            measured.folder,
            margins,
            command=shlex.join(["python", "regression_report.py", *words]),
            strict=given.strict,
            out_of_time=measured.out_of_time,
        )
        return conclude(report, given)
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except (InputError, *ab.REFUSALS) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the finished pairs are kept: the same command goes on", file=sys.stderr)
        return 130


def noise_of(given: Path | None, kept: Path) -> tuple[Noise, ...]:
    """What was asked for, else what this machine has kept, where that is of any use."""
    if given is not None:
        return read_noise(given)
    try:
        return read_noise(kept) if kept.exists() else ()
    except OlderNoise as error:
        print(f"not used: {error}", file=sys.stderr)
        return ()


if __name__ == "__main__":
    asked = {word.split("=", 1)[0] for word in sys.argv[1:]}
    if "--ab" in asked:
        sys.exit(in_turn())
    if "--history" in asked:
        sys.exit(history(sys.argv[1:]))
    gc.disable()  # large results are read once and kept: collecting would only walk over them
    sys.exit(main())
