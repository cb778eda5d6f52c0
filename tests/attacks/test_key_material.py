"""A private key shows itself nowhere, and one that others can read is not used."""

from __future__ import annotations

import base64
import errno
import io
import logging
import os
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from certificate_factory import Desk
from plugin.project import Project
from pytest_prodml.certificate.signers.local import (
    PASSPHRASE_VARIABLE,
    generate,
    load_signing_key,
    passphrase_from_descriptor,
)
from pytest_prodml.cli import main
from pytest_prodml.errors import SigningKeyError

PASSPHRASE = b"correct horse battery staple"


def raw(secret: bytes) -> list[bytes]:
    """Return the ways in which bytes could be spelled by who prints or stores them."""
    return [
        secret,
        secret.hex().encode(),
        secret.hex().upper().encode(),
        secret.hex(":").encode(),
        base64.b64encode(secret).rstrip(b"="),
        base64.urlsafe_b64encode(secret).rstrip(b"="),
        repr(secret)[2:-1].encode(),
        str(list(secret)).encode(),
        str(int.from_bytes(secret)).encode(),
    ]


def spellings(private_pem: bytes, passphrase: bytes | None = None) -> list[bytes]:
    """Return a private key, and its passphrase, in every form in which it could leak: what to search for."""
    key = serialization.load_pem_private_key(private_pem, passphrase)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        secret = key.private_numbers().private_value.to_bytes(32)
    else:
        assert isinstance(key, ed25519.Ed25519PrivateKey)
        secret = key.private_bytes_raw()
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    lines = {line for pem in (private_pem, plain) for line in pem.splitlines()[1:-1] if len(line) > 8}
    return [*lines, *raw(secret), *(raw(passphrase) if passphrase is not None else [])]


def assert_clean(data: bytes, private_pem: bytes, passphrase: bytes | None = None) -> None:
    for found in spellings(private_pem, passphrase):
        assert found not in data, found


def written_below(root: Path) -> dict[Path, bytes]:
    """Return every file except private keys themselves; a private key under another name is found."""
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return {path: path.read_bytes() for path in files if path.suffix != ".key"}


@pytest.mark.control
@pytest.mark.parametrize("key_type", ["ed25519", "p256"])
@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_the_search_would_find_a_key(
    tmp_path: Path, key_type: Literal["ed25519", "p256"], passphrase: bytes | None
) -> None:
    pem = generate(tmp_path / "ci", key_type=key_type, passphrase=passphrase).private.read_bytes()
    key = load_signing_key(tmp_path / "ci.key", passphrase).key
    if isinstance(key, ec.EllipticCurvePrivateKey):
        secret = key.private_numbers().private_value.to_bytes(32)
    else:
        secret = key.private_bytes_raw()
    leaks = [pem, pem.splitlines()[1], secret, secret.hex().encode(), base64.b64encode(secret)]
    leaks += [repr(secret).encode(), PASSPHRASE, base64.b64encode(PASSPHRASE)] if passphrase else []
    for leak in leaks:
        with pytest.raises(AssertionError):
            assert_clean(b"log: " + leak, pem, passphrase)
    assert_clean(b"log: nothing", pem, passphrase)


def test_no_command_writes_key_material_anywhere(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """Everything that signing and verifying print and write is searched: envelope, page, JUnit, reports."""
    caplog.set_level(logging.DEBUG)
    desk = Desk(tmp_path)
    desk.certify(desk.build(issued_at=datetime.now(UTC)))
    pem = (tmp_path / "keys" / "ci.key").read_bytes()
    other = desk.key("other")
    key = str(tmp_path / "keys" / "other.key")
    now = desk.arguments()
    del now[now.index("--at") : now.index("--at") + 2]
    assert main([*now, "--json"]) == 0
    assert main([*now, "--explain"]) == 0
    assert main([*now, "--summary-out", str(tmp_path / "svr.json"), "--summary-key", key]) == 0
    assert main(["show", str(desk.certificate)]) == 0
    for form in ("junit", "test-result", "sigstore"):
        assert main(["export", form, str(desk.certificate), "--out", str(tmp_path / f"{form}.out")]) == 0
    signing = ["--key", key, "--model", str(desk.model), "--policy", str(desk.policy)]
    assert main(["sign", str(desk.certificate), *signing, "--signed-by", str(desk.public())]) == 0
    captured = capsysbinary.readouterr()
    written = written_below(tmp_path)
    assert len(written) >= 4
    for data in [captured.out, captured.err, caplog.text.encode(), *written.values()]:
        assert_clean(data, pem)
        assert_clean(data, (tmp_path / "keys" / "other.key").read_bytes())
    assert_clean(repr((desk.key(), other)).encode(), pem)


@pytest.mark.parametrize("damage", ["cut", "label", "body", "two"])
def test_a_damaged_key_is_refused_without_showing_it(tmp_path: Path, damage: str) -> None:
    """The traceback with all its frames' lines holds nothing, whatever is wrong with the file."""
    files = generate(tmp_path / "ci")
    pem = files.private.read_bytes()
    broken = {
        "cut": pem[:-30],
        "label": pem.replace(b"PRIVATE KEY", b"RSA PRIVATE KEY"),
        "body": pem.replace(b"MC4CAQ", b"MC4CAA"),
        "two": pem + pem,
    }[damage]
    files.private.write_bytes(broken)
    with pytest.raises(SigningKeyError) as caught:
        load_signing_key(files.private)
    lines = io.StringIO()
    error = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    lines.write("".join(error.format()))
    # The frame of the test itself holds the key; what the package's frames hold is what counts.
    own = [
        f"{name}={value}"
        for frame in error.stack
        if frame.filename != __file__ and "pytest_prodml" in frame.filename
        for name, value in (frame.locals or {}).items()
    ]
    assert own
    assert_clean("\n".join(own).encode(), pem)
    assert_clean(str(caught.value).encode(), pem)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610, 0o601, 0o666])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    files = generate(tmp_path / "ci")
    assert files.private.stat().st_mode & 0o777 == 0o600
    files.private.chmod(mode)
    with pytest.raises(SigningKeyError, match="can be read by others"):
        load_signing_key(files.private)
    files.private.chmod(0o600)
    assert load_signing_key(files.private).keyid == files.keyid


def test_a_wrong_and_a_missing_passphrase_read_the_same(tmp_path: Path) -> None:
    files = generate(tmp_path / "ci", passphrase=PASSPHRASE)
    pem = files.private.read_bytes()
    told = set()
    for given in (None, b"wrong", PASSPHRASE + b"x"):
        with pytest.raises(SigningKeyError) as caught:
            load_signing_key(files.private, given)
        told.add(str(caught.value))
        assert caught.value.__cause__ is None
    assert len(told) == 1
    assert PASSPHRASE.decode() not in told.pop()
    assert b"ENCRYPTED" in pem
    assert load_signing_key(files.private, PASSPHRASE).keyid == files.keyid


def test_no_command_takes_a_passphrase_as_an_argument(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands in an argument can be read by every user of the machine."""
    for command in ("keygen", "sign", "verify", "waive", "revoke"):
        assert main([command, "--help"]) == 0
        text = capsys.readouterr().out
        assert "--passphrase " not in text
        assert "--password" not in text
        assert "--passphrase-fd" in text
    assert main(["keygen", str(tmp_path / "ci"), "--passphrase", "secret"]) == 2
    assert not (tmp_path / "ci.key").exists()


def test_a_passphrase_does_not_show_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk(tmp_path)
    desk.certify()
    generate(tmp_path / "gate", passphrase=PASSPHRASE)
    reader, writer = os.pipe()
    try:
        os.write(writer, b"not the passphrase\n")
        code = main(
            desk.arguments(
                "--summary-out", tmp_path / "svr.json", "--summary-key", tmp_path / "gate.key",
                "--passphrase-fd", reader,
            )
        )  # fmt: skip
    finally:
        os.close(writer)
    captured = capsys.readouterr()
    assert code == 2
    assert "not the passphrase" not in captured.out + captured.err
    assert not (tmp_path / "svr.json").exists()


@pytest.mark.parametrize("key_type", ["ed25519", "p256"])
@pytest.mark.parametrize("given", ["plain", "descriptor", "environment"])
def test_no_command_that_signs_shows_its_key(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
    caplog: pytest.LogCaptureFixture,
    key_type: str,
    given: str,
) -> None:
    """Keygen, waive, revoke, trust, sign and verify with one more key, open or encrypted."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.chdir(tmp_path)
    desk = Desk(tmp_path)
    desk.certify(desk.build(issued_at=datetime.now(UTC)))
    if given == "environment":
        monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE.decode())

    def run(*arguments: str) -> None:
        reader, writer = os.pipe()
        try:
            os.write(writer, PASSPHRASE + b"\n")
            more = ["--passphrase-fd", str(reader)] if given == "descriptor" else []
            assert main([*arguments, *more]) == 0, arguments
        finally:
            os.close(reader)
            os.close(writer)

    run("keygen", "keys/new", "keys/root", "--type", key_type)
    for name, role in {"ci": "platform", "new": "security"}.items():
        assert (tmp_path / "keys" / f"{name}.pub").exists(), role
    (tmp_path / "trust.toml").write_text(
        'version = 1\nexpires = "2099-01-01T00:00:00Z"\n[roles]\nplatform = 1\n'
        '[keys.ci]\nrole = "platform"\nfile = "keys/ci.pub"\n'
        '[keys.new]\nrole = "security"\nfile = "keys/new.pub"\n'
        '[revocation]\nrole = "security"\n[root]\nthreshold = 1\nkeys = ["keys/root.pub"]\n'
    )
    run("trust", "sign", "trust.toml", "--key", "keys/root.key", "--out", "trust.json")
    run("revoke", "revocations.json", "--key", "keys/new.key", "--waiver", "w-9", "--reason", "mistake")
    about = ("--model", "model.onnx", "--reason", "known", "--approver", "Head of Risk", "--days", "9")
    run("waive", "fairness.age", *about, "--key", "keys/new.key", "--out", "waiver.json")
    signing = ("--key", "keys/new.key", "--model", "model.onnx", "--policy", "policy.toml")
    run("sign", "certificate.json", *signing, "--signed-by", "keys/ci.pub")
    gate = ("--trust", "trust.json", "--root", "keys/root.pub", "--revocations", "revocations.json")
    rest = ("--model", "model.onnx", "--policy", "policy.toml", "--explain")
    run(
        "verify",
        "certificate.json",
        *gate,
        *rest,
        "--summary-out",
        "svr.json",
        "--summary-key",
        "keys/new.key",
    )
    captured = capsysbinary.readouterr()
    written = written_below(tmp_path)
    made = {"trust.json", "revocations.json", "waiver.json", "svr.json", "certificate.json"}
    assert made <= {path.name for path in written}
    passphrase = None if given == "plain" else PASSPHRASE
    for name in ("new", "root"):
        pem = (tmp_path / "keys" / f"{name}.key").read_bytes()
        assert (b"ENCRYPTED" in pem) == (passphrase is not None)
        for data in (captured.out, captured.err, caplog.text.encode(), *written.values()):
            assert_clean(data, pem, passphrase)


def frames_of_the_package(error: BaseException) -> bytes:
    """Return the locals of the package's frames, as a traceback that shows locals prints them."""
    lines = []
    for frame in traceback.TracebackException.from_exception(error, capture_locals=True).stack:
        if frame.filename != __file__:
            lines += [f"{frame.name} {name}={value}" for name, value in (frame.locals or {}).items()]
    assert any("pytest_prodml" in line or "=" in line for line in lines)
    return "\n".join(lines).encode()


@pytest.mark.parametrize("function", ["fsync", "link"])
def test_a_key_that_can_not_be_written_is_in_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    """And no file is left that holds it."""
    seen: list[bytes] = []

    def full(*arguments: Any, **_options: Any) -> None:
        seen.extend(path.read_bytes() for path in tmp_path.iterdir() if b"PRIVATE KEY" in path.read_bytes())
        raise OSError(errno.ENOSPC, "No space left on device", *map(str, arguments[:1]))

    monkeypatch.setattr(os, function, full)
    with pytest.raises(SigningKeyError, match="can not be written") as caught:
        generate(tmp_path / "ci")
    assert list(tmp_path.iterdir()) == []
    assert seen, "the key was about to be written"
    assert_clean(frames_of_the_package(caught.value), seen[0])


def test_a_wrong_passphrase_is_in_no_traceback(tmp_path: Path) -> None:
    """A passphrase that is wrong here may be the right one somewhere else."""
    files = generate(tmp_path / "ci", passphrase=PASSPHRASE)
    wrong = b"the passphrase of another key"
    with pytest.raises(SigningKeyError) as caught:
        load_signing_key(files.private, wrong)
    told = frames_of_the_package(caught.value)
    for found in raw(wrong):
        assert found not in told
    assert_clean(told, files.private.read_bytes(), PASSPHRASE)


def test_a_passphrase_that_is_too_long_is_in_no_traceback(tmp_path: Path) -> None:
    source = tmp_path / "long.txt"
    source.write_bytes(PASSPHRASE * 400)
    with source.open("rb") as file, pytest.raises(SigningKeyError, match="gives no passphrase") as caught:
        passphrase_from_descriptor(file.fileno())
    told = frames_of_the_package(caught.value)
    for found in raw(PASSPHRASE):
        assert found not in told


SIGNING_THAT_CRASHES = """
import pytest
from pytest_prodml.certificate.signers.local import LocalSigner

def sign(self, data):
    signer, key = self, self.key
    raise RuntimeError(f"the device was pulled out of {signer!r}")

LocalSigner.sign = sign
"""
ASKS_FOR_EVERYTHING = """
import logging

def test_that_shows_what_it_sees(request, pytestconfig):
    plugins = {name: plugin for name, plugin in pytestconfig.pluginmanager.list_name_plugin()}
    states = {name: vars(plugin) if hasattr(plugin, "__dict__") else plugin for name, plugin in plugins.items()}
    plans = [vars(plugin).get("plan") for plugin in plugins.values() if hasattr(plugin, "__dict__")]
    stash = pytestconfig.stash._storage
    print(states, plans, stash)
    logging.getLogger().warning("%r %r %r", states, plans, stash)
    assert not any(plans) and not request
"""
LOUD = (
    "-vv", "--tb=long", "--showlocals", "--full-trace", "-rA", "--log-level=DEBUG", "--log-file=pytest.log",
    "--junitxml=junit.xml", "--debug=debug.log", "--setup-show", "--capture=fd",
)  # fmt: skip


@pytest.mark.parametrize("protection", ["open", "encrypted"])
@pytest.mark.parametrize("run", ["passes", "shows everything", "crashes in signing", "wrong passphrase"])
def test_no_run_of_pytest_shows_its_key(
    project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
    run: str, protection: str,
) -> None:  # fmt: skip
    """Standard output and error, logs, JUnit, pytest's own trace, run log, certificate and page are searched."""
    passphrase = PASSPHRASE if protection == "encrypted" else None
    key = generate(tmp_path_factory.mktemp("secret") / "release", passphrase=passphrase).private
    if passphrase is not None:
        right = PASSPHRASE.decode() if run != "wrong passphrase" else "wrong horse battery staple"
        monkeypatch.setenv(PASSPHRASE_VARIABLE, right)
    if run == "crashes in signing":
        project.write("conftest.py", SIGNING_THAT_CRASHES)
    if run == "shows everything":
        project.write("test_nosy.py", ASKS_FOR_EVERYTHING)
    result = project.run(*LOUD, f"--prodml-key={key}", sub=True)
    signed = run in {"passes", "shows everything"} or (run == "wrong passphrase" and passphrase is None)
    assert (project.out / "certificate.json").exists() == signed
    assert (result.ret == 0) == (signed and run != "shows everything"), result.ret
    told = "\n".join((*result.outlines, *result.errlines))
    if run == "crashes in signing":
        assert "the device was pulled out" in told
    written = written_below(project.root)
    assert {"pytest.log", "debug.log"} <= {path.name for path in written} or run == "wrong passphrase"
    pem = key.read_bytes()
    for data in (told.encode(), *written.values()):
        assert_clean(data, pem, passphrase)
        assert b"wrong horse battery staple" not in data
