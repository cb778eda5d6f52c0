"""A file of torch before 1.6 -> its four pickles, its list of keys, and the raw storages behind them."""

from __future__ import annotations

from pytest_prodml.adapters.artifact.actions import Actions
from pytest_prodml.adapters.artifact.bundles import STORAGE_BYTES
from pytest_prodml.adapters.artifact.elements import DoubtError
from pytest_prodml.adapters.artifact.machine import Machine, StoppedError
from pytest_prodml.adapters.artifact.result import Report, TooMuchError
from pytest_prodml.adapters.artifact.values import Group, Value

#: ``pickle.dumps(0x1950a86a20f9469cfc6c, protocol=2)``.
_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def is_torch_legacy(data: memoryview) -> bool:
    """Say whether bytes begin with torch's magic number."""
    return bytes(data[: len(_MAGIC)]) == _MAGIC


def scan_torch_legacy(report: Report, where: str, data: memoryview, *, depth: int) -> None:
    """Read magic number, protocol, system facts, the object, the keys of its storages, and the storages."""
    actions = Actions(report=report, where=where, torch=True)
    machine = Machine(data, actions, report, joblib=False, depth=depth)
    try:
        results = [machine.run() for _ in range(5)]
        position = _storages(actions, results[4], data, machine.position)
    except (StoppedError, TooMuchError, DoubtError) as problem:
        report.unread(where, str(problem))
        return
    if position != len(data):
        report.unread(where, f"{len(data) - position:,} bytes behind the storages, from byte {position} on")
    else:
        report.read(where)


def _storages(actions: Actions, keys: Value, data: memoryview, position: int) -> int:
    """Return where the storages end; each is its number of elements in 8 bytes, then the elements."""
    kinds = {storage.key: storage.kind for storage in actions.storages}
    if not isinstance(keys, Group) or not all(type(key) is str and key in kinds for key in keys.items):
        raise DoubtError("the list of storages is none")
    for key in keys.items:
        count = int.from_bytes(data[position : position + 8], "little")
        position += 8 + count * STORAGE_BYTES.get(kinds[key], 0)
        if position > len(data):
            raise DoubtError(f"the storage {key!a} reaches beyond the end of the file")
    return position
