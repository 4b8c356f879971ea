"""A few dozen wrong inputs of every kind; `tox -e fuzz` feeds 20,000."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.inputs import TARGETS, counts

_EACH = 25
_DRAWS = ("run.json", "run folder")  # figures: a second each


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in _DRAWS])
def test_wrong_input_is_refused_in_one_line_that_names_the_file(tmp_path: Path, name: str) -> None:
    target = TARGETS[name][0](tmp_path)
    refused = 0
    for number in range(_EACH):
        refusal = target.feed(target.mutated(random.Random(f"{name} {number}")))
        if refusal is not None:
            refused += 1
            assert len(refusal.splitlines()) == 1
            assert target.file_name in refusal
    assert refused > 0, "nothing that was fed was wrong"


def test_the_shares_add_up_to_the_whole() -> None:
    assert sum(counts(20_000).values()) == 20_000
    assert min(counts(20_000).values()) > 100
