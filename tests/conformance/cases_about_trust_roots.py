"""Row T07 of the must-reject table: trust roots that are themselves signed, and how one follows another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from certificate_factory import NOW
from conformance.make import SHARED, Case, Table
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.document import add_signature
from pytest_prodml.certificate.dsse import INTOTO_PAYLOAD_TYPE, envelope_json, sign
from pytest_prodml.codec import canonical_json, encode, format_time
from pytest_prodml.verify.revocation import REVOCATIONS_TYPE
from pytest_prodml.verify.state import State, with_trust
from pytest_prodml.verify.trustfile import parse_trust_toml, sign_trust
from pytest_prodml.verify.trustroot import TRUST_ROOT_TYPE, TrustRoot
from trust_factory import trust_text

BOTH = ("ds", "ci")
STATE = ("--state", "state.json")


def cases(table: Table) -> list[Case]:
    """Return the cases."""
    return [
        *_signatures(table),
        *_thresholds(table),
        *_times(table),
        *_contents(table),
        *_versions(table),
        *_rotations(table),
    ]


def _root(
    table: Table,
    *,
    version: int = 1,
    roots: Sequence[str] = ("root",),
    threshold: int = 1,
    expires: datetime | None = None,
    head: str = "",
) -> TrustRoot:
    until = format_time(expires or NOW + timedelta(days=30))
    text = trust_text(
        table, version=version, root=roots, root_threshold=threshold, head=f"expires = {until}\n{head}"
    )
    return parse_trust_toml(text.encode(), where="trust.toml", directory=table.root)


def _signed(table: Table, trust: TrustRoot, *signers: str) -> bytes:
    envelope = sign_trust(trust, [])
    for name in signers:
        envelope = add_signature(envelope, table.key(name))
    return envelope_json(envelope)


def _case(
    table: Table,
    name: str,
    what: str,
    code: str | None,
    trust: bytes | str,
    *,
    pins: Sequence[str] = ("root",),
    options: Sequence[str] = (),
    state: State | None = None,
    signers: Sequence[str] = BOTH,
    exit_code: int = 12,
) -> Case:
    roots = [option for pin in pins for option in ("--root", f"{SHARED}/keys/{pin}.pub")]
    files: Mapping[str, bytes] = {}
    if state is not None:
        files = {"state.json": canonical_json(encode(state)) + b"\n"}
        options = [*options, *STATE]
    return Case(
        name=f"t07-root-{name}",
        row="T07",
        what=what,
        certificate=issue(table.small(), [table.key(signer) for signer in signers]),
        trust=trust,
        options=[*roots, *options],
        files=files,
        codes=[code] if code else [],
        exit_code=exit_code if code else 0,
    )


def _signatures(table: Table) -> Iterator[Case]:
    trust = _root(table)
    good = _signed(table, trust, "root")
    unsigned = trust_text(table)
    table.key("other")
    yield _case(table, "good", "A trust root that the pinned root key signed", None, good)
    yield _case(table, "role-missing", "A good trust root, and one role did not sign the certificate", "role",
                good, signers=("ci",))  # fmt: skip
    yield _case(table, "not-pinned", "A signed trust root, and no key is given to check it", "usage", good,
                pins=(), exit_code=2)  # fmt: skip
    yield _case(table, "unsigned-though-pinned", "A root key is given, and the trust root is not signed",
                "usage", unsigned, exit_code=2)  # fmt: skip
    yield _case(table, "pin-is-another", "Another root key is given", "trust-root", good, pins=("other",))
    yield _case(table, "pin-is-no-key", "What is given as a root key is none", "usage", good, exit_code=2,
                pins=(), options=["--root", "trust.json"])  # fmt: skip
    yield _case(table, "by-stranger", "A stranger signed the trust root", "trust-root",
                _signed(table, trust, "other"))  # fmt: skip
    yield _case(table, "by-a-certificate-key", "A key that signs certificates signed the trust root",
                "trust-root", _signed(table, trust, "ci", "ds"))  # fmt: skip
    yield _case(table, "by-nobody", "Nobody signed the trust root", "trust-root", _signed(table, trust))
    fields = json.loads(good)
    stranger = _root(table, version=2, roots=("other",))
    swapped = json.loads(_signed(table, stranger, "other"))
    for name, what, changed in (
        ("payload-swapped", "The signature belongs to another trust root", {"payload": swapped["payload"]}),
        ("keyid-lies", "A stranger signed under the root key's id",
         {"signatures": [{**swapped["signatures"][0], "keyid": fields["signatures"][0]["keyid"]}]}),
        ("signatures-missing", "There is no list of signatures", {"signatures": None}),
    ):  # fmt: skip
        yield _case(table, name, what, "trust-root", json.dumps({**fields, **changed}).encode())
    hint = {"signatures": [{**fields["signatures"][0], "keyid": "0" * 64}]}
    yield _case(table, "keyid-is-a-hint", "The key id of the root's signature was edited", None,
                json.dumps({**fields, **hint}).encode())  # fmt: skip
    yield _case(table, "cut", "The signed trust root was cut", "trust-root", good[:-30])


def _thresholds(table: Table) -> Iterator[Case]:
    of_two = _root(table, roots=("root", "root2"), threshold=1)
    both_needed = _root(table, roots=("root", "root2"), threshold=2)
    pins = ("root", "root2")
    one, both = _signed(table, of_two, "root"), _signed(table, of_two, "root", "root2")
    yield _case(table, "pin-of-two-one-signed", "Two root keys are given and one signed", "trust-root", one,
                pins=pins)  # fmt: skip
    yield _case(
        table, "pin-of-two-both-signed", "Two root keys are given and both signed", None, both, pins=pins
    )
    yield _case(table, "pin-of-two-one-asked", "Two root keys are given and one is asked for", None, one,
                pins=pins, options=["--root-threshold", "1"])  # fmt: skip
    yield _case(table, "own-threshold-not-met", "It asks for two root keys itself, and one signed", "trust-root",
                _signed(table, both_needed, "root"))  # fmt: skip
    yield _case(table, "own-threshold-met", "It asks for two root keys itself, and both signed", None,
                _signed(table, both_needed, "root", "root2"))  # fmt: skip
    fields = json.loads(_signed(table, both_needed, "root"))
    twice = [fields["signatures"][0], {**fields["signatures"][0], "keyid": table.key("root2").keyid}]
    yield _case(table, "one-key-twice", "It asks for two root keys, and one key's signature is there twice",
                "trust-root", json.dumps({**fields, "signatures": twice}).encode())  # fmt: skip
    for number in ("3", "0", "-1"):
        yield _case(table, f"pin-threshold-{number.replace('-', 'minus-')}",
                    f"{number} of two given root keys are asked for", "usage", both, pins=pins, exit_code=2,
                    options=[f"--root-threshold={number}"])  # fmt: skip


def _times(table: Table) -> Iterator[Case]:
    later = NOW + timedelta(minutes=1)
    for name, expires, code in (
        ("expired", later - timedelta(days=1), "trust-expired"),
        ("expires-now", later, "trust-expired"),
        ("expires-in-a-second", later + timedelta(seconds=1), None),
    ):
        trust = _root(table, expires=expires)
        yield _case(table, name, f"The signed trust root: {name}", code, _signed(table, trust, "root"))
    old = _signed(table, _root(table, head='not_issued_before = "2026-11-22T09:30:01Z"'), "root")
    yield _case(table, "issued-too-early", "The signed trust root takes newer certificates only",
                "issued-too-early", old, exit_code=14)  # fmt: skip


def _contents(table: Table) -> Iterator[Case]:
    """Yield what the root key signed and what is no trust root all the same."""
    document: Any = json.loads(canonical_json(encode(_root(table).document)))
    signer = table.key("root")

    def signed(payload: bytes, kind: str = TRUST_ROOT_TYPE) -> bytes:
        return envelope_json(sign(payload, [signer], payload_type=kind))

    def without(name: str) -> bytes:
        return canonical_json({key: value for key, value in document.items() if key != name})

    payload = canonical_json(document)
    by_file = {**document, "keys": {**document["keys"], "ci": {"role": "platform", "file": "keys/ci.pub"}}}
    root_signs = {
        **document["keys"],
        "ci": {**document["keys"]["ci"], "publicKey": document["root"]["keys"][0]},
    }
    contents = {
        "without-end": without("expires"),
        "without-root-keys": without("root"),
        "without-roles": without("roles"),
        "threshold-zero": canonical_json({**document, "root": {**document["root"], "threshold": 0}}),
        "role-threshold-zero": canonical_json({**document, "roles": {"platform": 0, "data-science": 1}}),
        "unknown-field": canonical_json({**document, "trustEverybody": True}),
        "names-a-file": canonical_json(by_file),
        "root-key-signs-certificates": canonical_json({**document, "keys": root_signs}),
        "not-canonical": b"{ " + payload[1:],
        "version-twice": payload.replace(b'"version":1', b'"version":1,"version":2', 1),
        "version-zero": canonical_json({**document, "version": 0}),
        "trailing-bytes": payload + b"\n",
        "not-json": b"version = 1",
        "empty": b"",
    }
    for name, content in contents.items():
        if content == payload:
            raise ValueError(name)
        yield _case(table, f"content-{name}", f"The root key signed what is no trust root: {name}", "trust-root",
                    signed(content))  # fmt: skip
    for name, kind in {"statement": INTOTO_PAYLOAD_TYPE, "revocation-list": REVOCATIONS_TYPE}.items():
        yield _case(table, f"type-{name}", f"The root key signed it as a {name}", "trust-root",
                    signed(payload, kind))  # fmt: skip


def _seen(trust: TrustRoot, **changes: Any) -> State:
    state = with_trust(State(), trust, signed=True)
    if state.trust is None:
        raise ValueError(trust)
    return replace(state, trust=replace(state.trust, **changes))


def _versions(table: Table) -> Iterator[Case]:
    second = _root(table, version=2)
    good = _signed(table, second, "root")
    for name, state, code in (
        ("first-seen", State(), None),
        ("same", _seen(second), None),
        ("raised", _seen(_root(table)), None),
        ("lowered", _seen(_root(table, version=3)), "trust-rollback"),
        ("replaced", _seen(second, digest="0" * 64), "trust-rollback"),
    ):
        yield _case(table, f"version-{name}", f"Against the last signed trust root the version is: {name}", code,
                    good, state=state)  # fmt: skip
    yield _case(table, "version-lowered-by-all", "An older trust root that every root key signed again",
                "trust-rollback", _signed(table, _root(table, roots=("root", "root2")), "root", "root2"),
                state=_seen(_root(table, version=3)))  # fmt: skip
    yield _case(table, "unsigned-successor", "The last one was signed, this one is not, and its version is higher",
                "usage", trust_text(table, version=9), pins=(), state=_seen(second), exit_code=2)  # fmt: skip
    unusable: dict[str, dict[str, Any]] = {
        "state-threshold-zero": {"root_threshold": 0},
        "state-threshold-too-high": {"root_threshold": 2},
        "state-root-keys-junk": {"root_keys": ("-----BEGIN PUBLIC KEY-----\n",)},
        "state-root-keys-missing": {"root_keys": ()},
    }
    for name, changes in unusable.items():
        yield _case(table, name, f"What the state remembers of the last root can not be used: {name[6:]}", "state",
                    good, state=_seen(_root(table), **changes), exit_code=2)  # fmt: skip


def _rotations(table: Table) -> Iterator[Case]:
    """Yield successors whose root keys are others; the state holds the first version, or what followed."""
    before = _seen(_root(table))
    new = _root(table, version=2, roots=("new",))
    signed: dict[str, tuple[str, Sequence[str], str | None]] = {
        "by-old-and-new": ("The old root key and the new one signed the successor", ("root", "new"), None),
        "by-new-only": ("Only the new root key signed the successor", ("new",), "trust-root"),
        "by-old-only": ("Only the old root key signed the successor", ("root",), "trust-root"),
        "by-new-and-stranger": ("The new root key and a stranger signed it", ("new", "other"), "trust-root"),
    }
    for name, (what, signers, code) in signed.items():
        yield _case(table, f"rotated-{name}", what, code, _signed(table, new, *signers), state=before)
        yield _case(table, f"rotated-{name}-without-state", f"{what}; only the old key is given", code,
                    _signed(table, new, *signers))  # fmt: skip
    after = _seen(new)
    third = _root(table, version=3, roots=("new",))
    thief = _root(table, version=3)
    yield _case(table, "old-key-after-handover", "The old root key signed a third version for itself",
                "trust-root", _signed(table, thief, "root"), state=after)  # fmt: skip
    yield _case(table, "new-key-after-handover", "The new root key signed the third version, and the old is pinned",
                None, _signed(table, third, "new"), state=after)  # fmt: skip
    far = _root(table, version=3, roots=("three",))
    yield _case(table, "gap", "A version was missed in which the root keys changed", "trust-root",
                _signed(table, far, "new", "three"), state=before)  # fmt: skip
    yield _case(table, "gap-closed", "The same, after the version between was seen", None,
                _signed(table, far, "new", "three"), state=after)  # fmt: skip
    yield _case(table, "gap-with-the-old-key", "A version was missed, and the old root key signed this one too", None,
                _signed(table, far, "root", "new", "three"), state=before)  # fmt: skip
    pair = _seen(_root(table, roots=("root", "root2"), threshold=2))
    for name, signers, code in (
        ("one-of-two-old", ("root", "new"), "trust-root"),
        ("both-old", ("root", "root2", "new"), None),
        ("both-old-without-new", ("root", "root2"), "trust-root"),
    ):
        yield _case(table, f"rotated-by-{name}", f"The old root asks for two keys; signed by: {', '.join(signers)}",
                    code, _signed(table, new, *signers), state=pair)  # fmt: skip
    lowered = _root(table, version=2, roots=("root", "root2"), threshold=1)
    yield _case(table, "threshold-lowered-by-one", "The old root asks for two keys, one signed that one is enough",
                "trust-root", _signed(table, lowered, "root"), state=pair)  # fmt: skip
