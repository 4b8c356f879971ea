"""How wide a text is and where it breaks, from the font's own widths.

A figure's height depends on how many lines its notes take, so this must be known before it is
drawn.
"""

from __future__ import annotations

from functools import lru_cache

from matplotlib.font_manager import findfont, get_font
from matplotlib.ft2font import FT2Font

FONT = "DejaVu Sans"
_BOLD = 1.13


def inches(text: str, size: float, *, bold: bool = False) -> float:
    """The width of one line at `size` points."""
    return sum(_ems(char) for char in text) * size / 72 * (_BOLD if bold else 1.0)


def wrap(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """The text in lines of at most `width` inches; a word that is longer is cut."""
    lines, line = list[str](), ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if inches(joined, size, bold=bold) <= width:
            line = joined
            continue
        lines += [line] if line else []
        while inches(word, size, bold=bold) > width:
            cut = _fitting(word, width, size, bold=bold)
            lines.append(word[:cut])
            word = word[cut:]
        line = word
    return [*lines, line] if line or not lines else lines


def _fitting(word: str, width: float, size: float, *, bold: bool) -> int:
    """How many of the word's characters fit, at least one."""
    fits = (
        place for place in range(len(word), 1, -1) if inches(word[:place], size, bold=bold) <= width
    )
    return next(fits, 1)


@lru_cache(maxsize=4096)
def _ems(char: str) -> float:
    """The character's width in units of the font's size; one for what the font lacks."""
    font = _font()
    if not font.get_char_index(ord(char)):
        return 1.0
    font.set_size(100, 72)
    return font.load_char(ord(char)).linearHoriAdvance / 65536 / 100


@lru_cache(maxsize=1)
def _font() -> FT2Font:
    return get_font(findfont(FONT))
