"""Put what a benchmark printed between its marks on a page of the documentation."""

from __future__ import annotations

import sys
from pathlib import Path


def put(path: Path, mark: str, text: str) -> None:
    """Replace what stands between ``<!-- begin: MARK -->`` and ``<!-- end: MARK -->``."""
    path.write_text(replaced(path.read_text("utf-8"), mark, text, where=str(path)), "utf-8")


def replaced(page: str, mark: str, text: str, *, where: str = "the page") -> str:
    """Return a page with the text between the marks."""
    begin, end = (f"<!-- {word}: {mark} -->" for word in ("begin", "end"))
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        sys.exit(f"{where} lacks the lines {begin} and {end}")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"
