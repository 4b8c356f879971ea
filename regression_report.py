"""Did it get slower, larger or less accurate?

    python regression_report.py BASE HEAD         two result files or run folders
    python regression_report.py --ab BASE_REF     this checkout and its merge base, measured in turn
    python regression_report.py --history [FILE]  commit by commit: where levels changed

BASE and HEAD are result files (of `pytest bench/ --benchmark-json=...`, or any pytest-benchmark
JSON) or run folders. Exit codes: 0 pass, 1 confirmed regression, 2 bad input, 3 not decided, 4 a
fault of this program.
"""

from __future__ import annotations

import argparse
import gc
import shlex
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from report.command import (
    EPILOG,
    PYPROJECT,
    add_hosted_option,
    add_output_options,
    conclude,
    leave_unread,
    main,
    refuse,
    without_outputs,
)
from report.history_command import main as history
from report.in_turn import noise_floors, report_in_turn
from report.labels import one_line
from report.load import InputError
from report.margins import Margins, Noise, load_margins
from report.noise_file import OlderNoise, keep_noise, read_noise
from report.pairing import needs
from report.seeds import TRIED_SEEDS


def in_turn() -> int:
    """Measure both sides, then judge; the exit code."""
    # What measures brings torch, which judging does without.
    from bench.ab import command as ab

    parser = argparse.ArgumentParser(
        prog="regression_report.py",
        description="Measure two commits in turn and say what changed.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ab.add_options(parser)
    parser.add_argument("--strict", action="store_true", help="exit code 3 when inconclusive")
    parser.add_argument("--noise", type=Path, metavar="FILE", help="this machine's noise floor")
    text = "margins (default: those of the base's pyproject.toml)"
    parser.add_argument("--margins", type=Path, metavar="TOML", help=text)
    add_hosted_option(parser)
    add_output_options(parser.add_argument_group("outputs"))
    given = parser.parse_args()
    try:
        kept = given.noise or ab.noise_file(given)
        noise = () if given.aa else noise_of(given.noise, kept)
        margins, notes = margins_of(given.margins, ab.settings_at(ab.base_of(given)))
        margins = replace(margins, noise=tuple(noise), hosted=given.hosted)
        measured = ab.measure(given, partial(needs, margins), TRIED_SEEDS)
        if given.aa:
            floors = noise_floors(measured.screened, measured.confirmed)
            for other in keep_noise(kept, floors, measured.machine):
                print(f"dropped from {kept}: the noise of another machine, {one_line(other, 80)}")
            print(f"the noise of this machine is kept in {kept}")
        report = report_in_turn(
            measured.folder,
            margins,
            command=command_again(sys.argv[1:], hosted=given.hosted),
            strict=given.strict,
            out_of_time=measured.out_of_time,
            notes=notes,
        )
        return conclude(report, given)
    except BrokenPipeError:
        raise
    except OSError as error:
        return refuse(f"{error.filename}: {error.strerror}", given)
    except (InputError, *ab.REFUSALS) as error:
        return refuse(str(error), given)
    except KeyboardInterrupt:
        print("\nstopped; the finished pairs are kept: the same command goes on", file=sys.stderr)
        return 130


def margins_of(given: Path | None, of_base: str | None) -> tuple[Margins, list[str]]:
    """What was asked for, else the base's margins, and a note where the head has others: no change
    is judged by margins that it brings along.

    Args:
        of_base: the base's pyproject.toml, None where it has none.
    """
    if given is not None:
        return load_margins(given), []
    own = load_margins()
    if of_base is None or "tool.seqrec-bench.margins" not in of_base:
        return own, ["the base has no margins: those of the head's pyproject.toml hold"]
    try:
        margins = load_margins(PYPROJECT, text=of_base)
    except InputError as error:
        return own, [f"the base's margins can't be used, the head's hold: {error}"]
    other = "the head's pyproject.toml has other margins: the base's hold until it is merged"
    return margins, [] if margins == own else [other]


def command_again(words: Sequence[str], *, hosted: bool) -> str:
    """What goes on with this comparison: with --fresh the same command would begin anew. Where CI
    puts its files is nobody else's concern.
    """
    kept = [word for word in without_outputs(words) if word != "--fresh"]
    more = ["--hosted"] * (hosted and "--hosted" not in kept)
    return shlex.join(["python", "regression_report.py", *kept, *more])


def noise_of(given: Path | None, kept: Path) -> tuple[Noise, ...]:
    """What was asked for, else what this machine has kept, where that is of any use."""
    if given is not None:
        return read_noise(given)
    try:
        return read_noise(kept) if kept.exists() else ()
    except OlderNoise as error:
        print(f"not used: {error}", file=sys.stderr)
        return ()


def _asked_for() -> int:
    asked = {word.split("=", 1)[0] for word in sys.argv[1:]}
    if "--ab" in asked:
        return in_turn()
    if "--history" in asked:
        return history(sys.argv[1:])
    gc.disable()  # large results are read once and kept: collecting would only walk over them
    return main()


if __name__ == "__main__":
    try:
        sys.exit(_asked_for())
    except BrokenPipeError:
        leave_unread()
        sys.exit(141)
    except Exception:  # Python's own code for it is 1, which here is a regression
        traceback.print_exc()
        sys.exit(4)
