"""Stores kept on disk, so that a log is parsed, filtered and ordered once and then only mapped.

    <cache>/stores/<name>-<key>/   items.npy  offsets.npy  item_labels.npy  store.json

The key is a hash of all that decides the result: the file's contents, the rules asked for, and the
code that applies them, so a store that no longer fits is never found. A folder appears whole or not
at all; one that was damaged later is named in one line and made anew. SEQREC_STORE_CACHE=off reads
the log each time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
import tokenize
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from data.interactions import Interactions
from data.log import in_one_line

VARIABLE = "SEQREC_STORE_CACHE"
_OFF = ("0", "off", "no", "false")
_ARRAYS = ("items", "offsets", "item_labels")
_HASHED_BYTES = 32 << 20  # a larger file is known by its name, size and times
_CHECKED_BYTES = 64 << 20  # a larger store is mapped without reading it through
_KEPT = 24  # stores; writing one more removes the oldest
_ABANDONED_SECONDS = 3600.0
_CODE = Path(__file__).parent
# What numpy and json raise for files that are not what they were.
_DAMAGED = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, OverflowError),
    *(SyntaxError, tokenize.TokenError, RecursionError, MemoryError, UserWarning),
)
_NOT_THE_STORES = ("batches.py", "download.py", "synthetic.py")


def is_on() -> bool:
    """Whether stores are kept, by the environment: yes, unless SEQREC_STORE_CACHE says off."""
    return os.environ.get(VARIABLE, "").strip().lower() not in _OFF


def open_or_read(
    path: Path,
    read: Callable[[], Interactions],
    *,
    rules: Mapping[str, Any],
    name: str,
    source: str,
    cache_dir: Path,
) -> Interactions:
    """The store of the log at `path`: mapped from the cache, else `read()` and kept for next time.

    rules: plain values that change what `read` gives. name, source: what the store is called and
    where it is said to come from; they are not part of the key. A cache that cannot be written is
    no error. An opened store's arrays are read-only.
    """
    try:
        key = _key(path, rules)
    except OSError:  # no such file: reading says so in its own words
        return read()
    folder = cache_dir / "stores" / f"{_slug(path)}-{key}"
    kept = _open(folder, name, source)
    if kept is not None:
        return kept
    store = read()
    with suppress(OSError):
        if _key(path, rules) == key:  # else the log changed while it was read
            _keep(folder, store)
    return store


def _open(folder: Path, name: str, source: str) -> Interactions | None:
    """The store in a folder; None where there is none, or (with a line on stderr) a damaged one."""
    if not folder.is_dir():
        return None
    try:
        content = json.loads((folder / "store.json").read_bytes())
        arrays = {array: _map(folder, array, content["crc32"][array]) for array in _ARRAYS}
        rules = str(content["rules"])
        users, items, rows = map(int, content["in_log"])
    except _DAMAGED as error:
        reason = in_one_line(str(error) or type(error).__name__)
        print(f"store cache: {folder.name} is damaged ({reason}); made anew", file=sys.stderr)
        _remove(folder)
        return None
    num_items = len(arrays["item_labels"]) - 1
    return Interactions(
        name=name,
        num_items=num_items,
        source=source,
        rules=rules,
        store="cached",
        in_log=(users, items, rows),
        **arrays,
    )


def _map(folder: Path, name: str, expected: int) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # what numpy says of headers it did not write
        mapped = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    # A plain array over the same pages: numpy's memmap class costs at each index operation.
    array: NDArray[Any] = np.asarray(mapped)
    if array.nbytes <= _CHECKED_BYTES and _checksum(array) != expected:
        raise ValueError(f"{name}.npy does not have its checksum")
    return array


def _keep(folder: Path, store: Interactions) -> None:
    """Write the store beside its place, flush it, then rename the whole folder there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    try:
        checksums = {}
        for name in _ARRAYS:
            array = np.ascontiguousarray(getattr(store, name))
            checksums[name] = _checksum(array)
            with _flushed(partial / f"{name}.npy") as file:
                np.save(file, array, allow_pickle=False)
        with _flushed(partial / "store.json") as file:
            facts = {"rules": store.rules, "in_log": store.in_log, "crc32": checksums}
            file.write(json.dumps(facts).encode())
        partial.chmod(0o755)
        os.rename(partial, folder)  # fails where another process was faster, whose store is as good
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _prune(folder.parent)


@contextmanager
def _flushed(path: Path) -> Iterator[IO[bytes]]:
    """A new file, on the disk when the block ends."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _prune(stores: Path) -> None:
    """Remove the oldest stores beyond the number kept, and what interrupted writers left.

    A process that has one open keeps it: its pages live until they are unmapped.
    """
    found = sorted(stores.iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)
    finished = [path for path in found if not path.name.startswith(".")]
    abandoned = [
        path
        for path in found
        if path.name.startswith(".") and path.stat().st_mtime < time.time() - _ABANDONED_SECONDS
    ]
    for path in (*finished[_KEPT:], *abandoned):
        _remove(path)


def _remove(folder: Path) -> None:
    """Out of sight first, so that nobody opens half a store; then away."""
    aside = folder.with_name(f".removed-{os.getpid()}-{folder.name}")
    with suppress(OSError):
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _key(path: Path, rules: Mapping[str, Any]) -> str:
    parts = [_identity(path), dict(rules), _code(), np.__version__, version("pyarrow")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def _identity(path: Path) -> list[Any]:
    """Which log it is: by its contents where they are read in milliseconds."""
    facts = path.stat()
    if facts.st_size <= _HASHED_BYTES:
        with path.open("rb") as file:
            return [path.name, hashlib.file_digest(file, "blake2b").hexdigest()]
    return [str(path.resolve()), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]


def _code() -> str:
    """A hash of the code that makes a store of a log: a change of it never serves an old one."""
    digest = hashlib.sha256()
    for path in sorted(_CODE.rglob("*.py")):
        if path.name not in _NOT_THE_STORES:
            digest.update(path.relative_to(_CODE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _checksum(array: NDArray[Any]) -> int:
    kind = f"{array.dtype.str}{array.shape}".encode()
    return zlib.crc32(array.reshape(-1).view(np.uint8).data, zlib.crc32(kind))


def _slug(path: Path) -> str:
    return "".join(c if c.isalnum() else "_" for c in path.name.split(".")[0])[:40]
