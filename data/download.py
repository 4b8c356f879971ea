"""Fetch a published file once: continued where it broke off, checked, kept in the cache.

Pooch names, verifies and moves the file; it cannot continue a broken download, so it is given
`_Downloader`, which keeps what has arrived in `<file>.part` and asks for the rest (HTTP Range). The
`.part` survives the process: the next call goes on from it.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.log import DataError

if TYPE_CHECKING:
    import requests  # a tenth of a second, which a file in the cache does not need

_CONNECT_SECONDS = 10.0
_READ_SECONDS = 30.0  # the longest silence of a server before the attempt counts as broken
_MAX_FRUITLESS = 3  # attempts in a row that brought nothing, before giving up
_CHUNK_BYTES = 1 << 16


class DownloadError(DataError):
    """A file that is neither in the cache nor could be fetched, and why."""


@dataclass(frozen=True)
class Fetched:
    """A file in the cache; `cached` where it was there before."""

    path: Path
    cached: bool


def fetch(
    url: str,
    cache_dir: Path,
    *,
    checksum: str | None = None,
    progress: bool | None = None,
    seconds: float | None = None,
) -> Fetched:
    """The file at `url`, from the cache or downloaded into it.

    checksum: `md5:...` or `sha256:...`; None records the SHA-256 of the first download in
    `<file>.sha256` and verifies that from then on. progress: None shows a bar where stderr is a
    terminal. seconds: a limit for the whole, with one try in place of retries. Raises DownloadError
    in one line; a file with a wrong checksum is removed.
    """
    path = cache_dir / url.rsplit("/", 1)[-1]
    record = path.with_name(path.name + ".sha256")
    if checksum is None and record.is_file():
        checksum = f"sha256:{record.read_text('ascii').strip()}"
    if path.is_file():
        if checksum is not None:
            _verify(path, checksum)
        return Fetched(path, cached=True)
    part = path.with_name(path.name + ".part")
    downloader = _Downloader(part, checked=checksum is not None, progress=progress)
    if seconds is None:
        _retrieve(url, path, checksum, downloader)
    else:
        downloader.max_fruitless, downloader.deadline = 1, time.monotonic() + seconds
        _within(seconds, lambda: _retrieve(url, path, checksum, downloader), url)
    if checksum is None:
        record.write_text(_digest(path, "sha256") + "\n", "ascii")
    return Fetched(path, cached=False)


def _retrieve(url: str, path: Path, checksum: str | None, downloader: _Downloader) -> None:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pooch.retrieve(url, checksum, fname=path.name, path=path.parent, downloader=downloader)
    except DownloadError:
        raise
    except ValueError as error:  # pooch's word for a wrong checksum; it has removed the file
        raise DownloadError(
            f"{url}: what arrived does not have the checksum {checksum}, and was removed"
        ) from error
    except OSError as error:
        raise DownloadError(f"{url}: {_reason(error)}") from error


def _verify(path: Path, checksum: str) -> None:
    algorithm, _, expected = checksum.rpartition(":")
    if _digest(path, algorithm) != expected:
        path.unlink()
        raise DownloadError(
            f"{path.name} in the cache did not have the checksum {checksum} and was removed; "
            "load again to download it"
        )


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _within(seconds: float, work: Callable[[], None], url: str) -> None:
    # A thread, because nothing else bounds a name look-up. It ends itself at the same deadline.
    outcome: list[BaseException | None] = []

    def run() -> None:
        try:
            work()
            outcome.append(None)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True, name="download")
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise DownloadError(f"{url}: not downloaded within {seconds:g} s")
    if outcome[0] is not None:
        raise outcome[0]


@dataclass
class _Downloader:
    """Called by pooch to fill `output_file`; keeps its progress in `part` between attempts."""

    part: Path
    checked: bool  # a checksum is known, so that a rest may be joined on without a version mark
    progress: bool | None = None
    max_fruitless: int = _MAX_FRUITLESS
    deadline: float | None = None
    _bar: Any = field(default=None, init=False)

    def __call__(self, url: str, output_file: str | os.PathLike[str], _pooch: object) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

        console = Console(stderr=True)
        shown = console.is_terminal if self.progress is None else self.progress
        columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=not shown) as bar:
            task = bar.add_task(url.rsplit("/", 1)[-1], total=None)
            self._bar = lambda done, total: bar.update(task, completed=done, total=total)
            self._attempts(url)
        self.part.replace(output_file)
        self._tag.unlink(missing_ok=True)

    @property
    def _tag(self) -> Path:
        """Holds the server's mark of the version that `part` is a beginning of."""
        return self.part.with_name(self.part.name + ".tag")

    def _attempts(self, url: str) -> None:
        fruitless, most = 0, self._size()
        while True:
            try:
                return self._attempt(url)
            except OSError as error:  # that of the disk, or of requests, whose errors are OSErrors
                fruitless = 0 if self._size() > most else fruitless + 1
                most = max(most, self._size())
                if fruitless >= self.max_fruitless or self._is_late() or _is_final(error):
                    raise DownloadError(f"{url}: {_reason(error)}") from error
                time.sleep(min(2.0, 0.5 * fruitless))

    def _attempt(self, url: str) -> None:
        import requests

        have = self._size()
        tag = self._tag.read_text("utf-8") if self._tag.is_file() else ""
        headers = {"Accept-Encoding": "identity"}  # a Range counts the bytes as stored
        if have and (tag or self.checked):
            headers |= {"Range": f"bytes={have}-"} | ({"If-Range": tag} if tag else {})
        with requests.get(
            url,
            headers=headers,
            stream=True,
            timeout=(self._left(_CONNECT_SECONDS), self._left(_READ_SECONDS)),
        ) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                if answer.headers.get("Content-Range") == f"bytes */{have}":
                    return  # all of it had arrived before
                self.part.unlink()
                raise requests.ConnectionError("the file has changed at its address")
            answer.raise_for_status()
            # 206 is the rest of our version; 200 is the whole file, from a server that cannot
            # continue or whose file has changed since.
            have = have if answer.status_code == requests.codes.partial_content else 0
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else None
            with self.part.open("ab" if have else "wb") as file:
                self._tag.write_text(_version(answer), "utf-8")
                for chunk in answer.iter_content(_CHUNK_BYTES):
                    file.write(chunk)
                    have += len(chunk)
                    self._bar(have, total)
                    if self._is_late():
                        raise requests.Timeout("the time allowed is over")
        if total is not None and have != total:
            raise requests.ConnectionError(f"broke off at {have} of {total} bytes")

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _left(self, seconds: float) -> float:
        if self.deadline is None:
            return seconds
        return max(0.1, min(seconds, self.deadline - time.monotonic()))

    def _is_late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline


def _version(answer: requests.Response) -> str:
    """The mark to send as If-Range, which takes no weak ETag (RFC 9110, 13.1.5)."""
    mark = answer.headers.get("ETag", "W/")
    return answer.headers.get("Last-Modified", "") if mark.startswith("W/") else mark


def _is_final(error: Exception) -> bool:
    """Nobody there, or a refusal of the request itself: no repetition changes that."""
    import requests

    if _reason(error) == "connection refused":
        return True
    answer = error.response if isinstance(error, requests.HTTPError) else None
    return answer is not None and answer.status_code < 500


def _reason(error: Exception) -> str:
    """One line of what went wrong, without the library's nested representation."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        if isinstance(cause, socket.gaierror):
            return "the name of the host cannot be resolved"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, requests.Timeout):
        return "no answer within the time allowed"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
