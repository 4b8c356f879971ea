"""`.ci/comment` against a server that answers as GitHub does for a pull request's comments."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest

SCRIPT = Path(__file__).resolve().parent.parent.parent / ".ci" / "comment"
MARK = "<!-- seqrec-bench report -->"


class Comments(BaseHTTPRequestHandler):
    """Comments in pages, made by POST and changed by PATCH."""

    server: Server

    def do_GET(self) -> None:
        query = parse_qs(urlparse(self.path).query)
        size, page = int(query["per_page"][0]), int(query["page"][0])
        self._answer(self.server.comments[size * (page - 1) : size * page])

    def do_POST(self) -> None:
        number = len(self.server.comments)
        comment = {"url": f"{self.server.address}/comments/{number}", **self._given()}
        self.server.comments.append(comment)
        self._answer(comment)

    def do_PATCH(self) -> None:
        comment = self.server.comments[int(self.path.rsplit("/", 1)[1])]
        comment |= self._given()
        self._answer(comment)

    def _given(self) -> dict[str, str]:
        self.server.asked.append((self.command, self.path, self.headers["Authorization"]))
        content: dict[str, str] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return content

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Comments)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.comments: list[dict[str, str]] = []
        self.asked: list[tuple[str, str, str]] = []


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def comment(server: Server, report: Path) -> str:
    done = subprocess.run(
        [str(SCRIPT), str(report), "some/project", "7"],
        env=os.environ | {"GITHUB_API_URL": server.address, "GITHUB_TOKEN": "secret"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def test_the_first_report_makes_a_comment_and_the_next_replaces_it(
    server: Server, tmp_path: Path
) -> None:
    report = tmp_path / "report.md"
    report.write_text("PASS: 12 UNCHANGED\n")
    assert comment(server, report) == "comment made"
    report.write_text("REGRESSION: 1 REGRESSED\n")
    assert comment(server, report) == "comment replaced"
    assert [c["body"] for c in server.comments] == [f"{MARK}\nREGRESSION: 1 REGRESSED\n"]
    made = ("POST", "/repos/some/project/issues/7/comments", "Bearer secret")
    assert server.asked[0] == made


def test_it_is_found_among_many_and_others_are_left_alone(server: Server, tmp_path: Path) -> None:
    others = [{"url": f"{server.address}/comments/{i}", "body": f"well {i}"} for i in range(130)]
    mine = {"url": f"{server.address}/comments/130", "body": f"{MARK}\nold"}
    server.comments = [*others, mine]
    (tmp_path / "report.md").write_text("new")
    assert comment(server, tmp_path / "report.md") == "comment replaced"
    assert [c["body"] for c in server.comments] == [
        *(o["body"] for o in others),
        f"{MARK}\nnew",
    ]


def test_what_is_too_long_for_a_comment_is_cut_and_says_so(server: Server, tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("x" * 200_000)
    comment(server, tmp_path / "report.md")
    body = server.comments[0]["body"]
    assert len(body) < 65_536
    assert "the whole report is in the job's summary" in body
