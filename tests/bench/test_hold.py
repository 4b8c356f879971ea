"""A folder belongs to one run: the second is refused, and a killed one leaves no lock behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.hold import HeldError, Hold

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the lock is flock")


def test_another_process_is_refused_in_one_line_until_the_holder_dies(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from bench.hold import Hold;"
        "hold = Hold(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(300)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(HeldError) as refused:
        Hold(tmp_path)
    expected = f"{tmp_path}: another run is going on there (process {holder.pid})"
    assert str(refused.value) == expected
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    Hold(tmp_path).release()


def test_a_released_folder_is_free_and_names_its_last_holder(tmp_path: Path) -> None:
    first = Hold(tmp_path)
    first.release()
    first.release()
    second = Hold(tmp_path)
    assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
    second.release()


def test_a_folder_without_room_for_a_lock_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Hold(tmp_path / "absent")
