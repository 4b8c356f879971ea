"""Downloads from a real local server: whole, broken off, without Range, wrong, refused."""

from __future__ import annotations

import hashlib
import http.server
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from data.download import DownloadError, fetch

CONTENT = bytes(range(256)) * 4096  # 1 MiB
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()


@dataclass
class Server:
    """What the server does with a request, and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    ranges: bool = True  # answers a Range with the rest
    break_after: list[int] = field(default_factory=list)  # bytes sent by each answer in turn
    etag: str = '"v1"'
    status: int | None = None
    wait_seconds: float = 0.0
    asked: list[str | None] = field(default_factory=list)  # the Range of each request


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.headers["Range"])
            time.sleep(state.wait_seconds)
            if state.status is not None:
                self.send_error(state.status)
                return
            first = self._first()
            if first and first >= len(state.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(state.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = state.content[first:]
            self.send_response(206 if first else 200)
            self.send_header("Content-Length", str(len(body)))
            if state.etag:
                self.send_header("ETag", state.etag)
            self.end_headers()
            with suppress(ConnectionError):  # the reader may have left
                self.wfile.write(body[: state.break_after.pop(0)] if state.break_after else body)

        def _first(self) -> int:
            wanted, condition = self.headers["Range"], self.headers["If-Range"]
            if not state.ranges or wanted is None or condition not in (None, state.etag):
                return 0
            return int(wanted.removeprefix("bytes=").removesuffix("-"))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        state.url = f"http://127.0.0.1:{running.server_address[1]}/logs.zip"
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield state
        running.shutdown()


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    first = fetch(server.url, tmp_path / "new" / "cache", checksum=MD5)
    second = fetch(server.url, tmp_path / "new" / "cache", checksum=MD5)
    assert first.path.read_bytes() == CONTENT
    assert (first.cached, second.cached) == (False, True)
    assert len(server.asked) == 1
    assert [entry.name for entry in first.path.parent.iterdir()] == ["logs.zip"]


def test_a_download_that_broke_off_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    server.break_after = [500_000, 300_000]
    assert fetch(server.url, tmp_path, checksum=MD5).path.read_bytes() == CONTENT
    first, second = (int(str(asked)[6:-1]) for asked in server.asked[1:])
    assert 400_000 < first <= 500_000 < second <= 800_000


def test_a_later_call_goes_on_from_what_an_earlier_one_left(server: Server, tmp_path: Path) -> None:
    server.break_after = [500_000, 0, 0, 0]
    with pytest.raises(DownloadError, match="broke off"):
        fetch(server.url, tmp_path, checksum=MD5)
    assert not (tmp_path / "logs.zip").exists()
    server.asked.clear()
    assert fetch(server.url, tmp_path, checksum=MD5).path.read_bytes() == CONTENT
    assert len(server.asked) == 1
    assert 400_000 < int(str(server.asked[0])[6:-1]) <= 500_000


def test_a_server_that_cannot_continue_sends_it_all_again(server: Server, tmp_path: Path) -> None:
    server.ranges, server.break_after = False, [500_000]
    assert fetch(server.url, tmp_path, checksum=MD5).path.read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_server_that_never_gets_far_is_given_up(server: Server, tmp_path: Path) -> None:
    server.ranges, server.break_after = False, [500_000, 300_000] * 20
    with pytest.raises(DownloadError, match=r"broke off"):
        fetch(server.url, tmp_path, checksum=MD5)
    assert len(server.asked) == 4


def test_two_versions_of_a_file_are_never_joined(server: Server, tmp_path: Path) -> None:
    server.break_after = [500_000, 0, 0, 0]
    with pytest.raises(DownloadError):
        fetch(server.url, tmp_path)
    server.content, server.etag = CONTENT[::-1], '"v2"'
    assert fetch(server.url, tmp_path).path.read_bytes() == CONTENT[::-1]


def test_without_version_mark_and_checksum_it_starts_anew(server: Server, tmp_path: Path) -> None:
    server.etag, server.break_after = "", [500_000]
    assert fetch(server.url, tmp_path).path.read_bytes() == CONTENT
    assert server.asked == [None, None]


def test_a_part_that_was_complete_is_taken(server: Server, tmp_path: Path) -> None:
    (tmp_path / "logs.zip.part").write_bytes(CONTENT)
    assert fetch(server.url, tmp_path, checksum=MD5).path.read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


def test_a_part_that_is_too_long_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "logs.zip.part").write_bytes(CONTENT + b"more")
    assert fetch(server.url, tmp_path, checksum=MD5).path.read_bytes() == CONTENT


def test_a_wrong_checksum_removes_the_file_and_says_so(server: Server, tmp_path: Path) -> None:
    wrong = "md5:" + "0" * 32
    with pytest.raises(DownloadError, match=f"does not have the checksum {wrong}") as raised:
        fetch(server.url, tmp_path, checksum=wrong)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_cached_file_that_changed_is_removed(server: Server, tmp_path: Path) -> None:
    fetch(server.url, tmp_path, checksum=MD5).path.write_bytes(b"something else")
    with pytest.raises(DownloadError, match=r"logs\.zip in the cache did not have the checksum"):
        fetch(server.url, tmp_path, checksum=MD5)
    assert fetch(server.url, tmp_path, checksum=MD5).path.read_bytes() == CONTENT


def test_without_a_published_checksum_the_first_download_sets_it(
    server: Server, tmp_path: Path
) -> None:
    fetched = fetch(server.url, tmp_path)
    recorded = (tmp_path / "logs.zip.sha256").read_text().strip()
    assert recorded == hashlib.sha256(CONTENT).hexdigest()
    fetched.path.write_bytes(CONTENT[:-1])
    with pytest.raises(DownloadError, match=recorded):
        fetch(server.url, tmp_path)


@pytest.mark.parametrize("seconds", [None, 20.0])
def test_a_refused_connection_fails_soon_and_in_one_line(
    tmp_path: Path, seconds: float | None
) -> None:
    began = time.monotonic()
    with pytest.raises(DownloadError, match="connection refused") as raised:
        fetch(f"http://127.0.0.1:{_closed_port()}/logs.zip", tmp_path, seconds=seconds)
    assert time.monotonic() - began < 3
    assert "\n" not in str(raised.value)
    assert re.match(r"http://127\.0\.0\.1:\d+/logs\.zip: connection refused$", str(raised.value))


def test_a_file_that_is_gone_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(DownloadError, match="the server answered 404 Not Found"):
        fetch(server.url, tmp_path)
    assert len(server.asked) == 1


def test_a_time_limit_is_kept(server: Server, tmp_path: Path) -> None:
    server.wait_seconds = 3.0
    began = time.monotonic()
    with pytest.raises(DownloadError, match=r"within"):
        fetch(server.url, tmp_path, seconds=0.5)
    assert time.monotonic() - began < 2.0


def test_it_is_quiet_unless_asked_for_a_bar(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fetch(server.url, tmp_path / "quiet", checksum=MD5)
    assert capfd.readouterr() == ("", "")
    fetch(server.url, tmp_path / "shown", checksum=MD5, progress=True)
    shown = capfd.readouterr()
    assert "logs.zip" in shown.err
    assert shown.out == ""
