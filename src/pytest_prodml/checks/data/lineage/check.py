"""Manifests and what is here -> Evidence of which data, code and parents made the model."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from pytest_prodml.adapters.engines.engine import Table
from pytest_prodml.adapters.tables import Dataset
from pytest_prodml.checks.counts import at_most as limited
from pytest_prodml.checks.counts import exact, plain
from pytest_prodml.checks.data.lineage.chain import (
    Link,
    State,
    Thing,
    between,
    chain_of,
    compare,
    is_same_name,
    local_path,
    parameter_links,
)
from pytest_prodml.checks.data.lineage.digests import subject_at
from pytest_prodml.checks.data.lineage.reading import read_runs
from pytest_prodml.checks.data.lineage.records import Artifact, Run
from pytest_prodml.checks.data.lineage.tables import is_delta, is_iceberg
from pytest_prodml.errors import InputError
from pytest_prodml.records import Evidence, JsonValue, Measurement, Subject

Here: TypeAlias = Path | str | Table | Dataset | Subject

_BROKEN = "broken_lineage_links"
_REVISION = re.compile(r"[0-9a-f]{7,64}")
_MOST_GROUPS = 100
_MOST_MATERIALS = 200
_MOST_SHOWN = 50
_MOST_MANIFESTS = 100
_MOST_PARAMETERS = 50


def lineage(
    manifests: Path | str | Sequence[Path | str],
    *,
    model: Path | str | Subject | None,
    data: Mapping[str, Here] | None = None,
    parents: Mapping[str, Here] | None = None,
    code_revision: str | None = None,
    parameters: Mapping[str, JsonValue] | None = None,
    on_trust: Collection[str] = (),
    allow_dirty: bool = False,
    base: Path | None = None,
    gate_id: str,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Evidence:
    """Show which data, code and parents made a model, and that they are what they are said to be.

    Each statement of a manifest about the model and what led to it is a link. A link is kept where a digest
    or version is that of what is here, broken where it is another, and unchecked where that can not be told:
    the thing is not here, or no digest of it is stated. One broken link fails the gate; one unchecked link
    leaves it inconclusive.

    Parameters
    ----------
    manifests : path or sequence of paths
        What was written down: a manifest of `write_lineage`, ``dvc.lock``, a list of ``sha256sum``, the
        directory of a Delta or Iceberg table, OpenLineage events, or dbt's ``manifest.json`` with its
        ``run_results.json``. Several are joined by the names of what they made and used.
    model : Path, Subject or None
        The model that is judged. None looks at all that the manifests state, and at no model.
    data, parents : mapping of str to path, Table, Dataset or Subject, optional
        Where things are that a manifest calls by these names. Others are looked for where it says they lay,
        relative to the manifest.
    code_revision : str, optional
        The commit that has to have made the model; without it one has to be stated, or files of code by
        their digests.
    parameters : mapping, optional
        Parameters that have to be stated with these values.
    on_trust : collection of str
        Names of links that are not checked here, and do not block: the evidence says so of each.
    allow_dirty : bool
        Accept a model that was made from files that differ from their commit.
    base : Path, optional
        Directory of relative paths.
    gate_id, confidence_level, seed
        Common to all checks; digests need neither level nor seed.

    Returns
    -------
    Evidence
        ``broken_lineage_links``: for each link 0 or 1, without a value where it was unchecked; and in all,
        without an upper bound where one was unchecked. Materials are the manifests and everything that the
        model was made from; the subject is the model.

    Raises
    ------
    InputError
        If a manifest is missing or not of its format, or something given is not here.
    """
    del confidence_level, seed
    if code_revision is not None and _REVISION.fullmatch(code_revision) is None:
        raise InputError(f"{code_revision!r} is no revision of code in hex", hint="git rev-parse HEAD")
    runs = [run for path in _paths(manifests, base) for run in read_runs(path)]
    here = {
        role: {name: _thing(name, given, base) for name, given in (found or {}).items()}
        for role, found in (("data", data), ("parent", parents))
    }
    subject = None if model is None else _model(model, base)
    links, makers = ([], []) if subject is None or model is None else _model_links(runs, subject, model, base)
    chain = chain_of(runs, makers)
    if subject is None or makers:
        links += _chain_links(chain.runs, runs, here, {id(run) for run in makers}, subject)
        links += _code_links(chain.runs, code_revision, allow_dirty=allow_dirty)
        links += parameter_links(parameters or {}, chain.runs, by="the lineage")
        links += _apart(chain.runs, chain.apart)
    links = _trusting(_worst_of_each(links), on_trust)
    return Evidence(
        gate_id=gate_id,
        measurements=_measurements(links),
        criteria=(
            *(limited(_BROKEN, 0, group=link.name) for link in _judged(links)[:_MOST_GROUPS]),
            limited(_BROKEN, 0),
        ),
        subjects=() if subject is None else (subject,),
        materials=_materials(chain.runs, links),
        details=_details(links, chain.runs),
    )


def _paths(manifests: Path | str | Sequence[Path | str], base: Path | None) -> list[Path]:
    given = [manifests] if isinstance(manifests, (str, Path)) else list(manifests)
    if not 1 <= len(given) <= _MOST_MANIFESTS:
        raise InputError(f"lineage is read from 1 to {_MOST_MANIFESTS} manifests, got {len(given)}")
    paths = [_path(item, base) for item in given]
    for path in paths:
        if not path.exists():
            raise InputError(
                "the manifest does not exist", where=str(path), hint="write it where the model is trained"
            )
    return paths


def _path(given: Path | str, base: Path | None) -> Path:
    return Path(given) if base is None else base / given


def _thing(name: str, given: Here, base: Path | None) -> Thing:
    if isinstance(given, Subject):
        return Thing(name=name, subject=given)
    if isinstance(given, (Table, Dataset)):
        where = given.path if isinstance(given, Dataset) else Path(given.where)
        if where is not None and where.exists():
            return _thing(name, where, None)
        return Thing(name=name, subject=given.material)
    path = _path(given, base)
    if not path.exists():
        raise InputError(f"{name!r} does not exist", where=str(path))
    if path.is_dir() and (is_delta(path) or is_iceberg(path)):
        (run,) = read_runs(path)
        return Thing(name=name, path=path, version=run.made[0].version, run=run)
    return Thing(name=name, path=path)


def _model(model: Path | str | Subject, base: Path | None) -> Subject:
    return model if isinstance(model, Subject) else subject_at(_path(model, base), "model")


def _model_links(
    runs: Sequence[Run], subject: Subject, model: Path | str | Subject, base: Path | None
) -> tuple[list[Link], list[Run]]:
    """Find the run that made the model: by digest, else by name, where the digest then differs."""
    thing = Thing(
        name=subject.name,
        subject=subject,
        path=None if isinstance(model, Subject) else _path(model, base),
    )
    candidates: list[tuple[Link, Run]] = []
    for run in runs:
        for made in run.made:
            stated = Artifact(
                role="model",
                name=made.name,
                digests=made.digests,
                method=made.method,
                size=made.size,
                version=None,
                location=made.location,
            )
            named = made.role == "model" or is_same_name(made.name, subject.name)
            size = subject.annotations.get("bytes")
            if not named and (not made.digests or (size and made.size and size != made.size)):
                continue
            found = compare(stated, thing, run.source.name)
            if found.state is State.KEPT or named:
                candidates.append((found, run))
    kept = [(link, run) for link, run in candidates if link.state is State.KEPT]
    if kept:
        # Another manifest that says otherwise of the very file contradicts; one of a namesake does not.
        against = [link for link, run in candidates if link.state is State.BROKEN and _lies_at(run, thing)]
        return [kept[0][0], *against], [run for _, run in kept]
    if candidates:
        return [link for link, _ in candidates], [run for _, run in candidates]
    told = f"no manifest states what made {subject.name}"
    return [Link(name=f"model {subject.name}", state=State.UNCHECKED, told=told)], []


def _lies_at(run: Run, thing: Thing) -> bool:
    """Return whether a run says that it made what lies at a path."""
    if thing.path is None:
        return False
    paths = [local_path(made, run.root) for made in run.made]
    return any(path is not None and path.samefile(thing.path) for path in paths)


def _chain_links(
    chain: Sequence[Run],
    runs: Sequence[Run],
    here: Mapping[str, Mapping[str, Thing]],
    makers: Collection[int],
    subject: Subject | None,
) -> list[Link]:
    links: list[Link] = []
    met: set[str] = set()
    for run in chain:
        links += [Link(name=f"run {run.name}", state=State.BROKEN, told=told) for told in run.broken]
        links += [Link(name=f"run {run.name}", state=State.UNCHECKED, told=told) for told in run.open]
        artifacts = list(run.used)
        if subject is None or id(run) not in makers:
            artifacts += run.made
        for stated in artifacts:
            if subject is not None and stated.digests.get("sha256") == subject.digest.get("sha256"):
                continue
            links += _artifact_links(stated, run, runs, here, met)
    if subject is not None and not any(
        used.role == "data" and used.digests.get("sha256") != subject.digest.get("sha256")
        for run in chain
        for used in run.used
    ):
        told = f"no manifest states which data made {subject.name}"
        links.append(Link(name="data", state=State.UNCHECKED, told=told))
    for role, things in here.items():
        for name in things.keys() - met:
            told = f"no manifest of the model's lineage names the {role} {name!r}"
            links.append(Link(name=f"{role} {name}", state=State.UNCHECKED, told=told))
    return links


def _artifact_links(
    stated: Artifact,
    run: Run,
    runs: Sequence[Run],
    here: Mapping[str, Mapping[str, Thing]],
    met: set[str],
) -> Iterable[Link]:
    """Compare an artifact with what is given for it, with what lies in its place, and with who made it."""
    by = run.source.name
    inner = between(stated, run, runs) if stated in run.used else None
    if inner is not None and inner.state is State.BROKEN:
        yield inner
    given = [
        thing
        for things in here.values()
        for name, thing in things.items()
        if any(is_same_name(name, other) for other in (stated.name, stated.location) if other)
    ]
    met.update(thing.name for thing in given)
    if given:
        for thing in given:
            yield from _against(stated, thing, by)
        return
    own_table = stated in run.made and run.source.annotations.get("format") in {"delta", "iceberg"}
    if own_table:
        # What a table says of its own version was compared with its files when its log was read.
        if not run.broken and not run.open:
            told = f"{stated.told()} is whole at version {stated.version}"
            material = _table_material(stated)
            yield Link(name=stated.told(), state=State.KEPT, told=told, material=material)
        return
    path = local_path(stated, run.root)
    if path is not None:
        found = tuple(_against(stated, _thing(stated.name, path, None), by))
        if inner is None or any(link.state is not State.UNCHECKED for link in found):
            yield from found
            return
    if inner is not None:
        yield inner
    elif path is None:
        told = f"{stated.told()}, which {by} names, is not here to be compared"
        yield Link(name=stated.told(), state=State.UNCHECKED, told=told)


def _against(stated: Artifact, thing: Thing, by: str) -> Iterable[Link]:
    """Compare with what is here; of a table that keeps its own versions also whether it is whole."""
    yield compare(stated, thing, by)
    if thing.run is not None:
        for told in thing.run.broken:
            yield Link(name=stated.told(), state=State.BROKEN, told=told)
        for told in thing.run.open:
            yield Link(name=stated.told(), state=State.UNCHECKED, told=told)


def _table_material(stated: Artifact) -> Subject | None:
    if "sha256" not in stated.digests:
        return None
    return Subject(
        name=stated.name,
        digest={"sha256": stated.digests["sha256"]},
        annotations={"role": stated.role, "method": stated.method, "version": stated.version},
    )


def _code_links(runs: Sequence[Run], expected: str | None, *, allow_dirty: bool) -> list[Link]:
    stated = sorted({run.code_revision for run in runs if run.code_revision is not None})
    links: list[Link] = []
    if expected is not None and stated:
        others = [item for item in stated if not (item.startswith(expected) or expected.startswith(item))]
        if others:
            told = f"the model was made by the code {others[0][:12]}; expected {expected[:12]}"
            links.append(Link(name="code revision", state=State.BROKEN, told=told))
        else:
            told = f"the code was {stated[0][:12]}, as expected"
            links.append(Link(name="code revision", state=State.KEPT, told=told))
    elif stated:
        told = f"the code was {', '.join(item[:12] for item in stated[:5])}"
        links.append(Link(name="code revision", state=State.KEPT, told=told))
    elif expected is not None or not any(
        item.role == "code" and item.digests for run in runs for item in run.used
    ):
        told = "no manifest states which code made the model"
        links.append(Link(name="code revision", state=State.UNCHECKED, told=told))
    if not allow_dirty and any(run.is_dirty for run in runs):
        told = "the model was made from files that differ from their commit"
        links.append(Link(name="code revision", state=State.BROKEN, told=told))
    return links


def _apart(runs: Sequence[Run], apart: Sequence[Run]) -> list[Link]:
    """Say of whole manifests that nothing in them led to the model; single stages of one may not."""
    used = {run.source.digest["sha256"] for run in runs}
    names = dict.fromkeys(run.source.name for run in apart if run.source.digest["sha256"] not in used)
    return [
        Link(
            name=f"manifest {name}",
            state=State.UNCHECKED,
            told=f"nothing in {name} is connected with the model",
        )
        for name in names
    ]


_ORDER = (State.BROKEN, State.UNCHECKED, State.TRUSTED, State.KEPT)


def _worst_of_each(links: Iterable[Link]) -> list[Link]:
    found: dict[str, Link] = {}
    for link in links:
        known = found.get(link.name)
        if known is None or _ORDER.index(link.state) < _ORDER.index(known.state):
            found[link.name] = link
    return sorted(found.values(), key=lambda link: _ORDER.index(link.state))


def _trusting(links: Sequence[Link], on_trust: Collection[str]) -> list[Link]:
    names = {link.name for link in links}
    for name in on_trust:
        if name not in names:
            raise InputError(
                f"there is no link {name!r} to trust", hint=f"links: {', '.join(sorted(names)[:12])}"
            )
    return [
        Link(name=link.name, state=State.TRUSTED, told=f"taken on trust: {link.told}", material=link.material)
        if link.name in on_trust and link.state is State.UNCHECKED
        else link
        for link in links
    ]


def _judged(links: Sequence[Link]) -> list[Link]:
    return [link for link in links if link.state is not State.TRUSTED]


def _measurements(links: Sequence[Link]) -> tuple[Measurement, ...]:
    measured = []
    for link in _judged(links)[:_MOST_GROUPS]:
        known = None if link.state is State.UNCHECKED else float(link.state is State.BROKEN)
        measured.append(_measured(known, known, known, 1, link.told, link.name))
    broken = sum(link.state is State.BROKEN for link in links)
    undecided = sum(link.state is State.UNCHECKED for link in links)
    trusted = sum(link.state is State.TRUSTED for link in links)
    if len(links) == trusted:
        note = "no link was checked"
        return (*measured, _measured(None, None, None, len(links), note, None))
    told = [f"{len(links)} links"]
    told += [f"{undecided} unchecked"] if undecided else []
    told += [f"{trusted} taken on trust"] if trusted else []
    return (
        *measured,
        _measured(broken, broken, None if undecided else broken, len(links), ", ".join(told), None),
    )


def _measured(
    value: float | None, lower: float | None, upper: float | None, n: int, note: str, group: str | None
) -> Measurement:
    found = exact(_BROKEN, 0, n, group=group, unit="links", method="comparison of digests and versions")
    return replace(found, value=value, lower=lower, upper=upper, note=note)


def _materials(runs: Sequence[Run], links: Sequence[Link]) -> tuple[Subject, ...]:
    found: dict[tuple[str, str], Subject] = {}
    materials = [run.source for run in runs] + [link.material for link in links if link.material is not None]
    for material in materials:
        found.setdefault((material.name, material.digest["sha256"]), material)
    return tuple(found.values())[:_MOST_MATERIALS]


def _details(links: Sequence[Link], runs: Sequence[Run]) -> dict[str, JsonValue]:
    shown: list[JsonValue] = [
        {"link": str(plain(link.name)), "state": link.state.value, "told": link.told[:300]}
        for link in links[:_MOST_SHOWN]
    ]
    details: dict[str, JsonValue] = {"links": shown, "links_in_all": len(links)}
    parameters = {key: value for run in runs for key, value in (run.parameters or {}).items()}
    if parameters:
        details["parameters"] = {
            str(plain(key)): plain(value) for key, value in list(parameters.items())[:_MOST_PARAMETERS]
        }
    revisions = sorted({run.code_revision for run in runs if run.code_revision is not None})
    if revisions:
        details["code_revisions"] = list(revisions[:10])
    return details
