"""The page in a real browser: nothing loaded, nothing said on the console, nothing too wide, all of it readable."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_prodml.render.html import render_html
from render.browser import Browser, Page, chromium, find_chromium
from render.hostile import disguised
from render.samples import certificate, view_of

ENVELOPE = base64.b64encode(b"envelope" * 4000).decode()

#: Contrast of every visible text with what is painted behind it, after WCAG 2.2 (1.4.3): 4.5, or 3 for large text.
CONTRAST = """
(() => {
  const channels = color => (color.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const linear = value => { const s = value / 255; return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const found = channels(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const bad = [];
  let seen = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || element.closest("script,style,title,desc,.unseen")) continue;
    if (!element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const color = channels(element.namespaceURI.endsWith("svg") ? style.fill : style.color);
    const [high, low] = [light(color), light(behind(element))].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    seen += 1;
    if ((high + 0.05) / (low + 0.05) < (large ? 3 : 4.5)) bad.push(element.outerHTML.slice(0, 120));
  }
  return {seen, bad};
})()
"""

#: Texts of a chart that overlap each other or leave the drawing.
CHART_LABELS = """
(() => {
  const bad = [];
  let seen = 0;
  for (const chart of document.querySelectorAll("svg.chart")) {
    const frame = chart.getBoundingClientRect();
    const boxes = [...chart.querySelectorAll("text")].map(text => [text.textContent, text.getBoundingClientRect()]);
    seen += boxes.length;
    boxes.forEach(([text, box], index) => {
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1) bad.push(text);
      for (const [other, place] of boxes.slice(index + 1)) {
        if (box.left < place.right && place.left < box.right && box.top < place.bottom && place.top < box.bottom)
          bad.push(`${text} / ${other}`);
      }
    });
  }
  return {seen, bad};
})()
"""

OPEN_ALL = "document.querySelectorAll('details').forEach(item => { item.open = true; })"
HIDDEN_IN_PRINT = """
[...document.querySelectorAll('details.gate .body')]
  .filter(body => !body.checkVisibility({contentVisibilityAuto: true}) || body.getBoundingClientRect().height < 20)
  .map(body => body.parentElement.id)
"""
TOO_WIDE = """
[...document.querySelectorAll('body *')]
  .filter(item => !item.closest('.scroll, .unseen, .skip, svg'))
  .filter(item => item.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(item => item.outerHTML.slice(0, 120))
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        if os.environ.get("CI"):
            pytest.fail("this check needs Chromium (Debian: apt-get install chromium)", pytrace=False)
        pytest.skip("Chromium is not installed")
    with chromium(executable, tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    made: dict[str, Any] = {
        "refused": view_of(certificate(1)),
        "waived": view_of(certificate(2, waived=True)),
        "unsigned": view_of(certificate(1), signed=False),
        "hostile": view_of(disguised(attack=True)),
    }
    for name, view in made.items():
        (folder / f"{name}.html").write_text(render_html(view, envelope=ENVELOPE), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in made}


@pytest.fixture(params=["refused", "waived", "unsigned", "hostile"])
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(params=[(1180, False), (1180, True), (360, False), (360, True)], ids=str)
def page(
    browser: Browser, pages: dict[str, Path], name: str, request: pytest.FixtureRequest
) -> Iterator[Page]:
    width, dark = request.param
    with browser.page(pages[name], width=width, height=900, dark=dark) as found:
        yield found


def test_the_page_is_quiet_fits_and_can_be_read(page: Page) -> None:
    page.evaluate(OPEN_ALL)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.evaluate(TOO_WIDE) == []
    contrast = page.evaluate(CONTRAST)
    assert contrast["seen"] > 100
    assert contrast["bad"] == []
    labels = page.evaluate(CHART_LABELS)
    assert labels["seen"] > 30
    assert labels["bad"] == []
    assert page.requests() == [page.url]
    assert page.complaints() == []


def test_the_style_sheet_is_in_force(browser: Browser, pages: dict[str, Path]) -> None:
    for dark, page_color in ((False, "rgb(244, 245, 247)"), (True, "rgb(14, 19, 26)")):
        with browser.page(pages["refused"], width=1180, height=900, dark=dark) as page:
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == page_color


def test_the_first_screen_holds_verdict_identity_tiles_and_the_first_fix(
    browser: Browser, pages: dict[str, Path]
) -> None:
    with browser.page(pages["refused"], width=1180, height=900) as page:
        for selector in (
            "h1",
            ".validity",
            ".verify pre",
            ".tiles li:nth-child(6)",
            ".fixes li:nth-child(2)",
        ):
            assert (
                page.evaluate(f"document.querySelector({selector!r}).getBoundingClientRect().bottom") <= 900
            )


def test_touch_targets_are_large_enough(browser: Browser, pages: dict[str, Path]) -> None:
    with browser.page(pages["refused"], width=360, height=740) as page:
        heights = page.evaluate(
            "[...document.querySelectorAll('summary')].map(s => s.getBoundingClientRect().height)"
        )
        assert len(heights) > 10
        assert min(heights) >= 24


def test_print_opens_every_detail(browser: Browser, pages: dict[str, Path]) -> None:
    with browser.page(pages["refused"], width=1180, height=900) as page:
        assert page.evaluate(HIDDEN_IN_PRINT) != []
        page.media("print")
        assert page.evaluate(HIDDEN_IN_PRINT) == []
        assert page.pdf().startswith(b"%PDF-")


def test_a_link_to_a_gate_leads_to_it(browser: Browser, pages: dict[str, Path]) -> None:
    with browser.page(pages["refused"], width=1180, height=900) as page:
        page.evaluate("document.querySelector('.fixes a').click()")
        assert page.evaluate("document.querySelector(':target').id") == "gate-data.schema"


def test_a_page_that_breaks_the_rules_is_noticed(browser: Browser, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text(
        "<!doctype html><meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\">"
        "<title>t</title><script>console.log(1)</script><img src='x.png' alt=''>"
        "<p style='color:#fff'>x</p><div style='width:9000px'>wide</div>",
        encoding="utf-8",
    )
    with browser.page(broken, width=360, height=740) as page:
        assert page.complaints() != []
    loading = tmp_path / "loading.html"
    loading.write_text(
        "<!doctype html><title>t</title><img src='x.png' alt=''><script>console.log(1)</script>"
        "<p style='color:#eee'>pale</p><div style='width:9000px'>wide</div>",
        encoding="utf-8",
    )
    with browser.page(loading, width=360, height=740) as page:
        assert len(page.requests()) == 2
        assert any('"type": "log"' in complaint for complaint in page.complaints())
        assert page.evaluate(TOO_WIDE) != []
        assert len(page.evaluate(CONTRAST)["bad"]) == 1
