"""What a comparison asks of git: commits by name, their common ancestor, and worktrees."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from measure.git import GitError, git

# A checkout of a large history on a slow disk.
_CHECKOUT_SECONDS = 300.0


def commit_of(root: Path, ref: str) -> str:
    """The commit that a branch, tag or id names.

    Raises:
        GitError: there is none of that name.
    """
    try:
        return git(
            root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
        )
    except GitError as error:
        raise GitError(f"{ref!r} is no branch, tag or commit of this repository") from error


def merge_base(root: Path, one: str, other: str) -> str:
    """The newest commit that both have: what the change under test is compared with."""
    try:
        return git(root, "merge-base", one, other)
    except GitError as error:
        shallow = git(root, "rev-parse", "--is-shallow-repository") == "true"
        hint = "; the clone is shallow: fetch its whole history" if shallow else ""
        raise GitError(f"{one[:12]} and {other[:12]} have no common ancestor{hint}") from error


def is_dirty(root: Path) -> bool:
    """Whether the checkout holds anything that is not committed."""
    return bool(git(root, "status", "--porcelain"))


def changed(root: Path, base: str, head: str, *paths: str) -> list[str]:
    """Which of these files and folders differ between two commits."""
    return [path for path in paths if git(root, "diff", "--name-only", base, head, "--", path)]


def models_at(root: Path, commit: str | None) -> set[str]:
    """The models of a commit by name, of the checkout as it is where that is None: files of models/
    that end in MODEL = ...
    """
    where = [] if commit is None else [commit]
    untracked = ["--untracked"] if commit is None else []
    pattern = ("-l", "-E", "-e", r"^MODEL\b", *untracked, *where, "--", ":(glob)models/*.py")
    try:
        found = git(root, "grep", *pattern)
    except GitError:  # there is none
        return set()
    return {Path(line.rpartition(":")[2]).stem for line in found.splitlines()}


def file_at(root: Path, commit: str, path: str) -> str | None:
    """What stands in a file of a commit, None where there is no such file."""
    try:
        return git(root, "show", f"{commit}:{path}")
    except GitError:
        return None


def add_worktree(root: Path, folder: Path, commit: str) -> None:
    """The files of `commit` in `folder`; one that is there already, of that commit, is kept."""
    if folder.exists():
        if _is_worktree(folder) and commit_of(folder, "HEAD") == commit and not is_dirty(folder):
            return
        remove_worktree(root, folder)
    git(root, "worktree", "prune")
    add = ("worktree", "add", "--detach", "--force", str(folder), commit)
    git(root, *add, timeout=_CHECKOUT_SECONDS)


def remove_worktree(root: Path, folder: Path) -> None:
    """Take the folder away, and git's note of it, also where one of both is gone already."""
    with contextlib.suppress(GitError):
        git(root, "worktree", "remove", "--force", "--force", str(folder))
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(GitError):
        git(root, "worktree", "prune")


def _is_worktree(folder: Path) -> bool:
    """Asked in an empty folder, git would answer for the checkout around it."""
    try:
        return Path(git(folder, "rev-parse", "--show-toplevel")).resolve() == folder.resolve()
    except GitError:
        return False
