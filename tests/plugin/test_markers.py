from __future__ import annotations

import pytest

from plugin.project import Project
from pytest_prodml.records import Basis, Dimension, Gate, Severity

DIMENSIONS = list(Dimension)


def gates(project: Project) -> dict[str, Gate]:
    return {gate.id: gate for gate in project.issued().gates}


def test_markers_are_registered_and_documented(project: Project) -> None:
    result = project.idle("--markers")
    for dimension in DIMENSIONS:
        result.stdout.fnmatch_lines([f"@pytest.mark.ml_{dimension.value}(gate=None*)*"])


@pytest.mark.parametrize("active", [True, False])
def test_markers_are_strict(project: Project, active: bool) -> None:
    run = project.run if active else project.idle
    assert run("--strict-markers", "--strict-config").ret == 0


def test_fixtures_are_documented(project: Project) -> None:
    result = project.idle("--fixtures", "-v")
    ours = result.stdout.str().partition("pytest_prodml.plugin")[2].partition("fixtures defined from")[0]
    for name in (
        *(f"ml_{dimension.value}" for dimension in DIMENSIONS),
        *("prodml", "prodml_model", "prodml_reference", "prodml_test", "prodml_current", "prodml_schema"),
    ):
        assert f"\n{name} " in ours
    assert "no docstring available" not in ours


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_marker_makes_a_gate_of_its_dimension(project: Project, dimension: Dimension) -> None:
    project.write(
        "test_gates.py",
        f"""
        import pytest

        @pytest.mark.ml_{dimension.value}
        def test_night_run():
            '''Holds at night.

            More about it.
            '''
        """,
    )
    project.run()
    [gate] = project.issued().gates
    assert gate == Gate(
        id=f"{dimension.value}.night_run",
        dimension=dimension,
        description="Holds at night.",
        severity=Severity.REQUIRED,
        basis=Basis.ASSERTION,
        location="test_gates.py::test_night_run",
    )


def test_marker_keywords(project: Project) -> None:
    project.write(
        "test_gates.py",
        """
        import pytest

        @pytest.mark.ml_data(
            gate="data.schema-v2", severity="info", rubric="mlts.data.1", description="Typed columns."
        )
        def test_a(): pass

        @pytest.mark.ml_data
        def test_without_words(): pass
        """,
    )
    project.run()
    assert gates(project)["data.schema-v2"] == Gate(
        id="data.schema-v2",
        dimension=Dimension.DATA,
        description="Typed columns.",
        severity=Severity.INFO,
        basis=Basis.ASSERTION,
        rubric="mlts.data.1",
        location="test_gates.py::test_a",
    )
    assert gates(project)["data.without_words"].description == "Without words."


def test_parametrized_test_is_one_gate_for_each_case(project: Project) -> None:
    project.write(
        "test_gates.py",
        """
        import pytest

        @pytest.mark.ml_data(gate="data.rows")
        @pytest.mark.parametrize("n", [1, pytest.param(2, id="two rows")])
        def test_rows(n): pass

        @pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.ml_data(severity="warn")), 2])
        def test_cells(n): pass
        """,
    )
    project.run()
    assert {gate.id: gate.severity.value for gate in project.issued().gates} == {
        "data.rows[1]": "required",
        "data.rows[two rows]": "required",
        "data.cells[1]": "warn",
    }


def test_marker_of_class_module_and_conftest(project: Project) -> None:
    project.write(
        "test_gates.py",
        """
        import pytest

        pytestmark = pytest.mark.ml_data

        def test_inherits(): pass

        @pytest.mark.ml_pipeline(severity="warn")
        class TestFlow:
            def test_all(self): pass

            @pytest.mark.ml_latency
            def test_own(self): pass
        """,
    )
    project.write("test_late.py", "def test_late(): pass\n")
    project.write(
        "conftest.py",
        """
        def pytest_collection_modifyitems(items):
            for item in items:
                if "late" in item.name:
                    item.add_marker("ml_behavior")
        """,
    )
    project.run()
    assert sorted(gates(project)) == ["behavior.late", "data.inherits", "latency.own", "pipeline.all"]
    assert gates(project)["pipeline.all"].severity is Severity.WARN
    assert gates(project)["latency.own"].severity is Severity.REQUIRED


WRONG = {
    "unknown keyword": ("ml_data(severty='warn')", "no keyword 'severty'; did you mean 'severity'?*"),
    "far keyword": ("ml_data(owner='me')", "no keyword 'owner' (known: gate, severity, rubric, description)"),
    "positional": ("ml_data('data.x')", "takes keywords only, got 'data.x'"),
    "severity": ("ml_data(severity='fatal')", "severity is one of required, warn, info, got 'fatal'"),
    "gate type": ("ml_data(gate=7)", "gate is a line of text, got 7"),
    "empty rubric": ("ml_data(rubric='')", "rubric is empty"),
    "invisible": ("ml_data(description='a\\u202eb')", "description holds the character U+202E*"),
    "other dimension": ("ml_data(gate='fairness.x')", "'fairness.x' does not begin with 'data.'"),
    "no name": ("ml_data(gate='data.')", "does not begin with 'data.'"),
    "charset": ("ml_data(gate='data.a b')", "may only hold letters, digits*"),
    "wildcard": ("ml_data(gate='data.a*')", "may only hold letters, digits*"),
    "not NFC": ("ml_data(gate='data.e\\u0301')", "not in Unicode normalization form C"),
    "long": (f"ml_data(gate='data.{'x' * 200}')", "has 205 characters, more than 200"),
}


@pytest.mark.parametrize(("marker", "message"), WRONG.values(), ids=WRONG)
def test_wrong_marker_is_a_collection_error(project: Project, marker: str, message: str) -> None:
    project.write("test_wrong.py", f"import pytest\n\n@pytest.mark.{marker}\ndef test_it(): pass\n")
    result = project.run()
    assert result.ret == 2
    assert project.certificate() is None
    result.stdout.fnmatch_lines(["*ERROR collecting test_wrong.py*", f"*{message}*", "ERROR*::test_it*"])


@pytest.mark.parametrize("mode", ["-n1", "--collect-only"])
def test_wrong_marker_is_found_in_every_mode(project: Project, mode: str) -> None:
    project.write(
        "test_wrong.py", "import pytest\n\n@pytest.mark.ml_data(severty='warn')\ndef test_it(): pass\n"
    )
    result = project.run(mode)
    assert result.ret != 0
    assert project.certificate() is None
    result.stdout.fnmatch_lines(["*no keyword 'severty'; did you mean 'severity'?*"])


def test_wrong_marker_changes_nothing_without_the_option(project: Project) -> None:
    project.write(
        "test_wrong.py", "import pytest\n\n@pytest.mark.ml_data(severty='warn')\ndef test_it(): pass\n"
    )
    assert project.idle().ret == 0


def test_all_wrong_markers_are_told_at_once(project: Project) -> None:
    project.write(
        "test_wrong.py",
        """
        import pytest

        @pytest.mark.ml_data(severty="warn", rubic="x")
        def test_a(): pass

        @pytest.mark.ml_data("x")
        def test_b(): pass
        """,
    )
    result = project.run()
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*'severty'*", "*'rubic'*", "*takes keywords only*", "*2 errors*"])


def test_conflicting_markers_on_one_test(project: Project) -> None:
    project.write(
        "test_wrong.py",
        """
        import pytest

        @pytest.mark.ml_data
        @pytest.mark.ml_latency
        def test_both(): pass

        @pytest.mark.ml_data(severity="warn")
        @pytest.mark.ml_data(severity="info")
        def test_twice(): pass
        """,
    )
    result = project.run()
    assert result.ret == 2
    result.stdout.fnmatch_lines(
        ["*belongs to 2 dimensions: ml_data, ml_latency*", "*got 'severity' twice, 'info' and 'warn'*"]
    )


@pytest.mark.parametrize("mode", [(), ("-n2",)], ids=["one", "xdist"])
def test_gate_id_belongs_to_one_test(project: Project, mode: tuple[str, ...]) -> None:
    project.write("test_more.py", "import pytest\n\n@pytest.mark.ml_pipeline\ndef test_one(): pass\n")
    result = project.run(*mode)
    assert result.ret != 0
    assert project.certificate() is None
    result.stdout.fnmatch_lines(
        [
            "*test_more.py::test_one: the gate 'pipeline.one' is claimed twice, also by test_gates.py::test_one*"
        ]
    )


def test_gate_id_is_taken_even_by_a_deselected_test(project: Project) -> None:
    project.write("test_more.py", "import pytest\n\n@pytest.mark.ml_pipeline\ndef test_one(): pass\n")
    assert project.run("--deselect", "test_more.py::test_one").ret == 2


FIXTURE_ONLY = """
import pytest

def test_direct(ml_fairness): pass

@pytest.fixture
def gap(ml_fairness): return ml_fairness

def test_through_another_fixture(gap): pass

def test_ordinary(): pass
"""


@pytest.mark.parametrize("active", [True, False])
def test_fixture_brings_its_marker(project: Project, active: bool) -> None:
    project.write("test_gates.py", FIXTURE_ONLY)
    run = project.run if active else project.idle
    result = run("--collect-only", "-q", "-m", "ml_fairness")
    result.stdout.fnmatch_lines(
        ["test_gates.py::test_direct", "test_gates.py::test_through_another_fixture", "*1 deselected*"]
    )


def test_fixture_makes_a_measured_gate(project: Project) -> None:
    project.write(
        "test_gates.py",
        """
        import pytest

        def test_direct(ml_pipeline): pass

        @pytest.mark.ml_data
        def test_recorder(prodml): pass

        @pytest.mark.ml_data
        def test_asserts(): pass
        """,
    )
    project.run()
    assert {gate.id: gate.basis for gate in project.issued().gates} == {
        "pipeline.direct": Basis.MEASUREMENTS,
        "data.recorder": Basis.MEASUREMENTS,
        "data.asserts": Basis.ASSERTION,
    }


def test_explicit_marker_wins_over_fixtures(project: Project) -> None:
    project.write(
        "test_gates.py",
        """
        import pytest

        @pytest.mark.ml_pipeline
        def test_explicit(ml_data, ml_pipeline): pass
        """,
    )
    project.run()
    assert list(gates(project)) == ["pipeline.explicit"]


def test_fixtures_of_two_dimensions_need_a_marker(project: Project) -> None:
    project.write("test_gates.py", "def test_both(ml_data, ml_pipeline): pass\n")
    result = project.run()
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*belongs to 2 dimensions: ml_data, ml_pipeline*", "*mark the test with*"])


def test_odd_test_ids_do_not_break_the_certificate(project: Project) -> None:
    project.write(
        "test_gates.py",
        """
        import pytest

        @pytest.mark.ml_data
        @pytest.mark.parametrize("x", ["a/b c", "\\u00fc", ""])
        def test_gate(x): pass

        @pytest.mark.parametrize("x", ["\\ud800", "\\u202e", "*"])
        def test_ordinary(x): pass
        """,
    )
    assert project.run().ret == 1
    assert [gate.id for gate in project.issued().gates] == [
        "data.gate",
        "data.gate[\\xfc]",
        "data.gate[a/b c]",
    ]
