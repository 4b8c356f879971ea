"""Text for committed results: what a library said, without the folders of this machine."""

from __future__ import annotations

import re

_PATH = re.compile(r"(?<![\w.:/])(?:/|[A-Za-z]:\\)[^\s'\",;:()]*[/\\]([^\s'\",;:()/\\]+)")


def without_paths(text: str) -> str:
    """The text with absolute paths cut to their last part."""
    return _PATH.sub(r"\1", text)
