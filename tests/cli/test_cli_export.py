"""`prodml export`, `prodml schema`, and what `prodml verify` can also read, write and tell."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from certificate_factory import Desk, edited, not_ready, ready_with_waiver, signed
from pytest_prodml.certificate.dsse import envelope_json, parse_envelope, valid_signers
from pytest_prodml.certificate.exports import TEST_RESULT_TYPE, VERIFICATION_RESULT_TYPE
from pytest_prodml.certificate.forms import sigstore_bundle
from pytest_prodml.certificate.statement import read_statement
from pytest_prodml.cli import main
from pytest_prodml.cli.explain import STEPS
from pytest_prodml.verify.report import REASONS

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.key("risk")
    desk.certify(desk.build(issued_at=datetime.now(UTC)))
    return desk


def export(desk: Desk, form: str, *more: object) -> int:
    return main(["export", form, str(desk.certificate), "--out", str(desk.root / "out"), *map(str, more)])


def key(desk: Desk, name: str = "risk") -> Path:
    return desk.root / "keys" / f"{name}.key"


def verify(desk: Desk, *more: object, certificate: Path | None = None) -> int:
    given = [certificate or desk.certificate, "--key", desk.public(), "--model", desk.model]
    return main([str(item) for item in ("verify", *given, "--policy", desk.policy, *more)])


def test_bundles_verify(desk: Desk, capsys: Capture) -> None:
    assert export(desk, "sigstore") == 0
    [path] = map(Path, capsys.readouterr().out.split())
    assert path.name == f"certificate.1-{desk.key().keyid[:16]}.sigstore.json"
    assert verify(desk, certificate=path) == 0
    path.write_bytes(path.read_bytes().replace(b'"sig":"', b'"sig":"AAAA'))
    assert verify(desk, certificate=path) == 12


def test_key_ids_are_no_paths(desk: Desk, capsys: Capture) -> None:
    value = json.loads(desk.certificate.read_bytes())
    value["signatures"][0]["keyid"] = "../../evil"
    desk.certificate.write_text(json.dumps(value), encoding="utf-8")
    assert export(desk, "sigstore") == 0
    assert [file.name for file in (desk.root / "out").iterdir()] == ["certificate.1-e.sigstore.json"]
    assert capsys.readouterr().err == ""


def test_unsigned_certificate_has_no_bundle(desk: Desk, capsys: Capture) -> None:
    desk.certify(signers=())
    assert export(desk, "sigstore") == 2
    assert "not signed" in capsys.readouterr().err


def test_statement_without_a_key_is_no_envelope(desk: Desk, capsys: Capture) -> None:
    assert export(desk, "test-result") == 0
    assert "UNSIGNED" in capsys.readouterr().out
    read_statement((desk.root / "out").read_bytes(), TEST_RESULT_TYPE, where="out")


def test_statement_is_signed_by_the_key(desk: Desk) -> None:
    assert export(desk, "test-result", "--key", key(desk), "--signed-by", desk.public()) == 0
    envelope = parse_envelope((desk.root / "out").read_bytes().rstrip(b"\n"))
    assert valid_signers(envelope, [desk.key("risk").public_key])
    assert read_statement(envelope.payload, TEST_RESULT_TYPE, where="out").predicate["result"] == "PASSED"


def test_intoto_bundle_holds_certificate_and_statement(desk: Desk) -> None:
    assert export(desk, "intoto") == 0
    assert (desk.root / "out").read_bytes() == desk.certificate.read_bytes() + b"\n"
    assert export(desk, "intoto", "--key", key(desk), "--signed-by", desk.public()) == 0
    first, second = (desk.root / "out").read_bytes().splitlines()
    assert first == desk.certificate.read_bytes()
    assert valid_signers(parse_envelope(second), [desk.key("risk").public_key])


def test_nothing_is_signed_about_what_is_not_believed(desk: Desk, capsys: Capture) -> None:
    out = desk.root / "out"
    assert export(desk, "test-result", "--key", key(desk)) == 2
    assert export(desk, "test-result", "--signed-by", desk.public()) == 2
    assert export(desk, "test-result", "--key", key(desk), "--signed-by", desk.public("other")) == 2
    assert "not signed by a key of --signed-by" in capsys.readouterr().err
    statement = json.loads(edited(desk.certify(not_ready(desk))))
    statement["predicate"]["decision"]["outcome"] = "READY"
    forged = json.dumps(statement, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    desk.certificate.write_bytes(signed(desk, forged))
    assert export(desk, "test-result", "--key", key(desk), "--signed-by", desk.public()) == 2
    assert "its own evidence and policy give NOT_READY" in capsys.readouterr().err
    assert export(desk, "junit", "--key", key(desk), "--signed-by", desk.public()) == 2
    assert not out.exists()


def test_waived_certificate_is_exported_with_a_warning(desk: Desk) -> None:
    desk.certify(ready_with_waiver(desk))
    assert export(desk, "test-result", "--key", key(desk), "--signed-by", desk.public()) == 0
    payload = parse_envelope((desk.root / "out").read_bytes().rstrip(b"\n")).payload
    assert json.loads(payload)["predicate"]["result"] == "WARNED"


@pytest.mark.parametrize("is_ready", [True, False])
def test_openlineage(tmp_path: Path, is_ready: bool) -> None:
    """The event has what the specification asks for, and says of each gate whether it holds."""
    desk = Desk(tmp_path)
    desk.key("risk")
    desk.certify(desk.build() if is_ready else not_ready(desk))
    assert export(desk, "openlineage") == 0
    event = json.loads((desk.root / "out").read_bytes())
    assert event["eventType"] == ("COMPLETE" if is_ready else "FAIL")
    assert set(event) == {
        "eventType", "eventTime", "producer", "schemaURL", "run", "job", "inputs", "outputs",
    }  # fmt: skip
    assert UUID(event["run"]["runId"])
    assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
    [model, *_] = event["inputs"]
    held = {
        each["assertion"]: each["success"]
        for each in model["inputFacets"]["dataQualityAssertions"]["assertions"]
    }
    assert held
    assert all(held.values()) == is_ready
    assert ("errorMessage" in event["run"]["facets"]) == (not is_ready)
    facets = [*event["run"]["facets"].values(), *model["facets"].values(), *model["inputFacets"].values()]
    assert all(facet["_producer"] and facet["_schemaURL"] for facet in facets)


def test_openlineage_is_read_by_its_own_client(desk: Desk) -> None:
    facets = pytest.importorskip("openlineage.client.event_v2", reason="an optional client")
    generated = pytest.importorskip("openlineage.client.generated.data_quality_assertions_dataset")
    assert export(desk, "openlineage") == 0
    event = json.loads((desk.root / "out").read_bytes())
    [told] = [each["inputFacets"]["dataQualityAssertions"]["assertions"] for each in event["inputs"][:1]]
    read = facets.RunEvent(
        eventType=facets.RunState(event["eventType"]),
        eventTime=event["eventTime"],
        run=facets.Run(runId=event["run"]["runId"]),
        job=facets.Job(namespace=event["job"]["namespace"], name=event["job"]["name"]),
        inputs=[
            facets.InputDataset(
                namespace=each["namespace"],
                name=each["name"],
                inputFacets={
                    "dataQualityAssertions": generated.DataQualityAssertionsDatasetFacet(
                        assertions=[generated.Assertion(**assertion) for assertion in told]
                    )
                },
            )
            for each in event["inputs"]
        ],
    )
    assert read.run.runId == event["run"]["runId"]


def test_junit(desk: Desk) -> None:
    assert export(desk, "junit") == 0
    assert b'<testcase classname="prodml.fairness"' in (desk.root / "out").read_bytes()


def test_what_is_no_certificate_is_not_exported(desk: Desk) -> None:
    for data in (b"", b"{}", b"<p>", b'{"dsseEnvelope":{}}', desk.waiver()):
        desk.certificate.write_bytes(data)
        assert export(desk, "junit") == 2
        assert not (desk.root / "out").exists()


def test_schema_is_printed(capsys: Capture) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["additionalProperties"] is False


def test_summary_of_an_accepted_certificate(desk: Desk) -> None:
    out = desk.root / "svr.json"
    assert verify(desk, "--summary-out", out, "--summary-key", key(desk)) == 0
    envelope = parse_envelope(out.read_bytes())
    assert valid_signers(envelope, [desk.key("risk").public_key])
    statement = read_statement(envelope.payload, VERIFICATION_RESULT_TYPE, where="svr")
    assert statement.subjects == (desk.subject(),)
    properties: Any = statement.predicate["properties"]
    assert properties[0] == "PRODML_READY"


def test_refused_certificate_has_no_summary(desk: Desk, capsys: Capture) -> None:
    out = desk.root / "svr.json"
    assert verify(desk, "--summary-out", out, "--summary-key", key(desk)) == 0
    desk.model.write_bytes(b"another model")
    assert verify(desk, "--summary-out", out, "--summary-key", key(desk)) == 13
    assert not out.exists(), "that of an earlier verification is gone as well"
    assert verify(desk, "--summary-out", out) == 2
    assert verify(desk, "--summary-key", key(desk)) == 2
    moment = ("--at", "2026-11-22T09:31:00Z")
    assert verify(desk, "--summary-out", out, "--summary-key", key(desk), *moment) == 2
    assert not out.exists()
    assert "verified now" in capsys.readouterr().err


def test_explain_tells_every_step(desk: Desk, capsys: Capture) -> None:
    assert verify(desk, "--explain") == 0
    shown = capsys.readouterr().out
    assert [line[:2] for line in shown.splitlines() if line[0].isdigit()] == [f"{n}." for n in range(8)]
    assert shown.count("\n   ok\n") == 8
    assert desk.subject().digest["sha256"] in shown
    assert shown.endswith("Result: ACCEPTED\n")


def test_explain_stops_where_the_procedure_stops(desk: Desk, capsys: Capture) -> None:
    value = json.loads(desk.certificate.read_bytes())
    desk.certificate.write_text(json.dumps({**value, "signatures": []}), encoding="utf-8")
    assert verify(desk, "--explain") == 10
    shown = capsys.readouterr().out
    assert "REFUSED no-signature" in shown
    assert shown.count("NOT REACHED") == 5
    assert "credit-default" not in shown, "nothing that is not signed is told"
    desk.certificate.write_bytes(b"\x00")
    assert verify(desk, "--explain") == 11
    assert capsys.readouterr().out.count("NOT REACHED") == 6


def test_explain_tells_all_reasons(desk: Desk, capsys: Capture) -> None:
    desk.certify(not_ready(desk))
    desk.model.write_bytes(b"another model")
    assert verify(desk, "--explain", "--at", "2030-01-01T00:00:00Z") == 13
    shown = capsys.readouterr().out
    for code in ("subject-differs", "expired", "not-ready"):
        assert f"REFUSED {code}" in shown
    assert "NOT REACHED" not in shown


def test_explain_and_json_are_one_of_two(desk: Desk) -> None:
    assert verify(desk, "--explain", "--json") == 2


def test_every_reason_belongs_to_one_step() -> None:
    told = [code for _, codes in STEPS for code in codes]
    assert sorted(told) == sorted(REASONS)


def test_show_reads_every_form(desk: Desk, capsys: Capture) -> None:
    envelope = parse_envelope(desk.certificate.read_bytes())
    desk.certificate.write_bytes(sigstore_bundle(envelope, 0))
    assert main(["show", str(desk.certificate)]) == 0
    assert "READY" in capsys.readouterr().out
    desk.certificate.write_bytes(envelope_json(envelope))
    assert main(["show", str(desk.certificate), "--json"]) == 0
