"""`.ci/comment` against a server that answers as GitHub does for a pull request's comments."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

SCRIPT = Path(__file__).resolve().parent.parent.parent / ".ci" / "comment"
MARK = "<!-- seqrec-bench report -->"
BOT, PERSON = {"type": "Bot"}, {"type": "User"}


class Comments(BaseHTTPRequestHandler):
    """Comments in pages, made by POST and changed by PATCH."""

    server: Server

    def do_GET(self) -> None:
        query = parse_qs(urlparse(self.path).query)
        size, page = int(query["per_page"][0]), int(query["page"][0])
        self._answer(self.server.comments[size * (page - 1) : size * page])

    def do_POST(self) -> None:
        number = len(self.server.comments)
        comment = {"url": f"{self.server.address}/comments/{number}", "user": BOT, **self._given()}
        self.server.comments.append(comment)
        self._answer(comment)

    def do_PATCH(self) -> None:
        comment = self.server.comments[int(self.path.rsplit("/", 1)[1])]
        comment |= self._given()
        self._answer(comment)

    def _given(self) -> dict[str, str]:
        if self.server.refuses:
            self.send_error(403, "Resource not accessible by integration")
            raise ConnectionError
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
        self.comments: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str, str]] = []
        self.refuses = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def run(
    server: Server, report: Path, *, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    names = ("COMMIT", "GITHUB_RUN_ID", "GITHUB_SERVER_URL", "GITHUB_REPOSITORY")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    given = {"GITHUB_API_URL": server.address, "GITHUB_TOKEN": "secret"} | environment
    command = [str(SCRIPT), str(report), "some/project", "7"]
    return subprocess.run(
        command, env=clean | given, cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


def comment(server: Server, report: Path, **environment: str) -> str:
    done = run(server, report, **environment)
    assert done.returncode == 0, done.stderr
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
    others: list[dict[str, Any]] = [
        {"url": f"{server.address}/comments/{i}", "body": f"well {i}", "user": PERSON}
        for i in range(130)
    ]
    others[3]["body"] = None
    mine = {"url": f"{server.address}/comments/130", "body": f"{MARK}\nold", "user": BOT}
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


def test_a_persons_comment_that_begins_alike_is_left_alone(server: Server, tmp_path: Path) -> None:
    copied = {"url": f"{server.address}/comments/0", "body": f"{MARK}\nmine", "user": PERSON}
    server.comments = [copied]
    (tmp_path / "report.md").write_text("PASS\n")
    assert comment(server, tmp_path / "report.md") == "comment made"
    assert [c["body"] for c in server.comments] == [f"{MARK}\nmine", f"{MARK}\nPASS\n"]


def test_it_says_which_commit_it_is_of_and_where_the_rest_is(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "report.md").write_text("x" * 200_000)
    facts = {"GITHUB_RUN_ID": "4711", "GITHUB_REPOSITORY": f"{'o' * 39}/{'r' * 100}"}
    comment(server, tmp_path / "report.md", COMMIT="f" * 40, **facts)
    body = server.comments[0]["body"]
    assert "f" * 40 in body
    assert f"https://github.com/{facts['GITHUB_REPOSITORY']}/actions/runs/4711" in body
    assert len(body) < 65_536


def test_a_job_that_left_no_report_is_not_passed_over(server: Server, tmp_path: Path) -> None:
    server.comments = [
        {"url": f"{server.address}/comments/0", "body": f"{MARK}\nPASS", "user": BOT}
    ]
    assert comment(server, tmp_path / "none.md") == "comment replaced"
    assert "No report" in server.comments[0]["body"]


def test_a_token_that_may_not_write_is_one_line(server: Server, tmp_path: Path) -> None:
    server.refuses = True
    (tmp_path / "report.md").write_text("PASS\n")
    done = run(server, tmp_path / "report.md")
    assert done.returncode == 1
    assert "403" in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_file_of_the_folder_it_is_called_in_is_run(server: Server, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('read the token')")
    (tmp_path / "report.md").write_text("PASS\n")
    assert run(server, tmp_path / "report.md", cwd=tmp_path).returncode == 0
