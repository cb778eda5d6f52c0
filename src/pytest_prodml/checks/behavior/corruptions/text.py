"""Texts and a severity -> the same texts as people and programs mistype, rewrite and encode them.

A batch is a list or an array of texts, or a frame with columns that hold them. Order and number stay, what is
no text (a missing cell) stays, and an empty text has nothing to change. Letters are taken with the marks that
belong to them, so that no slip tears an accent from its letter. Nothing that is drawn depends on the
severity: at a higher one the same words are hit, and more.

Contractions, negation and added sentences are English; everything else is for any script.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_prodml.checks.behavior.batches import Batch
from pytest_prodml.checks.behavior.corruptions.kinds import TEXTS, Corruption, check_choice
from pytest_prodml.checks.behavior.corruptions.letters import letters_of, word_spans
from pytest_prodml.checks.behavior.corruptions.sentences import contraction_swaps, negated
from pytest_prodml.checks.behavior.corruptions.texts import Draws, Rng, each_text, each_word, joined, replaced
from pytest_prodml.checks.behavior.corruptions.words import (
    ENCODERS,
    checked_synonyms,
    in_case_of,
    mistyped,
    one_of,
    without_accents,
)
from pytest_prodml.errors import InputError

_MARKS = (".", "!", "...", ",")
_GAPS = ("  ", "\t", "\n", "\u00a0")
_WAYS = ("normal_form", "zero_width", "homoglyph")
_SENTENCES = (
    "Thank you for reading this.",
    "This was written on a Tuesday.",
    "I am writing this from my phone.",
    "Best regards.",
)


def typos(batch: Batch, severity: float, rng: Rng, *, columns: Sequence[Any] | None = None) -> Batch:
    """Give a share of the words of two letters or more one slip of the keyboard.

    Two neighboring letters change places, a letter is lost, doubled, or (a to z) struck beside its key.

    Parameters
    ----------
    batch : list, array or frame
        Texts.
    severity : float
        Share of words, 0 to 1.
    rng : numpy Generator
    columns : sequence, optional
        The columns of a frame that hold the texts.
    """
    return each_word(batch, severity, rng, mistyped, columns)


def casing(batch: Batch, severity: float, rng: Rng, *, columns: Sequence[Any] | None = None) -> Batch:
    """Write a share of the words in lower case, upper case, capitalized or with both swapped; see `typos`."""

    def cased(word: str, how: float, where: float) -> str:
        del where
        others = dict.fromkeys((word.lower(), word.upper(), word.capitalize(), word.swapcase()))
        return one_of([other for other in others if other != word], how, word)

    return each_word(batch, severity, rng, cased, columns)


def punctuation(batch: Batch, severity: float, rng: Rng, *, columns: Sequence[Any] | None = None) -> Batch:
    """Lose or double a share of the punctuation marks, and end texts that have none at the end with one.

    The end of a text counts as a mark. See `typos`.
    """

    def changed(text: str, draw: Callable[[int], Draws]) -> str:
        places = [place for place, letter in enumerate(text) if unicodedata.category(letter).startswith("P")]
        draws = draw(len(places) + 1)
        made = list(text)
        for place, (hit, how, _) in zip(places, draws, strict=False):
            if hit < severity:
                made[place] = "" if how < 0.5 else text[place] * 2
        if text.strip() and draws[-1][0] < severity and len(text) - 1 not in places:
            made.append(one_of(_MARKS, draws[-1][1], ""))
        return "".join(made)

    return each_text(batch, rng, changed, columns)


def whitespace(batch: Batch, severity: float, rng: Rng, *, columns: Sequence[Any] | None = None) -> Batch:
    """Turn a share of the gaps between words into two spaces, a tab, a line break or a no-break space.

    The end of a text counts as a gap, after which a space comes. No words are joined. See `typos`.
    """

    def changed(text: str, draw: Callable[[int], Draws]) -> str:
        gaps = list(re.finditer(r"(?<=\S)\s+(?=\S)", text))
        draws = draw(len(gaps) + 1)
        made, end = [], 0
        for gap, (hit, how, _) in zip(gaps, draws, strict=False):
            others = [other for other in _GAPS if other != gap.group()]
            made += [text[end : gap.start()], one_of(others, how, " ") if hit < severity else gap.group()]
            end = gap.end()
        tail = " " if text.strip() and draws[-1][0] < severity else ""
        return "".join([*made, text[end:], tail])

    return each_text(batch, rng, changed, columns)


def contractions(batch: Batch, severity: float, rng: Rng, *, columns: Sequence[Any] | None = None) -> Batch:
    """Contract or write out a share of the English forms that can be: "do not" and "don't". See `typos`."""

    def changed(text: str, draw: Callable[[int], Draws]) -> str:
        swaps = contraction_swaps(text)
        draws = draw(len(swaps))
        return replaced(
            text, [swap for swap, (hit, _, _) in zip(swaps, draws, strict=True) if hit < severity]
        )

    return each_text(batch, rng, changed, columns)


def synonyms(
    batch: Batch,
    severity: float,
    rng: Rng,
    *,
    synonyms: Mapping[str, str | Sequence[str]] | None = None,
    columns: Sequence[Any] | None = None,
) -> Batch:
    """Replace a share of the words that a list of your own knows by one of their synonyms; see `typos`.

    Parameters
    ----------
    synonyms : mapping
        Word or words -> what can stand for them: one text or several. Found in any case; a synonym takes
        over capitals.
    """
    known = checked_synonyms(synonyms)
    pattern = re.compile(
        rf"(?<!\w)(?:{'|'.join(re.escape(word) for word in sorted(known, key=len, reverse=True))})(?!\w)",
        re.IGNORECASE,
    )

    def changed(text: str, draw: Callable[[int], Draws]) -> str:
        found = list(pattern.finditer(text))
        swaps = []
        for match, (hit, how, _) in zip(found, draw(len(found)), strict=True):
            options = known.get(match.group().casefold(), ())
            if hit < severity and options:
                new = in_case_of(match.group(), one_of(options, how, match.group()))
                swaps.append((match.start(), match.end(), new))
        return replaced(text, swaps)

    return each_text(batch, rng, changed, columns)


def negation(batch: Batch, severity: float, rng: Rng, *, columns: Sequence[Any] | None = None) -> Batch:
    """Turn the meaning of a share of the English texts round: the answer has to move.

    A negation (not, n't, never) is taken out; where there is none, "not" comes behind the first auxiliary
    verb (is, was, can, will ...). Texts with neither stay. See `typos`.
    """

    def changed(text: str, draw: Callable[[int], Draws]) -> str:
        return negated(text) if draw(1)[0][0] < severity else text

    return each_text(batch, rng, changed, columns)


def unicode_forms(
    batch: Batch,
    severity: float,
    rng: Rng,
    *,
    ways: Sequence[str] = _WAYS,
    columns: Sequence[Any] | None = None,
) -> Batch:
    """Encode a share of the words otherwise, so that they look the same; see `typos`.

    Parameters
    ----------
    ways : sequence of str
        "normal_form" (letters and marks apart, or together), "zero_width" (a character without width
        inside), "homoglyph" (a letter of another script that looks like it).
    """
    if isinstance(ways, str) or not ways:
        raise InputError(f"ways must be a list of {', '.join(_WAYS)}, got {ways!r}", where="unicode")
    for way in ways:
        check_choice(way, _WAYS, "ways", "unicode")
    encoders = [ENCODERS[way] for way in ways]

    def encoded(word: str, how: float, where: float) -> str:
        # A way that does not change the word makes room for the next one.
        first = int(how * len(encoders))
        for turn in range(len(encoders)):
            made = encoders[(first + turn) % len(encoders)](word, where)
            if made != word:
                return made
        return word

    return each_word(batch, severity, rng, encoded, columns)


def accents(batch: Batch, severity: float, rng: Rng, *, columns: Sequence[Any] | None = None) -> Batch:
    """Take the accents off a share of the words that have any, in Latin, Greek and Cyrillic: café, cafe.

    Vowel signs of other scripts are no accents and stay. See `typos`.
    """

    def changed(text: str, draw: Callable[[int], Draws]) -> str:
        letters = letters_of(text)
        swaps = []
        spans = [
            (start, end)
            for start, end in word_spans(letters)
            if without_accents("".join(letters[start:end])) != "".join(letters[start:end])
        ]
        for (start, end), (hit, _, _) in zip(spans, draw(len(spans)), strict=True):
            if hit < severity:
                swaps.append((start, end, without_accents("".join(letters[start:end]))))
        return joined(letters, swaps)

    return each_text(batch, rng, changed, columns)


def added_sentence(
    batch: Batch,
    severity: float,
    rng: Rng,
    *,
    sentences: Sequence[str] = _SENTENCES,
    columns: Sequence[Any] | None = None,
) -> Batch:
    """Put a sentence that says nothing before or behind a share of the texts; see `typos`.

    Parameters
    ----------
    sentences : sequence of str
        Which; default four in English.
    """
    if (
        isinstance(sentences, str)
        or not sentences
        or not all(isinstance(one, str) and one for one in sentences)
    ):
        raise InputError(f"sentences must be a list of texts, got {sentences!r}", where="added_sentence")

    def changed(text: str, draw: Callable[[int], Draws]) -> str:
        hit, how, where = draw(1)[0]
        if hit >= severity:
            return text
        sentence = one_of(sentences, how, "")
        parts = [text, sentence] if where < 0.5 else [sentence, text]
        return " ".join(part for part in parts if part)

    return each_text(batch, rng, changed, columns)


_COLUMNS = {"columns": "the columns of a frame that hold texts"}

CORRUPTIONS = (
    Corruption(name="typos", kind=TEXTS, apply=typos, unit="share of words with a slip", options=_COLUMNS),
    Corruption(
        name="casing", kind=TEXTS, apply=casing, unit="share of words in another case", options=_COLUMNS
    ),
    Corruption(
        name="punctuation",
        kind=TEXTS,
        apply=punctuation,
        unit="share of punctuation marks lost or doubled",
        options=_COLUMNS,
    ),
    Corruption(
        name="whitespace",
        kind=TEXTS,
        apply=whitespace,
        unit="share of gaps between words that are another whitespace",
        options=_COLUMNS,
    ),
    Corruption(
        name="contractions",
        kind=TEXTS,
        by_content=True,
        apply=contractions,
        unit="share of English forms contracted or written out",
        options=_COLUMNS,
    ),
    Corruption(
        name="synonyms",
        kind=TEXTS,
        by_content=True,
        apply=synonyms,
        unit="share of known words that are replaced",
        options={**_COLUMNS, "synonyms": "word -> what can stand for it"},
    ),
    Corruption(
        name="negation",
        kind=TEXTS,
        by_content=True,
        apply=negation,
        unit="share of English texts that say the opposite",
        options=_COLUMNS,
        must_move=True,
    ),
    Corruption(
        name="unicode",
        kind=TEXTS,
        apply=unicode_forms,
        unit="share of words encoded otherwise",
        options={**_COLUMNS, "ways": "normal_form, zero_width, homoglyph"},
    ),
    Corruption(
        name="accents",
        kind=TEXTS,
        by_content=True,
        apply=accents,
        unit="share of accented words without accents",
        options=_COLUMNS,
    ),
    Corruption(
        name="added_sentence",
        kind=TEXTS,
        apply=added_sentence,
        unit="share of texts with a sentence more",
        options={**_COLUMNS, "sentences": "which are added"},
    ),
)
