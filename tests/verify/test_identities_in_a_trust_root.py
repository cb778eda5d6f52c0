"""Identities in a trust root: what is wrong with one is told before anything is verified, without Sigstore."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import NOW, Desk
from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.codec import sha256_hex
from pytest_prodml.errors import ConfigurationError
from pytest_prodml.verify.trust import check_roles, trusted_signers
from pytest_prodml.verify.trustfile import TRUSTED_ROOT_MEDIA_TYPE, load_trust
from pytest_prodml.verify.trustroot import (
    IdentityEntry,
    KeyEntry,
    RevocationRule,
    SigstoreRule,
    TrustDocument,
    TrustedIdentity,
    WaiverRule,
    document_problems,
)
from trust_factory import BOTH, LATER, codes, gate, write_trust

ISSUER = "https://token.actions.githubusercontent.com"
WORKFLOW = "https://github.com/acme/model/.github/workflows/release.yml@refs/heads/main"
TRUSTED_ROOT = json.dumps({"mediaType": TRUSTED_ROOT_MEDIA_TYPE})
RELEASE = IdentityEntry(role="platform", issuer=ISSUER, identity=WORKFLOW)
KEY = KeyEntry(role="platform", public_key="PEM")
DOCUMENT = TrustDocument(
    version=1,
    roles={"platform": 1},
    keys={"ci": KEY},
    identities={"release": RELEASE},
    sigstore=SigstoreRule(trusted_root=TRUSTED_ROOT),
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def problems(**identities: IdentityEntry) -> list[str]:
    return list(document_problems(replace(DOCUMENT, identities=identities)))


def test_a_sound_document() -> None:
    assert list(document_problems(DOCUMENT)) == []
    assert list(document_problems(replace(DOCUMENT, keys={}))) == [], "an identity fills a role as a key does"
    assert list(document_problems(replace(DOCUMENT, roles={"platform": 2}))) == []
    assert list(document_problems(replace(DOCUMENT, roles={"platform": 3}))) == [
        "asks for 3 signatures and 2 keys have the role @ $.roles.platform"
    ]
    assert list(document_problems(replace(DOCUMENT, sigstore=None))) == [
        "identities are proven under a Sigstore trusted root, and none is named @ $.sigstore"
    ]
    assert list(document_problems(replace(DOCUMENT, sigstore=None, identities=None))) == []


@pytest.mark.parametrize("changed", ["issuer", "identity"])
def test_the_text_of_an_identity(changed: str) -> None:
    def told(text: str) -> list[str]:
        change: dict[str, Any] = {changed: text}
        return problems(release=replace(RELEASE, **change))

    text_expected = f"expected printable text of 1 to 1024 characters @ $.identities.release.{changed}"
    for text in ("x", "x" * 1024, "a b"):
        assert told(text) == []
    for text in ("", "x" * 1025, "x\n", "a\u202eb", " x", "x ", "\u00a0x"):
        assert told(text) == [text_expected]
    for text in ("*", "https://github.com/acme/*", "*@acme.com"):
        assert told(text) == [
            f"is no pattern: write the whole {changed}, without * @ $.identities.release.{changed}"
        ]


def test_names_and_roles_of_identities() -> None:
    assert problems(ci=RELEASE) == ["a key has this name too @ $.identities.ci"]
    assert problems(release=replace(RELEASE, role="audit")) == [
        "an identity signs certificates, and the role 'audit' does not @ $.identities.release.role"
    ]
    long = "r" * 101
    found = problems(**{long: replace(RELEASE, role=long)})
    assert found[-1] == (
        f"an identity signs certificates, and the role {'r' * 100!r} does not @ $.identities.{'r' * 100}.role"
    )
    for name, role in (("a\u202eb", "platform"), ("release", "a\u202eb")):
        (first, *_) = problems(**{name: replace(RELEASE, role=role)})
        assert first.startswith("the name or role ")
        assert first.endswith(f" @ $.identities.{name}")


def test_the_window_of_an_identity() -> None:
    second = timedelta(seconds=1)
    told = ["the window ends before it begins @ $.identities.release.valid_until"]
    for ends, found in ((NOW - second, told), (NOW, told), (NOW + second, [])):
        assert problems(release=replace(RELEASE, valid_from=NOW, valid_until=ends)) == found
    assert problems(release=replace(RELEASE, valid_from=NOW)) == []
    assert problems(release=replace(RELEASE, valid_until=NOW)) == []


def test_the_same_identity_twice_would_count_twice() -> None:
    assert problems(release=RELEASE, again=RELEASE) == [
        "release and again are the same identity @ $.identities.again"
    ]
    for other in (replace(RELEASE, issuer="https://accounts.google.com"), replace(RELEASE, identity="a@b.c")):
        assert problems(release=RELEASE, again=other) == []


def test_the_number_of_identities_is_bounded() -> None:
    def many(count: int) -> list[str]:
        return problems(**{f"i{n}": replace(RELEASE, identity=f"{n}@acme.com") for n in range(count)})

    assert many(256) == []
    assert many(257) == ["lists 257 identities, more than 256 @ $.identities"]


def test_an_identity_approves_no_waiver_and_signs_no_list() -> None:
    alone = replace(DOCUMENT, identities={"release": replace(RELEASE, role="risk")})
    for place, made in (
        ("waivers", replace(alone, waivers=WaiverRule(role="risk"))),
        ("revocation", replace(alone, revocation=RevocationRule(role="risk"))),
    ):
        assert list(document_problems(made)) == [
            "an identity signs certificates, and the role 'risk' does not @ $.identities.release.role",
            f"no key has the role 'risk' @ $.{place}.role",
        ]


def test_every_rule_is_looked_at_even_where_the_first_is_not_there() -> None:
    made = replace(DOCUMENT, waivers=None, revocation=RevocationRule(role="platform"))
    assert list(document_problems(made)) == [
        "the role 'platform' signs certificates; this needs a role of its own @ $.revocation.role"
    ]


def test_the_version_of_a_trust_root() -> None:
    told = ["expected a version from 1 on @ $.version"]
    for version, found in ((0, told), (1, []), (107, []), (2**53 - 1, []), (2**53, told)):
        assert list(document_problems(replace(DOCUMENT, version=version))) == found


def test_the_digest_of_a_policy() -> None:
    for digest, sound in (("0123456789abcdef" * 4, True), ("X" * 64, False), ("a" * 63, False)):
        for name in ("gate_policies", "certificate_policies"):
            listed: dict[str, Any] = {name: (digest,)}
            found = list(document_problems(replace(DOCUMENT, **listed)))
            told = [f"expected a sha256 of 64 lowercase hexadecimal digits @ $.{name}[0]"]
            assert found == ([] if sound else told)


# --- what becomes of them -----------------------------------------------------------------------------------


def test_an_identity_as_a_signer() -> None:
    made = TrustedIdentity(
        name="release",
        role="platform",
        issuer="i",
        identity="w",
        valid_from=NOW,
        valid_until=NOW + timedelta(seconds=2),
    )
    assert made.keyid == sha256_hex(b'{"identity":"w","issuer":"i"}')
    assert made.key is made
    assert not made.verify(b"signature", b"data")
    moments = [made.is_valid(NOW + timedelta(seconds=seconds)) for seconds in (-1, 0, 1, 2, 3)]
    assert moments == [False, True, True, False, False]
    assert replace(made, valid_from=None).is_valid(NOW - timedelta(days=9))
    assert replace(made, valid_until=None).is_valid(NOW + timedelta(days=9))
    assert not replace(made, valid_until=None).is_valid(NOW - timedelta(days=9))


def _table(**changes: Any) -> str:
    fields = {"role": "platform", "issuer": ISSUER, "identity": WORKFLOW, **changes}
    return "\n".join(["[identities.release]", *(f'{name} = "{text}"' for name, text in fields.items())])


def _written(desk: Desk, trusted_root: str) -> Path:
    tail = f"{_table()}\nvalid_from = 2026-11-22T09:30:00Z\nvalid_until = 2026-11-23T09:30:00Z\n"
    return write_trust(desk, tail=f"{tail}[sigstore]\ntrusted_root = {trusted_root}\n")


def test_the_trusted_root_as_text_and_as_a_file(desk: Desk) -> None:
    expected = TrustedIdentity(
        name="release",
        role="platform",
        issuer=ISSUER,
        identity=WORKFLOW,
        valid_from=NOW,
        valid_until=NOW + timedelta(days=1),
    )
    (desk.root / "root.json").write_text(TRUSTED_ROOT, "utf-8")
    for value, text in (
        (f"'{TRUSTED_ROOT}'", TRUSTED_ROOT),
        (f"'  {TRUSTED_ROOT}'", f"  {TRUSTED_ROOT}"),
        ("'root.json'", TRUSTED_ROOT),
    ):
        made = load_trust(_written(desk, value))
        assert made.identities == (expected,)
        assert made.document.sigstore == SigstoreRule(trusted_root=text)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff", "can't decode byte 0xff in position 0"),
        (b"{", "trusted_root"),
        (b"[]", f"expected a Sigstore {TRUSTED_ROOT_MEDIA_TYPE}"),
        (b"{}", f"expected a Sigstore {TRUSTED_ROOT_MEDIA_TYPE}"),
        (b'{"mediaType":"other"}', f"expected a Sigstore {TRUSTED_ROOT_MEDIA_TYPE}"),
        (b'{"mediaType":1,"mediaType":2}', "twice"),
        (None, "can not be read: No such file or directory"),
    ],
)
def test_a_trusted_root_that_is_none(desk: Desk, content: bytes | None, told: str) -> None:
    if content is not None:
        (desk.root / "root.json").write_bytes(content)
    with pytest.raises(ConfigurationError) as refused:
        load_trust(_written(desk, "'root.json'"))
    lines = str(refused.value).splitlines()
    assert lines[0].endswith("is not a usable trust root")
    assert lines[1].endswith(" @ $.sigstore.trusted_root")
    assert told in lines[1]


def test_identities_change_nothing_for_keys(desk: Desk) -> None:
    """A role that has an identity is still met by its key, and bare signatures ask for no Sigstore."""
    desk.certify(signers=BOTH)
    trust = load_trust(_written(desk, "'" + TRUSTED_ROOT + "'"))
    assert codes(gate(desk)) == []
    envelope = parse_envelope(desk.certificate.read_bytes())
    signed, unproven = trusted_signers(envelope, trust)
    assert [item.name for item in signed] == ["ds", "ci"]
    assert unproven == ()
    _, roles, reasons = check_roles(envelope, trust, None, 2, LATER)
    assert (roles, reasons) == ({"data-science": ("ds",), "platform": ("ci",)}, ())
