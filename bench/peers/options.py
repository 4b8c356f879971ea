"""The command line of `python -m bench.peers`, checked before anything is made or measured."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.peers.roster import MODELS, NAMES
from bench.peers.scan import RIVALS
from measure.processor import physical_cores

ROOT = Path(__file__).resolve().parent.parent.parent
SCAN = "scan"


class OptionError(ValueError):
    """A value that is not allowed; the message names it and what is."""


@dataclass(frozen=True)
class Options:
    """What is compared, where environments are kept, and how long a round takes."""

    dataset: str
    data_dir: Path | None
    seq_lens: tuple[int, ...]
    threads: int
    only: tuple[str, ...]
    peers: tuple[str, ...]
    rounds: int
    seconds: float
    timeout: float
    scan_timeout: float
    env_dir: Path
    python: str
    results: Path
    paths: dict[str, Path]
    markdown: tuple[Path, ...] | None
    environments_only: bool


def parse(arguments: Sequence[str]) -> Options:
    """Raises OptionError for a value that is not allowed; argparse itself ends with exit code 2."""
    given = _parser().parse_args(arguments)
    paths = {"--mamba4rec-path": given.mamba4rec_path, "--mamba-ssm-path": given.mamba_ssm_path}
    rivals = [rival.library for rival in RIVALS]
    return Options(
        dataset=given.dataset,
        data_dir=_folder("--data-dir", given.data_dir),
        seq_lens=tuple(_whole("--seq-len", text) for text in given.seq_len.split(",")),
        threads=_threads(given.threads),
        only=_choice("--only", given.only, [*MODELS, SCAN]),
        peers=_choice("--peer", given.peer, dict.fromkeys([*NAMES, *rivals])),
        rounds=_whole("--rounds", given.rounds),
        seconds=_positive("--seconds", given.seconds),
        timeout=_positive("--timeout", given.timeout),
        scan_timeout=_positive("--scan-timeout", given.scan_timeout),
        env_dir=Path(given.env_dir).absolute(),
        python=given.python,
        results=Path(given.results_dir),
        paths={
            name: folder.absolute()
            for name, text in paths.items()
            if (folder := _folder(name, text)) is not None
        },
        environments_only=given.environments_only,
        markdown=None if given.markdown is None else tuple(Path(p) for p in given.markdown),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers", description="Other libraries beside ours, measured in turn."
    )
    add = parser.add_argument
    add("--dataset", default="ml_100k", help="a data set by name, or a file's path")
    add("--data-dir", help="folder with data sets, looked in first")
    add("--seq-len", default="50", help="history lengths, such as 50,200")
    add("--threads", default="1", help="threads of each side (default: 1)")
    add("--only", help=f"some of {', '.join(MODELS)}, {SCAN} (default: all)")
    add("--peer", help=f"some of {', '.join(NAMES)} (default: all)")
    add("--rounds", default="5", help="pairs of rounds (default: 5)")
    add("--seconds", default="5", help="seconds of a training round (default: 5)")
    add("--timeout", default="1800", help="seconds for one answer of a side (default: 1800)")
    add("--scan-timeout", default="120", help="seconds for one call of a scan (default: 120)")
    add("--env-dir", default=str(ROOT / ".tox" / "peers-envs"), help="where environments are kept")
    add("--python", default=sys.executable, help="the Python that environments are made from")
    add("--results-dir", default=str(ROOT / "results" / "peers"), help="where results are kept")
    add("--mamba4rec-path", help="a checkout of github.com/chengkai-liu/Mamba4Rec")
    add("--mamba-ssm-path", help="mamba-ssm's source, unpacked")
    add("--environments-only", action="store_true", help="make what is missing, measure nothing")
    add(
        "--markdown",
        nargs="*",
        metavar="FILE",
        help="measure nothing; print results files (default: all kept) as Markdown",
    )
    return parser


def _choice(option: str, text: str | None, allowed: Iterable[str]) -> tuple[str, ...]:
    names = list(allowed)
    if text is None:
        return tuple(names)
    chosen = tuple(part.strip() for part in text.split(","))
    for name in chosen:
        if name not in names:
            raise OptionError(f"{option} {name!r}: choose from {', '.join(names)}")
    return chosen


def _threads(text: str) -> int:
    threads, cores = _whole("--threads", text), physical_cores()
    if threads > cores:
        raise OptionError(f"--threads {threads}: this machine allots 1 to {cores} cores")
    return threads


def _folder(option: str, text: str | None) -> Path | None:
    if text is not None and not Path(text).is_dir():
        raise OptionError(f"{option} {text!r}: no such folder")
    return None if text is None else Path(text)


def _whole(option: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text.strip()) or int(text) < 1:
        raise OptionError(f"{option} {text!r}: whole numbers from 1 are allowed")
    return int(text)


def _positive(option: str, text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text.strip()) or float(text) <= 0:
        raise OptionError(f"{option} {text!r}: a number of seconds above 0 is allowed")
    return float(text)
