"""What a data set is: a published log with its official address, found, fetched and read.

A new one is a file of about ten lines in this folder that ends in `DATASET = PublishedLog(...)`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from data import store_cache
from data.interactions import Interactions, from_log
from data.log import Columns, DataError


@dataclass(frozen=True)
class Request:
    """How to load; the meaning of each field is that of the argument of `data.load`."""

    cache_dir: Path
    data_dir: Path | None = None
    min_count: int = 5
    columns: Columns | None = None
    progress: bool | None = None
    download_seconds: float | None = None  # None: as long as it takes, with retries
    cached: bool = True


class Dataset(Protocol):
    """The type of `DATASET` in a data set's file."""

    def load(self, name: str, request: Request) -> Interactions:
        """Load it; raises DataError where that cannot be done."""
        ...


@dataclass(frozen=True)
class PublishedLog:
    """A log that its owner publishes at one address.

    label: the name shown. url: the official download. checksum: `md5:...` or `sha256:...` as
    published, or None where none is known: then the first download's own is recorded beside it and
    verified from then on. member: the file wanted inside the archive. local_files: names under
    which it is looked for in data_dir, first match first. reference: what to cite.
    """

    label: str
    url: str
    checksum: str | None
    local_files: tuple[str, ...]
    reference: str
    member: str | None = None

    def load(self, name: str, request: Request) -> Interactions:
        """Read it from data_dir, else from the cache, else from its official address.

        Raises DataError for a file that cannot be used, and its subclass DownloadError where there
        is no file and none could be fetched.
        """
        path, source = self._locate(name, request)
        if not source.startswith("file "):
            request = replace(request, columns=None)
        return load_log(path, request, name=name, source=source, member=self.member)

    def is_at_hand(self, data_dir: Path | None, cache_dir: Path) -> bool:
        """Whether it loads without a download; nothing is read or checked."""
        places = [data_dir / local for local in self.local_files] if data_dir else []
        return any(p.is_file() for p in [*places, cache_dir / self.url.rsplit("/", 1)[-1]])

    def _locate(self, name: str, request: Request) -> tuple[Path, str]:
        if request.data_dir is not None:
            if not request.data_dir.is_dir():
                raise DataError(f"--data-dir {request.data_dir}: no such folder")
            for local in self.local_files:
                if (request.data_dir / local).is_file():
                    return request.data_dir / local, f"file {local} in --data-dir"
        from data.download import DownloadError, fetch  # requests is not loaded for a local file

        try:
            fetched = fetch(
                self.url,
                request.cache_dir,
                checksum=self.checksum,
                progress=request.progress,
                seconds=request.download_seconds,
            )
        except DownloadError as error:
            files = " or ".join(self.local_files)
            raise DownloadError(f"{name}: {error}; or put {files} into --data-dir") from error
        return fetched.path, "cache" if fetched.cached else f"downloaded from {self.url}"


def load_log(
    path: Path, request: Request, *, name: str, source: str, member: str | None = None
) -> Interactions:
    """The store of one file: from the cache of stores, else read, filtered and ordered."""

    def read_it() -> Interactions:
        from data.readers import read  # only here are the libraries loaded that parse

        log = read(path, request.columns, member=member)
        return from_log(log, name=name, source=source, min_count=request.min_count)

    if not request.cached:
        return read_it()
    columns = asdict(request.columns or Columns())
    return store_cache.open_or_read(
        path,
        read_it,
        rules={"member": member, "columns": columns, "min_count": request.min_count},
        name=name,
        source=source,
        cache_dir=request.cache_dir,
    )
