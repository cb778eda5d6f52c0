"""One run log, line by line: what it says when it is good, and the sentence for everything that it must not say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import ENVIRONMENT, GATES, Desk
from fragment_factory import DIGEST, SHARES, Shards, lines_of, rewrite
from pytest_prodml.certificate.document import sign_record
from pytest_prodml.certificate.dsse import envelope_json
from pytest_prodml.certificate.runlog import SEAL_TYPE, LogSeal, SealedLog
from pytest_prodml.codec import DEFAULT_LIMITS, ENVELOPE_LIMITS, dumps, sha256_hex
from pytest_prodml.records import RunState
from pytest_prodml.verify.fragment import LoggedRun, MergeReason, MergeRefusedError, read_run_log
from pytest_prodml.verify.report import ExitCode

Lines = list[dict[str, Any]]


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    return Shards(Desk(tmp_path))


def read(shards: Shards, path: Path, **options: Any) -> LoggedRun:
    keys = options.pop("keys", [shards.desk.key().public_key])
    return read_run_log(path.read_bytes(), where="log", keys=keys, **options)


def refusal(shards: Shards, data: bytes, **options: Any) -> MergeReason:
    keys = options.pop("keys", [shards.desk.key().public_key])
    with pytest.raises(MergeRefusedError) as caught:
        read_run_log(data, where="log", keys=keys, **options)
    [reason] = caught.value.reasons
    assert str(caught.value) == f"{reason.code}: {reason.message}"
    return reason


def edited(shards: Shards, edit: Callable[[Lines], object], path: Path | None = None) -> bytes:
    """Edit the lines of a log without a signature and seal it again, as anybody could."""
    path = path or shards.write(signer=None)
    lines = lines_of(path)
    edit(lines)
    content = rewrite(path, lines[:-1]).read_bytes()
    sealed = SealedLog(run_id=lines[0].get("runId", ""), digest={"sha256": sha256_hex(content)})
    seal = LogSeal(envelope=envelope_json(sign_record(sealed, SEAL_TYPE, [])).decode())
    return content + dumps(seal).encode() + b"\n"


def malformed(shards: Shards, edit: Callable[[Lines], object]) -> str:
    reason = refusal(shards, edited(shards, edit), allow_unsigned=True)
    assert (reason.code, reason.exit_code, reason.path) == ("fragment-malformed", ExitCode.MALFORMED, "log")
    return reason.message


def test_a_good_log(shards: Shards) -> None:
    path = shards.write("1/2")
    run = read(shards, path)
    assert run.where == "log"
    assert run.digest == sha256_hex(path.read_bytes())
    assert run.signed_by == (shards.desk.key().keyid,)
    assert (run.head.shard, run.head.run_id) == ("1/2", f"{1:032x}")
    assert run.inventory is not None
    assert run.inventory.ordinary == 12
    assert run.gates == GATES
    assert [(item.gate_id, item.state) for item in run.runs] == [
        ("performance.auc", RunState.PASSED),
        ("fairness.age", RunState.DESELECTED),
        ("pipeline.parity", RunState.DESELECTED),
    ]
    assert [item.location for item in run.runs] == [gate.location for gate in GATES]
    assert [item.reason for item in run.runs] == ["", "", ""]
    assert run.environments == {DIGEST: ENVIRONMENT}
    assert run.summary is not None
    assert run.summary.id == run.head.run_id


def test_a_gate_that_was_selected_and_has_no_run_did_not_run(shards: Shards) -> None:
    data = edited(shards, lambda lines: lines[1]["unselected"].remove("fairness.age"))
    run = read_run_log(data, where="log", allow_unsigned=True)
    told = {item.gate_id: (item.state, item.reason) for item in run.runs}
    assert told["fairness.age"] == (RunState.NOT_RUN, "")
    assert told["pipeline.parity"] == (RunState.DESELECTED, "")


def test_a_run_that_was_interrupted(shards: Shards) -> None:
    everything = shards.runs(*(gate.id for gate in GATES))
    path = shards.write(runs=everything, ended=False)
    cut = path.read_bytes().splitlines(keepends=True)[:4]
    path.write_bytes(b"".join(cut))
    run = read(shards, path, allow_unsigned=True)
    assert run.summary is None
    assert run.signed_by == ()
    assert [(item.gate_id, item.state, item.reason) for item in run.runs] == [
        ("performance.auc", RunState.PASSED, ""),
        ("fairness.age", RunState.NOT_RUN, "the run was interrupted before this gate was done"),
        ("pipeline.parity", RunState.NOT_RUN, "the run was interrupted before this gate was done"),
    ]
    assert [item.location for item in run.runs] == [gate.location for gate in GATES]
    reason = refusal(shards, path.read_bytes())
    assert (reason.code, reason.exit_code) == ("fragment-unsigned", ExitCode.NO_SIGNATURE)
    assert reason.message == (
        "has no seal (its run was interrupted, or its end cut off), so nobody vouches for it"
    )


def test_without_an_inventory_the_gates_that_ran_are_known(shards: Shards) -> None:
    """With xdist the inventory comes late, and a killed run has none."""
    path = shards.write(ended=False)
    rewrite(path, [line for line in lines_of(path) if line["kind"] != "inventory"])
    run = read(shards, path, allow_unsigned=True)
    assert run.inventory is None
    assert run.gates == GATES[:1]
    assert [item.state for item in run.runs] == [RunState.PASSED]


def test_an_end_without_a_seal_is_no_end(shards: Shards) -> None:
    path = shards.write()
    rewrite(path, lines_of(path)[:-1])
    run = read(shards, path, allow_unsigned=True)
    assert run.summary is None
    assert run.runs[-1].state is RunState.DESELECTED
    assert refusal(shards, path.read_bytes()).code == "fragment-unsigned"


def test_half_a_last_line_is_ignored_unless_it_follows_a_seal(shards: Shards) -> None:
    path = shards.write(ended=False)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind":"gate-run","ga')
    assert (
        read(shards, path, allow_unsigned=True).runs
        == read_run_log(whole, where="log", allow_unsigned=True).runs
    )
    reason = refusal(shards, shards.write().read_bytes() + b"{")
    # What follows the seal makes that line no seal, and so nobody vouches for the log.
    assert reason.code == "fragment-unsigned"
    assert (
        refusal(shards, shards.write().read_bytes() + b"{", allow_unsigned=True).code == "fragment-malformed"
    )


def test_signatures(shards: Shards) -> None:
    unsigned, signed = shards.write(signer=None), shards.write(signer="other")
    assert read(shards, unsigned, allow_unsigned=True).signed_by == ()
    assert read(shards, unsigned, allow_unsigned=True).summary is not None
    reason = refusal(shards, unsigned.read_bytes())
    assert reason == MergeReason(
        code="fragment-unsigned", message="is not signed, so nobody vouches for it", path="log"
    )
    variants: list[dict[str, Any]] = [{}, {"allow_unsigned": True}, {"keys": []}]
    for options in variants:
        reason = refusal(shards, signed.read_bytes(), **options)
        assert (reason.code, reason.exit_code, reason.path) == (
            "fragment-untrusted",
            ExitCode.UNTRUSTED,
            "log",
        )
        assert reason.message == "was signed with a key that was not given, or its seal was changed"
    keys = [shards.desk.key("ci").public_key, shards.desk.key("other").public_key]
    assert read(shards, signed, keys=keys).signed_by == (keys[1].keyid,)


def test_an_altered_log(shards: Shards) -> None:
    data = shards.write().read_bytes()
    for changed in (data.replace(b"credit-default", b"credit-defaulT"), b"\n" + data):
        reason = refusal(shards, changed)
        assert reason == MergeReason(
            code="fragment-altered",
            message="lines were changed, removed, moved or added after the run sealed them",
            path="log",
        )
        assert reason.exit_code is ExitCode.UNTRUSTED


def test_a_seal_alone(shards: Shards) -> None:
    seal = shards.write().read_bytes().splitlines(keepends=True)[-1]
    assert refusal(shards, seal).code == "fragment-altered"
    sealed = SealedLog(run_id="a", digest={"sha256": sha256_hex(b"")})
    empty = LogSeal(envelope=envelope_json(sign_record(sealed, SEAL_TYPE, [])).decode())
    for allow in (False, True):
        reason = refusal(shards, dumps(empty).encode() + b"\n", allow_unsigned=allow)
        assert reason.code == "fragment-malformed"


SENTENCES: dict[str, tuple[Callable[[Lines], object], str]] = {
    "repeated": (lambda lines: lines.insert(4, lines[3]), "log:5: repeats line 4"),
    "repeated-head": (lambda lines: lines.insert(1, lines[0]), "log:2: repeats line 1"),
    "after-end": (lambda lines: lines.insert(-1, {"kind": "x"}), "log:6: stands after the end of the run"),
    "two-ends": (
        lambda lines: lines.insert(-1, {**lines[-2], "x": 1}),
        "log:6: stands after the end of the run",
    ),
    "unknown": (
        lambda lines: lines.insert(1, {"kind": "x" * 50}),
        f"log:2: a line '{'x' * 40}' has no place here",
    ),
    "no-kind": (lambda lines: lines.insert(1, {"a": 1}), "log:2: a line 'None' has no place here"),
    "two-inventories": (
        lambda lines: lines.insert(2, {**lines[1], "ordinary": 1}),
        "log:3: a line 'inventory' has no place here",
    ),
    "second-head": (
        lambda lines: lines.insert(1, {**lines[0], "shard": "x"}),
        "log:2: a line 'run' has no place here",
    ),
    "list": (lambda lines: lines.insert(1, []), "log:2: is not a JSON object"),  # type: ignore[arg-type]
    "environment": (
        lambda lines: lines[2]["environment"].update(python="3.11"),
        "log:3: states a digest that is not the environment's",
    ),
    "no-environment": (
        lambda lines: lines.pop(2),
        "log:3: names an environment that does not stand before it",
    ),
    "other-gate": (
        lambda lines: lines[3]["run"].update(gateId="x.y"),
        "log:4: is a run of another gate than it names",
    ),
    "other-location": (
        lambda lines: lines[3]["run"].update(location="x"),
        "log:4: is a run of another gate than it names",
    ),
    "no-subject": (lambda lines: lines[0]["subjects"].clear(), "log:1: must name one model by its sha256"),
    "empty-digest": (
        lambda lines: lines[0]["subjects"][0]["digest"].update(sha256=""),
        "log:1: must name one model by its sha256",
    ),
    "two-subjects": (
        lambda lines: lines[0]["subjects"].append(lines[0]["subjects"][0]),
        "log:1: must name one model by its sha256",
    ),
    "version-1": (
        lambda lines: lines[0].update(version=1),
        "log: is a run log of version 1; this package merges version 2",
    ),
    "long-version": (
        lambda lines: lines[0].update(version="v" * 30),
        f"log: is a run log of version {'v' * 20}; this package merges version 2",
    ),
    "no-head": (
        lambda lines: lines.pop(0),
        "log: does not begin with the head of a run, so it is no run log",
    ),
    "envelope-first": (
        lambda lines: lines.insert(0, {"payloadType": "x"}),
        "log: is a signed document such as a certificate, and no run log",
    ),
    "no-inventory": (lambda lines: lines.pop(1), "log: has an end and no inventory"),
    "no-end": (lambda lines: lines.pop(-2), "log: is sealed as another run, or before its end"),
    "merged": (
        lambda lines: lines[-2]["run"].update(fragments=[]),
        "log: is merged already; merge the runs themselves",
    ),
    "negative-count": (
        lambda lines: lines[-2]["run"].update(ordinaryTests={"failed": -1}),
        "log: counts fewer than no tests",
    ),
    "negative-workers": (
        lambda lines: lines[-2]["run"].update(workers=-1),
        "log: counts fewer than no tests",
    ),
    **{
        f"end-{name}": (
            lambda lines, name=name, value=value: lines[-2]["run"].update({name: value}),  # type: ignore[misc]
            "log: says at its end another run, target or look than at its beginning",
        )
        for name, value in {
            "id": "f" * 32,
            "target": "gpu",
            "look": {
                "number": 1,
                "planned": 2,
                "spending": "pocock",
                "confidenceLevel": 0.97,
                "testDigest": "d",
            },
        }.items()
    },
}


@pytest.mark.parametrize("name", SENTENCES)
def test_every_rule_has_its_sentence(shards: Shards, name: str) -> None:
    edit, sentence = SENTENCES[name]
    assert malformed(shards, edit) == sentence


def test_a_count_of_none_is_a_count(shards: Shards) -> None:
    data = edited(shards, lambda lines: lines[-2]["run"].update(ordinaryTests={"failed": 0}, workers=0))
    run = read_run_log(data, where="log", allow_unsigned=True)
    assert run.summary is not None
    assert run.summary.ordinary_tests == {"failed": 0}


def test_fields_are_read_strictly(shards: Shards) -> None:
    for index, where in enumerate(("log:1", "log:2", "log:3", "log:4", "log:5")):
        told = malformed(shards, lambda lines, index=index: lines[index].update(more=1))  # type: ignore[misc]
        assert told.startswith(f"{where}: is not a valid Log")
        assert "unknown field 'more' @ $" in told
    path = shards.write(signer=None)
    *lines, seal = lines_of(path)
    rewrite(path, [*lines, {**seal, "more": 1}])
    told = refusal(shards, path.read_bytes(), allow_unsigned=True).message
    assert told.startswith("log: is not a valid LogSeal")


def test_lines_are_strict_json_and_errors_name_them(shards: Shards) -> None:
    path = shards.write(ended=False)
    head, *rest = path.read_bytes().splitlines(keepends=True)
    for line, told in (
        (b"{", "log:2: is not strict JSON"),
        (b"", "log:2: is not strict JSON"),
        (b'{"a":1,"a":2}', "log:2: is not strict JSON: the key 'a' stands twice in one object"),
        (b'{"a":NaN}', "log:2: is not strict JSON: NaN is not a JSON number"),
        (b"\xff", "log:2: is not UTF-8 (byte 0)"),
        (
            b'{"a":"' + b"x" * (DEFAULT_LIMITS.string_characters + 1) + b'"}',
            "log:2: holds a string of 65,537",
        ),
    ):
        reason = refusal(shards, b"".join([head, line + b"\n", *rest]), allow_unsigned=True)
        assert reason.code == "fragment-malformed"
        assert reason.message.startswith(told)
    assert refusal(shards, b"passed\n").message.startswith("log:1: is not strict JSON")


def test_bytes_that_are_no_log(shards: Shards) -> None:
    assert refusal(shards, b"").message == "log: holds no complete line, so it is no run log"
    assert refusal(shards, b"{}").message == "log: holds no complete line, so it is no run log"
    assert refusal(shards, b"[]\n").message == "log:1: is not a JSON object"
    limit = ENVELOPE_LIMITS.size_bytes
    assert refusal(shards, b" " * (limit + 1)).message == (
        f"log: has more than {limit:,} bytes, which no certificate could hold"
    )
    assert "complete line" in refusal(shards, b" " * limit).message


def test_a_seal_is_bound_to_its_run(shards: Shards) -> None:
    content = b"".join(shards.write().read_bytes().splitlines(keepends=True)[:-1])
    sealed = SealedLog(run_id="f" * 32, digest={"sha256": sha256_hex(content)})
    for payload_type, told in (
        (SEAL_TYPE, "log: is sealed as another run, or before its end"),
        (
            "application/vnd.in-toto+json",
            f"log: seal: has the payload type 'application/vnd.in-toto+json', not {SEAL_TYPE!r}",
        ),
    ):
        envelope = sign_record(sealed, payload_type, [shards.desk.key()])
        seal = dumps(LogSeal(envelope=envelope_json(envelope).decode())).encode()
        assert refusal(shards, content + seal + b"\n").message == told
    broken = dumps(LogSeal(envelope="{")).encode()
    assert refusal(shards, content + broken + b"\n").message.startswith("log: seal: is not strict JSON")


def test_more_than_one_digest_is_none(shards: Shards) -> None:
    content = b"".join(shards.write().read_bytes().splitlines(keepends=True)[:-1])
    digest = {"sha256": sha256_hex(content), "md5": "0" * 32}
    sealed = SealedLog(run_id=json.loads(content.splitlines()[0])["runId"], digest=digest)
    envelope = sign_record(sealed, SEAL_TYPE, [shards.desk.key()])
    seal = dumps(LogSeal(envelope=envelope_json(envelope).decode())).encode()
    assert refusal(shards, content + seal + b"\n").code == "fragment-altered"


def test_a_gate_defined_anew_by_its_run_stands_beside_the_first(shards: Shards) -> None:
    """`policy.decide` refuses two gates of one id; here none is lost."""
    data = edited(shards, lambda lines: lines[3]["gate"].update(severity="info"))
    run = read_run_log(data, where="log", allow_unsigned=True)
    assert run.gates == (*GATES, replace(GATES[0], severity=run.gates[-1].severity))
    assert run.gates[-1] != GATES[0]


def test_shares_cover_the_suite() -> None:
    assert sorted(gate for share in SHARES.values() for gate in share) == sorted(gate.id for gate in GATES)
