"""Real runs with --live: cells come over HTTP as they land, and stand in the terminal's table."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

pty = pytest.importorskip("pty", reason="terminals are made by pty, which this system lacks")
ROOT = Path(__file__).resolve().parent.parent.parent.parent
# One that is measured and one that can't be: the least that a run can hold of both.
SMALL = ("--suite=smoke", "--model=bert4rec", "--workload=load,serve_step")


@dataclass
class Run:
    """A run on a terminal 120 columns wide."""

    process: subprocess.Popen[bytes]
    terminal: int
    out: str = ""

    def __post_init__(self) -> None:
        self.reader = Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        """Takes what the run prints, until it ends."""
        while True:
            try:
                part = os.read(self.terminal, 65536)
            except OSError:  # how a terminal ends whose other side is closed
                return
            self.out += part.decode(errors="replace")

    def address(self) -> str:
        deadline = time.monotonic() + 120
        while True:
            if found := re.search(r"live view: (http://127\.0\.0\.1:\d+/) ", self.out):
                return found[1]
            assert time.monotonic() < deadline, self.out
            assert self.process.poll() is None, self.out
            time.sleep(0.02)

    def events(self) -> Iterator[dict[str, Any]]:
        with urllib.request.urlopen(self.address() + "events", timeout=120) as answer:
            for line in answer:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))

    def plain(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.out).replace("\r", "\n")


def start(folder: Path, *arguments: str) -> Run:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pytest", "bench/", f"--results-dir={folder / 'results'}"]
    # Started by a worker of pytest-xdist, pytest would take itself for one.
    alone = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    process = subprocess.Popen(
        [*command, "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env=alone | {"SEQREC_CACHE": str(folder / "cache"), "TERM": "xterm", "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    return Run(process, ours)


@dataclass
class Watched:
    """A run that was followed over HTTP to its end."""

    folder: Path
    run: Run
    news: list[dict[str, Any]]
    files: list[int]  # finished cells in the journal when each piece of news came


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("live")
    seen = Watched(folder, start(folder, *SMALL, "--live"), [], [])
    for part in seen.run.events():
        seen.news.append(part)
        seen.files.append(len(list(folder.glob("results/*/cells/*.json"))))
    assert seen.run.process.wait(timeout=30) == 0, seen.run.out
    seen.run.reader.join(timeout=5)
    return seen


def table(run: Run) -> list[str]:
    """The lines of cells on the terminal, without those of the progress bar."""
    lines = re.findall(r"^[12]/2 .*$", run.plain(), re.MULTILINE)
    return [line for line in lines if " about " not in line]


def test_cells_come_over_http_as_they_land(watched: Watched) -> None:
    news = watched.news
    assert [cell["status"] for cell in news[0]["cells"]][1] == "waiting"
    assert all(cell["status"] in ("waiting", "running") for cell in news[0]["cells"])
    assert [part["done"] for part in news] == sorted(part["done"] for part in news)
    first = next(index for index, part in enumerate(news) if part["done"] == 1)
    assert watched.files[first] == 1, "shown once it is kept, before the next is measured"
    assert any(part["running"] and part["left_seconds"] > 0 for part in news)
    landed = {cell["model"]: cell for part in news for cell in part["cells"]}
    assert landed["none"]["numbers"][0][0] == "load_time"
    assert landed["none"]["numbers"][0][1].endswith(" ms")
    assert landed["bert4rec"]["status"] == "unsupported"


def test_the_end_is_told_with_the_results_place_and_the_port_closed(watched: Watched) -> None:
    (folder,) = (watched.folder / "results").glob("smoke-*")
    assert watched.news[-1]["ended"] == f"2 cells are kept in .../{folder.name}."
    assert watched.run.out.count("live view: ") == 1
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(watched.run.address(), timeout=2)


def test_the_terminal_shows_a_table(watched: Watched) -> None:
    lines = table(watched.run)
    assert len(lines) == 2, watched.run.plain()
    assert any(re.search(r"/2 ok +none +load +8 .* load_time ", line) for line in lines)
    assert any(re.search(r"/2 unsupported +bert4rec .* BERT4Rec has no rec", x) for x in lines)


def test_cells_of_an_earlier_start_are_shown_as_kept(watched: Watched) -> None:
    again = start(watched.folder, *SMALL, "--live", "--retry-failed")
    assert again.process.wait(timeout=120) == 0, again.out
    again.reader.join(timeout=5)
    lines = table(again)
    assert len(lines) == 2, again.plain()
    assert all("  kept  " in line for line in lines)


def test_ctrl_c_tells_the_viewers_and_frees_the_port(tmp_path: Path) -> None:
    run = start(tmp_path, *SMALL, "--live")
    news: list[dict[str, Any]] = []
    for part in run.events():
        if not news:
            run.process.send_signal(signal.SIGINT)
        news.append(part)
    assert "2 are not measured yet; the same command goes on." in news[-1]["ended"]
    run.process.wait(timeout=20)
    run.reader.join(timeout=5)
    assert "Traceback" not in run.out
    port = int(run.address().rstrip("/").rpartition(":")[2])
    socket.create_server(("127.0.0.1", port)).close()


def test_a_taken_port_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        run = start(tmp_path, *SMALL, f"--live={port}")
        assert run.process.wait(timeout=120) == 2
    run.reader.join(timeout=5)
    assert run.plain().split("\n")[0].startswith(f"error: --live {port}: 127.0.0.1:{port} can't be")
    assert list((tmp_path / "results").glob("*")) == []
