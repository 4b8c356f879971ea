"""Which commit of the code was measured, and whether the tree held anything beyond it.

Asked of git in the directory that is measured: a comparison has two worktrees in one job, and the
job's GITHUB_SHA names only one of them. The variable answers where git cannot, and names the branch
of a checkout that CI left detached.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

# Set inside git hooks, where they would redirect every question to the hook's repository.
_REDIRECTING = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")


class _GitError(Exception):
    """Git's own complaint, in one line."""


def find_commit(root: Path) -> dict[str, Any]:
    """The commit checked out at `root`: {"id", "dirty", "branch"}, and "reason" where id is None.

    "dirty" counts changed and untracked files, not ignored ones; it is None where git cannot say.
    """
    ci_id = os.environ.get("GITHUB_SHA") or None
    try:
        commit = _ask_git(root)
    except _GitError as error:
        if ci_id is None:
            return {"id": None, "dirty": None, "branch": None, "reason": str(error)}
        return {"id": ci_id, "dirty": None, "branch": _ci_branch()}
    if commit["branch"] is None and commit["id"] == ci_id:
        commit["branch"] = _ci_branch()
    return commit


def _ask_git(root: Path) -> dict[str, Any]:
    if _git(root, "rev-parse", "--is-inside-work-tree") != "true":
        raise _GitError(f"{root.name} is not a work tree")
    dirty = bool(_git(root, "status", "--porcelain"))
    branch = _git(root, "branch", "--show-current") or None
    try:
        found = _git(root, "rev-parse", "--verify", "HEAD")
    except _GitError:
        return {"id": None, "dirty": dirty, "branch": branch, "reason": "no commit yet"}
    return {"id": found, "dirty": dirty, "branch": branch}


def _ci_branch() -> str | None:
    return os.environ.get("GITHUB_HEAD_REF") or os.environ.get("GITHUB_REF_NAME") or None


def _git(root: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in _REDIRECTING}
    # Without optional locks a status in the background never disturbs another git command.
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=30, env=environment | {"LC_ALL": "C"}
        )
    except FileNotFoundError as error:
        raise _GitError("git is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise _GitError("git did not answer within 30 s") from error
    if done.returncode != 0:
        raise _GitError((done.stderr.strip().splitlines() or ["git failed"])[0])
    return done.stdout.strip()
