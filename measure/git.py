"""Questions and orders to git, answered in one line or refused in one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

# Set inside git hooks, where they would redirect every question to the hook's repository.
_REDIRECTING = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")


class GitError(RuntimeError):
    """Git's own complaint, in one line for the user."""


def git(root: Path, *arguments: str, timeout: float = 30.0) -> str:
    """What git prints for these arguments in the directory `root`.

    Raises:
        GitError: git refused, is not installed, or did not answer within `timeout` seconds.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _REDIRECTING}
    # Without optional locks a status in the background never disturbs another git command.
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment | {"LC_ALL": "C"},
        )
    except FileNotFoundError as error:
        raise GitError("git is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git did not answer within {timeout:g} s") from error
    if done.returncode != 0:
        raise GitError((done.stderr.strip().splitlines() or ["git failed"])[0])
    return done.stdout.strip()
