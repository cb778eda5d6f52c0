from __future__ import annotations

import base64
import hashlib
import itertools
import re
import subprocess
import sys
from importlib import resources

import pytest

from pytest_prodml.records import Certificate
from pytest_prodml.render.html import render_html
from pytest_prodml.render.model import View
from render.hostile import ATTACKS, disguised
from render.reading import PageReader, numbers, strings
from render.samples import POLICY, certificate, view_of

ENVELOPE = base64.b64encode(b'{"payload":"..."}' * 2000).decode()


def page_of(made: Certificate, *, signed: bool = True) -> str:
    return render_html(view_of(made, signed=signed), envelope=ENVELOPE)


@pytest.fixture(scope="module", params=["refused", "waived", "ready", "unsigned", "hostile"])
def view(request: pytest.FixtureRequest) -> View:
    made = {
        "refused": lambda: view_of(certificate(1)),
        "waived": lambda: view_of(certificate(2, waived=True)),
        "ready": lambda: view_of(certificate(2)),
        "unsigned": lambda: view_of(certificate(1), signed=False),
        "hostile": lambda: view_of(disguised(attack=True)),
    }[request.param]()
    assert isinstance(made, View)
    return made


def test_the_same_view_gives_the_same_bytes(view: View) -> None:
    assert render_html(view, envelope=ENVELOPE) == render_html(view, envelope=ENVELOPE)


def test_every_number_on_the_page_comes_from_the_view(view: View) -> None:
    page = PageReader(render_html(view))
    from_view = set().union(*(numbers(text) for text in strings(view)))
    assert numbers(" ".join(page.texts)) - from_view == set()
    labels = " ".join(page.attributes("aria-label"))
    assert numbers(labels) - from_view == set()


def test_only_the_slot_is_a_script_element_and_it_holds_the_envelope(view: View) -> None:
    page = PageReader(render_html(view, envelope=ENVELOPE))
    assert page.all("script") == [{"type": "application/vnd.prodml.dsse+base64", "id": "prodml-envelope"}]
    assert page.data["script"] == ENVELOPE


def test_emptying_the_slot_gives_the_page_without_the_envelope(view: View) -> None:
    assert render_html(view, envelope=ENVELOPE).replace(ENVELOPE, "") == render_html(view)


@pytest.mark.parametrize("envelope", ["</script>", "ab cd", "a\n", "=abc", "é"])
def test_an_envelope_that_is_not_base64_is_refused(envelope: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        render_html(view_of(certificate(2)), envelope=envelope)


def test_the_policy_in_the_page_allows_its_own_style_and_nothing_else(view: View) -> None:
    page = PageReader(render_html(view))
    digest = base64.b64encode(hashlib.sha256(page.data["style"].encode()).digest()).decode()
    [policy] = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert [found for tag, found in page.elements if "style" in found] == []


def test_nothing_is_loaded_and_nothing_is_called(view: View) -> None:
    page = PageReader(render_html(view))
    assert [name for _, found in page.elements for name in found if name.startswith("on")] == []
    assert page.attributes("src") == []
    assert all(target.startswith("#") for target in page.attributes("href"))
    assert not re.search(r"url\(|@import", page.data["style"])
    assert page.comments == []


def test_no_style_changes_the_letters_of_data() -> None:
    # Capitals would make µs and ms, and every other pair of units, look the same.
    style = PageReader(page_of(certificate(1))).data["style"]
    assert re.findall(r"([^{}]*)\{[^{}]*(?:text-transform|font-variant:)", style) == ["\n.kicker"]


def test_every_link_and_label_has_its_target_and_ids_are_unique(view: View) -> None:
    page = PageReader(render_html(view))
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    targets = {target.removeprefix("#") for target in page.attributes("href")}
    targets |= {name for names in page.attributes("aria-labelledby") for name in names.split()}
    assert targets - set(ids) == set()


def test_outline_and_tables_serve_a_screen_reader(view: View) -> None:
    page = PageReader(render_html(view))
    tags = [tag for tag, _ in page.elements]
    assert page.all("html")[0]["lang"] == "en"
    assert tags.count("h1") == 1
    assert {"header", "main", "nav", "footer"} <= set(tags)
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    assert all(found.get("scope") in {"col", "row"} for found in page.all("th"))
    drawings = [found for found in page.all("svg") if "chart" in found.get("class", "")]
    assert all(found["role"] == "img" and found["aria-labelledby"] for found in drawings)
    assert tags.count("desc") == len(drawings)
    icons = [found for found in page.all("svg") if "chart" not in found.get("class", "")]
    assert all(found["aria-hidden"] == "true" for found in icons)


def test_title_begins_with_the_verdict() -> None:
    for made, word in (
        (certificate(1), "NOT READY: "),
        (certificate(2, waived=True), "READY WITH WAIVERS: "),
    ):
        assert f"<title>{word}credit-default" in page_of(made)
    assert "<title>NOT READY (unsigned): credit-default" in page_of(certificate(1), signed=False)


def test_an_unsigned_certificate_is_loudly_unsigned_and_a_signed_one_never_claims_to_be_valid() -> None:
    unsigned = page_of(certificate(1), signed=False)
    assert unsigned.count("UNSIGNED") >= 2
    assert unsigned.index("UNSIGNED") < unsigned.index("<h1>")
    signed = page_of(certificate(1))
    assert "UNSIGNED" not in signed
    assert not re.search(
        r"signature (is )?(valid|verified|ok)\b(?!,)",
        signed.replace("whether a signature is valid", ""),
        re.IGNORECASE,
    )


def test_first_screen_says_what_who_until_when_and_how_to_check() -> None:
    made = certificate(2, waived=True)
    page = " ".join("".join(PageReader(page_of(made)).texts).split())
    order = [
        "READY WITH WAIVERS",
        "credit-default",
        "2.0.0",
        "2026-11-22T09:30:00Z",
        "2027-02-20T09:30:00Z",
        made.subjects[0].digest["sha256"],
        f"{POLICY.name} {POLICY.version}",
        made.decision.policy_digest,
        "prodml verify certificate.json --key PUBLIC_KEY --waiver-key APPROVER_KEY --model credit.onnx --policy POLICY",
        "Waivers in force",
        "Dana Whitfield, head of credit risk",
        "2027-01-19T09:30:00Z",
        "remediation is planned for release 3",
    ]
    body = page[page.index("Skip to the gates") :]
    places = [body.index(text) for text in order]
    assert places == sorted(places)


def test_attacks_change_no_element_and_no_attribute_name() -> None:
    attacked = PageReader(page_of(disguised(attack=True)))
    harmless = PageReader(page_of(disguised(attack=False)))
    assert attacked.structure() == harmless.structure()


def test_attacks_are_shown_as_the_text_they_are() -> None:
    page = page_of(disguised(attack=True))
    shown = "".join(PageReader(page).texts)
    for text in ("<script>alert(1)</script>", "{{ 7 * 7 }}{% raw %}", "</title><h1>READY</h1>"):
        assert text in shown
    assert "\\u202eYDAER\\u202c" in shown
    assert "\\x1b[32mREADY\\x1b[0m\\x07\\x00\\x9b31m" in shown
    unseen = [character for character in page if not character.isprintable() and character not in "\n\u00a0"]
    assert unseen == []


def test_long_texts_are_cut_and_say_so() -> None:
    page = page_of(disguised(attack=True))
    assert "A" * 10_000 not in page
    assert "(cut here; the signed statement has all of it)" in page
    assert len(ATTACKS[17]) == 10_000


def test_the_example_stays_below_400_kilobytes() -> None:
    assert len(page_of(certificate(1)).encode()) < 400_000


def test_no_template_and_no_module_marks_text_as_safe() -> None:
    package = resources.files("pytest_prodml.render")
    sources = [item for item in package.iterdir() if item.name.endswith(".py")]
    templates = list((package / "templates").iterdir())
    assert len(templates) >= 4
    for source in (*sources, *templates):
        text = source.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe\b|\bMarkup\b|autoescape\s+false|autoescape=False", text), source.name


def test_jinja2_is_imported_only_to_render_html() -> None:
    program = (
        "import sys\n"
        "import pytest_prodml.render.view, pytest_prodml.render.html\n"
        "import pytest_prodml.render.markdown, pytest_prodml.render.terminal\n"
        "print([name for name in ('jinja2', 'numpy', 'pytest', 'cryptography') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
