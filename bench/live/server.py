"""The live view's server: three fixed addresses on 127.0.0.1, read only, in threads that sleep.

    /            the page           /events     the run, then each change (server-sent events)
    /cells.json  the run, once

A page of another site can reach 127.0.0.1 through the browser, so the Host header must name this
server (a foreign name that resolves to 127.0.0.1 does not), and the policy of our own page lets
nothing be loaded but from here.
"""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import sys
from contextlib import closing
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from threading import Lock, Thread
from typing import Any

from bench.live.board import Board
from bench.options import OptionError

HOST = "127.0.0.1"
_PAGE = Path(__file__).parent / "page.html"
_MOST = 64  # connections at a time
_PATIENCE = 10.0  # seconds for a request to come, and for an answer to be taken


class LiveServer:
    """Holds its port from the beginning, answers from `start`, stops at `end`.

    Args:
        port: 0 for any that is free. Raises OptionError where it can't be had.
    """

    def __init__(self, port: int) -> None:
        try:
            self._server = _Server((HOST, port), _Handler)
        except OSError as error:
            raise OptionError(
                f"--live {port}: {HOST}:{port} can't be opened ({error.strerror});"
                " name another port, or none for any that is free"
            ) from error
        self._thread = Thread(target=self._serve, name="live view", daemon=True)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self._server.port}/"

    def start(self, board: Board) -> None:
        """Show the board to whoever asks."""
        self._server.board = board
        self._thread.start()

    def end(self, text: str) -> None:
        """Tell all who look that the run is over, and close the port; the second time, nothing."""
        if self._server.board is not None:
            self._server.board.end(text)
        if self._server.open:
            self._server.open = False
            if self._thread.is_alive():
                # It waits for a request, without a timer; this is one.
                socket.create_connection((HOST, self._server.port), timeout=1).close()
                self._thread.join(timeout=1)
            self._server.server_close()

    def _serve(self) -> None:
        while self._server.open:
            self._server.handle_request()


class _Server(ThreadingTCPServer):
    daemon_threads = True
    # Elsewhere it lets a port be used again at once; there it would let it be taken by two.
    allow_reuse_address = sys.platform != "win32"
    board: Board | None = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.open = True
        self.port = int(self.server_address[1])
        self.page, self.policy = _page()
        self._connections, self._lock = 0, Lock()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return self.open and self._connections < _MOST

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections += 1
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._connections -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A viewer that went away is no news; the terminal belongs to the run."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = "text/plain; charset=utf-8"

    def do_GET(self) -> None:
        board = self.server.board
        assert board is not None, "requests are taken once there is a board"
        if not self._is_for_us():
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
        elif self.path == "/":
            self._answer(self.server.page, "text/html; charset=utf-8")
        elif self.path == "/cells.json":
            self._answer(board.whole().encode(), "application/json")
        elif self.path == "/events":
            self._follow(board)
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def _only_get(self) -> None:
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, Allow="GET")

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = _only_get

    def _is_for_us(self) -> bool:
        """Whether the request names this server, and comes from its page or from no page."""
        ours = [f"{name}:{self.server.port}" for name in (HOST, "localhost")]
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].lower() not in ours:
            return False
        is_link = self.path == "/"  # which may stand on any page
        return is_link or self.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")

    def _answer(
        self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, **more: str
    ) -> None:
        self.send_response(status)
        for name, value in more.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _refuse(self, status: HTTPStatus, **more: str) -> None:
        text = f"{status.value} {status.phrase}\n"
        self._answer(text.encode(), "text/plain; charset=utf-8", status, **more)

    def _follow(self, board: Board) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        with closing(board.follow()) as lines:
            for line in lines:
                news = f"data: {line}" if line else ":"  # which is a comment
                self.wfile.write(f"{news}\n\n".encode())

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", self.server.policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def version_string(self) -> str:
        return "seqrec-bench"

    def log_message(self, *arguments: Any) -> None:
        """The terminal belongs to the run."""


def _page() -> tuple[bytes, str]:
    """The page, and the policy that allows its own style and script and nothing else."""
    text = _PAGE.read_text(encoding="utf-8")
    style, script = (_hash(text, tag) for tag in ("style", "script"))
    policy = (
        f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self';"
        " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.encode(), policy


def _hash(page: str, tag: str) -> str:
    """Of the page's one element of that name, as a Content-Security-Policy names it."""
    (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digest = hashlib.sha256(inside.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
