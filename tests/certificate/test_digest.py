"""Artefacts are identified by bytes alone, and a directory in a way that coreutils can check."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_prodml.certificate import digest as digest_module
from pytest_prodml.certificate.digest import (
    MANIFEST_METHOD,
    FileDigest,
    directory_subject,
    file_subject,
    list_files,
    manifest,
    subject_of,
)
from pytest_prodml.errors import InputError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    (root / "weights").mkdir(parents=True)
    (root / "config.json").write_bytes(b"{}")
    (root / "weights" / "a.bin").write_bytes(b"\x00" * 70_000)
    (root / "weights-old.bin").write_bytes(b"old")
    (root / "größe.txt").write_bytes(b"")
    return root


def test_a_file_is_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"model")
    subject = file_subject(path)
    assert subject.name == "model.onnx"
    assert subject.digest == {"sha256": hashlib.sha256(b"model").hexdigest()}
    assert not subject.annotations
    assert file_subject(path, "credit").name == "credit"
    assert subject_of(path) == subject


def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(64 * 2**20)
    tracemalloc.start()
    try:
        file_subject(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20


def test_a_link_to_a_file_is_the_file(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link").symlink_to("real")
    assert file_subject(tmp_path / "link").digest == file_subject(tmp_path / "real").digest


def test_sha256sum_checks_the_manifest(tree: Path, tmp_path: Path) -> None:
    text = manifest(list_files(tree))
    (tmp_path / "MANIFEST.sha256").write_bytes(text)
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "../MANIFEST.sha256"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count(": OK") == 4
    (tree / "config.json").write_bytes(b"{ }")
    again = subprocess.run(
        ["sha256sum", "--check", "../MANIFEST.sha256"], cwd=tree, capture_output=True, check=False
    )
    assert again.returncode == 1


def test_the_digest_is_what_a_shell_computes(tree: Path) -> None:
    command = "find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    shell = subprocess.run(["bash", "-c", command], cwd=tree, capture_output=True, text=True, check=True)
    assert directory_subject(tree).digest["sha256"] == shell.stdout.split()[0]


def test_a_directory_lists_its_files(tree: Path) -> None:
    subject = directory_subject(tree)
    assert subject.name == "model"
    assert subject.annotations["method"] == MANIFEST_METHOD
    listing = subject.annotations["files"]
    assert isinstance(listing, list)
    paths = [item["path"] for item in listing if isinstance(item, dict)]
    # By bytes: "-" comes before "/", and "ö" after every ASCII letter.
    assert paths == ["config.json", "größe.txt", "weights-old.bin", "weights/a.bin"]
    files = [FileDigest(**item) for item in listing if isinstance(item, dict)]  # type: ignore[arg-type]
    assert hashlib.sha256(manifest(files)).hexdigest() == subject.digest["sha256"]


def test_swapped_names_change_the_digest(tree: Path) -> None:
    before = directory_subject(tree).digest
    (tree / "config.json").rename(tree / "tmp")
    (tree / "weights-old.bin").rename(tree / "config.json")
    (tree / "tmp").rename(tree / "weights-old.bin")
    assert directory_subject(tree).digest != before


def test_the_current_directory_has_a_name(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert subject_of(Path()) == directory_subject(tree)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a\nb", "can not be seen"),
        ("a\x7fb", "can not be seen"),
        ("a\u202eb", "can not be seen"),
        ("a\u200bb", "can not be seen"),
        ("cafe\u0301", "normalization"),
        ("a\\b", "backslash"),
        ("trailing.", "dot or a space"),
        ("trailing ", "dot or a space"),
        ("CON", "device"),
        ("aux.txt", "device"),
        ("c:evil", "device"),
        (b"\xff\xfe", "can not be seen"),
    ],
)
def test_a_name_with_two_readings_is_refused(tree: Path, name: str | bytes, told: str) -> None:
    Path(os.fsdecode(os.path.join(os.fsencode(tree), os.fsencode(name)))).write_bytes(b"")  # noqa: PTH118 - bytes
    with pytest.raises(InputError, match=told):
        directory_subject(tree)


def test_names_that_are_one_on_some_systems_are_refused(tree: Path) -> None:
    (tree / "Config.json").write_bytes(b"")
    with pytest.raises(InputError, match="differ only in case"):
        directory_subject(tree)


def test_only_regular_files(tree: Path) -> None:
    extra = tree / "extra"
    extra.symlink_to("config.json")
    with pytest.raises(InputError, match="symbolic link"):
        directory_subject(tree)
    extra.unlink()
    extra.symlink_to(tree, target_is_directory=True)
    with pytest.raises(InputError, match="symbolic link"):
        directory_subject(tree)
    extra.unlink()
    os.mkfifo(extra)
    with pytest.raises(InputError, match="neither a file nor a directory"):
        directory_subject(tree)
    with pytest.raises(InputError, match="not a regular file"):
        file_subject(extra)
    extra.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(extra))
        with pytest.raises(InputError, match="neither a file nor a directory"):
            directory_subject(tree)


def test_nothing_to_certify(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no file"):
        directory_subject(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        subject_of(tmp_path / "absent")
    with pytest.raises(InputError, match="not a regular file"):
        file_subject(tmp_path)


def test_a_file_that_grows_while_it_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "growing"
    path.write_bytes(b"x" * 10)
    read = os.readv

    def read_and_append(descriptor: int, buffers: Sequence[memoryview]) -> int:
        count = read(descriptor, buffers)
        if count == 10:
            with path.open("ab") as file:
                file.write(b"more")
        return count

    monkeypatch.setattr("pytest_prodml.certificate.digest.os.readv", read_and_append)
    with pytest.raises(InputError, match="changed while"):
        file_subject(path)


@given(
    st.lists(
        st.builds(
            FileDigest,
            path=st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"])),
            size=st.just(0),
            sha256=st.just("0" * 64),
        ),
        unique_by=lambda file: file.path,
    )
)
def test_the_manifest_does_not_depend_on_the_order_of_discovery(files: list[FileDigest]) -> None:
    assert manifest(files) == manifest(reversed(files))


def test_files_hashed_side_by_side_give_the_same_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        (tmp_path / f"part-{number:02}.bin").write_bytes(bytes([number]) * (number * 1000))
    alone = list_files(tmp_path)
    monkeypatch.setattr(digest_module, "_PARALLEL_BYTES", 0)
    monkeypatch.setattr(digest_module, "_processors", lambda: 4)
    assert list_files(tmp_path) == alone
    (tmp_path / "part-07.bin").chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(InputError, match="part-07"):
            list_files(tmp_path)


def test_a_file_that_changes_while_others_are_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        (tmp_path / f"{number}.bin").write_bytes(b"x" * 100)
    monkeypatch.setattr(digest_module, "_PARALLEL_BYTES", 0)
    monkeypatch.setattr(digest_module, "_processors", lambda: 2)
    hash_file = digest_module._file_digest

    def slow(root: Path, path: str) -> FileDigest:
        if path == "3.bin":
            (root / path).unlink()
        return hash_file(root, path)

    monkeypatch.setattr(digest_module, "_file_digest", slow)
    with pytest.raises(InputError, match="can not be read"):
        list_files(tmp_path)
