"""Text from a certificate -> text that is what it looks like: nothing invisible, nothing that reorders.

Names, messages and notes in a certificate are other people's text. Control characters, bidirectional
overrides and zero-width characters could make a page or a terminal say something else than the bytes do, so
they are spelled out as escapes here, before any format sees them. Escaping for a format (HTML, Markdown) is
that format's own business.
"""

from __future__ import annotations

import re
import unicodedata

#: Printable by Unicode's classes, yet drawn as nothing: fillers, variation selectors, invisible vowels.
_UNSEEN = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_CUT = " … (cut here; the signed statement has all of it)"
_MOST_MARKS = 3


def inert(text: str, *, limit: int = 2000, lines: bool = False) -> str:
    """Spell out every character of `text` that is not visible, and bound its length.

    Parameters
    ----------
    text : str
        Any text, hostile included.
    limit : int
        Characters that are kept; what is cut says so.
    lines : bool
        Keep line feeds (for text that is shown with its lines); else they are escaped as well.
    """
    cut = len(text) > limit
    kept = text[:limit] if cut else text
    if not kept.isprintable() or not kept.isascii():
        kept = _spelled_out(kept, lines=lines)
    return kept + _CUT if cut else kept


def _spelled_out(text: str, *, lines: bool) -> str:
    result = []
    marks = 0
    for character in text:
        # A pile of combining marks paints over the lines around it.
        marks = marks + 1 if unicodedata.category(character)[0] == "M" else 0
        if character == "\n" and lines:
            result.append(character)
        elif character == "\t":
            result.append(" ")
        elif character.isprintable() and not _UNSEEN.match(character) and marks <= _MOST_MARKS:
            result.append(character)
        else:
            result.append(_escape(character))
    return "".join(result)


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def one_line(text: str, limit: int = 140) -> str:
    """Shorten inert text to one line for a tile, a list or a terminal."""
    # Not `split()`: a no-break space of ours keeps a sign and its number together.
    flat = re.sub(r"[ \t\n]+", " ", text).strip(" ")
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"
