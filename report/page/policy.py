"""The page's content security policy: nothing from anywhere, only the scripts that it came with.

A script or style runs if its hash is named; there is no 'unsafe-inline' and no 'unsafe-eval', so
that a name in a result file can't become code even if it were shown wrongly.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence


def policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    """The text of the meta tag for these inline scripts and styles."""
    parts = {
        "default-src": ["'none'"],
        "script-src": [_hash(text) for text in scripts],
        "style-src": [_hash(text) for text in styles],
        "img-src": ["data:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in parts.items())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
