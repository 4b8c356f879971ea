"""Commits in repositories made for the test: clean, dirty, unborn, none, and in CI."""

import shutil
import subprocess

import pytest

from measure.machine import find_commit

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture(autouse=True)
def _outside_ci(monkeypatch):
    for name in ("GITHUB_SHA", "GITHUB_HEAD_REF", "GITHUB_REF_NAME"):
        monkeypatch.delenv(name, raising=False)


def git(root, *arguments):
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *settings, "-C", str(root), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def unborn(tmp_path):
    git(tmp_path, "init", "--initial-branch", "trunk")
    return tmp_path


@pytest.fixture
def repository(unborn):
    (unborn / "file").write_text("one\n")
    git(unborn, "add", "file")
    git(unborn, "commit", "-m", "one")
    return unborn


def test_a_clean_tree_gives_its_commit_and_branch(repository):
    head = git(repository, "rev-parse", "HEAD")
    assert find_commit(repository) == {"id": head, "dirty": False, "branch": "trunk"}


@pytest.mark.parametrize("name", ["file", "new.py", "folder/é new.py", "setup.cfg"])
def test_a_changed_file_or_untracked_code_makes_it_dirty(repository, name):
    (repository / name).parent.mkdir(exist_ok=True)
    (repository / name).write_text("two\n")
    assert find_commit(repository)["dirty"] is True


def test_a_log_that_lies_beside_the_code_does_not(repository):
    (repository / "run.log").write_text("two\n")
    (repository / "notes").mkdir()
    (repository / "notes" / "py").write_text("two\n")
    assert find_commit(repository)["dirty"] is False


def test_a_file_that_is_gone_or_staged_makes_it_dirty(repository):
    (repository / "file").unlink()
    assert find_commit(repository)["dirty"] is True
    git(repository, "reset", "--hard")
    (repository / "added").write_text("two\n")
    git(repository, "add", "added")
    assert find_commit(repository)["dirty"] is True


def test_a_repository_without_a_commit_says_so(unborn):
    found = find_commit(unborn)
    assert (found["id"], found["branch"]) == (None, "trunk")
    assert found["reason"] == "no commit yet"


def test_a_folder_that_is_no_repository_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = find_commit(tmp_path)
    assert (found["id"], found["dirty"]) == (None, None)
    assert "not a git repository" in found["reason"]


def test_a_machine_without_git_says_so(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    found = find_commit(repository)
    assert (found["id"], found["reason"]) == (None, "git is not installed")


def test_github_names_the_commit_where_git_cannot(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("GITHUB_SHA", "a" * 40)
    monkeypatch.setenv("GITHUB_REF_NAME", "main")
    assert find_commit(tmp_path) == {"id": "a" * 40, "dirty": None, "branch": "main"}


def test_the_base_worktree_of_a_job_is_not_given_the_jobs_commit(repository, monkeypatch):
    monkeypatch.setenv("GITHUB_SHA", "a" * 40)
    assert find_commit(repository)["id"] == git(repository, "rev-parse", "HEAD")


def test_a_detached_checkout_in_ci_has_the_branch_of_the_job(repository, monkeypatch):
    git(repository, "checkout", "--detach")
    assert find_commit(repository)["branch"] is None
    monkeypatch.setenv("GITHUB_SHA", git(repository, "rev-parse", "HEAD"))
    monkeypatch.setenv("GITHUB_HEAD_REF", "feature")
    assert find_commit(repository)["branch"] == "feature"


def test_a_hooks_git_dir_does_not_redirect_the_question(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert find_commit(repository)["branch"] == "trunk"


def test_git_that_does_not_answer_is_a_reason(repository, monkeypatch):
    def hang(command, **_):
        raise subprocess.TimeoutExpired(command, 30)

    monkeypatch.setattr(subprocess, "run", hang)
    assert "30 s" in find_commit(repository)["reason"]
