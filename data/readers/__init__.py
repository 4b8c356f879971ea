"""Files of interactions into a `Log`; the format follows from the name's ending and the first line.

    read(Path("events.tsv"), Columns(user="visitor"))

Parquet; CSV and TSV with a header line (`.csv`, `.tsv`) or in the headerless layout of MovieLens
and Amazon (user, item, rating, timestamp); RecBole `.inter`; MovieLens `.dat` (::) and `u.data`
(tab); JSON lines as in Amazon 2014; each text format also as `.gz`, and one member of a `.zip`.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

from data.log import Columns, DataError, Log
from data.room import free_bytes, require_room

_TEXT = (".csv", ".tsv", ".inter", ".dat", ".data")
_JSON = (".json", ".jsonl")
EXTENSIONS = (".parquet", ".zip", *_TEXT, *_JSON, *(f"{end}.gz" for end in (*_TEXT, *_JSON)))

# Bytes of memory a byte of text takes while it is parsed: itself, and columns and codes of it.
_PARSING = 3
_CHUNK_BYTES = 1 << 24
# What zipfile raises for broken, encrypted and unknown ones.
_BROKEN_ZIP = (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError)


def read(path: Path, columns: Columns | None = None, *, member: str | None = None) -> Log:
    """Read a file; `member` names the file wanted inside a `.zip` (by its last path component).

    Raises DataError, in one line that names the file: unknown ending, missing or empty file,
    contents that are not of the format, no user or item column, null or negative ids.
    """
    where, columns = path.name, columns or Columns()
    if path.is_dir():
        raise DataError(f"{where}: is a folder; a data set is one file: join those inside")
    if not path.is_file():
        raise DataError(f"{where}: no such file")
    extension = _extension(where)
    if path.stat().st_size == 0:
        raise DataError(f"{where}: the file is empty")
    if extension == ".zip":
        return _decode(_read_member(path, member), member or "", f"{where}/{member}", columns)
    if extension == ".parquet":
        from data.readers.parquet import read_parquet

        return read_parquet(path, where, columns)
    require_room(_PARSING * path.stat().st_size, where)
    return _decode(path.read_bytes(), where, where, columns)


def ending(name: str) -> str:
    """The known ending of a file's name, in small letters, or ""."""
    return max((end for end in EXTENSIONS if name.lower().endswith(end)), key=len, default="")


def _extension(name: str) -> str:
    if not (found := ending(name)):
        raise DataError(f"{name}: unknown ending; known are {', '.join(EXTENSIONS)}")
    return found


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
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            return _read_bounded(file.read, where)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where}: broken gzip file ({error})") from error


def _read_member(path: Path, member: str | None) -> bytes:
    # In memory: nothing is unpacked, so no name in an archive can point outside a folder.
    if member is None:
        raise DataError(f"{path.name}: name the file inside it, or unpack it and name that file")
    import zlib

    try:
        with zipfile.ZipFile(path) as archive:
            found = [i for i in archive.infolist() if i.filename.rsplit("/", 1)[-1] == member]
            if len(found) != 1:
                raise DataError(f"{path.name}: holds {len(found)} files named {member}, not one")
            require_room(_PARSING * found[0].file_size, f"{path.name}/{member}")
            with archive.open(found[0]) as file:  # which may hold more than it announces
                return _read_bounded(file.read, f"{path.name}/{member}")
    except DataError:
        raise
    except _BROKEN_ZIP as error:
        raise DataError(f"{path.name}: broken zip archive ({_first_line(error)})") from error
    except zlib.error as error:
        raise DataError(f"{path.name}: broken zip archive ({error})") from error


def _read_bounded(read_some: Callable[[int], bytes], where: str) -> bytes:
    """All of a compressed stream, unless it grows beyond what is free: a small file may hold
    gigabytes.
    """
    most = free_bytes() // _PARSING
    chunks, size = [], 0
    while chunk := read_some(_CHUNK_BYTES):
        size += len(chunk)
        if size > most:
            require_room(_PARSING * size, where)
        chunks.append(chunk)
    return b"".join(chunks)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
