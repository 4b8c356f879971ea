"""The live view's server: what it answers, whom it refuses, and that it sleeps."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from bench.cell import Cell
from bench.live.board import Board
from bench.live.server import LiveServer
from bench.options import OptionError
from measure.record import Record

CELL = Cell("gru4rec", "recommend", "ml_1m", "all", 50, 1)
NASTY = "<img src=x onerror=alert(1)>\"'&"


class Viewer:
    """Asks a server on this machine, as a browser or with any header."""

    def __init__(self, address: str) -> None:
        self.port = int(address.rstrip("/").rpartition(":")[2])

    def ask(self, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=given)
        return connection.getresponse()

    def say(self, request: str) -> bytes:
        """The answer to these very lines."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(request.encode())
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture
def board() -> Board:
    return Board([CELL], {"Data": NASTY})


@pytest.fixture
def server(board: Board) -> Iterator[LiveServer]:
    made = LiveServer(0)
    made.start(board)
    yield made
    made.end("over")


@pytest.fixture
def viewer(server: LiveServer) -> Viewer:
    return Viewer(server.address)


def test_the_page_allows_only_its_own_style_and_script(viewer: Viewer) -> None:
    answer = viewer.ask("/")
    page, policy = answer.read().decode(), answer.headers["Content-Security-Policy"]
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"""\s(style|on\w+)=["']""", page)
    assert not re.search(r"https?://|innerHTML|insertAdjacent|document\.write|eval\(", page)


def test_names_with_html_are_only_ever_json(viewer: Viewer) -> None:
    page = viewer.ask("/").read().decode()
    assert NASTY not in page
    answer = viewer.ask("/cells.json")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert json.loads(answer.read())["facts"]["Data"] == NASTY


def test_cells_appear_as_they_land_and_the_end_is_told(
    server: LiveServer, board: Board, viewer: Viewer, record_of: Callable[..., Record]
) -> None:
    events = viewer.ask("/events")
    assert events.headers["Content-Type"] == "text/event-stream"

    def news() -> dict[str, object]:
        line = events.readline().decode()
        assert events.readline() == b"\n"
        content: dict[str, object] = json.loads(line.removeprefix("data: "))
        return content

    assert news()["done"] == 0
    board.begin(CELL, left=5.0)
    assert news()["left_seconds"] == 5.0
    board.land(record_of(CELL), kept=False, left=0.0)
    assert news()["done"] == 1
    server.end("kept in results/x")
    assert news()["ended"] == "kept in results/x"
    assert events.readline() == b""


def test_foreign_hosts_are_refused(viewer: Viewer) -> None:
    port = viewer.port
    allowed = {f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"}
    foreign = {"evil.example", f"evil.example:{port}", "127.0.0.1", "localhost:1", "", "[::1]"}
    for path in ("/", "/cells.json", "/events"):
        for host in foreign:
            answer = viewer.ask(path, Host=host)
            assert (answer.status, answer.read()) == (421, b"421 Misdirected Request\n"), host
    for host in allowed:
        assert viewer.ask("/", Host=host).status == 200


def test_no_host_or_two_are_refused(viewer: Viewer) -> None:
    ours = f"Host: 127.0.0.1:{viewer.port}\r\n"
    assert b" 421 " in viewer.say("GET / HTTP/1.0\r\n\r\n")
    assert b" 421 " in viewer.say(f"GET / HTTP/1.1\r\n{ours}Host: evil.example\r\n\r\n")
    assert b" 200 " in viewer.say(f"GET / HTTP/1.1\r\n{ours}\r\n")


def test_another_sites_page_may_link_to_the_page_but_not_read_the_run(viewer: Viewer) -> None:
    for path, status in (("/", 200), ("/events", 421), ("/cells.json", 421)):
        assert viewer.ask(path, Sec_Fetch_Site="cross-site").status == status
    assert viewer.ask("/cells.json", Sec_Fetch_Site="same-origin").status == 200


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_only_get_is_answered(viewer: Viewer, method: str) -> None:
    answer = viewer.ask("/", method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET"


@pytest.mark.parametrize(
    "path",
    ["/page.html", "/server.py", "/../board.py", "/%2e%2e/x", "//etc/passwd", "/cells.json?a", "*"],
)
def test_other_paths_are_not_found(viewer: Viewer, path: str) -> None:
    assert viewer.ask(path).status == 404


def test_what_is_no_request_is_refused_without_markup(viewer: Viewer) -> None:
    answer = viewer.say("<b>nonsense</b>\r\n\r\n")
    assert b"<html" not in answer.lower()
    assert b"text/html" not in answer


def test_only_this_machine_is_listened_to(server: LiveServer, viewer: Viewer) -> None:
    assert server.address.startswith("http://127.0.0.1:")
    with pytest.raises(OSError):  # noqa: PT011  (refused, or out of time)
        socket.create_connection(("127.0.0.2", viewer.port), timeout=1)


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(OptionError) as caught:
            LiveServer(port)
    message = str(caught.value)
    assert message.startswith(f"--live {port}: 127.0.0.1:{port} can't be opened (Address already")
    assert "\n" not in message


def test_silent_and_vanished_viewers_keep_nobody_waiting(
    server: LiveServer, board: Board, viewer: Viewer, record_of: Callable[..., Record]
) -> None:
    silent = [socket.create_connection(("127.0.0.1", viewer.port)) for _ in range(5)]
    viewer.ask("/events").close()
    assert viewer.ask("/cells.json").status == 200
    board.land(record_of(CELL), kept=False, left=0.0)
    begun = time.monotonic()
    server.end("over")
    assert time.monotonic() - begun < 2
    for connection in silent:
        connection.close()


def test_viewers_who_came_and_went_during_a_long_cell_keep_nobody_out(viewer: Viewer) -> None:
    for _ in range(80):
        gone = viewer.ask("/events")
        assert gone.status == 200
        gone.close()
    assert viewer.ask("/cells.json").status == 200


def test_after_the_end_the_port_is_free_and_no_thread_waits(board: Board) -> None:
    server = LiveServer(0)
    port = Viewer(server.address).port
    server.start(board)
    server.end("over")
    server.end("over")
    socket.create_server(("127.0.0.1", port)).close()
    assert not any(thread.name == "live view" for thread in threading.enumerate())


def test_viewers_cost_nothing_while_a_cell_is_measured(viewer: Viewer) -> None:
    followers = [viewer.ask("/events") for _ in range(3)]
    for follower in followers:
        follower.readline()
    time.sleep(0.05)
    spent = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - spent < 0.01
    for follower in followers:
        follower.close()
