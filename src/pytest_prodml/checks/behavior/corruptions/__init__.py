"""Corruptions by name: functions that make inputs worse by as much as is asked for, and change nothing else.

``corruption_named`` finds one; ``transform`` binds its severity, for relations that take a function.
Why they are written here: of the libraries that had them, imagecorruptions and nlpaug have not been released
for years, albumentations is no longer kept, and torchvision and textattack bring torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_prodml.checks.behavior.batches import Batch
from pytest_prodml.checks.behavior.corruptions import images, series, tabular, text
from pytest_prodml.checks.behavior.corruptions.kinds import (
    KINDS,
    SERIES,
    Corruption,
    check_choice,
    checked_severity,
    fits,
    not_fitting,
)
from pytest_prodml.checks.labels import nearest
from pytest_prodml.errors import InputError

__all__ = ["CORRUPTIONS", "Corruption", "Transform", "corruption_named", "transform"]

#: All corruptions; two may share a name where they take other inputs.
CORRUPTIONS: tuple[Corruption, ...] = (
    *tabular.CORRUPTIONS,
    *text.CORRUPTIONS,
    *images.CORRUPTIONS,
    *series.CORRUPTIONS,
)


def corruption_named(name: str, batch: Batch, *, of: str | None = None) -> Corruption:
    """Return the corruption of that name for inputs of this kind.

    Parameters
    ----------
    name : str
        For example "noise", "typos", "blur", "gap".
    batch : frame, array or list
        The inputs.
    of : {"rows", "texts", "images", "series"}, optional
        What the inputs are, where an array could be several of them.

    Raises
    ------
    InputError
        If there is none, it takes other inputs, or the array could be several things.
    """
    if of is not None:
        check_choice(of, KINDS, "of", "robust_to")
    if not isinstance(name, str):
        raise InputError(
            f"expected the name of a corruption or a function, got {type(name).__name__}", where="robust_to"
        )
    known = [one for one in CORRUPTIONS if one.name == name]
    if not known:
        names = sorted({one.name for one in CORRUPTIONS})
        raise InputError(f"there is no corruption {name!r}", where="robust_to", hint=nearest(name, names))
    asked = [one for one in known if of is None or one.kind == of]
    if not asked:
        raise InputError(f"{name} is a corruption of {known[0].kind}, not of {of}", where="robust_to")
    found = [one for one in asked if fits(batch, one.kind)]
    if not found:
        raise not_fitting(name, [one.kind for one in asked], batch)
    if found[0].kind == SERIES and len(known) > 1 and of is None and np.ndim(batch) == 3:
        raise InputError(
            f"an array of shape {np.shape(batch)} can be series or images",
            where="robust_to",
            hint='say of="series"; images have gaussian_noise and impulse_noise',
        )
    if len(found) > 1:
        kinds = " or ".join(one.kind for one in found)
        raise InputError(
            f"an array of shape {np.shape(batch)} can be {kinds}, and {name} differs between them",
            where="robust_to",
            hint=f'say which: of="{found[0].kind}" or of="{found[1].kind}"',
        )
    return found[0]


def check_options(corruption: Corruption, options: Mapping[str, Any]) -> None:
    """Refuse keywords that a corruption does not have.

    Raises
    ------
    InputError
    """
    for name in options:
        if name not in corruption.options:
            known = list(corruption.options)
            hint = nearest(name, known) if known else f"{corruption.name} has no options"
            raise InputError(f"{corruption.name} has no option {name!r}", where="robust_to", hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transform:
    """A corruption of a fixed severity, called as ``made = transform(batch, rng)``.

    `takes_batch` tells relations that a list is passed as a whole.
    """

    how: str
    severity: float
    of: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    takes_batch: bool = True

    @property
    def __name__(self) -> str:
        """The name in the evidence, such as ``typos=0.1``."""
        return f"{self.how}={self.severity:g}"

    @property
    def description(self) -> str:
        """What is done, in words."""
        units = {one.unit for one in CORRUPTIONS if one.name == self.how and self.of in {None, one.kind}}
        return f"{self.how}, severity {self.severity:g}: {' or '.join(sorted(units))}"

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the corrupted inputs."""
        found = corruption_named(self.how, batch, of=self.of)
        check_options(found, self.options)
        return found.apply(batch, checked_severity(found, self.severity), rng, **self.options)


def transform(how: str, severity: float, *, of: str | None = None, **options: Any) -> Transform:  # noqa: ANN401
    """Return a corruption as a function ``(batch, rng) -> batch``, for relations.

    Parameters
    ----------
    how : str
        Its name.
    severity : float
        In the unit of the corruption.
    of : {"rows", "texts", "images", "series"}, optional
        What the inputs are, where an array could be several of them.
    **options
        Of the corruption: ``columns``, ``synonyms``, ``scale`` and others. For batches of few rows give
        table noise its ``reference``: the spread of a single row is 0.

    Raises
    ------
    InputError
        If there is no such corruption, severity or option.
    """
    known = [one for one in CORRUPTIONS if one.name == how and of in {None, one.kind}]
    if not known:
        names = sorted({one.name for one in CORRUPTIONS if of in {None, one.kind}})
        raise InputError(
            f"there is no corruption {how!r}{f' of {of}' if of else ''}",
            where="transform",
            hint=nearest(str(how), names),
        )
    problems = []
    for one in known:
        try:
            check_options(one, options)
            checked = checked_severity(one, severity)
        except InputError as error:
            problems.append(error)
        else:
            return Transform(how=how, severity=checked, of=of, options=dict(options))
    raise problems[0]
