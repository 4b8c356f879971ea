"""Small files that announce or hold gigabytes are refused before the memory is taken."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import data
from data import readers
from data.log import DataError, in_one_line
from data.readers import read
from data.room import free_bytes, require_room

ROOT = Path(__file__).resolve().parent.parent.parent
_BOMB = 40 << 20


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 30 MB left."""
    monkeypatch.setattr("data.room.free_bytes", lambda: 30 << 20)
    monkeypatch.setattr(readers, "free_bytes", lambda: 30 << 20)


def test_what_is_free_is_less_than_the_machine_has_and_more_than_nothing() -> None:
    assert 1 << 20 < free_bytes() < 1 << 50
    require_room(1, "a.csv")
    with pytest.raises(DataError, match=r"a\.csv: it takes about 1,048,576\.0 GiB of memory; "):
        require_room(1 << 50, "a.csv")


@pytest.mark.usefixtures("little_room")
@pytest.mark.parametrize("name", ["bomb.csv.gz", "bomb.zip", "lies.zip", "large.csv"])
def test_a_bomb_is_refused_in_one_line_that_names_it(tmp_path: Path, name: str) -> None:
    path, content = tmp_path / name, b"user,item\n" + b"1,2\n" * (_BOMB // 4)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(content, 1))
    elif name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("u.data", content)
    else:
        path.write_bytes(content)
    if name == "lies.zip":  # it announces ten bytes, in both places
        _announce(path, 10)
    with pytest.raises(DataError) as refused:
        read(path, member="u.data")
    text = str(refused.value)
    assert text.startswith(name)
    assert "it takes about" in text or "broken zip archive" in text


def _announce(path: Path, size: int) -> None:
    packed = bytearray(path.read_bytes())
    central = packed.index(b"PK\1\2")
    struct.pack_into("<I", packed, 22, size)
    struct.pack_into("<I", packed, central + 24, size)
    path.write_bytes(packed)


@pytest.mark.usefixtures("little_room")
def test_made_up_data_of_any_size_is_checked_before_it_is_made() -> None:
    with pytest.raises(DataError, match=r"data set 'synthetic_u999999999_x99999': it takes about"):
        data.load("synthetic_u999999999_x99999")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_a_process_own_limit_counts() -> None:
    code = (
        "import resource; from data.room import free_bytes;"
        "resource.setrlimit(resource.RLIMIT_DATA, (300 << 20,) * 2); print(free_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert 0 < int(done.stdout) < 300 << 20


def test_a_refusal_never_holds_what_a_terminal_would_take_for_a_command() -> None:
    assert in_one_line("a\nb\x1b[31m\ud800\u2028") == "a\\nb\\x1b[31m\\ud800\\u2028"
    assert len(in_one_line("x" * 9999)) < 600
