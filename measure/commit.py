"""Which commit of the code was measured, and whether the tree held anything beyond it.

Asked of git in the directory that is measured: a comparison has two worktrees in one job, and the
job's GITHUB_SHA names only one of them. The variable answers where git cannot, and names the branch
of a checkout that CI left detached.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from measure.git import GitError, git

# Ends of the names of files that change what runs: code, and settings of Python's tools.
_READ = (".py", ".pyi", ".so", ".pyd", ".dylib", ".pth", ".toml", ".ini", ".cfg")


def find_commit(root: Path) -> dict[str, Any]:
    """The commit checked out at `root`: {"id", "dirty", "branch"}, and "reason" where id is None.

    "dirty" counts changed files, and untracked ones that Python or its tools would read, not a log
    or a note that lies beside them, nor ignored ones; it is None where git cannot say.
    """
    ci_id = os.environ.get("GITHUB_SHA") or None
    try:
        commit = _ask_git(root)
    except GitError as error:
        if ci_id is None:
            return {"id": None, "dirty": None, "branch": None, "reason": str(error)}
        return {"id": ci_id, "dirty": None, "branch": _ci_branch()}
    if commit["branch"] is None and commit["id"] == ci_id:
        commit["branch"] = _ci_branch()
    return commit


def _ask_git(root: Path) -> dict[str, Any]:
    if git(root, "rev-parse", "--is-inside-work-tree") != "true":
        raise GitError(f"{root.name} is not a work tree")
    changed = git(root, "status", "--porcelain", "--untracked-files=no")
    # Git puts names with unusual characters in quotes.
    others = git(root, "ls-files", "--others", "--exclude-standard").splitlines()
    dirty = bool(changed) or any(name.strip('"').endswith(_READ) for name in others)
    branch = git(root, "branch", "--show-current") or None
    try:
        found = git(root, "rev-parse", "--verify", "HEAD")
    except GitError:
        return {"id": None, "dirty": dirty, "branch": branch, "reason": "no commit yet"}
    return {"id": found, "dirty": dirty, "branch": branch}


def _ci_branch() -> str | None:
    return os.environ.get("GITHUB_HEAD_REF") or os.environ.get("GITHUB_REF_NAME") or None
