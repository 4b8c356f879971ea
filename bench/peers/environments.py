"""The environments that peers run in: made once by pip, from committed requirement files.

An environment is kept in a folder of its own and made anew where its requirements or the Python
version have changed. Nothing of it is imported here.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.files import write_whole
from bench.peers.privacy import without_paths

OWN = "own"  # the interpreter that runs the suite
_FOLDER = Path(__file__).resolve().parent
_STAMP = "requirements.sha256"


class EnvironmentFailed(RuntimeError):
    """It could not be made; the message is pip's own reason, in one line."""


def python_of(
    name: str, *, env_dir: Path, base: str, say: Callable[[str], None] = lambda text: None
) -> Path:
    """The interpreter of environment `name`, which is made first where it is not there.

    Args:
        base: the interpreter that new environments are made from.
        say: told when something takes long.

    Raises:
        EnvironmentFailed: pip or venv failed; its output is kept in <env_dir>/<name>.log.
    """
    if name == OWN:
        return Path(sys.executable)
    requirements = requirements_of(name)
    folder = env_dir / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = hashlib.sha256(requirements.read_bytes() + _version(base)).hexdigest()
    kept = folder / _STAMP
    if python.exists() and kept.exists() and kept.read_text() == stamp:
        return python
    say(f"making environment {name} from {requirements.name}; this takes minutes, once")
    env_dir.mkdir(parents=True, exist_ok=True)
    commands = (
        [base, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "-r", str(requirements)],
    )
    with (env_dir / f"{name}.log").open("wb") as log:
        for command in commands:
            _run(command, Path(log.name), log.fileno())
    write_whole(kept, stamp)
    return python


def requirements_of(name: str) -> Path:
    """The committed file of an environment."""
    return _FOLDER / f"requirements-{name}.txt"


def _version(python: str) -> bytes:
    """The interpreter's version, whatever it is called and wherever it lies."""
    command = [python, "-c", "import platform; print(platform.python_version())"]
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        what = getattr(error, "strerror", None) or "it does not start"
        raise EnvironmentFailed(without_paths(f"{python}: {what}")) from error


def _run(command: list[str], log: Path, output: int) -> None:
    # The suite's own constraints hold for its own environment; each peer has pins of its own.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PIP_CONSTRAINT",)
    }
    done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    if done.returncode:
        raise EnvironmentFailed(_reason(log.read_text(errors="replace"), done.returncode))


def _reason(output: str, code: int) -> str:
    """The last line that calls itself an error, or the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    said = (errors or lines or ["it said nothing"])[-1]
    return without_paths(f"pip ended with exit code {code}: {said}")
