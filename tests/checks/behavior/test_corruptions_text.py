"""Texts that get worse: in any script, with marks that stay with their letters."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_prodml.checks.behavior.corruptions import CORRUPTIONS, Corruption, transform
from pytest_prodml.checks.behavior.corruptions.kinds import TEXTS
from pytest_prodml.checks.behavior.corruptions.letters import NEIGHBORS, letters_of, word_spans
from pytest_prodml.checks.behavior.corruptions.sentences import negated
from pytest_prodml.errors import InputError

TEXTUAL = [one for one in CORRUPTIONS if one.kind == TEXTS]
OPTIONS: dict[str, dict[str, Any]] = {"synonyms": {"synonyms": {"film": "movie", "good": ["fine", "nice"]}}}

ODD = [
    "",
    " ",
    "a",
    "أحب هذا الفيلم كثيرا",
    "אני אוהב את הסרט",
    "👩‍👩‍👧 loves it 👍🏽!",
    "cafe\u0301 na\u00efve",
    "हिन्दी में लिखा है",
    "這部電影很好看",
    "It isn't good, I can't watch this film.",
    "\u202eevil\u202c",
    "line\nbreak\tand\r\nmore",
]
WORDS = "the quick brown fox jumps over lazy dogs while seven wizards bravely vex my sphinx".split()  # noqa: SIM905


def made(name: str, texts: Any, severity: float = 0.5, seed: int = 0, **options: Any) -> Any:
    chosen = {**OPTIONS.get(name, {}), **options}
    return transform(name, severity, of=TEXTS, **chosen)(texts, np.random.default_rng(seed))


def many(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(3, 15))) for _ in range(n)]


@pytest.mark.parametrize("corruption", TEXTUAL, ids=lambda one: one.name)
@given(
    texts=st.lists(st.one_of(st.text(max_size=40), st.sampled_from(ODD)), min_size=1, max_size=8),
    seed=st.integers(0, 9),
)
@settings(max_examples=40, deadline=None)
def test_any_text_can_be_corrupted(corruption: Corruption, texts: list[str], seed: int) -> None:
    before = list(texts)
    for severity in (0.3, 1.0):
        after = made(corruption.name, texts, severity, seed)
        assert texts == before
        assert len(after) == len(texts)
        assert all(isinstance(text, str) for text in after)
        assert after == made(corruption.name, texts, severity, seed)
        if corruption.name != "added_sentence":
            assert all(new == "" for old, new in zip(texts, after, strict=True) if not old)


@pytest.mark.parametrize("name", ["typos", "casing", "unicode"])
def test_a_share_of_words_is_hit_and_at_a_higher_severity_the_same_and_more(name: str) -> None:
    texts = many(1500)
    total = sum(len(text.split()) for text in texts)
    hit = {}
    for severity in (0.1, 0.4):
        pairs = [
            (old, new)
            for before, after in zip(texts, made(name, texts, severity), strict=True)
            for old, new in zip(before.split(), after.split(), strict=True)
        ]
        hit[severity] = np.array([old != new for old, new in pairs])
        assert hit[severity].sum() / total == pytest.approx(severity, abs=0.02)
    assert (hit[0.4] >= hit[0.1]).all()


def test_a_typo_is_one_slip() -> None:
    texts = ["keyboard"] * 800
    after = set(made("typos", texts, 1.0))
    lengths = {len(word) for word in after}
    assert lengths == {7, 8, 9}
    swaps = [word for word in after if len(word) == 8 and sorted(word) == sorted("keyboard")]
    struck = [word for word in after if len(word) == 8 and sorted(word) != sorted("keyboard")]
    assert swaps
    for word in struck:
        [(old, new)] = [(a, b) for a, b in zip("keyboard", word, strict=True) if a != b]
        assert new in NEIGHBORS[old]
    assert "keyboard" not in after
    # Two equal letters that change places are no slip.
    assert all(word != "aaa" for word in made("typos", ["aaa"] * 200, 1.0))
    assert made("typos", ["a b c"], 1.0) == ["a b c"]


def test_keys_lie_beside_each_other_both_ways() -> None:
    assert set(NEIGHBORS["g"]) == set("fhtyvb")
    assert all(key in NEIGHBORS[other] for key, near in NEIGHBORS.items() for other in near)


@given(text=st.text())
def test_letters_joined_are_the_text(text: str) -> None:
    letters = letters_of(text)
    assert "".join(letters) == text
    for start, end in word_spans(letters):
        assert letters[start][0].isalpha()
        assert letters[end - 1][0].isalpha()


def test_marks_stay_with_their_letters() -> None:
    assert letters_of("e\u0301a") == ["e\u0301", "a"]
    assert len(letters_of("👩‍👩‍👧👍🏽")) == 2
    word = "nai\u0308ve\u0301"
    for seed in range(60):
        [after] = made("typos", [word], 1.0, seed)
        assert {one for one in letters_of(after) if len(one) > 1} <= {"i\u0308", "e\u0301"}
        assert not unicodedata.combining(after[0])


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("negation", "It is good.", "It is not good."),
        ("negation", "It is not good.", "It is good."),
        ("negation", "I don't like it", "I do like it"),
        ("negation", "I can't see", "I can see"),
        ("negation", "We won\u2019t come", "We will come"),
        ("negation", "I cannot come", "I can come"),
        ("negation", "I never eat here", "I eat here"),
        ("negation", "Good food", "Good food"),
        ("contractions", "I do not know", "I don't know"),
        ("contractions", "DON'T go", "DO NOT go"),
        ("contractions", "We will see, it\u2019s fine", "We'll see, it\u2019s fine"),
        ("contractions", "I am here", "I'm here"),
        ("contractions", "i'm here", "I am here"),
        ("synonyms", "Good FILM, goods", "Nice MOVIE, goods"),
        ("accents", "Café Ångström naïve plain", "Cafe Angstrom naive plain"),
        ("accents", "हिन्दी में", "हिन्दी में"),
        ("accents", "Ёлка άλφα", "Елка αλφα"),
    ],
)
def test_what_a_sentence_becomes(name: str, text: str, expected: str) -> None:
    found = {made(name, [text], 1.0, seed)[0] for seed in range(20)}
    assert expected in found
    assert found <= {expected, expected.replace("Nice", "Fine")}


def test_negating_twice_is_no_third_meaning() -> None:
    assert negated(negated("She was there.")) == "She was there."


def test_unicode_looks_the_same() -> None:
    texts = many(50)
    for way in ("normal_form", "zero_width", "homoglyph"):
        after = made("unicode", ["café résumé", *texts], 1.0, ways=[way])
        assert after[0] != "café résumé"
    apart = made("unicode", ["café"], 1.0, ways=["normal_form"])[0]
    assert unicodedata.normalize("NFC", apart) == "café"
    wide = made("unicode", ["word"], 1.0, ways=["zero_width"])[0]
    assert wide.replace("\u200b", "") == "word"
    like = made("unicode", ["space"], 1.0, ways=["homoglyph"])[0]
    assert sum(a != b for a, b in zip("space", like, strict=True)) == 1
    assert not like.isascii()


def test_gaps_and_marks() -> None:
    texts = many(400)
    spaced = made("whitespace", texts, 0.5)
    assert all(old.split() == new.split() for old, new in zip(texts, spaced, strict=True))
    assert spaced != texts
    marked = made("punctuation", ["Well, yes."] * 300, 0.5)
    assert {"Well, yes.", "Well yes.", "Well,, yes.", "Well, yes"} <= set(marked)
    assert all("".join(filter(str.isalpha, text)) == "Wellyes" for text in marked)


def test_a_sentence_is_added_to_a_share_of_texts() -> None:
    texts = many(2000)
    after = made("added_sentence", texts, 0.3, sentences=["Hello there."])
    longer = [new for old, new in zip(texts, after, strict=True) if new != old]
    assert len(longer) / len(texts) == pytest.approx(0.3, abs=0.05)
    assert all(text.startswith("Hello there. ") or text.endswith(" Hello there.") for text in longer)
    assert {text.startswith("Hello") for text in longer} == {True, False}


def test_forms_of_batches_stay() -> None:
    texts = ["a good film", "isn't it"]
    array = np.array(texts)
    assert made("added_sentence", array, 1.0).dtype.kind == "U"
    assert made("added_sentence", array, 1.0)[0] != "a good film"
    objects = made("typos", np.array([*texts, None], dtype=object), 1.0)
    assert objects.dtype == object
    assert objects[2] is None
    frame = pd.DataFrame({"review": ["a good film", None, "bad one"], "name": ["A B", "C D", "E F"]})
    after = made("casing", frame, 1.0, columns=["review"])
    assert after["name"].equals(frame["name"])
    assert after["review"].dtype == frame["review"].dtype
    assert after["review"].isna().tolist() == [False, True, False]
    assert after["review"][0] != "a good film"


@pytest.mark.parametrize(
    ("name", "batch", "options", "told"),
    [
        ("synonyms", ["a"], {"synonyms": None}, "list of your own"),
        ("synonyms", ["a"], {"synonyms": {}}, "list of your own"),
        ("synonyms", ["a"], {"synonyms": {"a": 3}}, "no word with its synonyms"),
        ("synonyms", ["a"], {"synonyms": {"a": []}}, "must be texts"),
        ("unicode", ["a"], {"ways": ["upside_down"]}, "must be one of"),
        ("unicode", ["a"], {"ways": "zero_width"}, "must be a list"),
        ("added_sentence", ["a"], {"sentences": "Hello"}, "must be a list"),
        ("typos", ["a"], {"columns": ["b"]}, "those of a frame"),
        ("typos", pd.DataFrame({"a": ["b"]}), {}, "which columns are texts"),
        ("typos", pd.DataFrame({"a": [1]}), {"columns": ["a"]}, "holds no texts"),
        ("typos", [1, 2], {}, "takes texts"),
        ("typos", np.zeros((3, 3)), {}, "takes texts"),
    ],
)
def test_wrong_input_gets_a_sentence(name: str, batch: Any, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        transform(name, 0.5, of=TEXTS, **options)(batch, np.random.default_rng(0))
