"""The gate at which a worker, all loaded, sleeps until its parent lets it on.

So workers can start side by side, on a core each, and be measured one after the other, or by turns,
a round of the one and a round of the other: they then come to the gate before every round.

    gate = Gate()                       # the parent's side
    process = Popen(..., stdin=PIPE, pass_fds=[gate.bell]); gate.shared()
    gate.sleep(seconds)                 # until it rings, or has ended
    gate.tell(process.stdin, BY_TURNS)

    by_turns = pass_gate(bell)          # the worker's side
"""

from __future__ import annotations

import contextlib
import os
import selectors
import sys
from typing import IO

from measure.clock import now

BY_TURNS = "by turns"
CAN_WAIT = sys.platform != "win32"  # where a process can be given a pipe to ring with


class Gate:
    """One worker's gate, as its parent sees it; closed with `close` or at the end of a `with`.

    Attributes:
        bell: the file descriptor that the worker rings with; None where it has none.
        rang: when it last rang, by the clock that all processes of a machine share; None until it
            has.
    """

    def __init__(self) -> None:
        self.bell: int | None = None
        self.rang: float | None = None
        self._ring: int | None = None
        if CAN_WAIT:
            self._ring, self.bell = os.pipe()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def shared(self) -> None:
        """The worker has its end: what is left of it in this process would hide the worker's
        death.
        """
        if self.bell is not None:
            os.close(self.bell)
            self.bell = None

    def sleep(self, seconds: float) -> bool:
        """Until the worker rings or has ended, at most so long; whether either happened."""
        if self._ring is None:
            return True
        with selectors.DefaultSelector() as selector:
            selector.register(self._ring, selectors.EVENT_READ)
            if not selector.select(seconds):
                return False
        if said := os.read(self._ring, 64):
            self.rang = float(said.split()[-1])
        return True

    def tell(self, door: IO[bytes] | None, line: str = "") -> None:
        """Write a line to the worker whose standard input `door` is: its request, and later the one
        that opens the gate. Nothing happens where it is dead.
        """
        assert door is not None, "the worker's standard input is a pipe"
        with contextlib.suppress(BrokenPipeError):
            door.write(f"{line}\n".encode())
            door.flush()

    def close(self) -> None:
        self.shared()
        if self._ring is not None:
            os.close(self._ring)
            self._ring = None


def pass_gate(bell: int | None) -> bool:
    """In a worker: ring, and sleep until the parent opens; the process ends where it never will.

    Args:
        bell: the file descriptor to ring with; None where nobody waits.

    Returns:
        whether the parent opened for one round alone.
    """
    if bell is None:
        return False
    try:
        os.write(bell, f"{now()!r}\n".encode())
    except BrokenPipeError:
        os._exit(0)
    said = sys.stdin.readline()
    if not said:
        os._exit(0)
    return said.strip() == BY_TURNS
