"""A side of a comparison: a process that measures itself when it is asked, until it is told to end.

    python -m bench.peers.serve bench.peers.sides.recbole

A line on standard input is a request, `{"verb": "train", "seconds": 5}`; a line on standard output
its answer, `{"ok": {...}}` or `{"error": "one line", "status": "unsupported"}`. The verbs are those
that the side's class lists. Whatever libraries print goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
import time
import traceback
from typing import IO, Any

from bench.lifeline import bind_to_parent

# Monotonic seconds at which the other end started this process.
STARTED = "SEQREC_PEERS_STARTED"
_UNSUPPORTED = ("NotSupported", "BackendUnavailable", "Unsupported")
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


class Unsupported(RuntimeError):
    """This peer can't do that, or not here; the message says why."""


def main() -> None:
    bind_to_parent()
    answers = _take_stdout()
    module = sys.argv.pop()  # libraries that read the command line find none
    began = time.monotonic()
    import torch

    torch_seconds = time.monotonic() - began
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.set_flush_denormal(True)
    side = importlib.import_module(module).SIDE()
    side.torch_seconds = torch_seconds
    for line in sys.stdin:
        print(json.dumps(answer(side, json.loads(line)), allow_nan=False), file=answers, flush=True)


def answer(side: Any, request: dict[str, Any]) -> dict[str, Any]:
    """What the side says to a request; an exception becomes a status with its one-line reason."""
    verb = request.pop("verb")
    try:
        if verb not in side.verbs:
            raise ValueError(f"verb {verb!r} is not one of {', '.join(side.verbs)}")
        return {"ok": _finite(getattr(side, verb)(**request))}
    except Exception as error:  # the outermost frame: every failure becomes an answer
        traceback.print_exc()
        return {"error": _reason(error), "status": _status(error)}


def _take_stdout() -> IO[str]:
    """Standard output for answers alone; what anybody else prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _finite(value: Any) -> Any:
    """The same value with None for NaN and infinity, which JSON has no words for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return value


def _reason(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    known = type(error).__name__ in _UNSUPPORTED
    return first if known and first else f"{type(error).__name__}: {first}".rstrip(": ")


def _status(error: Exception) -> str:
    if type(error).__name__ in _UNSUPPORTED:
        return "unsupported"
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in _OUT_OF_MEMORY):
        return "oom"
    return "error"


if __name__ == "__main__":
    main()
