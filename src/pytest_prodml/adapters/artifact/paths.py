"""A path that a file names -> why it leads out of the place where the file lies, or None."""

from __future__ import annotations

import re

_DRIVE = re.compile(r"[A-Za-z]:")
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?\Z")


def path_problem(name: str) -> str | None:
    """Say what is wrong with the name of a member or of another file.

    Names are judged for every system on which they may be unpacked, not for the one at hand.
    """
    if not name:
        return "is empty"
    if "\x00" in name:
        return "holds a NUL, behind which some programs do not read on"
    if any(ord(c) < 32 or ord(c) == 127 for c in name):
        return "holds a control character"
    plain = name.replace("\\", "/")
    if plain.startswith("/"):
        return "is absolute"
    if _DRIVE.match(plain):
        return "names a drive"
    parts = plain.split("/")
    if ".." in parts:
        return "leads out of its directory"
    if any(_DEVICES.match(part) for part in parts):
        return "names a device of Windows"
    return None
