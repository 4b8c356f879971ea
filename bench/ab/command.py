"""`python regression_report.py --ab BASE_REF`: make both sides ready, measure in turn, give back
what was measured.

It takes the suite's own options (--model, --dataset, --threads, ...) beside its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.ab.blocks import Blocks
from bench.ab.campaign import Campaign, Needs, Pairs
from bench.ab.ledger import Ledger
from bench.ab.news import News
from bench.ab.pins import changed_pins
from bench.ab.sides import (
    HARNESS,
    KERNELS,
    NAMES,
    Name,
    Side,
    SideError,
    lay_out,
    share_compiled,
    take_down,
    with_environment,
)
from bench.ab.worktree import changed, commit_of, file_at, is_dirty, merge_base, models_at
from bench.cell import Cell
from bench.files import write_whole
from bench.journal import JournalError, code_hash, computing, new_manifest, one_line
from bench.kernels import are_missing, compile_missing
from bench.matrix import NO_MODEL
from bench.options import TEXTS, OptionError, Options
from bench.session import Session
from data.log import DataError
from measure.git import GitError

# Each is one line for the user.
REFUSALS = (OptionError, GitError, SideError, DataError, JournalError)
ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMA = "seqrec-bench/ab/1"
# Not of use here: what is measured again, and when, is the comparison's own.
_NOT_OURS = ("--suite", "--repeats", "--energy", "--processes")
PINS = ("pyproject.toml", "constraints.txt")


@dataclass(frozen=True)
class Measured:
    """A comparison as measured: where it lies, and its pairs by cell id.

    Args:
        out_of_time: whether pairs were still wanting when the time box ended.
    """

    folder: Path
    content: dict[str, Any]
    screened: Pairs
    confirmed: Pairs
    out_of_time: bool

    @property
    def machine(self) -> str:
        """The fingerprint of the machine that measured."""
        return str(self.content["machine"]["fingerprint"])


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of --ab and of what it measures."""
    own = parser.add_argument_group("measuring in turn")
    add = own.add_argument
    add("--ab", metavar="BASE_REF", help="measure the merge base with BASE_REF beside the checkout")
    add("--head", metavar="REF", help="this commit instead of the checkout as it is")
    add("--aa", action="store_true", help="the base beside itself: this machine's noise")
    add("--suite", default=None, help="which list of cells (default: ci)")
    add("--time-limit", default="20m", help="such as 90s, 2m30s or 2h (default: 20m)")
    add("--environments", action="store_true", help="a Python for each side, as its commit pins it")
    add("--fresh", action="store_true", help="measure all anew")
    group = parser.add_argument_group("what is measured in turn")
    for name, text in TEXTS.items():
        if name not in _NOT_OURS:
            group.add_argument(name, default=None, help=text.replace("%", "%%"))


def measure(given: argparse.Namespace, needs: Needs, seeds: Sequence[int] = ()) -> Measured:
    """Measure as the options say, or go on with what an earlier start has left.

    Args:
        seeds: that a fit may be learnt with where the suite's do not decide its accuracy.

    Raises:
        REFUSALS: bad input, or a folder that can't be written.
    """
    options = _options(given)
    end = time.monotonic() + _seconds(given.time_limit)
    base = base_of(given)
    head = base if given.aa else commit_of(ROOT, given.head or "HEAD")
    in_place = not given.aa and given.head is None and is_dirty(ROOT)
    session = Session.prepare(options)
    session.hold()
    had, has = models_at(ROOT, base), models_at(ROOT, None if in_place else head)
    session.cells = [cell for cell in session.cells if cell.model in (NO_MODEL, *has)]
    folder, content = _open(given, options, session, base, head + "+" * in_place)
    content["removed"] = [] if options.choices.models else sorted(had - has)
    news = News()
    for line in session.left_out:
        news.now(line)
    print(f"{_short(base)} (base) beside {_short(content['head'])} (head): {folder.name}")
    try:
        sides = _sides(folder, base, head, in_place=in_place, environments=given.environments)
        for side in sides.values():
            left = min(options.timeout, max(1.0, end - time.monotonic()))
            if are_missing(session.cells, side.place):
                line = f"compiling the kernels of the {side.name}, some minutes of the time limit"
                news.now(line)
                compile_missing(side.place, Console(stderr=True), timeout=left)
            if side.name == "base" and not in_place:  # most files are the same on both sides
                share_compiled(side.place.root / KERNELS, sides["head"].place.root / KERNELS)
        campaign = Campaign(
            session.cells,
            Ledger(folder),
            Blocks(folder, sides, options, _manifest(options, session), new=has - had),
            needs,
            end - time.monotonic(),
            seed=options.order_seed,
            say=news,
            reserve=_further_seeds(session.cells, seeds),
        )
        campaign.run()
    finally:
        take_down(folder, ROOT)
    content["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
    _keep(folder, content)
    return Measured(
        folder, content, campaign.pairs("screen"), campaign.pairs("confirm"), campaign.out_of_time
    )


def base_of(given: argparse.Namespace) -> str:
    """The commit that is the base: what BASE_REF and the head have in common.

    Raises:
        GitError: there is none.
    """
    head = commit_of(ROOT, given.head or "HEAD")
    return merge_base(ROOT, commit_of(ROOT, given.ab), head)


def settings_at(commit: str) -> str | None:
    """The pyproject.toml of a commit, None where it has none."""
    return file_at(ROOT, commit, "pyproject.toml")


def noise_file(given: argparse.Namespace) -> Path:
    """Where --aa keeps this machine's noise, and later comparisons find it."""
    options = _options(given)
    return options.results / "noise" / f"{options.machine()['fingerprint']}.json"


def _options(given: argparse.Namespace) -> Options:
    """One thread unless more are asked for: two that wait for each other on a machine that others
    use as well measure the others.
    """
    given.suite = given.suite or "ci"
    given.threads = given.threads or "1"
    given.processes = "1"  # a block is one
    return Options(_Config(given))


def _sides(
    folder: Path, base: str, head: str, *, in_place: bool, environments: bool
) -> dict[Name, Side]:
    """Both from worktrees, so that neither has compiled kernels that the other lacks, but for a
    checkout with changes that no commit holds.
    """
    sides: dict[Name, Side] = {}
    for name, commit in zip(NAMES, (base, head), strict=True):
        here = in_place and name == "head"
        side = lay_out(folder, name, harness=ROOT, commit=commit, in_place=here)
        if environments:
            code = ROOT if here else folder / name / "code"
            side = with_environment(side, folder, code)
        sides[name] = side
    return sides


def _content(path: Path) -> dict[str, Any]:
    """What an earlier start wrote; JournalError where it is damaged."""
    try:
        content = json.loads(path.read_bytes())
        if content["schema"] != SCHEMA or not isinstance(content["cells"], list):
            raise ValueError("of another schema")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise JournalError(f"{path}: damaged ({one_line(error)}); --fresh begins anew") from error
    return dict(content)


def _open(
    given: argparse.Namespace, options: Options, session: Session, base: str, head: str
) -> tuple[Path, dict[str, Any]]:
    """The folder of this comparison: an earlier one of the same things, else a new one."""
    machine = options.machine()
    code = code_hash(ROOT)
    parts = [base, head, given.aa, given.environments, options.order_seed, code]
    parts += [
        machine["fingerprint"],
        computing(machine),
        sorted(cell.key for cell in session.cells),
    ]
    parts += [session.data_hashes, options.memory_limit, options.cpus, options.allocator]
    parts += [(ROOT / name).read_text() for name in PINS if (ROOT / name).exists()]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
    found = [] if given.fresh else sorted(options.results.glob(f"ab-*-{key}/ab.json"))
    if found:
        return found[-1].parent, _content(found[-1])
    stamp = datetime.now(UTC)
    folder = options.results / f"ab-{stamp:%Y%m%d-%H%M%S}-{key}"
    folder.mkdir(parents=True)
    content = {
        "schema": SCHEMA,
        "aa": bool(given.aa),
        "base": base,
        "head": head,
        "cells": [cell.cell_id for cell in session.cells],
        "dataset": session.dataset_line,
        "environments": bool(given.environments),
        "harness": changed(ROOT, base, head.rstrip("+"), *HARNESS),
        "pins": changed_pins(ROOT, base, None if head.endswith("+") else head),
        "machine": machine,
        "order_seed": options.order_seed,
        "started": stamp.isoformat(timespec="seconds"),
        "ended": None,
    }
    _keep(folder, content)
    return folder, content


def _manifest(options: Options, session: Session) -> Any:
    return new_manifest(
        suite=options.suite,
        cells=session.cells,
        argv=[],
        dataset_line=session.dataset_line,
        data_hashes=session.data_hashes,
        limits={},
        commit=None,
        machine=options.machine(),
        root=ROOT,
    )


def _keep(folder: Path, content: dict[str, Any]) -> None:
    write_whole(folder / "ab.json", json.dumps(content, indent=1, sort_keys=True) + "\n")


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s?)?", text)
    try:
        given = [float(part or 0) for part in match.groups()] if match is not None else []
    except ValueError:  # such as 1.2.3
        given = []
    seconds = sum(part * unit for part, unit in zip(given, (3600, 60, 1), strict=False))
    if seconds <= 0:
        raise OptionError(f"--time-limit {text!r}: such as 90s, 20m, 2m30s or 2h is allowed")
    return seconds


def _further_seeds(cells: list[Cell], seeds: Sequence[int]) -> list[Cell]:
    """The same fits with other seeds."""
    fits = [cell for cell in cells if cell.workload == "fit"]
    more = dict.fromkeys(replace(cell, seed=seed) for cell in fits for seed in seeds)
    return [cell for cell in more if cell not in cells]


def _short(commit: str) -> str:
    return commit[:10] + " with changes" * commit.endswith("+")


class _Config:
    """The parsed options, asked for as pytest's are."""

    rootpath = ROOT

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = vars(given)

    def getoption(self, name: str) -> Any:
        return self._given.get(name.lstrip("-").replace("-", "_"))
