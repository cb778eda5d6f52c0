r"""Python's regular expressions -> the same language in the syntax that Rust, RE2 and Java share.

The engines' dialects differ where nobody looks: Python's ``$`` also matches before a last newline, ``\d`` of
RE2 and Java is ASCII where Python's is Unicode, a dot of Java stops at more line ends. What is not known to
mean the same everywhere is refused, and such a rule is then evaluated by Python itself.
"""

from __future__ import annotations

import re
import warnings

_TOKEN = re.compile(
    r"""
      (?P<escape>\\[\\.^$*+?{}()\[\]|/@#%&=:;,!<>~'"`_ -])      # an escaped sign stands for itself
    | (?P<digit>\\d)
    | (?P<set>\[\^?(?:\\[\\\]\[^.$*+?{}()|/-]|[^\\\]\[&~|-]|(?<=[\w])-(?=\w)|-(?=\]))+\])
    | (?P<group>\((?:\?:|(?!\?)))
    | (?P<other>[)|])
    | (?P<times>(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})\??(?![*+?{]))
    | (?P<dot>\.)
    | (?P<literal>[^\\.^$*+?{}()\[\]|])
    """,
    re.VERBOSE | re.ASCII,
)


def portable_pattern(pattern: str) -> str | None:
    r"""Rewrite a pattern of `re` so that every engine finds what Python finds.

    Accepted are literals, escaped signs, sets of characters and ranges, ``\d``, dots, groups, alternatives,
    repetitions, a first ``^`` and a last ``$``. Flags, look-around, references, ``\w``, ``\s`` and ``\b`` are
    not: their meaning depends on the engine.

    Parameters
    ----------
    pattern : str
        As given to `re.match`.

    Returns
    -------
    str or None
        The pattern to anchor and use; None where it is not certain to mean the same.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            re.compile(pattern)
    except (re.error, FutureWarning, RecursionError, OverflowError):
        return None
    body = pattern.removeprefix("^")
    rest = body.removesuffix("$")
    # After an odd number of backslashes the sign is escaped, and no anchor.
    escaped = (len(rest) - len(rest.rstrip("\\"))) % 2 == 1
    ends = rest != body and not escaped
    body = rest if ends else body
    parts, position = [], 0
    while position < len(body):
        token = _TOKEN.match(body, position)
        if token is None:
            return None
        parts.append(_rewritten(token))
        position = token.end()
    # An anchor binds tighter than an alternative, in Python and everywhere.
    if (ends or pattern.startswith("^")) and "|" in body:
        return None
    return "".join(parts) + (r"\n?\z" if ends else "")


def _rewritten(token: re.Match[str]) -> str:
    match token.lastgroup:
        case "digit":
            return r"\p{Nd}"
        case "dot":
            return r"[^\n]"
        case "group":
            return "(?:"
        case "literal" if not token.group().isascii():
            return token.group()
        case "escape":
            return re.escape(token.group()[1:])
        case _:
            return token.group()
