"""`View` -> GitHub-flavored Markdown: what a job summary or a comment on a merge request shows.

Text from the certificate is escaped so that it is only text: no markup, no HTML, no link, no mention of a
person, no row or column that a name could break out of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pytest_prodml.render.inert import one_line
from pytest_prodml.render.model import Fix, GateView, Status, View
from pytest_prodml.render.sections import PROVENANCE

_SYMBOLS = {
    Status.FAILED: "❌",
    Status.INCONCLUSIVE: "❓",
    Status.NOT_RUN: "⏸️",
    Status.WAIVED: "🛡️",
    Status.WARNED: "⚠️",
    Status.PASSED: "✅",
    Status.ABSENT: "▫️",
}
_VERDICT_SYMBOLS = {"ready": "✅", "waived": "🛡️", "not-ready": "❌"}
_MOST_ROWS = 200
_MARKUP = re.compile(r"[\\`*_\[\]<>#|~&$]")
#: What would begin a list, a heading or a quotation at the start of a line or of a list item.
_BLOCK = re.compile(r"^(\d{1,9}(?=[.)](?:\s|$)))?([-+=.)])")


def render_markdown(view: View) -> str:
    """Write a certificate as Markdown.

    Parameters
    ----------
    view : View
        What to show.

    Returns
    -------
    str
        Markdown that ends with a line feed. It holds at most some hundred gates, worst first, because hosts
        cut long comments; the certificate holds all.
    """
    return "\n".join(_lines(view)) + "\n"


def text(value: str) -> str:
    """Escape `value` so that Markdown shows exactly these characters, on one line."""
    escaped = _MARKUP.sub(lambda found: f"\\{found[0]}", one_line(value, 2000))
    escaped = _BLOCK.sub(r"\1\\\2", escaped)
    # Mentions, references, addresses and emoji are found after unescaping; an empty comment ends the search.
    escaped = escaped.replace("@", "@<!-- -->").replace("\\#", "\\#<!-- -->")
    escaped = re.sub(r"(?i)\b(https?|ftp|mailto|xmpp)(:)", r"\1<!-- -->\2", escaped)
    escaped = re.sub(r"(?i)\b(www)(\.)", r"\1<!-- -->\2", escaped)
    # Two digits between colons are a time.
    return re.sub(r":(?!\d\d:)(?=[A-Za-z0-9_+\\-]+:)", ":<!-- -->", escaped)


def code(value: str) -> str:
    """Put `value` in a code span that it can not end, safe inside a table cell."""
    flat = one_line(value, 2000)
    if not flat:
        return ""
    longest = max((len(run) for run in re.findall(r"`+", flat)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    # Inside a table GitHub takes a backslash before a pipe away, even in code.
    return f"{fence}{pad}{flat}{pad}{fence}".replace("|", "\\|")


def _lines(view: View) -> Iterator[str]:
    symbol = _VERDICT_SYMBOLS[view.verdict.kind]
    yield f"## {symbol} {view.verdict.word}: {text(view.model_name)} {text(view.model_version)}"
    yield ""
    yield text(view.verdict.sentence)
    yield ""
    if not view.signature.signed:
        yield from ("> [!CAUTION]", f"> **UNSIGNED** {text(view.signature.sentence)}", "")
    yield from _identity(view)
    yield from _table(
        ("Dimension", "Result", "Passed", "Worst gate"),
        (
            (
                tile.title,
                f"{_SYMBOLS[tile.status]} {tile.word}",
                tile.score,
                f"{code(tile.gate_id)} {text(tile.worst)}".strip(),
            )
            for tile in view.tiles
        ),
    )
    if view.waivers:
        yield from ("### Waivers in force", "")
        for waiver in view.waivers:
            unused = "" if waiver.in_force else " (not used)"
            reference = f" ({text(waiver.reference)})" if waiver.reference else ""
            covers = f" for {text(waiver.covers)}" if waiver.covers else ""
            yield (
                f"- {code(waiver.gate_id)} accepted by **{text(waiver.approver)}**{covers} until "
                f"{text(waiver.until)}{unused}: {text(waiver.reason)}{reference}"
            )
        yield ""
    if view.fixes:
        yield from ("### Fix first", "")
        for number, fix in enumerate(view.fixes, start=1):
            yield from _fix(number, fix)
        if view.more_fixes:
            yield from (text(view.more_fixes), "")
    if view.verdict.reasons:
        yield from ("### Reasons in the signed decision", "")
        yield from (f"- {text(reason)}" for reason in view.verdict.reasons)
        yield ""
    yield from _gates(view)
    yield from ("### Check it", "", "This summary is not the proof. Check the signed file:", "")
    yield from _block(" ".join(view.verify_command))
    yield text(view.verify_note)


def _identity(view: View) -> Iterator[str]:
    rows = [
        *(("Artifact", f"{text(item.name)}<br>{code(item.digest)}") for item in view.subjects),
        ("Policy", f"{text(view.policy)}<br>{code(f'sha256:{view.policy_digest}')}"),
        ("Valid", f"{text(view.issued)} to {text(view.expires)} ({text(view.validity)})"),
        ("Signed by", "<br>".join(map(code, view.signature.keyids)) or "**nobody: UNSIGNED**"),
        ("Statement", code(f"sha256:{view.signature.payload_digest}")),
        *((fact.label, text(fact.value)) for fact in view.run_facts if fact.label in PROVENANCE),
    ]
    yield from _table(("Certificate", ""), rows)


def _fix(number: int, fix: Fix) -> Iterator[str]:
    yield f"{number}. {_SYMBOLS[fix.status]} {code(fix.gate_id)} **{text(fix.word)}**: {text(fix.found)}"
    if fix.step:
        yield from ("", f"   {text(fix.step)}")
    if fix.command:
        yield ""
        yield from (f"   {line}" if line else line for line in _block(" ".join(fix.command)))
    else:
        yield ""


def _gates(view: View) -> Iterator[str]:
    gates: list[GateView] = [gate for group in view.groups for gate in (*group.gates, *group.rows)]
    shown = gates[:_MOST_ROWS]
    more = " (the worst; the certificate has all)" if len(gates) > len(shown) else ""
    yield from (f"<details><summary>All gates{more}</summary>", "")
    yield from _table(
        ("Gate", "Result", "Found", "Test"),
        (
            (
                code(one_line(gate.id, 120)),
                f"{_SYMBOLS[gate.status]} {gate.word}{f' ({gate.waived_word})' if gate.waived_word else ''}",
                text(one_line(gate.brief, 300)),
                code(one_line(gate.location, 200)),
            )
            for gate in shown
        ),
    )
    yield from ("</details>", "")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _block(command: str) -> Iterator[str]:
    longest = max((len(run) for run in re.findall(r"`+", command)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (f"{fence}sh", one_line(command, 2000), fence, "")
