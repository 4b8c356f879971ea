"""Both sides from a real repository: code from its commit, the harness from the checkout."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bench.ab.sides import (
    HARNESS,
    UNDER_TEST,
    Side,
    SideError,
    lay_out,
    take_down,
    with_environment,
)
from bench.ab.worktree import (
    add_worktree,
    changed,
    commit_of,
    is_dirty,
    merge_base,
    remove_worktree,
)
from bench.process import Place
from measure.git import GitError, git

ME = ("-c", "user.name=test", "-c", "user.email=test@localhost")


def commit(root: Path, text: str) -> str:
    """Write models/made.py and commit it; the commit's id."""
    (root / "models" / "made.py").write_text(text)
    git(root, "add", ".")
    git(root, *ME, "commit", "--quiet", "--message", text)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for folder in (*UNDER_TEST, *HARNESS):
        (root / folder).mkdir(parents=True)
        (root / folder / "said.py").write_text("WORD = 'old'\n")
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(root))
    commit(root, "one")
    return root


def test_each_side_has_its_code_and_both_have_one_harness(repository: Path, tmp_path: Path) -> None:
    base = commit_of(repository, "HEAD")
    (repository / "measure" / "said.py").write_text("WORD = 'new'\n")
    head = commit(repository, "two")
    (repository / "measure" / "said.py").write_text("WORD = 'newest, not committed'\n")
    run = tmp_path / "run"
    sides = [
        lay_out(run, "base", harness=repository, commit=base, in_place=False),
        lay_out(run, "head", harness=repository, commit=head, in_place=False),
    ]
    roots = [side.place.root for side in sides]
    assert [(root / "models" / "made.py").read_text() for root in roots] == ["one", "two"]
    said = {(root / "measure" / "said.py").read_text() for root in roots}
    assert said == {"WORD = 'newest, not committed'\n"}
    take_down(run, repository)
    assert not (run / "base" / "code").exists()
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_a_second_start_has_the_kernels_of_the_first(repository: Path, tmp_path: Path) -> None:
    ops = repository / "models" / "ops"
    ops.mkdir()
    (ops / "scan_kernels.py").write_text("scan = 1\n")
    base, run = commit(repository, "kernels"), tmp_path / "run"
    side = lay_out(run, "base", harness=repository, commit=base, in_place=False)
    made = run / "base" / "code" / "models" / "ops"
    (made / "__pycache__" / "scan_kernels.run-1.nbi").write_text("compiled")
    written = (made / "scan_kernels.py").stat().st_mtime_ns
    take_down(run, repository)
    side = lay_out(run, "base", harness=repository, commit=base, in_place=False)
    again = side.place.root / "models" / "ops"
    assert (again / "__pycache__" / "scan_kernels.run-1.nbi").read_text() == "compiled"
    assert (again / "scan_kernels.py").stat().st_mtime_ns == written, "by which Numba knows it"
    take_down(run, repository)


def test_a_checkout_with_changes_is_measured_in_place(repository: Path, tmp_path: Path) -> None:
    (repository / "models" / "made.py").write_text("not committed")
    assert is_dirty(repository)
    head = commit_of(repository, "HEAD")
    side = lay_out(tmp_path / "run", "head", harness=repository, commit=head, in_place=True)
    assert (side.place.root / "models" / "made.py").read_text() == "not committed"
    assert side.commit == f"{head}+"
    take_down(tmp_path / "run", repository)
    assert (repository / "models" / "made.py").exists()


def test_a_worktree_that_is_right_is_kept_and_a_changed_one_made_again(
    repository: Path, tmp_path: Path
) -> None:
    first = commit_of(repository, "HEAD")
    folder = tmp_path / "code"
    add_worktree(repository, folder, first)
    before = (folder / "models" / "made.py").stat().st_mtime_ns
    add_worktree(repository, folder, first)
    assert (folder / "models" / "made.py").stat().st_mtime_ns == before
    (folder / "models" / "made.py").write_text("spoilt")
    add_worktree(repository, folder, first)
    assert (folder / "models" / "made.py").read_text() == "one"


def test_an_empty_folder_is_not_taken_for_the_worktree(repository: Path) -> None:
    folder = repository / "results" / "code"  # inside, where git answers for what is around
    folder.mkdir(parents=True)
    add_worktree(repository, folder, commit_of(repository, "HEAD"))
    assert (folder / "models" / "made.py").read_text() == "one"
    shutil.rmtree(folder)
    remove_worktree(repository, folder)
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_which_parts_differ_between_two_commits(repository: Path) -> None:
    one = commit_of(repository, "HEAD")
    (repository / "measure" / "said.py").write_text("WORD = 'new'\n")
    two = commit(repository, "two")
    assert changed(repository, one, two, *HARNESS) == ["measure"]


def test_the_merge_base_is_what_both_have(repository: Path) -> None:
    common = commit_of(repository, "HEAD")
    git(repository, "branch", "side")
    main = commit(repository, "two")
    git(repository, "checkout", "--quiet", "side")
    side = commit(repository, "three")
    assert merge_base(repository, main, side) == common


def test_what_git_does_not_know_is_one_line(repository: Path) -> None:
    with pytest.raises(GitError, match="'nope' is no branch, tag or commit") as caught:
        commit_of(repository, "nope")
    assert "\n" not in str(caught.value)
    with pytest.raises(GitError, match="is no branch"):
        commit_of(repository, "--upload-pack=evil")


def test_commits_without_an_ancestor_in_a_shallow_clone_say_so(
    repository: Path, tmp_path: Path
) -> None:
    commit(repository, "two")
    clone = tmp_path / "clone"
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=1", f"file://{repository}", str(clone)], check=True
    )
    git(clone, "checkout", "--quiet", "--orphan", "other")
    other = commit(clone, "three")
    with pytest.raises(GitError, match="the clone is shallow: fetch its whole history"):
        merge_base(clone, commit_of(clone, "origin/main"), other)


def test_of_what_pip_says_the_first_error_is_named(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "WARNING: slow\nERROR: Cannot install a==1\nERROR: ResolutionImpossible: see help\n"
    failed = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr("bench.ab.sides.venv.create", lambda *_, **__: None)
    monkeypatch.setattr("bench.ab.sides.subprocess.run", lambda *_, **__: failed)
    side = Side("base", "a" * 40, Place(tmp_path))
    with pytest.raises(SideError, match=r"environment of base .*: ERROR: Cannot install a==1$"):
        with_environment(side, tmp_path, repository)
