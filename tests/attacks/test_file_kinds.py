"""What a repository can not hold: links, FIFOs, sockets, devices, huge files, given wherever a path is given."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from certificate_factory import Desk
from pytest_prodml.certificate.digest import subject_of
from pytest_prodml.cli import main


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.certify()
    return desk


def make(kind: str, path: Path) -> None:
    """Make something that is no regular file."""
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        # Bound by a short name: the address of a socket has room for some hundred bytes only.
        here = Path.cwd()
        os.chdir(path.parent)
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path.name)
        finally:
            os.chdir(here)
    elif kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "dangling":
        path.symlink_to("nothing-there")
    elif kind == "link to a directory":
        path.symlink_to("..")
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()


def codes(desk: Desk, capsys: pytest.CaptureFixture[str], **replaced: Path) -> tuple[int, list[str]]:
    arguments = desk.arguments("--json")
    for old, new in replaced.items():
        path = str(getattr(desk, old))
        arguments = [str(new) if argument == path else argument for argument in arguments]
    code = main(arguments)
    report = json.loads(capsys.readouterr().out)
    assert report["accepted"] == (code == 0)
    return code, [reason["code"] for reason in report["reasons"]]


@pytest.mark.parametrize("kind", ["fifo", "socket", "loop", "dangling", "device"])
def test_a_model_that_is_no_file_is_refused_at_once(
    desk: Desk, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = desk.root / "given"
    make(kind, path)
    assert codes(desk, capsys, model=path) == (13, ["subject-unreadable"])


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        *(("certificate", kind) for kind in ("fifo", "socket", "loop", "dangling", "device", "directory")),
        *(("policy", kind) for kind in ("fifo", "socket", "loop", "dangling", "device", "directory")),
    ],
)
def test_other_files_that_are_none_are_usage_errors(
    desk: Desk, capsys: pytest.CaptureFixture[str], where: str, kind: str
) -> None:
    path = desk.root / "given"
    make(kind, path)
    code, found = codes(desk, capsys, **{where: path})
    assert (code, found) == (2, ["usage"])


@pytest.mark.parametrize("kind", ["fifo", "socket", "loop", "dangling", "directory"])
def test_a_key_that_is_no_file_is_a_usage_error(
    desk: Desk, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = desk.root / "given.pub"
    make(kind, path)
    arguments = [str(path) if item == str(desk.public()) else item for item in desk.arguments("--json")]
    assert main(arguments) == 2
    assert json.loads(capsys.readouterr().out)["accepted"] is False


@pytest.mark.parametrize(
    "kind", ["fifo", "socket", "link", "loop", "dangling", "link to a directory", "device"]
)
@pytest.mark.parametrize("below", ["", "weights"])
def test_a_directory_that_holds_anything_else_is_refused(
    desk: Desk, capsys: pytest.CaptureFixture[str], kind: str, below: str
) -> None:
    tree = desk.root / "tree"
    (tree / "weights").mkdir(parents=True)
    (tree / "weights" / "0.bin").write_bytes(b"x")
    desk.certify(desk.build(subjects=(subject_of(tree),)))
    assert codes(desk, capsys, model=tree) == (0, [])
    make(kind, tree / below / "given")
    assert codes(desk, capsys, model=tree) == (13, ["subject-unreadable"])


def test_a_file_below_a_version_control_directory_is_not_ignored(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Planted below ``.git``, where other tools do not look."""
    tree = desk.root / "tree"
    tree.mkdir()
    (tree / "model.bin").write_bytes(b"x")
    desk.certify(desk.build(subjects=(subject_of(tree),)))
    (tree / ".git").mkdir()
    (tree / ".git" / "evil.py").write_bytes(b"")
    assert codes(desk, capsys, model=tree) == (13, ["subject-differs"])


def test_a_hard_link_is_the_file_it_is(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """Its bytes are hashed like any other's; that it can be written elsewhere is what the guard is for."""
    path = desk.root / "hard.onnx"
    os.link(desk.model, path)
    assert codes(desk, capsys, model=path) == (0, [])
    with desk.model.open("ab") as file:
        file.write(b"x")
    assert codes(desk, capsys, model=path) == (13, ["subject-differs"])


def test_a_huge_certificate_is_not_read_whole(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """A sparse terabyte: only as much is read as a certificate may have."""
    path = desk.root / "huge.json"
    with path.open("wb") as file:
        file.truncate(2**40)
    assert codes(desk, capsys, certificate=path) == (11, ["malformed"])


def test_a_name_that_is_no_text_is_refused(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    tree = desk.root / "tree"
    tree.mkdir()
    (tree / "model.bin").write_bytes(b"x")
    desk.certify(desk.build(subjects=(subject_of(tree),)))
    (Path(os.fsdecode(os.fsencode(tree) + b"/\xff.bin"))).write_bytes(b"x")
    assert codes(desk, capsys, model=tree) == (13, ["subject-unreadable"])
