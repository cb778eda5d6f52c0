"""Archives, compressed streams, arrays, tensors, ONNX, text and directories."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.artifact.payloads import (
    Calls,
    by_stack,
    integer,
    message,
    node,
    npy,
    onnx_model,
    short,
    system,
    tensor_outside,
    zipped,
)
from pytest_prodml.adapters.artifact import Limits, scan
from pytest_prodml.errors import InputError

EVIL = system("id")
CLEAN = pickle.dumps({"weights": [1.0, 2.0]})
PACK: dict[str, Any] = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zlib": zlib.compress,
}


@pytest.mark.parametrize("kind", PACK)
def test_compressed_streams_are_unpacked(kind: str) -> None:
    pack = PACK[kind]
    assert scan(pack(CLEAN)).verdict == "safe"
    assert scan(pack(EVIL)).verdict == "unsafe"
    assert scan(pack(pack(EVIL))).verdict == "unsafe"
    assert scan(pack(CLEAN) + pack(EVIL)).verdict == "unsafe"
    assert scan(pack(CLEAN)[:-4]).verdict == "unknown"
    cut = scan(pack(EVIL + b"N" * 3000)[:-4])
    assert cut.verdict in {"unknown", "unsafe"}
    assert scan(pack(CLEAN) + b"garbage").verdict == "unknown"


def test_lzma_alone_and_the_format_of_old_joblib() -> None:
    assert scan(lzma.compress(EVIL, format=lzma.FORMAT_ALONE)).verdict == "unsafe"
    old = b"ZF" + hex(len(EVIL)).encode().ljust(19) + zlib.compress(EVIL)
    assert scan(old).verdict == "unsafe"
    assert scan(b"ZF" + hex(3).encode().ljust(19) + zlib.compress(CLEAN)).verdict == "unknown"


def test_compression_that_nothing_unpacks_is_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    real = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name.startswith("lz4"):
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    found = scan(b"\x04\x22\x4d\x18" + b"\x00" * 20)
    assert found.verdict == "unknown"
    assert "lz4" in found.parts_unread[0].why
    assert scan(b"\x04\x22\x4d\x18" + b"\x00" * 20, allow=["format:lz4"]).verdict == "safe"


def test_bombs_end_at_the_limits() -> None:
    limits = Limits(unpacked=2**20)
    for pack in PACK.values():
        bomb = pack(b"\x80\x04" + b"N0" * 2**20 + b"N.")
        found = scan(bomb, limits=limits)
        assert found.verdict == "unknown"
        assert "bytes unpacked" in found.parts_unread[0].why
    high = bz2.compress(b"\x00" * 2**22)
    assert "times its size" in scan(high, limits=Limits(ratio_from=2**20)).parts_unread[0].why
    nested: bytes = EVIL
    for _ in range(8):
        nested = gzip.compress(nested)
    assert "nested more than" in scan(nested).parts_unread[0].why
    many = zipped({f"{i}.json": b"{}" for i in range(30)})
    assert "members" in scan(many, limits=Limits(members=20)).parts_unread[0].why
    quine = zipped(
        {"a.zip": zipped({"b.zip": zipped({"c.npy": npy("{'descr': '<f8', 'shape': (1,)}", b"12345678")})})}
    )
    assert scan(quine).verdict == "safe"
    assert scan(quine, limits=Limits(depth=1)).verdict == "unknown"


def test_members_of_archives_are_scanned() -> None:
    assert scan(zipped({"a.json": b"{}", "m.pkl": CLEAN})).verdict == "safe"
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        found = scan(zipped({"readme.txt": EVIL, "b.json": b"{}"}, method))
        assert found.verdict == "unsafe", method
        assert found.findings[0].where == "<bytes>!readme.txt"
        assert scan(zipped({"b.json": b"{}", "m.pkl": CLEAN}, method)).verdict == "safe", method


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("../evil.json", "leads out"), ("a/../../evil.json", "leads out"), ("/etc/evil.json", "absolute"),
        ("C:/evil.json", "drive"), ("..\\evil.json", "leads out"), ("\\\\host\\evil.json", "absolute"),
        ("a\x00.json", "NUL"), ("a\nb.json", "control"), ("nul.json", "device"),
    ],
)  # fmt: skip
def test_names_that_lead_out_of_an_archive(name: str, told: str) -> None:
    plain = "x" * len(name)
    raw = zipped({plain: b"{}"}).replace(plain.encode(), name.encode())
    found = scan(raw)
    assert found.verdict == "unsafe"
    assert told in found.findings[0].detail
    if "\x00" not in name:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            info = tarfile.TarInfo(name)
            info.size = 2
            archive.addfile(info, io.BytesIO(b"{}"))
        assert scan(buffer.getvalue()).verdict == "unsafe"


def test_an_archive_with_two_faces() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = zipped([("m.pkl", CLEAN), ("m.pkl", EVIL)])
    assert {item.what for item in scan(twice).findings} >= {"duplicate", "import"}
    assert scan(zipped([("m.json", b"{}"), ("M.JSON", b"[]")])).findings[0].what == "duplicate"
    raw = zipped({"good.pkl": CLEAN, "b.json": b"{}"})
    # The header in front of the member says another name than the directory.
    assert "mismatch" in {item.what for item in scan(raw.replace(b"good.pkl", b"evil.pkl", 1)).findings}
    hidden = zipped({"m.pkl": EVIL})
    member = hidden[: hidden.index(b"PK\x01\x02")]
    both = _shifted(zipped({"b.json": b"{}"}), member)
    assert "hidden" in {item.what for item in scan(both).findings}
    assert scan(EVIL + zipped({"b.json": b"{}"})).verdict == "unsafe"
    assert scan(b"\x7fjunk" + zipped({"b.json": b"{}"})).verdict == "unknown"


def test_a_member_with_a_second_name() -> None:
    import binascii

    name = b"good.pkl"
    second = struct.pack("<BL", 1, binascii.crc32(name)) + b"../evil.pkl"
    info = zipfile.ZipInfo("good.pkl")
    info.extra = struct.pack("<HH", 0x7075, len(second)) + second
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, CLEAN)
    found = scan(buffer.getvalue())
    if zipfile.ZipFile(buffer).namelist() != ["good.pkl"]:
        assert found.findings[0].what == "mismatch"


def _shifted(archive: bytes, front: bytes) -> bytes:
    """Put bytes in front of the members of a zip, and correct its offsets."""
    directory = archive.index(b"PK\x01\x02")
    head, tail = archive[:directory], bytearray(archive[directory:])
    tail[42:46] = struct.pack("<L", len(front))
    end = bytes(tail).rindex(b"PK\x05\x06")
    tail[end + 16 : end + 20] = struct.pack("<L", directory + len(front))
    return front + head + bytes(tail)


def test_encrypted_broken_and_linked_members() -> None:
    raw = bytearray(zipped({"m.pkl": CLEAN}))
    for at, offset in ((raw.index(b"PK\x03\x04"), 6), (raw.index(b"PK\x01\x02"), 8)):
        raw[at + offset] |= 1
    assert "encrypted" in scan(bytes(raw)).parts_unread[0].why
    # A wrong check sum stops some scanners, and not the loader: what is in it is found all the same.
    broken = bytearray(zipped({"m.pkl": EVIL}))
    for at, offset in ((broken.index(b"PK\x03\x04"), 14), (broken.index(b"PK\x01\x02"), 16)):
        broken[at + offset] ^= 0xFF
    found = scan(bytes(broken))
    assert found.verdict == "unsafe"
    assert "check sum" in found.parts_unread[0].why
    link = zipfile.ZipInfo("m.json")
    link.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert scan(buffer.getvalue()).findings[0].what == "link"


def test_tar_archives() -> None:
    def tar(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for info, content in entries:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return buffer.getvalue()

    def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        return info

    assert scan(tar((entry("m.pkl"), CLEAN), (entry("d", tarfile.DIRTYPE), b""))).verdict == "safe"
    assert scan(tar((entry("m.pkl"), EVIL))).verdict == "unsafe"
    assert scan(gzip.compress(tar((entry("m.pkl"), EVIL)))).verdict == "unsafe"
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        assert scan(tar((entry("m", kind, "/etc/passwd"), b""))).findings[0].what == "link"
    assert scan(tar((entry("m", tarfile.FIFOTYPE), b""))).findings[0].what == "device"
    assert scan(tar((entry("m.json"), b"{}"), (entry("m.json"), b"[]"))).findings[0].what == "duplicate"
    assert scan(tar((entry("m.json"), b"{}")) + EVIL).verdict == "unknown"
    assert scan(tar((entry("m.json"), b"{" * 2000))[:1100]).verdict == "unknown"


def test_a_tar_that_is_also_a_pickle() -> None:
    """The name of the first member is where a pickle begins."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("cos\nsystem\n(Vid\ntR."), io.BytesIO(b""))
    assert "os.system" in scan(buffer.getvalue()).globals


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_in_a_byte_string_that_makes_up_the_whole_pickle(kind: str) -> None:
    """One loader sees a harmless pickle, another the archive."""
    if kind == "zip":
        inner = zipped({"m.pkl": EVIL})
        raw = b"\x80\x04B" + struct.pack("<I", len(inner)) + inner + b"0N."
    else:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            archive.addfile(tarfile.TarInfo("x" * 40))
            info = tarfile.TarInfo("m.pkl")
            info.size = len(EVIL)
            archive.addfile(info, io.BytesIO(EVIL))
        tar = bytearray(buffer.getvalue()) + b"0N."
        tar[:7] = b"\x80\x04B" + struct.pack("<I", len(tar) - 10)
        tar[148:156] = b" " * 8
        tar[148:156] = b"%06o\x00 " % sum(tar[:512])
        raw = bytes(tar)
    assert pickle.loads(raw) is None  # noqa: S301 - harmless as a pickle
    found = scan(raw)
    assert found.verdict == "unsafe"
    assert found.parts_unread


def test_arrays_of_numpy(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for array in (
        np.arange(6.0).reshape(2, 3),
        np.array(["a"]),
        np.zeros(2, [("a", "i4"), ("b", "f4", (2,))]),
        np.array(1),
    ):
        np.save(path, array)
        assert scan(path).verdict == "safe", array.dtype
        assert scan(path.read_bytes() + b"x").verdict == "unknown"
        assert scan(path.read_bytes()[:-1]).verdict == "unknown"
    np.save(path, np.array(["a", None], dtype=object), allow_pickle=True)
    assert scan(path).verdict == "safe"
    np.save(path, np.array([Calls(os.system, "id")], dtype=object), allow_pickle=True)
    assert scan(path).verdict == "unsafe"
    np.savez_compressed(tmp_path / "a.npz", a=np.arange(3), b=np.ones(2))
    assert scan(tmp_path / "a.npz").verdict == "safe"
    for header in ("{'descr': '<f8', 'shape': (2,)", "__import__('os')", "{'descr': '|O', 'shape': (1,)}", "(" * 5000,
                   "{'descr': 'f8,O', 'shape': (1,)}", "{'shape': (1,)}", "{'descr': '<f8', 'shape': (-1,)}"):  # fmt: skip
        assert scan(npy(header, b"12345678")).verdict == "unknown", header


def _safetensors(header: Any, body: bytes) -> bytes:
    raw = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(raw)) + raw + body


def test_safetensors() -> None:
    one: dict[str, Any] = {
        "w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "__metadata__": {"by": "me"},
    }
    found = scan(_safetensors(one, b"12345678"))
    assert (found.format, found.verdict) == ("safetensors", "safe")
    assert scan(_safetensors(one, b"12345678" + EVIL)).verdict == "unknown"
    assert scan(_safetensors(one, b"1234")).verdict == "unknown"
    for change in (
        {"shape": [3]},
        {"data_offsets": [4, 12]},
        {"dtype": "O"},
        {"data_offsets": [0, -8]},
        {"shape": "x"},
    ):
        assert scan(_safetensors({"w": one["w"] | change}, b"123456789012")).verdict == "unknown", change
    twice = b'{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    assert scan(_safetensors(twice, b"1")).verdict == "unknown"
    assert scan(_safetensors({**one, "__metadata__": {"by": 3}}, b"12345678")).verdict == "unknown"


def test_a_safetensors_header_whose_length_begins_like_a_pickle() -> None:
    one = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    header = json.dumps(one).encode().ljust(0x480)
    found = scan(_safetensors(header, b"12345678"))
    assert (found.format, found.verdict) == ("safetensors", "safe")


def test_gguf_templates() -> None:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    def gguf(template: str) -> bytes:
        return (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 3) + text("general.name") + struct.pack("<I", 8) + text("m")
            + text("list") + struct.pack("<IIQ", 9, 4, 2) + b"\x00" * 8
            + text("tokenizer.chat_template") + struct.pack("<I", 8) + text(template)
        )  # fmt: skip

    found = scan(gguf("{{ messages }}"))
    assert (found.verdict, len(found.notes)) == ("safe", 1)
    assert scan(gguf("{{ ''.__class__ }}")).findings[0].what == "template"
    assert scan(gguf("x")[:-3]).verdict == "unknown"


def test_torch_archives() -> None:
    def rebuilt(kind: str = "FloatStorage", count: int = 3) -> bytes:
        return (
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n" + kind.encode()
            + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK" + bytes([count])
            + b"tQK\x00K\x03\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR."
        )  # fmt: skip

    def archive(data: bytes, storage: bytes = b"123456789012", **more: bytes) -> bytes:
        return zipped(
            {"m/data.pkl": data, "m/version": b"3\n", "m/byteorder": b"little", "m/data/0": storage, **more}
        )

    found = scan(archive(rebuilt()))
    assert (found.format, found.verdict) == ("torch", "safe"), found
    assert scan(archive(rebuilt(), b"1234")).verdict == "unknown"
    assert scan(archive(rebuilt("EvilStorage"))).verdict == "unsafe"
    assert scan(archive(EVIL)).verdict == "unsafe"
    assert scan(archive(rebuilt(), **{"m/code/__torch__.py": b"def f(): pass"})).verdict == "unknown"
    assert scan(rebuilt()).verdict == "unknown"
    numbers = [pickle.dumps(item, 2) for item in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    legacy = b"".join(numbers) + rebuilt() + pickle.dumps(["0"], 2) + struct.pack("<q", 3) + b"123456789012"
    found = scan(legacy)
    assert (found.format, found.verdict) == ("torch", "safe"), found
    assert scan(legacy + b"x").verdict == "unknown"
    assert scan(b"".join(numbers) + EVIL + pickle.dumps([], 2)).verdict == "unsafe"
    # Some scanners look only for the magic number and stop where the second one is not as expected.
    assert scan(numbers[0] + EVIL).verdict == "unsafe"


def test_onnx_operators_and_subgraphs() -> None:
    plain = message(1, node("Add"))
    assert scan(onnx_model(plain)).format == "onnx"
    assert scan(onnx_model(plain)).verdict == "safe"
    custom = node("Run", "evil.ops")
    found = scan(onnx_model(message(1, custom)))
    assert found.findings[0].what == "custom-operator"
    assert scan(onnx_model(message(1, custom)), allow=["domain:evil.ops"]).verdict == "safe"
    assert scan(onnx_model(message(1, custom)), allow=["domain:evil.ops::Run"]).verdict == "safe"
    inside = node("If", "", message(1, "then_branch") + message(6, message(1, custom)))
    assert scan(onnx_model(message(1, inside))).verdict == "unsafe"
    listed = node("Scan", "", message(11, message(1, custom)))
    assert scan(onnx_model(message(1, listed))).verdict == "unsafe"
    assert scan(onnx_model(message(1, node("PythonOp", "com.microsoft")))).findings[0].what == "operator"
    assert scan(onnx_model(message(1, node("Gelu", "com.microsoft")))).verdict == "safe"
    # An operator that the model defines itself is judged by what it is made of.
    own = message(1, "Run") + message(10, "evil.ops") + message(7, node("Add"))
    assert scan(onnx_model(message(1, custom), own)).verdict == "safe"
    assert scan(onnx_model(message(1, node("Other", "evil.ops")), own)).verdict == "unsafe"
    hidden = message(1, "Run") + message(10, "evil.ops") + message(7, node("Call", "other.ops"))
    assert scan(onnx_model(message(1, custom), hidden)).verdict == "unsafe"
    training = onnx_model(plain) + message(20, message(1, message(1, custom)))
    assert scan(training).verdict == "unsafe"
    assert scan(onnx_model(plain + message(99, b"x"))).verdict == "unknown"
    deep = plain
    for _ in range(40):
        deep = message(1, node("If", "", message(6, deep)))
    assert scan(onnx_model(deep)).verdict == "unknown"


@pytest.mark.parametrize(
    ("location", "told"),
    [("../w.bin", "leads out"), ("/etc/passwd", "absolute"), ("C:\\w.bin", "drive"), ("w\x00.bin", "NUL"),
     ("*/_ORT_MEM_ADDR_/*", "address"), (None, "0 files"), ("a/../../w", "leads out")],
)  # fmt: skip
def test_onnx_weights_elsewhere(location: str | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx_model(message(5, tensor_outside(location))))
    found = scan(path)
    assert found.verdict == "unsafe"
    assert told in found.findings[0].detail


def test_onnx_weights_beside_the_model(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    attribute = message(
        1,
        node(
            "Constant", "", message(1, "value") + message(5, tensor_outside("w.bin", offset="4", length="4"))
        ),
    )
    path.write_bytes(onnx_model(attribute))
    assert "can not be read" in scan(path).parts_unread[0].why
    (tmp_path / "w.bin").write_bytes(b"1234567")
    assert "beyond the end" in scan(path).parts_unread[0].why
    (tmp_path / "w.bin").write_bytes(b"12345678")
    found = scan(path)
    assert found.verdict == "safe"
    assert [(item.name, item.size) for item in found.beside] == [("w.bin", 8)]
    assert scan(path.read_bytes()).verdict == "unknown"
    (tmp_path / "w.bin").unlink()
    (tmp_path / "w.bin").symlink_to("/etc/passwd")
    assert "symbolic link" in scan(path).findings[0].detail


def test_a_real_onnx_model_is_safe(tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx")
    import onnx
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 3)).astype(np.float32)
    model = RandomForestClassifier(3, random_state=0).fit(rows, rows[:, 0] > 0)
    made = to_onnx(model, rows[:1])
    path = tmp_path / "m.onnx"
    path.write_bytes(made.SerializeToString())
    assert scan(path).verdict == "safe"
    assert scan(path.read_bytes()).format == "onnx"
    node = onnx.helper.make_node("Launch", ["x"], ["y"], domain="evil.ops")
    made.graph.node.append(node)
    assert scan(made.SerializeToString()).findings[0].detail.startswith("evil.ops::Launch")
    weights = onnx.numpy_helper.from_array(np.ones(300, np.float32), "w")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["w"], ["y"])], "g", [], [
        onnx.helper.make_tensor_value_info("y", 1, [300])], [weights])  # fmt: skip
    onnx.save(
        onnx.helper.make_model(graph),
        path,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    assert [item.name for item in scan(path).beside] == ["weights.bin"]


def test_text_and_documents(tmp_path: Path) -> None:
    def named(name: str, content: bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content)
        return scan(path).verdict

    assert named("config.json", b'{"a": [1, 2]}') == "safe"
    assert named("readme.md", b"come on\nread me\n") == "safe"
    assert named("notes.txt", b"some text, with a period.\n") == "safe"
    assert named("model.txt", b"tree\nversion=v4\nnum_class=1\n") == "safe"
    assert named("a.toml", b'name = "x"\n') == "safe"
    assert named("empty.bin", b"") == "safe"
    assert named("steps.py", b"import os\n") == "unknown"
    assert named("run.txt", b"#!/bin/sh\nid\n") == "unknown"
    assert named("weights.bin", os.urandom(64) + b"\x00\xff") == "unknown"
    assert named("notes.txt", EVIL) == "unsafe"
    assert named("config.yaml", b"a: !!python/object/apply:os.system ['id']\n") == "unsafe"
    assert named("config.json", b'{"auto_map": {"AutoModel": "modeling.Evil"}}') == "unsafe"
    assert named("config.json", json.dumps({"class_name": "Lambda", "config": {}}).encode()) == "unsafe"
    assert named("config.json", b"[" * 100_000 + b"]" * 100_000) == "unknown"
    assert named("m.h5", b"\x89HDF\r\n\x1a\n" + b"\x00" * 9) == "unknown"
    assert named("m.h5", b"\x89HDF\r\n\x1a\n" + b'{"class_name": "Lambda"}') == "unsafe"
    assert named("m.cbm", b"CBM1\x00\x00") == "unknown"
    assert (
        named("m.ubj", b"{i\x07learner{i\x01a[$d#i\x02\x00\x00\x00\x00\x00\x00\x00\x00i\x01bSi\x02xy}}")
        == "safe"
    )
    assert named("m.ubj", b"{i\x07learner{i\x01a[$d#i\x02\x00\x00\x00") == "unknown"


def test_archives_of_keras_and_skops() -> None:
    layer = {"module": "keras.layers", "class_name": "Dense", "config": {}}
    config = json.dumps({"class_name": "Functional", "config": {"layers": [layer]}}).encode()
    assert scan(zipped({"config.json": config, "metadata.json": b"{}"})).verdict == "safe"
    weights = {"config.json": config, "model.weights.h5": b"\x89HDF\r\n\x1a\n...."}
    assert scan(zipped(weights)).verdict == "unknown"
    assert scan(zipped(weights), allow=["format:hdf5"]).verdict == "safe"
    custom = json.dumps({"layers": [{**layer, "module": "evil.layers"}]}).encode()
    assert scan(zipped({"config.json": custom})).verdict == "unsafe"

    def skops(module: str, name: str, loader: str) -> bytes:
        inner = {"__class__": name, "__module__": module, "__loader__": loader, "content": {}}
        schema = {"__class__": "dict", "__module__": "builtins", "__loader__": "DictNode", "content": {"a": inner},
                  "_skops_version": "0.14", "protocol": 2}  # fmt: skip
        return zipped({"schema.json": json.dumps(schema).encode()})

    assert scan(skops("sklearn.linear_model._logistic", "LogisticRegression", "ObjectNode")).verdict == "safe"
    assert scan(skops("os", "system", "FunctionNode")).verdict == "unsafe"
    assert scan(skops("my.steps", "Clip", "ObjectNode")).verdict == "unsafe"
    assert scan(skops("my.steps", "Clip", "ObjectNode"), allow=["my.steps.Clip"]).verdict == "safe"
    assert scan(skops("operator", "methodcaller", "OperatorFuncNode")).verdict == "unsafe"


def test_directories(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "model.pkl").write_bytes(CLEAN)
    (tmp_path / "sub" / "config.json").write_bytes(b"{}")
    found = scan(tmp_path)
    assert found.verdict == "safe"
    assert [item.name for item in found.files] == ["model.pkl", "sub/config.json"]
    from pytest_prodml.certificate.digest import subject_of

    assert subject_of(tmp_path).digest == {"sha256": found.digest}
    (tmp_path / "sub" / "evil.dat").write_bytes(by_stack("os", "system", "id"))
    assert scan(tmp_path).findings[0].where == "sub/evil.dat"
    (tmp_path / "sub" / "evil.dat").unlink()
    (tmp_path / "link").symlink_to("/etc")
    assert scan(tmp_path).findings[0].what == "link"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert scan(empty).verdict == "unknown"


def test_what_can_not_be_opened_is_a_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pkl", Path("/dev/null"), Path("a\x00b")):
        with pytest.raises(InputError):
            scan(path)
    locked = tmp_path / "fifo"
    os.mkfifo(locked)
    with pytest.raises(InputError, match="regular"):
        scan(locked)


def test_names_of_findings_are_readable() -> None:
    found = scan(b"\x80\x04" + short("os\x1b[31m\n") + short("system") + b"\x93.")
    assert found.verdict == "unsafe"
    assert "\x1b" not in found.findings[0].detail
    assert "\n" not in found.globals[0]


def test_varied_protobuf_is_not_taken_for_onnx() -> None:
    assert scan(integer(1, 8) + message(2, "x")).verdict == "unknown"
