"""What reads a user's logs, given mutated ones of every format, and stores kept in the cache."""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
import zipfile
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

import data
from data.log import DataError
from data.readers import read
from tests.fuzz.mutate import mutate
from tests.fuzz.target import Target

_ROWS = 60
_rng = np.random.default_rng(0)
_USERS = _rng.integers(1, 9, _ROWS)
_ITEMS = _rng.integers(1, 7, _ROWS)
_TIMES = _rng.integers(880_000_000, 890_000_000, _ROWS)


def _lines(separator: str, header: str = "") -> bytes:
    rows = zip(_USERS, _ITEMS, _TIMES, strict=True)
    lines = [separator.join((f"{u}", f"{i}", "4.0", f"{t}")) for u, i, t in rows]
    return "\n".join([*([header] if header else []), *lines, ""]).encode()


def _words() -> bytes:
    rows = zip(_USERS, _ITEMS, _TIMES, strict=True)
    lines = [f'u{u},"B00{i}, ""x""",2020-01-0{1 + t % 9}' for u, i, t in rows]
    return "\n".join(["user_id,item_id,time", *lines, ""]).encode()


def _json() -> bytes:
    rows = zip(_USERS, _ITEMS, _TIMES, strict=True)
    return b"\n".join(
        json.dumps(
            {"reviewerID": f"A{u}", "asin": f"00{i}", "text": "a, b", "unixReviewTime": int(t)}
        ).encode()
        for u, i, t in rows
    )


def _parquet(**options: Any) -> bytes:
    out = io.BytesIO()
    table = pa.table({"user": _USERS, "item": _ITEMS.astype("int32"), "timestamp": _TIMES})
    pq.write_table(table, out, **options)
    return out.getvalue()


def _archive(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ml/README", "about")
        archive.writestr("ml/u.data", content)
    return out.getvalue()


_TABLES = {
    "parquet": [_parquet(), _parquet(compression="none", use_dictionary=False)],
    "csv": [_lines(",", "user,item,rating,timestamp"), _lines(","), _words()],
    "tsv": [_lines("\t", "user_id\titem_id\trating\ttimestamp")],
    "inter": [_lines("\t", "user_id:token\titem_id:token\trating:float\ttimestamp:float")],
    "dat": [_lines("::")],
    "data": [_lines("\t")],
    "json": [_json()],
}
_COLUMNS = {
    "user": st.integers(-(2**40), 2**62) | st.none() | st.integers(0, 9),
    "item": st.text(max_size=4) | st.none(),
    "timestamp": st.floats() | st.none(),
}


class DataFile(Target):
    """One format through the reader, the filter and the split, as a run does it first of all."""

    def __init__(self, folder: Path, ending: str) -> None:
        super().__init__(folder)
        self.ending, self.file_name = ending, f"log.{ending}"
        self.member = "u.data" if ending == "zip" else None
        plain = ending.removesuffix(".gz")
        inner = _TABLES["data" if ending == "zip" else plain]
        self.inner = inner
        self.seeds = [self._pack(content) for content in inner]

    def _pack(self, content: bytes) -> bytes:
        if self.ending == "zip":
            return _archive(content)
        return gzip.compress(content, 1) if self.ending.endswith(".gz") else content

    def mutated(self, rng: random.Random) -> bytes:
        packed = self.ending == "zip" or self.ending.endswith(".gz")
        if packed and rng.random() < 0.5:  # what is inside, in a whole wrapping
            return self._pack(mutate(rng.choice(self.inner), rng, others=self.inner))
        return mutate(rng.choice(self.seeds), rng, others=self.seeds)

    def strategy(self) -> st.SearchStrategy[bytes]:
        if self.ending == "parquet":
            return st.one_of(
                st.lists(st.tuples(*(_COLUMNS[name] for name in _COLUMNS)), max_size=9).map(
                    _of_rows
                ),
                st.binary(max_size=200),
            )
        field = st.text(alphabet=st.characters(codec="utf-8"), max_size=6) | st.integers().map(str)
        line = st.lists(field, min_size=1, max_size=5).map("\t".join)
        if self.ending.startswith("json"):
            leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
            value = leaf | st.lists(leaf, max_size=2) | st.dictionaries(st.text(max_size=2), leaf)
            row = st.fixed_dictionaries({"user": value, "item": value}, optional={"time": value})
            line = row.map(json.dumps)
        text = st.lists(line, max_size=9).map("\n".join)
        return (text.map(str.encode) | st.binary(max_size=200)).map(self._pack)

    def feed(self, given: bytes) -> str | None:
        path = self.folder / self.file_name
        path.write_bytes(given)
        try:
            if self.member is None:
                log = data.load(str(path), min_count=2, progress=False, cached=False)
                log.describe()
                log.split("test")
            else:
                read(path, member=self.member)
        except DataError as error:
            return str(error)
        return None


def _of_rows(rows: list[tuple[Any, ...]]) -> bytes:
    out = io.BytesIO()
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    pq.write_table(pa.table(dict(zip(_COLUMNS, map(list, columns), strict=True))), out)
    return out.getvalue()


class Store(Target):
    """A damaged store of the cache is made anew: what is loaded is what the log says, always."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.log, self.cache = folder / "log.csv", folder / "cache"
        self.log.write_bytes(_TABLES["csv"][0])
        self.file_name = self.log.name
        self.sequence_hash = self._load().sequence_hash
        (self.kept,) = (self.cache / "stores").iterdir()
        self.files = {path.name: path.read_bytes() for path in self.kept.iterdir()}

    def _load(self) -> data.Interactions:
        return data.load(
            str(self.log), min_count=2, progress=False, cached=True, cache_dir=self.cache
        )

    def mutated(self, rng: random.Random) -> tuple[str, bytes]:
        name = rng.choice(list(self.files))
        return name, mutate(self.files[name], rng, others=list(self.files.values()))

    def strategy(self) -> st.SearchStrategy[tuple[str, bytes]]:
        return st.tuples(st.sampled_from(sorted(self.files)), st.binary(max_size=300))

    def feed(self, given: tuple[str, bytes]) -> str | None:
        shutil.rmtree(self.kept, ignore_errors=True)
        self.kept.mkdir(parents=True)
        for name, content in (self.files | dict([given])).items():
            (self.kept / name).write_bytes(content)
        said = io.StringIO()
        with redirect_stderr(said):
            log = self._load()
        assert log.sequence_hash == self.sequence_hash, "a damaged store gave other data"
        return said.getvalue().removesuffix("\n").replace("store cache", self.file_name) or None
