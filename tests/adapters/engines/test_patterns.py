"""A rewritten pattern finds in another engine what Python's `re` finds, or it is not rewritten."""

from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_prodml.adapters.engines.patterns import portable_pattern

PIECES = [
    *("a", "Z", "7", "_", "-", " ", "é", "٣", "/", ":"),
    *(r"\.", r"\$", r"\[", r"\\", r"\-", r"\d", "."),
    *("[A-Z]", "[^,;]", "[a-z0-9_.-]", r"[\]x]", "[éü]"),
]
TEXTS = st.text(alphabet="aZ7_- é٣/:.$[]\\,;\nxü\r\u2028", max_size=8)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    parts = []
    for _ in range(draw(st.integers(1, 5))):
        piece = draw(st.sampled_from(PIECES))
        if draw(st.booleans()):
            piece = f"({piece}|{draw(st.sampled_from(PIECES))})"
        parts.append(piece + draw(st.sampled_from(["", "", "+", "*", "?", "{2}", "{1,3}", "{2,}", "+?"])))
    body = "".join(parts)
    if "|" in body:
        return body
    return draw(st.sampled_from(["", "^"])) + body + draw(st.sampled_from(["", "$"]))


@given(patterns(), st.lists(TEXTS, min_size=1, max_size=20))
@settings(max_examples=300, deadline=None)
def test_rust_finds_what_python_finds(pattern: str, texts: list[str]) -> None:
    rewritten = portable_pattern(pattern)
    assert rewritten is not None
    found = pl.Series(texts).str.contains(rf"\A(?:{rewritten})", strict=True).to_list()
    assert found == [re.match(pattern, text) is not None for text in texts]


def test_the_traps_of_other_dialects_are_written_out() -> None:
    assert portable_pattern("^[A-Z]{3}$") == r"[A-Z]{3}\n?\z"
    assert portable_pattern(r"\d{4}-\d{2}") == r"\p{Nd}{4}-\p{Nd}{2}"
    assert portable_pattern("a.b") == r"a[^\n]b"
    assert portable_pattern("(ab|c)d") == "(?:ab|c)d"
    assert portable_pattern(r"a\\$") == r"a\\\n?\z"
    assert portable_pattern(r"a\$") == r"a\$"


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"\w+", r"\s", r"\bword", "(?i)a", "(?=a)", "(?<=a)b", r"(a)\1", "(?P<n>a)", "a**", "a*+", "a{2}+"),
        *("^a|b", "a|b$", "a^b", "a$b", "[[:alpha:]]", "[a&&b]", "[a--b]", r"[\w]", r"[\d]", "[]a]", "a{,3}"),
        *("[z-a]", "(", "a{99999}", "x" * 20 + "{1000}", r"\A", r"\Z", r"\u00e9", "(?#note)"),
    ],
)
def test_what_engines_read_differently_is_left_to_python(pattern: str) -> None:
    assert portable_pattern(pattern) is None


@given(st.text(max_size=20))
@settings(max_examples=300, deadline=None)
def test_any_text_gets_an_answer(pattern: str) -> None:
    rewritten = portable_pattern(pattern)
    if rewritten is not None:
        pl.Series(["a"]).str.contains(rf"\A(?:{rewritten})", strict=True)
