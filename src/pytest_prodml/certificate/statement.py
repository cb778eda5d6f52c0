"""`Certificate` <-> the bytes that are signed: an in-toto Statement v1 in RFC 8785 canonical JSON.

The subjects stand in the statement's `subject` and nowhere else; all other fields are its `predicate`.
Reading is strict, and writing passes through the same checks, so that nothing is issued which a verifier
has to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_prodml import __version__
from pytest_prodml.certificate.text import label_problem
from pytest_prodml.codec import canonical_json, decode, encode, parse_json
from pytest_prodml.errors import MalformedError
from pytest_prodml.records import Certificate, JsonValue, Producer, Subject

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
CERTIFICATE_TYPE = "https://github.com/pytest-prodml/pytest-prodml/predicates/production-readiness/v1"

#: Written into new certificates. Another major version is refused on reading.
SCHEMA_VERSION = "1.0.0"
PRODUCER = Producer(name="pytest-prodml", version=__version__)

_SCHEMA_VERSION = re.compile(r"1\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")
_NONCE = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_STATEMENT_FIELDS = frozenset({"_type", "subject", "predicateType", "predicate"})
#: Fields whose text is compared and shown as a name or an id.
_LABELS = frozenset(
    {"name", "id", "gateId", "runId", "metric", "group", "modelName", "modelVersion", "version", "approver"}
    | {"reference", "location", "subjectDigest", "policyDigest", "waiverId", "rubric", "gate"}
    | {"target", "requiredTargets", "subjectName", "nonce"}
)
_MAY_BE_EMPTY = frozenset({"location"})
#: A project's own JSON: limited in size and depth like everything, but its texts name nothing of ours.
_FREE = frozenset({"details", "annotations"})


class PredicateTypeError(MalformedError):
    """A well-formed statement about something else: the right signer is not enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """An in-toto statement whose form has been checked; the predicate is still plain JSON."""

    subjects: tuple[Subject, ...]
    predicate: dict[str, JsonValue]


def certificate_payload(certificate: Certificate) -> bytes:
    """Return the bytes to sign.

    Raises
    ------
    MalformedError
        If the certificate holds what `read_certificate` would refuse.
    """
    predicate = encode(certificate)
    del predicate["subjects"]
    payload = statement_payload(CERTIFICATE_TYPE, certificate.subjects, predicate)
    read_certificate(payload)
    return payload


def read_certificate(payload: bytes) -> Certificate:
    """Read the payload of an envelope whose signatures have been checked.

    Raises
    ------
    PredicateTypeError
        If it is a statement of another type.
    MalformedError
        With every problem found.
    """
    statement = read_statement(payload, CERTIFICATE_TYPE, where="certificate")
    if "subjects" in statement.predicate:
        raise MalformedError("the predicate must not name subjects of its own", where="certificate")
    version = statement.predicate.get("schemaVersion")
    if not isinstance(version, str) or not _SCHEMA_VERSION.fullmatch(version):
        raise MalformedError(
            f"has the schema version {str(version)[:40]!r}; this version reads 1.x.y", where="certificate"
        )
    subjects: list[JsonValue] = [_subject_json(subject) for subject in statement.subjects]
    certificate = decode(Certificate, {**statement.predicate, "subjects": subjects}, where="certificate")
    if certificate.serial is not None and certificate.serial < 0:
        raise MalformedError("has a negative serial", where="certificate")
    if certificate.nonce is not None and not _NONCE.fullmatch(certificate.nonce):
        raise MalformedError("has a nonce that is not 32 hexadecimal digits", where="certificate")
    return certificate


def statement_payload(
    predicate_type: str, subjects: Sequence[Subject], predicate: dict[str, JsonValue]
) -> bytes:
    """Return the canonical bytes of a statement."""
    return canonical_json(
        {
            "_type": STATEMENT_TYPE,
            "subject": [_subject_json(subject) for subject in subjects],
            "predicateType": predicate_type,
            "predicate": predicate,
        }
    )


def read_statement(payload: bytes, predicate_type: str, *, where: str) -> Statement:
    """Read a statement of one predicate type, strictly.

    Raises
    ------
    MalformedError
        If it is not strict JSON, not canonical, of another type, without subjects, or if subjects share a
        name or digest, have a digest that is not one SHA-256, or if a name holds what can not be seen.
    """
    value = parse_json(payload, where=where)
    if not isinstance(value, dict):
        raise MalformedError("is not a JSON object", where=where)
    if value.get("_type") != STATEMENT_TYPE:
        raise MalformedError("is not an in-toto Statement v1", where=where)
    if value.get("predicateType") != predicate_type:
        found = str(value.get("predicateType"))[:200]
        raise PredicateTypeError(f"has the predicate type {found!a}, not {predicate_type!r}", where=where)
    if canonical_json(value) != payload:
        raise MalformedError("is not in canonical form (RFC 8785)", where=where)
    predicate, subjects = value.get("predicate"), value.get("subject")
    if value.keys() != _STATEMENT_FIELDS or not isinstance(predicate, dict) or not isinstance(subjects, list):
        raise MalformedError("does not have the four fields of an in-toto Statement v1", where=where)
    problems = [*_text_problems(predicate, "$.predicate"), *_text_problems(subjects, "$.subject")]
    if not problems:
        problems = list(_subject_problems(subjects))
    if problems:
        raise MalformedError("holds what a certificate must not hold", problems[:50], where=where)
    return Statement(
        subjects=tuple(decode(Subject, subject, where=f"{where}: subject") for subject in subjects),
        predicate=predicate,
    )


def _subject_json(subject: Subject) -> dict[str, JsonValue]:
    encoded = encode(subject)
    if not encoded["annotations"]:
        del encoded["annotations"]
    return encoded


def _subject_problems(subjects: list[JsonValue]) -> Iterator[str]:
    if not subjects:
        yield "names no subject @ $.subject"
    names: set[str] = set()
    digests: set[str] = set()
    for index, subject in enumerate(subjects):
        name = subject.get("name") if isinstance(subject, dict) else None
        digest = subject.get("digest") if isinstance(subject, dict) else None
        value = digest.get("sha256") if isinstance(digest, dict) else None
        if not isinstance(name, str) or not isinstance(value, str):
            yield f"expected a name and a sha256 digest @ $.subject[{index}]"
            continue
        if name in names or value in digests:
            yield f"shares its name or digest with another subject @ $.subject[{index}]"
        names.add(name)
        digests.add(value)


def _text_problems(value: JsonValue, path: str, field: str = "") -> Iterator[str]:
    """Walk a document of bounded depth and yield each name or digest that is not in its one form."""
    if isinstance(value, dict):
        if field == "digest" and not _is_sha256(value):
            yield f"expected exactly one sha256 of 64 lowercase hexadecimal digits @ {path}"
        for key, item in value.items():
            if problem := label_problem(key):
                yield f"the key {key[:100]!a} {problem} @ {path}"
            elif key not in _FREE:
                yield from _text_problems(item, f"{path}.{key}", key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _text_problems(item, f"{path}[{index}]", field)
    elif isinstance(value, str) and field in _LABELS and (value or field not in _MAY_BE_EMPTY):
        problem = label_problem(value)
        if problem is not None:
            yield f"the text {value[:100]!a} {problem} @ {path}"


def _is_sha256(digest: dict[str, JsonValue]) -> bool:
    value = digest.get("sha256")
    return len(digest) == 1 and isinstance(value, str) and _SHA256.fullmatch(value) is not None
