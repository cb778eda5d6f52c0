"""Revocation: what is on the list is void, and neither an old list nor a missing one goes unseen."""

from __future__ import annotations

import http.server
import io
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certificate_factory import NOW, Desk, ready_with_waiver, rebuilt, with_payload
from pytest_prodml.certificate.document import sign_record
from pytest_prodml.certificate.dsse import envelope_json, parse_envelope, sign
from pytest_prodml.codec import ENVELOPE_LIMITS
from pytest_prodml.errors import InputError
from pytest_prodml.verify.fetch import read_revocations_from
from pytest_prodml.verify.report import ExitCode, RefusalError, VerificationReport
from pytest_prodml.verify.revocation import (
    REVOCATIONS_TYPE,
    Revocation,
    RevocationList,
    open_own,
    sign_revocations,
)
from trust_factory import BOTH, codes, entry, gate, revocation_list, trust_text, write_trust

REQUIRED = 'role = "security"\nrequired = true\nmax_age_hours = 24'


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.certify(signers=BOTH)
    write_trust(desk, revocation=REQUIRED)
    return desk


def judged(desk: Desk, *entries: Revocation, **changes: Any) -> VerificationReport:
    return gate(desk, revocations=revocation_list(desk, *entries), **changes)


def test_an_empty_list_refuses_nothing(desk: Desk) -> None:
    report = judged(desk)
    assert codes(report) == []
    assert report.revocations_version == 1


# --- what is void -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "what",
    [
        lambda desk: entry("certificate", desk.build().id),
        lambda desk: entry("serial", str(desk.build().serial), model_name="credit-default"),
        lambda desk: entry("subject", desk.subject().digest["sha256"]),
        lambda desk: entry("key", desk.key("ci").keyid),
        lambda desk: entry("key", desk.key("ds").keyid),
    ],
    ids=["certificate", "serial", "subject", "key of one role", "key of the other role"],
)
def test_what_is_on_the_list_is_void(desk: Desk, what: Callable[[Desk], Revocation]) -> None:
    report = judged(desk, what(desk))
    assert codes(report) == ["revoked"]
    assert report.exit_code == ExitCode.WAIVER
    assert not report.accepted


def test_the_time_of_revocation_delays_nothing(desk: Desk) -> None:
    """A key that is revoked is void from its first signature on: nobody else says when it signed."""
    for moment in (NOW - timedelta(days=900), NOW + timedelta(days=900)):
        assert codes(judged(desk, entry("key", desk.key("ci").keyid, revoked_at=moment))) == ["revoked"]


@pytest.mark.parametrize(
    "what",
    [
        entry("certificate", "another"),
        entry("serial", "1", model_name="credit-default"),
        entry("serial", "1764494400", model_name="other"),
        entry("subject", "a" * 64),
        entry("key", "a" * 64),
        entry("waiver", "w-1"),
    ],
)
def test_other_things_on_the_list(desk: Desk, what: Revocation) -> None:
    assert codes(judged(desk, what)) == []


def test_what_is_revoked_is_of_its_kind(desk: Desk) -> None:
    """The id of a key, given as the id of something else, does not take the key away."""
    keyid = desk.key("ci").keyid
    assert codes(judged(desk, *(entry(kind, keyid) for kind in ("certificate", "subject", "waiver")))) == []


def test_another_key_of_the_role_is_enough(desk: Desk) -> None:
    people = {"ds": "data-science", "ci": "platform", "ci2": "platform", "risk": "risk", "sec": "security"}
    write_trust(desk, people=people, revocation=REQUIRED)
    desk.certify(signers=("ds", "ci", "ci2"))
    report = judged(desk, entry("key", desk.key("ci").keyid))
    assert codes(report) == []
    assert report.roles["platform"] == ("ci2",)


def test_revoked_goes_before_everything_that_is_wrong_with_the_model(desk: Desk) -> None:
    desk.model.write_bytes(b"other")
    report = judged(desk, entry("certificate", desk.build().id), models=[])
    assert codes(report)[0] == "revoked"
    assert report.exit_code == ExitCode.WAIVER


def test_a_revoked_waiver_and_a_revoked_approver(desk: Desk) -> None:
    desk.certify(ready_with_waiver(desk), signers=BOTH)
    assert codes(judged(desk)) == []
    assert codes(judged(desk, entry("waiver", "w-1"))) == ["waiver-revoked"]
    assert codes(judged(desk, entry("key", desk.key("risk").keyid))) == ["waiver-untrusted"]


# --- fresh, stale, missing ----------------------------------------------------------------------------------


def test_missing(desk: Desk) -> None:
    report = gate(desk)
    assert codes(report) == ["revocation-missing"]
    assert report.exit_code == ExitCode.WAIVER
    absent = gate(desk, revocations=str(desk.root / "absent.json"))
    assert codes(absent) == ["revocation-missing"]
    assert codes(gate(desk, revocations=str(desk.root))) == ["revocation-missing"], "a directory"


@pytest.mark.parametrize(
    ("hours", "seconds", "code"),
    [
        (24, -1, []),
        (24, 0, []),
        (24, 1, ["revocation-stale"]),
        (24 * 30, 0, ["revocation-stale"]),
    ],
)
def test_the_age_of_a_list(desk: Desk, hours: int, seconds: int, code: list[str]) -> None:
    path = revocation_list(desk, next_update=NOW + timedelta(days=60))
    report = gate(desk, revocations=path, now=NOW + timedelta(hours=hours, seconds=seconds))
    assert codes(report) == code
    if code:
        assert report.exit_code == ExitCode.WAIVER


@pytest.mark.parametrize(
    ("seconds", "code"), [(-1, []), (0, ["revocation-stale"]), (1, ["revocation-stale"])]
)
def test_the_next_update(desk: Desk, seconds: int, code: list[str]) -> None:
    path = revocation_list(desk, next_update=NOW + timedelta(hours=2))
    assert codes(gate(desk, revocations=path, now=NOW + timedelta(hours=2, seconds=seconds))) == code


@pytest.mark.parametrize(("seconds", "code"), [(300, []), (301, ["revocation-stale"])])
def test_a_list_from_the_future_would_stay_fresh(desk: Desk, seconds: int, code: list[str]) -> None:
    issued = NOW + timedelta(seconds=seconds)
    path = revocation_list(desk, issued_at=issued, next_update=issued + timedelta(days=1))
    assert codes(gate(desk, revocations=path, now=NOW)) == code


def test_a_list_that_is_not_required_may_be_old_and_still_counts(desk: Desk) -> None:
    write_trust(desk, revocation='role = "security"\nrequired = false')
    much_later = NOW + timedelta(days=20)
    assert codes(gate(desk, now=much_later)) == []
    assert codes(judged(desk, now=much_later)) == []
    assert codes(judged(desk, entry("key", desk.key("ci").keyid), now=much_later)) == ["revoked"]
    absent = gate(desk, revocations=str(desk.root / "absent.json"))
    assert codes(absent) == ["revocation-missing"], "a list that was given must be there"


# --- who signs it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signer", ["other", "ci", "ds", "risk"])
def test_only_its_role_signs_the_list(desk: Desk, signer: str) -> None:
    report = gate(desk, revocations=revocation_list(desk, signer=signer))
    assert codes(report) == ["revocation-untrusted"]
    assert report.exit_code == ExitCode.WAIVER


def test_a_key_of_the_role_outside_of_its_window(desk: Desk) -> None:
    write_trust(desk, revocation=REQUIRED, windows={"sec": "valid_until = 2026-11-22T09:30:59Z"})
    assert codes(judged(desk, now=NOW)) == []
    assert codes(judged(desk)) == ["revocation-untrusted"]


def test_tampered(desk: Desk) -> None:
    path = Path(revocation_list(desk, entry("key", desk.key("ci").keyid)))
    data = path.read_bytes()
    payload = parse_envelope(data).payload
    for edited in (
        with_payload(data, payload.replace(b'"kind":"key"', b'"kind":"waiver"')),
        rebuilt(data, signatures=[]),
        rebuilt(data, payloadType="application/vnd.in-toto+json"),
        data[: len(data) // 2],
        b"",
        b"[]",
        b" " * (ENVELOPE_LIMITS.size_bytes + 1),
    ):
        path.write_bytes(edited)
        assert codes(gate(desk, revocations=str(path))) == ["revocation-untrusted"]


def test_signed_by_its_role_and_still_no_list(desk: Desk) -> None:
    sound = RevocationList(version=1, issued_at=NOW, next_update=NOW + timedelta(hours=24))
    payload = parse_envelope(sign_revocations(sound, desk.key("sec"))).payload
    path = desk.root / "odd.json"
    for content, kind in (
        (payload.replace(b'"entries":[]', b'"entries":[],"entries":[]'), REVOCATIONS_TYPE),
        (payload.replace(b'"entries":[]', b'"extra":[],"entries":[]'), REVOCATIONS_TYPE),
        (payload.replace(b'"version":1', b'"version":0'), REVOCATIONS_TYPE),
        (payload.replace(b"2026-11-23T09:30:00Z", b"2026-11-22T09:30:00Z"), REVOCATIONS_TYPE),
        (payload.replace(b"2026-11-23T09:30:00Z", b"2026-11-22T09:29:59Z"), REVOCATIONS_TYPE),
        (payload.replace(b'"version":1', b'"version":NaN'), REVOCATIONS_TYPE),
        (payload.replace(b'"entries":[]', b'"entries":[{"kind":"planet"}]'), REVOCATIONS_TYPE),
        (payload + b" ", REVOCATIONS_TYPE),
        (payload, "application/vnd.in-toto+json"),
    ):
        path.write_bytes(envelope_json(sign(content, [desk.key("sec")], payload_type=kind)))
        assert codes(gate(desk, revocations=str(path))) == ["revocation-untrusted"]


@pytest.mark.parametrize(
    "odd",
    [
        entry("key", "A" * 64),
        entry("key", "a" * 63),
        entry("subject", "sha256:" + "a" * 64),
        entry("serial", "1"),
        entry("serial", "01", model_name="m"),
        entry("serial", "one", model_name="m"),
        entry("certificate", "1", model_name="m"),
        entry("certificate", ""),
        entry("certificate", "a\u200b"),
        entry("certificate", "a", reason=" "),
    ],
)
def test_an_entry_that_could_never_match_is_an_error(desk: Desk, odd: Revocation) -> None:
    made = RevocationList(version=1, issued_at=NOW, next_update=NOW + timedelta(hours=24), entries=(odd,))
    with pytest.raises(InputError, match="can not be signed"):
        sign_revocations(made, desk.key("sec"))
    path = desk.root / "odd.json"
    path.write_bytes(envelope_json(sign_record(made, REVOCATIONS_TYPE, [desk.key("sec")])))
    assert codes(gate(desk, revocations=str(path))) == ["revocation-untrusted"]


def test_the_number_of_entries_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_prodml.verify.revocation._MOST_ENTRIES", 3)
    three = [entry("waiver", str(number)) for number in range(3)]
    assert codes(judged(desk, *three)) == []
    with pytest.raises(InputError, match="more than 3 entries"):
        revocation_list(desk, *three, entry("waiver", "3"))


def test_a_second_signature_saves_a_list_that_revokes_the_first(desk: Desk) -> None:
    people = {"ds": "data-science", "ci": "platform", "risk": "risk", "sec": "security", "sec2": "security"}
    write_trust(desk, people=people, revocation=REQUIRED)
    own = entry("key", desk.key("sec").keyid)
    made = RevocationList(version=1, issued_at=NOW, next_update=NOW + timedelta(hours=24), entries=(own,))
    path = desk.root / "both.json"
    both = [desk.key("sec"), desk.key("sec2")]
    path.write_bytes(envelope_json(sign_record(made, REVOCATIONS_TYPE, both)))
    assert codes(gate(desk, revocations=str(path))) == []


def test_a_list_does_not_revoke_its_own_signer(desk: Desk) -> None:
    own = entry("key", desk.key("sec").keyid)
    made = RevocationList(version=1, issued_at=NOW, next_update=NOW + timedelta(hours=24), entries=(own,))
    with pytest.raises(InputError, match="revokes the key that signs it"):
        sign_revocations(made, desk.key("sec"))
    path = desk.root / "odd.json"
    path.write_bytes(envelope_json(sign_record(made, REVOCATIONS_TYPE, [desk.key("sec")])))
    assert codes(gate(desk, revocations=str(path))) == ["revocation-untrusted"]


def test_a_foreign_list_is_not_extended(desk: Desk) -> None:
    data = Path(revocation_list(desk, signer="other")).read_bytes()
    with pytest.raises(InputError, match="is not signed with a known key"):
        open_own(data, [desk.key("sec").public_key], where="list")


# --- versions, with a state file ----------------------------------------------------------------------------


def test_the_version_of_the_list_never_goes_down(desk: Desk) -> None:
    state = desk.root / "state.json"
    old = revocation_list(desk, name="old.json", version=3)
    new = revocation_list(desk, entry("certificate", "x"), name="new.json", version=4)
    other = revocation_list(desk, name="other.json", version=4)
    for path, code in ((old, []), (new, []), (old, ["revocation-rollback"]), (new, [])):
        report = gate(desk, revocations=path, state=state)
        assert codes(report) == code
        if code:
            assert report.exit_code == ExitCode.WAIVER
    assert codes(gate(desk, revocations=other, state=state)) == ["revocation-rollback"], "same version"


def test_the_list_is_remembered_even_where_the_certificate_is_refused(desk: Desk) -> None:
    state = desk.root / "state.json"
    revoking = revocation_list(desk, entry("certificate", desk.build().id), name="new.json", version=8)
    assert codes(gate(desk, revocations=revoking, state=state)) == ["revoked"]
    before = revocation_list(desk, name="old.json", version=7)
    assert codes(gate(desk, revocations=before, state=state)) == ["revocation-rollback"]


# --- fetched ------------------------------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by path."""

    protocol_version = "HTTP/1.1"
    body = b""

    def do_GET(self) -> None:
        base = f"https://{self.headers['Host']}"
        redirects = {
            "/hop": f"{base}/list.json",
            "/hop2": f"{base}/hop",
            "/hop3": f"{base}/hop2",
            "/hop4": f"{base}/hop3",
            "/plain": "http://127.0.0.1/list.json",
            "/file": "file:///etc/passwd",
            "/loop": f"{base}/loop",
        }
        if self.path in redirects:
            self.send_response(302)
            self.send_header("Location", redirects[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/list.json":
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.body)))
            self.end_headers()
            self.wfile.write(self.body)
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.body)))
            self.end_headers()
            self.wfile.write(self.body[:-10])
            self.close_connection = True
        elif self.path == "/huge":
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(40):
                    self.wfile.write(b" " * 2**20)
            except OSError:
                pass
            self.close_connection = True
        elif self.path == "/drip":
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(100):
                    self.wfile.write(b" ")
                    self.wfile.flush()
                    time.sleep(0.1)
            except OSError:
                pass
            self.close_connection = True
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Say nothing."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Serve over https with a certificate of its own, and return the address and the file to trust."""
    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, private = directory / "server.pem", directory / "server.key"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, private)
    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving.handle_error = lambda *_: None  # type: ignore[method-assign]
    serving.socket = context.wrap_socket(serving.socket, server_side=True)
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{serving.server_address[1]}", pem
    serving.shutdown()
    serving.server_close()


@pytest.fixture
def address(server: tuple[str, Path], desk: Desk, monkeypatch: pytest.MonkeyPatch) -> str:
    base, pem = server
    for variable in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    Handler.body = Path(revocation_list(desk)).read_bytes()
    return base


def test_it_is_fetched_over_https(desk: Desk, address: str) -> None:
    assert codes(gate(desk, revocations=f"{address}/list.json")) == []
    assert codes(gate(desk, revocations=f"{address}/hop")) == []
    assert codes(gate(desk, revocations=f"{address}/hop3")) == []
    Handler.body = Path(revocation_list(desk, entry("certificate", desk.build().id))).read_bytes()
    assert codes(gate(desk, revocations=f"{address}/list.json")) == ["revoked"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/absent", "answers 404"),
        ("/plain", "redirects to an address that is not https"),
        ("/file", "the server answers 302"),
        ("/loop", "the server answers 302"),
        ("/hop4", "the server answers 302"),
        ("/huge", "has more than"),
    ],
)
def test_what_can_not_be_fetched_refuses(desk: Desk, address: str, path: str, told: str) -> None:
    report = gate(desk, revocations=address + path)
    assert codes(report) == ["revocation-missing"]
    assert told in report.reasons[0].message


def test_a_transfer_that_broke_off(desk: Desk, address: str) -> None:
    assert codes(gate(desk, revocations=f"{address}/short")) == ["revocation-untrusted"]


def test_a_slow_server_is_left_behind(address: str) -> None:
    with pytest.raises(RefusalError, match="within 0.5 seconds"):
        read_revocations_from(f"{address}/drip", seconds=0.5)


def test_a_server_that_nobody_vouches_for(desk: Desk, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(desk.public("other")))
    report = gate(desk, revocations=f"{address}/list.json")
    assert codes(report) == ["revocation-missing"]


def test_nobody_vouches_for_it_either_where_python_was_told_not_to_ask(
    desk: Desk, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A widespread remedy for servers without a certificate: it must not reach into this one."""
    monkeypatch.setenv("SSL_CERT_FILE", str(desk.public("other")))
    unverified = ssl._create_unverified_context
    monkeypatch.setattr(ssl, "_create_default_https_context", unverified)
    assert codes(gate(desk, revocations=f"{address}/list.json")) == ["revocation-missing"]


def test_the_length_of_what_is_fetched(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def limited(size: int) -> bytes:
        limits = replace(ENVELOPE_LIMITS, size_bytes=size)
        monkeypatch.setattr("pytest_prodml.verify.fetch.ENVELOPE_LIMITS", limits)
        return read_revocations_from(f"{address}/list.json")

    longest = len(Handler.body)
    assert limited(longest) == Handler.body
    with pytest.raises(RefusalError, match=f"has more than {longest - 1:,} bytes"):
        limited(longest - 1)


def test_no_more_is_taken_from_a_server_than_it_takes_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Endless(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            asked.append(-1 if size is None else size)
            return b" "

    monkeypatch.setattr("urllib.request.OpenerDirector.open", lambda *_, **__: Endless())
    assert read_revocations_from("https://x/list") == b" "
    assert asked == [ENVELOPE_LIMITS.size_bytes + 1]


def test_nothing_waits_for_a_server_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a read of the socket, and not the interpreter when it ends."""
    seen: list[tuple[object, bool]] = []

    def silent(_: object, url: str, timeout: object = None) -> None:
        seen.append((timeout, threading.current_thread().daemon))
        raise OSError(f"{url} is silent")

    monkeypatch.setattr("urllib.request.OpenerDirector.open", silent)
    for seconds in (7.5, 20.0):
        with pytest.raises(RefusalError) as refused:
            read_revocations_from("https://x/list", **({} if seconds == 20.0 else {"seconds": seconds}))
        assert refused.value.reason.message == "can not be fetched: https://x/list is silent"
        assert refused.value.reason.path == "https://x/list"
    assert seen == [(7.5, True), (20.0, True)]


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/l", "ftp://127.0.0.1/l", "file:///etc/passwd", "HTTPS://x/l", "data://x", "https://"],
)
def test_other_addresses(desk: Desk, url: str) -> None:
    assert codes(gate(desk, revocations=url)) == ["revocation-missing"]


def test_the_list_as_the_page_describes_it(desk: Desk) -> None:
    payload = json.loads(
        parse_envelope(Path(revocation_list(desk, entry("key", "a" * 64))).read_bytes()).payload
    )
    assert payload.keys() == {"version", "issuedAt", "nextUpdate", "entries"}
    assert payload["entries"][0].keys() == {"kind", "value", "reason", "revokedAt"}
    assert "security" in trust_text(desk)
