"""One process or many: the same gates, measurements and decision."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from plugin.project import EVIDENCE, Project
from pytest_prodml.codec import encode
from pytest_prodml.records import Certificate

POLICY = """
name = "production"
version = "1"
[require]
gates = ["pipeline.*", "data.absent"]
dimensions = ["data"]
"""

SUITE = """
import pytest
from evidence import evidence

@pytest.mark.ml_pipeline
def test_passes(): pass

@pytest.mark.ml_pipeline
def test_fails(): assert 1 == 2

@pytest.mark.ml_pipeline
@pytest.mark.parametrize("limit", [0.8, 0.93, 0.999])
def test_measures(prodml, limit):
    prodml.record(evidence(prodml.gate_id, limit=limit))

@pytest.mark.ml_data
def test_measures_twice(prodml):
    '''Two checks of one gate.'''
    prodml.record(evidence(prodml.gate_id))
    prodml.record(evidence(prodml.gate_id, metric="recall", group="women"))

@pytest.mark.ml_data(severity="warn")
def test_warns(prodml):
    prodml.record(evidence(prodml.gate_id, limit=0.999))

@pytest.mark.ml_data
def test_skips(): pytest.skip("no data")

@pytest.mark.ml_data
def test_dropped(): pass

@pytest.mark.ml_latency
@pytest.mark.xfail(strict=True)
def test_surprises(): pass

@pytest.mark.ml_behavior
def test_breaks(nothing): pass

@pytest.mark.parametrize("i", range(5))
def test_ordinary(i): pass
"""

#: What may differ: when, how long, by whom.
VOLATILE = {
    "id",
    "runId",
    "startedAt",
    "issuedAt",
    "expiresAt",
    "serial",
    "nonce",
    "renderings",  # a page shows when and by whom
    "durationSeconds",
    "worker",
    "workers",
    "arguments",
}


def comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: comparable(item)
            for key, item in value.items()
            if key not in VOLATILE or (key == "id" and "dimension" in value)
        }
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return value


def certificate_of(project: Project, *arguments: str) -> Certificate:
    # pytester runs under the warning filters of these tests, which make errors of warnings.
    project.run("-W", "default", "-k", "not dropped", *arguments)
    return project.issued()


def test_workers_change_nothing(project: Project) -> None:
    project.write("policy.toml", POLICY)
    project.write("test_gates.py", SUITE)
    alone = certificate_of(project, "-n0")
    one = certificate_of(project, "-n1")
    two = certificate_of(project, "-n2")
    assert comparable(encode(one)) == comparable(encode(alone))
    assert comparable(encode(two)) == comparable(encode(alone))
    assert [certificate.run.workers for certificate in (alone, one, two)] == [0, 1, 2]
    assert {run.worker for run in two.runs if run.state != "deselected"} == {"gw0", "gw1"}
    assert len(alone.gates) == 11
    assert [len(run.evidence.measurements) for run in alone.runs if run.evidence] == [2, 1, 1, 1, 1]
    assert len(alone.environments) == 1


def test_comparison_would_see_a_difference(project: Project) -> None:
    project.write("policy.toml", POLICY)
    project.write("test_gates.py", SUITE)
    alone = certificate_of(project)
    other = replace(alone, runs=alone.runs[1:])
    assert comparable(encode(other)) != comparable(encode(alone))
    assert "gates" in comparable(encode(alone))
    assert comparable(encode(alone))["gates"][0]["id"]


def test_every_worker_of_dist_each_counts(project: Project) -> None:
    project.write("policy.toml", 'name = "p"\nversion = "1"\n[require]\ngates = ["pipeline.one"]\n')
    project.write(
        "test_gates.py",
        """
        import pytest

        @pytest.mark.ml_pipeline
        def test_one(worker_id): assert worker_id == "gw0"
        """,
    )
    assert project.run("--dist=each", "--tx=2*popen").ret == 1
    assert sorted(run.state.value for run in project.runs("pipeline.one")) == ["failed", "passed"]
    assert project.verdict("pipeline.one").reason == "rerun"


@pytest.mark.parametrize("arguments", [(), ("-n1",)], ids=["one", "xdist"])
def test_text_that_is_hard_to_carry_arrives(project: Project, arguments: tuple[str, ...]) -> None:
    # xdist itself can not send a report whose text holds a lone surrogate.
    text = "\\x00 \\u202e e\\u0301" + ("" if arguments else " \\ud800")
    project.write(
        "test_gates.py",
        f"""
        import pytest

        @pytest.mark.ml_pipeline
        def test_one(): pytest.fail("{text}")

        @pytest.mark.ml_pipeline
        @pytest.mark.parametrize("x", ["a", "b"], ids=["\\u00e9", None])
        def test_two(x): pass
        """,
    )
    assert project.run(*arguments).ret == 1
    [run] = project.runs("pipeline.one")
    assert run.state.value == "failed"
    assert run.reason.startswith("\\x00 \\u202e \u00e9")


@pytest.mark.parametrize("dist", ["loadgroup", "worksteal"])
def test_other_ways_to_distribute(project: Project, dist: str) -> None:
    project.write(
        "test_more.py",
        "import pytest\n@pytest.mark.xdist_group('a')\n@pytest.mark.ml_data\ndef test_x(): pass\n",
    )
    assert project.run("-n2", f"--dist={dist}").ret == 0


def test_evidence_source_is_what_the_suite_imports() -> None:
    assert "def evidence(gate_id" in EVIDENCE
