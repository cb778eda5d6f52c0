"""English sentences -> where they can be contracted or written out, and what says their opposite."""

from __future__ import annotations

import re
from collections.abc import Mapping

_VERBS = "is are was were do does did has have had could should would must need might".split()  # noqa: SIM905
_PRONOUNS: Mapping[str, str] = {
    "i am": "i'm",
    "you are": "you're",
    "we are": "we're",
    "they are": "they're",
    "it is": "it's",
    "that is": "that's",
    "i have": "i've",
    "you have": "you've",
    "we have": "we've",
    "they have": "they've",
    "i will": "i'll",
    "you will": "you'll",
    "he will": "he'll",
    "she will": "she'll",
    "we will": "we'll",
    "they will": "they'll",
}
_SHORT: Mapping[str, str] = {
    **{f"{verb} not": f"{verb}n't" for verb in _VERBS},
    "cannot": "can't",
    "can not": "can't",
    "will not": "won't",
    **_PRONOUNS,
}
#: "it's" and "that's" are also "it has": written out they could be wrong, so they are contracted only.
_LONG: Mapping[str, str] = {
    short: long for long, short in _SHORT.items() if short not in {"it's", "that's"} and long != "can not"
}
_FORMS: Mapping[str, str] = {**_SHORT, **_LONG}
_FORM = re.compile(
    rf"(?<!\w)(?:{'|'.join(re.escape(form) for form in sorted(_FORMS, key=len, reverse=True))})(?!\w)",
    re.IGNORECASE,
)

_AUXILIARY = re.compile(
    r"(?<!\w)(?:am|is|are|was|were|will|would|can|could|should|must|may|might|has|have|had|do|does|did)(?!\w)",
    re.IGNORECASE,
)
_NOT = re.compile(r"(?<!\w)(?:not|never)(?!\w)[ ]?", re.IGNORECASE)
_CANNOT = re.compile(r"(?<!\w)cannot(?!\w)", re.IGNORECASE)
_SHORT_NOT: Mapping[str, str] = {"can't": "can", "won't": "will", "shan't": "shall"}
_CONTRACTED_NOT = re.compile(r"(?<!\w)[a-z]+n['\u2019]t(?!\w)", re.IGNORECASE)


def contraction_swaps(text: str) -> list[tuple[int, int, str]]:
    """Return every form that can be contracted or written out: start, end, and the other form."""
    straight = text.replace("\u2019", "'")
    swaps = []
    for found in _FORM.finditer(straight):
        model = found.group()
        # Longer text makes a lower case letter longer only outside of English.
        other = _FORMS.get(model.lower())
        if other is not None:
            swaps.append((found.start(), found.end(), _capitals_of(model, other)))
    return swaps


def negated(text: str) -> str:
    """Take the first negation out, or put "not" behind the first auxiliary verb; else return the text."""
    for find, replace in (
        (_CONTRACTED_NOT, _affirmed),
        (_CANNOT, lambda found: found.group()[:3]),
        (_NOT, lambda found: ""),  # noqa: ARG005 - called by position
        (_AUXILIARY, lambda found: f"{found.group()} not"),
    ):
        made, count = find.subn(replace, text, count=1)
        if count:
            return made
    return text


def _affirmed(found: re.Match[str]) -> str:
    word = found.group()
    whole = _SHORT_NOT.get(word.lower().replace("\u2019", "'"))
    return word[:-3] if whole is None else _capitals_of(word, whole)


def _capitals_of(model: str, words: str) -> str:
    words = re.sub(r"(?<!\w)i(?!\w)", "I", words)
    if model.isupper() and len(model) > 1:
        return words.upper()
    return words[:1].upper() + words[1:] if model[:1].isupper() else words
