"""policy.toml: what is accepted, and that every mistake is told at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_prodml.codec import canonical_json, encode
from pytest_prodml.errors import ConfigurationError
from pytest_prodml.policy.load import load_policy, matches, parse_policy, policy_digest
from pytest_prodml.records import Burden, Comparison, Dimension, OrdinaryTests

GOOD = b"""
name = "production"
version = "3"
confidence_level = 0.99
validity = "30d"
min_signatures = 2
ordinary_tests = "ignored"

[require]
dimensions = ["performance", "fairness"]
gates = ["performance.auc", "fairness.*"]

[[limit]]
gate = "performance.auc"
metric = "roc_auc"
at_least = 0.75

[[limit]]
gate = "fairness.*"
metric = "selection_rate_difference"
at_most = 0.1
group = "sex"

[waivers]
gates = ["fairness.age"]
max = 1
max_days = 60
"""


def test_a_policy_file_says_what_a_stage_requires() -> None:
    policy = parse_policy(GOOD, where="policy.toml")
    assert policy.required_dimensions == (Dimension.PERFORMANCE, Dimension.FAIRNESS)
    assert policy.required_gates == ("performance.auc", "fairness.*")
    assert [(limit.comparison, limit.limit) for limit in policy.limits] == [
        (Comparison.AT_LEAST, 0.75),
        (Comparison.AT_MOST, 0.1),
    ]
    assert (policy.confidence_level, policy.validity_days, policy.min_signatures) == (0.99, 30, 2)
    assert (policy.waivable_gates, policy.max_waivers, policy.max_waiver_days) == (("fairness.age",), 1, 60)
    assert policy.ordinary_tests is OrdinaryTests.IGNORED


def test_defaults_are_the_strict_side() -> None:
    policy = parse_policy(b'name = "p"\nversion = "1"\n[require]\ngates = ["data.schema"]', where="p")
    assert policy.max_waivers == 0
    assert policy.waivable_gates == ()
    assert policy.ordinary_tests is OrdinaryTests.MUST_PASS
    assert not policy.allow_unbound_models


def test_the_digest_ignores_comments_and_layout_but_no_value() -> None:
    policy = parse_policy(GOOD, where="a")
    assert policy_digest(parse_policy(b"# a comment\n" + GOOD, where="b")) == policy_digest(policy)
    weaker = parse_policy(GOOD.replace(b"0.75", b"0.5"), where="c")
    assert policy_digest(weaker) != policy_digest(policy)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ((b"confidence_level = 0.99", b"confidence_level = 1.0"), "0.5 < level < 1"),
        ((b"confidence_level = 0.99", b"confidence_level = nan"), "finite"),
        ((b'validity = "30d"', b'validity = "a month"'), "90d"),
        ((b"min_signatures = 2", b"min_signatures = 0"), "at least 1"),
        ((b"min_signatures = 2", b"min_signature = 2"), "did you mean 'min_signatures'"),
        ((b"at_least = 0.75", b"at_least = 0.75\nat_most = 1.0"), "one of them"),
        ((b"at_least = 0.75", b""), "one of them"),
        ((b"at_least = 0.75", b"at_least = inf"), "finite"),
        ((b'"performance.auc", "fairness.*"', b'"auc"'), "does not begin with a dimension"),
        ((b'"performance", "fairness"', b'"performanse"'), "data, performance, fairness"),
        ((b"max = 1", b"max = -1"), "negative"),
        ((b'name = "production"', b'name = " "'), "must not be empty"),
    ],
)
def test_mistakes_are_named(change: tuple[bytes, bytes], told: str) -> None:
    data = GOOD.replace(*change)
    assert data != GOOD
    with pytest.raises(ConfigurationError, match=r"policy\.toml") as caught:
        parse_policy(data, where="policy.toml")
    assert told in str(caught.value)


def test_several_mistakes_are_told_together() -> None:
    data = GOOD.replace(b"min_signatures = 2", b"min_signatures = 0").replace(b'"30d"', b'"x"')
    with pytest.raises(ConfigurationError) as caught:
        parse_policy(data, where="policy.toml")
    assert "min_signatures" in str(caught.value)
    assert "validity" in str(caught.value)


def test_a_policy_that_requires_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="requires nothing"):
        parse_policy(b'name = "p"\nversion = "1"', where="p")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.toml.*can not be read"):
        load_policy(tmp_path / "no.toml")


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(GOOD + b"#" * 2**20)
    with pytest.raises(ConfigurationError, match="at most"):
        load_policy(path)


@pytest.mark.parametrize(
    ("pattern", "gate_id", "expected"),
    [
        ("fairness.*", "fairness.age", True),
        ("fairness.*", "fairness.", True),
        ("fairness.*", "fairnesx.age", False),
        ("*.age", "fairness.age", True),
        ("a*b*c", "abc", True),
        ("a*b*c", "acb", False),
        ("ab*ba", "aba", False),
        ("latency.p99[batch=1]", "latency.p99[batch=1]", True),
        ("latency.p99[*]", "latency.p99[batch=1]", True),
        ("latency.p99[12]", "latency.p991", False),
    ],
)
def test_only_the_star_is_special(pattern: str, gate_id: str, expected: bool) -> None:
    assert matches(pattern, gate_id) is expected


@given(st.lists(st.text("ab*", max_size=4), max_size=4).map("".join), st.text("ab", max_size=8))
def test_patterns_agree_with_regular_expressions(pattern: str, gate_id: str) -> None:
    import re

    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert matches(pattern, gate_id) is (re.fullmatch(expression, gate_id) is not None)


def test_who_has_to_prove_it_is_the_policy_owners_choice() -> None:
    policy = parse_policy(
        b'name = "pull-request"\nversion = "1"\nburden = "violation"\nalarm_gates = ["data.*", "fairness.gap"]\n'
        b'[require]\ndimensions = ["performance"]\n',
        where="policy.toml",
    )
    assert policy.burden is Burden.VIOLATION
    assert policy.alarm_gates == ("data.*", "fairness.gap")
    with pytest.raises(ConfigurationError, match=r"\$\.alarm_gates\[0\]"):
        parse_policy(
            b'name = "p"\nversion = "1"\nalarm_gates = ["*"]\n[require]\ndimensions = ["data"]\n',
            where="policy.toml",
        )


def test_a_pipe_is_no_policy_and_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    os.mkfifo(path)
    with pytest.raises(ConfigurationError, match="no regular file"):
        load_policy(path)
    with pytest.raises(ConfigurationError, match="no regular file|can not be read"):
        load_policy(tmp_path)


def test_an_unknown_key_is_told_in_the_readers_words() -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_policy(b'name = "p"\nversion = "1"\nsurprise = 1\n', where="policy.toml")
    assert "_PolicyFile" not in str(raised.value)
    assert "surprise" in str(raised.value)


def test_min_group() -> None:
    text = b'name = "p"\nversion = "1"\nmin_group = %d\n[require]\ndimensions = ["fairness"]\n'
    assert parse_policy(text % 30, where="policy.toml").min_group == 30
    with pytest.raises(ConfigurationError, match=r"\$\.min_group"):
        parse_policy(text % 0, where="policy.toml")
    without = parse_policy(text.replace(b"min_group = %d\n", b""), where="policy.toml")
    assert without.min_group is None
    assert b"minGroup" not in canonical_json(encode(without))
