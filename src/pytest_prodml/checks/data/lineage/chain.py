"""Runs of manifests and what is here -> each link between them: kept, broken, or not to be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from pytest_prodml.checks.data.lineage.digests import digests_at, size_at, subject_at
from pytest_prodml.checks.data.lineage.records import Artifact, Run
from pytest_prodml.records import Subject


class State(StrEnum):
    """What became of a link."""

    KEPT = "kept"
    BROKEN = "broken"
    UNCHECKED = "unchecked"
    TRUSTED = "trusted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One statement of a manifest against what is here, with the sentence that says so."""

    name: str
    state: State
    told: str
    material: Subject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """Something that is really here: a file or directory, or what only a digest is known of."""

    name: str
    path: Path | None = None
    subject: Subject | None = None
    version: str | None = None
    #: The manifest that stands for it, of a table that keeps its own versions.
    run: Run | None = None


def is_same_name(first: str, second: str) -> bool:
    """Return whether two names or paths mean one thing: equal, or one ends with the other's last parts."""
    ours, theirs = _parts(first), _parts(second)
    length = min(len(ours), len(theirs))
    return length > 0 and ours[-length:] == theirs[-length:]


def _parts(name: str) -> tuple[str, ...]:
    path = urlsplit(name).path if "://" in name else name
    return tuple(part for part in PurePosixPath(path).parts if part not in {"/", ".", ".."})


def is_same(first: Artifact, second: Artifact, *, same_source: bool) -> bool:
    """Return whether two artifacts are one, by name or place; their digests may still differ."""
    if same_source:
        return first.name == second.name
    names = [item for item in (first.name, first.location) if item]
    others = [item for item in (second.name, second.location) if item]
    return any(is_same_name(name, other) for name in names for other in others)


def compare(stated: Artifact, thing: Thing, by: str) -> Link:
    """Compare what a manifest states of an artifact with what is here."""
    name = stated.told()
    try_digest = _compare_digests(stated, thing, by)
    if try_digest is not None and try_digest.state is State.BROKEN:
        return try_digest
    if stated.version is not None and thing.version is not None and stated.version != thing.version:
        told = f"{by} states version {stated.version} of {name}; what is here is version {thing.version}"
        return Link(name=name, state=State.BROKEN, told=told, material=_material(thing, stated.role))
    if try_digest is not None:
        return try_digest
    if stated.version is not None and thing.version is not None:
        told = f"{name} is version {stated.version}, as {by} states"
        return Link(name=name, state=State.KEPT, told=told, material=_material(thing, stated.role))
    if stated.size is not None and thing.path is not None and size_at(thing.path) != stated.size:
        told = f"{by} states {stated.size:,} bytes of {name}; here it has {size_at(thing.path):,}"
        return Link(name=name, state=State.BROKEN, told=told, material=_material(thing, stated.role))
    what = "no digest or version" if not stated.digests and not stated.version else "nothing comparable"
    return Link(name=name, state=State.UNCHECKED, told=f"{by} states {what} of {name}")


def _compare_digests(stated: Artifact, thing: Thing, by: str) -> Link | None:
    name = stated.told()
    for algorithm, digest in stated.digests.items():
        known = _known(thing, algorithm, stated)
        if known is None:
            continue
        material = _material(thing, stated.role)
        if digest in known:
            told = f"{name} has the {algorithm} that {by} states"
            return Link(name=name, state=State.KEPT, told=told, material=material)
        if algorithm == "md5-legacy":
            told = f"{by} was written before DVC 3, whose md5 of {name} may be of converted line ends"
            return Link(name=name, state=State.UNCHECKED, told=told, material=material)
        told = (
            f"{by} states the {algorithm} {digest[:12]}... of {name}; what is here has {min(known)[:12]}..."
        )
        return Link(name=name, state=State.BROKEN, told=told, material=material)
    return None


def _known(thing: Thing, algorithm: str, stated: Artifact) -> frozenset[str] | None:
    if thing.run is not None or thing.path is None:
        subject = _material(thing, stated.role)
        if algorithm != "sha256" or subject is None or subject.annotations.get("method") != stated.method:
            return None
        return frozenset({subject.digest["sha256"]})
    found = digests_at(thing.path, algorithm, stated.role)
    if (
        algorithm == "sha256"
        and subject_at(thing.path, stated.role).annotations.get("method") != stated.method
    ):
        return None
    return found


def _material(thing: Thing, role: str) -> Subject | None:
    if thing.run is not None:
        made = thing.run.made[0]
        if "sha256" not in made.digests:
            return None
        annotations = {"role": role, "method": made.method, "version": made.version}
        return Subject(name=made.name, digest=dict(made.digests), annotations=annotations)
    if thing.path is not None:
        return subject_at(thing.path, role)
    return thing.subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The runs that lead to a model, nearest first, and those that do not."""

    runs: tuple[Run, ...]
    apart: tuple[Run, ...]


def chain_of(runs: Sequence[Run], makers: Sequence[Run]) -> Chain:
    """Follow what runs used to the runs that made it; without `makers` every run counts."""
    if not makers:
        return Chain(runs=tuple(runs), apart=())
    found = list(makers)
    for run in found:
        for used in run.used:
            found += [
                other
                for other in runs
                if not any(other is known for known in found)
                and any(is_same(used, made, same_source=other.source == run.source) for made in other.made)
            ]
    apart = tuple(run for run in runs if not any(run is known for known in found))
    return Chain(runs=tuple(found), apart=apart)


def local_path(stated: Artifact, root: Path) -> Path | None:
    """Return where an artifact lies here, if its location is a path and something is there."""
    if stated.location is None:
        return None
    parts = urlsplit(stated.location)
    if parts.scheme not in {"", "file"}:
        return None
    text = unquote(parts.path) if parts.scheme else stated.location
    try:
        path = root / text
        return path if path.exists() else None
    except (OSError, ValueError):
        return None


def between(used: Artifact, by: Run, others: Sequence[Run]) -> Link | None:
    """Compare what a run used with what other runs say they made; None where no other did."""
    links = [
        _handed_over(used, made, by, other)
        for other in others
        if other is not by
        for made in other.made
        if is_same(used, made, same_source=other.source == by.source)
    ]
    broken = [link for link in links if link.state is State.BROKEN]
    return next(iter([*broken, *links]), None)


def _handed_over(used: Artifact, made: Artifact, by: Run, maker: Run) -> Link:
    name = used.told()
    for key in used.digests.keys() & made.digests.keys():
        if used.method == made.method and used.digests[key] != made.digests[key]:
            told = f"{by.name} used another {name} than {maker.name} made: their {key} differ"
            return Link(name=name, state=State.BROKEN, told=told)
    if used.version and made.version and used.version != made.version:
        told = f"{by.name} used version {used.version} of {name}; {maker.name} made version {made.version}"
        return Link(name=name, state=State.BROKEN, told=told)
    return Link(name=name, state=State.KEPT, told=f"{name} was made by {maker.name}")


def parameter_links(expected: Mapping[str, object], runs: Sequence[Run], *, by: str) -> tuple[Link, ...]:
    """Compare parameters with those that runs state."""
    links = []
    for key, value in expected.items():
        stated = [run.parameters[key] for run in runs if run.parameters is not None and key in run.parameters]
        name = f"parameter {key}"
        if not stated:
            links.append(Link(name=name, state=State.UNCHECKED, told=f"{by} states no parameter {key!r}"))
        elif any(
            isinstance(found, bool) is not isinstance(value, bool) or found != value for found in stated
        ):
            told = f"{by} states {key} = {stated[0]!r:.60}; expected {value!r:.60}"
            links.append(Link(name=name, state=State.BROKEN, told=told))
        else:
            links.append(Link(name=name, state=State.KEPT, told=f"{key} is {value!r:.60}"))
    return tuple(links)
