"""Forgers, one function a kind: certificate and random numbers -> `Mutant`.

Some know nothing of the format and change bytes, some know it and have no key, some have stolen one key, and
some hold every key and lie.
"""

from __future__ import annotations

import base64
import copy
import json
import random
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fuzz_scene import SLOT, Base, Mutant, Scene, put

from pytest_prodml.certificate.dsse import INTOTO_PAYLOAD_TYPE, pae
from pytest_prodml.codec import canonical_json
from pytest_prodml.errors import MalformedError

PARTS: tuple[bytes, ...] = (
    b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\0", b"\xff", b"\xef\xbb\xbf", b"NaN", b"1e999", b"-0",
    b'"payload":""', b'"signatures":[]', b"\\u0000", b"\\ud800", b"=", b"-", b"_", b"null", b"[" * 64,
    b"<script>", b"</script>", b"<!--", b"9" * 400, b"\xe2\x80\xae", b'"verdict":"PASS",', b"\r\n", b" ",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, 1e308, 2**53 - 1, "", "\u202e", "e\u0301", "A" * 100, "sha256", [], {},
    [[]], {"sig": ""}, "pass", "READY", "2026-11-22T09:30:00Z", "9999-12-31T23:59:59Z", "0" * 64, ["*"],
)  # fmt: skip
OTHER_TYPES = (
    "application/vnd.pytest-prodml.revocations.v1+json", "application/vnd.pytest-prodml.trust-root.v1+json",
    "application/json", INTOTO_PAYLOAD_TYPE.upper(), INTOTO_PAYLOAD_TYPE + " ", "", "text/html",
)  # fmt: skip


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def changed_bytes(data: bytes, draw: random.Random) -> bytes:
    """Change some bytes: bits, values, cuts, insertions, repetitions."""
    result = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        at = draw.randrange(len(result) + 1) if result else 0
        kind = draw.randrange(7)
        if kind <= 1 and at < len(result):
            result[at] ^= 1 << draw.randrange(8)
        elif kind == 2 and at < len(result):
            result[at] = draw.randrange(256)
        elif kind == 3:
            del result[at : at + draw.choice((1, 2, 8, 200))]
        elif kind == 4:
            result[at:at] = draw.choice(PARTS)
        elif kind == 5:
            begin = draw.randrange(len(result) + 1)
            result[at:at] = result[begin : begin + draw.choice((1, 8, 64))]
        elif draw.random() < 0.2:
            del result[at:]
    return bytes(result)


def _value(draw: random.Random) -> object:
    return copy.deepcopy(draw.choice(VALUES))


def _deep(draw: random.Random) -> object:
    value = _value(draw)
    for _ in range(draw.choice((1, 3, 9, 31, 33, 200))):
        value = [value] if draw.random() < 0.5 else {draw.choice(("payload", "subject", "a")): value}
    return value


def changed_value(document: Any, draw: random.Random) -> None:  # noqa: ANN401 - any JSON
    """Replace, remove, add or move one value somewhere in a document, in place."""
    place = document
    while True:
        names = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not names:
            return
        name = draw.choice(names)
        inner = place[name]
        if isinstance(inner, (dict, list)) and inner and draw.random() < 0.85:
            place = inner
            continue
        kind = draw.randrange(8)
        if kind == 0:
            del place[name]
        elif kind == 1:
            place[name] = _deep(draw)
        elif kind == 2 and isinstance(place, dict):
            place[draw.choice(("x", "verdict", "decision", "waivers", "nonce"))] = _value(draw)
        elif kind == 2:
            place.append(draw.choice((copy.deepcopy(inner), _value(draw))))
        elif kind == 3 and isinstance(inner, (int, float)) and not isinstance(inner, bool):
            place[name] = draw.choice((-inner, inner + 1, inner / 2, inner * 10, inner + 1e-9, int(inner)))
        elif kind == 4 and isinstance(inner, str):
            place[name] = draw.choice((inner + " ", inner.upper(), inner[:-1], inner + "\u200b", inner * 2))
        elif kind == 5 and isinstance(place, dict):
            other = draw.choice(names)
            place[name], place[other] = place[other], place[name]
        else:
            place[name] = _value(draw)
        return


def plausible_value(document: Any, draw: random.Random) -> None:  # noqa: ANN401 - any JSON
    """Replace one leaf by another of its type: a number by one near it, a text by one of the document."""
    leaves: list[tuple[Any, Any]] = []
    places = [document]
    while places:
        place = places.pop()
        for name, inner in place.items() if isinstance(place, dict) else enumerate(place):
            if isinstance(inner, (dict, list)):
                places.append(inner)
            else:
                leaves.append((place, name))
    place, name = draw.choice(leaves)
    old = place[name]
    if isinstance(old, bool):
        place[name] = not old
    elif isinstance(old, (int, float)):
        place[name] = draw.choice((-old, old + 1, old / 2, old * 10, old + 1e-9, 1.5 - old, 0))
    else:
        texts = [item for holder, key in leaves if isinstance(item := holder[key], str)]
        place[name] = draw.choice(texts)


def changed_payload(base: Base, draw: random.Random) -> bytes:
    """Return another payload: bytes changed, or values of the statement in canonical or in any form."""
    payload = base.payload
    while payload == base.payload:
        payload = changed_bytes(payload, draw) if draw.random() < 0.3 else _changed_statement(payload, draw)
    return payload


def _changed_statement(payload: bytes, draw: random.Random) -> bytes:
    document = json.loads(payload)
    for _ in range(draw.choice((1, 1, 2, 5))):
        if draw.random() < 0.5:
            plausible_value(document, draw)
        else:
            inner = document.get("predicate")
            changed_value(inner if isinstance(inner, dict) and draw.random() < 0.8 else document, draw)
    if draw.random() < 0.9:
        with suppress(MalformedError):
            return canonical_json(document)
    return json.dumps(document).encode()


def _signature(scene: Scene, name: str, kind: str, payload: bytes) -> dict[str, str]:
    signer = scene.keys[name]
    return {"keyid": signer.keyid, "sig": _b64(signer.sign(pae(kind, payload)))}


Mutation = Callable[[Scene, Base, random.Random], Mutant]


def bytes_of_the_file(_scene: Scene, base: Base, draw: random.Random) -> Mutant:
    """Change bytes of the file."""
    return Mutant(data=changed_bytes(base.file, draw))


def fields_of_the_envelope(_scene: Scene, base: Base, draw: random.Random) -> Mutant:
    """Remove, retype, add or wrap fields of the envelope, or nest something deep in it."""
    fields = json.loads(base.envelope)
    if draw.random() < 0.2:
        inner = draw.choice((fields, {"dsseEnvelope": fields}, [fields], {"payload": fields}))
        return Mutant(data=put(base, json.dumps(inner, indent=draw.choice((None, 1))).encode()))
    for _ in range(draw.choice((1, 1, 3))):
        changed_value(fields, draw)
    return Mutant(data=put(base, json.dumps(fields).encode()))


def keys_twice(_scene: Scene, base: Base, draw: random.Random) -> Mutant:
    """Let one field stand twice in an object, before or behind, in the envelope or in the payload."""
    text = base.envelope
    if draw.random() < 0.3:
        payload = base.payload
        at = draw.choice([found.start() for found in re.finditer(rb'"[a-zA-Z]+":', payload)])
        name = re.match(rb'"[a-zA-Z]+":', payload[at:])
        extra = (name[0] if name else b"") + json.dumps(draw.choice(VALUES)).encode() + b","
        twice = payload[:at] + extra + payload[at:]
        return Mutant(data=put(base, text.replace(base64.b64encode(payload), base64.b64encode(twice))))
    name_of = draw.choice((b"payload", b"payloadType", b"signatures", b"keyid", b"sig"))
    value = json.dumps(draw.choice((*VALUES, _b64(b"{}"), INTOTO_PAYLOAD_TYPE))).encode()
    spelled = draw.choice((name_of, name_of.replace(b"p", b"\\u0070"), name_of.replace(b"s", b"\\u0073")))
    extra = b'"' + spelled + b'": ' + value
    begin = text.index(b'"' + name_of + b'"')
    if draw.random() < 0.5:
        return Mutant(data=put(base, text[:begin] + extra + b", " + text[begin:]))
    end = text.rindex(b"}") if name_of in (b"payload", b"payloadType", b"signatures") else text.index(b"}")
    return Mutant(data=put(base, text[:end] + b", " + extra + text[end:]))


def signatures_moved(scene: Scene, base: Base, draw: random.Random) -> Mutant:
    """Reorder, repeat, strip or exchange signatures, or take them from another certificate."""
    fields = json.loads(base.envelope)
    mine = fields["signatures"]
    kind = draw.randrange(7)
    if kind == 0:
        draw.shuffle(mine)
        fields = dict(draw.sample(list(fields.items()), len(fields)))
    elif kind == 1:
        fields["signatures"] = [draw.choice(mine) for _ in range(draw.randrange(20))]
    elif kind == 2:
        del mine[draw.randrange(len(mine))]
    elif kind == 3:
        hint = draw.choice((mine[0]["keyid"], "", "x" * 2000))
        mine[0]["keyid"], mine[-1]["keyid"] = mine[-1]["keyid"], hint
    elif kind == 4:
        other = json.loads(draw.choice(list(scene.bases.values())).envelope)
        fields["signatures"] = draw.choice((other["signatures"], mine[:1] + other["signatures"][-1:]))
    elif kind == 5:
        signature = draw.choice(mine)
        signature["sig"] = _b64(changed_bytes(base64.b64decode(signature["sig"]), draw))
    else:
        added = draw.choice(({"sig": _b64(draw.randbytes(64))}, {}, None, ""))
        mine.insert(draw.randrange(len(mine) + 1), added)
    return Mutant(data=put(base, json.dumps(fields).encode()))


def spelled_base64(_scene: Scene, base: Base, draw: random.Random) -> Mutant:
    """Spell the base64 of the payload or of a signature in another way."""
    fields = json.loads(base.envelope)
    holder, name = draw.choice([(fields, "payload"), *((item, "sig") for item in fields["signatures"])])
    text = holder[name]
    at = draw.randrange(len(text) + 1)
    kind = draw.randrange(8)
    if kind == 0:
        text = text.replace("+", "-").replace("/", "_")
    elif kind == 1:
        text = text.replace("+", "-", 1)
    elif kind == 2:
        text = text.rstrip("=")
    elif kind == 3:
        text += draw.choice(("=", "==", "====", "A", "AA==", "\n"))
    elif kind == 4:
        junk = (" ", "\n", "\r\n", "\t", "\0", "\u00a0", "=", "%3D", "\uff0b")
        text = text[:at] + draw.choice(junk) + text[at:]
    elif kind == 5:
        body, pad = text.rstrip("="), text[len(text.rstrip("=")) :]
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        text = body[:-1] + alphabet[alphabet.index(body[-1]) ^ draw.choice((1, 2, 3))] + pad
    elif kind == 6:
        text = "\n".join(text[start : start + 76] for start in range(0, len(text), 76))
    else:
        text = changed_bytes(text.encode(), draw).decode("latin-1")
    holder[name] = text
    return Mutant(data=put(base, json.dumps(fields).encode()))


def payload_changed(_scene: Scene, base: Base, draw: random.Random) -> Mutant:
    """Change the payload and keep the signatures: a forger without a key."""
    fields = json.loads(base.envelope)
    fields["payload"] = _b64(changed_payload(base, draw))
    return Mutant(data=put(base, json.dumps(fields).encode()))


def payload_signed_by_strangers(scene: Scene, base: Base, draw: random.Random) -> Mutant:
    """Sign a changed payload with a key that nobody trusts, under a trusted key id or beside others."""
    fields = json.loads(base.envelope)
    payload = changed_payload(base, draw)
    made = _signature(scene, "other", INTOTO_PAYLOAD_TYPE, payload)
    if draw.random() < 0.7:
        made["keyid"] = draw.choice(fields["signatures"])["keyid"]
    fields["payload"] = _b64(payload)
    fields["signatures"] = draw.choice(([made], [made, made], [made, *fields["signatures"]]))
    return Mutant(data=put(base, json.dumps(fields).encode()))


def payload_signed_by_too_few(scene: Scene, base: Base, draw: random.Random) -> Mutant:
    """Sign a changed payload as one role of two, as approver or as revoker: a stolen key."""
    fields = json.loads(base.envelope)
    payload = changed_payload(base, draw)
    several = base.signers if len(base.signers) > 1 else ()
    thieves = draw.sample(("risk", "sec", *several[:1]), 2) if draw.random() < 0.5 else ["risk", "sec"]
    if several and draw.random() < 0.5:
        thieves = [several[1], "risk"]
    made = [_signature(scene, name, INTOTO_PAYLOAD_TYPE, payload) for name in thieves]
    made[-1]["keyid"] = draw.choice(fields["signatures"])["keyid"]
    fields["payload"] = _b64(payload)
    fields["signatures"] = [*made, *draw.choice(([], fields["signatures"]))]
    return Mutant(data=put(base, json.dumps(fields).encode()))


def type_changed(scene: Scene, base: Base, draw: random.Random) -> Mutant:
    """Change the type of the payload, with the old signatures or with new ones by everybody."""
    fields = json.loads(base.envelope)
    kind = INTOTO_PAYLOAD_TYPE
    while kind == INTOTO_PAYLOAD_TYPE:
        other = changed_bytes(kind.encode(), draw).decode("latin-1")
        kind = draw.choice((*OTHER_TYPES, other, other))
    fields["payloadType"] = kind
    if draw.random() < 0.3:
        fields["signatures"] = [_signature(scene, name, kind, base.payload) for name in base.signers]
    return Mutant(data=put(base, json.dumps(fields).encode()))


def page_or_bundle_changed(scene: Scene, base: Base, draw: random.Random) -> Mutant:
    """Change a page's text or slot, or fields of a bundle; put a certificate where it does not belong."""
    page, other = scene.bases["certificate.html"], draw.choice(list(scene.bases.values()))
    kind = draw.randrange(6)
    if kind == 0:
        found = SLOT.search(page.file)
        begin, end = found.span() if found else (0, 0)
        at = draw.choice((draw.randrange(begin), draw.randrange(end, len(page.file))))
        text = page.file[at : at + 200]
        return Mutant(data=page.file[:at] + changed_bytes(text, draw) + page.file[at + 200 :])
    if kind == 1:
        return Mutant(data=put(page, other.envelope))
    if kind == 2:
        inside = draw.choice((b"", base64.b64encode(other.envelope)))
        again = b'<script type="application/vnd.prodml.dsse+base64" id="prodml-envelope">' + inside
        again += b"</script>"
        at = draw.randrange(len(page.file))
        return Mutant(data=page.file[:at] + again + page.file[at:])
    if kind == 3:
        digits = {"NOT READY": "READY", "0.7": "0.9", "READY": "NOT READY"}
        old, new = draw.choice(list(digits.items()))
        return Mutant(data=page.file.replace(old.encode(), new.encode(), draw.choice((1, 2, -1))))
    if kind == 4:
        bundle = json.loads(scene.bases["Sigstore bundle"].file)
        changed_value(bundle, draw)
        return Mutant(data=json.dumps(bundle).encode())
    return Mutant(data=draw.choice((b" ", b"\n", b"<", b"\xef\xbb\xbf", b"<!-- -->")) + base.file)


def payload_signed_by_all(scene: Scene, base: Base, draw: random.Random) -> Mutant:
    """Sign a changed payload with every key that must sign: all keys stolen, or an issuer that lies."""
    payload = changed_payload(base, draw)
    made = [_signature(scene, name, INTOTO_PAYLOAD_TYPE, payload) for name in base.signers]
    fields = {"payload": _b64(payload), "payloadType": INTOTO_PAYLOAD_TYPE, "signatures": made}
    return Mutant(data=put(base, json.dumps(fields).encode()), vouched=payload)


MUTATIONS: dict[str, Mutation] = {
    "bytes of the file": bytes_of_the_file,
    "fields of the envelope removed, retyped, added, wrapped, nested deep": fields_of_the_envelope,
    "a field twice in one object, of the envelope or of the payload": keys_twice,
    "signatures reordered, repeated, stripped, exchanged, foreign": signatures_moved,
    "base64 in another spelling": spelled_base64,
    "payload, with the old signatures (no key)": payload_changed,
    "payload, signed with untrusted keys under trusted key ids": payload_signed_by_strangers,
    "payload, signed by one role of two, by approver or revoker (stolen keys)": payload_signed_by_too_few,
    "type of the payload, with old signatures or new ones by all": type_changed,
    "text and slot of a page, fields of a bundle": page_or_bundle_changed,
    "payload, signed by everybody who must (all keys stolen)": payload_signed_by_all,
}
