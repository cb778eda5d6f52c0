"""From a run's records to a file: decided at the moment of issue, signed, written whole."""

from __future__ import annotations

import json
import os
import stat
import uuid
from datetime import timedelta
from pathlib import Path

import pytest

from certificate_factory import NOW, Desk, not_ready, payload_of, ready, ready_with_waiver
from pytest_prodml import __version__
from pytest_prodml.certificate.build import issue, write_atomically
from pytest_prodml.certificate.dsse import envelope_json, parse_envelope
from pytest_prodml.errors import MalformedError
from pytest_prodml.records import Readiness


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_decision_is_made_from_the_records(desk: Desk) -> None:
    assert ready(desk).decision.outcome is Readiness.READY
    assert not_ready(desk).decision.outcome is Readiness.NOT_READY
    waived = ready_with_waiver(desk)
    assert waived.decision.outcome is Readiness.READY_WITH_WAIVERS
    assert waived.waivers == (desk.waiver().decode(),)


def test_validity_begins_at_issue_and_lasts_as_the_policy_says(desk: Desk) -> None:
    certificate = desk.build(issued_at=NOW.replace(microsecond=7), certificate_id=None)
    assert certificate.issued_at == NOW
    assert certificate.expires_at == NOW + timedelta(days=90)
    assert certificate.producer.version == __version__
    assert uuid.UUID(certificate.id) != uuid.UUID(desk.build(certificate_id=None).id)


def test_a_waiver_that_is_none_is_an_error(desk: Desk) -> None:
    with pytest.raises(MalformedError, match=r"waivers\[0\]"):
        desk.build(waivers=[b"{}"])


def test_the_file_is_canonical_and_carries_correct_hints(desk: Desk) -> None:
    data = issue(ready(desk), [desk.key("ci"), desk.key("risk")])
    assert envelope_json(parse_envelope(data)) == data
    keyids = [signature["keyid"] for signature in json.loads(data)["signatures"]]
    assert keyids == [desk.key("ci").keyid, desk.key("risk").keyid]


def test_a_run_without_a_key_leaves_an_unsigned_record(desk: Desk) -> None:
    data = issue(ready(desk), [])
    assert json.loads(data)["signatures"] == []
    assert payload_of(data)["predicate"]["decision"]["outcome"] == "READY"


def test_the_same_records_give_the_same_bytes(desk: Desk) -> None:
    assert desk.certify(ready(desk)) == desk.certify(ready(desk))


def test_writing_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    path.write_bytes(b"old and longer")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [item.name for item in tmp_path.iterdir()] == ["certificate.json"]


def test_a_write_that_breaks_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "certificate.json"
    path.write_bytes(b"old")

    def broken(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["certificate.json"]
