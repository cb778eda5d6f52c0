"""Between check and use: what was hashed is what is handed over, and what changes meanwhile is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import MODEL_BYTES, NOW, Desk
from pytest_prodml import guard
from pytest_prodml.certificate import digest
from pytest_prodml.certificate.digest import subject_of
from pytest_prodml.errors import CertificateError, InputError
from pytest_prodml.verify import subjects

EVIL = b"evil" * 1025


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.certify()
    return desk


def load(desk: Desk) -> bytes:
    return guard.load(
        desk.model, certificate=desk.certificate, keys=[desk.public()], policy=desk.policy, now=NOW
    )


def swap_after(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, act: Callable[[], object]) -> None:
    """Let an attacker act each time a function of the package has returned."""
    function = getattr(module, name)

    def then_act(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        act()
        return result

    monkeypatch.setattr(module, name, then_act)


@pytest.mark.parametrize(
    ("module", "name"),
    [(guard, "_read"), (guard, "present_bytes"), (guard, "load_policy"), (guard, "verify_files")],
)
def test_a_model_swapped_at_any_step_is_never_handed_over(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    swap_after(monkeypatch, module, name, lambda: desk.model.write_bytes(EVIL))
    assert load(desk) == MODEL_BYTES
    monkeypatch.undo()
    with pytest.raises(CertificateError, match="subject-differs"):
        load(desk)


def test_a_model_swapped_before_it_is_read_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename between the caller's own check and the guard."""
    other = desk.root / "other.onnx"
    other.write_bytes(EVIL)
    read = guard._read

    def swapped(path: Path, limit: int | None = None) -> bytes:
        if path == desk.model and other.exists():
            other.replace(desk.model)
        return read(path, limit)

    monkeypatch.setattr(guard, "_read", swapped)
    with pytest.raises(CertificateError, match="subject-differs"):
        load(desk)


def test_a_link_that_is_turned_around_does_not_matter(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    good, evil = desk.root / "good", desk.root / "evil"
    good.write_bytes(MODEL_BYTES)
    evil.write_bytes(EVIL)
    desk.model.unlink()
    desk.model.symlink_to(good)

    def turn() -> None:
        desk.model.unlink()
        desk.model.symlink_to(evil)

    swap_after(monkeypatch, guard, "_read", turn)
    assert load(desk) == MODEL_BYTES


@pytest.mark.parametrize("change", ["grows", "shrinks", "is written over"])
def test_a_file_that_changes_while_it_is_hashed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(bytes(3 * 2**20))
    readv = os.readv
    done: list[str] = []

    def meanwhile(descriptor: int, buffers: list[memoryview]) -> int:
        count = readv(descriptor, buffers)
        if not done:
            done.append(change)
            with path.open("r+b") as file:
                if change == "grows":
                    file.seek(0, 2)
                    file.write(b"more")
                elif change == "shrinks":
                    file.truncate(2**20)
                else:
                    file.write(b"evil")
            status = path.stat()
            # A clock that is too coarse to see the write would hide it from the kernel as well.
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
        return count

    monkeypatch.setattr(os, "readv", meanwhile)
    with pytest.raises(InputError, match="changed while it was hashed"):
        subject_of(path)
    assert done == [change]


def test_a_file_that_never_ends_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It grows as fast as it is read; the size at the beginning decides."""
    path = tmp_path / "model.bin"
    path.write_bytes(b"x" * 1000)
    readv = os.readv
    reads: list[int] = []

    def growing(descriptor: int, buffers: list[memoryview]) -> int:
        if len(reads) < 50:
            reads.append(descriptor)
            with path.open("ab") as file:
                file.write(b"x" * 1000)
        return readv(descriptor, buffers)

    monkeypatch.setattr(os, "readv", growing)
    with pytest.raises(InputError, match="changed while it was hashed"):
        subject_of(path)


@pytest.mark.parametrize("change", ["removed", "linked", "fifo"])
def test_a_directory_whose_files_are_swapped_after_the_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A name that was a file when it was listed is opened as what it is then, and never followed."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a.bin").write_bytes(b"a")
    secret = tmp_path / "secret"
    secret.write_bytes(b"a")

    def swap() -> None:
        (tree / "a.bin").unlink(missing_ok=True)
        if change == "linked":
            (tree / "a.bin").symlink_to(secret)
        elif change == "fifo":
            os.mkfifo(tree / "a.bin")

    swap_after(monkeypatch, digest, "_refuse_collisions", swap)
    artifact = subjects.present(tree)
    assert artifact.subject is None
    assert "a.bin" in artifact.problem


def test_a_directory_that_is_exchanged_for_another_is_another(tmp_path: Path) -> None:
    tree, other = tmp_path / "tree", tmp_path / "other"
    for root, content in ((tree, b"good"), (other, b"evil")):
        root.mkdir()
        (root / "model.bin").write_bytes(content)
    desk = Desk(tmp_path)
    desk.certify(desk.build(subjects=(subject_of(tree),)))
    assert desk.verify(models=[subjects.present(tree)]).accepted
    tree.rename(tmp_path / "old")
    other.rename(tree)
    report = desk.verify(models=[subjects.present(tree)])
    assert [reason.code for reason in report.reasons] == ["subject-differs"]


def test_the_guard_takes_no_directory(desk: Desk, tmp_path: Path) -> None:
    """Its files could be exchanged after they were hashed; so only bytes are handed over."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "model.bin").write_bytes(b"x")
    desk.certify(desk.build(subjects=(subject_of(tree),)))
    with pytest.raises(CertificateError, match="is a directory"):
        guard.load(tree, certificate=desk.certificate, keys=[desk.public()], policy=desk.policy, now=NOW)
