"""`View` -> lines of a terminal: verdict, one line a dimension, what to do next."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_prodml.render.inert import one_line
from pytest_prodml.render.model import Fix, Status, View, WaiverView
from pytest_prodml.render.sections import PROVENANCE

_MOST_LINES = 25
_SYMBOLS = {
    Status.FAILED: "✗",
    Status.INCONCLUSIVE: "?",
    Status.NOT_RUN: "-",
    Status.WAIVED: "~",
    Status.WARNED: "!",
    Status.PASSED: "✓",
    Status.ABSENT: " ",
}
_COLORS = {
    Status.FAILED: "31",
    Status.INCONCLUSIVE: "33",
    Status.NOT_RUN: "33",
    Status.WAIVED: "35",
    Status.WARNED: "33",
    Status.PASSED: "32",
    Status.ABSENT: "2",
}
_VERDICT_COLORS = {"ready": "1;32", "waived": "1;35", "not-ready": "1;31"}
_PLAIN = str.maketrans(
    {
        "≥": ">=",
        "≤": "<=",
        "∞": "inf",
        "µ": "u",
        "…": "...",
        "·": "-",
        "✗": "x",
        "✓": "+",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Style:
    width: int
    color: bool
    ascii_only: bool

    def fit(self, line: str, room: int | None = None) -> str:
        """Replace what the terminal can not show and cut what does not fit."""
        shown = one_line(line, 4000).replace("\N{NO-BREAK SPACE}", " ")
        room = self.width if room is None else room
        if self.ascii_only:
            shown = shown.translate(_PLAIN).encode("ascii", "backslashreplace").decode("ascii")
            return shown if len(shown) <= room else shown[: max(0, room - 3)].rstrip() + "..."
        return shown if _cells(shown) <= room else _cut(shown, room - 1).rstrip() + "…"

    def paint(self, line: str, code: str) -> str:
        return f"\x1b[{code}m{line}\x1b[0m" if self.color and code else line

    def pad(self, line: str, cells: int) -> str:
        return line + " " * (cells - _cells(line))


def render_terminal(
    view: View, *, width: int = 80, color: bool = False, ascii_only: bool = False, verbosity: int = 0
) -> list[str]:
    """Write a certificate for a terminal.

    Parameters
    ----------
    view : View
        What to show.
    width : int
        Columns. No line is wider, apart from commands, digests and key ids, which have to be copied whole.
    color : bool
        Use ANSI colors. Nothing is said by color alone.
    ascii_only : bool
        Write ASCII only, for terminals and log files with another encoding.
    verbosity : int
        As pytest's: -1 gives two lines, 0 at most about 25, 1 every gate.

    Returns
    -------
    list of str
        Lines without line ends.
    """
    style = _Style(width=max(width, 40), color=color, ascii_only=ascii_only)
    head = list(_head(view, style))
    if verbosity < 0:
        return head[:2]
    if verbosity > 0:
        return [*head, "", *_dimensions(view, style), *_identity(view, style), *_gates(view, style)]
    waivers = [line for waiver in view.waivers if waiver.in_force for line in _waiver(waiver, style)]
    lines = [*head, "", *_dimensions(view, style)]
    lines += ["", "Waivers in force:", *waivers] if waivers else []
    return lines + _fixes(view, style, room=_MOST_LINES - len(lines))


def _head(view: View, style: _Style) -> Iterator[str]:
    word = view.verdict.word if view.signature.signed else f"{view.verdict.word} (UNSIGNED)"
    name = style.fit(f"{view.model_name} {view.model_version}", style.width - len(word) - 2)
    yield f"{style.paint(word, _VERDICT_COLORS[view.verdict.kind])}  {name}"
    yield style.fit(view.verdict.sentence)
    if not view.signature.signed:
        yield style.paint(style.fit(f"UNSIGNED: {view.signature.sentence}"), "1;31")
    yield style.fit(f"policy {view.policy}, valid until {view.expires} ({view.validity})")


def _dimensions(view: View, style: _Style) -> Iterator[str]:
    names = max(len(tile.title) for tile in view.tiles)
    states = max(len(tile.word) for tile in view.tiles)
    scores = max(len(tile.score) for tile in view.tiles)
    for tile in view.tiles:
        symbol = _SYMBOLS[tile.status].translate(_PLAIN) if style.ascii_only else _SYMBOLS[tile.status]
        state = style.paint(f"{symbol} {tile.word:<{states}}", _COLORS[tile.status])
        before = f"  {tile.title.lower():<{names}}  "
        after = f"  {tile.score:<{scores}}  "
        room = style.width - len(before) - 2 - states - len(after)
        worst = f"{tile.gate_id}: {tile.worst}" if tile.gate_id else tile.worst
        yield f"{before}{state}{after}{style.fit(worst, room)}".rstrip()


def _fixes(view: View, style: _Style, *, room: int) -> list[str]:
    lines: list[str] = []
    if not view.fixes:
        return [f"  {line}" for line in _reasons(view, style)]
    for index, fix in enumerate(view.fixes):
        told = list(_fix(fix, style))
        if len(lines) + len(told) + 3 > room and index:
            lines.append(style.fit("  and more, see the certificate"))
            break
        lines += told
    return ["", "Fix first:", *lines]


def _reasons(view: View, style: _Style) -> Iterator[str]:
    for reason in view.verdict.reasons[:6]:
        yield style.fit(reason, style.width - 2)


def _fix(fix: Fix, style: _Style) -> Iterator[str]:
    label = style.fit(fix.gate_id, style.width // 2)
    word = style.paint(fix.word, _COLORS[fix.status])
    room = style.width - _cells(label) - len(fix.word) - 6
    if _cells(fix.found) <= room:
        yield f"  {label}  {word}: {style.fit(fix.found, room)}"
    else:
        # The bound and the limit stand at the end of the sentence, and must not be what is cut.
        yield f"  {label}  {word}"
        yield f"    {style.fit(fix.found, style.width - 4)}"
    if fix.step:
        yield f"    {style.fit(fix.step, style.width - 4)}"


def _waiver(waiver: WaiverView, style: _Style) -> Iterator[str]:
    yield "  " + style.fit(f"{waiver.gate_id} until {waiver.until}, {waiver.approver}", style.width - 2)
    if waiver.covers:
        yield "    " + style.fit(f"for {waiver.covers}", style.width - 4)
    yield "    " + style.fit(waiver.reason, style.width - 4)


def _identity(view: View, style: _Style) -> Iterator[str]:
    yield ""
    for subject in view.subjects:
        yield f"artifact   {style.fit(subject.name, style.width - 11)}"
        yield f"           {subject.digest}"
    yield f"policy     sha256:{view.policy_digest}"
    yield f"statement  sha256:{view.signature.payload_digest}"
    for keyid in view.signature.keyids:
        yield f"signed by  {style.fit(keyid, 140)}"
    for fact in view.run_facts:
        if fact.label in PROVENANCE:
            yield f"{fact.label.lower():<10} {style.fit(fact.value, style.width - 11)}"
    yield f"issued     {view.issued}"
    yield f"expires    {view.expires}"
    for waiver in view.waivers:
        lines = list(_waiver(waiver, style))
        yield f"waiver{'' if waiver.in_force else ' (not used)'}"
        yield from lines


def _gates(view: View, style: _Style) -> Iterator[str]:
    for group in view.groups:
        yield ""
        yield style.paint(f"{group.title} ({group.count})", _COLORS[group.status])
        for gate in (*group.gates, *group.rows):
            waived = f", {gate.waived_word.lower()}" if gate.waived_word else ""
            yield f"  {style.fit(f'{gate.id}: {gate.word}{waived}; {gate.brief}', style.width - 2)}"
            if gate.step:
                yield f"    {style.fit(gate.step, style.width - 4)}"
            if gate.command and gate.status is not Status.PASSED:
                yield f"    {style.fit(' '.join(gate.command), 600)}"
    if view.verdict.reasons:
        yield from ("", "Reasons in the decision:")
        yield from (f"  {style.fit(reason, style.width - 2)}" for reason in view.verdict.reasons)
    yield ""
    yield f"check with: {style.fit(' '.join(view.verify_command), 2000)}"


def _cells(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(_cell(character) for character in text)


def _cell(character: str) -> int:
    if unicodedata.category(character)[0] == "M":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _cut(text: str, room: int) -> str:
    used = 0
    for index, character in enumerate(text):
        used += _cell(character)
        if used > room:
            return text[:index]
    return text
