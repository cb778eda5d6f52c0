"""The state of the symbolic pickle machine: the bytes, the stack with its marks, and the memo."""

from __future__ import annotations

import _compat_pickle
from dataclasses import dataclass, field

from pytest_prodml.adapters.artifact.actions import Actions
from pytest_prodml.adapters.artifact.result import Report
from pytest_prodml.adapters.artifact.values import Blob, Value


class StoppedError(Exception):
    """No loader goes on from here: the bytes are no pickle, or end too early."""


@dataclass(slots=True, eq=False)
class Stack:
    """One stream of pickles.

    Parameters
    ----------
    data : memoryview
        All bytes of the part; the pickle begins at `position`.
    actions : Actions
        Judges what the stream does.
    joblib : bool
        Take arrays out of the stream as joblib does. Without, everything is an opcode.
    """

    data: memoryview
    actions: Actions
    report: Report
    position: int = 0
    joblib: bool = True
    depth: int = 0
    skipped_arrays: int = 0
    frame_end: int = 0
    stack: list[Value] = field(default_factory=list)
    marks: list[list[Value]] = field(default_factory=list)
    memo: dict[int, Value] = field(default_factory=dict)
    blobs: list[Blob] = field(default_factory=list)
    opcode_at: int = 0
    protocol: int = 0

    # Reading.

    def take(self, count: int) -> memoryview:
        """Return the next bytes."""
        stop = self.position + count
        if count < 0 or stop > len(self.data):
            raise StoppedError(f"ends at byte {len(self.data)}, within what byte {self.opcode_at} announces")
        found = self.data[self.position : stop]
        self.position = stop
        return found

    def number(self, size: int, *, signed: bool = False) -> int:
        """Return a little-endian number."""
        return int.from_bytes(self.take(size), "little", signed=signed)

    def line(self) -> bytes:
        """Return the bytes up to the end of the line."""
        start, step = self.position, 256
        while True:
            # In pieces that grow: the line may be short, and the file long.
            piece = bytes(self.data[start : start + step])
            found = piece.find(b"\n")
            if found >= 0:
                self.position = start + found + 1
                return piece[:found]
            if start + step >= len(self.data):
                # Python's unpicklers take the last line without looking whether a line feed ends it.
                self.position = len(self.data)
                return piece[:-1]
            step *= 8

    def text(self, raw: bytes | memoryview, encoding: str = "utf-8", errors: str = "surrogatepass") -> str:
        """Decode text, or stop as the loader does."""
        try:
            return str(raw, encoding, errors)
        except ValueError:
            raise StoppedError(f"the text at byte {self.opcode_at} is not {encoding}") from None

    # The stack.

    def push(self, value: Value) -> None:
        """Put a value on top."""
        self.stack.append(value)

    def pop(self) -> Value:
        """Take the top value, above the last mark only."""
        if not self.stack:
            raise StoppedError(f"byte {self.opcode_at} takes from an empty stack")
        return self.stack.pop()

    def top(self) -> Value:
        """Return the top value."""
        if not self.stack:
            raise StoppedError(f"byte {self.opcode_at} looks at an empty stack")
        return self.stack[-1]

    def pop_mark(self) -> list[Value]:
        """Take everything down to the last mark."""
        if not self.marks:
            raise StoppedError(f"byte {self.opcode_at} looks for a mark that is not there")
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def recall(self, key: int) -> None:
        """Put a value of the memo on the stack."""
        if key not in self.memo:
            raise StoppedError(f"byte {self.opcode_at} recalls {key}, which the memo does not hold")
        self.stack.append(self.memo[key])

    def blob(self, count: int) -> None:
        """Put a byte string on the stack."""
        start = self.position
        self.take(count)
        blob = Blob(start, self.position)
        if count >= 4:
            self.blobs.append(blob)
        self.stack.append(blob)

    # Names.

    def find(self, module: str, name: str) -> None:
        """Import a name, mapped from Python 2 as the loader maps it."""
        if self.protocol < 3:
            pair = (module, name)
            if pair in _compat_pickle.NAME_MAPPING:
                module, name = _compat_pickle.NAME_MAPPING[pair]
            elif module in _compat_pickle.IMPORT_MAPPING:
                module = _compat_pickle.IMPORT_MAPPING[module]
        found = self.actions.imported(module, name, self.opcode_at)
        if found is None:
            raise StoppedError(f"byte {self.opcode_at} imports a name that does not exist")
        self.stack.append(found)
