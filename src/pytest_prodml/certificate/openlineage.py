"""A certificate -> the OpenLineage event of the run that made it.

The run is the certification: its inputs are the data and the model that were measured, each with the gates as
assertions; its facets name the certificate, by which everything else can be asked for.

References
----------
OpenLineage 2-0-2: https://openlineage.io/spec/2-0-2/OpenLineage.json
"""

from __future__ import annotations

from pytest_prodml.codec import canonical_json, format_time
from pytest_prodml.records import Certificate, JsonValue, Outcome, Readiness, Subject, Verdict

_SPECIFICATION = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_ASSERTIONS = (
    "https://openlineage.io/spec/facets/1-0-1/DataQualityAssertionsDatasetFacet.json"
    "#/$defs/DataQualityAssertionsDatasetFacet"
)
_VERSION = (
    "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json"
    "#/$defs/DatasetVersionDatasetFacet"
)
_FAILURE = "https://openlineage.io/spec/facets/1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet"
_BASE = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunFacet"
_PRODUCER = "https://github.com/pytest-prodml/pytest-prodml"
NAMESPACE = "pytest-prodml"


def run_event(certificate: Certificate, payload_digest: str) -> bytes:
    """Return the event as canonical JSON: COMPLETE for a model that is ready, FAIL for one that is not.

    A gate that is not passed, or passed by a waiver only, is an assertion that does not hold.

    Parameters
    ----------
    certificate : Certificate
        Of the run.
    payload_digest : str
        SHA-256 of its signed payload, lowercase hex.
    """
    decision = certificate.decision
    is_ready = decision.outcome is not Readiness.NOT_READY
    facets: dict[str, JsonValue] = {
        "prodml_certificate": {
            **_facet(_BASE),
            "id": certificate.id,
            "sha256": payload_digest,
            "outcome": decision.outcome.value,
            "policy": f"{certificate.policy.name} {certificate.policy.version}",
            "policyDigest": decision.policy_digest,
            "expiresAt": format_time(certificate.expires_at),
        }
    }
    if not is_ready:
        blocked = [verdict.gate_id for verdict in decision.verdicts if not _holds(verdict)]
        facets["errorMessage"] = {
            **_facet(_FAILURE),
            "message": f"not ready: {', '.join(blocked[:20])}" if blocked else "not ready",
            "programmingLanguage": "Python",
        }
    assertions: list[JsonValue] = [
        {"assertion": verdict.gate_id, "success": _holds(verdict)} for verdict in decision.verdicts
    ]
    inputs: list[JsonValue] = [
        _dataset(subject, {"dataQualityAssertions": {**_facet(_ASSERTIONS), "assertions": assertions}})
        for subject in certificate.subjects
    ]
    inputs += [_dataset(material, {}) for material in certificate.materials]
    event: dict[str, JsonValue] = {
        "eventType": "COMPLETE" if is_ready else "FAIL",
        "eventTime": format_time(certificate.issued_at),
        "producer": _PRODUCER,
        "schemaURL": _SPECIFICATION,
        "run": {"runId": certificate.id, "facets": facets},
        "job": {
            "namespace": NAMESPACE,
            "name": f"certify {certificate.model_name}",
            "facets": {},
        },
        "inputs": inputs,
        "outputs": [],
    }
    return canonical_json(event)


def _facet(schema: str) -> dict[str, JsonValue]:
    return {"_producer": _PRODUCER, "_schemaURL": schema}


def _holds(verdict: Verdict) -> bool:
    return verdict.outcome is Outcome.PASS


def _dataset(subject: Subject, input_facets: dict[str, JsonValue]) -> dict[str, JsonValue]:
    version = {**_facet(_VERSION), "datasetVersion": f"sha256:{subject.digest['sha256']}"}
    return {
        "namespace": NAMESPACE,
        "name": subject.name,
        "facets": {"version": version},
        "inputFacets": input_facets,
    }
