"""A strategy of Hypothesis, judged in batches and shrunk by Hypothesis itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from pytest_prodml.checks.behavior.replay import replay
from pytest_prodml.errors import InputError


def test_a_clean_search_asks_once() -> None:
    calls = []

    def fails(examples: list[int]) -> Any:
        calls.append(len(examples))
        return np.zeros(len(examples), dtype=bool)

    found = replay(st.integers(0, 10**6), fails, n_examples=400, seed=1)
    assert calls == [len(found.examples)] == [400]
    assert (found.failing, found.minimal, found.n_calls, found.is_exact) == ((), None, 1, True)


def test_a_failing_example_is_found_in_the_batch_and_made_as_small_as_hypothesis_makes_it() -> None:
    def fails(examples: list[tuple[int, list[int]]]) -> Any:
        return np.asarray([number > 5000 and sum(items) > 100 for number, items in examples])

    strategy = st.tuples(st.integers(0, 10**6), st.lists(st.integers(0, 1000)))
    found = replay(strategy, fails, n_examples=500, seed=3)
    assert found.minimal == (5001, [101])
    assert found.is_exact
    assert [bool(fails([found.examples[place]])[0]) for place in found.failing] == [True] * len(found.failing)
    again = replay(strategy, fails, n_examples=500, seed=3)
    assert (again.examples, again.failing, again.minimal) == (found.examples, found.failing, found.minimal)
    assert replay(strategy, fails, n_examples=500, seed=4).examples != found.examples


def test_a_strategy_that_does_not_repeat_itself_is_noticed() -> None:
    drawn = iter(range(10**6))
    strategy = st.builds(lambda number: (number, next(drawn)), st.integers(0, 1000))

    def fails(examples: list[tuple[int, int]]) -> Any:
        return np.asarray([number > 10 for number, _ in examples])

    found = replay(strategy, fails, n_examples=100, seed=0)
    assert not found.is_exact
    assert found.failing
    assert found.minimal[0] > 10


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (st.nothing(), "the strategy"),
        (st.integers().filter(lambda _: False), "could not be searched|gives no example"),
        (st.integers().map(lambda _: 1 // 0), "could not be searched: ZeroDivisionError"),
    ],
)
def test_a_strategy_without_examples_is_refused(strategy: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replay(strategy, lambda examples: np.zeros(len(examples), dtype=bool), n_examples=10, seed=0)
