"""The guard hands over the bytes that were verified, or raises; there is nothing in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import MODEL_BYTES, NOW, Desk, not_ready, ready_with_waiver
from pytest_prodml import guard
from pytest_prodml.certificate.digest import subject_of
from pytest_prodml.errors import CertificateError
from pytest_prodml.verify import gate, verifier
from pytest_prodml.verify.report import VerificationReport


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.certify()
    return desk


def load(desk: Desk, **changes: Any) -> bytes:
    arguments: dict[str, Any] = {
        "certificate": desk.certificate,
        "keys": [desk.public()],
        "policy": desk.policy,
        "now": NOW,
    }
    return guard.load(changes.pop("path", desk.model), **{**arguments, **changes})


def test_it_returns_the_verified_bytes(desk: Desk) -> None:
    assert load(desk) == MODEL_BYTES
    assert (
        load(desk, path=str(desk.model), certificate=str(desk.certificate), policy=str(desk.policy))
        == MODEL_BYTES
    )


def test_a_file_replaced_after_it_was_read_does_not_matter(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = verifier.verify

    def replaced_meanwhile(*arguments: Any, **options: Any) -> VerificationReport:
        desk.model.write_bytes(b"evil")
        return verify(*arguments, **options)

    monkeypatch.setattr(gate, "verify", replaced_meanwhile)
    assert load(desk) == MODEL_BYTES
    monkeypatch.undo()
    with pytest.raises(CertificateError):
        load(desk)


def test_every_refusal_raises_with_its_reasons(desk: Desk) -> None:
    with pytest.raises(CertificateError, match=r"exit code 14.*\n  expired: expired at"):
        load(desk, now=NOW + timedelta(days=91))
    with pytest.raises(CertificateError, match="untrusted"):
        load(desk, keys=[desk.public("other")])
    desk.certify(not_ready(desk))
    with pytest.raises(CertificateError, match=r"not-ready: fairness\.age failed"):
        load(desk)
    desk.model.write_bytes(b"evil")
    with pytest.raises(CertificateError, match="subject-differs"):
        load(desk)


def test_the_clock_is_used_by_default(desk: Desk) -> None:
    now = datetime.now(UTC)
    desk.certify(desk.build(issued_at=now, started_at=now))
    assert load(desk, now=None) == MODEL_BYTES
    long_ago = now - timedelta(days=400)
    desk.certify(desk.build(issued_at=long_ago, started_at=long_ago))
    with pytest.raises(CertificateError, match="expired"):
        load(desk, now=None)


def test_waivers(desk: Desk) -> None:
    desk.certify(ready_with_waiver(desk))
    with pytest.raises(CertificateError, match="waiver-untrusted"):
        load(desk)
    assert load(desk, waiver_keys=[desk.public("risk")]) == MODEL_BYTES


def test_wrong_inputs_are_refusals_too(desk: Desk) -> None:
    wrong: list[dict[str, Any]] = [
        {"path": desk.root / "absent"},
        {"path": desk.root},
        {"certificate": desk.root / "absent"},
        {"keys": [desk.root / "absent"]},
        {"keys": str(desk.public())},
        {"keys": []},
        {"keys": [desk.root / "keys" / "ci.key"]},
        {"policy": desk.root / "absent"},
        {"policy": desk.certificate},
    ]
    for changes in wrong:
        with pytest.raises(CertificateError):
            load(desk, **changes)


def test_several_artefacts(desk: Desk) -> None:
    tokenizer = desk.root / "tokenizer.json"
    tokenizer.write_bytes(b"tokens")
    desk.certify(desk.build(subjects=(desk.subject(), subject_of(tokenizer))))
    with pytest.raises(CertificateError, match="subject-missing"):
        load(desk)
    loaded = guard.load_all(
        [tokenizer, desk.model],
        certificate=desk.certificate,
        keys=[desk.public()],
        policy=desk.policy,
        now=NOW,
    )
    assert loaded == (b"tokens", MODEL_BYTES)
