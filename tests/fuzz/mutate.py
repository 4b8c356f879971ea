"""Real inputs made wrong: bytes flipped, cut, doubled and spliced, and values of JSON replaced."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

_TOKENS = (
    *(b"", b"\0", b"\n", b"\r\n", b"\t", b",", b"::", b'"', b'""', b"'", b"\\", b"{", b"}", b"["),
    *(b"-1", b"0", b"1e309", b"-1e309", b"NaN", b"Infinity", b"null", b"true", b"1.5", b"0x1f"),
    *(b"2147483648", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809"),
    *(b"1" * 400, b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", "é☃\u2028".encode(), b"PAR1"),
    *(b"user", b"item", b"timestamp", b"user_id:token", b"2020-01-01", b"1e400", b"-0", b"+7"),
)
_SIZES = (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\xff" * 8, b"\0\0\0\x80")
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**400, -(10**25), 0.0, -0.0, 1.5, -3.25, 1e-320),
    *(
        1e308,
        float("nan"),
        float("inf"),
        "",
        "x",
        "ok",
        "NaN",
        "\n\n",
        "\x1b[31m",
        "\ud800",
        "a" * 999,
    ),
    *(
        [],
        [1],
        [None],
        [[]],
        {},
        {"a": 1},
        {"": {}},
        [{}],
        ["ok"],
        "[/]",
        "$x^{",
        "../../etc",
        "é" * 50,
    ),
)


def mutate(content: bytes, rng: random.Random, *, others: list[bytes]) -> bytes:
    """The content with one to eight things done to it."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4, 8))):
        _STEPS[rng.randrange(len(_STEPS))](data, rng, others)
    return bytes(data)


def mutate_json(value: Any, rng: random.Random) -> Any:
    """A copy with one to four values replaced, removed, renamed or doubled, anywhere in it."""
    made = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(_places(made))
        if not places:
            return rng.choice(_VALUES)
        holder, key = rng.choice(places)
        deed = rng.random()
        if deed < 0.65:
            holder[key] = copy.deepcopy(rng.choice(_VALUES))
        elif deed < 0.8:
            del holder[key]
        elif isinstance(holder, dict):
            holder[str(rng.choice(_VALUES))[:50]] = holder.pop(key)
        else:
            holder.insert(key, copy.deepcopy(rng.choice(holder)))
    return made


def dumps(value: Any) -> bytes:
    """JSON as other writers make it: NaN and Infinity, and half a surrogate pair, included."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _places(value: Any) -> Any:
    """Every (holder, key) of a JSON value, breadth before depth."""
    pending = [value]
    while pending:
        holder = pending.pop(0)
        if isinstance(holder, dict | list):
            keys = list(holder) if isinstance(holder, dict) else range(len(holder))
            yield from ((holder, key) for key in keys)
            pending += [holder[key] for key in keys]


def _spot(data: bytearray, rng: random.Random) -> int:
    """A place in it; beginnings and ends, where formats keep their sizes, more often."""
    near = rng.random()
    if near < 0.25:
        return rng.randrange(min(len(data), 64) + 1)
    if near < 0.5:
        return len(data) - rng.randrange(min(len(data), 200) + 1)
    return rng.randrange(len(data) + 1)


def _flip(data: bytearray, rng: random.Random, _: list[bytes]) -> None:
    if data:
        data[min(_spot(data, rng), len(data) - 1)] ^= 1 << rng.randrange(8)


def _set(data: bytearray, rng: random.Random, _: list[bytes]) -> None:
    if data:
        data[min(_spot(data, rng), len(data) - 1)] = rng.randrange(256)


def _size(data: bytearray, rng: random.Random, _: list[bytes]) -> None:
    spot, token = _spot(data, rng), rng.choice(_SIZES)
    data[spot : spot + len(token)] = token


def _insert(data: bytearray, rng: random.Random, _: list[bytes]) -> None:
    spot = _spot(data, rng)
    data[spot:spot] = rng.choice(_TOKENS)


def _overwrite(data: bytearray, rng: random.Random, _: list[bytes]) -> None:
    spot = _spot(data, rng)
    data[spot : spot + rng.randrange(12)] = rng.choice(_TOKENS)


def _cut(data: bytearray, rng: random.Random, _: list[bytes]) -> None:
    spot = _spot(data, rng)
    del data[spot : spot + rng.choice((1, 4, 64, 1024, 10**9))]


def _double(data: bytearray, rng: random.Random, _: list[bytes]) -> None:
    spot = _spot(data, rng)
    data[spot:spot] = data[spot : spot + rng.choice((1, 16, 256))] * rng.choice((1, 2, 50))


def _splice(data: bytearray, rng: random.Random, others: list[bytes]) -> None:
    other = rng.choice(others)
    start, spot = rng.randrange(len(other) + 1), _spot(data, rng)
    data[spot : spot + rng.randrange(100)] = other[start : start + rng.randrange(300)]


_STEPS = (_flip, _flip, _set, _size, _insert, _overwrite, _cut, _double, _splice)
