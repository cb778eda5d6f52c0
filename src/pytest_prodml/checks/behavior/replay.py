"""A Hypothesis strategy and a batched model -> failing examples, in two passes of the same random choices.

Hypothesis hands out one example at a time, a model is fast on many. The first pass only collects examples;
one call judges them all. If one fails, the second pass repeats the same choices (same seed, public interface
only), lets everything pass up to that example, fails there, and so Hypothesis' own shrinking takes over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_prodml._lazy import require
from pytest_prodml.errors import InputError

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replayed:
    """What came of a strategy.

    Attributes
    ----------
    examples : sequence
        In the order in which they were drawn.
    failing : tuple of int
        Which of them fail.
    minimal : object
        The smallest failing example that Hypothesis found; None where none fails.
    is_exact : bool
        Whether the second pass drew the same examples. If not, shrinking started from another failing one.
    n_calls : int
        How often `fails` was called.
    version : str
        Of Hypothesis: another one draws other examples from the same seed.
    """

    examples: Sequence[Any]
    failing: tuple[int, ...]
    minimal: Any
    is_exact: bool
    n_calls: int
    version: str


class _BrokenError(AssertionError):
    """Tells Hypothesis that an example fails."""


def replay(
    strategy: SearchStrategy[Any],
    fails: Callable[[list[Any]], npt.NDArray[np.bool_]],
    *,
    n_examples: int,
    seed: int,
) -> Replayed:
    """Search a strategy's examples for failing ones.

    Parameters
    ----------
    strategy : SearchStrategy
        Of examples; drawing from it must depend on nothing but Hypothesis' choices.
    fails : callable
        List of examples -> for each whether it fails; the same for the same example.
    n_examples : int
        How many to draw; fewer where the strategy has no more.
    seed : int
        Of Hypothesis.

    Raises
    ------
    InputError
        If no example could be drawn, or drawing raises an error.
    """
    hypothesis = require("hypothesis", extra="behavior")
    examples: list[Any] = []
    _run(strategy, examples.append, n_examples, seed, shrinks=False)
    if not examples:
        raise InputError("the strategy gives no example", where="inputs")
    is_failing = np.asarray(fails(examples), dtype=np.bool_)
    failing = tuple(np.flatnonzero(is_failing).tolist())
    version = str(hypothesis.__version__)
    if not failing:
        return Replayed(
            examples=examples, failing=(), minimal=None, is_exact=True, n_calls=1, version=version
        )
    second = _Second(fails=fails, expected=examples, first=failing[0])
    _run(strategy, second.judge, n_examples, seed, shrinks=True)
    found = second.last_failing
    return Replayed(
        examples=examples,
        failing=failing,
        minimal=examples[failing[0]] if found is None else found[0],
        is_exact=second.is_same,
        n_calls=1 + second.n_calls,
        version=version,
    )


class _Second:
    """The body of the second pass: passes what passed before, fails where it failed, then asks the model."""

    def __init__(
        self, *, fails: Callable[[list[Any]], npt.NDArray[np.bool_]], expected: list[Any], first: int
    ) -> None:
        self._fails = fails
        self._expected = expected
        self._first = first
        self._place = -1
        self.is_same = True
        self.n_calls = 0
        self.last_failing: tuple[Any] | None = None

    def judge(self, example: Any) -> None:  # noqa: ANN401 - whatever a strategy draws
        """Fail if the example does."""
        self._place += 1
        if self._place <= self._first and self.is_same:
            self.is_same = repr(example) == repr(self._expected[self._place])
            if self.is_same and self._place < self._first:
                return
        self.n_calls += 1
        if bool(np.asarray(self._fails([example]))[0]):
            self.last_failing = (example,)
            raise _BrokenError


def _run(
    strategy: SearchStrategy[Any],
    body: Callable[[Any], None],
    n_examples: int,
    seed: int,
    *,
    shrinks: bool,
) -> None:
    hypothesis = require("hypothesis", extra="behavior")
    phases = [hypothesis.Phase.generate, *([hypothesis.Phase.shrink] if shrinks else [])]
    settings = hypothesis.settings(
        max_examples=n_examples,
        database=None,
        deadline=None,
        derandomize=False,
        phases=phases,
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
        report_multiple_bugs=False,
    )

    def asked(example: Any) -> None:  # noqa: ANN401 - whatever a strategy draws
        body(example)

    test = hypothesis.seed(seed)(settings(hypothesis.given(strategy)(asked)))
    try:
        test()
    except _BrokenError:
        pass
    except InputError:
        raise
    except Exception as error:
        told = " ".join(str(error).split())[:200]
        raise InputError(
            f"the strategy could not be searched: {type(error).__name__}: {told}", where="inputs"
        ) from error
