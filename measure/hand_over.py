"""A line of memory handed from one core to another and back, compiled by Numba."""

# mypy: disable-error-code="import-untyped,untyped-decorator"

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import cfunc, types
from numba.extending import intrinsic

_WORD = ir.IntType(64)
_emitted: Any = intrinsic
_compiled: Any = cfunc(types.int64(*[types.int64] * 5), cache=True)


@_emitted
def _look(typingctx: Any, at: Any) -> Any:
    """The number at an address, as the other core wrote it last."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(args[0], _WORD.as_pointer()), "acquire", 8)

    return types.int64(types.int64), codegen


@_emitted
def _put(typingctx: Any, at: Any, value: Any) -> Any:
    """Write a number for the other core to see."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], _WORD.as_pointer())
        builder.store_atomic(args[1], place, "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@_compiled
def _hand_over(at: int, side: int, first: int, pairs: int, patience: int) -> int:
    for pair in range(pairs):
        turn = first + 2 * pair + side
        while _look(at) != turn:
            patience -= 1
            if patience == 0:
                return 0
        _put(at, turn + 1)
    return 1


# f(address, side 0 or 1, first number, pairs, patience): wait for one's turn and pass it on, so
# many times; 0 where it looked `patience` times in vain. No interpreter lock is held meanwhile.
hand_over = cast(
    "Callable[[int, int, int, int, int], int]",
    ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 5)(_hand_over.address),
)
