"""The lower part of a certificate's page: artifacts, environments, policy and run, as facts and tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from pytest_prodml.codec import format_time
from pytest_prodml.policy.hardware import fingerprint, standing_of
from pytest_prodml.records import (
    Burden,
    Certificate,
    Comparison,
    Environment,
    Fragment,
    Hardware,
    Limit,
    Look,
    Provenance,
    RunSummary,
    Subject,
)
from pytest_prodml.render import words
from pytest_prodml.render.inert import inert, one_line
from pytest_prodml.render.model import ArtifactView, Column, EnvironmentView, Fact, Table
from pytest_prodml.render.numbers import percent, plain, size

#: Labels of the facts that say where the code came from, for the short views.
PROVENANCE = ("Revision", "Automation", "Merged")
#: Files of test code, and merged runs, that are listed one by one.
_MOST_FILES = 40
_MOST_TARGETS = 12


def artifact(subject: Subject) -> ArtifactView:
    """Show a subject or a material."""
    facts = []
    if subject.uri:
        facts.append(Fact(label="URI", value=inert(subject.uri, limit=500), code=True))
    if subject.media_type:
        facts.append(Fact(label="Media type", value=inert(subject.media_type, limit=100), code=True))
    facts += [
        Fact(label=inert(key, limit=60), value=_annotation(value))
        for key, value in sorted(subject.annotations.items())
        if not isinstance(value, (list, dict))
    ]
    digests = [
        f"{inert(name, limit=20)}:{inert(value, limit=130)}" for name, value in sorted(subject.digest.items())
    ]
    return ArtifactView(name=inert(subject.name, limit=300), digest=" ".join(digests), facts=tuple(facts))


def _annotation(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return plain(value) if isinstance(value, (int, float)) else inert(str(value), limit=300)


def environment_views(environments: Mapping[str, Environment]) -> dict[str, EnvironmentView]:
    """Show machines by their digest, in the order of the digests."""
    return {
        digest: _environment(digest, environments[digest], number)
        for number, digest in enumerate(sorted(environments), start=1)
    }


def _environment(digest: str, environment: Environment, number: int) -> EnvironmentView:
    pairs = [
        ("Python", environment.python),
        ("Platform", environment.platform),
        ("Machine", environment.machine),
        ("Processor", environment.processor),
        ("Processors", plain(environment.processor_count)),
        ("Memory", "" if environment.memory_bytes is None else size(environment.memory_bytes)),
        ("Accelerator", environment.accelerator or ""),
        ("Driver", environment.driver or ""),
        ("Providers", ", ".join(environment.providers)),
        ("Threads", ", ".join(f"{key}={value}" for key, value in sorted(environment.threads.items()))),
        ("Container", environment.container_digest or ""),
        *_hardware(environment),
    ]
    packages = tuple(
        (inert(name, limit=100), inert(version, limit=60))
        for name, version in sorted(environment.packages.items())
    )
    python = one_line(inert(environment.python), 40)
    python = f"Python {python}" if python[:1].isdigit() else python
    return EnvironmentView(
        anchor=f"environment-{number}",
        title=f"Environment {plain(number)}: {one_line(inert(environment.processor), 60)}, {python}",
        digest=inert(digest, limit=130),
        facts=tuple(Fact(label=label, value=inert(value, limit=400)) for label, value in pairs if value),
        packages=Table(
            caption="Packages", columns=(Column(label="Package"), Column(label="Version")), rows=packages
        )
        if packages
        else None,
    )


def _hardware(environment: Environment) -> list[tuple[str, str]]:
    found = environment.hardware
    if found is None:
        return []
    identity = [found.vendor, *(f"{name} {value}" for name, value in _generation(found) if value is not None)]
    devices = [
        ", ".join(
            filter(
                None,
                (
                    item.name,
                    "" if item.memory_bytes is None else size(item.memory_bytes),
                    item.compute_capability and f"compute capability {item.compute_capability}",
                    item.driver and f"driver {item.driver}",
                    item.cuda and f"CUDA {item.cuda}",
                    "a partition" if item.is_partitioned else "",
                ),
            )
        )
        for item in found.accelerators
    ]
    counts = [
        f"{plain(count)} {name}"
        for name, count in (("sockets", found.sockets), ("cores", found.cores), ("threads", found.threads))
        if count is not None
    ]
    return [
        ("Fingerprint", fingerprint(environment) or ""),
        ("Processor generation", ", ".join(filter(None, identity))),
        ("Instructions", ", ".join(found.flags)),
        ("Topology", ", ".join(counts)),
        ("Quota", "" if found.quota is None else f"{plain(found.quota)} processors"),
        ("Governor", found.governor or ""),
        ("Virtual machine", "" if found.is_virtual is None else "yes" if found.is_virtual else "no"),
        ("Accelerators", "; ".join(devices)),
        ("Runtimes", ", ".join(f"{name} {version}" for name, version in sorted(found.runtimes.items()))),
    ]


def _generation(found: Hardware) -> list[tuple[str, str | None]]:
    return [("family", found.family), ("model", found.model), ("stepping", found.stepping)]


def target_facts(certificate: Certificate) -> list[tuple[str, str]]:
    """Say of each machine for which target it stands, and how near it is."""
    policy, told = certificate.policy, dict[str, None]()
    for run in certificate.runs:
        standing = standing_of(run, certificate.run, policy, certificate.environments)
        if run.evidence is None or standing is None:
            continue
        name = standing.target or "no declared target"
        why = f" ({standing.why})" if standing.why else ""
        told[f"{name}: {standing.tier.value}{why}"] = None
    return [("Machines and targets", "; ".join(list(told)[:_MOST_TARGETS]))] if told else []


def policy_facts(certificate: Certificate) -> tuple[Fact, ...]:
    """Show what the policy asks for."""
    policy = certificate.policy
    pairs = [
        ("Required dimensions", ", ".join(policy.required_dimensions)),
        ("Required gates", ", ".join(policy.required_gates)),
        ("Required targets", ", ".join(policy.required_targets)),
        (
            "Required cells",
            "; ".join(f"{gate} on {', '.join(on)}" for gate, on in (policy.matrix or {}).items()),
        ),
        ("Targets described by the policy", ", ".join(policy.targets or {})),
        *target_facts(certificate),
        ("Limits of the policy", ", ".join(map(_limit, policy.limits))),
        ("Confidence level", f"{percent(policy.confidence_level)}, one-sided"),
        ("Longest validity", words.counted(policy.validity_days, "day", "days")),
        ("Signatures needed", plain(policy.min_signatures)),
        ("Gates that can be waived", ", ".join(policy.waivable_gates) or "none"),
        ("Waivers allowed", plain(policy.max_waivers)),
        ("Tests that are no gates", policy.ordinary_tests.value.replace("_", " ")),
    ]
    if policy.signed_fragments:
        pairs.append(("Merged runs", "each signed by its host"))
    if policy.burden is Burden.VIOLATION:
        pairs.append(("Burden of proof", "violation: a gate fails only if the data prove its claim broken"))
    if policy.min_group is not None:
        pairs.append(("Groups that may be left out", f"those of fewer than {policy.min_group:,} rows"))
    if policy.alarm_gates is not None:
        pairs.append(("Gates in which an alarm suffices", ", ".join(policy.alarm_gates) or "none"))
    if policy.allow_unbound_models:
        pairs.append(("Models without a digest", "allowed: evidence need not be about the certified file"))
    if policy.allow_dirty is False:
        pairs.append(("Revision", "must be known, and no file may differ from it"))
    if policy.required_automation is not None:
        pairs.append(("Automation", " or ".join(policy.required_automation)))
    return tuple(Fact(label=label, value=inert(value)) for label, value in pairs if value)


def _limit(limit: Limit) -> str:
    group = f"[{limit.group}]" if limit.group is not None else ""
    sign = "≥" if limit.comparison is Comparison.AT_LEAST else "≤"
    return f"{limit.gate}: {limit.metric}{group} {sign} {plain(limit.limit)}"


def _look(look: Look) -> str:
    spending = inert(look.spending.replace("_", " "), limit=40)
    return (
        f"{plain(look.number)} of {plain(look.planned)} planned ({spending} spending): bounds at "
        f"{percent(look.confidence_level)}"
    )


def run_facts(certificate: Certificate) -> tuple[Fact, ...]:
    """Show how the certificate came about."""
    run = certificate.run
    return (
        Fact(label="Certificate", value=inert(certificate.id, limit=100), code=True),
        Fact(label="Run", value=inert(run.id, limit=100), code=True),
        _origin(run),
        Fact(label="Exit status", value=plain(run.exit_status)),
        Fact(label="Workers", value=plain(run.workers)),
        *([Fact(label="Target", value=inert(run.target, limit=100))] if run.target is not None else []),
        *([Fact(label="Look at the test set", value=_look(run.look))] if run.look is not None else []),
        *([Fact(label="Serial", value=str(certificate.serial))] if certificate.serial is not None else []),
        Fact(label="Started", value=format_time(certificate.started_at)),
        Fact(label="Issued", value=format_time(certificate.issued_at)),
        Fact(
            label="List of collected gates",
            value="complete" if run.inventory_complete else "did not arrive: unknown what should have run",
        ),
        Fact(label="Schema", value=inert(certificate.schema_version, limit=30), code=True),
        *provenance_facts(run.provenance),
    )


def _origin(run: RunSummary) -> Fact:
    """Show the command of a run, or which runs were merged."""
    if run.fragments is None:
        return Fact(label="Command", value=inert(shlex.join(["pytest", *run.arguments])), code=True)
    marks = {
        "UNSIGNED": [item.name for item in run.fragments if not item.signed_by],
        "INTERRUPTED": [item.name for item in run.fragments if not item.ended],
    }
    told = [f"{mark}: {', '.join(names)}" for mark, names in marks.items() if names]
    count = words.counted(len(run.fragments), "run", "runs")
    return Fact(label="Merged", value=inert("; ".join([count, *told]), limit=400))


def provenance_facts(provenance: Provenance | None) -> tuple[Fact, ...]:
    """Show where the code of the run came from; the process that ran it says so itself."""
    if provenance is None:
        return ()
    if provenance.revision is None:
        state = f"unknown: {provenance.problem or 'not recorded'}"
    elif provenance.is_dirty is None:
        state = (
            f"{provenance.revision} (what differs from it is unknown: {provenance.problem or 'not recorded'})"
        )
    else:
        state = f"{provenance.revision} ({'DIRTY: files differ from it' if provenance.is_dirty else 'clean'})"
    found = provenance.automation
    said = (
        [
            found.provider,
            found.project,
            found.pipeline,
            found.run and f"run {found.run}",
            found.job,
            found.ref,
        ]
        if found is not None
        else []
    )
    pairs = [
        ("Revision", state),
        ("Repository", provenance.repository or ""),
        ("Automation", ", ".join(part for part in said if part) or "none"),
        ("Test selection", f"sha256:{provenance.selection_digest}" if provenance.selection_digest else ""),
        *[
            (f"Test code {file.name}", f"sha256:{file.digest.get('sha256', '')}")
            for file in provenance.files[:_MOST_FILES]
        ],
    ]
    if len(provenance.files) > _MOST_FILES:
        pairs.append(("More test code", words.counted(len(provenance.files) - _MOST_FILES, "file", "files")))
    return tuple(
        Fact(label=one_line(inert(label), 120), value=inert(value, limit=400))
        for label, value in pairs
        if value
    )


def run_tables(certificate: Certificate) -> tuple[Table, ...]:
    """Count the tests that are no gates, and list the plugins that took part."""
    run = certificate.run
    tests = tuple(
        (inert(state.replace("_", " "), limit=40), plain(count))
        for state, count in sorted(run.ordinary_tests.items())
    )
    plugins = tuple(
        (inert(name, limit=100), inert(version, limit=60)) for name, version in sorted(run.plugins.items())
    )
    fragments = tuple(_fragment_row(fragment) for fragment in (run.fragments or ())[:_MOST_FILES])
    labels_of_fragments = ("Run", "Target", "Ended", "Signed by", "Gates", "Run log", "Command")
    found: tuple[tuple[tuple[tuple[str, ...], ...], str, tuple[str, ...]], ...] = (
        (fragments, "Runs that were merged", labels_of_fragments),
        (tests, "Tests that are no gates", ("State", "Count")),
        (plugins, "Plugins of the run", ("Plugin", "Version")),
    )
    return tuple(
        Table(
            caption=caption,
            columns=tuple(Column(label=label, numeric=label == "Count") for label in labels),
            rows=rows,
            note=_more_fragments(run) if rows is fragments else "",
        )
        for rows, caption, labels in found
        if rows
    )


def _fragment_row(fragment: Fragment) -> tuple[str, ...]:
    states = [f"{plain(count)} {state.replace('_', ' ')}" for state, count in sorted(fragment.states.items())]
    return (
        inert(fragment.name, limit=100),
        inert(fragment.target or "none declared", limit=60),
        "yes" if fragment.ended else "INTERRUPTED",
        inert(", ".join(keyid[:16] for keyid in fragment.signed_by), limit=100) or "UNSIGNED",
        inert(", ".join(states), limit=200),
        inert(f"sha256:{fragment.digest.get('sha256', '')}", limit=80),
        inert(shlex.join(["pytest", *fragment.arguments]), limit=200),
    )


def _more_fragments(run: RunSummary) -> str:
    more = len(run.fragments or ()) - _MOST_FILES
    return f"{words.counted(more, 'run', 'runs')} more in the certificate." if more > 0 else ""
