"""Long series beside a record: numbers come back as they were, anything else is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.raw import read_raw, write_raw


def test_series_come_back_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "cell.npz"
    write_raw(path, {"latency": [0.3, 0.1, 1e-7], "arrival": []})
    series = read_raw(path)
    assert series["latency"].tolist() == [0.3, 0.1, 1e-7]
    assert series["arrival"].shape == (0,)
    assert [p.name for p in tmp_path.iterdir()] == ["cell.npz"]


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("went_off"),))


def test_a_file_with_objects_in_it_is_refused_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    objects = np.empty(1, dtype=object)
    objects[0] = Bomb()
    np.savez(tmp_path / "cell.npz", latency=objects)
    with pytest.raises(ValueError, match=r"cell\.npz: not the raw series of a cell"):
        read_raw(tmp_path / "cell.npz")
    assert not (tmp_path / "went_off").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"{}", b"\x93NUMPY"])
def test_half_a_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cell.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"cell\.npz: not the raw series of a cell"):
        read_raw(path)


def test_texts_are_no_series(tmp_path: Path) -> None:
    np.savez(tmp_path / "cell.npz", latency=np.asarray(["a"]))
    with pytest.raises(ValueError, match="not the raw series"):
        read_raw(tmp_path / "cell.npz")
