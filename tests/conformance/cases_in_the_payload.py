"""Rows P of the must-reject table: statements that a trusted key did sign and that are still no certificates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

from certificate_factory import signed
from conformance.make import Case, Table
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.certificate.forms import fill_page, rendering_of
from pytest_prodml.certificate.statement import certificate_payload
from pytest_prodml.codec import canonical_json
from pytest_prodml.render.html import render_html
from pytest_prodml.render.view import view

SLOT = b'<script type="application/vnd.prodml.dsse+base64" id="prodml-envelope">'


def cases(table: Table) -> list[Case]:
    """Return the cases."""
    return [*_bytes(table), *_foreign(table), *_fields(table), *_pages(table)]


def _case(table: Table, name: str, what: str, payload: bytes) -> Case:
    return Case(name=name, row=name[:3].upper(), what=what, certificate=signed(table, payload),
                codes=["statement"], exit_code=11)  # fmt: skip


def _bytes(table: Table) -> Iterator[Case]:
    good = certificate_payload(table.small())
    text = good.decode()
    start = text.index('"modelVersion":"2.0"')
    here = '"modelVersion":"2.0"'

    def put(new: str | bytes) -> bytes:
        data = new if isinstance(new, bytes) else new.encode()
        return good[:start] + data + good[start + len(here) :]

    variants: dict[str, bytes] = {
        "p02-not-json": b"READY",
        "p02-empty": b"",
        "p02-list": b"[" + good + b"]",
        "p02-text": json.dumps(text).encode(),
        "p02-null": b"null",
        "p02-cut": good[:-1],
        "p02-trailing-object": good + b"{}",
        "p02-trailing-nul": good + b"\0",
        "p03-field-twice": put(here + "," + here),
        "p03-outcome-twice": text.replace(
            '"outcome":"READY"', '"outcome":"NOT_READY","outcome":"READY"'
        ).encode(),
        "p03-digest-twice": text.replace('"digest":{', '"digest":{"sha256":"' + "0" * 64 + '",').encode(),
        "p03-escaped-twice": put(here + ',"model\\u0056ersion":"2.0"'),
        "p03-predicate-twice": good[:-1] + b',"predicate":{}}',
        "p04-nan": text.replace('"seed":0', '"seed":NaN', 1).encode(),
        "p04-infinity": text.replace('"value":0.78', '"value":Infinity').encode(),
        "p04-minus-infinity": text.replace('"value":0.78', '"value":-Infinity').encode(),
        "p04-1e999": text.replace('"value":0.78', '"value":1e999').encode(),
        "p04-minus-zero": text.replace('"seed":0', '"seed":-0', 1).encode(),
        "p04-fraction-for-integer": text.replace('"nSamples":9000', '"nSamples":9000.0').encode(),
        "p04-exponent": text.replace('"nSamples":9000', '"nSamples":9e3').encode(),
        "p04-trailing-zero": text.replace('"value":0.78', '"value":0.780').encode(),
        "p04-more-digits": text.replace('"value":0.78', '"value":0.78000000000000000001').encode(),
        "p04-leading-plus": text.replace('"value":0.78', '"value":+0.78').encode(),
        "p04-leading-zero": text.replace('"nSamples":9000', '"nSamples":09000').encode(),
        "p04-hexadecimal": text.replace('"nSamples":9000', '"nSamples":0x2328').encode(),
        "p05-nesting": text.replace('"details":{}', '"details":' + '{"a":' * 40 + "1" + "}" * 40).encode(),
        "p05-nesting-bomb": b"[" * 20_000 + b"]" * 20_000,
        "p05-long-integer": text.replace('"nSamples":9000', '"nSamples":' + "9" * 5000).encode(),
        "p05-integer-beyond-53-bits": text.replace(
            '"nSamples":9000', '"nSamples":9007199254740993'
        ).encode(),
        "p05-long-text": put('"modelVersion":"' + "x" * 70_000 + '"'),
        "p06-byte-order-mark": b"\xef\xbb\xbf" + good,
        "p06-utf-16": text.encode("utf-16-le"),
        "p06-overlong": put(b'"modelVersion":"\xc0\xb2.0"'),
        "p06-invalid-utf-8": put(b'"modelVersion":"\xff"'),
        "p06-surrogate-bytes": put(b'"modelVersion":"\xed\xa0\x80"'),
        "p06-lone-surrogate": put('"modelVersion":"\\ud800"'),
        "p06-decomposed": put('"modelVersion":"u\u0308"'),
        "p06-bidirectional": put('"modelVersion":"\u202e0.2"'),
        "p06-zero-width": put('"modelVersion":"2\u200b.0"'),
        "p06-line-feed": put('"modelVersion":"2\\n0"'),
        "p06-escaped-letter": put('"modelVersion":"\\u0032.0"'),
        "p06-spaces": json.dumps(json.loads(text), separators=(", ", ": "), ensure_ascii=False).encode(),
        "p06-line-feed-at-the-end": good + b"\n",
        "p06-keys-unsorted": json.dumps(
            dict(reversed(json.loads(text).items())), separators=(",", ":"), ensure_ascii=False
        ).encode(),
        "p06-solidus-escaped": text.replace("https://in-toto.io", "https:\\/\\/in-toto.io").encode(),
    }  # fmt: skip
    for name, data in variants.items():
        if data == good:
            raise ValueError(name)
        yield _case(table, name, f"A trusted key signed a payload that is not canonical: {name[4:]}", data)


def _foreign(table: Table) -> Iterator[Case]:
    document = json.loads(certificate_payload(table.small()))
    types = {
        "provenance": "https://slsa.dev/provenance/v1",
        "test-result": "https://in-toto.io/attestation/test-result/v0.1",
        "verification-result": "https://in-toto.io/attestation/svr/v0.2",
        "waiver": "https://github.com/pytest-prodml/pytest-prodml/predicates/waiver/v1",
        "next-version": document["predicateType"].replace("/v1", "/v2"),
        "trailing-slash": document["predicateType"] + "/",
        "upper-case": document["predicateType"].upper(),
        "other-scheme": document["predicateType"].replace("https:", "http:"),
    }
    for name, kind in types.items():
        payload = canonical_json({**document, "predicateType": kind})
        yield Case(name=f"p01-predicate-type-{name}", row="P01",
                   what=f"A trusted key signed a statement of another predicate type: {name}",
                   certificate=signed(table, payload), codes=["predicate-type"], exit_code=11)  # fmt: skip
    bare = {**document, "predicateType": "https://slsa.dev/provenance/v1", "predicate": {"runDetails": {}}}
    yield Case(name="p01-real-provenance", row="P01", what="A trusted key signed somebody else's statement",
               certificate=signed(table, canonical_json(bare)), codes=["predicate-type"],
               exit_code=11)  # fmt: skip
    waiver = table.waiver(signer="ci")
    yield Case(name="p01-waiver-as-certificate", row="P01", what="A waiver by a trusted key as a certificate",
               certificate=waiver, codes=["predicate-type"], exit_code=11)  # fmt: skip
    for name, kind in {
        "v0.1": "https://in-toto.io/Statement/v0.1",
        "none": None,
        "link": "link",
        "v1-slash": "https://in-toto.io/Statement/v1/",
    }.items():
        changed = {**document, "_type": kind}
        yield _case(table, f"p01-statement-type-{name}", f"The statement's type is {kind}",
                    canonical_json(changed))  # fmt: skip
    for name, changed in {
        "extra-field": {**document, "verdict": "READY"},
        "no-predicate": {key: value for key, value in document.items() if key != "predicate"},
        "predicate-is-text": {**document, "predicate": json.dumps(document["predicate"])},
        "subject-is-an-object": {**document, "subject": document["subject"][0]},
    }.items():
        yield _case(table, f"p01-statement-{name}", f"The statement's fields are wrong: {name}",
                    canonical_json(changed))  # fmt: skip


def _fields(table: Table) -> Iterator[Case]:
    good = json.loads(certificate_payload(table.small()))
    edits: dict[str, dict[str, Any]] = {
        "p10-schema-2": {"schemaVersion": "2.0.0"},
        "p10-schema-0": {"schemaVersion": "0.9.0"},
        "p10-schema-text": {"schemaVersion": "1"},
        "p10-schema-number": {"schemaVersion": 1},
        "p10-unknown-field": {"verdict": "READY"},
        "p10-unknown-camel-case": {"Decision": good["predicate"]["decision"]},
        "p10-decision-text": {"decision": "READY"},
        "p10-outcome-pass": {"decision": {**good["predicate"]["decision"], "outcome": "PASS"}},
        "p10-outcome-lower-case": {"decision": {**good["predicate"]["decision"], "outcome": "ready"}},
        "p10-policy-unknown-field": {"policy": {**good["predicate"]["policy"], "skip": True}},
        "p10-runs-object": {"runs": {}},
        "p10-gates-null": {"gates": None},
        "p10-waivers-object": {"waivers": [{}]},
        "p10-waivers-text": {"waivers": ["approved"]},
        "p10-serial-text": {"serial": "7"},
        "p10-nonce-short": {"nonce": "00"},
        "p10-nonce-upper-case": {"nonce": "ABCDEF0123456789" * 2},
        "p10-id-empty": {"id": ""},
        "p10-model-name-empty": {"modelName": ""},
        "t05-zone-offset": {"expiresAt": "2027-02-20T10:30:00+01:00"},
        "t05-zone-lower-case": {"expiresAt": "2027-02-20t09:30:00z"},
        "t05-zone-missing": {"expiresAt": "2027-02-20T09:30:00"},
        "t05-fraction": {"expiresAt": "2027-02-20T09:30:00.5Z"},
        "t05-leap-second": {"expiresAt": "2026-12-31T23:59:60Z"},
        "t05-february-30": {"expiresAt": "2027-02-30T09:30:00Z"},
        "t05-hour-24": {"expiresAt": "2027-02-20T24:00:00Z"},
        "t05-date-only": {"expiresAt": "2027-02-20"},
        "t05-number": {"expiresAt": 1803115800},
        "t05-spaces": {"expiresAt": "2027-02-20 09:30:00Z"},
        "t05-year-10000": {"expiresAt": "10000-01-01T00:00:00Z"},
        "t05-one-digit": {"expiresAt": "2027-2-20T09:30:00Z"},
    }
    for name, changes in edits.items():
        changed = deepcopy(good)
        changed["predicate"].update(changes)
        case = _case(table, name, f"A trusted key signed a field that breaks the format: {name[4:]}",
                     canonical_json(changed))  # fmt: skip
        yield case
    for field in ("decision", "policy", "runs", "gates", "run", "issuedAt", "expiresAt", "id", "producer"):
        changed = deepcopy(good)
        del changed["predicate"][field]
        yield _case(table, f"p10-without-{field.lower()}", f"The field {field} is missing",
                    canonical_json(changed))  # fmt: skip


def _pages(table: Table) -> Iterator[Case]:
    page, data = _page(table)
    begin = page.index(SLOT) + len(SLOT)
    end = page.index(b"</script>", begin)
    inner = page[begin:end]
    other, _ = _page(table, model_version="9.9")
    other_begin = other.index(SLOT) + len(SLOT)
    foreign = other[other_begin : other.index(b"</script>", other_begin)]
    yield Case(name="p11-page", row="P11", what="The page as it was issued", certificate=page,
               file="certificate.html")  # fmt: skip
    edits: dict[str, tuple[bytes, str]] = {
        "heading-edited": (page.replace(b"READY", b"ready", 1), "html-mismatch"),
        "comment-appended": (page + b"<!-- approved -->", "html-mismatch"),
        "line-feed-appended": (page + b"\n", "html-mismatch"),
        "script-injected": (page.replace(b"</body>", b"<script>alert(1)</script></body>"), "html-mismatch"),
        "style-injected": (
            page.replace(b"</head>", b"<style>h1{display:none}</style></head>"), "html-mismatch"
        ),
        "windows-line-ends": (page.replace(b"\n", b"\r\n"), "html-mismatch"),
        "space-in-front": (b" " + page, "html-mismatch"),
        "other-certificate": (page[:begin] + foreign + page[end:], "html-mismatch"),
        "second-slot": (page.replace(b"</body>", SLOT + foreign + b"</script></body>"), "malformed"),
        "second-slot-in-front": (
            page.replace(b"<body", SLOT + foreign + b"</script><body", 1), "malformed"
        ),
        "slot-emptied": (page[:begin] + page[end:], "malformed"),
        "slot-removed": (page.replace(SLOT, b"<script>"), "malformed"),
        "slot-with-space": (page[:begin] + b" " + inner + page[end:], "malformed"),
        "slot-wrapped": (page[:begin] + inner[:76] + b"\n" + inner[76:] + page[end:], "malformed"),
        "cut": (page[: end - 8], "malformed"),
        "certificate-without-page": (fill_page(page, data), "html-mismatch"),
    }  # fmt: skip
    for name, (changed, code) in edits.items():
        if changed == page:
            raise ValueError(name)
        yield Case(name=f"p11-page-{name}", row="P11", what=f"The page is changed: {name}",
                   certificate=changed, file="certificate.html", codes=[code], exit_code=11)  # fmt: skip
    stripped = json.loads(parse_and_dump(page[begin:end]))
    stripped["signatures"] = []
    yield Case(name="p11-page-signatures-stripped", row="P11", what="The page's envelope has no signature",
               certificate=fill_page(page, json.dumps(stripped).encode()), file="certificate.html",
               codes=["no-signature"], exit_code=10)  # fmt: skip


def parse_and_dump(slot: bytes) -> bytes:
    """Decode what stands in a slot."""
    import base64

    data = base64.b64decode(slot, validate=True)
    parse_envelope(data)
    return data


def _page(table: Table, **changes: Any) -> tuple[bytes, bytes]:
    """Return a signed page, and an envelope of the same run that names no page."""
    made = table.small(**changes)
    shown = view(made, keyids=[table.key().keyid], payload_digest="", signed=True)
    empty = render_html(shown).encode()
    filled = fill_page(empty, issue(replace(made, renderings=(rendering_of(empty),)), [table.key()]))
    return filled, issue(made, [table.key()])
