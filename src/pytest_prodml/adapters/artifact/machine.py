"""A pickle -> what it would import, call and build, without doing any of it.

A symbolic machine for protocols 0 to 5: stack, marks and memo hold abstract values, so that a name put
together from the memo is read as the loader would read it. It goes on where either of Python's two unpicklers
would, and stops only where both must: what is executed up to that point has been judged.

References: CPython's ``Lib/pickle.py`` and ``Modules/_pickle.c`` (3.11 to 3.14); joblib 1.2 to 1.6.
"""

from __future__ import annotations

from pytest_prodml.adapters.artifact.elements import DoubtError
from pytest_prodml.adapters.artifact.joblib_arrays import FIRST_OPCODE, is_wrapper, raw_of
from pytest_prodml.adapters.artifact.opcodes import OPCODES
from pytest_prodml.adapters.artifact.result import TooMuchError
from pytest_prodml.adapters.artifact.stack import Stack, StoppedError
from pytest_prodml.adapters.artifact.values import OPAQUE, Made, Value

__all__ = ["Machine", "StoppedError"]

_STEPS_AT_ONCE = 1_000


class Machine(Stack):
    """The machine itself; see `Stack` for what it is made of."""

    __slots__ = ()

    def run(self) -> Value:
        """Follow one pickle to its STOP and return its result; `position` is then behind it.

        Raises
        ------
        StoppedError
            If it does not get that far.
        TooMuchError
            If there are more opcodes than the limit.
        """
        self.stack, self.marks, self.memo, self.protocol, self.frame_end = [], [], {}, 0, 0
        data, dispatch, steps = self.data, _DISPATCH, 0
        size = len(data)
        while True:
            if self.position >= size:
                raise StoppedError(f"ends at byte {size} before its STOP")
            self.opcode_at = self.position
            code = data[self.position]
            self.position += 1
            steps += 1
            if steps == _STEPS_AT_ONCE:
                self.report.step(steps)
                steps = 0
            if code == 0x2E:  # STOP
                self.report.step(steps)
                return self.pop()
            handler = dispatch.get(code)
            if handler is None:
                raise StoppedError(f"byte {self.opcode_at} ({code:#04x}) is no opcode")
            handler(self)

    def build(self) -> None:
        """Set the state of the object below it; joblib replaces its wrappers by what follows them."""
        state = self.pop()
        target = self.top()
        self.actions.build(target, state, self.opcode_at)
        if self.joblib and is_wrapper(target):
            self.stack[-1] = OPAQUE
            self._take_array(target)

    def _take_array(self, wrapper: Made) -> None:
        if self.frame_end > self.position:
            raise DoubtError(
                f"the frame around byte {self.opcode_at} does not end where joblib's array begins"
            )
        raw = raw_of(wrapper)
        self.skipped_arrays += 1
        if raw.pickled:
            if self.depth >= self.report.limits.depth:
                raise TooMuchError(f"arrays of objects nested more than {self.report.limits.depth} deep")
            inner = Machine(
                self.data, self.actions, self.report, self.position, joblib=False, depth=self.depth + 1
            )
            inner.run()
            if inner.frame_end > inner.position:
                raise DoubtError(f"a frame reaches beyond the end of the pickle at byte {inner.position}")
            self.position = inner.position
            self.blobs += inner.blobs
            return
        if raw.padded:
            padding = self.number(1)
            if padding >= FIRST_OPCODE:
                raise DoubtError(f"byte {self.position - 1} is no length of joblib's padding")
            self.take(padding)
        self.take(raw.n_bytes)


_DISPATCH = {**OPCODES, ord("b"): Machine.build}
