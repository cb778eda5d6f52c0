"""A private key shows itself nowhere, and one that others can read is not used."""

from __future__ import annotations

import base64
import io
import logging
import os
import traceback
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certificate_factory import Desk
from pytest_prodml.certificate.signers.local import generate, load_signing_key
from pytest_prodml.cli import main
from pytest_prodml.errors import SigningKeyError

PASSPHRASE = b"correct horse battery staple"


def spellings(private_pem: bytes) -> list[bytes]:
    """Return the secret of an Ed25519 key in every form in which it could leak, as fragments to search for."""
    body = b"".join(private_pem.splitlines()[1:-1])
    secret = base64.b64decode(body)[-32:]
    return [
        private_pem.splitlines()[1],
        secret,
        secret.hex().encode(),
        secret.hex().upper().encode(),
        base64.b64encode(secret),
        base64.urlsafe_b64encode(secret),
        repr(secret)[2:-1].encode(),
        str(list(secret)).encode(),
        str(int.from_bytes(secret)).encode(),
    ]


def assert_clean(data: bytes, private_pem: bytes) -> None:
    for found in spellings(private_pem):
        assert found not in data


def test_the_search_would_find_a_key(tmp_path: Path) -> None:
    files = generate(tmp_path / "ci")
    pem = files.private.read_bytes()
    secret = base64.b64decode(b"".join(pem.splitlines()[1:-1]))[-32:]
    for leak in (pem, secret, secret.hex().encode(), base64.b64encode(secret), repr(secret).encode()):
        with pytest.raises(AssertionError):
            assert_clean(b"log: " + leak, pem)


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
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".key"]
    assert len(written) >= 4
    for data in [captured.out, captured.err, caplog.text.encode(), *(path.read_bytes() for path in written)]:
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
