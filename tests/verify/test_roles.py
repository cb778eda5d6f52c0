"""Roles: who must sign is written in the trust root, and one person is never two."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from certificate_factory import NOW, POLICY_TOML, Desk, ready_with_waiver, rebuilt
from pytest_prodml.errors import ConfigurationError
from pytest_prodml.policy.load import parse_policy, policy_digest
from pytest_prodml.verify.report import ExitCode
from pytest_prodml.verify.trustfile import load_trust
from trust_factory import BOTH, LATER, PEOPLE, codes, gate, write_trust


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    write_trust(desk)
    return desk


def test_both_roles_have_signed(desk: Desk) -> None:
    desk.certify(signers=BOTH)
    report = gate(desk)
    assert codes(report) == []
    assert report.roles == {"data-science": ("ds",), "platform": ("ci",)}
    assert report.trust_version == 1


@pytest.mark.parametrize("signers", [("ci",), ("ds",), ("ci", "other"), ("ds", "risk"), ("ci", "sec")])
def test_a_role_that_has_not_signed(desk: Desk, signers: tuple[str, ...]) -> None:
    desk.certify(signers=signers)
    report = gate(desk)
    assert codes(report) == ["role"]
    assert report.exit_code == ExitCode.UNTRUSTED
    assert report.model_name is None, "nothing of the certificate is read before its signatures suffice"


@pytest.mark.parametrize("signers", [("risk", "sec"), ("other",)])
def test_keys_without_a_role_that_signs_are_nobody(desk: Desk, signers: tuple[str, ...]) -> None:
    desk.certify(signers=signers)
    assert codes(gate(desk)) == ["untrusted"]
    assert codes(gate(desk, desk.certify(signers=()))) == ["no-signature"]


def test_one_person_can_not_meet_a_threshold_of_two(desk: Desk) -> None:
    write_trust(desk, roles="platform = 2", people={"ci": "platform", "second": "platform"}, waivers="")
    data = desk.certify(signers=("ci",))
    (signature,) = json.loads(data)["signatures"]
    second = desk.key("second").keyid
    for signatures in ([signature] * 2, [signature, {**signature, "keyid": second}], [signature] * 16):
        assert codes(gate(desk, rebuilt(data, signatures=signatures))) == ["role"]
    assert codes(gate(desk, desk.certify(signers=("ci", "second")))) == []


def test_a_key_in_two_roles_is_no_trust_root(desk: Desk) -> None:
    shutil.copy(desk.public("ci"), desk.public("copy"))
    for role in ("data-science", "platform", "risk", "security"):
        write_trust(desk, people={**PEOPLE, "copy": role}, revocation='role = "security"')
        with pytest.raises(ConfigurationError, match="ci and copy are the same key"):
            load_trust(desk.root / "trust.toml")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"roles": ""}, "names no role"),
        ({"roles": "data-science = 2\nplatform = 1"}, "asks for 2 signatures and 1 keys"),
        ({"roles": "data-science = 0\nplatform = 1"}, "asks for 0 signatures"),
        ({"roles": "data-science = -1\nplatform = 1"}, "asks for -1 signatures"),
        ({"roles": "data-science = true\nplatform = 1"}, "expected an integer"),
        ({"roles": 'data-science = "1"\nplatform = 1'}, "expected an integer"),
        ({"roles": "data-science = 1\nplatform = 1\naudit = 1"}, "0 keys have the role"),
        ({"roles": "data-science = 1"}, "is none of data-science, risk"),
        ({"waivers": 'role = "platform"'}, "signs certificates; this needs a role of its own"),
        ({"revocation": 'role = "data-science"'}, "signs certificates; this needs a role of its own"),
        ({"revocation": 'role = "nobody"'}, "no key has the role 'nobody'"),
        ({"revocation": 'role = "security"\nmax_age_hours = 0'}, "expected 1 to 8784 hours"),
        ({"version": 0}, "expected a version from 1 on"),
        ({"version": -3}, "expected a version from 1 on"),
        ({"head": "treshold = 2"}, "unknown field 'treshold'"),
        ({"head": "require-state = true"}, "did you mean 'require_state'"),
        ({"head": "version = 2"}, "is not valid TOML"),
        ({"tail": "[roles]\naudit = 1"}, "is not valid TOML"),
        ({"head": "expires = 2026-12-01T00:00:00"}, "expected a UTC time"),
        ({"head": "expires = 2026-12-01"}, "expected a UTC time"),
        ({"head": "expires = 0001-01-01T00:00:00+23:00"}, "expected a UTC time"),
        ({"head": "expires = 2026-12-01T00:00:00.5Z"}, "expected a UTC time"),
        ({"head": "expires = 2026-02-30T00:00:00Z"}, "is not valid TOML"),
        ({"head": 'gate_policies = ["ABC"]'}, "64 lowercase hexadecimal digits"),
        ({"head": 'predicate_types = ["https://example.com/other/v1"]'}, "this version reads"),
        (
            {"windows": {"ci": "valid_from = 2026-12-01T00:00:00Z\nvalid_until = 2026-12-01T00:00:00Z"}},
            "ends before",
        ),
        ({"windows": {"ci": 'public_key = "x"'}}, "expected public_key or file, and one of them"),
        ({"windows": {"ci": 'vaild_from = "x"'}}, "did you mean 'valid_from'"),
        ({"people": {**PEOPLE, '"a\\u202Eb"': "platform"}}, "which can not be seen"),
    ],
)
def test_what_is_no_trust_root(desk: Desk, changes: dict[str, object], told: str) -> None:
    people = changes.get("people")
    if isinstance(people, dict) and '"a\\u202Eb"' in people:
        # The key's file has a name that can be seen.
        text = write_trust(desk).read_text()
        shutil.copy(desk.public("other"), desk.root / "keys" / "odd.pub")
        text += '[keys."a\\u202Eb"]\nrole = "platform"\nfile = "keys/odd.pub"\n'
        (desk.root / "trust.toml").write_text(text)
    else:
        write_trust(desk, **changes)
    with pytest.raises(ConfigurationError, match=told):
        load_trust(desk.root / "trust.toml")


def test_the_number_of_keys_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    path = desk.root / "trust.toml"
    monkeypatch.setattr("pytest_prodml.verify.trustroot._MOST_KEYS", 4)
    assert len(load_trust(path).keys) == 4
    monkeypatch.setattr("pytest_prodml.verify.trustroot._MOST_KEYS", 3)
    with pytest.raises(ConfigurationError, match="lists 4 keys, more than 3"):
        load_trust(path)


@pytest.mark.parametrize(("hours", "sound"), [(0, False), (1, True), (8784, True), (8785, False)])
def test_the_longest_age_of_a_list(desk: Desk, hours: int, sound: bool) -> None:
    path = write_trust(desk, revocation=f'role = "security"\nmax_age_hours = {hours}')
    if sound:
        rule = load_trust(path).document.revocation
        assert rule is not None
        assert rule.max_age_hours == hours
    else:
        with pytest.raises(ConfigurationError, match="expected 1 to 8784 hours"):
            load_trust(path)


def test_a_window_of_one_second(desk: Desk) -> None:
    window = "valid_from = 2026-11-22T09:30:00Z\nvalid_until = 2026-11-22T09:30:01Z"
    write_trust(desk, windows={"ci": window})
    desk.certify(signers=BOTH)
    for seconds, code in ((-1, ["key-validity"]), (0, []), (1, ["key-validity"])):
        assert codes(gate(desk, now=NOW + timedelta(seconds=seconds))) == code


def test_a_role_that_lacks_a_key_anyway_is_not_called_revoked_or_late(desk: Desk) -> None:
    """Told is what would help: a key in its window, where another is missing besides."""
    people = {"ci": "platform", "second": "platform"}
    late = {"ci": "valid_until = 2026-11-22T09:00:00Z"}
    write_trust(desk, roles="platform = 2", people=people, waivers="", windows=late)
    assert codes(gate(desk, desk.certify(signers=("ci",)))) == ["role"]
    assert codes(gate(desk, desk.certify(signers=("ci", "second")))) == ["key-validity"]


def test_files_that_are_no_trust_root(desk: Desk) -> None:
    path = desk.root / "trust.toml"
    good = path.read_text()
    for content in (
        b"",
        b"\xff",
        b"\xef\xbb\xbf" + good.encode(),
        good.encode() + b"#" * 2**20,
        b"a = " + b"[" * 100_000,
        good.replace("keys/ci.pub", "keys/ci.key").encode(),
        good.replace("keys/ci.pub", "absent.pub").encode(),
        good.replace("keys/ci.pub", "policy.toml").encode(),
        good.replace("keys/ci.pub", "keys").encode(),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError):
            load_trust(path)
    with pytest.raises(ConfigurationError):
        load_trust(desk.root / "absent.toml")


def test_a_key_as_text(desk: Desk) -> None:
    path = desk.root / "trust.toml"
    pem = desk.public("ci").read_text()
    inline = path.read_text().replace('file = "keys/ci.pub"', f'public_key = """{pem}"""')
    path.write_text(inline)
    desk.public("ci").unlink()
    desk.certificate.write_bytes(Desk.certify(desk, signers=("ds", "ci")))
    assert codes(gate(desk)) == []


# --- windows of keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "seconds", "code"),
    [
        ("valid_from = {at}", -1, ["key-validity"]),
        ("valid_from = {at}", 0, []),
        ("valid_from = {at}", 1, []),
        ("valid_until = {at}", -1, []),
        ("valid_until = {at}", 0, ["key-validity"]),
        ("valid_until = {at}", 1, ["key-validity"]),
    ],
)
def test_the_window_of_a_key_to_the_second(desk: Desk, window: str, seconds: int, code: list[str]) -> None:
    at = "2026-11-25T00:00:00Z"
    write_trust(desk, windows={"ci": window.format(at=at)})
    desk.certify(signers=BOTH)
    moment = NOW.replace(day=25, hour=0, minute=0) + timedelta(seconds=seconds)
    report = gate(desk, now=moment)
    assert codes(report) == code
    if code:
        assert report.exit_code == ExitCode.UNTRUSTED
        assert "outside of its window now: ci" in report.reasons[0].message


def test_a_certificate_that_claims_an_earlier_time_does_not_revive_an_ended_key(desk: Desk) -> None:
    """The thief of a retired key writes any `issuedAt`: the verifier's clock alone is asked."""
    write_trust(desk, windows={"ci": "valid_until = 2026-11-22T09:00:00Z"})
    backdated = desk.build(issued_at=NOW - timedelta(days=10))
    report = gate(desk, desk.certify(backdated, signers=BOTH))
    assert codes(report) == ["key-validity"]


def test_rotation_with_an_overlap(desk: Desk) -> None:
    """Two keys of one role at once: certificates by either are accepted, until the old key's window ends."""
    people = {**PEOPLE, "new": "platform"}
    windows = {"ci": "valid_until = 2026-12-01T00:00:00Z", "new": "valid_from = 2026-11-20T00:00:00Z"}
    write_trust(desk, people=people, windows=windows)
    old = desk.certify(signers=BOTH)
    new = desk.certify(signers=("ds", "new"))
    both = desk.certify(signers=("ds", "ci", "new"))
    for data in (old, new, both):
        assert codes(gate(desk, data)) == []
    after = NOW.replace(month=12, day=1, hour=0, minute=0)
    assert codes(gate(desk, old, now=after)) == ["key-validity"]
    assert codes(gate(desk, new, now=after)) == []
    assert codes(gate(desk, both, now=after)) == []


# --- conditions ---------------------------------------------------------------------------------------------


def test_the_policy_can_ask_for_more_signatures_than_the_roles(desk: Desk) -> None:
    desk.policy.write_text(POLICY_TOML.replace("min_signatures = 1", "min_signatures = 3"))
    desk.certify(signers=BOTH)
    assert codes(gate(desk)) == ["threshold"]


@pytest.mark.parametrize(("seconds", "code"), [(-1, []), (0, []), (1, ["issued-too-early"])])
def test_the_least_time_of_issue(desk: Desk, seconds: int, code: list[str]) -> None:
    moment = NOW + timedelta(seconds=seconds)
    write_trust(desk, head=f"not_issued_before = {moment:%Y-%m-%dT%H:%M:%SZ}")
    desk.certify(signers=BOTH)
    report = gate(desk)
    assert codes(report) == code
    if code:
        assert report.exit_code == ExitCode.TIME


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(-1, []), (0, ["trust-expired"]), (1, ["trust-expired"]), (10**7, ["trust-expired"])],
)
def test_an_expired_trust_root_believes_nobody(desk: Desk, seconds: int, code: list[str]) -> None:
    write_trust(desk, head="expires = 2026-11-22T10:00:00Z")
    desk.certify(signers=BOTH)
    report = gate(desk, now=NOW.replace(hour=10, minute=0) + timedelta(seconds=seconds))
    assert codes(report) == code
    if code:
        assert report.exit_code == ExitCode.UNTRUSTED
        assert report.signers == ()


def test_accepted_policies(desk: Desk) -> None:
    desk.certify(signers=BOTH)
    mine = policy_digest(parse_policy(POLICY_TOML.encode(), where="policy"))
    for name in ("gate_policies", "certificate_policies"):
        write_trust(desk, head=f'{name} = ["{"a" * 64}", "{mine}"]')
        assert codes(gate(desk)) == []
        write_trust(desk, head=f'{name} = ["{"a" * 64}"]')
        report = gate(desk)
        assert codes(report) == ["policy-not-accepted"]
        assert report.exit_code == ExitCode.POLICY
    weaker = POLICY_TOML.replace('"performance.auc"', '"performance.*"')
    desk.policy.write_text(weaker)
    write_trust(desk, head=f'gate_policies = ["{mine}"]')
    assert codes(gate(desk)) == ["policy-not-accepted"], "a policy that was swapped at the gate"
    write_trust(desk, head=f'certificate_policies = ["{mine}"]')
    assert codes(gate(desk)) == []


def test_waivers_are_approved_by_their_role_only(desk: Desk) -> None:
    for signer, code in (("risk", []), ("sec", ["waiver-untrusted"]), ("ci", ["waiver-self-approved"])):
        desk.certify(ready_with_waiver(desk, signer=signer), signers=BOTH)
        assert codes(gate(desk)) == code, signer
    desk.certify(ready_with_waiver(desk), signers=BOTH)
    write_trust(desk, windows={"risk": "valid_until = 2026-11-22T09:30:30Z"})
    assert codes(gate(desk)) == ["waiver-untrusted"], "an approver outside of their window"
    write_trust(desk, waivers="", people={"ds": "data-science", "ci": "platform"})
    assert codes(gate(desk)) == ["waiver-untrusted"], "a trust root without approvers"


def test_a_trust_root_and_plain_keys_do_not_mix(desk: Desk) -> None:
    desk.certify(signers=BOTH)
    for changes in (
        {"keys": [desk.public("ci")]},
        {"waiver_keys": [desk.public("risk")]},
        {"trust": None, "keys": [desk.public("ci")], "revocations": "list.json"},
        {"trust": None, "keys": [desk.public("ci")], "roots": [desk.public("root")]},
        {"trust": None, "keys": [desk.public("ci")], "root_threshold": 1},
    ):
        with pytest.raises(ConfigurationError):
            gate(desk, now=LATER, **changes)
