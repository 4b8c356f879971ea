"""Files of interactions into a `Log`; the format follows from the name's ending and the first line.

    read(Path("events.tsv"), Columns(user="visitor"))

Parquet; CSV and TSV with a header line (`.csv`, `.tsv`) or in the headerless layout of MovieLens
and Amazon (user, item, rating, timestamp); RecBole `.inter`; MovieLens `.dat` (::) and `u.data`
(tab); JSON lines as in Amazon 2014; each text format also as `.gz`, and one member of a `.zip`.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from data.log import Columns, DataError, Log

_TEXT = (".csv", ".tsv", ".inter", ".dat", ".data")
_JSON = (".json", ".jsonl")
EXTENSIONS = (".parquet", ".zip", *_TEXT, *_JSON, *(f"{end}.gz" for end in (*_TEXT, *_JSON)))


def read(path: Path, columns: Columns | None = None, *, member: str | None = None) -> Log:
    """Read a file; `member` names the file wanted inside a `.zip` (by its last path component).

    Raises DataError, in one line that names the file: unknown ending, missing or empty file,
    contents that are not of the format, no user or item column, null or negative ids.
    """
    where, columns = path.name, columns or Columns()
    extension = _extension(where)
    if not path.is_file():
        raise DataError(f"{where}: no such file")
    if path.stat().st_size == 0:
        raise DataError(f"{where}: the file is empty")
    if extension == ".zip":
        return _decode(_read_member(path, member), member or "", f"{where}/{member}", columns)
    if extension == ".parquet":
        from data.readers.parquet import read_parquet

        return read_parquet(path, where, columns)
    return _decode(path.read_bytes(), where, where, columns)


def _extension(name: str) -> str:
    matches = [end for end in EXTENSIONS if name.endswith(end)]
    if not matches:
        raise DataError(f"{name}: unknown ending; known are {', '.join(EXTENSIONS)}")
    return max(matches, key=len)


def _decode(content: bytes, name: str, where: str, columns: Columns) -> Log:
    extension = _extension(name)
    if extension.endswith(".gz"):
        content, extension = _gunzip(content, where), extension.removesuffix(".gz")
    if not content.strip():
        raise DataError(f"{where}: the file is empty")
    if extension in _JSON:
        from data.readers.json_lines import read_json_lines

        return read_json_lines(content, where, columns)
    from data.readers.delimited import read_delimited

    return read_delimited(content, extension, where, columns)


def _gunzip(content: bytes, where: str) -> bytes:
    import gzip
    import zlib

    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where}: broken gzip file ({error})") from error


def _read_member(path: Path, member: str | None) -> bytes:
    # In memory: nothing is unpacked, so no name in an archive can point outside a folder.
    if member is None:
        raise DataError(f"{path.name}: name the file inside it, or unpack it and name that file")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.rsplit("/", 1)[-1] == member]
            if len(names) != 1:
                raise DataError(f"{path.name}: holds {len(names)} files named {member}, not one")
            return archive.read(names[0])
    except zipfile.BadZipFile as error:
        raise DataError(f"{path.name}: broken zip archive ({error})") from error
