"""The last block of pytest's output: the verdict, and where the certificate is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_prodml.plugin.certification import Conclusion
from pytest_prodml.plugin.preparation import Plan
from pytest_prodml.publication import CERTIFICATE

_LOG_WIDTH = 160


def write_summary(reporter: pytest.TerminalReporter, conclusion: Conclusion, plan: Plan) -> None:
    """Write the block: a few lines, two with ``-q``, every gate with ``-v``."""
    from pytest_prodml.render.terminal import render_terminal

    quiet = reporter.verbosity < 0
    if not quiet:
        reporter.write_sep("=", "production readiness")
    if conclusion.shard_log is not None:
        _write_shard(reporter, conclusion.shard_log, plan)
        return
    if conclusion.view is None:
        reporter.write_line(f"NO CERTIFICATE: {conclusion.problem}", red=True, bold=True)
        return
    writer = reporter._tw  # noqa: SLF001 - there is no public way to width and encoding
    lines = render_terminal(
        conclusion.view,
        width=_width(writer),
        color=writer.hasmarkup,
        ascii_only=not _shows_unicode(getattr(writer._file, "encoding", None)),  # noqa: SLF001
        verbosity=reporter.verbosity,
    )
    for line in lines:
        reporter.write_line(line)
    if quiet:
        return
    for note in plan.notes:
        reporter.write_line(note, yellow=True)
    path = plan.settings.at(plan.settings.out) / CERTIFICATE
    reporter.write_line(f"certificate: {_shown(reporter, path)}")
    if plan.signer is None:
        unsigned = "this certificate is UNSIGNED: it proves nothing, and `prodml verify` refuses it"
        reporter.write_line(unsigned, red=True, bold=True)


def _write_shard(reporter: pytest.TerminalReporter, log: Path, plan: Plan) -> None:
    signed = "signed" if plan.signer is not None else "UNSIGNED"
    reporter.write_line(f"shard {plan.settings.shard}: evidence only; `prodml merge` decides over all shards")
    reporter.write_line(f"run log ({signed}): {_shown(reporter, log)}")


def _width(writer: Any) -> int:  # noqa: ANN401 - pytest's own terminal writer
    """Return the columns of a terminal; a log file has no edge, and must keep the numbers."""
    terminal = bool(getattr(writer._file, "isatty", lambda: False)())  # noqa: SLF001
    return int(writer.fullwidth) if terminal else max(int(writer.fullwidth), _LOG_WIDTH)


def _shows_unicode(encoding: str | None) -> bool:
    try:
        "✓≥…".encode(encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def _shown(reporter: pytest.TerminalReporter, path: Path) -> str:
    """Return `path` as seen from where pytest was started, if it is below."""
    try:
        return str(path.relative_to(reporter.config.invocation_params.dir))
    except ValueError:
        return str(path)
