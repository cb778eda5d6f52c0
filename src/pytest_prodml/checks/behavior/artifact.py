"""A model file -> evidence that loading it does nothing but make data, judged without loading it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_prodml.adapters.artifact import Limits, Scan, scan
from pytest_prodml.adapters.predictor import Predictor
from pytest_prodml.checks.counts import at_most, exact
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Measurement, Subject
from pytest_prodml.statistics.estimate import checked_level

_METHOD = "allow-list over the file's own instructions; nothing is executed"
_MOST_ROWS = 50
_MOST_NAMES = 200


def safe_artifact(
    predictor: Predictor | None,
    path: Path | str,
    *,
    gate_id: str,
    allow: Iterable[str] = (),
    limits: Limits | None = None,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show that a model file names nothing outside of the allow-list, and that all of it was read.

    Parameters
    ----------
    predictor : Predictor or None
        The model that the gate is about. If it knows its file, that file (or one in the directory `path`) has
        to have the same bytes.
    path : Path or str
        The model file, or a directory with everything that belongs to the model.
    gate_id : str
        Of the evidence.
    allow : iterable of str
        What you answer for: ``"package.module.Class"``, ``"domain:NAME"`` of ONNX operators,
        ``"format:NAME"`` of formats that are not read. Written into the evidence.
    limits : Limits, optional
        Where reading stops; what lies beyond is unread.
    confidence_level, seed : float, int
        As in every check. Nothing here is drawn, and counts are exact.

    Returns
    -------
    Evidence
        ``unsafe_findings``, at most 0. Its upper bound is open while a part is unread, because what such a
        part holds is not known: the gate is then inconclusive. ``unread_parts`` counts those parts.

    Raises
    ------
    InputError
        If the path can not be read, or it is not the file that the model was loaded from.
    """
    checked_level(confidence_level)
    found = scan(path, allow=allow, limits=limits)
    subject = _subject(found, Path(path), predictor)
    materials = [Subject(name=Path(path).name, digest={"sha256": found.digest})] if found.files else []
    materials += [
        Subject(name=file.name, digest={"sha256": file.sha256}, annotations={"role": "weights"})
        for file in found.beside
    ]
    parts = len(found.parts_read) + found.n_unread
    return Evidence(
        gate_id=gate_id,
        measurements=(
            _findings(found, parts),
            exact("unread_parts", found.n_unread, max(parts, 1), method=_METHOD, note=_unread_note(found)),
        ),
        criteria=(at_most("unsafe_findings", 0),),
        subjects=(subject,),
        materials=tuple(materials),
        seed=seed,
        details=_details(found),
    )


def _findings(found: Scan, parts: int) -> Measurement:
    measured = exact("unsafe_findings", found.n_findings, max(parts, 1), method=_METHOD, note=_note(found))
    # What stands in a part that was not read is not known: there is no upper bound.
    return measured if found.verdict != "unknown" and not found.n_unread else replace(measured, upper=None)


def _note(found: Scan) -> str | None:
    if found.findings:
        first = found.findings[0]
        more = f"; and {found.n_findings - 1} more" if found.n_findings > 1 else ""
        return f"{first.where}: {first.detail}{more}"
    return _unread_note(found)


def _unread_note(found: Scan) -> str | None:
    if not found.parts_unread:
        return None
    first = found.parts_unread[0]
    count = "1 part was" if found.n_unread == 1 else f"{found.n_unread:,} parts were"
    return f"{count} not read; {first.where}: {first.why}"


def _subject(found: Scan, path: Path, predictor: Predictor | None) -> Subject:
    """Return the file that was judged; it has to be the model's own, where that is known."""
    known = predictor.subject if predictor is not None else None
    digests = [found.digest, *(file.sha256 for file in found.files)]
    if known is None:
        return Subject(name=path.name or str(path), digest={"sha256": found.digest})
    if known.digest.get("sha256") not in digests:
        inside = "holds no file with" if found.files else "does not have"
        raise InputError(
            f"{inside} the bytes that the model was loaded from ({known.name})",
            where=str(path),
            hint="give path= the file (or its directory) that prodml_model loads or is bound to",
        )
    return known


def _details(found: Scan) -> dict[str, JsonValue]:
    return {
        "format": found.format,
        "verdict": found.verdict,
        "bytes": found.size,
        "digest": found.digest,
        "globals": _listed(found.globals, _MOST_NAMES),
        "findings": _listed([[item.where, item.what, item.detail] for item in found.findings], _MOST_ROWS),
        "unread": _listed([[item.where, item.why] for item in found.parts_unread], _MOST_ROWS),
        "parts_read": _listed(found.parts_read, _MOST_ROWS),
        "notes": _listed(found.notes, _MOST_ROWS),
        "files": _listed([[item.name, item.sha256, item.size] for item in found.files], _MOST_ROWS),
        "beside": _listed([[item.name, item.sha256, item.size] for item in found.beside], _MOST_ROWS),
        "allowed": list(found.allowed),
        "left_out": {
            "globals": max(0, len(found.globals) - _MOST_NAMES),
            "findings": found.n_findings - min(_MOST_ROWS, len(found.findings)),
            "unread": found.n_unread - min(_MOST_ROWS, len(found.parts_unread)),
            "parts_read": max(0, len(found.parts_read) - _MOST_ROWS),
        },
    }


def _listed(items: Sequence[JsonValue], most: int) -> list[JsonValue]:
    return list(items[:most])
