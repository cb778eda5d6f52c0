"""Errors tell what, where and what to do."""

from __future__ import annotations

from pytest_prodml.errors import ConfigurationError, MalformedError


def test_an_error_reads_where_what_and_then_the_hint() -> None:
    error = ConfigurationError("is not there", where="policy.toml", hint="name an existing file")
    assert str(error) == "policy.toml: is not there\n  name an existing file"
    assert str(ConfigurationError("is wrong")) == "is wrong"


def test_every_problem_has_a_line() -> None:
    error = MalformedError("is not a Gate", ["missing field 'id' @ $", "expected text @ $.x"], where="a.json")
    assert str(error).splitlines() == [
        "a.json: is not a Gate",
        "  missing field 'id' @ $",
        "  expected text @ $.x",
    ]
