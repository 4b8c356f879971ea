"""Environments: made once, and their failure told in a line; a stand-in for pip, no network."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from bench.peers import environments
from bench.peers.environments import EnvironmentFailed, python_of, requirements_of
from bench.peers.privacy import without_paths

# Takes the part of `python -m venv` and of the pip that it makes.
STAND_IN = """#!/bin/sh
if [ "$1" = -c ]; then echo 3.11.7; exit 0; fi
echo "$@" >> {calls}
[ "$PIP_CONSTRAINT" = "" ] || exit 9
if [ "$2" = venv ]; then mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; exit 0; fi
{pip}
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")


def stand_in(folder: Path, pip: str) -> str:
    path = folder / "python"
    path.write_text(STAND_IN.format(calls=folder / "calls", pip=pip))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_an_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONSTRAINT", "constraints.txt")  # the suite's own pins
    base, said = stand_in(tmp_path, "exit 0"), []
    for _ in range(2):
        python = python_of("recbole", env_dir=tmp_path / "envs", base=base, say=said.append)
    assert python == tmp_path / "envs" / "recbole" / "bin" / "python"
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split()[1] for call in calls] == ["venv", "pip"]
    assert len(said) == 1


def test_changed_requirements_make_it_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = stand_in(tmp_path, "exit 0")
    (tmp_path / "requirements-mamba.txt").write_text("mambapy==1.2.0\n")
    monkeypatch.setattr(environments, "_FOLDER", tmp_path)
    python_of("mamba", env_dir=tmp_path / "envs", base=base)
    (tmp_path / "requirements-mamba.txt").write_text("mambapy==1.3.0\n")
    python_of("mamba", env_dir=tmp_path / "envs", base=base)
    assert len((tmp_path / "calls").read_text().splitlines()) == 4


def test_a_failure_is_pips_own_reason_and_leaves_no_stamp(tmp_path: Path) -> None:
    pip = 'echo "ERROR: No matching distribution found for recbole==1.2.1"; echo bye; exit 1'
    base = stand_in(tmp_path, pip)
    for _ in range(2):
        with pytest.raises(EnvironmentFailed, match=r"exit code 1: ERROR: No matching .*recbole"):
            python_of("recbole", env_dir=tmp_path / "envs", base=base)
    with pytest.raises(EnvironmentFailed, match="No such file"):
        python_of("recbole", env_dir=tmp_path / "envs", base=str(tmp_path / "none"))


def test_our_own_environment_is_this_one(tmp_path: Path) -> None:
    assert python_of("own", env_dir=tmp_path, base="") == Path(sys.executable)


@pytest.mark.parametrize("name", ["recbole", "mamba"])
def test_requirements_pin_torch(name: str) -> None:
    """An open range of torch would fetch gigabytes."""
    assert "torch==" in requirements_of(name).read_text()


def test_folders_are_cut_from_what_is_kept() -> None:
    text = "can't open '/home/me/envs/x.py': see https://pypi.org/simple/torch or a/b"
    assert without_paths(text) == "can't open 'x.py': see https://pypi.org/simple/torch or a/b"
