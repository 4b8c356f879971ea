"""Data: logs of who took which item in what order, read, filtered, split and batched.

    from data import load
    log = load("ml_1m", data_dir=Path("logs"))        # or a path, or "auto"
    from data.batches import train_batches            # needs torch; nothing else here does

A data set is one file of this folder that ends in `DATASET = ...`; it is imported when it is named.
"""

from __future__ import annotations

import importlib
import os
import re
from dataclasses import replace
from pathlib import Path

from data import store_cache
from data.dataset import Dataset, Request, load_log
from data.interactions import Interactions, Split
from data.log import Columns, DataError

__all__ = [
    "Columns",
    "DataError",
    "Interactions",
    "Split",
    "default_cache_dir",
    "is_path",
    "load",
    "names",
]

_AUTO_SECONDS = 20.0  # the most that "auto" spends on a download before it takes the stand-in


def names() -> list[str]:
    """Names of the data sets, from the files that define one; nothing is imported."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return [f.stem for f in files if re.search(r"^DATASET\b", f.read_text("utf-8"), re.MULTILINE)]


def default_cache_dir() -> Path:
    """Where downloads and stores are: SEQREC_CACHE, or `seqrec-bench` in the user's cache."""
    if given := os.environ.get("SEQREC_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seqrec-bench"


def load(
    name: str,
    *,
    data_dir: Path | None = None,
    cache_dir: Path | None = None,
    min_count: int = 5,
    columns: Columns | None = None,
    progress: bool | None = None,
    cached: bool | None = None,
) -> Interactions:
    """Load a data set by name, a file by path, or `"auto"`.

    name: one of `names()`; `synthetic` also with sizes (`synthetic_u2000_i1000_n100`, see
    data/synthetic.py); a text with a path separator or a known ending is a file to read; `auto` is
    ML-100K where it is at hand or can be downloaded within 20 s, else the synthetic data, and the
    source says which and why. A data set that was named is never replaced by another.
    data_dir: folder searched before the cache and the network. min_count: the k of the k-core (the
    synthetic data is not filtered). columns: the columns of a file that has names of its own.
    progress: a bar for downloads; None shows one on a terminal. cached: whether a log that was read
    before is opened from the cache of stores, and one read now is kept there; None leaves that to
    the environment (see data/store_cache.py). What is returned says which in `store`.

    Raises DataError, one line that names the value and what is allowed.
    """
    request = Request(
        cache_dir=default_cache_dir() if cache_dir is None else Path(cache_dir),
        data_dir=None if data_dir is None else Path(data_dir),
        min_count=min_count,
        columns=columns,
        progress=progress,
        cached=store_cache.is_on() if cached is None else cached,
    )
    if name == "auto":
        return _load_auto(request)
    if is_path(name):
        return _load_file(Path(name).expanduser(), request)
    return _dataset(name).load(name, request)


def _load_auto(request: Request) -> Interactions:
    from data.download import DownloadError

    request = replace(request, download_seconds=_AUTO_SECONDS)
    try:
        return _dataset("ml_100k").load("ml_100k", request)
    except DownloadError as error:
        stand_in = _dataset("synthetic").load("synthetic", request)
        # The error begins with the name: "ml_100k: <reason>".
        source = f"synthetic stands in for {error}; {stand_in.source}"
        return replace(stand_in, source=source)


def _load_file(path: Path, request: Request) -> Interactions:
    from data.readers import ending

    stem = path.name[: len(path.name) - len(ending(path.name))]
    return load_log(path, request, name=stem, source=f"file {path.name}")


def is_path(name: str) -> bool:
    """Whether `load` takes the text for a file's path: it has a separator or a known ending."""
    from data.readers import ending

    return "/" in name or os.sep in name or bool(ending(name))


def _dataset(name: str) -> Dataset:
    stem = "synthetic" if name.startswith("synthetic_") else name
    if stem not in names():
        raise DataError(
            f"data set {name!r} is not one of auto, {', '.join(names())}, "
            "synthetic_u<users>_i<items>_n<events> or the path of a file"
        )
    dataset: Dataset = importlib.import_module(f"data.{stem}").DATASET
    return dataset
