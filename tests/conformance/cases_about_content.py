"""Rows A and E of the must-reject table: another artefact, or evidence that does not carry the decision."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from certificate_factory import NOW, measurement, policy, signed
from conformance.make import POLICY, SHARED, Case, Table
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.digest import subject_of
from pytest_prodml.certificate.statement import certificate_payload
from pytest_prodml.codec import canonical_json
from pytest_prodml.records import Policy, Provenance, RunState, Subject

MODEL = f"{SHARED}/model.onnx"


def cases(table: Table) -> list[Case]:
    """Return the cases."""
    return [*_files(table), *_directories(table), *_digests(table), *_forged(table), *_honest(table)]


def _files(table: Table) -> Iterator[Case]:
    good = issue(table.small(), [table.key()])
    model = table.model.read_bytes()
    changed = {
        "another": b"another model",
        "byte": bytes([model[0] ^ 1]) + model[1:],
        "cut": model[:-1],
        "longer": model + b"\0",
        "empty": b"",
    }
    for name, data in changed.items():
        yield Case(name=f"a01-model-{name}", row="A01", what=f"Another file is presented: {name}",
                   certificate=good, models=["model.onnx"], files={"model.onnx": data},
                   codes=["subject-differs"], exit_code=13)  # fmt: skip
    yield Case(name="a03-model-missing", row="A03", what="The presented file is not there", certificate=good,
               models=["missing.onnx"], codes=["subject-unreadable"], exit_code=13)  # fmt: skip
    yield Case(name="a02-other-name", row="A02", what="The right bytes under a name nobody certified",
               certificate=good, models=[f"encoder={MODEL}"], codes=["subject-name"], exit_code=13)  # fmt: skip
    yield Case(name="a02-right-name", row="A02", what="The right bytes under their name", certificate=good,
               models=[f"model.onnx={MODEL}"])  # fmt: skip
    yield Case(name="a02-renamed-file", row="A02", what="The right bytes in a file of another name",
               certificate=good, models=["v2.onnx"], files={"v2.onnx": model})  # fmt: skip
    yield Case(name="a12-one-more", row="A12", what="A side file that nobody certified is presented as well",
               certificate=good, models=[MODEL, "adapter.bin"], files={"adapter.bin": b"adapter"},
               codes=["subject-differs"], exit_code=13)  # fmt: skip
    side = Subject(name="tokenizer.json", digest=subject_of_bytes(b"{}"))
    both = issue(table.small(subjects=(table.subject(), side)), [table.key()])
    yield Case(name="a12-both", row="A12", what="Two certified files, both presented", certificate=both,
               models=[MODEL, "tokenizer.json"], files={"tokenizer.json": b"{}"})  # fmt: skip
    yield Case(name="a12-one-of-two", row="A12", what="One of two certified files is not presented",
               certificate=both, codes=["subject-missing"], exit_code=13)  # fmt: skip
    yield Case(name="a12-same-twice", row="A12", what="One of two certified files is presented twice",
               certificate=both, models=[MODEL, MODEL], codes=["subject-missing"], exit_code=13)  # fmt: skip
    yield Case(name="a02-names-swapped", row="A02", what="Two certified files under each other's name",
               certificate=both, models=[f"tokenizer.json={MODEL}", "model.onnx=tokenizer.json"],
               files={"tokenizer.json": b"{}"}, codes=["subject-differs"], exit_code=13)  # fmt: skip
    rows = Subject(name="test.csv", digest=subject_of_bytes(b"a,b\n"))
    with_data = issue(table.small(materials=(rows,)), [table.key()])
    yield Case(name="a11-data-presented", row="A11", what="The test data are presented instead of the model",
               certificate=with_data, models=["test.csv"], files={"test.csv": b"a,b\n"},
               codes=["subject-differs"], exit_code=13)  # fmt: skip


def subject_of_bytes(data: bytes) -> dict[str, str]:
    """Return the digest of a file's bytes."""
    import hashlib

    return {"sha256": hashlib.sha256(data).hexdigest()}


def _directories(table: Table) -> Iterator[Case]:
    tree = table.root / "tree"
    subject = subject_of(tree)
    good = issue(table.small(subjects=(subject,)), [table.key()])
    config, weights = (tree / "config.json").read_bytes(), (tree / "weights" / "0.bin").read_bytes()
    same = {"tree/config.json": config, "tree/weights/0.bin": weights}
    lines = "".join(
        f"{subject_of_bytes(data)['sha256']}  {name}\n"
        for name, data in {"config.json": config, "weights/0.bin": weights}.items()
    )

    def case(name: str, what: str, files: Mapping[str, bytes], code: str | None = "subject-differs") -> Case:
        return Case(name=name, row=name[:3].upper(), what=what, certificate=good, models=["tree"], files=files,
                    codes=[code] if code else [], exit_code=13 if code else 0)  # fmt: skip

    yield Case(name="a04-directory", row="A04", what="A directory as it was certified", certificate=good,
               models=[f"{SHARED}/tree"])  # fmt: skip
    yield case("a04-directory-copied", "A copy of the certified directory", same, None)
    yield case("a03-file-changed", "One byte of a file differs", {**same, "tree/config.json": config[1:]})
    yield case("a03-file-missing", "A file is missing", {"tree/config.json": config})
    for name, path in {
        "module": "modeling.py", "library": "weights/custom_ops.so", "hidden": ".hidden",
        "below-git-like": ".hg/evil.py", "empty": "empty", "certificate": "certificate.html",
    }.items():  # fmt: skip
        yield case(f"a04-extra-{name}", f"A file was added: {path}", {**same, f"tree/{path}": b""})
    yield case("a05-contents-swapped", "Two files have each other's content",
               {"tree/config.json": weights, "tree/weights/0.bin": config})  # fmt: skip
    yield case("a05-renamed", "A file was renamed", {"tree/a.json": config, "tree/weights/0.bin": weights})
    yield case("a05-moved", "A file was moved to the top",
               {"tree/config.json": config, "tree/0.bin": weights})  # fmt: skip
    yield case("a07-case-collision", "Two names differ only in case", {**same, "tree/CONFIG.json": config},
               "subject-unreadable")  # fmt: skip
    for name, path in {
        "backslash": "weights\\0.bin", "device": "con.json", "trailing-dot": "config.json.",
        "decomposed": "u\u0308.bin", "bidirectional": "\u202egnp.bin",
    }.items():  # fmt: skip
        yield case(f"a07-name-{name}", f"A name that can be read in two ways: {name}",
                   {**same, f"tree/{path}": b"x"}, "subject-unreadable")  # fmt: skip
    yield Case(name="a05-manifest-for-directory", row="A05", what="The manifest stands in for its directory",
               certificate=good, models=["MANIFEST"], files={"MANIFEST": lines.encode()},
               codes=["subject-kind"], exit_code=13)  # fmt: skip
    manifest = Subject(name="tree", digest=subject.digest)
    yield Case(name="a05-directory-for-manifest", row="A05", what="A directory stands in for its manifest",
               certificate=issue(table.small(subjects=(manifest,)), [table.key()]), models=[f"{SHARED}/tree"],
               codes=["subject-kind"], exit_code=13)  # fmt: skip
    lying = replace(subject, digest={"sha256": "0" * 64})
    yield Case(name="a07-annotations-lie", row="A07", what="The annotations list the files, the digest is another",
               certificate=issue(table.small(subjects=(lying,)), [table.key()]), models=[f"{SHARED}/tree"],
               codes=["subject-differs"], exit_code=13)  # fmt: skip
    listing: Any = [{"path": "../../etc/passwd", "size": 1, "sha256": "0" * 64}]
    tricked = replace(lying, annotations={**subject.annotations, "files": listing})
    yield Case(name="a07-path-in-annotations", row="A07", what="The annotations name a file outside",
               certificate=issue(table.small(subjects=(tricked,)), [table.key()]), models=[f"{SHARED}/tree"],
               codes=["subject-differs"], exit_code=13)  # fmt: skip


def _digests(table: Table) -> Iterator[Case]:
    document = json.loads(certificate_payload(table.small()))
    subject = document["subject"][0]
    digest = subject["digest"]["sha256"]
    lists: dict[str, list[Any]] = {
        "upper-case": [{**subject, "digest": {"sha256": digest.upper()}}],
        "short": [{**subject, "digest": {"sha256": digest[:63]}}],
        "long": [{**subject, "digest": {"sha256": digest + "0"}}],
        "sha1": [{**subject, "digest": {"sha1": "0" * 40}}],
        "md5": [{**subject, "digest": {"md5": "0" * 32}}],
        "sha1-beside": [{**subject, "digest": {"sha1": "0" * 40, "sha256": digest}}],
        "empty": [{**subject, "digest": {}}],
        "algorithm-upper-case": [{**subject, "digest": {"SHA256": digest}}],
        "prefix": [{**subject, "digest": {"sha256": "sha256:" + digest[7:]}}],
        "list": [{**subject, "digest": {"sha256": [digest]}}],
        "no-subject": [],
        "subject-twice": [subject, subject],
        "digest-twice": [subject, {**subject, "name": "copy.onnx"}],
        "name-twice": [subject, {**subject, "digest": {"sha256": "1" * 64}}],
        "without-name": [{"digest": subject["digest"]}],
        "name-empty": [{**subject, "name": ""}],
        "name-zero-width": [{**subject, "name": "model\u200b.onnx"}],
        "name-nul": [{**subject, "name": "model\0.onnx"}],
        "name-decomposed": [{**subject, "name": "u\u0308.onnx"}],
        "unknown-field": [{**subject, "trusted": True}],
        "wildcard": [{**subject, "digest": {"sha256": "*"}}],
    }
    for name, subjects in lists.items():
        payload = canonical_json({**document, "subject": subjects})
        yield Case(name=f"a08-digest-{name}", row="A08", what=f"The subjects are in a form of their own: {name}",
                   certificate=signed(table, payload), codes=["statement"], exit_code=11)  # fmt: skip


def _forged(table: Table) -> Iterator[Case]:
    """Yield statements that a trusted key signed although they contradict themselves."""
    failing = json.loads(certificate_payload(table.small(auc=0.5)))
    passing = json.loads(certificate_payload(table.small()))

    def edit(document: Any, change: Callable[[Any], object]) -> bytes:
        copy = json.loads(json.dumps(document))
        change(copy["predicate"])
        return signed(table, canonical_json(copy))

    def measured(**changes: Any) -> Callable[[Any], object]:
        return lambda p: p["runs"][0]["evidence"]["measurements"][0].update(changes)

    def run(**changes: Any) -> Callable[[Any], object]:
        return lambda p: p["runs"][0].update(changes)

    edits: dict[str, tuple[Any, Callable[[Any], object]]] = {
        "p07-outcome-forged": (failing, lambda p: p["decision"].update(outcome="READY")),
        "p07-decision-of-another-run": (failing, lambda p: p.update(decision=passing["predicate"]["decision"])),
        "p07-verdict-edited": (failing, lambda p: p["decision"]["verdicts"][0].update(outcome="pass")),
        "p07-not-required": (failing, lambda p: p["decision"]["verdicts"][0].update(required=False)),
        "p07-waiver-invented": (failing, lambda p: p["decision"]["verdicts"][0].update(waiverId="w-1")),
        "p07-verdicts-emptied": (passing, lambda p: p["decision"].update(verdicts=[])),
        "p07-policy-digest": (passing, lambda p: p["decision"].update(policyDigest="0" * 64)),
        "p07-run-id": (passing, lambda p: p["decision"].update(runId="another")),
        "p09-policy-weakened": (failing, lambda p: p["policy"].update(requiredGates=["pipeline.*"])),
        "p09-policy-emptied": (
            passing, lambda p: p["policy"].update(requiredGates=[], requiredDimensions=[])
        ),
        "p09-level-lowered": (passing, lambda p: p["policy"].update(confidenceLevel=0.6)),
        "e14-value-edited": (passing, measured(value=0.99)),
        "e14-bounds-edited": (passing, measured(lower=0.1, upper=0.2)),
        "e14-lower-edited": (passing, measured(lower=0.7)),
        "e14-no-lower-bound": (passing, measured(lower=None)),
        "e14-value-missing": (passing, measured(value=None)),
        "e14-level-lowered": (passing, measured(confidenceLevel=0.5)),
        "e14-level-of-two": (passing, measured(confidenceLevel=2.0)),
        "e14-no-rows": (passing, measured(nSamples=0)),
        "e14-negative-rows": (passing, measured(nSamples=-5)),
        "e14-other-metric": (passing, measured(metric="f1_score")),
        "e14-other-group": (passing, measured(group="men")),
        "e14-no-measurement": (passing, lambda p: p["runs"][0]["evidence"].update(measurements=[])),
        "e14-no-criterion": (passing, lambda p: p["runs"][0]["evidence"].update(criteria=[])),
        "e14-other-gate": (passing, lambda p: p["runs"][0]["evidence"].update(gateId="fairness.age")),
        "e14-no-evidence": (passing, lambda p: p["runs"][0].pop("evidence")),
        "e17-gate-removed": (passing, lambda p: p.update(gates=[])),
        "e17-gate-twice": (passing, lambda p: p["gates"].append(p["gates"][0])),
        "e17-gate-renamed": (passing, lambda p: p["gates"][0].update(id="performance.other")),
        "e17-other-dimension": (passing, lambda p: p["gates"][0].update(dimension="fairness")),
        "e02-run-removed": (passing, lambda p: p.update(runs=[])),
        "e02-inventory-incomplete": (passing, lambda p: p["run"].update(inventoryComplete=False)),
        "e10-evidence-of-another-model": (
            passing,
            lambda p: p["runs"][0]["evidence"]["subjects"][0]["digest"].update(sha256="0" * 64),
        ),
        "e10-evidence-of-no-model": (passing, lambda p: p["runs"][0]["evidence"].update(subjects=[])),
        "e08-second-run-failed": (
            passing, lambda p: p["runs"].append({**p["runs"][0], "state": "failed"})
        ),
        "e05-ordinary-test-failed": (passing, lambda p: p["run"].update(ordinaryTests={"failed": 1})),
        "e05-ordinary-test-crashed": (passing, lambda p: p["run"].update(ordinaryTests={"crashed": 1})),
        **{
            f"e04-{state.value.replace('_', '-')}": (passing, run(state=state.value))
            for state in RunState
            if state is not RunState.PASSED
        },
    }  # fmt: skip
    for name, (document, change) in edits.items():
        yield Case(name=name, row=name[:3].upper(),
                   what=f"Evidence and stated decision disagree, and a trusted key signed it: {name[4:]}",
                   certificate=edit(document, change), codes=["decision"], exit_code=17)  # fmt: skip


def _honest(table: Table) -> Iterator[Case]:
    """Yield certificates that are right and do not suffice."""

    def refused(name: str, what: str, code: str, exit_code: int, certificate: Any, **options: Any) -> Case:
        return Case(name=name, row=name[:3].upper(), what=what, certificate=issue(certificate, [table.key()]),
                    codes=[code], exit_code=exit_code, **options)  # fmt: skip

    good = table.small()
    for name, auc in {"failed": 0.5, "inconclusive": 0.771}.items():
        yield refused(f"p07-honest-{name}", f"The certificate itself says NOT_READY: {name}", "not-ready", 1,
                      table.small(auc=auc))  # fmt: skip
    for state in ("skipped", "xfailed", "xpassed", "deselected", "not_run", "errored"):
        runs = (replace(good.runs[0], state=RunState(state)),)
        yield refused(f"e04-honest-{state.replace('_', '-')}", f"The required gate's test was {state}",
                      "not-ready", 1, table.small(runs=runs))  # fmt: skip
    yield refused("e01-nothing-collected", "No gate was collected at all", "not-ready", 1,
                  _without_gates(table))  # fmt: skip
    stricter = {
        "limit": POLICY + '\n[[limit]]\ngate = "performance.auc"\nmetric = "roc_auc"\nat_least = 0.9\n',
        "gate": POLICY.replace('gates = ["performance.auc"]', 'gates = ["performance.auc", "fairness.age"]'),
        "dimension": POLICY.replace("[require]", '[require]\ndimensions = ["fairness"]'),
        "level": POLICY.replace("confidence_level = 0.95", "confidence_level = 0.99"),
    }
    for name, text in stricter.items():
        yield refused(f"p09-gate-stricter-{name}", f"The gate's policy asks for more: {name}", "policy", 15, good,
                      policy=text)  # fmt: skip
    empty = 'name = "empty"\nversion = "1"\n'
    yield refused(
        "p09-gate-empty-policy", "The gate's policy requires nothing", "usage", 2, good, policy=empty
    )
    yield refused("p09-issued-under-empty-policy", "Issued under a policy that requires nothing", "not-ready", 1,
                  table.small(policy=Policy(name="empty", version="1")))  # fmt: skip
    guard = POLICY.replace('validity = "90d"', 'validity = "90d"\nburden = "violation"')
    yield refused("p09-issued-under-guard-policy", "Issued under a policy that asks nobody for proof",
                  "policy-guard", 15, table.small(policy=policy(guard)))  # fmt: skip
    yield refused("p09-gate-guard-policy", "The gate's policy asks nobody for proof", "policy-guard", 15, good,
                  policy=guard)  # fmt: skip
    yield refused("p09-guard-policy-inconclusive", "Only not proven bad, under a policy for pull requests",
                  "policy-guard", 15, table.small(policy=policy(guard), auc=0.771), policy=guard)  # fmt: skip
    for name, text in {"not-toml": "name = ", "unknown-key": POLICY + "\n[skip]\n", "missing": ""}.items():
        yield refused(f"p09-gate-policy-{name}", f"The gate's policy can not be read: {name}", "usage", 2, good,
                      policy=text)  # fmt: skip
    clean = POLICY + "\n[provenance]\nallow_dirty = false\n"
    for name, found in {
        "dirty": Provenance(revision="a" * 40, is_dirty=True),
        "unknown": Provenance(problem="no repository"),
        "missing": None,
    }.items():
        certificate = table.small(run=replace(good.run, provenance=found))
        yield refused(f"e13-{name}", f"The gate asks for a clean revision: {name}", "policy", 15, certificate,
                      policy=clean)  # fmt: skip
    revision = Provenance(revision="a" * 40, is_dirty=False)
    yield Case(name="e13-clean", row="E13", what="The gate asks for a clean revision and gets it",
               certificate=issue(table.small(run=replace(good.run, provenance=revision)), [table.key()]),
               policy=clean)  # fmt: skip
    yield Case(name="p09-gate-other-name", row="P09", what="The gate's policy has another name and asks the same",
               certificate=issue(good, [table.key()]),
               policy=POLICY.replace("conformance", "another"))  # fmt: skip
    before = good.runs[0].evidence
    if before is None:
        raise ValueError(good.runs)
    wide = replace(before, measurements=(measurement(0.9, 0.1),))
    yield Case(name="p09-gate-limit-met", row="P09", what="The gate's policy has a limit of its own that is met",
               certificate=issue(good, [table.key()]),
               policy=stricter["limit"].replace("0.9\n", "0.77\n"))  # fmt: skip
    honest = table.small(runs=(replace(good.runs[0], evidence=wide),), issued_at=NOW)
    yield Case(name="e14-wide-interval-passes", row="E14", what="A wide interval that stays above the limit",
               certificate=issue(honest, [table.key()]))  # fmt: skip


def _without_gates(table: Table) -> Any:
    from conformance.make import PRODUCER

    made = table.build(policy=policy(POLICY), gates=(), runs=(), materials=(), environments={})
    return replace(made, producer=PRODUCER)
