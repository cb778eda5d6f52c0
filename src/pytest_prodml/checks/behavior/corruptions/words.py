"""A word -> the same word mistyped, encoded otherwise, or without its accents."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence

from pytest_prodml.checks.behavior.corruptions.letters import HOMOGLYPHS, NEIGHBORS, ZERO_WIDTH, letters_of
from pytest_prodml.errors import InputError


def mistyped(word: str, how: float, where: float) -> str:
    """Return a word with one slip: two letters swapped, one lost, doubled, or struck beside its key."""
    letters = letters_of(word)
    if len(letters) < 2:
        return word
    place = int(where * len(letters))
    letter = letters[place]
    near = NEIGHBORS.get(letter.lower(), "")
    slip = int(how * (4 if near else 3))
    if slip == 0:
        left = min(place, len(letters) - 2)
        letters[left], letters[left + 1] = letters[left + 1], letters[left]
    elif slip == 1:
        del letters[place]
    elif slip == 2:
        letters.insert(place, letter)
    else:
        struck = near[int(how * 4 % 1 * len(near))]
        letters[place] = struck.upper() if letter.isupper() else struck
    made = "".join(letters)
    # Two equal letters that change places are no slip.
    return made if made != word else word + letters[-1]


def _normal_form(word: str, where: float) -> str:
    del where
    apart = unicodedata.normalize("NFD", word)
    return apart if apart != word else unicodedata.normalize("NFC", word)


def _zero_width(word: str, where: float) -> str:
    letters = letters_of(word)
    place = 1 + int(where * (len(letters) - 1)) if len(letters) > 1 else 1
    letters.insert(place, ZERO_WIDTH)
    return "".join(letters)


def _homoglyph(word: str, where: float) -> str:
    places = [place for place, letter in enumerate(word) if letter in HOMOGLYPHS]
    if not places:
        return word
    place = places[int(where * len(places))]
    return word[:place] + HOMOGLYPHS[word[place]] + word[place + 1 :]


ENCODERS: Mapping[str, Callable[[str, float], str]] = {
    "normal_form": _normal_form,
    "zero_width": _zero_width,
    "homoglyph": _homoglyph,
}


def without_accents(word: str) -> str:
    """Return a word without combining diacritical marks; the same word where it has none."""
    apart = unicodedata.normalize("NFD", word)
    bare = "".join(letter for letter in apart if not "\u0300" <= letter <= "\u036f")
    return word if bare == apart else unicodedata.normalize("NFC", bare)


def one_of(options: Sequence[str], share: float, otherwise: str) -> str:
    """Return the option at a share, 0 to 1, of the list; `otherwise` where it is empty."""
    return options[int(share * len(options))] if options else otherwise


def in_case_of(model: str, word: str) -> str:
    """Return a word with the capitals of another one."""
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word


def checked_synonyms(synonyms: object) -> dict[str, tuple[str, ...]]:
    """Return word, in lower case, -> what can stand for it.

    Raises
    ------
    InputError
        If it is no such list.
    """
    where, hint = "synonyms", 'synonyms={"cheap": ["inexpensive", "low-priced"]}'
    if not isinstance(synonyms, Mapping) or not synonyms:
        raise InputError("needs a list of your own, word -> synonyms", where=where, hint=hint)
    found: dict[str, tuple[str, ...]] = {}
    for word, options in synonyms.items():
        several = [options] if isinstance(options, str) else options
        is_list = isinstance(several, (list, tuple, set, frozenset))
        if not isinstance(word, str) or not word.strip() or not is_list:
            raise InputError(f"{word!r} -> {options!r} is no word with its synonyms", where=where, hint=hint)
        if not several or not all(isinstance(option, str) for option in several):
            raise InputError(
                f"the synonyms of {word!r} must be texts, got {options!r}", where=where, hint=hint
            )
        # The order of a set differs from run to run.
        found[word.casefold()] = tuple(sorted(several) if isinstance(several, (set, frozenset)) else several)
    return found
