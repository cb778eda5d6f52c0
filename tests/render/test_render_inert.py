from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_prodml.render.inert import inert, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("Größe 10 µs", "Größe 10 µs"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("a\tb\nc\r", "a b\\x0ac\\x0d"),
        ("a\u00a0b\u2028c", "a\\xa0b\\u2028c"),
        ("a\U000e0041\u3164\ufe0f", "a\\U000e0041\\u3164\\ufe0f"),
        ("\ud800", "\\ud800"),
        ("e\u0301\u0302\u0303\u0304", "e\u0301\u0302\u0303\\u0304"),
    ],
)
def test_what_can_not_be_seen_is_spelled_out(text: str, shown: str) -> None:
    assert inert(text) == shown


def test_lines_are_kept_where_lines_are_shown() -> None:
    assert inert("first\nsecond\x0b", lines=True) == "first\nsecond\\x0b"


def test_long_text_is_bounded_and_says_that_it_was_cut() -> None:
    assert inert("x" * 5000, limit=10).startswith("xxxxxxxxxx … (cut here")
    assert inert("x" * 10, limit=10) == "x" * 10


@given(st.text())
def test_nothing_invisible_is_left(text: str) -> None:
    shown = inert(text)
    assert shown.isprintable()
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(st.text(), st.integers(2, 60))
def test_one_line_is_one_line_of_bounded_length(text: str, limit: int) -> None:
    line = one_line(inert(text, lines=True), limit)
    assert "\n" not in line
    assert len(line) <= limit
