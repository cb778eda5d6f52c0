"""Rows E of the must-reject table: a run that left something out, and an issuer who made the rest fit.

Other than in `cases_about_content`, the decision in these certificates follows from what they hold: whoever
signed them took the tests away and decided again, under a policy that does not ask for them. What refuses is
the policy of the gate, or the record itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from certificate_factory import ENVIRONMENT, GATES, RUN, gate_runs, policy
from conformance.make import POLICY, PRODUCER, Case, Table
from pytest_prodml.certificate.build import issue
from pytest_prodml.records import (
    Certificate,
    Comparison,
    Criterion,
    Dimension,
    Environment,
    Evidence,
    Gate,
    GateRun,
    HardwareTarget,
    Measurement,
    RunState,
    Severity,
)

#: What a project that wants to pass writes for itself: one gate that is always green.
LENIENT = POLICY.replace('gates = ["performance.auc"]', 'gates = ["pipeline.parity"]')
PARITY = GATES[2]


def cases(table: Table) -> list[Case]:
    """Return the cases."""
    return [
        *_left_out(table),
        *_renamed(table),
        *_repeated(table),
        *_whole_run(table),
        *_targets(table),
        *_groups_left_out(table),
    ]


def _case(name: str, what: str, code: str, exit_code: int, certificate: Certificate, table: Table) -> Case:
    return Case(name=name, row=name[:3].upper(), what=what, certificate=issue(certificate, [table.key()]),
                codes=[code], exit_code=exit_code)  # fmt: skip


def _small(
    table: Table, gates: list[Gate], runs: list[GateRun], text: str = LENIENT, **changes: Any
) -> Certificate:
    arguments: dict[str, Any] = {"materials": (), "environments": {}, "policy": policy(text), **changes}
    return replace(table.build(gates=tuple(gates), runs=tuple(runs), **arguments), producer=PRODUCER)


def _left_out(table: Table) -> Iterator[Case]:
    """Yield certificates that are ready by their own policy, although the gate that is asked for did not pass."""
    auc, parity = GATES[0], PARITY
    ran, _, parity_ran = gate_runs((table.subject(),))
    optional = replace(auc, severity=Severity.INFO)
    for state in RunState:
        if state is RunState.PASSED:
            continue
        evidence = ran.evidence if state is RunState.FAILED else None
        changed = replace(ran, state=state, evidence=evidence)
        yield _case(f"e04-resigned-{state.value.replace('_', '-')}",
                    f"The test was {state.value.replace('_', ' ')} and called information; decided again and signed",
                    "policy", 15, _small(table, [optional, parity], [changed, parity_ran]), table)  # fmt: skip
    yield _case("e02-resigned-without-run", "The test did not run and is called information; decided again",
                "policy", 15, _small(table, [optional, parity], [parity_ran]), table)  # fmt: skip
    yield _case("e02-resigned-without-gate", "The test was taken out of list and runs; decided again", "policy", 15,
                _small(table, [parity], [parity_ran]), table)  # fmt: skip
    yield _case("e02-resigned-own-policy-kept", "The test was taken out, and the policy of the issue asks for it",
                "not-ready", 1, _small(table, [parity], [parity_ran], POLICY), table)  # fmt: skip
    warned = replace(auc, severity=Severity.WARN)
    failed = gate_runs((table.subject(),), auc=0.5)[0]
    yield _case("e04-resigned-warning", "The test failed and is called a warning; decided again", "policy", 15,
                _small(table, [warned, parity], [failed, parity_ran]), table)  # fmt: skip


def _renamed(table: Table) -> Iterator[Case]:
    auc, parity = GATES[0], PARITY
    ran, _, parity_ran = gate_runs((table.subject(),))
    before = ran.evidence
    if before is None:
        raise ValueError(ran)

    def called(gate_id: str, dimension: Dimension = Dimension.PERFORMANCE) -> tuple[Gate, GateRun]:
        evidence: Evidence = replace(before, gate_id=gate_id)
        return (
            replace(auc, id=gate_id, dimension=dimension),
            replace(ran, gate_id=gate_id, evidence=evidence),
        )

    for name, gate_id in {
        "longer": "performance.auc2",
        "upper-case": "performance.AUC",
        "pattern": "performance.auc-train",
    }.items():
        gate, gate_run = called(gate_id)
        yield _case(f"e17-resigned-{name}", f"The gate goes by another name everywhere: {gate_id}", "policy", 15,
                    _small(table, [gate, parity], [gate_run, parity_ran]), table)  # fmt: skip
    gate, gate_run = called("fairness.auc", Dimension.FAIRNESS)
    yield _case("e17-resigned-other-dimension", "The gate goes by another dimension everywhere", "policy", 15,
                _small(table, [gate, parity], [gate_run, parity_ran]), table)  # fmt: skip
    moved = replace(ran, location="tests/test_easy.py::test_auc")
    yield Case(name="e17-moved-test", row="E17", certificate=issue(
        _small(table, [replace(auc, location=moved.location)], [moved], POLICY), [table.key()]
    ), what="The test moved to another file: the gate's id is what counts")  # fmt: skip
    easy, easy_ran = called("performance.auc_easy")
    borrowed = replace(easy_ran, gate_id="performance.auc")
    yield _case("e17-resigned-borrowed", "The gate shows the evidence of another gate", "not-ready", 1,
                _small(table, [auc, easy], [borrowed, easy_ran], POLICY), table)  # fmt: skip


def _repeated(table: Table) -> Iterator[Case]:
    """Yield runs of one gate of which the last is good: the worst counts, in every order."""
    auc = GATES[0]
    ran = gate_runs((table.subject(),))[0]
    failed = gate_runs((table.subject(),), auc=0.5)[0]
    bad = {
        "failed": replace(failed, state=RunState.FAILED),
        "crashed": replace(ran, state=RunState.CRASHED, evidence=None),
        "skipped": replace(ran, state=RunState.SKIPPED, evidence=None),
        "passed-below-the-limit": failed,
    }
    for name, worse in bad.items():
        yield _case(f"e08-honest-{name}-first", f"A rerun hides that the first was: {name}", "not-ready", 1,
                    _small(table, [auc], [worse, ran], POLICY), table)  # fmt: skip
    yield _case("e08-honest-failed-last", "The second run failed", "not-ready", 1,
                _small(table, [auc], [ran, bad["failed"]], POLICY), table)  # fmt: skip
    yield Case(name="e08-passed-twice", row="E08", what="The gate ran twice and passed twice",
               certificate=issue(_small(table, [auc], [ran, ran], POLICY), [table.key()]))  # fmt: skip


def _whole_run(table: Table) -> Iterator[Case]:
    auc = GATES[0]
    ran = gate_runs((table.subject(),))[0]
    for state in ("failed", "errored", "crashed", "timed_out"):
        run = replace(RUN, ordinary_tests={"passed": 12, state: 1})
        yield _case(f"e05-honest-ordinary-{state.replace('_', '-')}", f"A test that is no gate: {state}",
                    "not-ready", 1, _small(table, [auc], [ran], POLICY, run=run), table)  # fmt: skip
    yield _case("e02-honest-inventory-incomplete", "Nobody knows what should have run", "not-ready", 1,
                _small(table, [auc], [ran], POLICY, run=replace(RUN, inventory_complete=False)),
                table)  # fmt: skip
    narrowed = replace(RUN, arguments=("--prodml", "-k", "auc", "--deselect", "tests/test_fairness.py"))
    fairness = POLICY.replace('gates = ["performance.auc"]', 'gates = ["performance.auc", "fairness.*"]')
    yield _case("e02-narrowed-by-k", "The run was narrowed with -k, and the policy asks for what it left out",
                "not-ready", 1, _small(table, [auc], [ran], fairness, run=narrowed), table)  # fmt: skip
    yield _case("e02-resigned-narrowed-by-k", "The same, under a policy of the project's own", "policy", 15,
                _small(table, [PARITY], [gate_runs((table.subject(),))[2]], run=narrowed), table)  # fmt: skip


def _targets(table: Table) -> Iterator[Case]:
    """Yield runs on machines that stand for something else than where the model will run."""
    auc = GATES[0]
    ran = gate_runs((table.subject(),))[0]
    asks = POLICY.replace("[require]", '[require]\ntargets = ["gpu-a10", "gpu-a100"]')
    described = (
        asks + '\n[targets.gpu-a10]\nmachine = "x86_64"\n\n[targets.gpu-a100]\nprocessor = "Example*"\n'
    )
    machines = {"e" * 64: ENVIRONMENT}
    for name, target, code in (
        ("right", "gpu-a100", None),
        ("another", "laptop", "policy"),
        ("none", None, "policy"),
        ("prefix", "gpu-a1", "policy"),
        ("upper-case", "GPU-A10", "policy"),
    ):
        run = replace(RUN, target=target)
        certificate = _small(table, [auc], [ran], POLICY, run=run, environments=machines)
        yield Case(name=f"e15-target-{name}", row="E15", certificate=issue(certificate, [table.key()]),
                   what=f"The gate asks for a kind of machine, and the run was on: {target}", policy=described,
                   codes=[code] if code else [], exit_code=15 if code else 0)  # fmt: skip
    right = replace(RUN, target="gpu-a100")
    for name, what, text, environments in (
        ("undescribed", "The target is declared, and nothing says what it is", asks, machines),
        ("foreign", "The machine is not what it was declared to be",
         described.replace("Example*", "Other*"), machines),
        ("unrecorded", "The machine of the evidence is not in the certificate", described, {}),
    ):  # fmt: skip
        certificate = _small(table, [auc], [ran], POLICY, run=right, environments=environments)
        yield Case(name=f"e15-target-{name}", row="E15", certificate=issue(certificate, [table.key()]),
                   what=what, policy=text, codes=["policy"], exit_code=15)  # fmt: skip
    loose = {"gpu-a100": HardwareTarget(machine="x86_64")}
    strict = described.replace("Example*", "Other*")
    certificate = _small(
        table, [auc], [ran], POLICY, run=replace(right, targets=loose), environments=machines
    )
    yield Case(name="e15-target-described-by-the-project", row="E15", policy=strict, codes=["policy"], exit_code=15,
               what="The project describes the target so that its machine fits, and the policy otherwise",
               certificate=issue(certificate, [table.key()]))  # fmt: skip
    certificate = _small(table, [auc], [ran], asks, run=replace(RUN, target="laptop"))
    yield _case("e15-honest-another", "The policy of the issue asks for another kind of machine", "not-ready", 1,
                certificate, table)  # fmt: skip
    yield from _latency(table, machines)


def _latency(table: Table, machines: dict[str, Environment]) -> Iterator[Case]:
    """Yield certificates with a limit in seconds: it holds on the machine that it is about."""
    gate = Gate(
        id="latency.p99", dimension=Dimension.LATENCY, description="answers in time", location="t.py::test"
    )
    measured = Measurement(metric="latency_p99", value=0.003, lower=0.002, upper=0.004, confidence_level=0.95,
                           method="binomial order statistic", n_samples=9000, unit="s",
                           higher_is_better=False)  # fmt: skip
    evidence = replace(
        gate_runs((table.subject(),))[0].evidence or Evidence(gate_id="", measurements=(), criteria=()),
        gate_id="latency.p99",
        measurements=(measured,),
        criteria=(Criterion(metric="latency_p99", comparison=Comparison.AT_MOST, limit=0.005),),
    )
    ran = GateRun(gate_id=gate.id, location=gate.location, state=RunState.PASSED, evidence=evidence)
    text = POLICY.replace("performance.auc", "latency.p99")
    here, elsewhere = HardwareTarget(processor="Example*"), HardwareTarget(processor="Other*")
    for name, target, code, exit_code in (
        ("class", here, None, 0),
        ("foreign", elsewhere, "not-ready", 1),
    ):
        run = replace(RUN, target="serving", targets={"serving": target})
        certificate = _small(table, [gate], [ran], text, run=run, environments=machines)
        yield Case(name=f"e18-latency-{name}", row="E18", certificate=issue(certificate, [table.key()]), policy=text,
                   what=f"A limit in seconds, and the run declares a target that its machine is: {name}",
                   codes=[code] if code else [], exit_code=exit_code)  # fmt: skip
    run = replace(RUN, target="serving", targets={"serving": elsewhere})
    refused = _small(table, [gate], [ran], text, run=run, environments=machines)
    accepted = _small(
        table, [gate], [ran], text, run=replace(run, targets={"serving": here}), environments=machines
    )
    forged = replace(refused, decision=accepted.decision)
    yield Case(name="e18-latency-forged", row="E18", certificate=issue(forged, [table.key()]), policy=text,
               what="The machine is not the declared target, and the decision says that the limit is kept",
               codes=["decision"], exit_code=17)  # fmt: skip
    asked = replace(run, targets={"serving": here})
    for name, cells, code in (
        ("both", '["serving", "edge"]', "policy"),
        ("one", '["serving"]', None),
    ):
        matrix = (
            text + f'\n[require.matrix]\n"latency.p99" = {cells}\n\n[targets.edge]\nmachine = "aarch64"\n'
        )
        certificate = _small(table, [gate], [ran], text, run=asked, environments=machines)
        yield Case(name=f"e18-matrix-{name}", row="E18", certificate=issue(certificate, [table.key()]), policy=matrix,
                   what=f"The gate asks for a pass on each of {cells}, and there was one on serving",
                   codes=[code] if code else [], exit_code=15 if code else 0)  # fmt: skip


def _groups_left_out(table: Table) -> Iterator[Case]:
    """Yield certificates from which a small group was left out, as the policy of the issue allows."""
    allowed = POLICY.replace("confidence_level", "min_group = 30\nconfidence_level")
    ran = gate_runs((table.subject(),))[0]
    before = ran.evidence
    if before is None:
        raise ValueError(ran)
    for name, what, rows, value, gate_policy, code, exit_code in (
        ("accepted", "The gate's policy allows it too", 12, 12.0, allowed, "accepted", 0),
        ("under-another-policy", "The gate's policy allows no group to be left out", 12, 12.0, None, "policy", 15),
        ("at-the-edge", "The group has just as many rows as the gate's policy asks for", 30, 30.0,
         allowed.replace("30", "31"), "accepted", 0),
        ("over-the-edge", "The group has as many rows as the gate's policy asks for", 12, 12.0,
         allowed.replace("30", "12"), "policy", 15),
        ("too-large", "The group has more rows than the issue's own policy allows", 5_000, 3.0, allowed,
         "decision", 17),
    ):  # fmt: skip
        issued = allowed.replace("30", "31") if name == "at-the-edge" else allowed
        left_out = Measurement(metric="left_out_group_rows", group="sex=x", value=value, lower=value, upper=value,
                               confidence_level=1.0, method="count", n_samples=rows)  # fmt: skip
        told = replace(ran, evidence=replace(before, measurements=(*before.measurements, left_out)))
        certificate = _small(table, [GATES[0]], [told], issued)
        if exit_code == 17:
            honest = _small(table, [GATES[0]], [ran], issued)
            certificate = replace(certificate, decision=honest.decision)
        codes = [] if exit_code == 0 else [code]
        yield Case(name=f"e02-group-left-out-{name}", row="E02", what=f"A small group was left out. {what}",
                   certificate=issue(certificate, [table.key()]), codes=codes, exit_code=exit_code,
                   policy=gate_policy)  # fmt: skip
