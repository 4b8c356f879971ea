"""The file name is the registry; wrong names are refused with the right ones."""

from __future__ import annotations

import pytest

import workloads


def test_every_workload_is_found_by_its_file() -> None:
    expected = ["capacity", "fit", "load", "rank_all", "recommend", "serve_step", "train_epoch"]
    assert workloads.names() == expected
    for name in expected:
        assert workloads.get(name).__module__ == f"workloads.{name}"


def test_an_unknown_workload_is_refused_with_the_names() -> None:
    with pytest.raises(ValueError, match="unknown workload 'nap'; choose from capacity, fit, load"):
        workloads.get("nap")
