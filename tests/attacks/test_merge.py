"""Forged and foreign run logs (rows E10 to E12): what `prodml merge` refuses, and what no log can talk it into."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import ENVIRONMENT, GATES, RUN, Desk, measurement
from fragment_factory import DIGEST, SHARES, Shards, lines_of, rewrite
from pytest_prodml.certificate.document import sign_record
from pytest_prodml.certificate.dsse import INTOTO_PAYLOAD_TYPE, envelope_json
from pytest_prodml.certificate.runlog import SEAL_TYPE, LogSeal, SealedLog
from pytest_prodml.cli import main
from pytest_prodml.codec import dumps, encode, sha256_hex
from pytest_prodml.records import Look, Producer, Readiness, RunState, Subject
from pytest_prodml.verify.fragment import MERGE_REASONS, MergeRefusedError, read_run_log

Lines = list[dict[str, Any]]


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    return Shards(Desk(tmp_path))


def refused(shards: Shards, capsys: pytest.CaptureFixture[str], code: str, *arguments: Any) -> str:
    """Check that a merge is refused for one reason, first of all, and leaves nothing; return what it says."""
    logs, *more = arguments
    capsys.readouterr()
    assert shards.merge(logs, *more) == MERGE_REASONS[code][0]
    said = capsys.readouterr().err
    assert said.splitlines()[0] == f"NOT MERGED (exit code {int(MERGE_REASONS[code][0])})"
    assert said.splitlines()[1].startswith(f"  {code}: "), said
    assert not (shards.out / "certificate.json").exists()
    assert "Traceback" not in said
    return said


@pytest.mark.control
def test_the_logs_of_the_factory_are_good(shards: Shards) -> None:
    """Or no refusal below would show anything."""
    assert shards.merge(shards.both()) == 0
    assert shards.certificate().decision.outcome is Readiness.READY


def edit_number(lines: Lines) -> None:
    [run] = [line for line in lines if line["kind"] == "gate-run"]
    run["run"]["evidence"]["measurements"][0].update(lower=0.99, value=0.995, upper=1.0)


def edit_state(lines: Lines) -> None:
    lines[-3]["run"]["state"] = "passed"


def edit_head(lines: Lines) -> None:
    lines[0]["revision"] = "b" * 40


def edit_summary(lines: Lines) -> None:
    lines[-2]["run"]["ordinaryTests"] = {"passed": 12, "failed": 0}


EDITS: dict[str, Callable[[Lines], object]] = {
    "number": edit_number,
    "head": edit_head,
    "summary": edit_summary,
    "inventory-shortened": lambda lines: lines[1]["gates"].pop(),
    "inventory-selection": lambda lines: lines[1]["unselected"].clear(),
    "run-removed": lambda lines: lines.pop(-3),
    "environment-removed": lambda lines: lines.pop(2),
    "inventory-removed": lambda lines: lines.pop(1),
    "end-removed": lambda lines: lines.pop(-2),
    "run-repeated": lambda lines: lines.insert(-2, lines[-3]),
    "environment-last": lambda lines: lines.insert(-2, lines.pop(2)),
    "head-moved": lambda lines: lines.insert(1, lines.pop(0)),
    "end-before-run": lambda lines: lines.insert(-3, lines.pop(-2)),
    "line-added": lambda lines: lines.insert(-2, {"kind": "note"}),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_log(shards: Shards, capsys: pytest.CaptureFixture[str], edit: str) -> None:
    first, second = shards.both()
    lines = lines_of(first)
    EDITS[edit](lines)
    rewrite(first, lines)
    code = "fragment-altered" if edit != "head-moved" else "fragment-malformed"
    said = refused(shards, capsys, "fragment-altered", [first, second])
    assert code == "fragment-malformed" or "changed, removed, moved or added" in said
    # With leave to take what is unsigned, the signature that is there must still fit.
    refused(shards, capsys, "fragment-altered", [first, second], "--allow-unsigned")


def test_other_spacing_is_another_log(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = shards.both()
    first.write_bytes(first.read_bytes().replace(b'{"kind":"inventory"', b'{ "kind":"inventory"'))
    refused(shards, capsys, "fragment-altered", [first, second])


def test_no_single_edited_byte_changes_what_is_read(shards: Shards) -> None:
    """1,000 places in a signed log, each with another byte: refused, but for the hint at the signature."""
    data = shards.write().read_bytes()
    key = shards.desk.key().public_key
    good = replace(read_run_log(data, where="log", keys=[key]), digest="")
    hint = data.index(key.keyid.encode())
    places = random.Random(20261123)  # noqa: S311 - where to edit is no secret
    refusals = 0
    for place in (places.randrange(len(data)) for _ in range(1_000)):
        byte = places.choice([0, 9, 10, 34, 48, 57, 92, 125, 255])
        edited = data[:place] + bytes([byte]) + data[place + 1 :]
        try:
            found = read_run_log(edited, where="log", keys=[key], allow_unsigned=False)
        except MergeRefusedError:
            refusals += 1
        else:
            # DSSE signs neither the key id beside a signature nor the name of that field.
            assert edited == data or hint - len("keyid") - 5 <= place < hint + 64
            assert replace(found, digest="") == good
    assert refusals > 900


def test_a_log_that_was_cut_anywhere_never_makes_a_model_ready(
    shards: Shards, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = shards.both()
    data = first.read_bytes()
    ends = [place + 1 for place, byte in enumerate(data) if byte == 10]
    cuts = [0, 1, *(end + by for end in ends for by in (-2, -1, 0, 1, 7) if end + by < len(data))]
    for cut in cuts:
        first.write_bytes(data[:cut])
        capsys.readouterr()
        code = shards.merge([first, second])
        assert code == (10 if cut >= ends[0] else 11), cut
        # What is left may be looked at, and then the certificate says what is missing.
        code = shards.merge([first, second], "--allow-unsigned")
        if cut < ends[0]:
            assert code == 11
            continue
        assert code == 1, cut
        certificate = shards.certificate()
        assert certificate.decision.outcome is Readiness.NOT_READY
        assert any("1/2 was interrupted" in reason for reason in certificate.decision.reasons)
        assert [(item.ended, bool(item.signed_by)) for item in certificate.run.fragments or ()] == [
            (False, False),
            (True, True),
        ]


def test_cutting_off_a_failure_does_not_help_a_rerun(shards: Shards) -> None:
    """What an interrupted run left undone stays undone, though another run did it."""
    failed = shards.write(None, runs=shards.runs(*(gate.id for gate in GATES), age_gap=0.2))
    again = shards.write(None, runs=shards.runs("fairness.age"))
    assert shards.merge([failed, again]) == 1
    lines = lines_of(failed)
    cut = [line for line in lines if line.get("run", {}).get("gateId") != "fairness.age"][:-2]
    assert shards.merge([rewrite(failed, cut), again], "--allow-unsigned") == 1
    [verdict] = [item for item in shards.certificate().decision.verdicts if item.gate_id == "fairness.age"]
    assert verdict.outcome.value != "pass"


def test_a_log_without_a_signature(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    logs = shards.both(signer=None)
    said = refused(shards, capsys, "fragment-unsigned", logs)
    assert said.count("fragment-unsigned") == 2, "every refused file is named at once"
    assert shards.merge(logs, "--allow-unsigned") == 0
    fragments = shards.certificate().run.fragments or ()
    assert [item.signed_by for item in fragments] == [(), ()]
    assert "UNSIGNED: 1/2, 2/2" in (shards.out / "certificate.html").read_text(encoding="utf-8")


def test_signatures_that_were_taken_off(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = shards.both()
    *lines, seal = lines_of(first)
    envelope = json.loads(seal["envelope"])
    envelope["signatures"] = []
    rewrite(first, [*lines, {"kind": "seal", "envelope": json.dumps(envelope)}])
    refused(shards, capsys, "fragment-unsigned", [first, second])


@pytest.mark.parametrize("more", [(), ("--allow-unsigned",)], ids=["strict", "unsigned"])
def test_a_log_that_somebody_else_signed(
    shards: Shards, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    logs = [shards.write("1/2"), shards.write("2/2", signer="other")]
    refused(shards, capsys, "fragment-untrusted", logs, *more)
    given = ("--fragment-key", shards.desk.public("ci"), "--fragment-key", shards.desk.public("other"))
    assert shards.merge(logs, *given) == 0
    signed_by = [item.signed_by for item in shards.certificate().run.fragments or ()]
    assert signed_by == [(shards.desk.key("ci").keyid,), (shards.desk.key("other").keyid,)]


def test_the_merging_key_itself_counts_only_where_no_other_is_named(
    shards: Shards, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(
        shards, capsys, "fragment-untrusted", shards.both(), "--fragment-key", shards.desk.public("other")
    )


def test_the_seal_of_another_log(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = shards.both()
    rewrite(first, [*lines_of(first)[:-1], lines_of(second)[-1]])
    refused(shards, capsys, "fragment-altered", [first, second])


def test_a_run_moved_into_another_log(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = shards.both()
    lines = lines_of(second)
    lines.insert(-2, lines_of(first)[-3])
    refused(shards, capsys, "fragment-altered", [first, rewrite(second, lines)])


def seal_again(path: Path, shards: Shards, *, payload_type: str = SEAL_TYPE, **changes: Any) -> Path:
    """Seal an edited log with a trusted key: what a dishonest shard can do."""
    content = b"".join(line + b"\n" for line in path.read_bytes().splitlines()[:-1])
    run_id = json.loads(content.splitlines()[0]).get("runId", "")
    sealed = replace(SealedLog(run_id=run_id, digest={"sha256": sha256_hex(content)}), **changes)
    envelope = sign_record(sealed, payload_type, [shards.desk.key()])
    seal = LogSeal(envelope=envelope_json(envelope).decode())
    path.write_bytes(content + dumps(seal).encode() + b"\n")
    return path


def forged(path: Path, shards: Shards, edit: Callable[[Lines], object]) -> Path:
    lines = lines_of(path)
    edit(lines)
    return seal_again(rewrite(path, lines), shards)


def set_in_run(**changes: Any) -> Callable[[Lines], object]:
    return lambda lines: lines[-3]["run"].update(changes)


def set_in_end(**changes: Any) -> Callable[[Lines], object]:
    return lambda lines: lines[-2]["run"].update(changes)


SIGNED_FORGERIES: dict[str, Callable[[Lines], object]] = {
    "run-of-another-gate": set_in_run(gateId="fairness.age"),
    "run-at-another-place": set_in_run(location="tests/test_other.py::test_auc"),
    "state-of-no-kind": set_in_run(state="ready"),
    "field-of-no-kind": set_in_run(verdict="pass"),
    "environment-lies": lambda lines: lines[2]["environment"].update(processor="H100"),
    "environment-missing": lambda lines: lines.pop(2),
    "environment-after-its-run": lambda lines: lines.insert(-2, lines.pop(2)),
    "inventory-missing": lambda lines: lines.pop(1),
    "inventory-twice": lambda lines: lines.insert(2, {**lines[1], "ordinary": 3}),
    "run-repeated": lambda lines: lines.insert(-2, lines[-3]),
    "two-ends": lambda lines: lines.insert(-1, {**lines[-2], "kind": "end"}),
    "run-after-the-end": lambda lines: lines.insert(-1, lines.pop(-3)),
    "no-end": lambda lines: lines.pop(-2),
    "head-in-the-middle": lambda lines: lines.insert(1, {**lines[0], "shard": "2/2"}),
    "two-subjects": lambda lines: lines[0]["subjects"].append(
        {"name": "b.onnx", "digest": {"sha256": "0" * 64}, "annotations": {}}
    ),
    "no-subject": lambda lines: lines[0]["subjects"].clear(),
    "other-version": lambda lines: lines[0].update(version=1),
    "end-of-another-run": set_in_end(id="f" * 32),
    "end-on-another-target": set_in_end(target="production-gpu"),
    "fewer-than-no-failures": set_in_end(ordinaryTests={"passed": 12, "failed": -1}),
    "merged-before": set_in_end(fragments=[]),
    "line-of-another-kind": lambda lines: lines.insert(2, {"kind": "decision", "outcome": "READY"}),
    "line-is-a-list": lambda lines: lines.insert(2, []),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", SIGNED_FORGERIES)
def test_what_a_trusted_shard_can_not_say(
    shards: Shards, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    first, second = shards.both()
    forged(first, shards, SIGNED_FORGERIES[case])
    refused(shards, capsys, "fragment-malformed", [first, second])


LINES = {
    "nan": b'{"kind":"gate-run","x":NaN}',
    "duplicate-keys": b'{"kind":"environment","kind":"gate-run"}',
    "deep": b'{"kind":' + b"[" * 500 + b"]" * 500 + b"}",
    "huge-number": b'{"kind":"gate-run","x":1e999}',
    "not-utf-8": b'{"kind":"\xff"}',
    "not-json": b"passed",
    "empty": b"",
    "nul": b"\x00" * 20,
    "long-text": b'{"kind":"' + b"x" * 70_000 + b'"}',
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_that_is_no_strict_json(shards: Shards, capsys: pytest.CaptureFixture[str], name: str) -> None:
    first, second = shards.both()
    head, *rest = first.read_bytes().splitlines(keepends=True)
    first.write_bytes(b"".join([head, LINES[name] + b"\n", *rest]))
    refused(shards, capsys, "fragment-altered", [first, second])
    refused(shards, capsys, "fragment-malformed", [seal_again(first, shards), second])


@pytest.mark.parametrize(
    ("changes", "payload_type"),
    [
        ({"run_id": "f" * 32}, SEAL_TYPE),
        ({}, INTOTO_PAYLOAD_TYPE),
        ({}, SEAL_TYPE.replace("v2", "v3")),
    ],
    ids=["other-run", "in-toto", "next-version"],
)
def test_a_seal_of_another_kind(
    shards: Shards, capsys: pytest.CaptureFixture[str], changes: dict[str, str], payload_type: str
) -> None:
    first, second = shards.both()
    seal_again(first, shards, payload_type=payload_type, **changes)
    refused(shards, capsys, "fragment-malformed", [first, second])


def test_other_documents_are_no_run_logs(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    desk = shards.desk
    desk.certify()
    certificate = desk.certificate.read_bytes()
    documents = {
        "certificate.json": certificate,
        "certificate-line.json": certificate + b"\n",
        "waiver.json": desk.waiver(),
        "empty": b"",
        "line-feed": b"\n",
        "policy.toml": desk.policy.read_bytes(),
        "model.onnx": desk.model.read_bytes(),
        "0.1.0.jsonl": b'{"kind":"run","version":1,"runId":"a","policyDigest":"b","subjects":[]}\n',
    }
    for name, data in documents.items():
        path = desk.root / f"given-{name}"
        path.write_bytes(data)
        said = refused(shards, capsys, "fragment-malformed", [path, shards.write("2/2")])
        assert str(path) in said
    assert "and no run log" in refused(
        shards, capsys, "fragment-malformed", [desk.root / "given-certificate-line.json"], "--allow-unsigned"
    )


def test_a_certificate_inside_of_a_seal(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    """A statement that the trusted key did sign, in the place of a seal."""
    first, second = shards.both()
    certificate = shards.desk.certify().decode()
    rewrite(first, [*lines_of(first)[:-1], {"kind": "seal", "envelope": certificate}])
    refused(shards, capsys, "fragment-malformed", [first, second])


def test_a_run_log_is_no_certificate(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    log = shards.write()
    desk = shards.desk
    assert shards.merge([log]) == 17
    capsys.readouterr()
    given = ["--key", str(desk.public()), "--model", str(desk.model), "--policy", str(desk.policy)]
    assert main(["verify", str(log), *given]) == 11
    # The seal is an envelope, and a trusted key signed it.
    envelope = log.with_suffix(".json")
    envelope.write_text(lines_of(log)[-1]["envelope"], encoding="utf-8")
    capsys.readouterr()
    assert main(["verify", str(envelope), *given]) == 11
    assert "payload-type" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["missing", "directory", "pipe"])
def test_what_is_no_regular_file(shards: Shards, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    path = shards.desk.root / "log.jsonl"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    assert shards.merge([path, shards.write("2/2")]) == 2
    assert "log.jsonl" in capsys.readouterr().err


DIFFERENT: dict[str, tuple[str, dict[str, Any]]] = {
    "subject": (
        "fragment-subject",
        {"subjects": (Subject(name="model.onnx", digest={"sha256": "0" * 64}),)},
    ),
    "policy": ("fragment-policy", {"policy_digest": "0" * 64}),
    "revision": ("fragment-revision", {"revision": "b" * 40}),
    "revision-unknown": ("fragment-revision", {"revision": None}),
    "configuration": ("fragment-configuration", {"configuration_digest": "0" * 64}),
    "model-name": ("fragment-configuration", {"model_name": "credit-other"}),
    "model-version": ("fragment-configuration", {"model_version": "2.1"}),
    "version": ("fragment-version", {"producer": Producer(name="pytest-prodml", version="0.1.0")}),
    "producer": ("fragment-version", {"producer": Producer(name="other", version="0.2.0")}),
    "look": (
        "fragment-look",
        {"look": Look(number=2, planned=3, spending="pocock", confidence_level=0.98, test_digest="d" * 64)},
    ),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_a_log_of_something_else(shards: Shards, capsys: pytest.CaptureFixture[str], what: str) -> None:
    code, changes = DIFFERENT[what]
    second = shards.write("2/2", head=changes)
    said = refused(shards, capsys, code, [shards.write("1/2"), second])
    assert str(second) in said, "it names the one that differs"


def test_the_same_model_under_another_name(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    other = replace(shards.desk.subject(), name="other.onnx")
    logs = [shards.write("1/2"), shards.write("2/2", head={"subjects": (other,)})]
    refused(shards, capsys, "fragment-subject", logs)


def test_the_model_that_is_given_is_hashed(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    logs = shards.both()
    shards.desk.model.write_bytes(b"another model")
    said = refused(shards, capsys, "fragment-subject", logs)
    assert said.count("fragment-subject") == 2


def test_the_policy_that_is_given_must_be_the_one_of_the_runs(
    shards: Shards, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = shards.both()
    weaker = shards.desk.policy.read_text(encoding="utf-8").replace("0.95", "0.6")
    shards.desk.policy.write_text(weaker, encoding="utf-8")
    refused(shards, capsys, "fragment-policy", logs)


def test_code_that_moved_while_a_run_went(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    from pytest_prodml.records import Provenance

    moved = shards.write("2/2", summary={"provenance": Provenance(revision="b" * 40, is_dirty=False)})
    refused(shards, capsys, "fragment-revision", [shards.write("1/2"), moved])


def test_test_code_that_differs_in_one_revision(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    from pytest_prodml.records import Provenance

    def ran(digit: str) -> dict[str, Any]:
        file = Subject(name="tests/conftest.py", digest={"sha256": digit * 64})
        return {"provenance": Provenance(revision="a" * 40, is_dirty=True, files=(file,))}

    logs = [shards.write("1/2", summary=ran("1")), shards.write("2/2", summary=ran("2"))]
    assert "tests/conftest.py" in refused(shards, capsys, "fragment-revision", logs)
    same = [shards.write("1/2", summary=ran("1")), shards.write("2/2", summary=ran("1"))]
    assert shards.merge(same) == 0
    provenance = shards.certificate().run.provenance
    assert provenance is not None
    assert provenance.is_dirty


def test_a_gate_that_is_defined_in_two_ways(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    from pytest_prodml.records import Severity

    weaker = (GATES[0], replace(GATES[1], severity=Severity.INFO), GATES[2])
    logs = [shards.write("1/2", gates=weaker), shards.write("2/2")]
    assert "fairness.age" in refused(shards, capsys, "fragment-gate", logs)


def test_other_data_of_the_same_name(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    def measured(gate: str, digit: str) -> list[Any]:
        material = Subject(name="test.csv", digest={"sha256": digit * 64})
        [run] = shards.runs(gate)
        assert run.evidence is not None
        return [replace(run, evidence=replace(run.evidence, materials=(material,)))]

    def logs(digit: str) -> list[Path]:
        return [
            shards.write("1/2", runs=measured("performance.auc", "1")),
            shards.write("2/2", runs=[*measured("fairness.age", digit), *shards.runs("pipeline.parity")]),
        ]

    assert "test.csv" in refused(shards, capsys, "fragment-data", logs("2"))
    assert shards.merge(logs("1")) == 0
    assert [material.name for material in shards.certificate().materials] == ["test.csv"]


@pytest.mark.parametrize("days", [1, -90], ids=["future", "older-than-its-validity"])
def test_a_clock_that_can_not_be(shards: Shards, capsys: pytest.CaptureFixture[str], days: int) -> None:
    began = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
    logs = [shards.write("1/2"), shards.write("2/2", head={"started_at": began})]
    refused(shards, capsys, "fragment-time", logs)


def test_merging_makes_old_evidence_no_younger(shards: Shards) -> None:
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(days=89)
    assert shards.merge([shards.write("1/2"), shards.write("2/2", head={"started_at": began})]) == 0
    certificate = shards.certificate()
    assert certificate.started_at == began
    assert certificate.expires_at == began + timedelta(days=90)


def test_a_run_that_is_given_twice(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = shards.both()
    copy = first.with_name("copy.jsonl")
    copy.write_bytes(first.read_bytes())
    refused(shards, capsys, "fragment-twice", [first, second, copy])
    refused(shards, capsys, "fragment-twice", [first, second, first])


def test_a_shard_that_is_missing(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    refused(shards, capsys, "fragment-missing", [shards.write("1/2")])
    # Two runs of one shard are not two shards.
    said = refused(shards, capsys, "fragment-missing", [shards.write("1/2"), shards.write("1/2")])
    assert "the shard 2/2 was not given" in said
    everything = shards.write(None, runs=shards.runs(*(gate.id for gate in GATES)))
    refused(shards, capsys, "fragment-missing", [everything], "--expect", "gpu")
    refused(shards, capsys, "fragment-missing", [shards.write("1/2", head={"shard": "7/2"})])
    refused(shards, capsys, "fragment-missing", [shards.write("1/2", head={"shard": "1/999999"})])


@pytest.mark.parametrize(
    "state", ["failed", "errored", "crashed", "timed_out", "xfailed", "xpassed", "not_run", "skipped"]
)
def test_a_pass_elsewhere_outvotes_nothing(shards: Shards, state: str) -> None:
    """All runs of a gate count, in whichever log and order they come; a test that skips after measuring too."""
    [passed] = shards.runs("performance.auc")
    bad = replace(passed, state=RunState(state), reason="so it was")
    gates = [*shards.runs(*SHARES["2/2"])]
    good = shards.write(None, runs=[passed, *gates])
    assert shards.merge([good]) == 0
    for logs in ([good, shards.write(None, runs=[bad])], [shards.write(None, runs=[bad]), good]):
        assert shards.merge(logs) == 1
        [verdict] = [v for v in shards.certificate().decision.verdicts if v.gate_id == "performance.auc"]
        assert verdict.reason == "rerun"
        assert "ran 2 times (1 passed, 1 " in verdict.message


def test_two_runs_that_measure_differently(shards: Shards) -> None:
    logs = [
        shards.write(None, runs=shards.runs(*(gate.id for gate in GATES))),
        shards.write(None, runs=shards.runs("performance.auc", auc=0.7)),
    ]
    assert shards.merge(logs) == 1
    # Too few rows in one place are no proof, whatever the other place has.
    [run] = shards.runs("performance.auc")
    assert run.evidence is not None
    vague = replace(run.evidence, measurements=(measurement(0.78, 0.2),))
    logs[1] = shards.write(None, runs=[replace(run, evidence=vague)])
    assert shards.merge(logs) == 1
    [verdict] = [v for v in shards.certificate().decision.verdicts if v.gate_id == "performance.auc"]
    assert verdict.outcome.value == "inconclusive"


def test_a_stated_pass_is_judged_again(shards: Shards) -> None:
    """The state says that the test passed; its numbers say that it did not prove anything."""
    logs = [shards.write("1/2", runs=shards.runs("performance.auc", auc=0.772)), shards.write("2/2")]
    assert shards.merge(logs) == 1


def test_a_gate_that_nobody_ran_is_not_ready(shards: Shards) -> None:
    logs = [shards.write("1/2"), shards.write("2/2", runs=shards.runs("pipeline.parity"))]
    assert shards.merge(logs) == 1
    [run] = [run for run in shards.certificate().runs if run.gate_id == "fairness.age"]
    assert run.state is RunState.DESELECTED


def test_a_gate_that_everybody_skipped_is_not_ready(shards: Shards) -> None:
    [run] = shards.runs("performance.auc")
    skipped = replace(run, state=RunState.SKIPPED, evidence=None, reason="no GPU here")
    logs = [
        shards.write("1/2", runs=[skipped]),
        shards.write("2/2", runs=[skipped, *shards.runs(*SHARES["2/2"])]),
    ]
    assert shards.merge(logs) == 1
    [verdict] = [v for v in shards.certificate().decision.verdicts if v.gate_id == "performance.auc"]
    assert verdict.reason == "skipped"
    # One that ran it is enough: the other one said nothing about it.
    assert shards.merge([shards.write("1/2"), logs[1]]) == 0
    assert [run.worker for run in shards.certificate().runs] == ["2/2", "1/2", "2/2"]


def test_an_ordinary_test_that_failed_in_one_shard(shards: Shards) -> None:
    logs = [shards.write("1/2"), shards.write("2/2", summary={"ordinary_tests": {"passed": 5, "failed": 1}})]
    assert shards.merge(logs) == 1
    assert "1 test that is no gate failed" in " ".join(shards.certificate().decision.reasons)


def test_evidence_of_another_model_in_a_good_log(shards: Shards) -> None:
    [run] = shards.runs("performance.auc")
    assert run.evidence is not None
    other = Subject(name="model.onnx", digest={"sha256": "0" * 64})
    swapped = replace(run, evidence=replace(run.evidence, subjects=(other,)))
    assert shards.merge([shards.write("1/2", runs=[swapped]), shards.write("2/2")]) == 1


def test_a_name_that_can_not_be_seen(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    logs = [shards.write("1/2", head={"shard": "gpu\u202e"}), shards.write("2/2", head={"shard": "cpu"})]
    refused(shards, capsys, "fragment-malformed", logs)


ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    1e308,
    5e-324,
    2**53,
    "",
    "\u202e",
    "\ud800",
    "x" * 300,
    [],
    {},
    [[]],
    {"a": 1},
]


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every value in a document."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*path, key))
    return found


def test_any_value_anywhere_is_an_answer(shards: Shards, capsys: pytest.CaptureFixture[str]) -> None:
    """A dishonest shard with a trusted key writes odd values: a certificate or a refusal, never a breakdown."""
    second = shards.write("2/2")
    good = lines_of(shards.write("1/2"))
    path = shards.desk.root / "odd.jsonl"
    chance = random.Random(20261123)  # noqa: S311 - what to try is no secret
    codes = set()
    for _ in range(200):
        lines = json.loads(json.dumps(good))
        *way, last = chance.choice(places(lines[:-1]))
        target = lines
        for key in way:
            target = target[key]
        odd = chance.choice(ODD)
        if chance.random() < 0.2:
            del target[last]
        else:
            target[last] = odd
        text = "".join(json.dumps(line) + "\n" for line in lines)
        path.write_text(text, encoding="utf-8")
        try:
            seal_again(path, shards)
        except (AttributeError, IndexError):
            continue
        code = shards.merge([path, second])
        said = capsys.readouterr()
        assert code != 70, (way, last, odd, said.err)
        assert (shards.out / "certificate.json").exists() == (code in {0, 1})
        codes.add(code)
    assert {1, 11} <= codes


def test_a_refusal_leaves_no_older_certificate_behind(
    shards: Shards, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = shards.both()
    assert shards.merge(logs) == 0
    refused(shards, capsys, "fragment-missing", logs[:1])
    assert list(shards.out.iterdir()) == []


@pytest.mark.control
def test_the_factory_writes_what_the_records_say(shards: Shards) -> None:
    head, inventory, environment, run, end, _ = lines_of(shards.write("1/2"))
    assert environment == {"kind": "environment", "digest": DIGEST, "environment": encode(ENVIRONMENT)}
    assert run["run"]["evidence"]["environmentDigest"] == DIGEST
    assert end["run"]["ordinaryTests"] == dict(RUN.ordinary_tests)
    assert inventory["unselected"] == ["fairness.age", "pipeline.parity"]
    assert head["shard"] == "1/2"
