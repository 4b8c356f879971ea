"""What all kernels are made of, in one number: changed pieces are compiled anew."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


@lru_cache
def pieces_digest(folder: Path = FOLDER) -> str:
    """Of the source of all kernels and of the pieces that they take in, of each other too."""
    pieces = sorted({*folder.glob("simd*.py"), *folder.glob("*_kernels.py")})
    return hashlib.sha256(b"".join(piece.read_bytes() for piece in pieces)).hexdigest()
