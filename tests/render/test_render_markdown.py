from __future__ import annotations

import re

import pytest

from pytest_prodml.render.markdown import code, render_markdown, text
from render.hostile import disguised
from render.reading import numbers, strings
from render.samples import certificate, view_of

REFUSED = view_of(certificate(1))


def cells(row: str) -> int:
    return len(re.findall(r"(?<!\\)\|", row)) - 1


def skeleton(markdown: str) -> list[str]:
    """Return the form of each line: what a parser takes for structure."""
    return [
        match[0]
        if (match := re.match(r"\s*(#+ |\d+\. |- |> |\||```|<[^>]*>)", line))
        else ("text" if line else "")
        for line in markdown.splitlines()
    ]


def test_verdict_identity_dimensions_and_way_out_in_one_summary() -> None:
    summary = render_markdown(REFUSED)
    assert summary.startswith("## ❌ NOT READY: credit-default 1.0.0\n")
    for part in (
        f"`sha256:{REFUSED.policy_digest}`",
        REFUSED.subjects[0].digest,
        "| Latency | ✅ Passed | 1/1 | `latency.p99` latency p99 is 0.0740 ms",
        "2026-11-22T09:30:00Z to 2027-02-20T09:30:00Z (90 days)",
        "About 1,186 more rows would decide (1,241 in all)",
        "```sh\nprodml verify certificate.json --key PUBLIC_KEY --model credit.onnx --policy POLICY\n```",
    ):
        assert part in summary


def test_waivers_and_a_missing_signature_stand_out() -> None:
    waived = render_markdown(view_of(certificate(2, waived=True)))
    assert (
        "- `fairness.age` accepted by **Dana Whitfield, head of credit risk** until 2027-01-19T09:30:00Z"
        in waived
    )
    unsigned = render_markdown(view_of(certificate(1), signed=False))
    assert "> [!CAUTION]\n> **UNSIGNED**" in unsigned


@pytest.mark.parametrize("attack", [False, True])
def test_every_row_of_a_table_has_the_cells_of_its_head(attack: bool) -> None:
    head = 0
    for line in render_markdown(view_of(disguised(attack=attack))).splitlines():
        head = (head or cells(line)) if line.startswith("|") else 0
        if line.startswith("|"):
            assert cells(line) == head


def test_hostile_text_adds_no_structure() -> None:
    attacked = render_markdown(view_of(disguised(attack=True)))
    assert skeleton(attacked) == skeleton(render_markdown(view_of(disguised(attack=False))))


def test_hostile_text_makes_no_html_no_link_and_no_mention() -> None:
    summary = render_markdown(view_of(disguised(attack=True)))
    outside = re.sub(r"(?ms)^\s*(`{3,})sh$.*?^\s*\1$", "", summary)
    outside = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", outside)
    html = re.findall(r"(?<!\\)<(?!br>|/?details>|/?summary>|!-- -->)[^>]*>", outside)
    assert html == []
    assert re.findall(r"(?<!\\)\]\(", outside) == []
    assert re.findall(r"@(?!<!-- -->)|https?:(?!<)|www\.", outside) == []
    assert all(character.isprintable() or character in "\n\u00a0" for character in summary)


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [
        ("roc_auc", "roc\\_auc"),
        ("0.7881, at most 5%", "0.7881, at most 5%"),
        ("1. item", "1\\. item"),
        ("1.5 and 2)", "1.5 and 2)"),
        ("2) item", "2\\) item"),
        ("- item", "\\- item"),
        ("# head", "\\#<!-- --> head"),
        ("a|b<c>&d", "a\\|b\\<c\\>\\&d"),
        ("@team", "@<!-- -->team"),
        ("see http://x.y", "see http<!-- -->://x.y"),
        (":tada:", ":<!-- -->tada:"),
        ("so :tada:", "so :<!-- -->tada:"),
    ],
)
def test_text_is_escaped_where_markdown_would_read_it(raw: str, escaped: str) -> None:
    assert text(raw) == escaped


@pytest.mark.parametrize(
    ("raw", "span"),
    [
        ("plain", "`plain`"),
        ("a`b", "``a`b``"),
        ("`a`", "`` `a` ``"),
        ("a|b", "`a\\|b`"),
        ("<b>&amp;", "`<b>&amp;`"),
        ("", ""),
    ],
)
def test_code_spans_can_not_be_left(raw: str, span: str) -> None:
    assert code(raw) == span


def test_every_number_comes_from_the_view() -> None:
    from_view = set().union(*(numbers(item) for item in strings(REFUSED)))
    summary = re.sub(r"^\d+\. ", "", render_markdown(REFUSED), flags=re.MULTILINE)
    assert numbers(summary.replace("\\", "")) - from_view == set()


def test_the_same_view_gives_the_same_text() -> None:
    assert render_markdown(REFUSED) == render_markdown(view_of(certificate(1)))
