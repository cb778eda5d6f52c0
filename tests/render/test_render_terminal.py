from __future__ import annotations

import dataclasses
import re
import unicodedata

import pytest

from pytest_prodml.render.terminal import render_terminal
from render.hostile import disguised
from render.reading import numbers, strings
from render.samples import POLICY, certificate, view_of

REFUSED = view_of(certificate(1))
WAIVED = view_of(certificate(2, waived=True))


def uncolored(lines: list[str]) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]


def cells(line: str) -> int:
    marks = [unicodedata.category(character)[0] == "M" for character in line]
    wide = [unicodedata.east_asian_width(character) in "WF" for character in line]
    return len(line) - sum(marks) + sum(wide)


def test_verdict_first_then_one_aligned_line_a_dimension() -> None:
    lines = render_terminal(REFUSED, width=100)
    assert lines[0] == "NOT READY  credit-default 1.0.0"
    rows = lines[4:10]
    assert [row.split()[0] for row in rows] == [
        "data",
        "performance",
        "fairness",
        "behavior",
        "latency",
        "pipeline",
    ]
    assert len({row.index("/") for row in rows}) == 1
    assert "latency.p99: latency p99 is 0.0740 ms" in rows[4]


def test_what_blocks_comes_with_bound_limit_and_next_step() -> None:
    lines = "\n".join(render_terminal(REFUSED, width=100))
    assert (
        "fairness.age  Failed: selection rate difference is 0.1520, at least 0.1310 at 95%; needs ≤ 0.1"
        in lines
    )
    assert "About 1,186 more rows would decide (1,241 in all)" in lines


def test_waivers_say_who_and_until_when() -> None:
    lines = "\n".join(render_terminal(WAIVED, width=100))
    assert "fairness.age until 2027-01-19T09:30:00Z, Dana Whitfield, head of credit risk" in lines


def test_an_unsigned_certificate_says_so_in_the_first_line() -> None:
    lines = render_terminal(view_of(certificate(1), signed=False))
    assert lines[0].startswith("NOT READY (UNSIGNED)")
    assert lines[2].startswith("UNSIGNED: This certificate carries no signature.")


def test_a_refusal_without_a_blocking_gate_still_gives_its_reason() -> None:
    made = certificate(2, policy=dataclasses.replace(POLICY, required_gates=("performance.auc",)))
    reason = "the list of collected gates did not arrive"
    made = dataclasses.replace(made, decision=dataclasses.replace(made.decision, reasons=(reason,)))
    assert f"  {reason}" in render_terminal(view_of(made))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_lines_fit_the_width_and_are_at_most_25(width: int, ascii_only: bool) -> None:
    for view in (REFUSED, WAIVED, view_of(disguised(attack=True))):
        lines = render_terminal(view, width=width, ascii_only=ascii_only)
        assert len(lines) <= 25
        assert max(map(cells, lines)) <= width
        if ascii_only:
            assert all(line.isascii() for line in lines)


def test_quiet_gives_two_lines_and_verbose_every_gate() -> None:
    assert render_terminal(REFUSED, verbosity=-1) == render_terminal(REFUSED)[:2]
    told = "\n".join(render_terminal(REFUSED, width=120, verbosity=1))
    for group in REFUSED.groups:
        for gate in group.gates:
            assert f"  {gate.id}: " in told
    for needed in (
        REFUSED.signature.payload_digest,
        REFUSED.policy_digest,
        REFUSED.subjects[0].digest,
        "pytest tests/test_fairness.py::test_age --prodml",
        "prodml verify certificate.json --key PUBLIC_KEY --model credit.onnx --policy POLICY",
    ):
        assert needed in told


def test_color_adds_nothing_but_color() -> None:
    for verbosity in (-1, 0, 1):
        colored = render_terminal(REFUSED, color=True, verbosity=verbosity)
        assert uncolored(colored) == render_terminal(REFUSED, verbosity=verbosity)
        assert any("\x1b[" in line for line in colored)


@pytest.mark.parametrize("verbosity", [-1, 0, 1])
def test_hostile_text_can_not_steer_the_terminal(verbosity: int) -> None:
    lines = uncolored(render_terminal(view_of(disguised(attack=True)), color=True, verbosity=verbosity))
    assert all(line.isprintable() for line in lines)


def test_wide_characters_count_twice() -> None:
    made = dataclasses.replace(certificate(1), model_name="信用" * 40)
    line = render_terminal(view_of(made), width=60)[0]
    assert 50 < cells(line) <= 60


def test_every_number_comes_from_the_view() -> None:
    from_view = set().union(*(numbers(text) for text in strings(REFUSED)))
    told = " ".join(render_terminal(REFUSED, width=4000, verbosity=1) + render_terminal(REFUSED, width=4000))
    assert numbers(told) - from_view == set()
