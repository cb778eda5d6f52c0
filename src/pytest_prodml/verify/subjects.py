"""Models as presented to the verifier -> whether they are the certificate's subjects, all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_prodml.certificate.digest import MANIFEST_METHOD, subject_of
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import InputError
from pytest_prodml.records import JsonValue, Subject
from pytest_prodml.verify.report import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A model as it lies here, hashed by `present` or `present_bytes`.

    `subject` is None if it could not be read; `problem` then says why. With `name` the certificate must call
    it so; without, any certified artefact of the same digest will do.
    """

    location: str
    subject: Subject | None
    name: str | None = None
    problem: str = ""


def present(path: Path, name: str | None = None) -> Artifact:
    """Hash a file or directory. What can not be read becomes part of the report, not an exception."""
    try:
        return Artifact(location=str(path), subject=subject_of(path, name), name=name)
    except InputError as error:
        return Artifact(location=str(path), subject=None, name=name, problem=str(error))


def present_bytes(data: bytes, location: str) -> Artifact:
    """Hash a file that is in memory."""
    subject = Subject(name=Path(location).name or location, digest={"sha256": sha256_hex(data)})
    return Artifact(location=location, subject=subject)


def match_subjects(certified: Sequence[Subject], presented: Sequence[Artifact]) -> Iterator[Reason]:
    """Yield why the presented artefacts are not exactly what was certified.

    Every presented one must be certified (under its name, if it is given with one), and every certified one
    must be presented: a model without the tokenizer it was tested with is another model.
    """
    covered: set[str] = set()
    refused = False
    for artifact in presented:
        reason, subject = _match(certified, artifact)
        if subject is not None:
            covered.add(subject.name)
        if reason is not None:
            refused = True
            yield reason
    missing = [subject for subject in certified if subject.name not in covered]
    if len(certified) == len(presented) == 1 and refused:
        return
    for subject in missing:
        yield Reason(
            code="subject-missing",
            message=f"{subject.name} is certified too and was not given; give all certified artefacts",
            path=subject.name,
        )


def _match(certified: Sequence[Subject], artifact: Artifact) -> tuple[Reason | None, Subject | None]:
    """Return why an artefact is refused (or None), and the subject that it stands for (or None)."""
    if artifact.subject is None:
        reason = Reason(code="subject-unreadable", message=artifact.problem, path=artifact.location)
        return reason, None
    candidates = [s for s in certified if artifact.name is None or s.name == artifact.name]
    if not candidates:
        known = ", ".join(subject.name for subject in certified)
        message = f"nothing called {artifact.name} is certified (certified: {known})"
        return Reason(code="subject-name", message=message, path=artifact.location), None
    digest = artifact.subject.digest["sha256"]
    found = next((s for s in candidates if s.digest["sha256"] == digest), None)
    if found is None:
        message = _difference(artifact.subject, candidates)
        return Reason(code="subject-differs", message=message, path=artifact.location), None
    if _is_directory(found) != _is_directory(artifact.subject):
        kind = "a directory" if _is_directory(found) else "a file"
        message = f"{found.name} was certified as {kind}; give that, not its manifest"
        return Reason(code="subject-kind", message=message, path=artifact.location), None
    return None, found


def _difference(found: Subject, candidates: Sequence[Subject]) -> str:
    digest = found.digest["sha256"]
    if len(candidates) > 1:
        names = ", ".join(subject.name for subject in candidates)
        return f"this is none of the certified artefacts ({names}): its sha256 is {digest}"
    certified = candidates[0]
    message = (
        f"this is not the artefact that was certified as {certified.name}: its sha256 is {digest}, "
        f"the certified one's {certified.digest['sha256']}"
    )
    changes = _changed_files(certified, found)
    return f"{message} ({changes})" if changes else message


def _changed_files(certified: Subject, found: Subject) -> str:
    before, after = _files(certified), _files(found)
    if not before or not after:
        return ""
    changes = [f"changed: {path}" for path in before if path in after and before[path] != after[path]]
    changes += [f"missing: {path}" for path in before if path not in after]
    changes += [f"extra: {path}" for path in after if path not in before]
    more = f", and {len(changes) - 10} more" if len(changes) > 10 else ""
    return ", ".join(changes[:10]) + more


def _files(subject: Subject) -> dict[str, JsonValue]:
    """Return path -> digest of a directory's files, as far as the annotations are of that form."""
    listing = subject.annotations.get("files")
    items = listing if isinstance(listing, list) else []
    return {str(item.get("path")): item.get("sha256") for item in items if isinstance(item, dict)}


def _is_directory(subject: Subject) -> bool:
    return subject.annotations.get("method") == MANIFEST_METHOD
