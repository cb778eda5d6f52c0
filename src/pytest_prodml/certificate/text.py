"""Which text may name a thing: one spelling, nothing invisible, nothing that reorders what a reader sees."""

from __future__ import annotations

import unicodedata

# Control, format (bidi, zero width), surrogate, private use, line and paragraph separators.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def label_problem(text: str) -> str | None:
    """Say why `text` can not be a name or an id, or return None if it can.

    Names are compared by eye and by code; two that look the same must be the same. So they are NFC and hold
    no control, bidirectional or zero-width characters.
    """
    if not text.strip():
        return "is empty"
    if text.isascii() and text.isprintable():
        return None
    for character in text:
        if unicodedata.category(character) in _INVISIBLE:
            return f"holds the character U+{ord(character):04X}, which can not be seen"
    if not unicodedata.is_normalized("NFC", text):
        return "is not in Unicode normalization form C"
    return None
