"""The page and the certificate in it: neither can be shown with another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from certificate_factory import NOW, Desk, payload_of, ready, signed
from pytest_prodml.certificate.build import issue
from pytest_prodml.certificate.document import add_signature
from pytest_prodml.certificate.dsse import parse_envelope
from pytest_prodml.certificate.forms import (
    fill_page,
    page_problem,
    read_form,
    rendering_of,
    sigstore_bundle,
    with_envelope,
)
from pytest_prodml.certificate.statement import read_certificate
from pytest_prodml.cli import main
from pytest_prodml.codec import canonical_json, format_time, sha256_hex
from pytest_prodml.errors import InputError, MalformedError
from pytest_prodml.records import Certificate
from pytest_prodml.render.html import render_html
from pytest_prodml.render.view import view

SLOT = b'<script type="application/vnd.prodml.dsse+base64" id="prodml-envelope">'


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def page_of(
    desk: Desk, certificate: Certificate | None = None, *, signers: tuple[str, ...] = ("ci",)
) -> bytes:
    """Return a signed page as a run writes it."""
    made = certificate or ready(desk)
    keys = [desk.key(name) for name in signers]
    shown = view(made, keyids=[key.keyid for key in keys], payload_digest="", signed=True)
    empty = render_html(shown).encode()
    return fill_page(empty, issue(replace(made, renderings=(rendering_of(empty),)), keys))


def codes(desk: Desk, page: bytes) -> list[str]:
    return [reason.code for reason in desk.verify(page).reasons]


def test_untouched_page_is_accepted_like_its_certificate(desk: Desk) -> None:
    page = page_of(desk)
    report = desk.verify(page)
    assert report.accepted
    envelope = read_form(page).envelope
    assert report.payload_sha256 == sha256_hex(envelope.payload)
    assert report == desk.verify(with_envelope(b"{}", envelope))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"<h1>READY</h1>", b"<h1>READY FOR ANYTHING</h1>"),
        (b"</body>", b"<!-- approved by the board --></body>"),
        (b"</style>", b"h1::after{content:'!'}</style>"),
        (b"default-src 'none'", b"default-src *"),
        (b"\n", b"\r\n"),
        (b"</html>", b"</html> "),
        (b"</html>", b""),
        (b"<!doctype", b" <!doctype"),
        (b"credit-default", b"credit-d\xc3\xa9fault"),
        (b"0.78", b"0.98"),
    ],
)
def test_edited_page_is_refused(desk: Desk, before: bytes, after: bytes) -> None:
    page = page_of(desk)
    assert before in page
    assert codes(desk, page.replace(before, after)) == ["html-mismatch"]


def test_every_changed_byte_of_the_page_is_refused(desk: Desk) -> None:
    page = page_of(desk)
    certificate = read_certificate(read_form(page).envelope.payload)
    begin = page.index(SLOT)
    end = page.index(b"</script>", begin)
    for position in [*range(0, begin, 211), *range(end, len(page), 5)]:
        changed = page[:position] + bytes([page[position] ^ 1]) + page[position + 1 :]
        try:
            form = read_form(changed)
        except MalformedError:
            continue
        assert form.kind == "page"
        assert page_problem(form, certificate) is not None


@pytest.mark.parametrize(
    "second",
    [
        SLOT + b"</script>",
        b'<SCRIPT ID="PRODML-ENVELOPE"></SCRIPT>',
        b'<p id="prodml-envelope">',
    ],
)
@pytest.mark.parametrize("place", [b"<main>", b"</body>"])
def test_second_slot_is_refused(desk: Desk, second: bytes, place: bytes) -> None:
    assert codes(desk, page_of(desk).replace(place, second + place)) == ["malformed"]


def test_certificate_of_another_page_is_refused(desk: Desk) -> None:
    good = page_of(desk)
    other = page_of(desk, desk.build(model_version="3.0", certificate_id="other"))
    swapped = fill_page(good, with_envelope(b"{}", read_form(other).envelope))
    assert codes(desk, swapped) == ["html-mismatch"]
    bad = page_of(desk, desk.build(age_gap=0.2))
    assert codes(desk, fill_page(bad, with_envelope(b"{}", read_form(good).envelope))) == ["html-mismatch"]


def test_certificate_that_names_no_page_vouches_for_none(desk: Desk) -> None:
    old = issue(ready(desk), [desk.key()])
    report = desk.verify(fill_page(page_of(desk), old))
    assert [reason.code for reason in report.reasons] == ["html-mismatch"]
    assert "names no page" in report.reasons[0].message
    assert desk.verify(old).accepted


@pytest.mark.parametrize("content", [b"", b"e30", b"e31=", b"e30=\n", b"<b>", b"e3_=", b"e30=e30="])
def test_slot_holds_base64_in_one_spelling(desk: Desk, content: bytes) -> None:
    page = page_of(desk)
    begin = page.index(SLOT) + len(SLOT)
    changed = page[:begin] + content + page[page.index(b"</script>", begin) :]
    assert codes(desk, changed) == ["malformed"]


@pytest.mark.parametrize("page", [b"<", b"<html></html>", SLOT, b"\n<p>", SLOT + SLOT])
def test_other_pages_are_malformed(desk: Desk, page: bytes) -> None:
    assert codes(desk, page) == ["malformed"]


def test_signature_of_the_page_s_certificate_counts_as_anywhere(desk: Desk) -> None:
    page = page_of(desk, signers=("other",))
    assert codes(desk, page) == ["untrusted"]


def test_signature_added_later_leaves_the_page_as_it_is(desk: Desk) -> None:
    page = page_of(desk)
    envelope = read_form(page).envelope
    twice = with_envelope(page, add_signature(envelope, desk.key("risk")))
    assert read_form(twice).page_digest == read_form(page).page_digest
    report = desk.verify(twice, keys=[desk.key().public_key, desk.key("risk").public_key])
    assert report.accepted
    assert len(report.signers) == 2


def test_sign_command_fills_the_slot_again(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    page = desk.root / "certificate.html"
    page.write_bytes(page_of(desk))
    desk.key("risk")
    arguments = [
        "sign",
        str(page),
        *("--key", str(desk.root / "keys" / "risk.key"), "--model", str(desk.model)),
        *("--signed-by", str(desk.public()), "--at", format_time(NOW)),
    ]
    untouched = page.read_bytes()
    page.write_bytes(untouched.replace(b"</body>", b"<p>more</body>"))
    assert main(arguments) == 11
    assert "html-mismatch" in capsys.readouterr().err
    page.write_bytes(untouched)
    assert main(arguments) == 0
    assert len(read_form(page.read_bytes()).envelope.signatures) == 2
    assert desk.verify(page.read_bytes()).accepted


def test_bundle_takes_no_second_signature(desk: Desk) -> None:
    envelope = parse_envelope(desk.certify())
    with pytest.raises(InputError, match="one signature"):
        with_envelope(sigstore_bundle(envelope, 0), envelope)


def test_page_with_something_in_its_slot_can_not_be_named(desk: Desk) -> None:
    with pytest.raises(MalformedError, match="already"):
        rendering_of(page_of(desk))


def test_hostile_names_can_not_break_the_slot(desk: Desk) -> None:
    name = '"prodml-envelope" <script type="application/vnd.prodml.dsse+base64" id="prodml-envelope">'
    page = page_of(desk, desk.build(model_name=name))
    assert desk.verify(page).accepted


def test_older_certificate_verifies_as_before(desk: Desk) -> None:
    statement = payload_of(desk.certify())
    for name in ("renderings", "serial", "nonce"):
        del statement["predicate"][name]
    assert "provenance" not in statement["predicate"]["run"]
    old = signed(desk, canonical_json(statement))
    assert desk.verify(old).accepted
    assert read_certificate(read_form(old).envelope.payload).renderings == ()
