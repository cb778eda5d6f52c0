"""One part (a file, or a member of an archive) -> the reader of its format, chosen by content."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from pytest_prodml.adapters.artifact import bundles
from pytest_prodml.adapters.artifact.actions import Storage
from pytest_prodml.adapters.artifact.arrays_npy import NPY_MAGIC, scan_npy
from pytest_prodml.adapters.artifact.compressed import BrokenError, compression_of, unpack
from pytest_prodml.adapters.artifact.onnx_files import looks_like_onnx, scan_onnx
from pytest_prodml.adapters.artifact.pickles import probe, scan_pickles
from pytest_prodml.adapters.artifact.result import Report, TooMuchError
from pytest_prodml.adapters.artifact.tarred import holds_tar, tar_members
from pytest_prodml.adapters.artifact.tensors import (
    GGUF_MAGIC,
    looks_like_safetensors,
    scan_gguf,
    scan_safetensors,
)
from pytest_prodml.adapters.artifact.texts import ending_of, scan_text, scan_ubjson, text_of
from pytest_prodml.adapters.artifact.torch_legacy import is_torch_legacy, scan_torch_legacy
from pytest_prodml.adapters.artifact.zipped import Member, holds_zip, zip_members

_PICKLE_ENDINGS = frozenset(
    {".pkl", ".pickle", ".p", ".joblib", ".dill", ".cloudpickle", ".pt", ".pth", ".ckpt", ".bin", ".sav"}
)
#: Known beginnings of formats that nothing here reads -> (name, what they are).
_UNREAD = (
    (b"\x89HDF\r\n\x1a\n", "hdf5", "HDF5 is not read; a model of Keras in it can hold Lambda layers"),
    (b"CBM1", "catboost", "CatBoost's own format is not read"),
    (b"PAR1", "parquet", "Parquet is not read"),
    (b"ARROW1", "arrow", "Arrow files are not read"),
    (b"\x7fELF", "library", "is a compiled library"),
    (b"MZ", "library", "is a compiled library"),
    (b"7z\xbc\xaf\x27\x1c", "7z", "7z archives are not read"),
    (b"Rar!", "rar", "RAR archives are not read"),
    (b"#!", "script", "is a script"),
)


def scan_part(
    report: Report, where: str, data: memoryview, name: str, *, depth: int, base: Path | None = None
) -> str:
    """Scan one part, and return what it is.

    Parameters
    ----------
    report, where : Report, str
        Where findings go, and the path inside the file.
    data : memoryview
        Its bytes.
    name : str
        Its name; only its ending counts, and only where the content does not decide.
    depth : int
        How many archives and streams it is in.
    base : Path, optional
        The directory in which the file lies.
    """
    if depth > report.limits.depth:
        report.unread(where, f"archives and streams nested more than {report.limits.depth} deep")
        return "unknown"
    if not len(data):
        report.read(where)
        return "empty"
    try:
        return _scan(report, where, data, name, depth, base)
    except TooMuchError as reached:
        report.unread(where, str(reached))
        return "unknown"


def _scan(report: Report, where: str, data: memoryview, name: str, depth: int, base: Path | None) -> str:
    begins_zip = bytes(data[:4]) in {b"PK\x03\x04", b"PK\x05\x06"}
    if begins_zip or holds_zip(data):
        kind = _archive(report, where, data, depth, zip_members, "zip")
        if not begins_zip:
            report.unread(where, "a zip archive begins behind other bytes")
        _also_a_pickle(report, where, data, depth)
        return kind
    if holds_tar(data):
        # A byte string of a pickle can hold the rest of the archive, so both are read.
        if _also_a_pickle(report, where, data, depth):
            report.unread(where, "is a pickle and a tar archive at once")
        return _archive(report, where, data, depth, tar_members, "tar")
    if looks_like_safetensors(data):
        _also_a_pickle(report, where, data, depth)
        scan_safetensors(report, where, data)
        return "safetensors"
    if data[0] == 0x80:
        return _pickle(report, where, data, depth)
    if (compression := compression_of(data)) is not None:
        return _compressed(report, where, data, name, compression, depth)
    if bytes(data[:6]) == NPY_MAGIC:
        scan_npy(report, where, data, depth=depth)
        return "npy"
    if bytes(data[:4]) == GGUF_MAGIC:
        scan_gguf(report, where, data)
        return "gguf"
    for magic, kind, why in _UNREAD:
        if bytes(data[: len(magic)]) == magic:
            if kind == "hdf5":
                bundles.scan_lambda_marks(report, where, data)
            report.unread_format(where, kind, why)
            return kind
    # What follows has no mark of its own: a loader could take the bytes for a pickle all the same.
    if ending_of(name) in _PICKLE_ENDINGS and text_of(data) is None:
        return _pickle(report, where, data, depth)
    if _also_a_pickle(report, where, data, depth):
        return _pickle(report, where, data, depth)
    return _unmarked(report, where, data, name, base)


def _unmarked(report: Report, where: str, data: memoryview, name: str, base: Path | None) -> str:
    if ending_of(name) == ".onnx" or looks_like_onnx(data):
        scan_onnx(report, where, data, base)
        return "onnx"
    if data[0] == 0x7B and scan_ubjson(report, where, data):
        return "ubjson"
    text = text_of(data)
    if text is not None:
        return scan_text(report, where, text, name)
    if bytes(data[4:8]) in {b"ORTM", b"TFL3"}:
        report.unread_format(where, "flatbuffer", "a model as a flatbuffer is not read")
        return "flatbuffer"
    report.unread_format(where, "unknown", "is of no format that is known")
    return "unknown"


def _pickle(report: Report, where: str, data: memoryview, depth: int) -> str:
    if is_torch_legacy(data):
        scan_torch_legacy(report, where, data, depth=depth)
        return "torch"
    scan_pickles(report, where, data, depth=depth)
    return "pickle"


def _also_a_pickle(report: Report, where: str, data: memoryview, depth: int) -> bool:
    return probe(report, where, data, depth=depth)


def _compressed(report: Report, where: str, data: memoryview, name: str, kind: str, depth: int) -> str:
    try:
        unpacked = unpack(report, kind, data)
    except BrokenError as error:
        report.unread_format(where, kind, str(error))
        return kind
    inner = f"{where}!{kind}"
    if unpacked.problem is not None:
        report.unread(inner, unpacked.problem)
    if not unpacked.content:
        report.read(inner)
        return kind
    ending = ending_of(name)
    content_name = (
        name[: -len(ending)] if ending in {".gz", ".bz2", ".xz", ".lzma", ".lz4", ".z", ".tgz"} else name
    )
    within = scan_part(report, inner, memoryview(unpacked.content), content_name, depth=depth + 1)
    return f"{kind} of {within}"


def _archive(
    report: Report,
    where: str,
    data: memoryview,
    depth: int,
    list_members: Callable[[Report, str, memoryview], Iterable[Member]],
    kind: str,
) -> str:
    members = list(list_members(report, where, data))
    done: set[str] = set()
    root = bundles.torch_root(members)
    if root is not None:
        kind, done = "torch", _torch_archive(report, where, members, root, depth)
    elif bundles.is_skops(members):
        kind, done = "skops", {"schema.json"}
        bundles.scan_skops(report, where, members)
    for member in members:
        if member.content is not None and member.name not in done:
            scan_part(report, f"{where}!{member.name}", member.content, member.name, depth=depth + 1)
    if not members and not report.unread_parts:
        report.read(where)
    return kind


def _torch_archive(report: Report, where: str, members: list[Member], root: str, depth: int) -> set[str]:
    storages: list[Storage] = []
    done = set()
    for member in members:
        if member.name == f"{root}/data.pkl" and member.content is not None:
            storages += scan_pickles(
                report, f"{where}!{member.name}", member.content, depth=depth + 1, torch=True
            )
            done.add(member.name)
    return done | bundles.scan_storages(report, where, members, root, storages)
