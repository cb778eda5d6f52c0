"""Whatever the bytes, there is a report; and no edit is ever accepted with another content."""

from __future__ import annotations

import base64
import contextlib
import io
import json
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from certificate_factory import GATES, NOW, Desk, gate_runs, policy, ready_with_waiver, signed
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.dsse import MATERIAL_KIND, envelope_json, parse_envelope, sign
from pytest_prodml.certificate.forms import fill_page, read_form, rendering_of, sigstore_bundle
from pytest_prodml.certificate.statement import certificate_payload
from pytest_prodml.cli import main
from pytest_prodml.codec import canonical_json, sha256_hex
from pytest_prodml.errors import MalformedError
from pytest_prodml.records import JsonValue, Readiness
from pytest_prodml.render.html import render_html
from pytest_prodml.render.view import view
from pytest_prodml.verify.report import VerificationReport
from pytest_prodml.verify.revocation import REVOCATIONS_TYPE
from pytest_prodml.verify.subjects import present
from pytest_prodml.verify.trustroot import TRUST_ROOT_TYPE
from pytest_prodml.verify.verifier import verify
from trust_factory import BOTH, entry, revocation_list, signed_trust

Judged = partial[VerificationReport]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    desk.certify(ready_with_waiver(desk))
    return desk


@pytest.fixture(scope="module")
def judged(desk: Desk) -> Judged:
    """Return `verify` with everything but the certificate read once."""
    return partial(
        verify,
        keys=[desk.key().public_key],
        waiver_keys=[desk.key("risk").public_key],
        models=[present(desk.model)],
        policy=policy(),
        now=NOW + timedelta(minutes=1),
    )


def test_one_changed_bit_in_each_byte_of_an_envelope(desk: Desk, judged: Judged) -> None:
    """Accepted flips lie in the hint only, its text and its name, and never change the payload."""
    small = policy('name = "small"\nversion = "1"\n[require]\ngates = ["performance.auc"]\n')
    certificate = desk.build(
        gates=GATES[:1], runs=gate_runs((desk.subject(),))[:1], policy=small, materials=(), environments={}
    )
    data = issue(certificate, [desk.key()])
    judged = partial(judged, policy=small)
    assert judged(data).accepted
    payload = parse_envelope(data).payload
    start = data.index(b'"keyid":"')
    hint = range(start, data.index(b'","sig"', start))
    accepted = []
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << (position % 8)
        report = judged(bytes(flipped))
        assert int(report.exit_code) in {0, 10, 11, 12}
        if report.accepted:
            accepted.append(position)
            assert parse_envelope(bytes(flipped)).payload == payload
    assert set(accepted) <= set(hint)
    assert accepted, "a hint may say anything"


def test_one_changed_bit_in_what_a_trusted_key_signed(desk: Desk, judged: Judged) -> None:
    """A trusted signature does not make a damaged statement readable: always a report, mostly refused."""
    payload = parse_envelope(desk.certificate.read_bytes()).payload
    original, key = json.loads(payload), desk.key()
    for position in range(0, len(payload), 11):
        flipped = bytearray(payload)
        flipped[position] ^= 1 << (position % 8)
        report = judged(envelope_json(sign(bytes(flipped), [key])))
        assert int(report.exit_code) in {0, 1, 11, 13, 14, 15, 16, 17}
        if report.accepted:
            # What may change without a consequence is what decides nothing: names, numbers inside the limits.
            changed = json.loads(bytes(flipped))
            assert changed["subject"][0]["digest"] == original["subject"][0]["digest"]
            decision, before = changed["predicate"]["decision"], original["predicate"]["decision"]
            assert decision["outcome"] == before["outcome"]
            assert changed["predicate"]["expiresAt"] <= original["predicate"]["expiresAt"]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
@example(b"")
@example(b"\xff")
@example(b'{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":""}]}')
@example(b"[" * 5000)
@example(b"1" * 10_000)
@example(b'"\\ud800"')
def test_any_bytes_give_a_report(judged: Judged, data: bytes) -> None:
    report = judged(data)
    assert not report.accepted
    assert int(report.exit_code) in {10, 11, 12}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["payload", "payloadType", "signatures", "x"]), JSON))
def test_any_json_object_gives_a_report(judged: Judged, fields: dict[str, object]) -> None:
    assert not judged(json.dumps(fields).encode()).accepted


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_edit_of_a_signed_statement_gives_a_report(
    desk: Desk, judged: Judged, data: st.DataObject
) -> None:
    """Replace one value anywhere in a statement by any JSON and sign it with the trusted key."""
    document = json.loads(certificate_payload(ready_with_waiver(desk)))
    payload = any_edit_of_json(data, document)
    report = judged(signed(desk, payload))
    assert int(report.exit_code) in {0, 1, 11, 13, 14, 15, 16, 17}
    if report.accepted:
        assert report.decision in {Readiness.READY, Readiness.READY_WITH_WAIVERS}
        assert document["subject"][0]["digest"] == {"sha256": desk.subject().digest["sha256"]}


def edits(original: bytes) -> st.SearchStrategy[bytes]:
    """Return some of a document's bytes replaced, cut out, or put in; or any bytes at all."""
    part = st.sampled_from(PARTS) | st.binary(max_size=8)
    change = st.tuples(st.integers(0, len(original)), st.integers(0, 40), part)

    def changed(changes: list[tuple[int, int, bytes]]) -> bytes:
        data = original
        for position, length, inserted in changes:
            data = data[:position] + inserted + data[position + length :]
        return data

    return st.lists(change, min_size=1, max_size=3).map(changed) | st.binary(max_size=60)


PARTS = (b"", b"0", b"1", b'"', b"{", b"}", b"[", b"]", b",", b"\n", b"\0", b"\xff", b"null", b"1e999", b"NaN",
         b"[" * 40, b"9" * 30, b"\\ud800", b"\xef\xbb\xbf", b"\xe2\x80\xae", b"=", b"/", b"-", b"_")  # fmt: skip


def any_edit_of_json(data: st.DataObject, document: object) -> bytes:
    """Replace one value anywhere in a document by any JSON."""
    place = document
    while isinstance(place, (dict, list)) and place:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
            place[key] = data.draw(JSON)
            break
        place = inner
    try:
        return canonical_json(cast("JsonValue", document))
    except MalformedError:
        return json.dumps(document).encode()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Return a gate with everything that can be given to it, each file sound: it accepts."""
    desk = Desk(tmp_path_factory.mktemp("site"))
    desk.certify(ready_with_waiver(desk), signers=BOTH)
    signed_trust(desk, "root", revocation='role = "security"\nrequired = true')
    (desk.root / "trust-1-root.json").rename(desk.root / "trust.json")
    revocation_list(desk)
    revocation_list(desk, entry("certificate", desk.build().id), name="revoked.json", version=2)
    assert asked(desk) == (0, desk_payload(desk))
    assert asked(desk, trust="trust.json") == (0, desk_payload(desk))
    return desk


def desk_payload(desk: Desk) -> str:
    return sha256_hex(parse_envelope(desk.certificate.read_bytes()).payload)


def asked(
    desk: Desk, certificate: str = "certificate.json", trust: str = "trust.toml",
    revocations: str = "revocations.json", state: str | None = None, policy_file: str = "policy.toml",
) -> tuple[int, str | None]:  # fmt: skip
    """Ask `prodml verify`; return its exit status and, if it accepts, the digest of the payload it accepted."""
    given = ["verify", certificate, "--trust", trust, "--revocations", revocations, "--model", "model.onnx"]
    given += ["--policy", policy_file, "--at", "2026-11-22T09:31:00Z", "--json"]
    given += ["--root", "keys/root.pub"] if trust.endswith(".json") else []
    given += ["--state", state] if state is not None else []
    told = io.StringIO()
    with contextlib.chdir(desk.root), contextlib.redirect_stdout(told):
        status = main(given)
    report = json.loads(told.getvalue())
    assert (report["exitCode"], report["accepted"]) == (status, status == 0)
    assert report["accepted"] == (not report["reasons"])
    # An error of the program itself; `prodml` turns it into a refusal, here it is a failure.
    assert status != 70, report["reasons"]
    return status, report["payloadSha256"] if status == 0 else None


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_bytes_as_trust_toml(site: Desk, data: st.DataObject) -> None:
    """Whoever may write this file decides whom the gate believes; it still believes only what they signed."""
    text = (site.root / "trust.toml").read_bytes()
    (site.root / "odd.toml").write_bytes(data.draw(edits(text)))
    status, payload = asked(site, trust="odd.toml")
    assert status in {0, 2, 12, 14, 15, 16}
    assert payload in {None, desk_payload(site)}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_bytes_as_a_signed_trust_root(site: Desk, data: st.DataObject) -> None:
    original = (site.root / "trust.json").read_bytes()
    changed = data.draw(edits(original))
    (site.root / "odd.json").write_bytes(changed)
    status, _ = asked(site, trust="odd.json")
    assert status in {0, 2, 12}
    if status == 0:
        assert parse_envelope(changed).payload == parse_envelope(original).payload


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_trust_root_that_its_root_key_signed(site: Desk, data: st.DataObject) -> None:
    document = json.loads(parse_envelope((site.root / "trust.json").read_bytes()).payload)
    payload = any_edit_of_json(data, document)
    envelope = sign(payload, [site.key("root")], payload_type=TRUST_ROOT_TYPE)
    (site.root / "odd.json").write_bytes(envelope_json(envelope))
    status, accepted = asked(site, trust="odd.json")
    # 2: the root asks for a state file (requireState) and none is given.
    assert status in {0, 2, 12, 14, 15, 16}
    assert accepted in {None, desk_payload(site)}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_edit_of_a_revocation_list_takes_a_revocation_back(site: Desk, data: st.DataObject) -> None:
    original = (site.root / "revoked.json").read_bytes()
    (site.root / "odd.json").write_bytes(data.draw(edits(original)))
    assert asked(site, revocations="odd.json")[0] in {11, 16}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_revocation_list_that_its_role_signed(site: Desk, data: st.DataObject) -> None:
    document = json.loads(parse_envelope((site.root / "revoked.json").read_bytes()).payload)
    payload = any_edit_of_json(data, document)
    envelope = sign(payload, [site.key("sec")], payload_type=REVOCATIONS_TYPE)
    (site.root / "odd.json").write_bytes(envelope_json(envelope))
    status, accepted = asked(site, revocations="odd.json")
    assert status in {0, 12, 16}
    assert accepted in {None, desk_payload(site)}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_bytes_as_a_state_file(site: Desk, data: st.DataObject) -> None:
    """A state that can not be read is left as it lies there, for somebody to look at."""
    state = site.root / "state.json"
    if not state.exists():
        assert asked(site, state="state.json")[0] == 0
    odd = site.root / "odd-state.json"
    changed = data.draw(edits(state.read_bytes()))
    odd.write_bytes(changed)
    odd.chmod(0o600)
    status, accepted = asked(site, state="odd-state.json")
    assert status in {0, 2, 12, 14, 16}
    assert accepted in {None, desk_payload(site)}
    if status == 2:
        assert odd.read_bytes() == changed


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_edit_of_a_waiver_by_the_issuer_counts(site: Desk, data: st.DataObject) -> None:
    """The issuer signs whatever is embedded; only what the approver signed carries a gate."""
    document = json.loads(parse_envelope(site.certificate.read_bytes()).payload)
    waiver = document["predicate"]["waivers"][0].encode()
    changed = data.draw(edits(waiver)).decode("utf-8", "replace")
    document["predicate"]["waivers"] = [changed]
    envelope = sign(canonical_json(document), [site.key(name) for name in BOTH])
    (site.root / "odd.json").write_bytes(envelope_json(envelope))
    status, _ = asked(site, certificate="odd.json")
    assert status in {0, 11, 15, 16, 17}
    if status == 0:
        assert parse_envelope(changed.encode()).payload == parse_envelope(waiver).payload


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_bytes_as_a_policy(site: Desk, data: st.DataObject) -> None:
    (site.root / "odd.toml").write_bytes(data.draw(edits((site.root / "policy.toml").read_bytes())))
    status, accepted = asked(site, policy_file="odd.toml")
    assert status in {0, 2, 12, 14, 15, 16}
    assert accepted in {None, desk_payload(site)}


@pytest.fixture(scope="module")
def page(site: Desk) -> bytes:
    made = ready_with_waiver(site)
    keys = [site.key(name) for name in BOTH]
    shown = view(made, keyids=[key.keyid for key in keys], payload_digest="", signed=True)
    empty = render_html(shown).encode()
    return fill_page(empty, issue(replace(made, renderings=(rendering_of(empty),)), keys))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_edit_of_a_page_is_accepted(site: Desk, page: bytes, data: st.DataObject) -> None:
    """Neither of its text nor of what is in its slot, except for what an envelope may say without a signature."""
    begin = page.index(b'id="prodml-envelope">') + len(b'id="prodml-envelope">')
    end = page.index(b"</script>", begin)
    if data.draw(st.booleans()):
        envelope = data.draw(edits(base64.b64decode(page[begin:end])))
        changed = page[:begin] + base64.b64encode(envelope) + page[end:]
    else:
        changed = data.draw(edits(page))
    (site.root / "odd.html").write_bytes(changed)
    status, accepted = asked(site, certificate="odd.html")
    assert status in {0, 10, 11, 12}
    if status == 0:
        assert accepted == sha256_hex(read_form(page).envelope.payload)
        assert (changed[:begin], changed[-len(page) + end :]) == (page[:begin], page[end:])


@pytest.fixture(scope="module")
def bundle(desk: Desk) -> bytes:
    return sigstore_bundle(parse_envelope(issue(desk.build(), [desk.key()])), 0)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_edit_of_a_bundle_is_accepted_with_another_content(
    judged: Judged, bundle: bytes, data: st.DataObject
) -> None:
    changed = data.draw(edits(bundle))
    report = judged(changed)
    assert int(report.exit_code) in {0, 10, 11, 12}
    if report.accepted:
        assert report.payload_sha256 == sha256_hex(read_form(bundle).envelope.payload)


@settings(max_examples=80, deadline=None)
@given(st.booleans(), JSON)
def test_any_proof_of_an_identity_beside_a_signature(
    desk: Desk, judged: Judged, as_material: bool, proof: object
) -> None:
    """Who looks for keys ignores it, whatever it is, and what is no proof at all makes no other certificate."""
    original = desk.certificate.read_bytes()
    fields = json.loads(original)
    extension = {"kind": MATERIAL_KIND, "ext": proof} if as_material else proof
    fields["signatures"][0]["extension"] = extension
    report = judged(json.dumps(fields).encode())
    assert int(report.exit_code) in {0, 11}
    if report.accepted:
        assert report.payload_sha256 == sha256_hex(parse_envelope(original).payload)
