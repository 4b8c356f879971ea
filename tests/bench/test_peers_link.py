"""The protocol between the harness and a side, against a toy side: this file is one itself."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bench.peers.link import Link, SideFailed, side_environment
from bench.peers.serve import Unsupported, answer


class Toy:
    verbs: ClassVar[tuple[str, ...]] = ("echo", "noise", "fail", "lack", "die", "hang", "nan")

    def echo(self, **given: Any) -> dict[str, Any]:
        return given | {"threads": os.environ["OMP_NUM_THREADS"]}

    def noise(self) -> dict[str, Any]:
        print("a library that talks")
        os.system("echo a child that talks")
        return {}

    def fail(self) -> None:
        raise RuntimeError("no such column\nand a second line")

    def lack(self) -> None:
        raise Unsupported("needs CUDA")

    def nan(self) -> dict[str, Any]:
        return {"loss": float("nan"), "rounds": [float("inf"), 1.0]}

    def die(self) -> None:
        print("out of luck at /home/somebody/code/side.py", file=sys.stderr, flush=True)
        os._exit(3)

    def hang(self) -> None:
        time.sleep(60)


SIDE = Toy


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Link]:
    with Link(Path(sys.executable), "tests.bench.test_peers_link", tmp_path, threads=1) as made:
        yield made


def test_a_side_answers_one_request_after_another_whatever_it_prints(link: Link) -> None:
    assert link.ask("echo", seconds=1.5) == {"seconds": 1.5, "threads": "1"}
    assert link.ask("noise") == {}
    assert link.ask("nan") == {"loss": None, "rounds": [None, 1.0]}
    with pytest.raises(SideFailed, match=r"RuntimeError: no such column$") as failure:
        link.ask("fail")
    assert failure.value.status == "error"
    assert link.ask("echo") == {"threads": "1"}


def test_a_side_that_dies_says_how_and_names_no_folder(link: Link) -> None:
    with pytest.raises(SideFailed, match=r"ended by exit code 3: out of luck at side\.py"):
        link.ask("die")


def test_a_side_that_hangs_is_ended(link: Link) -> None:
    link.ask("echo")
    with pytest.raises(SideFailed, match=r"hang: not finished after 0.2 s") as failure:
        link.ask("hang", timeout=0.2)
    assert failure.value.status == "timeout"
    assert link._process.poll() is not None


def test_what_a_side_cannot_do_is_unsupported_and_memory_is_oom() -> None:
    assert answer(Toy(), {"verb": "lack"}) == {"error": "needs CUDA", "status": "unsupported"}
    assert answer(Toy(), {"verb": "dance"})["error"].startswith("ValueError: verb 'dance'")

    class Hungry:
        verbs = ("eat",)

        def eat(self) -> None:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")

    assert answer(Hungry(), {"verb": "eat"})["status"] == "oom"


def test_only_time_is_measured_with_the_memory_kept() -> None:
    assert "MALLOC_TOP_PAD_" in side_environment(2, keep_memory=True)
    assert "MALLOC_TOP_PAD_" not in side_environment(2, keep_memory=False)
