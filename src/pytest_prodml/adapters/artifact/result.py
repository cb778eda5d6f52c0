"""What a scan found, and the limits that keep it finite.

A scan never has an opinion of its own: it is `unsafe` if something was found, else `unknown` if something was
not read, else `safe`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["safe", "unsafe", "unknown"]

#: More than this is counted, not listed.
_MOST_LISTED = 1_000
_MOST_TEXT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something in a file that a loader would act on and that no rule allows.

    `where` is the path inside the file (members of archives joined by ``!``), `what` a stable word for the
    kind of finding, `detail` the sentence with names and byte offsets.
    """

    where: str
    what: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A part that was not read to its end, and why: nothing is known about it."""

    where: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A file that belongs to the model: one in its directory, or one that the model file names."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The result for one file or directory.

    Parameters
    ----------
    format : str
        What the bytes are, for example ``"pickle"`` or ``"gzip"``.
    findings : tuple of Finding
        What no rule allows; `findings_left_out` more were found and are not listed.
    globals : tuple of str
        Every ``module.name`` that pickles in it import, allowed or not.
    parts_read, parts_unread : tuple of str, tuple of Unread
        Inner paths.
    notes : tuple of str
        What is no finding and worth knowing: parsers of other libraries that read raw buffers.
    beside : tuple of Beside
        Files with weights that the model file names.
    files : tuple of Beside
        The files of a directory; empty for a file.
    digest : str
        SHA-256 of the file's bytes; of a directory, of the sorted list of its files and their digests.
    size : int
        Bytes.
    allowed : tuple of str
        What the caller allowed on top of the built-in list.
    """

    format: str
    findings: tuple[Finding, ...]
    parts_read: tuple[str, ...]
    parts_unread: tuple[Unread, ...]
    globals: tuple[str, ...]
    digest: str
    size: int
    notes: tuple[str, ...] = ()
    beside: tuple[Beside, ...] = ()
    files: tuple[Beside, ...] = ()
    allowed: tuple[str, ...] = ()
    findings_left_out: int = 0
    unread_left_out: int = 0

    @property
    def n_findings(self) -> int:
        """How many findings there are, those left out included."""
        return len(self.findings) + self.findings_left_out

    @property
    def n_unread(self) -> int:
        """How many parts were not read, those left out included."""
        return len(self.parts_unread) + self.unread_left_out

    @property
    def verdict(self) -> Verdict:
        """Return `unsafe` if anything was found, else `unknown` if anything was not read, else `safe`."""
        if self.findings:
            return "unsafe"
        return "unknown" if self.parts_unread or not self.parts_read else "safe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where a scan stops; what lies beyond is unread, never safe.

    `unpacked` and `opcodes` count over all parts of one file. `ratio` (unpacked bytes for each packed one)
    is looked at only above `ratio_from` bytes: small files of zeros compress by more.
    """

    size: int = 4 * 2**30
    unpacked: int = 2**30
    ratio: int = 1_100
    ratio_from: int = 64 * 2**20
    depth: int = 6
    members: int = 20_000
    opcodes: int = 20_000_000


class TooMuchError(Exception):
    """A limit was reached; the part at hand stays unread."""


@dataclass(slots=True)
class Report:
    """What all readers of one scan write into."""

    limits: Limits
    trusted: frozenset[tuple[str, str]] = frozenset()
    trusted_formats: frozenset[str] = frozenset()
    trusted_domains: frozenset[str] = frozenset()
    findings: dict[Finding, None] = field(default_factory=dict)
    unread_parts: dict[Unread, None] = field(default_factory=dict)
    read_parts: list[str] = field(default_factory=list)
    names: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    beside: dict[Beside, None] = field(default_factory=dict)
    left_out: int = 0
    unread_left_out: int = 0
    unpacked: int = 0
    opcodes: int = 0
    members: int = 0

    def unsafe(self, where: str, what: str, detail: str) -> None:
        """Add a finding."""
        finding = Finding(where=where, what=what, detail=readable(detail))
        if finding in self.findings:
            return
        if len(self.findings) < _MOST_LISTED:
            self.findings[finding] = None
        else:
            self.left_out += 1

    def unread(self, where: str, why: str) -> None:
        """Add a part that was not read."""
        part = Unread(where=where, why=readable(why))
        if part in self.unread_parts:
            return
        if len(self.unread_parts) < _MOST_LISTED:
            self.unread_parts[part] = None
        else:
            self.unread_left_out += 1

    def unread_format(self, where: str, kind: str, why: str) -> None:
        """Add a part of a format that nothing here reads, unless the caller answers for that format."""
        if kind in self.trusted_formats:
            self.notes[f"{where}: not read, the caller answers for the format {kind}"] = None
            self.read(where)
        else:
            self.unread(where, f'{why}; to answer for it yourself, allow "format:{kind}"')

    def read(self, where: str) -> None:
        """Add a part that was read to its end."""
        self.read_parts.append(where)

    def note(self, text: str) -> None:
        """Add something worth knowing."""
        if len(self.notes) < _MOST_LISTED:
            self.notes[readable(text)] = None

    def imports(self, module: str, name: str) -> None:
        """Add a name that a pickle imports."""
        if len(self.names) < _MOST_LISTED * 10:
            self.names[readable(f"{module}.{name}")] = None

    def unpack(self, n_bytes: int) -> None:
        """Count unpacked bytes.

        Raises
        ------
        TooMuchError
            If they are more than the limit.
        """
        self.unpacked += n_bytes
        if self.unpacked > self.limits.unpacked:
            raise TooMuchError(f"more than {self.limits.unpacked:,} bytes unpacked")

    def member(self, count: int = 1) -> None:
        """Count members of archives.

        Raises
        ------
        TooMuchError
            If they are more than the limit.
        """
        self.members += count
        if self.members > self.limits.members:
            raise TooMuchError(f"more than {self.limits.members:,} members of archives")

    def step(self, count: int) -> None:
        """Count opcodes.

        Raises
        ------
        TooMuchError
            If they are more than the limit.
        """
        self.opcodes += count
        if self.opcodes > self.limits.opcodes:
            raise TooMuchError(f"more than {self.limits.opcodes:,} pickle opcodes")


def readable(text: str) -> str:
    """Return text that can stand in a terminal and in JSON, and is no longer than a line or two."""
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[:600])
    return plain if len(plain) <= _MOST_TEXT * 2 else plain[: _MOST_TEXT * 2] + "..."


def split_allowed(
    allow: Iterable[str],
) -> tuple[frozenset[tuple[str, str]], frozenset[str], frozenset[str]]:
    """Return the (module, name) pairs, the formats and the ONNX domains of what a caller allows.

    ``"package.module.Class"`` or ``"package.module:Outer.Inner"``, ``"format:NAME"``, ``"domain:NAME"``.
    """
    names, formats, domains = set(), set(), set()
    for entry in allow:
        kind, colon, rest = entry.partition(":")
        if colon and kind == "format":
            formats.add(rest)
        elif colon and kind == "domain":
            domains.add(rest)
        elif colon:
            names.add((kind, rest))
        else:
            module, _, name = entry.rpartition(".")
            names.add((module, name))
    return frozenset(names), frozenset(formats), frozenset(domains)
