"""What a test names as its baseline -> a model to run beside the candidate, or the signed record of another.

A baseline is another model (an object, a file), the name of a simple model that is trained here, or the
certificate of an earlier model. The numbers of a certificate count only after a trusted key vouches for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pytest_prodml.certificate.dsse import INTOTO_PAYLOAD_TYPE, parse_envelope
from pytest_prodml.certificate.statement import read_certificate
from pytest_prodml.codec import format_time, sha256_hex
from pytest_prodml.errors import ConfigurationError, InputError
from pytest_prodml.plugin.context import Context
from pytest_prodml.plugin.subjects import ModelOnData
from pytest_prodml.plugin.verdicts import Tail
from pytest_prodml.records import (
    Certificate,
    Dimension,
    Evidence,
    JsonValue,
    Measurement,
    RunState,
    Subject,
)
from pytest_prodml.verify.trust import check_signatures, load_keys

if TYPE_CHECKING:
    from pytest_prodml.adapters.predictor import Predictor
    from pytest_prodml.checks.performance import Metric, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBaseline:
    """A model that answers the same rows as the candidate."""

    name: str
    predictor: Predictor


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBaseline:
    """An earlier certificate, vouched for by `signers` (key ids); `material` identifies its file."""

    name: str
    certificate: Certificate
    signers: tuple[str, ...]
    material: Subject


Baseline: TypeAlias = ModelBaseline | RecordBaseline


def resolve_baseline(
    spec: object,
    context: Context,
    *,
    reference: Callable[[], object],
    columns: Iterable[str],
    keys: Sequence[str | Path] = (),
) -> Baseline:
    """Turn what a test names into a baseline.

    Parameters
    ----------
    spec : object
        A kind of simple model ("majority", "prior", "logistic", "mean", "median"), a path that ends in
        ``.json`` (a certificate), or a model: any object an adapter knows, or its path.
    context : Context
        Predictions, tables and settings of the session.
    reference : callable
        Gives the training data, for simple models only.
    columns : iterable of str
        The columns of the rows that will be predicted: a simple model uses no others.
    keys : sequence of paths, optional
        Public keys that may vouch for a certificate; default ``baseline_keys`` of the configuration.

    Raises
    ------
    ConfigurationError
        If a certificate is named and no key is.
    InputError
        If a certificate is not signed by enough of the keys, or can not be read.
    """
    __tracebackhide__ = True
    from pytest_prodml.checks.performance.simple_models import SIMPLE_MODELS

    if isinstance(spec, str) and spec in SIMPLE_MODELS:
        return _simple(spec, context, reference(), columns)
    if isinstance(spec, (str, Path)) and str(spec).endswith(".json"):
        trusted = tuple(map(str, keys)) or context.settings.baseline_keys
        return _record(context.settings.at(str(spec)), context, trusted)
    predictor = context.predictor(spec)
    name = predictor.description if predictor.subject is None else predictor.subject.name
    return ModelBaseline(name=name, predictor=predictor)


def _simple(kind: str, context: Context, reference: object, columns: Iterable[str]) -> ModelBaseline:
    __tracebackhide__ = True
    from pytest_prodml.checks.performance.simple_models import SIMPLE_MODELS, simple_baseline

    dataset = context.dataset(reference, "reference")
    target = dataset.target
    if target is None:
        raise InputError(
            f"has no labels, so the simple model {kind!r} can not be trained on it",
            where="reference data",
            hint='name their column: target = "..." under [tool.prodml.data], or return an (X, y) pair',
        )
    known = set(columns)
    shared = [name for name in dataset.frame.columns if name in known]

    def train(*_: object) -> Predictor:
        return simple_baseline(
            kind,
            dataset.frame[shared],
            target,
            positive_label=context.settings.model.positive_label,
            seed=context.settings.seed,
        )

    trained = context.once(f"simple model {kind} on {shared}", train, dataset)
    return ModelBaseline(name=f"{kind}: {SIMPLE_MODELS[kind]}", predictor=trained)


def _record(path: Path, context: Context, keys: Sequence[str]) -> RecordBaseline:
    """Read a certificate whose signature has been checked; nothing in it is looked at before."""
    __tracebackhide__ = True
    if not keys:
        raise ConfigurationError(
            "no key vouches for a certificate as the baseline",
            where=str(path),
            hint='name its public key: baseline_keys = ["keys/ci.pub"], or keys=[...] in the test',
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"can not be read: {error.strerror}", where=str(path)) from None
    envelope = parse_envelope(data, where=str(path))
    minimum = context.policy.min_signatures if context.policy else 1
    signers, refused = check_signatures(envelope, load_keys(map(context.settings.at, keys)), minimum)
    if refused is not None:
        raise InputError(
            refused.message, where=str(path), hint="a baseline nobody vouches for proves nothing"
        )
    if envelope.payload_type != INTOTO_PAYLOAD_TYPE:
        raise InputError("the signed content is no certificate", where=str(path))
    certificate = read_certificate(envelope.payload)
    return RecordBaseline(
        name=f"{certificate.model_name} {certificate.model_version} ({path.name})",
        certificate=certificate,
        signers=tuple(key.keyid for key in signers),
        material=Subject(
            name=path.name, digest={"sha256": sha256_hex(data)}, media_type="application/vnd.in-toto+json"
        ),
    )


def recorded_measurement(certificate: Certificate, metric: str, *, gate: str | None = None) -> Measurement:
    """Return what a certificate measured of its model: the metric over all rows.

    Parameters
    ----------
    certificate : Certificate
    metric : str
    gate : str, optional
        Of which gate; needed where its gates measured different values.

    Raises
    ------
    InputError
        If it holds none, or several that differ.
    """
    dimensions = {item.id: item.dimension for item in certificate.gates}
    found: dict[str, Measurement] = {}
    for run in certificate.runs:
        finished = run.evidence is not None and run.state in {RunState.PASSED, RunState.FAILED}
        if not finished or dimensions.get(run.gate_id) is not Dimension.PERFORMANCE:
            continue
        for measured in run.evidence.measurements if run.evidence else ():
            own = measured.group is None or measured.group == "candidate"
            if own and measured.metric == metric and measured.value is not None:
                found[run.gate_id] = replace(measured, group=None)
    if gate is not None:
        found = {name: measured for name, measured in found.items() if name == gate}
    where = f"certificate of {certificate.model_name} {certificate.model_version}"
    if not found:
        wanted = "" if gate is None else f" in the gate {gate!r}"
        raise InputError(f"holds no value of {metric}{wanted}", where=where)
    values = {(measured.value, measured.lower, measured.upper) for measured in found.values()}
    if len(values) > 1:
        raise InputError(
            f"holds {len(values)} different measurements of {metric}",
            where=where,
            hint=f"name the gate: {', '.join(map(repr, sorted(found)))}",
        )
    return next(iter(found.values()))


def compare(
    metric: str | Metric,
    candidate: ModelOnData,
    baseline: Baseline,
    *,
    context: Context,
    sample_of: Callable[[ModelOnData], Sample],
    margin: float,
    by_at_least: float | None,
    gate: str | None = None,
    tail: Tail,
) -> Evidence:
    """Run the comparison that fits the baseline: row by row, or against its record.

    `sample_of` gives a model's answers on the test rows; `gate` names the one whose record counts. The
    evidence names the certificate among its materials, or the baseline's artefact among its details.
    """
    __tracebackhide__ = True
    from pytest_prodml.checks.metrics.limit import resolved
    from pytest_prodml.checks.performance.paired import against_record, not_worse_than

    own = candidate.predictor.subject
    if isinstance(baseline, ModelBaseline):
        other = ModelOnData(context, baseline.predictor, candidate.dataset)
        return not_worse_than(
            metric,
            sample_of(candidate),
            sample_of(other),
            margin=margin,
            by_at_least=by_at_least,
            baseline_name=baseline.name,
            candidate_subject=own,
            baseline_subject=baseline.predictor.subject,
            **tail,
        )
    certificate = baseline.certificate
    name = resolved(metric)[0]
    evidence = against_record(
        metric,
        sample_of(candidate),
        recorded_measurement(certificate, name, gate=gate),
        margin=margin,
        by_at_least=by_at_least,
        baseline_name=baseline.name,
        candidate_subject=own,
        recorded_subject=_same_subject(own, certificate.subjects),
        **tail,
    )
    told: dict[str, JsonValue] = {
        "baseline_certificate": certificate.id,
        "baseline_decision": certificate.decision.outcome.value,
        "baseline_issued_at": format_time(certificate.issued_at),
        "baseline_signers": list(baseline.signers),
        "baseline_measured_on_the_same_data": _same_material(candidate, certificate),
    }
    return replace(evidence, details={**evidence.details, **told}, materials=(baseline.material,))


def _same_subject(own: Subject | None, certified: Sequence[Subject]) -> Subject | None:
    """Return the certified artefact that is the candidate itself, else the first one."""
    same = (item for item in certified if own is not None and item.digest == own.digest)
    return next(same, certified[0] if certified else None)


def _same_material(candidate: ModelOnData, certificate: Certificate) -> bool:
    material = candidate.dataset.material
    return material is not None and any(item.digest == material.digest for item in certificate.materials)
