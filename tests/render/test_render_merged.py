"""A certificate of several runs shows each of them, and first of all what is wrong with one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from certificate_factory import NOW, RUN, Desk
from pytest_prodml.records import Fragment
from pytest_prodml.render.html import render_html
from pytest_prodml.render.markdown import render_markdown
from pytest_prodml.render.model import View
from pytest_prodml.render.terminal import render_terminal
from pytest_prodml.render.view import view


def fragment(name: str, **changes: Any) -> Fragment:
    made = Fragment(
        name=name,
        digest={"sha256": "b" * 64},
        run_id="a" * 32,
        started_at=NOW,
        ended=True,
        signed_by=("c" * 64,),
        arguments=("--prodml", "-k", "not slow"),
        target="gpu",
        states={"passed": 3, "not_run": 1},
    )
    return replace(made, **changes)


def shown(tmp_path: Path, *fragments: Fragment) -> View:
    certificate = Desk(tmp_path).build(run=replace(RUN, fragments=fragments))
    return view(certificate, keyids=["c" * 64], payload_digest="d" * 64, signed=True)


def test_every_run_is_a_row(tmp_path: Path) -> None:
    broken = fragment("2/2", ended=False, signed_by=(), target=None, arguments=(), states={})
    found = shown(tmp_path, fragment("1/2"), broken)
    assert [fact.value for fact in found.run_facts if fact.label == "Merged"] == [
        "2 runs; UNSIGNED: 2/2; INTERRUPTED: 2/2"
    ]
    assert not [fact for fact in found.run_facts if fact.label == "Command"]
    [table] = [table for table in found.run_tables if table.caption == "Runs that were merged"]
    assert [column.label for column in table.columns] == [
        "Run",
        "Target",
        "Ended",
        "Signed by",
        "Gates",
        "Run log",
        "Command",
    ]
    log = f"sha256:{'b' * 64}"
    assert table.rows == (
        ("1/2", "gpu", "yes", "c" * 16, "1 not run, 3 passed", log, "pytest --prodml -k 'not slow'"),
        ("2/2", "none declared", "INTERRUPTED", "UNSIGNED", "", log, "pytest"),
    )
    assert table.note == ""


def test_the_short_views_say_it_too(tmp_path: Path) -> None:
    found = shown(tmp_path, fragment("1/2"), fragment("2/2", signed_by=()))
    told = "2 runs; UNSIGNED: 2/2"
    assert f"merged     {told}" in "\n".join(render_terminal(found, width=120, verbosity=1))
    assert told in render_markdown(found)
    page = render_html(found)
    assert told in page
    assert "Runs that were merged" in page


def test_names_can_not_inject_anything(tmp_path: Path) -> None:
    page = render_html(shown(tmp_path, fragment("<script>x</script>", target="<b>", arguments=("<i>",))))
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page
    assert "<b>" not in page
    assert "<i>" not in page


def test_many_runs_are_counted(tmp_path: Path) -> None:
    found = shown(tmp_path, *(fragment(f"{number}/43") for number in range(1, 44)))
    [table] = [table for table in found.run_tables if table.caption == "Runs that were merged"]
    assert len(table.rows) == 40
    assert table.note == "3 runs more in the certificate."


def test_one_run_is_shown_as_before(tmp_path: Path) -> None:
    certificate = Desk(tmp_path).build()
    found = view(certificate, keyids=[], payload_digest="", signed=False)
    assert [fact.value for fact in found.run_facts if fact.label == "Command"] == ["pytest --prodml"]
    assert not [fact for fact in found.run_facts if fact.label == "Merged"]
    assert "Runs that were merged" not in {table.caption for table in found.run_tables}
