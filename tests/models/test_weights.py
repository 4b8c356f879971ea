"""Saved models are data: whatever else lies in the file is refused in one line."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from models import weights


class Evil:
    """Would run code if it were unpickled without a guard."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("evil"),))


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04broken"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no weights of this suite"):
        weights.load(path)


def test_code_in_a_file_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pt"
    torch.save(Evil(), path)
    with pytest.raises(ValueError, match="no weights of this suite"):
        weights.load(path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="no weights of this suite"):
        weights.load(path)
    assert not (tmp_path / "evil").exists()


def test_weights_of_another_schema_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"schema": "something else"}, path)
    with pytest.raises(ValueError, match="schema seqrec-bench/weights/1 expected"):
        weights.load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.pt: no weights"):
        weights.load(tmp_path / "none.pt")
