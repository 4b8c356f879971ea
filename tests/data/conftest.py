"""Tests keep their stores and downloads to themselves."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQREC_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("SEQREC_STORE_CACHE", raising=False)
