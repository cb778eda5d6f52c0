"""The signed statement: one way to write it, and nothing else is read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import Desk, ready, ready_with_waiver
from pytest_prodml.certificate.statement import (
    CERTIFICATE_TYPE,
    STATEMENT_TYPE,
    PredicateTypeError,
    certificate_payload,
    read_certificate,
)
from pytest_prodml.certificate.text import label_problem
from pytest_prodml.codec import canonical_json, parse_json
from pytest_prodml.errors import MalformedError
from pytest_prodml.records import Subject


@pytest.fixture
def payload(tmp_path: Path) -> bytes:
    return certificate_payload(ready(Desk(tmp_path)))


def changed(payload: bytes, path: str, value: Any) -> bytes:
    """Return the canonical payload with one field set (or removed, for ``...``)."""
    document: Any = parse_json(payload)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    place = document
    for part in parents:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return canonical_json(document)


def test_reading_returns_what_was_written(tmp_path: Path) -> None:
    certificate = ready_with_waiver(Desk(tmp_path))
    payload = certificate_payload(certificate)
    assert read_certificate(payload) == certificate
    assert certificate_payload(read_certificate(payload)) == payload


def test_it_is_an_in_toto_statement(payload: bytes, tmp_path: Path) -> None:
    document = json.loads(payload)
    assert document.keys() == {"_type", "subject", "predicateType", "predicate"}
    assert document["_type"] == STATEMENT_TYPE
    assert document["predicateType"] == CERTIFICATE_TYPE
    subject = Desk(tmp_path).subject()
    assert document["subject"] == [{"name": "model.onnx", "digest": {"sha256": subject.digest["sha256"]}}]
    assert "subjects" not in document["predicate"]
    assert document["predicate"]["decision"]["outcome"] == "READY"
    assert document["predicate"]["issuedAt"] == "2026-11-22T09:30:00Z"


DIGEST = "0" * 64

REFUSED = [
    ("_type", "https://in-toto.io/Statement/v0.1", "in-toto Statement v1"),
    ("_type", ..., "in-toto Statement v1"),
    ("subject", ..., "four fields"),
    ("subject", [], "no subject"),
    ("subject", {}, "four fields"),
    ("subject", [None], "a name and a sha256"),
    ("subject/0/name", ..., "a name and a sha256"),
    ("subject/0/name", "", "is empty"),
    ("subject/0/name", "a\u202eb", "can not be seen"),
    ("subject/0/name", "cafe\u0301", "normalization"),
    ("subject/0/name", "a\x00", "can not be seen"),
    ("subject/0/digest", ..., "a name and a sha256"),
    ("subject/0/digest", {}, "exactly one sha256"),
    ("subject/0/digest", {"sha1": "0" * 40}, "exactly one sha256"),
    ("subject/0/digest", {"sha256": DIGEST, "sha512": "0" * 128}, "exactly one sha256"),
    ("subject/0/digest", {"sha256": DIGEST.upper().replace("0", "A")}, "exactly one sha256"),
    ("subject/0/digest", {"sha256": DIGEST[1:]}, "exactly one sha256"),
    ("subject/0/digest", {"sha256": DIGEST + "\n"}, "exactly one sha256"),
    ("subject/0/digest", {"sha256": 0}, "exactly one sha256"),
    ("subject/0/extra", 1, "unknown field"),
    ("extra", 1, "four fields"),
    ("predicate", [], "four fields"),
    ("predicate", ..., "four fields"),
    ("predicate/subjects", [], "subjects of its own"),
    ("predicate/extra", 1, "unknown field"),
    ("predicate/schemaVersion", "2.0.0", "schema version"),
    ("predicate/schemaVersion", "1.0", "schema version"),
    ("predicate/schemaVersion", ..., "schema version"),
    ("predicate/schemaVersion", 1, "schema version"),
    ("predicate/issuedAt", "2026-11-22T10:30:00+01:00", "UTC time"),
    ("predicate/issuedAt", "2026-11-22T23:59:60Z", "UTC time"),
    ("predicate/issuedAt", 1, "UTC time"),
    ("predicate/modelName", "credit\u200bdefault", "can not be seen"),
    ("predicate/gates/0/id", "performance.auc\u2066", "can not be seen"),
    ("predicate/runs/0/evidence/measurements/0/group", "s\u202ee", "can not be seen"),
    ("predicate/environments", {"a\u202eb": {}}, "can not be seen"),
    ("predicate/materials/0/digest", {"md5": "0" * 32}, "exactly one sha256"),
    ("predicate/decision/outcome", "MAYBE", "one of READY"),
    ("predicate/policy/confidenceLevel", "0.95", "a number"),
    ("predicate/runs/0/durationSeconds", True, "a number"),
]


@pytest.mark.parametrize(("path", "value", "told"), REFUSED, ids=lambda item: str(item)[:40])
def test_what_breaks_a_rule_is_refused(payload: bytes, path: str, value: Any, told: str) -> None:
    with pytest.raises(MalformedError, match=told):
        read_certificate(changed(payload, path, value))


def test_another_predicate_type_is_told_apart(payload: bytes) -> None:
    with pytest.raises(PredicateTypeError):
        read_certificate(changed(payload, "predicateType", "https://slsa.dev/provenance/v1"))
    with pytest.raises(PredicateTypeError):
        read_certificate(changed(payload, "predicateType", ...))


@pytest.mark.parametrize(
    "edit",
    [
        lambda p: p + b"\n",
        lambda p: b" " + p,
        lambda p: b"\xef\xbb\xbf" + p,
        lambda p: p.replace(b":", b": ", 1),
        lambda p: json.dumps(json.loads(p)).encode(),
        lambda p: p.replace(b'"durationSeconds":0.5', b'"durationSeconds":0.50', 1),
        lambda p: p.replace(b'"durationSeconds":0.5', b'"durationSeconds":5e-1', 1),
        lambda p: p.replace(b'"workers":0', b'"workers":-0', 1),
        lambda p: p.replace(b'"workers":0', b'"workers":0.0', 1),
        lambda p: p.replace(b'"workers":0', b'"workers":NaN', 1),
        lambda p: p.replace(b'"workers":0', b'"workers":1e999', 1),
        lambda p: p.replace(b'"workers":0', b'"workers":0,"workers":0', 1),
        lambda p: p.replace(b'"outcome":"READY"', b'"outcome":"NOT_READY","outcome":"READY"', 1),
        lambda p: p.replace(b"credit-default", b"credit\\u002ddefault", 1),
        lambda p: p.replace(b"credit-default", b"credit\\ud800default", 1),
        lambda p: p.replace(b"credit-default", b"credit\xffdefault", 1),
        lambda p: p.decode().encode("utf-16"),
        lambda p: p[:-1],
        lambda p: p + p,
        lambda _: b"",
        lambda _: b"[]",
        lambda _: b"[" * 100_000,
    ],
)
def test_only_the_canonical_bytes_are_read(payload: bytes, edit: Any) -> None:
    changed_payload = edit(payload)
    assert changed_payload != payload
    with pytest.raises(MalformedError):
        read_certificate(changed_payload)


def test_subjects_are_unique(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    one = Subject(name="a", digest={"sha256": "1" * 64})
    for other in (replace(one, name="b"), replace(one, digest={"sha256": "2" * 64})):
        with pytest.raises(MalformedError, match="shares its name or digest"):
            certificate_payload(replace(desk.build(), subjects=(one, other)))


def test_nothing_is_issued_that_would_be_refused(tmp_path: Path) -> None:
    certificate = ready(Desk(tmp_path))
    for broken in (
        replace(certificate, model_name="cafe\u0301"),
        replace(certificate, subjects=()),
        replace(certificate, schema_version="2.0.0"),
        replace(certificate, materials=(Subject(name="x", digest={"md5": "0" * 32}),)),
    ):
        with pytest.raises(MalformedError):
            certificate_payload(broken)


def test_free_text_of_a_project_is_its_own(tmp_path: Path) -> None:
    certificate = ready(Desk(tmp_path))
    run = certificate.runs[0]
    assert run.evidence is not None
    details: dict[str, Any] = {"name": "", "cafe\u0301": ["\u202e"], "digest": {"a": 1}}
    free = replace(run, reason="line\nline \x1b[31m", evidence=replace(run.evidence, details=details))
    changed_certificate = replace(certificate, runs=(free, *certificate.runs[1:]))
    assert read_certificate(certificate_payload(changed_certificate)) == changed_certificate


@pytest.mark.parametrize("text", ["performance.auc", "größe", "sex=männlich", "年龄 20", "a b"])
def test_labels_may_be_in_any_script(text: str) -> None:
    assert label_problem(text) is None
