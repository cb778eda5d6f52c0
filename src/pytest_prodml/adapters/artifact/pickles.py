"""Bytes that are, or may be, pickles -> findings: several in one stream, and those inside byte strings."""

from __future__ import annotations

from pytest_prodml.adapters.artifact.actions import Actions, Storage
from pytest_prodml.adapters.artifact.elements import DoubtError
from pytest_prodml.adapters.artifact.machine import Machine, StoppedError
from pytest_prodml.adapters.artifact.result import Report, TooMuchError
from pytest_prodml.adapters.artifact.values import Blob

_PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_MOST_BLOBS = 100_000


def scan_pickles(
    report: Report, where: str, data: memoryview, *, depth: int, torch: bool = False
) -> list[Storage]:
    """Read a part that has to be one pickle or several, one behind the other, and nothing else.

    Returns the storages of torch that it refers to.
    """
    actions = Actions(report=report, where=where, torch=torch)
    machine = Machine(data, actions, report)
    count = 0
    try:
        while machine.position < len(data):
            start = machine.position
            try:
                machine.run()
            except StoppedError as stopped:
                if count == 0 or machine.opcode_at > start:
                    report.unread(where, str(stopped))
                else:
                    report.unread(
                        where, f"{len(data) - start:,} bytes behind the pickle, from byte {start} on"
                    )
                break
            count += 1
            if machine.frame_end > machine.position:
                report.unread(
                    where, f"a frame reaches beyond the end of the pickle at byte {machine.position}"
                )
                break
        else:
            report.read(where)
    except (TooMuchError, DoubtError) as reached:
        report.unread(where, str(reached))
    _inside(report, where, data, machine.blobs, depth)
    if machine.skipped_arrays:
        _as_plain_pickle(report, where, data)
    return actions.storages


def probe(report: Report, where: str, data: memoryview, *, depth: int, strictly: bool = False) -> bool:
    """Follow bytes that nobody says are a pickle, as far as a loader would; return whether they are one.

    Only what they would do is told: a loader that stops with an error did nothing else.
    """
    actions = Actions(report=report, where=where, strictly=strictly)
    machine = Machine(data, actions, report, joblib=False, depth=depth)
    try:
        machine.run()
    except (StoppedError, DoubtError):
        return False
    except TooMuchError as reached:
        report.unread(where, str(reached))
        return False
    return True


def _as_plain_pickle(report: Report, where: str, data: memoryview) -> None:
    """Read a file of joblib as a loader does that does not know joblib's arrays.

    What both readings find is told once: it stands at the same byte.
    """
    actions = Actions(report=report, where=where, strictly=False, crossed=True)
    try:
        Machine(data, actions, report, joblib=False).run()
    except (StoppedError, DoubtError):
        return
    except TooMuchError as reached:
        report.unread(where, str(reached))


def _inside(report: Report, where: str, data: memoryview, blobs: list[Blob], depth: int) -> None:
    """Look at byte strings that begin like a pickle: something that is loaded may load them in turn."""
    for blob in blobs[:_MOST_BLOBS]:
        if bytes(data[blob.start : blob.start + 2]) not in _PICKLE_STARTS:
            continue
        inner = f"{where}!bytes at {blob.start}"
        if depth >= report.limits.depth:
            report.unread(inner, f"pickles nested more than {report.limits.depth} deep")
            return
        actions = Actions(report=report, where=inner, strictly=False)
        machine = Machine(data[blob.start : blob.stop], actions, report, joblib=False, depth=depth)
        try:
            machine.run()
        except (StoppedError, DoubtError):
            continue
        except TooMuchError as reached:
            report.unread(inner, str(reached))
            return
        _inside(report, inner, data[blob.start : blob.stop], machine.blobs, depth + 1)
    if len(blobs) > _MOST_BLOBS:
        report.unread(where, f"more than {_MOST_BLOBS:,} byte strings")
