"""Any bytes give an answer, in bounded time, and no damage to a file makes the scanner fail."""

from __future__ import annotations

import _compat_pickle
import contextlib
import gzip
import importlib
import io
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adapters.artifact.payloads import (
    Calls,
    message,
    node,
    onnx_model,
    system,
    tensor_outside,
    touching,
    zipped,
)
from pytest_prodml.adapters.artifact import Limits, Scan, scan

joblib: Any = importlib.import_module("joblib")
LIMITS = Limits(unpacked=2**22, opcodes=200_000)
OPCODES = bytes(ord(op.code) for op in __import__("pickletools").opcodes)


def judged(raw: bytes) -> Scan:
    found = scan(raw, limits=LIMITS)
    assert found.verdict in {"safe", "unsafe", "unknown"}
    assert not any("the scanner itself failed" in part.why for part in found.parts_unread), found.parts_unread
    return found


@given(st.binary(max_size=400))
@example(b"\x80")
@example(b"PK\x05\x06" + b"\x00" * 18)
@settings(max_examples=600)
def test_any_bytes(raw: bytes) -> None:
    judged(raw)


MAGIC = [b"\x80\x04", b"\x80\x02", b"PK\x03\x04", b"\x1f\x8b\x08\x00", b"\x93NUMPY\x01\x00", b"GGUF\x03\x00\x00\x00",
         b"{", b"{i\x01a", b"\x08\x08:", b"BZh9", b"\xfd7zXZ\x00", b"ZF0x10", b"x\x9c", b"\x02\x00\x00\x00\x00\x00\x00\x00{"]  # fmt: skip


@given(st.sampled_from(MAGIC), st.binary(max_size=300))
@settings(max_examples=600)
def test_any_bytes_behind_a_magic_number(magic: bytes, raw: bytes) -> None:
    judged(magic + raw)


@given(st.lists(st.one_of(st.sampled_from([bytes([code]) for code in OPCODES]), st.binary(max_size=3),
                          st.sampled_from([b"cos\nsystem\n", b"\x8c\x02os", b"\x8c\x06system", b"(", b"}", b"K\x01"])),
                max_size=40))  # fmt: skip
@settings(max_examples=800)
def test_any_sequence_of_opcodes(parts: list[bytes]) -> None:
    """What Python's own unpickler would import is never more than the scanner saw."""
    raw = b"\x80\x04" + b"".join(parts)
    found = judged(raw)
    for loader in (pickle._Unpickler, pickle.Unpickler):
        missed = {name for name in imported_by(loader, raw) if name.isprintable()} - set(found.globals)
        assert not missed, (loader, missed, found)


def imported_by(loader: Any, raw: bytes) -> list[str]:
    """Return what an unpickler asks for, with stand-ins for all that it imports."""
    seen: list[str] = []

    class Watching(loader):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> Any:
            if self.maps and (module, name) in _compat_pickle.NAME_MAPPING:
                module, name = _compat_pickle.NAME_MAPPING[module, name]
            elif self.maps:
                module = _compat_pickle.IMPORT_MAPPING.get(module, module)
            seen.append(f"{module}.{name}")
            return Inert

        maps = raw[:2] in {b"\x80\x00", b"\x80\x01", b"\x80\x02"} or raw[:1] != b"\x80"

        def persistent_load(self, pid: object) -> None:
            del pid
            raise pickle.UnpicklingError

    with contextlib.suppress(Exception):  # hostile bytes
        Watching(io.BytesIO(raw)).load()
    return seen


class Inert:
    """Stands for everything that a pickle imports."""

    def __init__(self, *arguments: object, **keywords: object) -> None:
        pass

    def __new__(cls, *arguments: object, **keywords: object) -> Any:
        del arguments, keywords
        return object.__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass

    def append(self, item: object) -> None:
        pass

    def extend(self, items: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("files") / "a"
    model = {"weights": np.arange(20.0), "names": np.array(["a", None], dtype=object), "text": "x" * 50}
    joblib.dump(model, path)
    plain = path.read_bytes()
    joblib.dump(model, path, compress=3)
    packed = path.read_bytes()
    joblib.dump({**model, "evil": Calls(os.system, "id")}, path)
    evil = path.read_bytes()
    np.savez(path.with_suffix(".npz"), a=np.arange(3))
    graph = message(1, node("If", "evil", message(6, message(5, tensor_outside("w")))))
    return {
        "joblib": plain, "compressed": packed, "evil": evil, "pickle": pickle.dumps(model),
        "npz": path.with_suffix(".npz").read_bytes(), "gzip": gzip.compress(plain), "onnx": onnx_model(graph),
        "zip": zipped({"m.pkl": plain, "n.json": b"{}"}, 8), "protocol 0": pickle.dumps(model, 0),
    }  # fmt: skip


@given(data=st.data())
@settings(max_examples=700, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files(files: dict[str, bytes], data: st.DataObject) -> None:
    raw = bytearray(files[data.draw(st.sampled_from(sorted(files)))])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw)))]
    judged(bytes(raw))


def test_every_byte_of_an_attack_flipped(files: dict[str, bytes], tmp_path: Path) -> None:
    """Damage may hide the attack from both sides or from none: what would still be imported is still told."""
    for raw in [system("id"), *touching(tmp_path / "marker").values()]:
        for at in range(min(len(raw), 60)):
            judged(raw[:at] + bytes([raw[at] ^ 0x20]) + raw[at + 1 :])
    for raw in files.values():
        for at in range(0, len(raw), max(1, len(raw) // 60)):
            judged(raw[:at])
    assert judged(zlib.compress(files["evil"])).verdict == "unsafe"
    assert not (tmp_path / "marker").exists()
