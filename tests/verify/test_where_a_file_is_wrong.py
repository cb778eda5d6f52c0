"""A trust root or list that can not be used: the error names the file and the field, as far as they are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certificate_factory import NOW, Desk, signed
from pytest_prodml.certificate.document import sign_record
from pytest_prodml.certificate.dsse import envelope_json, parse_envelope
from pytest_prodml.errors import ConfigurationError, MalformedError
from pytest_prodml.verify.report import Reason, RefusalError
from pytest_prodml.verify.revocation import open_own
from pytest_prodml.verify.trustfile import load_trust, open_signed, pin_of, read_signed, resolve, sign_trust
from pytest_prodml.verify.trustroot import (
    TRUST_ROOT_TYPE,
    KeyEntry,
    SigstoreRule,
    TrustDocument,
    document_problems,
)
from trust_factory import revocation_list, signed_trust, trust_text


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def refusal(desk: Desk, content: bytes) -> Reason:
    """Return why a trust root is refused that the root key vouches for, or should."""
    with pytest.raises(RefusalError) as refused:
        open_signed(content, pinned(desk), where="trust.json")
    return refused.value.reason


def pinned(desk: Desk) -> Any:
    return pin_of([desk.public("root")])


def document(desk: Desk) -> TrustDocument:
    return load_trust(signed_trust(desk), pinned(desk)).document


def by_root(desk: Desk, changed: TrustDocument) -> bytes:
    return envelope_json(sign_record(changed, TRUST_ROOT_TYPE, [desk.key("root")]))


# --- trust.toml ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = [", "not TOML|Invalid|TOML"),
        ("version = 'one'", "roles"),
        ("version = 1\n[roles]\n[keys]\n", "names no role, so nobody could sign @ $.roles"),
    ],
)
def test_the_file_is_named(desk: Desk, text: str, told: str) -> None:
    path = desk.root / "trust.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError) as found:
        load_trust(path)
    assert found.value.where == str(path)
    assert any(part in str(found.value) for part in told.split("|"))


def test_at_most_fifty_problems_are_told(desk: Desk) -> None:
    desk.public("ci")
    keys = "".join(f'[keys.k{n}]\nrole = "nobody"\nfile = "keys/ci.pub"\n' for n in range(60))
    (desk.root / "trust.toml").write_text(f"version = 1\n[roles]\na = 1\n{keys}", "utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load_trust(desk.root / "trust.toml")
    assert len(str(refused.value).splitlines()) == 1 + 50


def test_long_names_are_cut() -> None:
    name, role = "n" * 101, "r" * 101
    made = TrustDocument(
        version=1, roles={"a": 1}, keys={name: KeyEntry(role=role, public_key="x"), "k": KeyEntry(role="a")}
    )
    assert list(document_problems(made)) == [
        f"the role {'r' * 100!r} is none of a @ $.keys.{'n' * 100}.role",
        "expected public_key or file, and one of them @ $.keys.k",
    ]


def test_half_a_character_is_a_problem_and_no_crash() -> None:
    made = TrustDocument(
        version=1,
        roles={"a": 1},
        keys={"k": KeyEntry(role="a", public_key="\ud800")},
        sigstore=SigstoreRule(trusted_root="\ud800"),
    )
    with pytest.raises(ConfigurationError) as found:
        resolve(made, where="trust.json")
    lines = str(found.value).splitlines()
    assert [line.rpartition(" @ ")[2] for line in lines[1:]] == ["$.keys.k", "$.sigstore.trusted_root"]


def test_root_keys_as_text(desk: Desk) -> None:
    pem = desk.public("root").read_text("ascii")
    text = trust_text(desk, root=["root"]).replace('"keys/root.pub"', f"'''{pem}'''")
    (desk.root / "trust.toml").write_text(text, "utf-8")
    made = load_trust(desk.root / "trust.toml")
    assert [key.keyid for key in made.root_keys] == [desk.key("root").keyid]
    assert made.document.root is not None
    assert made.document.root.keys == (pem,)


# --- signed -------------------------------------------------------------------------------------------------


def test_a_signed_one_is_named_too(desk: Desk) -> None:
    path = signed_trust(desk)
    assert load_trust(path, pinned(desk)).where == str(path)
    path.write_bytes(b" \n" + path.read_bytes())
    assert load_trust(path, pinned(desk)).where == str(path)
    other = desk.root / "other.json"
    other.write_bytes(b"{}")
    with pytest.raises(RefusalError) as refused:
        load_trust(other, pinned(desk))
    assert refused.value.reason.path == str(other)


def test_why_a_signed_one_is_none(desk: Desk) -> None:
    made = document(desk)
    for content, told in (
        (b"{}", "has no payloadType, so it is not a DSSE envelope"),
        (signed(desk, b"{}", signer="root"), "payload"),
        (by_root(desk, replace(made, expires=None)), "a signed trust root needs `expires` and `root`"),
        (by_root(desk, replace(made, root=None)), "a signed trust root needs `expires` and `root`"),
        (by_root(desk, replace(made, version=0)), "is not a usable trust root"),
    ):
        reason = refusal(desk, content)
        assert (reason.code, reason.path) == ("trust-root", "trust.json")
        assert reason.message.startswith("trust.json: ")
        assert told in reason.message


def test_what_can_not_be_signed(desk: Desk) -> None:
    sound = load_trust(signed_trust(desk), pinned(desk))
    assert read_signed(sign_trust(sound, [desk.key("root")]), where="x").where == "x"
    for changed in (replace(sound.document, expires=None), replace(sound.document, root=None)):
        with pytest.raises(ConfigurationError) as found:
            sign_trust(replace(sound, document=changed), [desk.key("root")])
        assert str(found.value) == f"{sound.where}: a signed trust root needs `expires` and `root`"
        with pytest.raises(ConfigurationError) as found:
            read_signed(parse_envelope(by_root(desk, changed)), where="trust.json")
        assert found.value.where == "trust.json"


def test_every_given_root_key_may_be_asked_for(desk: Desk) -> None:
    paths = [desk.public("root"), desk.public("root2")]
    for threshold in (1, 2):
        made = pin_of(paths, threshold)
        assert made is not None
        assert made.threshold == threshold
    for threshold in (0, 3):
        with pytest.raises(ConfigurationError, match=f"{threshold} of 2 given root keys can not have signed"):
            pin_of(paths, threshold)


# --- lists --------------------------------------------------------------------------------------------------


def test_a_list_that_can_not_be_extended_is_named(desk: Desk) -> None:
    known = [desk.key("sec").public_key]
    made = open_own(Path(revocation_list(desk)).read_bytes(), known, where="list.json")
    assert (made.version, made.issued_at) == (1, NOW)
    for content in (b"{}", signed(desk, b"{}", signer="sec")):
        with pytest.raises(MalformedError) as found:
            open_own(content, known, where="list.json")
        assert found.value.where == "list.json"
