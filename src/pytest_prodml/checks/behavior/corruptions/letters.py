"""Text -> letters with their marks, and words; the tables of what is struck or read in a letter's place."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

_JOINER = "\u200d"
_APOSTROPHES = ("'", "\u2019")
_TONES = range(0x1F3FB, 0x1F400)

#: A character that takes no room and that no reader sees.
ZERO_WIDTH = "\u200b"

_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _neighbors() -> dict[str, str]:
    """Return the keys beside each letter of a US keyboard, whose rows lie half a key apart."""
    found: dict[str, str] = {}
    for level, keys in enumerate(_KEYBOARD):
        for place, key in enumerate(keys):
            near = [keys[other] for other in (place - 1, place + 1) if 0 <= other < len(keys)]
            for step, shifts in ((-1, (0, 1)), (1, (-1, 0))):
                if 0 <= level + step < len(_KEYBOARD):
                    beside = _KEYBOARD[level + step]
                    near += [beside[place + shift] for shift in shifts if 0 <= place + shift < len(beside)]
            found[key] = "".join(near)
    return found


NEIGHBORS: Mapping[str, str] = _neighbors()

#: Letters of Latin script -> letters of Cyrillic script that look the same in most fonts.
HOMOGLYPHS: Mapping[str, str] = {
    "a": "\u0430",
    "c": "\u0441",
    "e": "\u0435",
    "i": "\u0456",
    "j": "\u0458",
    "o": "\u043e",
    "p": "\u0440",
    "s": "\u0455",
    "x": "\u0445",
    "y": "\u0443",
    "A": "\u0410",
    "B": "\u0412",
    "C": "\u0421",
    "E": "\u0415",
    "H": "\u041d",
    "I": "\u0406",
    "K": "\u041a",
    "M": "\u041c",
    "O": "\u041e",
    "P": "\u0420",
    "T": "\u0422",
    "X": "\u0425",
}


def letters_of(text: str) -> list[str]:
    """Split a text into letters, each with the marks that belong to it; joined, they are the text again.

    Marks are combining characters, variation selectors, skin tones, and what a zero-width joiner joins: most
    of what Unicode Standard Annex 29 calls a grapheme cluster.
    """
    if text.isascii():
        return list(text)
    letters: list[str] = []
    for character in text:
        belongs = (
            unicodedata.category(character) in {"Mn", "Mc", "Me"}
            or character == _JOINER
            or ord(character) in _TONES
            or (bool(letters) and letters[-1][-1] == _JOINER)
        )
        if letters and belongs:
            letters[-1] += character
        else:
            letters.append(character)
    return letters


def word_spans(letters: list[str]) -> list[tuple[int, int]]:
    """Return where words start and end: runs of letters of any script, with apostrophes between them."""
    spans: list[tuple[int, int]] = []
    start = None
    for place, letter in enumerate([*letters, " "]):
        if letter[0].isalpha():
            start = place if start is None else start
        elif start is not None and not _is_inside(letters, place):
            spans.append((start, place))
            start = None
    return spans


def _is_inside(letters: list[str], place: int) -> bool:
    return place + 1 < len(letters) and letters[place] in _APOSTROPHES and letters[place + 1][0].isalpha()
