"""Certificates of merged runs (rows E10 to E13): what their fragments say counts, and no run log is a certificate."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from certificate_factory import ENVIRONMENT, NOW, payload_of, signed
from conformance.make import POLICY, Case, Table
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.document import sign_record
from pytest_prodml.certificate.dsse import envelope_json
from pytest_prodml.certificate.runlog import SEAL_TYPE, LogSeal, SealedLog
from pytest_prodml.codec import canonical_json, dumps, sha256_hex
from pytest_prodml.records import ContinuousIntegration, Fragment

GITHUB = ContinuousIntegration(provider="github-actions", project="org/credit")
TARGETS = (
    POLICY.replace("[require]", '[require]\ntargets = ["cpu", "gpu"]')
    + """
[targets.cpu]
machine = "x86_64"

[targets.gpu]
processor = "Example*"
"""
)
AUTOMATION = POLICY + '\n[provenance]\nautomation = ["github-actions:org/*"]\n'


def fragment(name: str, **changes: Any) -> Fragment:
    made = Fragment(
        name=name,
        digest={"sha256": sha256_hex(name.encode())},
        run_id=sha256_hex(name.encode())[:32],
        started_at=NOW,
        ended=True,
        signed_by=("c" * 64,),
    )
    return replace(made, **changes)


def cases(table: Table) -> list[Case]:
    """Return the cases."""
    return [*_merged(table), *_run_logs(table)]


def _merged(table: Table) -> Iterator[Case]:
    run = table.small().run

    def certificate(*fragments: Fragment, made: Mapping[str, Any] | None = None, **changes: Any) -> bytes:
        whole = replace(run, fragments=fragments, **changes)
        return issue(table.small(run=whole, **(made or {})), [table.key()])

    yield Case(name="e10-merged", row="E10", what="Two runs were merged",
               certificate=certificate(fragment("1/2"), fragment("2/2")))  # fmt: skip
    interrupted = certificate(fragment("1/2"), fragment("2/2", ended=False))
    yield Case(name="e12-merged-interrupted", row="E12", what="One of the merged runs was interrupted",
               certificate=interrupted, codes=["not-ready"], exit_code=1)  # fmt: skip
    document = payload_of(interrupted)
    document["predicate"]["decision"] = payload_of(certificate(fragment("1/2"), fragment("2/2")))[
        "predicate"
    ]["decision"]
    yield Case(name="e12-merged-interrupted-forged", row="E12", codes=["decision"], exit_code=17,
               what="One of the merged runs was interrupted, and the decision says ready",
               certificate=signed(table, canonical_json(document)))  # fmt: skip
    document = payload_of(certificate(fragment("1/2"), fragment("2/2")))
    document["predicate"]["run"]["fragments"][1]["verdict"] = "pass"
    yield Case(name="e12-merged-unknown-field", row="E12", what="A fragment has a field that no version knows",
               certificate=signed(table, canonical_json(document)), codes=["statement"], exit_code=11)  # fmt: skip
    both = (fragment("a", target="cpu"), fragment("b", target="gpu"))
    [ran] = table.small().runs
    by_both = {
        "runs": (replace(ran, worker="a"), replace(ran, worker="b:gw0")),
        "environments": {"e" * 64: ENVIRONMENT},
    }
    yield Case(name="e10-merged-targets", row="E10", policy=TARGETS, certificate=certificate(*both, made=by_both),
               what="The gate asks for targets, and each run was on one of them")  # fmt: skip
    yield Case(name="e10-merged-targets-foreign", row="E10", policy=TARGETS.replace("Example*", "Other*"),
               what="The gate asks for targets, and one of the runs was on another machine than it declared",
               certificate=certificate(*both, made=by_both), codes=["policy"], exit_code=15)  # fmt: skip
    yield Case(name="e10-merged-of-no-run", row="E10", policy=TARGETS, codes=["policy"], exit_code=15,
               what="The gate asks for targets, and of which run the evidence is can not be told",
               certificate=certificate(*both, made={"environments": {"e" * 64: ENVIRONMENT}}))  # fmt: skip
    yield Case(name="e10-merged-unsigned", row="E10", codes=["policy"], exit_code=15,
               policy=POLICY.replace("[require]", "[require]\nsigned_fragments = true"),
               what="The gate asks for runs that their hosts signed, and one is not",
               certificate=certificate(fragment("a"), fragment("b", signed_by=())))  # fmt: skip
    for name, target in {"other": "laptop", "none": None}.items():
        yield Case(name=f"e10-merged-target-{name}", row="E10", policy=TARGETS, codes=["policy"], exit_code=15,
                   what=f"The gate asks for targets, and one of the runs was on another machine: {name}",
                   certificate=certificate(both[0], fragment("b", target=target), target="cpu"))  # fmt: skip
    inside = fragment("a", automation=GITHUB)
    yield Case(name="e13-merged-automation", row="E13", policy=AUTOMATION, what="Each run was made by the build system",
               certificate=certificate(inside, fragment("b", automation=GITHUB)))  # fmt: skip
    yield Case(name="e13-merged-one-outside", row="E13", policy=AUTOMATION, codes=["policy"], exit_code=15,
               what="One of the runs was made outside of the build system",
               certificate=certificate(inside, fragment("b")))  # fmt: skip


def _run_logs(table: Table) -> Iterator[Case]:
    head = json.dumps({"kind": "run", "version": 2, "runId": "a" * 32}).encode() + b"\n"
    sealed = SealedLog(run_id="a" * 32, digest={"sha256": sha256_hex(head)})
    envelope = envelope_json(sign_record(sealed, SEAL_TYPE, [table.key()]))
    seal = dumps(LogSeal(envelope=envelope.decode())).encode() + b"\n"
    yield Case(name="e12-run-log", row="E12", what="A run log in place of a certificate", certificate=head + seal,
               codes=["malformed"], exit_code=11)  # fmt: skip
    yield Case(name="e12-seal", row="E12", what="The seal of a run log, which a trusted key did sign",
               certificate=envelope, codes=["payload-type"], exit_code=11)  # fmt: skip
