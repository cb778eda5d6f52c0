"""Every refusal in full: code, place and sentence. Who is refused must see from the report alone what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import (
    NOW,
    POLICY_TOML,
    Desk,
    edited,
    not_ready,
    policy,
    ready,
    ready_with_waiver,
    signed,
    with_payload,
)
from pytest_prodml.certificate.digest import directory_subject, subject_of
from pytest_prodml.certificate.document import sign_record
from pytest_prodml.certificate.dsse import envelope_json, parse_envelope
from pytest_prodml.certificate.forms import fill_page
from pytest_prodml.certificate.statement import PRODUCER, certificate_payload
from pytest_prodml.codec import digest_of, sha256_hex
from pytest_prodml.errors import ProdmlError
from pytest_prodml.policy.load import policy_digest
from pytest_prodml.records import Burden, Comparison, Limit, Readiness, Subject
from pytest_prodml.render.html import render_html
from pytest_prodml.render.view import view
from pytest_prodml.verify.acceptance import open_list
from pytest_prodml.verify.cosign import check_before_signing, missing_roles
from pytest_prodml.verify.report import AppliedWaiver, Reason, VerificationReport, report_json
from pytest_prodml.verify.revocation import (
    REVOCATIONS_TYPE,
    Revocation,
    RevocationList,
    list_problems,
    open_own,
    read_revocations,
)
from pytest_prodml.verify.state import SeenCertificate, SeenRevocations, SeenTrust, State, locked_state
from pytest_prodml.verify.subjects import Artifact, present, present_bytes
from pytest_prodml.verify.trust import counting_keys, load_keys
from pytest_prodml.verify.trustfile import RootPin, load_trust, pin_of, sign_trust
from pytest_prodml.verify.trustroot import TrustRoot
from pytest_prodml.verify.verifier import replay_reasons
from told_sentences import SENTENCES
from trust_factory import (
    BOTH,
    LATER,
    PEOPLE,
    entry,
    gate,
    revocation_list,
    signed_trust,
    trust_text,
    write_trust,
)

Told = list[tuple[str, str, str]]
Scenario = Callable[[Desk], VerificationReport]
SCENARIOS: dict[str, Scenario] = {}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def scenario(function: Scenario) -> Scenario:
    SCENARIOS[function.__name__] = function
    return function


def told(desk: Desk, reasons: Sequence[Reason]) -> Told:
    """Return code, place and sentence of each reason, with names for what differs from run to run."""
    names = {str(desk.root): "DESK", desk.subject().digest["sha256"]: "SHA256-OF-MODEL"}
    for key in sorted((desk.root / "keys").glob("*.key")):
        names[desk.key(key.stem).keyid] = f"KEYID-OF-{key.stem}"
        names[desk.key(key.stem).keyid[:16]] = f"KEY-{key.stem}"
    found = []
    for reason in reasons:
        message, path = reason.message, reason.path
        for text, name in names.items():
            message, path = message.replace(text, name), path.replace(text, name)
        found.append((reason.code, path, message))
    return found


# --- plain keys ---------------------------------------------------------------------------------------------


@scenario
def not_a_certificate(desk: Desk) -> VerificationReport:
    return desk.verify(b"{}")


@scenario
def unsigned(desk: Desk) -> VerificationReport:
    return desk.verify(b'{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[]}')


@scenario
def another_key(desk: Desk) -> VerificationReport:
    return desk.verify(desk.certify(signers=["other"]))


@scenario
def changed_content(desk: Desk) -> VerificationReport:
    data = desk.certify(signers=["ci", "other"])
    both = [desk.key("ci").public_key, desk.key("other").public_key]
    return desk.verify(with_payload(data, b"{}"), keys=both)


@scenario
def hostile_hint(desk: Desk) -> VerificationReport:
    data = desk.certify(signers=["other"]).replace(desk.key("other").keyid.encode(), b"<script>")
    return desk.verify(data, keys=[])


@scenario
def below_the_threshold(desk: Desk) -> VerificationReport:
    return desk.verify(desk.certify(), policy=replace(policy(), min_signatures=2))


@scenario
def other_payload_type(desk: Desk) -> VerificationReport:
    return desk.verify(signed(desk, certificate_payload(ready(desk)), payload_type="application/json"))


@scenario
def endless_payload_type(desk: Desk) -> VerificationReport:
    return desk.verify(signed(desk, b"{}", payload_type="x" * 300))


@scenario
def other_predicate_type(desk: Desk) -> VerificationReport:
    return desk.verify(desk.waiver(signer="ci"))


@scenario
def broken_statement(desk: Desk) -> VerificationReport:
    return desk.verify(signed(desk, certificate_payload(ready(desk)) + b"\n"))


@scenario
def other_model(desk: Desk) -> VerificationReport:
    desk.certify()
    desk.model.write_bytes(b"other")
    return desk.verify()


@scenario
def wrong_name(desk: Desk) -> VerificationReport:
    desk.certify()
    return desk.verify(models=[present(desk.model, "champion.onnx")])


@scenario
def unreadable_model(desk: Desk) -> VerificationReport:
    desk.certify()
    return desk.verify(models=[present(desk.root / "absent.onnx")])


@scenario
def no_model(desk: Desk) -> VerificationReport:
    desk.certify()
    return desk.verify(models=[])


def _two(desk: Desk) -> Path:
    second = desk.root / "vocabulary.txt"
    second.write_bytes(b"a b c")
    desk.certify(desk.build(subjects=(desk.subject(), subject_of(second))))
    return second


@scenario
def a_companion_is_missing(desk: Desk) -> VerificationReport:
    _two(desk)
    return desk.verify()


@scenario
def none_of_two(desk: Desk) -> VerificationReport:
    _two(desk)
    return desk.verify(models=[present_bytes(b"other", "/models/other.onnx"), present(desk.model)])


@scenario
def unknown_name_of_two(desk: Desk) -> VerificationReport:
    return desk.verify(models=[present(_two(desk), "words.txt"), present(desk.model)])


@scenario
def one_extra(desk: Desk) -> VerificationReport:
    desk.certify()
    return desk.verify(models=[present(desk.model), present_bytes(b"other", "extra.bin")])


def _directory(desk: Desk, files: dict[str, bytes]) -> Path:
    folder = desk.root / "model"
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@scenario
def changed_directory(desk: Desk) -> VerificationReport:
    folder = _directory(desk, {"a": b"1", "b": b"2", "c": b"3"})
    desk.certify(desk.build(subjects=(directory_subject(folder),)))
    (folder / "a").write_bytes(b"changed")
    (folder / "b").unlink()
    _directory(desk, {"d": b"4"})
    return desk.verify(models=[present(folder)])


@scenario
def very_changed_directory(desk: Desk) -> VerificationReport:
    folder = _directory(desk, {"a": b"1"})
    desk.certify(desk.build(subjects=(directory_subject(folder),)))
    _directory(desk, {f"x{number:02d}": b"" for number in range(12)})
    return desk.verify(models=[present(folder)])


@scenario
def eleven_changes(desk: Desk) -> VerificationReport:
    folder = _directory(desk, {"a": b"1"})
    desk.certify(desk.build(subjects=(directory_subject(folder),)))
    _directory(desk, {f"x{number:02d}": b"" for number in range(11)})
    return desk.verify(models=[present(folder)])


@scenario
def file_in_place_of_a_directory(desk: Desk) -> VerificationReport:
    desk.certify(desk.build(subjects=(directory_subject(_directory(desk, {"a": b"1"})),)))
    return desk.verify()


@scenario
def ten_changes(desk: Desk) -> VerificationReport:
    folder = _directory(desk, {"a": b"1"})
    desk.certify(desk.build(subjects=(directory_subject(folder),)))
    _directory(desk, {f"x{number:02d}": b"" for number in range(10)})
    return desk.verify(models=[present(folder)])


@scenario
def file_for_a_directory(desk: Desk) -> VerificationReport:
    folder = _directory(desk, {"a": b"1"})
    made = directory_subject(folder)
    desk.certify(desk.build(subjects=(made,)))
    return desk.verify(
        models=[Artifact(location="m.txt", subject=Subject(name="m.txt", digest=dict(made.digest)))]
    )


@scenario
def directory_for_a_file(desk: Desk) -> VerificationReport:
    folder = _directory(desk, {"a": b"1"})
    made = directory_subject(folder)
    desk.certify(desk.build(subjects=(Subject(name="m.txt", digest=dict(made.digest)),)))
    return desk.verify(models=[present(folder)])


@scenario
def too_early(desk: Desk) -> VerificationReport:
    desk.certify()
    return desk.verify(now=NOW - timedelta(hours=1))


@scenario
def too_late(desk: Desk) -> VerificationReport:
    desk.certify()
    return desk.verify(now=NOW + timedelta(days=90, hours=1))


@scenario
def too_long_a_window(desk: Desk) -> VerificationReport:
    desk.certify()
    return desk.verify(policy=policy(POLICY_TOML.replace('"90d"', '"89d"')))


@scenario
def empty_window(desk: Desk) -> VerificationReport:
    data = desk.certify()
    return desk.verify(signed(desk, edited(data, expiresAt="2026-11-22T09:30:00Z")))


@scenario
def false_outcome(desk: Desk) -> VerificationReport:
    made = not_ready(desk)
    lie = replace(made, decision=replace(made.decision, outcome=Readiness.READY))
    return desk.verify(desk.certify(lie))


@scenario
def false_reasons(desk: Desk) -> VerificationReport:
    made = not_ready(desk)
    return desk.verify(desk.certify(replace(made, decision=replace(made.decision, run_id="another"))))


@scenario
def record_of_a_bad_model(desk: Desk) -> VerificationReport:
    return desk.verify(desk.certify(not_ready(desk)))


@scenario
def a_stricter_policy_here(desk: Desk) -> VerificationReport:
    desk.certify()
    limit = Limit(gate="performance.auc", metric="roc_auc", comparison=Comparison.AT_LEAST, limit=0.9)
    return desk.verify(policy=replace(policy(), name="stricter", limits=(limit,)))


@scenario
def a_bad_model_and_a_stricter_policy(desk: Desk) -> VerificationReport:
    desk.certify(not_ready(desk))
    limit = Limit(gate="performance.auc", metric="roc_auc", comparison=Comparison.AT_LEAST, limit=0.776)
    return desk.verify(policy=replace(policy(), limits=(limit,)))


@scenario
def a_guard_here(desk: Desk) -> VerificationReport:
    desk.certify()
    return desk.verify(policy=replace(policy(), burden=Burden.VIOLATION))


@scenario
def a_guard_at_the_issue(desk: Desk) -> VerificationReport:
    desk.certify(desk.build(policy=replace(policy(), burden=Burden.VIOLATION)))
    return desk.verify()


@scenario
def false_verdict(desk: Desk) -> VerificationReport:
    made = ready(desk)
    verdicts = (replace(made.decision.verdicts[0], message="all is well"), *made.decision.verdicts[1:])
    return desk.verify(desk.certify(replace(made, decision=replace(made.decision, verdicts=verdicts))))


@scenario
def left_out_verdict(desk: Desk) -> VerificationReport:
    made = ready(desk)
    return desk.verify(
        desk.certify(replace(made, decision=replace(made.decision, verdicts=made.decision.verdicts[1:])))
    )


@scenario
def false_code_by_another_version(desk: Desk) -> VerificationReport:
    made = replace(ready(desk), producer=replace(PRODUCER, version="9.0"))
    first = replace(made.decision.verdicts[0], message="in other words", reason="refuted")
    decision = replace(made.decision, verdicts=(first, *made.decision.verdicts[1:]), reasons=("so it is",))
    return desk.verify(desk.certify(replace(made, decision=decision)))


@scenario
def a_page_of_another_certificate(desk: Desk) -> VerificationReport:
    shown = view(ready(desk), keyids=[desk.key().keyid], payload_digest="", signed=True)
    return desk.verify(fill_page(render_html(shown).encode(), desk.certify()))


# --- waivers ------------------------------------------------------------------------------------------------


def _waived(desk: Desk, *, change: dict[str, Any] | None = None, **options: Any) -> VerificationReport:
    desk.certify(ready_with_waiver(desk, **(change or {})))
    return desk.verify(**{"waiver_keys": [desk.key("risk").public_key], **options})


@scenario
def waiver_expired(desk: Desk) -> VerificationReport:
    return _waived(desk, now=NOW + timedelta(days=31))


@scenario
def waiver_not_begun(desk: Desk) -> VerificationReport:
    return _waived(desk, change={"issued_at": NOW}, now=NOW - timedelta(minutes=1))


@scenario
def waiver_untrusted(desk: Desk) -> VerificationReport:
    return _waived(desk, waiver_keys=[])


@scenario
def waiver_self_approved(desk: Desk) -> VerificationReport:
    return _waived(desk, change={"signer": "ci"}, waiver_keys=[])


@scenario
def waiver_not_allowed(desk: Desk) -> VerificationReport:
    return _waived(desk, policy=policy(POLICY_TOML.replace('gates = ["fairness.age"]', "gates = []")))


@scenario
def waiver_too_long(desk: Desk) -> VerificationReport:
    return _waived(desk, policy=policy(POLICY_TOML.replace("max_days = 60", "max_days = 30")))


@scenario
def waiver_of_another_model(desk: Desk) -> VerificationReport:
    text = desk.waiver(subject_digest="b" * 64)
    desk.certify(desk.build(age_gap=0.2, waivers=[text]))
    return desk.verify(waiver_keys=[desk.key("risk").public_key])


@scenario
def waiver_by_name(desk: Desk) -> VerificationReport:
    text = desk.waiver(subject_digest=None, subject_name="model.*", expires_at=NOW + timedelta(days=7))
    named = policy(POLICY_TOML + "\n[waivers.by_name]\nmax = 1\nmax_days = 14\n")
    desk.certify(desk.build(age_gap=0.2, waivers=[text], policy=named))
    return desk.verify(waiver_keys=[desk.key("risk").public_key])


@scenario
def no_waiver_at_all(desk: Desk) -> VerificationReport:
    made = replace(ready_with_waiver(desk), waivers=("{}",))
    return desk.verify(signed(desk, certificate_payload(made)))


@scenario
def one_waiver_lost_and_one_not_allowed(desk: Desk) -> VerificationReport:
    """What is missing comes first, in whatever order the certificate holds them."""
    elsewhere = desk.waiver(id="w-2", gate_id="pipeline.parity", expires_at=NOW + timedelta(days=50))
    desk.certify(desk.build(age_gap=0.2, waivers=[elsewhere, desk.waiver()]))
    return desk.verify(waiver_keys=[desk.key("risk").public_key], now=NOW + timedelta(days=31))


@scenario
def one_waiver_not_allowed_is_enough_to_refuse(desk: Desk) -> VerificationReport:
    long = desk.waiver(expires_at=NOW + timedelta(days=50))
    desk.certify(desk.build(age_gap=0.2, waivers=[long]))
    short = policy(POLICY_TOML.replace("max_days = 60", "max_days = 30"))
    return desk.verify(policy=short, waiver_keys=[desk.key("risk").public_key])


def _list(desk: Desk, *entries: Revocation) -> RevocationList:
    data = Path(revocation_list(desk, *entries)).read_bytes()
    return read_revocations(parse_envelope(data), where="list")


@scenario
def plain_keys_and_a_list_with_one(desk: Desk) -> VerificationReport:
    made = _list(desk, entry("key", desk.key("ci").keyid))
    keys = [desk.key("ci").public_key, desk.key("other").public_key]
    return desk.verify(desk.certify(signers=["ci"]), keys=keys, revocations=made)


@scenario
def plain_approvers_and_a_list_with_one(desk: Desk) -> VerificationReport:
    made = _list(desk, entry("key", desk.key("risk").keyid))
    return _waived(desk, revocations=made)


# --- a trust root -------------------------------------------------------------------------------------------


def _trusted(
    desk: Desk, *, signers: Sequence[str] = BOTH, root: Any = None, **options: Any
) -> VerificationReport:
    write_trust(desk, **(root or {}))
    made = options.pop("build", {})
    certificate = desk.build(**{name: value for name, value in made.items() if name != "serial"})
    if "serial" in made:
        certificate = replace(certificate, serial=made["serial"])
    desk.certify(certificate, signers=signers)
    return gate(desk, **options)


@scenario
def role_missing(desk: Desk) -> VerificationReport:
    return _trusted(desk, signers=("ds",))


@scenario
def nobody_of_the_trust_root(desk: Desk) -> VerificationReport:
    return _trusted(desk, signers=("other",))


@scenario
def key_out_of_window(desk: Desk) -> VerificationReport:
    return _trusted(desk, root={"windows": {"ci": "valid_until = 2026-11-01T00:00:00Z"}})


@scenario
def key_revoked(desk: Desk) -> VerificationReport:
    desk.public("ci")
    made = revocation_list(desk, entry("key", desk.key("ci").keyid))
    return _trusted(desk, revocations=made)


@scenario
def one_revoked_and_one_closed(desk: Desk) -> VerificationReport:
    people = {"ds": "data-science", "ci": "platform", "cd": "platform", "risk": "risk", "sec": "security"}
    desk.public("ci")
    made = revocation_list(desk, entry("key", desk.key("ci").keyid))
    root = {"people": people, "windows": {"cd": "valid_until = 2026-11-01T00:00:00Z"}}
    return _trusted(desk, signers=("ds", "ci", "cd"), root=root, revocations=made)


@scenario
def more_than_the_roles(desk: Desk) -> VerificationReport:
    desk.policy.write_text(POLICY_TOML.replace("min_signatures = 1", "min_signatures = 3"), "utf-8")
    return _trusted(desk)


@scenario
def certificate_revoked(desk: Desk) -> VerificationReport:
    desk.public("sec")
    identity = "5f0c6a52-7d0b-4a55-9d53-6c1f7b1a4c11"
    things = [
        entry("certificate", identity),
        entry("serial", "7", model_name="credit-default"),
        entry("subject", desk.subject().digest["sha256"]),
    ]
    return _trusted(desk, build={"serial": 7}, revocations=revocation_list(desk, *things))


@scenario
def waiver_revoked(desk: Desk) -> VerificationReport:
    made = revocation_list(desk, entry("waiver", "w-1"))
    return _trusted(desk, build={"age_gap": 0.2, "waivers": [desk.waiver()]}, revocations=made)


@scenario
def approver_revoked(desk: Desk) -> VerificationReport:
    made = revocation_list(desk, entry("key", desk.key("risk").keyid))
    return _trusted(desk, build={"age_gap": 0.2, "waivers": [desk.waiver()]}, revocations=made)


@scenario
def approver_out_of_window(desk: Desk) -> VerificationReport:
    root = {"windows": {"risk": "valid_until = 2026-11-01T00:00:00Z"}}
    return _trusted(desk, root=root, build={"age_gap": 0.2, "waivers": [desk.waiver()]})


@scenario
def list_missing(desk: Desk) -> VerificationReport:
    return _trusted(desk, root={"revocation": 'role = "security"'})


@scenario
def list_not_there(desk: Desk) -> VerificationReport:
    return _trusted(desk, revocations=str(desk.root / "absent.json"))


@scenario
def list_by_plain_http(desk: Desk) -> VerificationReport:
    return _trusted(desk, revocations="http://localhost/list")


@scenario
def list_too_old(desk: Desk) -> VerificationReport:
    made = revocation_list(desk, issued_at=NOW - timedelta(days=3))
    return _trusted(desk, root={"revocation": 'role = "security"'}, revocations=made)


@scenario
def list_from_the_future(desk: Desk) -> VerificationReport:
    made = revocation_list(desk, issued_at=NOW + timedelta(hours=1))
    return _trusted(desk, root={"revocation": 'role = "security"'}, revocations=made)


@scenario
def list_overdue(desk: Desk) -> VerificationReport:
    made = revocation_list(desk, issued_at=NOW - timedelta(hours=2), next_update=NOW)
    return _trusted(desk, root={"revocation": 'role = "security"'}, revocations=made)


@scenario
def list_by_somebody_else(desk: Desk) -> VerificationReport:
    return _trusted(desk, revocations=revocation_list(desk, signer="risk"))


@scenario
def list_that_is_none(desk: Desk) -> VerificationReport:
    path = desk.root / "list.json"
    path.write_bytes(signed(desk, b"{}", signer="sec"))
    return _trusted(desk, revocations=str(path))


def _raw_list(desk: Desk, *entries: Revocation, **changes: Any) -> str:
    made = RevocationList(version=1, issued_at=NOW, next_update=LATER, entries=entries)
    path = desk.root / "raw.json"
    key = desk.key("sec")
    path.write_bytes(envelope_json(sign_record(replace(made, **changes), REVOCATIONS_TYPE, [key])))
    return str(path)


@scenario
def unsound_list(desk: Desk) -> VerificationReport:
    return _trusted(desk, revocations=_raw_list(desk, *[entry("key", "A" * 64)] * 30, version=0))


@scenario
def list_against_its_signer(desk: Desk) -> VerificationReport:
    return _trusted(desk, revocations=_raw_list(desk, entry("key", desk.key("sec").keyid)))


@scenario
def list_that_is_no_envelope(desk: Desk) -> VerificationReport:
    return _trusted(desk, revocations=str(desk.model))


@scenario
def older_list(desk: Desk) -> VerificationReport:
    state = desk.root / "state.json"
    _trusted(desk, revocations=revocation_list(desk, version=3), state=state)
    return gate(desk, revocations=revocation_list(desk, version=2), state=state)


@scenario
def another_list_of_one_version(desk: Desk) -> VerificationReport:
    state = desk.root / "state.json"
    _trusted(desk, revocations=revocation_list(desk, version=3), state=state)
    return gate(desk, revocations=revocation_list(desk, entry("waiver", "w-9"), version=3), state=state)


@scenario
def trust_root_expired(desk: Desk) -> VerificationReport:
    return _trusted(desk, root={"head": "expires = 2026-11-22T09:31:00Z"})


@scenario
def older_trust_root(desk: Desk) -> VerificationReport:
    state = desk.root / "state.json"
    _trusted(desk, root={"version": 3}, state=state)
    write_trust(desk, version=2)
    return gate(desk, state=state)


@scenario
def another_trust_root_of_one_version(desk: Desk) -> VerificationReport:
    state = desk.root / "state.json"
    _trusted(desk, state=state)
    write_trust(desk, head="require_state = true")
    return gate(desk, state=state)


@scenario
def trust_root_by_somebody_else(desk: Desk) -> VerificationReport:
    path = signed_trust(desk, "other")
    desk.certify(signers=BOTH)
    return gate(desk, trust=path, roots=[desk.public("root")])


@scenario
def trust_root_with_too_few_of_its_own(desk: Desk) -> VerificationReport:
    path = signed_trust(desk, "root", root=("root", "root2"), root_threshold=2)
    desk.certify(signers=BOTH)
    return gate(desk, trust=path, roots=[desk.public("root")])


@scenario
def state_missing(desk: Desk) -> VerificationReport:
    return _trusted(desk, root={"head": "require_state = true"}, build={"serial": 1})


@scenario
def no_serial(desk: Desk) -> VerificationReport:
    return _trusted(
        desk, root={"head": "require_state = true"}, build={"serial": None}, state=desk.root / "state.json"
    )


@scenario
def issued_too_early(desk: Desk) -> VerificationReport:
    return _trusted(desk, root={"head": "not_issued_before = 2026-11-22T09:30:01Z"})


@scenario
def policies_not_accepted(desk: Desk) -> VerificationReport:
    head = f'gate_policies = ["{"1" * 64}"]\ncertificate_policies = ["{"2" * 64}"]'
    return _trusted(desk, root={"head": head})


def _replayed(desk: Desk, first: int | None, then: int | None, **changes: Any) -> VerificationReport:
    state = desk.root / "state.json"
    _trusted(desk, build={"serial": first}, state=state)
    desk.certify(replace(desk.build(nonce="f" * 32, **changes), serial=then), signers=BOTH)
    return gate(desk, state=state)


@scenario
def replayed(desk: Desk) -> VerificationReport:
    return _replayed(desk, 8, 7)


@scenario
def replayed_without_a_serial(desk: Desk) -> VerificationReport:
    return _replayed(desk, 8, None)


@scenario
def replayed_by_time(desk: Desk) -> VerificationReport:
    return _replayed(desk, None, None)


@scenario
def unreadable_state(desk: Desk) -> VerificationReport:
    (desk.root / "state.json").write_text("[]")
    (desk.root / "state.json").chmod(0o600)
    return _trusted(desk, state=desk.root / "state.json")


@scenario
def future_state(desk: Desk) -> VerificationReport:
    (desk.root / "state.json").write_text('{"format":2}')
    (desk.root / "state.json").chmod(0o600)
    return _trusted(desk, state=desk.root / "state.json")


@scenario
def state_open_to_others(desk: Desk) -> VerificationReport:
    (desk.root / "state.json").write_text("{}")
    (desk.root / "state.json").chmod(0o620)
    return _trusted(desk, state=desk.root / "state.json")


@scenario
def state_in_no_folder(desk: Desk) -> VerificationReport:
    return _trusted(desk, state=desk.root / "absent" / "state.json")


# --- before signing -----------------------------------------------------------------------------------------


def _sign(desk: Desk, signer: str, *, signers: Sequence[str] = ("ds",), **options: Any) -> VerificationReport:
    desk.certify(desk.build(**options.pop("build", {})), signers=signers)
    trust = load_trust(write_trust(desk, **options.pop("root", {})))
    return check_before_signing(
        parse_envelope(desk.certificate.read_bytes()),
        desk.key(signer).public_key,
        **{"models": [present(desk.model)], "now": LATER, "trust": trust, **options},
    )


@scenario
def signer_without_a_role(desk: Desk) -> VerificationReport:
    return _sign(desk, "risk")


@scenario
def signer_out_of_window(desk: Desk) -> VerificationReport:
    return _sign(desk, "ci", root={"windows": {"ci": "valid_until = 2026-11-01T00:00:00Z"}})


@scenario
def signer_over_a_foreign_signature(desk: Desk) -> VerificationReport:
    return _sign(desk, "ci", signers=("ds", "other"))


@scenario
def signer_of_a_bad_model(desk: Desk) -> VerificationReport:
    return _sign(desk, "ci", build={"age_gap": 0.2})


@scenario
def signer_under_an_expired_trust_root(desk: Desk) -> VerificationReport:
    return _sign(desk, "ci", root={"head": "expires = 2026-11-22T09:31:00Z"})


@scenario
def signer_without_a_list(desk: Desk) -> VerificationReport:
    return _sign(desk, "ci", root={"revocation": 'role = "security"'})


@scenario
def signer_revoked(desk: Desk) -> VerificationReport:
    desk.public("ci")
    made = revocation_list(desk, entry("key", desk.key("ci").keyid))
    trust = load_trust(write_trust(desk))
    return _sign(desk, "ci", revocations=open_list(made, trust, LATER))


@scenario
def signer_of_a_revoked_model(desk: Desk) -> VerificationReport:
    made = revocation_list(desk, entry("subject", desk.subject().digest["sha256"]))
    trust = load_trust(write_trust(desk))
    return _sign(desk, "ci", revocations=open_list(made, trust, LATER))


@scenario
def signer_who_approved_the_waiver(desk: Desk) -> VerificationReport:
    made = {"age_gap": 0.2, "waivers": [desk.waiver(signer="ci")]}
    return _sign(desk, "ci", build=made)


@scenario
def signer_of_something_else(desk: Desk) -> VerificationReport:
    trust = load_trust(write_trust(desk))
    return check_before_signing(
        parse_envelope(signed(desk, b"{}", signer="ds")),
        desk.key("ci").public_key,
        models=[present(desk.model)],
        now=LATER,
        trust=trust,
    )


@scenario
def signer_with_plain_keys(desk: Desk) -> VerificationReport:
    return _sign(desk, "ci", signers=("other",), trust=None, keys=[desk.key("ds").public_key])


# --- what an operator gave and can not be used --------------------------------------------------------------

Mistake = Callable[[Desk], object]
MISTAKES: dict[str, Mistake] = {}


def mistake(function: Mistake) -> Mistake:
    MISTAKES[function.__name__] = function
    return function


def _load(desk: Desk, **changes: Any) -> TrustRoot:
    return load_trust(write_trust(desk, **changes))


@mistake
def trust_root_full_of_mistakes(desk: Desk) -> object:
    head = (
        f'gate_policies = ["{"a" * 64}", "x"]\ncertificate_policies = ["{"A" * 64}"]\npredicate_types = ["x"]'
    )
    return _load(
        desk,
        version=0,
        head=head,
        roles="data-science = 2\nplatform = 0\naudit = 1",
        waivers='role = "platform"',
        revocation='role = "nobody"\nmax_age_hours = 8785',
        windows={"ds": "valid_from = 2026-12-01T00:00:00Z\nvalid_until = 2026-12-01T00:00:00Z"},
    )


@mistake
def trust_root_without_roles(desk: Desk) -> object:
    return _load(desk, roles="", people={}, waivers="", tail="[keys]", version=2**53)


@mistake
def one_key_in_two_roles(desk: Desk) -> object:
    (desk.root / "keys" / "copy.pub").parent.mkdir(exist_ok=True)
    (desk.root / "keys" / "again.pub").write_bytes(desk.public("ci").read_bytes())
    (desk.root / "keys" / "copy.pub").write_bytes(desk.public("ci").read_bytes())
    text = trust_text(desk)
    for name, role in (("again", "platform"), ("copy", "risk")):
        text += f'[keys.{name}]\nrole = "{role}"\nfile = "keys/{name}.pub"\n'
    (desk.root / "trust.toml").write_text(text, "utf-8")
    return load_trust(desk.root / "trust.toml")


@mistake
def keys_that_can_not_be_read(desk: Desk) -> object:
    text = trust_text(desk, root=["root"]).replace("keys/ci.pub", "absent.pub")
    text = text.replace("keys/ds.pub", "trust.toml").replace("keys/root.pub", "gone.pub")
    text += '[keys.extra]\nrole = "platform"\npublic_key = "x"\nfile = "y"\n'
    (desk.root / "trust.toml").write_text(text, "utf-8")
    return load_trust(desk.root / "trust.toml")


@mistake
def keys_that_are_none(desk: Desk) -> object:
    (desk.root / "no.pub").write_text("no key", "utf-8")
    text = trust_text(desk, root=["root"]).replace("keys/ci.pub", "no.pub")
    (desk.root / "trust.toml").write_text(text.replace("keys/root.pub", "no.pub"), "utf-8")
    return load_trust(desk.root / "trust.toml")


@mistake
def too_few_root_keys(desk: Desk) -> object:
    return _load(desk, root=["root", "root"], root_threshold=2)


@mistake
def no_root_threshold(desk: Desk) -> object:
    return _load(desk, root=["root"], root_threshold=0)


@mistake
def a_root_key_with_a_role(desk: Desk) -> object:
    return _load(desk, root=["ci"])


@mistake
def unsigned_with_a_pin(desk: Desk) -> object:
    return load_trust(write_trust(desk), pin_of([desk.public("root")]))


@mistake
def signed_without_a_pin(desk: Desk) -> object:
    return load_trust(signed_trust(desk))


@mistake
def too_long_a_file(desk: Desk) -> object:
    (desk.root / "trust.toml").write_bytes(b"#" * (2**20 + 1))
    return load_trust(desk.root / "trust.toml")


@mistake
def no_file(desk: Desk) -> object:
    return load_trust(desk.root / "absent.toml")


@mistake
def nothing_to_sign(desk: Desk) -> object:
    return sign_trust(load_trust(write_trust(desk)), [])


@mistake
def a_pin_that_can_not_be_met(desk: Desk) -> object:
    return pin_of([desk.public("root"), desk.public("root")], 2)


@mistake
def a_pin_of_nobody(_: Desk) -> object:
    return pin_of([], 1)


@mistake
def roots_without_a_trust_root(desk: Desk) -> object:
    return gate(desk, b"", trust=None, roots=[desk.public("root")])


@mistake
def a_threshold_without_a_trust_root(desk: Desk) -> object:
    return gate(desk, b"", trust=None, root_threshold=1)


@mistake
def a_list_without_a_trust_root(desk: Desk) -> object:
    return gate(desk, b"", trust=None, revocations="list.json")


@mistake
def keys_beside_a_trust_root(desk: Desk) -> object:
    return gate(desk, b"", keys=[desk.public("ci")])


@mistake
def approvers_beside_a_trust_root(desk: Desk) -> object:
    return gate(desk, b"", waiver_keys=[desk.public("risk")])


@mistake
def a_list_that_no_role_signs(desk: Desk) -> object:
    write_trust(desk, revocation="", people={name: role for name, role in PEOPLE.items() if name != "sec"})
    return gate(desk, b"", revocations=revocation_list(desk))


@mistake
def a_list_full_of_mistakes(desk: Desk) -> object:
    return revocation_list(
        desk,
        entry("key", "A" * 64),
        entry("subject", "a" * 63),
        entry("serial", "1"),
        entry("serial", "01", model_name="m"),
        entry("serial", "1" * 17, model_name="m"),
        entry("certificate", "1", model_name="m"),
        entry("certificate", ""),
        entry("waiver", "a", reason=" "),
        entry("waiver", "fine"),
        version=0,
        next_update=NOW,
    )


@mistake
def a_list_against_its_signer(desk: Desk) -> object:
    return revocation_list(desk, entry("key", desk.key("sec").keyid))


@mistake
def a_foreign_list(desk: Desk) -> object:
    data = Path(revocation_list(desk)).read_bytes()
    return open_own(data, [desk.key("other").public_key], where="list.json")


@mistake
def a_second_signature(desk: Desk) -> object:
    return _sign(desk, "ds")


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_full(desk: Desk, name: str) -> None:
    with pytest.raises(ProdmlError) as found:
        MISTAKES[name](desk)
    assert told(desk, [Reason(code=type(found.value).__name__, message=str(found.value))]) == SENTENCES[name]


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_refusal_in_full(desk: Desk, name: str) -> None:
    report = SCENARIOS[name](desk)
    assert told(desk, report.reasons) == SENTENCES[name]
    assert report.reasons
    assert not report.accepted


# --- what is accepted ---------------------------------------------------------------------------------------


def test_the_whole_report_with_plain_keys(desk: Desk) -> None:
    data = desk.certify(ready_with_waiver(desk), signers=["ci", "other"])
    other = replace(policy(), name="staging")
    keys = [desk.key("other").public_key, desk.key("ci").public_key]
    report = desk.verify(data, keys=keys, waiver_keys=[desk.key("risk").public_key], policy=other)
    assert report == VerificationReport(
        checked_at=LATER,
        reasons=(),
        notes=(
            Reason(
                code="policy",
                message="issued under the policy credit-production 1, judged here under staging 1",
                path="policy",
            ),
        ),
        signers=tuple(key.keyid for key in keys),
        payload_sha256=sha256_hex(parse_envelope(data).payload),
        certificate_id="5f0c6a52-7d0b-4a55-9d53-6c1f7b1a4c11",
        model_name="credit-default",
        model_version="2.0",
        serial=desk.build().serial,
        issued_at=NOW,
        expires_at=NOW + timedelta(days=90),
        decision=Readiness.READY_WITH_WAIVERS,
        policy="staging 1",
        policy_digest=policy_digest(other),
        waivers=(
            AppliedWaiver(
                id="w-1",
                gate_id="fairness.age",
                approver="Head of Credit Risk",
                reason="gap is known, mitigation is planned for release 3",
                expires_at=NOW + timedelta(days=30),
                reference="RISK-42",
            ),
        ),
    )
    fields = report_json(report)
    assert (fields["accepted"], fields["exitCode"], fields["policy"]) == (True, 0, "staging 1")
    assert report_json(desk.verify(b""))["accepted"] is False
    assert report_json(desk.verify(b""))["exitCode"] == 11


def test_the_whole_report_with_a_trust_root(desk: Desk) -> None:
    write_trust(desk, version=4)
    listed = revocation_list(desk, entry("waiver", "w-9"), version=6)
    data = desk.certify(signers=BOTH)
    state = desk.root / "state.json"
    report = gate(desk, data, revocations=listed, state=state)
    assert (report.trust_version, report.revocations_version) == (4, 6)
    assert report.roles == {"data-science": ("ds",), "platform": ("ci",)}
    assert report.signers == (desk.key("ds").keyid, desk.key("ci").keyid)
    with locked_state(state) as file:
        assert file.state == State(
            trust=SeenTrust(version=4, digest=load_trust(desk.root / "trust.toml").digest),
            revocations=SeenRevocations(
                version=6,
                digest=digest_of(read_revocations(parse_envelope(Path(listed).read_bytes()), where="list")),
            ),
            models={
                "credit-default": SeenCertificate(
                    id="5f0c6a52-7d0b-4a55-9d53-6c1f7b1a4c11",
                    issued_at=NOW,
                    payload_sha256=sha256_hex(parse_envelope(data).payload),
                    serial=desk.build().serial,
                )
            },
        )
    assert sorted(path.name for path in desk.root.glob("state*")) == ["state.json"]


def test_a_signed_trust_root_is_remembered_with_its_root_keys(desk: Desk) -> None:
    desk.certify(signers=BOTH)
    state = desk.root / "state.json"
    path = signed_trust(desk)
    assert gate(desk, trust=path, roots=[desk.public("root")], state=state).accepted
    with locked_state(state) as file:
        assert file.state.trust == SeenTrust(
            version=1,
            digest=load_trust(path, pin_of([desk.public("root")])).digest,
            root_keys=(desk.public("root").read_text("ascii"),),
            root_threshold=1,
        )


def test_two_keys_of_one_role_are_both_named(desk: Desk) -> None:
    write_trust(desk, people={**PEOPLE, "cd": "platform"}, roles="data-science = 1\nplatform = 2")
    desk.certify(signers=("cd", "ds", "ci"))
    assert gate(desk).roles == {"data-science": ("ds",), "platform": ("ci", "cd")}
    trust = load_trust(desk.root / "trust.toml")
    for signers, lacking in (
        (("ds", "ci", "cd"), {}),
        (("ds", "ci"), {"platform": 1}),
        (("ci", "other"), {"data-science": 1, "platform": 1}),
        (("other",), {"data-science": 1, "platform": 2}),
    ):
        envelope = parse_envelope(desk.certify(signers=signers))
        assert missing_roles(envelope, trust, LATER) == lacking


def test_missing_roles_leave_out_who_is_out_of_window(desk: Desk) -> None:
    trust = load_trust(write_trust(desk, windows={"ci": "valid_until = 2026-11-22T09:31:00Z"}))
    envelope = parse_envelope(desk.certify(signers=BOTH))
    assert missing_roles(envelope, trust, LATER - timedelta(seconds=1)) == {}
    assert missing_roles(envelope, trust, LATER) == {"platform": 1}


def test_what_is_signed_was_checked_in_full(desk: Desk) -> None:
    report = _sign(desk, "ci")
    assert report.accepted
    assert report.signers == (desk.key("ds").keyid,)
    assert report.payload_sha256 == sha256_hex(parse_envelope(desk.certificate.read_bytes()).payload)
    assert (report.policy, report.policy_digest) == ("credit-production 1", policy_digest(policy()))
    assert report.checked_at == LATER
    assert report.decision is Readiness.READY
    other = replace(policy(), name="mine")
    assert _sign(desk, "ci", policy=other).policy == "mine 1"
    bad = _sign(desk, "ci", build={"age_gap": 0.2}, record=True)
    assert bad.accepted
    assert bad.decision is Readiness.NOT_READY
    waived = {"age_gap": 0.2, "waivers": [desk.waiver()]}
    assert _sign(desk, "ci", build=waived).decision is Readiness.READY_WITH_WAIVERS


def test_pins(desk: Desk) -> None:
    one, two = desk.public("root"), desk.public("root2")
    keys = tuple(desk.key(name).public_key for name in ("root", "root2"))
    assert pin_of([]) is None
    assert pin_of([one, two, one]) == RootPin(keys=keys, threshold=2)
    assert pin_of([one, two], 1) == RootPin(keys=keys, threshold=1)


def test_what_is_held_in_memory_is_called_by_its_file_name() -> None:
    made = present_bytes(b"x", "/models/a.onnx")
    assert made == Artifact(
        location="/models/a.onnx", subject=Subject(name="a.onnx", digest={"sha256": sha256_hex(b"x")})
    )
    assert present_bytes(b"x", "/").subject == Subject(name="/", digest={"sha256": sha256_hex(b"x")})


def test_a_file_and_its_name(desk: Desk) -> None:
    made = present(desk.model, "champion")
    assert (made.location, made.name, made.problem) == (str(desk.model), "champion", "")
    lost = present(desk.root / "absent", "champion")
    assert (lost.location, lost.name, lost.subject) == (str(desk.root / "absent"), "champion", None)


def test_what_is_named_on_a_list_does_not_stop_the_others(desk: Desk) -> None:
    made = _list(desk, entry("key", desk.key("other").keyid))
    data = desk.certify(ready_with_waiver(desk))
    keys = [desk.key("ci").public_key, desk.key("other").public_key]
    approvers = [desk.key("risk").public_key, desk.key("other").public_key]
    report = desk.verify(data, keys=keys, waiver_keys=approvers, revocations=made)
    assert report.accepted
    assert report.revocations_version == 1
    assert report.trust_version is None


def test_a_waiver_that_is_lost_and_not_needed_is_a_note(desk: Desk) -> None:
    desk.certify(desk.build(waivers=[desk.waiver()]))
    report = desk.verify(waiver_keys=[])
    assert report.accepted
    assert told(desk, report.notes) == [
        (
            "waiver-untrusted",
            "w-1",
            "the waiver for fairness.age is not signed by an approver whose key was given",
        )
    ]
    assert report.waivers == ()


def test_the_same_certificate_again_is_no_replay(desk: Desk) -> None:
    write_trust(desk)
    desk.certify(signers=BOTH)
    for _ in range(2):
        assert gate(desk, state=desk.root / "state.json").accepted


def test_the_clocks_may_differ_by_five_minutes(desk: Desk) -> None:
    desk.certify()
    five, second = timedelta(minutes=5), timedelta(seconds=1)
    end = NOW + timedelta(days=90)
    for moment in (NOW - five, end + five):
        assert desk.verify(now=moment).accepted
    assert [reason.code for reason in desk.verify(now=NOW - five - second).reasons] == ["not-yet-valid"]
    assert [reason.code for reason in desk.verify(now=end + five + second).reasons] == ["expired"]


def test_a_decision_can_be_repeated_from_the_certificate_alone(desk: Desk) -> None:
    made = ready_with_waiver(desk)
    assert list(replay_reasons(made)) == []
    lost = replace(made, waivers=())
    assert [reason.path for reason in replay_reasons(lost)] == ["decision.outcome", "fairness.age"]
    assert told(desk, list(replay_reasons(replace(made, waivers=("{}",))))) == [
        (
            "decision",
            "decision",
            (
                "the decision can not be repeated from the evidence: waiver: has no payloadType, so it is not a DSSE "
                "envelope"
            ),
        )
    ]


def test_the_edges_of_a_list() -> None:
    longest = RevocationList(version=2**53 - 1, issued_at=NOW, next_update=LATER)
    most = entry("serial", "9" * 16, model_name="m")
    assert list_problems(replace(longest, entries=(most, entry("key", "0123456789abcdef" * 4)))) == []
    assert list_problems(replace(longest, version=2**53)) == ["expected a version from 1 on @ $.version"]
    for odd in ("X" * 64, "\u0660", "1" * 17):
        assert list_problems(replace(longest, entries=(entry("key", odd),)))
        assert list_problems(replace(longest, entries=(entry("serial", odd, model_name="m"),)))


def test_a_waiver_counts_from_its_first_moment_to_before_its_last(desk: Desk) -> None:
    approvers = [desk.key("risk").public_key]
    desk.certify(desk.build(age_gap=0.2, waivers=[desk.waiver(issued_at=NOW, expires_at=LATER)]))
    assert desk.verify(waiver_keys=approvers, now=NOW).accepted
    assert desk.verify(waiver_keys=approvers, now=LATER - timedelta(seconds=1)).accepted
    assert [reason.code for reason in desk.verify(waiver_keys=approvers, now=LATER).reasons] == [
        "waiver-expired"
    ]
    longest = desk.waiver(issued_at=NOW, expires_at=NOW + timedelta(days=60))
    desk.certify(desk.build(age_gap=0.2, waivers=[longest]))
    assert desk.verify(waiver_keys=approvers).accepted


def test_a_waiver_by_name_counts_where_the_policy_takes_it(desk: Desk) -> None:
    text = desk.waiver(subject_digest=None, subject_name="model.*", issued_at=NOW, expires_at=LATER)
    named = policy(POLICY_TOML + "\n[waivers.by_name]\nmax = 1\nmax_days = 14\n")
    desk.certify(desk.build(age_gap=0.2, waivers=[text], policy=named))
    report = desk.verify(waiver_keys=[desk.key("risk").public_key], policy=named, now=NOW)
    assert report.accepted
    assert report.waivers[0].subject_name == "model.*"


def test_an_approver_may_be_in_time_and_revoked_or_out_of_time(desk: Desk) -> None:
    trust = load_trust(write_trust(desk, windows={"risk": "valid_until = 2026-11-22T09:31:00Z"}))
    risk = desk.key("risk").public_key
    assert counting_keys(trust.approvers, None, NOW) == (risk,)
    assert counting_keys(trust.approvers, None, LATER) == ()
    assert counting_keys(trust.approvers, _list(desk, entry("key", risk.keyid)), NOW) == ()


def test_a_key_given_twice_counts_once(desk: Desk) -> None:
    (desk.root / "copy.pub").write_bytes(desk.public().read_bytes())
    keys = load_keys([desk.public(), desk.root / "copy.pub", desk.public("other")])
    assert [key.keyid for key in keys] == [desk.key().keyid, desk.key("other").keyid]
    assert present(desk.model, "champion").subject == replace(desk.subject(), name="champion")
