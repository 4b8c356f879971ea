"""Short names still tell every cell from every other."""

from __future__ import annotations

from report.short_names import short_names


def test_what_all_cells_share_is_said_once() -> None:
    names, shared = short_names(["a-ml-fit-L50-cpu1", "b-ml-load-L50-cpu1", "b-ml-fit-L50-cpu1"])
    assert list(names.values()) == ["a fit", "b load", "b fit"]
    assert shared == "ml L50 cpu1"


def test_a_single_cell_keeps_its_name() -> None:
    assert short_names(["a-ml-fit"]) == ({"a-ml-fit": "a-ml-fit"}, "")
    assert short_names([]) == ({}, "")


def test_cells_that_could_not_be_told_apart_keep_their_names() -> None:
    for ids in (["a-b", "b-a"], ["a", "a-b"], ["a-b", "c-d"]):
        assert short_names(ids) == ({name: name for name in ids}, "")
