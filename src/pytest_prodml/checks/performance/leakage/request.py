"""What `no_leakage` was asked, with what its kinds of leakage share, and what one of them finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_prodml.adapters.tables import Dataset
from pytest_prodml.checks.metrics.registry import Metric
from pytest_prodml.checks.metrics.sample import Sample
from pytest_prodml.checks.overlap import copies, splits
from pytest_prodml.checks.overlap.columns import SharedColumn, shared_columns
from pytest_prodml.checks.overlap.copies import Copies
from pytest_prodml.checks.performance.leakage import features
from pytest_prodml.checks.performance.leakage.control import Train
from pytest_prodml.checks.performance.leakage.features import Target
from pytest_prodml.records import JsonValue
from pytest_prodml.statistics.design import Design
from pytest_prodml.statistics.estimate import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one kind found. An `exact` one is a count over the rows at hand."""

    estimate: Estimate
    n_samples: int
    exact: bool = False
    unit: str = "1"
    details: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What `no_leakage` was asked, and what its kinds share, each made once."""

    reference: Dataset
    test: Dataset
    entity: str | None
    time: str | None
    ignore: frozenset[str]
    allowed_names: frozenset[str]
    train: Train | None
    repeats: int
    metric: str | Metric | None
    samples: tuple[Sample, Sample] | None
    seed: int
    sample_weight: str | None = None

    @cached_property
    def columns(self) -> list[SharedColumn]:
        """The inputs: columns both tables have, but for those ignored and the entity, time and weight."""
        own = {name for name in (self.entity, self.time, self.sample_weight) if name is not None}
        targets = {table.target_name for table in (self.reference, self.test) if table.target_name}
        return shared_columns(self.reference, self.test, without=self.ignore | own | targets)

    @cached_property
    def targets(self) -> tuple[Target, Target] | None:
        """The targets of the training and of the test rows, read alike; None where either has none."""
        if self.reference.target is None or self.test.target is None:
            return None
        both = features.target_of(np.concatenate([self.reference.target, self.test.target]))
        size = len(self.reference)
        return both.taken(np.arange(size)), both.taken(np.arange(size, size + len(self.test)))

    @cached_property
    def design(self) -> Design:
        """How the rows were drawn, those for training first; an entity is one cluster in both tables."""
        return splits.design_of_both(
            self.reference, self.test, entity=self.entity, sample_weight=self.sample_weight
        )

    def design_of_reference(self) -> Design:
        """Return the design of the training rows."""
        return self.design.subset(np.arange(len(self.reference)))

    def design_of_test(self) -> Design:
        """Return the design of the test rows."""
        return self.design.subset(np.arange(len(self.reference), len(self.reference) + len(self.test)))

    @cached_property
    def exact_copies(self) -> Copies:
        """Equal rows."""
        return copies.exact_copies(self.columns, seed=self.seed)

    @cached_property
    def rounded_copies(self) -> Copies:
        """Rows that are equal after rounding."""
        return copies.rounded_copies(self.columns, seed=self.seed)

    @cached_property
    def target_agrees(self) -> SharedColumn | None:
        """The target as a column, to tell copies with the same target."""
        if self.targets is None:
            return None
        parts = [t.numbers if t.numbers is not None else t.codes for t in self.targets]
        values: npt.NDArray[Any] = np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])
        return SharedColumn(name="", values=values, is_number=True, n_reference=len(self.reference))
